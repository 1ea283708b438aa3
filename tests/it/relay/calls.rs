//! Promise: a call comes through unchanged, whatever its shape and its end, and nothing of it stays behind.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use todoke::wire::fault::Fault;
use tonic::{Code, Request};

use super::{
    backend::fault,
    harness::{EDOGAWA, KATSUSHIKA, Setup, eventually, many, within},
    raw,
};

#[tokio::test(flavor = "multi_thread")]
async fn four_thousand_trailers_only_errors_all_arrive_with_their_details() {
    let setup = Setup::start(|_| {}).await;
    let caller = setup.caller(KATSUSHIKA);
    let wrong = many(4_000, 20, |n| {
        let caller = &caller;
        async move {
            let status = caller.ask("Fail", &n.to_string()).await.expect_err("it fails");
            (Fault::from_status(&status) != Some(fault(n.to_string().as_bytes()))).then_some((n, status))
        }
    });
    let wrong: Vec<_> = wrong.await.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{} of 4,000 are wrong, the first: {:?}", wrong.len(), wrong[0]);
    assert_eq!(setup.backend.calls(), 4_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_overtakes_the_request_is_still_the_answer() {
    let setup = Setup::start(|_| {}).await;
    let caller = setup.caller(KATSUSHIKA);
    let big = "x".repeat(300_000);
    let wrong = many(500, 20, |n| {
        let (caller, big) = (&caller, &big);
        async move {
            let message = if n % 2 == 0 { "0" } else { big };
            let status = caller.ask("FailFast", message).await.expect_err("it fails");
            (Fault::from_status(&status) != Some(fault(b"0"))).then_some((n, status))
        }
    });
    let wrong: Vec<_> = wrong.await.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{} of 500 are wrong, the first: {:?}", wrong.len(), wrong[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_went_up_is_counted_when_an_answer_overtakes_the_rest() {
    let metrics = todoke::telemetry::prometheus();
    let setup = Setup::start(|_| {}).await;
    let raw = raw::dial(&setup, KATSUSHIKA).await;
    let mut send = raw.send.clone().ready().await.expect("it is ready");
    let head = raw::head("/test.Backend/Fail");
    let (response, mut body) = send.send_request(head, false).expect("it is sent");
    body.send_data(raw::frame(&[0; 1000]), false).expect("it is sent"); // and is never all
    assert_ne!(raw::end(response).await.code, Some(0));
    setup.relay.stop().await;
    let counted = metrics.render();
    let up =
        |line: &str| line.strip_prefix("todoke_relay_bytes_total{direction=\"up\"} ")?.parse::<u64>().ok();
    assert!(counted.lines().find_map(up) >= Some(1005), "{counted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn four_thousand_cancelled_calls_leave_nothing_behind() {
    let setup = Setup::start(|_| {}).await;
    let caller = setup.caller(KATSUSHIKA);
    let before = setup.backend.seen.connections.load(std::sync::atomic::Ordering::SeqCst);
    many(4_000, 20, |n| {
        let caller = &caller;
        async move {
            // Some are given up when they have begun to answer, some before, some as soon as they are sent.
            let method = if n % 3 == 0 { "Drip" } else { "Hang" };
            let calling = || caller.stream(method, Request::new(stream::iter([Bytes::from_static(b"x")])));
            if n % 3 == 0 {
                // Calls that were given up stay in the caller's account until the issuer has seen them.
                let mut answers = loop {
                    match within("it drips", calling()).await {
                        Ok(answers) => break answers.into_inner(),
                        Err(full) => assert_eq!(full.code(), Code::ResourceExhausted, "{full:?}"),
                    }
                };
                let _ = answers.message().await.expect("one drip");
            } else {
                let _ = tokio::time::timeout(Duration::from_millis(n as u64 % 3), calling()).await;
            }
        }
    })
    .await;
    eventually("every call is over at the backend", || async { (setup.backend.open() == 0).then_some(()) })
        .await;
    let after = setup.backend.seen.connections.load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(after, before, "the shared connections held");
    // The account is empty again: as many calls as ever are let in.
    let full = many(128, 128, |_| {
        let caller = &caller;
        async move { caller.ask("Echo", "still here").await }
    });
    assert!(full.await.iter().all(Result::is_ok));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_says_about_itself_is_replaced_by_its_certificate() {
    let setup = Setup::start(|_| {}).await;
    let caller = setup.caller(KATSUSHIKA);
    let mut request = Request::new("x".to_owned());
    let metadata = request.metadata_mut();
    metadata.append("todoke-caller", EDOGAWA.parse().expect("ascii"));
    metadata.append("todoke-caller", "operator/alice".parse().expect("ascii"));
    metadata.append("todoke-relay", "relay/relay-9".parse().expect("ascii"));
    metadata.append("x-trace", "kept".parse().expect("ascii"));
    let headers = caller.send("Headers", request).await.expect("it answers");
    let ours: Vec<&str> = headers.lines().filter(|line| line.starts_with("todoke-")).collect();
    assert_eq!(ours, [format!("todoke-caller: {KATSUSHIKA}")]);
    assert!(headers.contains("x-trace: kept"), "{headers}");
    let other = setup.caller(EDOGAWA).ask("Headers", "x").await.expect("it answers");
    assert!(other.contains(&format!("todoke-caller: {EDOGAWA}")), "{other}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_goes_on_shorter_by_the_time_spent_and_is_kept_here_too() {
    let setup = Setup::start(|options| options.upstream_calls_max = 1).await;
    let caller = setup.caller(KATSUSHIKA);
    caller.ask("Echo", "a connection, so that no handshake is part of the wait").await.expect("it answers");
    let timeout = |seconds| {
        let mut request = Request::new("x".to_owned());
        request.set_timeout(Duration::from_secs(seconds));
        request
    };
    // The only place of each shard is taken, so that the next call has to wait for its turn.
    let others: Vec<_> = (0..2).map(|_| setup.caller(KATSUSHIKA)).collect();
    let waiting = async {
        let done = many(2, 2, |n| {
            let other = &others[n];
            async move { other.ask("Wait", "x").await }
        });
        assert!(done.await.iter().all(Result::is_ok));
    };
    let asking = async {
        eventually("they wait", || async { (setup.backend.open() == 2).then_some(()) }).await;
        caller.send("Headers", timeout(20)).await.expect("it is answered")
    };
    let releasing = async {
        eventually("they wait", || async { (setup.backend.open() == 2).then_some(()) }).await;
        let since = tokio::time::Instant::now();
        let spent = || since.elapsed() > Duration::from_millis(600);
        eventually("some time is spent", || async { spent().then_some(()) }).await;
        setup.backend.seen.go.send_replace(true);
    };
    let ((), headers, ()) = tokio::join!(waiting, asking, releasing);
    let named =
        headers.lines().find_map(|line| line.strip_prefix("grpc-timeout: ")).expect("it is passed on");
    let micros: u64 = named.trim_end_matches('u').parse().unwrap_or_else(|_| panic!("micros: {named}"));
    let left = Duration::from_micros(micros);
    assert!(left <= Duration::from_secs(20) - Duration::from_millis(250), "{left:?}");
    assert!(left > Duration::from_secs(10), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_past_its_deadline_is_answered_by_the_relay_and_ended_behind_it() {
    let setup = Setup::start(|_| {}).await;
    // A client that does not enforce its own deadline, so that it is the relay's answer that comes.
    let mut request = Request::new("x".to_owned());
    request.metadata_mut().insert("grpc-timeout", "150m".parse().expect("ascii"));
    let answer = super::raw::ask(&setup, "Hang", request).await;
    assert_eq!(answer.code, Some(Code::DeadlineExceeded as i32));
    assert_eq!(answer.reason.as_deref(), Some("DEADLINE_EXCEEDED"));
    eventually("the backend is told", || async { (setup.backend.open() == 0).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_uploads_of_three_mebibytes_come_back_exactly() {
    let setup = Setup::start(|_| {}).await;
    let caller = setup.caller(KATSUSHIKA);
    let ends = many(16, 16, |n| {
        let caller = &caller;
        async move {
            let pieces: Vec<Bytes> =
                (0..48).map(|at| Bytes::from(vec![(n * 48 + at) as u8; 65_536])).collect();
            let mut echo = caller
                .stream("Echo", Request::new(stream::iter(pieces.clone())))
                .await
                .expect("it begins")
                .into_inner();
            let mut back = Vec::new();
            while let Some(piece) = within("a piece", echo.message()).await.expect("it goes on") {
                back.push(piece);
            }
            back == pieces
        }
    });
    assert!(ends.await.into_iter().all(|same| same));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_small_messages_pass_on_one_stream() {
    let setup = Setup::start(|_| {}).await;
    let caller = setup.caller(KATSUSHIKA);
    let messages = (0..100_000u32).map(|n| Bytes::from(n.to_be_bytes().to_vec()));
    let echo = caller.stream("Echo", Request::new(stream::iter(messages))).await.expect("it begins");
    let mut echo = echo.into_inner();
    let mut next = 0u32;
    while let Some(message) = within("a message", echo.next()).await {
        assert_eq!(message.expect("it goes on"), next.to_be_bytes().as_slice());
        next += 1;
    }
    assert_eq!(next, 100_000);
}
