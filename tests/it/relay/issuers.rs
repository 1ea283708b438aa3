//! Promise: an issuer that dies costs the calls it had, and each is told what is known about it.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use futures_util::stream;
use todoke::wire::fault::{Fault, Reason};
use tokio::time::Instant;
use tonic::{Code, Request};

use super::{
    backend::Backend,
    bare::{Bare, Way},
    harness::{Caller, KATSUSHIKA, Pki, Relay, Setup, eventually, many, within},
    raw,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_issuer_dies_is_told_that_nobody_knows_and_the_next_is_fine() {
    let Setup { pki, backend, relay } =
        Setup::start(|options| options.away_max = Duration::from_secs(20)).await;
    let caller = Caller::new(&pki, KATSUSHIKA, relay.address());
    let hanging = async {
        let status = caller.ask("Hang", "x").await.expect_err("it cannot be answered");
        assert_eq!(status.code(), Code::Unavailable);
        let fault = Fault::from_status(&status).expect("a fault of ours");
        assert_eq!(fault.reason, Reason::OutcomeUnknown);
        assert!(fault.retry_after.is_some());
    };
    let killing = async {
        eventually("it hangs", || async { (backend.open() == 1).then_some(()) }).await;
        let address = backend.address;
        drop(backend);
        address
    };
    let ((), address) = tokio::join!(hanging, killing);
    let fault = caller.ask("Echo", "x").await.map_err(|status| Fault::from_status(&status).expect("ours"));
    assert_eq!(fault.expect_err("nobody is there").reason, Reason::UpstreamUnavailable);
    let back = Backend::start_at(address, pki.server("issuer-1")).await;
    eventually("it goes on", || async { caller.ask("Echo", "x").await.ok() }).await;
    assert!(back.calls() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_has_begun_ends_with_a_status_when_its_issuer_dies() {
    let Setup { pki, backend, relay } = Setup::start(|_| {}).await;
    let caller = Caller::new(&pki, KATSUSHIKA, relay.address());
    let request = Request::new(stream::iter([bytes::Bytes::from_static(b"x")]));
    let mut answers = caller.stream("Drip", request).await.expect("it begins").into_inner();
    assert_eq!(answers.message().await.expect("one drip").as_deref(), Some(&b"drip"[..]));
    drop(backend);
    let status = within("it ends", answers.message()).await.expect_err("not to its end");
    assert_eq!(Fault::from_status(&status).map(|fault| fault.reason), Some(Reason::OutcomeUnknown));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_spread_over_all_issuers_and_leave_a_dead_one() {
    let pki = Pki::new();
    let one = Backend::start(pki.server("issuer-1")).await;
    let two = Backend::start(pki.server("issuer-2")).await;
    let relay = Relay::start(&pki, &[one.address, two.address], |_| {}).await;
    let caller = Caller::new(&pki, KATSUSHIKA, relay.address());
    relay.ready().await;
    let both = async || one.calls() > 0 && two.calls() > 0;
    eventually("both get calls", || async {
        let ends = many(40, 20, |_| caller.ask("Echo", "x"));
        assert!(ends.await.iter().all(Result::is_ok));
        both().await.then_some(())
    })
    .await;
    let (calls, answered) = (one.calls() + two.calls(), two.seen.calls.load(SeqCst));
    assert!(answered * 10 > calls, "{answered} of {calls} is no share");
    drop(two);
    eventually("the dead one is left", || async { caller.ask("Echo", "x").await.ok() }).await;
    let ends = many(200, 20, |_| caller.ask("Echo", "x"));
    assert!(ends.await.iter().all(Result::is_ok), "no call goes to a dead issuer");
    assert!(relay.not_ready().is_empty(), "one issuer is enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_provably_not_begun_goes_to_another_issuer() {
    let pki = Pki::new();
    let good = Backend::start(pki.server("issuer-1")).await;
    let bad = Bare::start(pki.server("issuer-2"), Way::Refuse).await;
    let relay = Relay::start(&pki, &[bad.address, good.address], |options| options.shards = 1).await;
    relay.ready().await;
    let caller = Caller::new(&pki, KATSUSHIKA, relay.address());
    eventually("both are connected", || async { (bad.connections() > 0).then_some(()) }).await;
    // Its body comes only after the headers were refused, so that nothing of it was forwarded.
    let slow = async |n: usize| {
        let refused = bad.streams();
        let (seen, before) = (good.seen.clone(), good.calls());
        let body = stream::once(async move {
            eventually("its headers are where they are taken", || async {
                (seen.calls.load(SeqCst) > before).then_some(())
            })
            .await;
            bytes::Bytes::from(n.to_string())
        });
        let mut answers = caller.stream("Echo", Request::new(body)).await?.into_inner();
        let answer = answers.message().await?;
        Ok::<_, tonic::Status>((answer, bad.streams() - refused))
    };
    let mut resent = 0;
    for n in 0..20 {
        let (answer, refused) = within("a call", slow(n)).await.expect("another issuer takes it");
        assert_eq!(answer, Some(bytes::Bytes::from(n.to_string())));
        resent += refused;
    }
    assert!(resent > 0, "none was refused: nothing was tested");
    assert_eq!(good.calls(), 20, "each was sent once to the issuer that took it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_body_has_gone_out_is_not_sent_again() {
    let pki = Pki::new();
    let bad = Bare::start(pki.server("issuer-2"), Way::RefuseLate).await;
    let relay = Relay::start(&pki, &[bad.address], |options| options.shards = 1).await;
    relay.ready().await;
    // It refuses when it has seen the body, so it is sure that this went out: with the headers, as from most
    // clients, or when the relay has sent those on already.
    let raw = raw::dial_to(&pki, KATSUSHIKA, relay.address()).await;
    for (calls, behind) in [(1, false), (2, true)] {
        let mut send = raw.send.clone().ready().await.expect("it is ready");
        let (response, mut body) =
            send.send_request(raw::head("/test.Backend/Echo"), false).expect("it is sent");
        if behind {
            eventually("the headers are there", || async { (bad.streams() == calls).then_some(()) }).await;
        }
        body.send_data(raw::frame(b"x"), true).expect("it is sent");
        let answer = within("an answer", raw::end(response)).await;
        assert_eq!(answer.code, Some(Code::Unavailable as i32));
        assert_eq!(answer.reason.as_deref(), Some("UPSTREAM_UNAVAILABLE"), "nothing was done");
        assert_eq!(bad.streams(), calls);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_is_behind_does_not_take_broken_off_calls_for_an_attack() {
    let pki = Pki::new();
    let issuer = Bare::start(pki.server("issuer-1"), Way::Hold).await;
    let relay = Relay::start(&pki, &[issuer.address], |options| options.shards = 1).await;
    relay.ready().await;
    issuer.seen.awake.send_replace(false);
    // HTTP/2 servers in Rust close a connection on which 20 streams were reset before they were looked at.
    let mut raw = raw::dial_to(&pki, KATSUSHIKA, relay.address()).await;
    let mut calls = Vec::new();
    for _ in 0..100 {
        calls.push(raw.call("Hang", b"x").await);
    }
    raw.check_health().await; // all of them have gone on by now
    drop(calls);
    raw.check_health().await; // and all of them were broken off
    raw.check_health().await;
    issuer.seen.awake.send_replace(true);
    eventually("it has seen them all", || async { (issuer.streams() == 100).then_some(()) }).await;
    let next = raw.call("Hang", b"x").await;
    eventually("it takes the next", || async { (issuer.streams() == 101).then_some(()) }).await;
    assert_eq!(issuer.connections(), 1, "the shared connection held");
    drop(next);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_hangs_is_noticed_and_left() {
    let pki = Pki::new();
    let hanging = Bare::start(pki.server("issuer-2"), Way::Hold).await;
    let relay = Relay::start(&pki, &[hanging.address], |options| {
        options.away_max = Duration::from_millis(100);
        options.upstream_alive_every = Duration::from_millis(100);
        options.upstream_alive_answer = Duration::from_millis(100);
    })
    .await;
    relay.ready().await;
    let caller = Caller::new(&pki, KATSUSHIKA, relay.address());
    let calling = caller.ask("Echo", "x");
    let sleeping = async {
        eventually("the call is there", || async { (hanging.streams() == 1).then_some(()) }).await;
        hanging.seen.awake.send_replace(false);
    };
    let (answer, ()) = tokio::join!(calling, sleeping);
    let fault = Fault::from_status(&answer.expect_err("nobody answers")).expect("ours");
    assert_eq!(fault.reason, Reason::OutcomeUnknown);
    eventually("it is not serving", || async { (!relay.not_ready().is_empty()).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_lets_each_connection_go_is_not_dialled_without_a_pause() {
    let pki = Pki::new();
    let issuer = Bare::start(pki.server("issuer-1"), Way::Leave).await;
    let begun = Instant::now();
    let _relay = Relay::start(&pki, &[issuer.address], |options| {
        options.shards = 1;
        options.reconnect = (Duration::from_millis(100), Duration::from_millis(200));
    })
    .await;
    eventually("ten came about", || async { (issuer.connections() >= 10).then_some(()) }).await;
    // Nine pauses of a tenth of a second at first and a fifth from then on, or of half that by chance.
    assert!(begun.elapsed() >= Duration::from_millis(700), "{:?}", begun.elapsed());
}
