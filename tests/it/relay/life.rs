//! Promise: a relay says whether it can be used, and comes and goes without a lost call.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use todoke::wire::fault::{Fault, Reason};
use tonic::{Code, Request};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{
    backend::Backend,
    harness::{Caller, KATSUSHIKA, Pki, Relay, Setup, connect, eventually, many, within},
};
use crate::frames::Raw;

fn health(caller: &Caller) -> HealthClient<tonic::transport::Channel> {
    HealthClient::new(caller.channel.clone())
}

async fn check(caller: &Caller, service: &str) -> Result<ServingStatus, tonic::Status> {
    let request = HealthCheckRequest { service: service.to_owned() };
    Ok(health(caller).check(request).await?.into_inner().status())
}

#[tokio::test(flavor = "multi_thread")]
async fn health_follows_the_issuer_and_the_order_to_stop() {
    let pki = Pki::new();
    // A port that nobody listens on yet.
    let address = {
        let backend = Backend::start(pki.server("issuer-1")).await;
        backend.address
    };
    let relay = Relay::start(&pki, &[address], |options| {
        options.away_max = Duration::from_millis(200);
        options.linger = Duration::from_secs(1);
    })
    .await;
    let caller = Caller::new(&pki, KATSUSHIKA, relay.address());
    let request = HealthCheckRequest { service: "todoke.v1.BatchService".to_owned() };
    let mut watch = health(&caller).watch(request).await.expect("it watches").into_inner();
    let mut next = async || {
        let response = within("a change", watch.message()).await;
        response.map(|response| response.expect("it goes on").status())
    };
    assert_eq!(next().await.expect("at once"), ServingStatus::NotServing);
    assert_eq!(check(&caller, "").await.expect("answered"), ServingStatus::NotServing);
    assert_eq!(relay.not_ready().len(), 1, "{:?}", relay.not_ready());

    let backend = Backend::start_at(address, pki.server("issuer-1")).await;
    assert_eq!(next().await.expect("it is told"), ServingStatus::Serving);
    assert_eq!(check(&caller, "").await.expect("answered"), ServingStatus::Serving);
    assert_eq!(relay.not_ready(), Vec::<String>::new());
    assert_eq!(check(&caller, "other.Service").await.expect_err("not ours").code(), Code::NotFound);

    drop(backend);
    assert_eq!(next().await.expect("it is told"), ServingStatus::NotServing);
    let _backend = Backend::start_at(address, pki.server("issuer-1")).await;
    assert_eq!(next().await.expect("it is told"), ServingStatus::Serving);

    let stopping = relay.stop();
    let watching = async {
        assert_eq!(next().await.expect("it is told"), ServingStatus::NotServing);
        let end = next().await.expect_err("the watch ends with the relay");
        assert_eq!(Fault::from_status(&end).map(|fault| fault.reason), Some(Reason::Draining));
    };
    let (ended, ()) = tokio::join!(stopping, watching);
    assert_eq!((ended.first_death, ended.cut_off), (None, vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crl_that_is_out_of_date_is_told_to_all_who_watch_until_it_is_renewed() {
    let metrics = todoke::telemetry::prometheus();
    let pki = Pki::with_crl();
    let backend = Backend::start(pki.server("issuer-1")).await;
    let relay = Relay::start(&pki, &[backend.address], |_| {}).await;
    relay.ready().await;
    let caller = Caller::new(&pki, KATSUSHIKA, relay.address());
    let watch = health(&caller).watch(HealthCheckRequest::default()).await.expect("it watches");
    let mut watch = watch.into_inner();
    let mut next = async || {
        let response = within("a change", watch.message()).await;
        response.expect("the connection stands").expect("it goes on").status()
    };
    let gauge = async |serving: u8| {
        let line = format!("todoke_relay_serving {serving}\n");
        eventually(&line, || async { metrics.render().contains(&line).then_some(()) }).await;
    };
    assert_eq!(next().await, ServingStatus::Serving);
    gauge(1).await;
    pki.renew_crl(Duration::from_secs(3));
    relay.reload();
    // The connection is judged by the new list at once, while that holds, and stands from then on.
    assert_eq!(check(&caller, "").await.expect("answered"), ServingStatus::Serving);
    assert_eq!(next().await, ServingStatus::NotServing);
    let reasons = relay.not_ready();
    assert!(reasons.len() == 1 && reasons[0].contains("the CRL is out of date since"), "{reasons:?}");
    assert!(reasons[0].contains("nobody gets in until it is renewed"), "{reasons:?}");
    gauge(0).await;
    pki.renew_crl(Duration::from_secs(86_400));
    relay.reload();
    assert_eq!(next().await, ServingStatus::Serving);
    gauge(1).await;
    relay.ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_under_load_fails_no_call() {
    let Setup { pki, backend, relay } = Setup::start(|_| {}).await;
    let other = Relay::start(&pki, &[backend.address], |_| {}).await;
    other.ready().await;
    let (before, after, done) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let loading = async {
        // Each caller keeps to the first relay until that says it goes, as a client with health checks
        // does.
        let ends = many(16, 16, |_| {
            let second = Caller::new(&pki, KATSUSHIKA, other.address());
            let (before, after, done, relay, pki) = (&before, &after, &done, &relay, &pki);
            async move {
                let first = super::raw::dial_to(pki, KATSUSHIKA, relay.address()).await;
                while !done.load(SeqCst) {
                    if relay.tasks.soft().is_cancelled() {
                        second.ask("Echo", "x").await?;
                        after.fetch_add(1, SeqCst);
                        continue;
                    }
                    // It may be told to stop while this is on its way.
                    if let Some(answer) = first.ask_unless_gone("Echo", b"x").await {
                        assert_eq!(answer.code, Some(0), "{answer:?}");
                        before.fetch_add(1, SeqCst);
                    }
                }
                Ok::<_, tonic::Status>(())
            }
        });
        ends.await
    };
    let stopping = async {
        eventually("there is load", || async { (before.load(SeqCst) > 500).then_some(()) }).await;
        let told = tokio::time::Instant::now();
        let ended = relay.stop().await;
        assert_eq!((ended.first_death, ended.cut_off), (None, vec![]));
        assert!(
            told.elapsed() < Duration::from_secs(5),
            "idle clients were asked to go: {:?}",
            told.elapsed()
        );
        let count = after.load(SeqCst);
        eventually("the other carries on", || async { (after.load(SeqCst) > count + 100).then_some(()) })
            .await;
        done.store(true, SeqCst);
    };
    let (ends, ()) = tokio::join!(loading, stopping);
    let failed: Vec<_> = ends.into_iter().filter_map(Result::err).collect();
    assert!(failed.is_empty(), "{} callers saw a failure: {failed:?}", failed.len());
    assert_eq!(backend.calls(), before.load(SeqCst) + after.load(SeqCst), "each that was sent was answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_flight_outlives_the_order_and_a_late_connection_is_served() {
    let setup = Setup::start(|options| options.linger = Duration::from_secs(2)).await;
    let caller = setup.caller(KATSUSHIKA);
    let calling = caller.ask("Wait", "x");
    let late = async {
        eventually("it waits", || async { (setup.backend.open() == 1).then_some(()) }).await;
        setup.relay.tasks.soft().cancel();
        let late = setup.caller(KATSUSHIKA);
        assert_eq!(late.ask("Echo", "late").await.expect("it is served"), "late");
        let mut slow = super::raw::dial(&setup, KATSUSHIKA).await;
        let told = tokio::time::timeout(Duration::from_millis(100), slow.driver.join_next()).await;
        assert!(told.is_err(), "it is not sent away before its first call");
        let answer = slow.call("Echo", b"slow").await;
        assert_eq!(within("an answer", answer).await.expect("it is served").status(), 200);
        within("it goes after that", slow.driver.join_next()).await;
        setup.backend.seen.go.send_replace(true);
    };
    let (answer, ()) = tokio::join!(calling, late);
    assert_eq!(answer.expect("it is answered"), "done");
    let ended = setup.relay.stop().await;
    assert_eq!((ended.first_death, ended.cut_off), (None, vec![]));
    let refused = tokio::net::TcpStream::connect(setup.relay.address()).await;
    assert!(refused.is_err(), "nobody listens any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_flight_is_answered_though_a_late_one_came_with_the_answer_to_the_order_to_go() {
    let setup = Setup::start(|_| {}).await;
    let name = KATSUSHIKA.split('/').nth(1).expect("role/name");
    let stream = connect(&setup.pki.client(name), setup.relay.address()).await.expect("it connects");
    let mut raw = Raw::begin(stream).await;
    raw.call("/test.Backend/Wait", b"x").await;
    eventually("it waits", || async { (setup.backend.open() == 1).then_some(()) }).await;
    setup.relay.tasks.soft().cancel();
    let order = raw.go_with_a_late_call("/test.Backend/Echo").await;
    assert_eq!(order, (1, 0), "one call was taken, and nothing is wrong");
    setup.backend.seen.go.send_replace(true);
    assert_eq!(raw.answer().await.as_deref(), Some(&b"done"[..]));
    assert_eq!(setup.backend.calls(), 1, "the late one is not begun");
    let ended = setup.relay.stop().await;
    assert_eq!((ended.first_death, ended.cut_off), (None, vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_done_by_the_end_of_the_drain_is_answered_all_the_same() {
    let setup = Setup::start(|options| {
        options.linger = Duration::from_millis(50);
        options.drain = Duration::from_millis(200);
        (options.shards, options.upstream_calls_max) = (1, 2);
        options.upstream_wait = Duration::from_secs(30);
    })
    .await;
    let caller = setup.caller(KATSUSHIKA);
    let mut raw = super::raw::dial(&setup, KATSUSHIKA).await;
    let request = Request::new(stream::iter([Bytes::from_static(b"x")]));
    let mut drip = caller.stream("Drip", request).await.expect("it begins").into_inner();
    assert!(drip.message().await.expect("one drip").is_some());
    let calling = caller.ask("Hang", "x");
    let stopping = async {
        eventually("both are there", || async { (setup.backend.open() == 2).then_some(()) }).await;
        let waiting = raw.call("Echo", b"x").await;
        raw.check_health().await;
        tokio::join!(super::raw::end(waiting), setup.relay.stop())
    };
    let (answer, (waited, ended)) = tokio::join!(calling, stopping);
    assert_eq!(waited.reason.as_deref(), Some("DRAINING"), "the issuer never heard of it");
    let fault = |status: tonic::Status| Fault::from_status(&status).expect("a reason of ours");
    let end = within("the answer ends", drip.message()).await.expect_err("cut off");
    for fault in [fault(answer.expect_err("it hangs")), fault(end)] {
        assert_eq!(fault.reason, Reason::OutcomeUnknown);
        assert!(fault.message.contains("this relay stops"), "no issuer broke off: {}", fault.message);
    }
    assert_eq!(setup.backend.calls(), 2);
    assert_eq!((ended.first_death, ended.cut_off), (None, vec![]));
    eventually("the issuer is told", || async { (setup.backend.open() == 0).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_connections_are_made_anew_and_no_call_notices() {
    let setup = Setup::start(|options| options.connection_age = Duration::from_millis(100)).await;
    let mut raw = super::raw::dial(&setup, KATSUSHIKA).await;
    within("the old connection ends", raw.driver.join_next())
        .await
        .expect("it was driven")
        .expect("no panic")
        .expect("it ends in good order");
    let until = tokio::time::Instant::now() + Duration::from_millis(600);
    let (mut calls, mut connections) = (0, 0);
    while tokio::time::Instant::now() < until {
        let raw = super::raw::dial(&setup, KATSUSHIKA).await;
        connections += 1;
        loop {
            let ends = many(20, 20, |_| raw.ask_unless_gone("Echo", b"x")).await;
            let answers: Vec<_> = ends.into_iter().flatten().collect();
            assert!(answers.iter().all(|answer| answer.code == Some(0)), "after {calls} calls: {answers:?}");
            calls += answers.len();
            if answers.len() < 20 {
                break;
            }
        }
    }
    assert!(calls > 100 && connections > 1, "{calls} calls on {connections} connections");
    assert_eq!(setup.backend.calls(), calls, "every call that was sent was answered");
}
