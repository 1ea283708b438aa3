//! Promise: of several issuers each gets calls; one that does not answer, or fails them, gets none while
//! another does, and some again when it is well; and the last one is never left.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use tokio::time::timeout;
use tonic::Request;

use super::{
    backend::Backend,
    harness::{Caller, KATSUSHIKA, Pki, Relay, eventually, many},
};
use crate::pool::link::Link;

/// Two issuers behind a relay of one thread, the second over a link that can be cut.
struct Two {
    one: Backend,
    two: Backend,
    link: Link,
    relay: Relay,
    caller: Caller,
}

impl Two {
    /// Both are connected when this returns. One that does not answer is never given up for it.
    async fn start() -> Self {
        let pki = Pki::new();
        let one = Backend::start(pki.server("issuer-1")).await;
        let two = Backend::start(pki.server("issuer-2")).await;
        let link = Link::to(two.address).await;
        let relay = Relay::start(&pki, &[one.address, link.address], |options| {
            options.shards = 1;
            options.caller_calls_max = 10_000;
            options.upstream_alive_every = Duration::from_millis(100);
            options.upstream_alive_soon = Duration::from_millis(100);
            options.upstream_alive_answer = Duration::from_secs(60);
        })
        .await;
        relay.ready().await;
        let caller = Caller::new(&pki, KATSUSHIKA, relay.address());
        let all = Self { one, two, link, relay, caller };
        eventually("both get calls", || async {
            all.echo().await.expect("both are well");
            (all.one.calls() > 0 && all.two.calls() > 0).then_some(())
        })
        .await;
        all
    }

    /// Calls a method that is counted as one of ours, and waits a moment for its answer.
    async fn echo(&self) -> Result<String, tonic::Status> {
        let mut request = Request::new("x".to_owned());
        request.set_timeout(Duration::from_secs(2));
        self.caller.send("/todoke.v1.Test/Echo", request).await
    }

    /// Waits until the second one, which is well again, has had some calls: few come at first.
    async fn two_gets_calls_again(&self) {
        let before = self.two.calls();
        eventually("it gets calls again, by and by", || async {
            assert_eq!(self.failed(40, 8).await, 0, "it is well");
            (self.two.calls() >= before + 3).then_some(())
        })
        .await;
    }

    /// How many of so many calls fail, of which so many are made at once.
    async fn failed(&self, count: usize, at_once: usize) -> usize {
        many(count, at_once, |_| self.echo()).await.iter().filter(|end| end.is_err()).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_come_one_after_the_other_go_to_each_issuer_in_turn() {
    let all = Two::start().await;
    let before = (all.one.calls(), all.two.calls());
    for _ in 0..20 {
        all.echo().await.expect("both are well");
    }
    let (one, two) = (all.one.calls() - before.0, all.two.calls() - before.1);
    assert!(one >= 8 && two >= 8, "{one} and {two} of 20");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_hangs_gets_no_new_call_after_a_moment_and_gets_calls_when_it_goes_on() {
    let all = Two::start().await;
    all.link.cut();
    eventually("no call fails", || async { (all.failed(20, 20).await == 0).then_some(()) }).await;
    // More at once than ever before: by calls in flight alone it would look like the less loaded one.
    for _ in 0..5 {
        assert_eq!(all.failed(100, 100).await, 0, "it is left alone");
    }
    assert!(all.relay.not_ready().is_empty(), "one is enough");
    all.link.mend();
    eventually("what hung has ended", || async { (all.two.open() == 0).then_some(()) }).await;
    all.two_gets_calls_again().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_fails_each_call_at_once_attracts_few_and_gets_calls_when_it_is_well() {
    let all = Two::start().await;
    all.two.seen.fails.store(true, SeqCst);
    let failed = all.failed(400, 20).await;
    assert!(failed <= 40, "{failed} of 400 went where each fails");
    all.two.seen.fails.store(false, SeqCst);
    all.two_gets_calls_again().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_issuer_is_not_left_though_it_does_not_answer() {
    let all = Two::start().await;
    drop(all.one);
    let (caller, link) = (&all.caller, &all.link);
    eventually("the dead one is left", || async { caller.ask("Echo", "x").await.ok() }).await;
    link.cut();
    let ask = || Box::pin(caller.ask("Echo", "x"));
    // The first waits until it is silent, and the second is made then.
    let (mut first, mut second) = (ask(), ask());
    for asked in [&mut first, &mut second] {
        timeout(Duration::from_millis(500), asked).await.expect_err("nobody answers");
    }
    assert!(all.relay.not_ready().is_empty(), "nobody else is there");
    link.mend();
    let answers = tokio::join!(first, second);
    assert_eq!(answers.0.expect("it was sent"), "x");
    assert_eq!(answers.1.expect("it was sent all the same"), "x");
}
