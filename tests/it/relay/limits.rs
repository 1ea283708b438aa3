//! Promise: a limit lets its number through and refuses the next, with the reason and the time to wait.

use std::time::Duration;

use todoke::wire::fault::{Fault, Reason};
use tokio::task::JoinSet;
use tonic::Status;

use super::harness::{EDOGAWA, KATSUSHIKA, Setup, connect, eventually, many};

fn refused(answer: Result<String, Status>) -> Fault {
    let status = answer.expect_err("it is refused");
    Fault::from_status(&status).unwrap_or_else(|| panic!("no fault of ours: {status:?}"))
}

/// Runs calls that wait at the backend, `then` while they do, and lets them go.
async fn while_full(setup: &Setup, callers: &[(&str, usize)], then: impl AsyncFnOnce()) {
    let calls: Vec<_> = callers.iter().map(|(identity, count)| (*identity, "Wait", *count)).collect();
    while_full_of(setup, &calls, then).await;
}

/// The same with calls of these methods.
async fn while_full_of(setup: &Setup, calls: &[(&str, &str, usize)], then: impl AsyncFnOnce()) {
    let calls: Vec<_> = calls
        .iter()
        .flat_map(|(identity, method, count)| {
            let caller = setup.caller(identity);
            (0..*count).map(move |_| (caller.clone(), *method))
        })
        .collect();
    let count = calls.len();
    let full = async {
        let ends = many(count, count, |n| {
            let (caller, method) = &calls[n];
            async move { caller.ask(method, "x").await }
        });
        ends.await
    };
    let then = async {
        eventually("all are in", || async { (setup.backend.open() == count).then_some(()) }).await;
        then().await;
        setup.backend.seen.go.send_replace(true);
    };
    let (ends, ()) = tokio::join!(full, then);
    assert!(ends.iter().all(Result::is_ok), "those within the limit are served: {ends:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_at_its_limit_is_refused_one_more_and_its_neighbour_is_not() {
    let metrics = todoke::telemetry::prometheus();
    let setup = Setup::start(|options| options.caller_calls_max = 5).await;
    let (caller, neighbour) = (setup.caller(KATSUSHIKA), setup.caller(EDOGAWA));
    while_full(&setup, &[(KATSUSHIKA, 3), (KATSUSHIKA, 2)], async || {
        let fault = refused(caller.ask("Echo", "one more").await);
        assert_eq!((fault.reason, fault.get("limit")), (Reason::TenantRateLimit, Some("caller_calls")));
        assert!(fault.retry_after.is_some_and(|wait| wait > Duration::ZERO));
        assert_eq!(neighbour.ask("Echo", "mine").await.expect("it has its own"), "mine");
    })
    .await;
    assert_eq!(caller.ask("Echo", "again").await.expect("there is room"), "again");
    let line = "todoke_relay_refusals_total{reason=\"TENANT_RATE_LIMIT\",limit=\"caller_calls\"} 1";
    eventually("it is counted", || async { metrics.render().contains(line).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_callers_together_at_the_limit_are_refused_one_more() {
    let setup = Setup::start(|options| options.calls_max = 4).await;
    let caller = setup.caller(KATSUSHIKA);
    while_full(&setup, &[(KATSUSHIKA, 2), (EDOGAWA, 2)], async || {
        let fault = refused(caller.ask("Echo", "one more").await);
        assert_eq!((fault.reason, fault.get("limit")), (Reason::LaneFull, Some("all_calls")));
        assert!(fault.retry_after.is_some());
    })
    .await;
    assert_eq!(caller.ask("Echo", "again").await.expect("there is room"), "again");
}

const LIST: &str = "/todoke.v1.CardService/ListCards";
const LOOK_UP: &str = "/todoke.v1.CardService/GetCard";
const ACTIVATE: &str = "/todoke.v1.CardService/BeginActivation";
const BATCH: &str = "/todoke.v1.BatchService/GetBatch";

/// Sends a call that is to wait at the backend, and returns once it is there; dropped, it is broken off.
async fn let_in(setup: &Setup, identity: &str, method: &'static str) -> JoinSet<Result<String, Status>> {
    let (open, caller) = (setup.backend.open(), setup.caller(identity));
    let mut call = JoinSet::new();
    call.spawn(async move { caller.ask(method, "x").await });
    eventually("it is let in", || async { (setup.backend.open() > open).then_some(()) }).await;
    call
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_reports_refuses_no_other_lane_and_nobody_an_activation() {
    let metrics = todoke::telemetry::prometheus();
    let setup = Setup::start(|options| options.calls_max = 20).await;
    while_full_of(&setup, &[(KATSUSHIKA, LIST, 2)], async || {
        for identity in [KATSUSHIKA, EDOGAWA] {
            let fault = refused(setup.caller(identity).ask(LIST, "one more").await);
            assert_eq!((fault.reason, fault.get("limit")), (Reason::LaneFull, Some("lane")));
            assert_eq!(fault.get("lane"), Some("reports"));
            assert!(fault.retry_after.is_some_and(|wait| wait > Duration::ZERO));
        }
        let mut open = Vec::new();
        for identity in [KATSUSHIKA, EDOGAWA] {
            for method in [BATCH, LOOK_UP, ACTIVATE] {
                open.push(let_in(&setup, identity, method).await);
            }
        }
        let line = "todoke_lane_refusals_total{lane=\"reports\",reason=\"LANE_FULL\"} 2";
        eventually("each is counted", || async { metrics.render().contains(line).then_some(()) }).await;
    })
    .await;
    assert_eq!(setup.caller(EDOGAWA).ask(LIST, "x").await.expect("there is room"), "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_full_of_reports_is_told_so_and_has_places_for_its_counters() {
    let setup = Setup::start(|options| options.caller_calls_max = 20).await;
    while_full_of(&setup, &[(KATSUSHIKA, LIST, 2)], async || {
        let fault = refused(setup.caller(KATSUSHIKA).ask(LIST, "one more").await);
        assert_eq!((fault.reason, fault.get("limit")), (Reason::TerminalLimit, Some("caller_lane")));
        assert!(fault.retry_after.is_some());
        let mut open = vec![let_in(&setup, EDOGAWA, LIST).await];
        for method in [LOOK_UP, ACTIVATE] {
            open.push(let_in(&setup, KATSUSHIKA, method).await);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn activations_use_what_others_leave_and_others_wait_until_it_comes_back() {
    let setup = Setup::start(|options| options.calls_max = 8).await;
    while_full_of(&setup, &[(KATSUSHIKA, ACTIVATE, 8)], async || {
        for method in [LIST, BATCH, LOOK_UP, ACTIVATE] {
            let fault = refused(setup.caller(EDOGAWA).ask(method, "one more").await);
            assert_eq!((fault.reason, fault.get("limit")), (Reason::LaneFull, Some("lane")), "{method}");
        }
    })
    .await;
    for method in [LIST, BATCH, LOOK_UP, ACTIVATE] {
        assert_eq!(setup.caller(EDOGAWA).ask(method, "x").await.expect("there is room"), "done");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_gets_its_burst_and_is_then_told_when_to_come_back() {
    let setup = Setup::start(|options| (options.caller_rate, options.caller_burst) = (1, 7)).await;
    let caller = setup.caller(KATSUSHIKA);
    let begun = tokio::time::Instant::now();
    let mut calls = 0;
    let fault = loop {
        match caller.ask("Echo", "x").await {
            Ok(_) => calls += 1,
            refusal => break refused(refusal),
        }
        // One more for each second that a slow machine takes for them.
        assert!(calls <= 7 + begun.elapsed().as_secs() as usize, "{calls} calls");
    };
    assert!(calls >= 7, "{calls} calls");
    assert_eq!((fault.reason, fault.get("limit")), (Reason::TenantRateLimit, Some("caller_rate")));
    let wait = fault.retry_after.expect("it says when");
    assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
    assert_eq!(setup.backend.calls(), calls, "the issuer hears nothing of it");
    assert!(setup.caller(EDOGAWA).ask("Echo", "x").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_issuer_is_waited_for_and_then_reported() {
    let setup = Setup::start(|options| {
        (options.shards, options.upstream_calls_max) = (1, 3);
        options.upstream_wait = Duration::from_millis(100);
    })
    .await;
    let caller = setup.caller(KATSUSHIKA);
    while_full(&setup, &[(KATSUSHIKA, 3)], async || {
        let asked = tokio::time::Instant::now();
        let fault = refused(caller.ask("Echo", "one more").await);
        assert_eq!((fault.reason, fault.get("limit")), (Reason::LaneFull, Some("upstream_calls")));
        assert!(asked.elapsed() >= Duration::from_millis(100), "it was waited for");
    })
    .await;
    assert_eq!(caller.ask("Echo", "again").await.expect("there is room"), "again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_with_too_many_connections_is_told_so_on_the_last() {
    let setup = Setup::start(|options| options.caller_connections_max = 2).await;
    let callers: Vec<_> = (0..2).map(|_| setup.caller(KATSUSHIKA)).collect();
    for caller in &callers {
        caller.ask("Echo", "x").await.expect("within the limit");
    }
    let fault = refused(setup.caller(KATSUSHIKA).ask("Echo", "x").await);
    assert_eq!((fault.reason, fault.get("limit")), (Reason::TenantRateLimit, Some("caller_connections")));
    assert!(setup.caller(EDOGAWA).ask("Echo", "x").await.is_ok());
    drop(callers);
    eventually("a place is free again", || async { setup.caller(KATSUSHIKA).ask("Echo", "x").await.ok() })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_relay_takes_one_more_connection_only_when_one_is_closed() {
    let metrics = todoke::telemetry::prometheus();
    let setup = Setup::start(|options| options.connections_max = 2).await;
    let (one, other) = (setup.caller(KATSUSHIKA), setup.caller(EDOGAWA));
    for caller in [&one, &other] {
        caller.ask("Echo", "x").await.expect("within the limit");
    }
    for _ in 0..3 {
        let late = connect(&setup.pki.client("131229"), setup.relay.address()).await;
        late.expect_err("both places are taken");
    }
    let line = "todoke_relay_events_total{event=\"connections_full\"} 3\n";
    eventually("each is counted", || async { metrics.render().contains(line).then_some(()) }).await;
    assert_eq!(other.ask("Echo", "mine").await.expect("who is in stays in"), "mine");
    drop(one);
    let again = setup.caller(KATSUSHIKA);
    eventually("a place is free again", || async { again.ask("Echo", "x").await.ok() }).await;
    let late = connect(&setup.pki.client("131229"), setup.relay.address()).await;
    late.expect_err("and taken again");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_headers_of_a_call_are_taken_up_to_the_limit_and_refused_above() {
    let metrics = todoke::telemetry::prometheus();
    let setup = Setup::start(|options| options.header_bytes_max = 4 << 10).await;
    let caller = setup.caller(KATSUSHIKA);
    let with = |bytes: usize| {
        let mut request = tonic::Request::new("x".to_owned());
        request.metadata_mut().insert("x-fill", "x".repeat(bytes).parse().expect("ASCII"));
        caller.send("Echo", request)
    };
    with(3 << 10).await.expect("below");
    let fault = refused(with(4 << 10).await); // the rest of the headers makes it more than the limit
    assert_eq!((fault.reason, fault.get("limit")), (Reason::LimitExceeded, Some("4096")));
    with(20 << 10).await.expect_err("so much is not even read");
    with(10).await.expect("the next call does not notice");
    let line = "todoke_relay_refusals_total{reason=\"LIMIT_EXCEEDED\",limit=\"none\"} 1";
    eventually("it is counted", || async { metrics.render().contains(line).then_some(()) }).await;
    assert_eq!(setup.backend.calls(), 2, "the issuer hears nothing of it");
}
