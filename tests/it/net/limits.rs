//! Promise: each limit of a server holds at the limit and refuses one above it, and the others do not notice.

use std::time::Duration;

use todoke::{
    net::ServerLimits,
    wire::fault::{Fault, Reason},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::harness::{Beside, Ca, Leaf, Server, call, client, clock, counted, eventually};

const REFUSED: &str = "todoke_connections_refused_total";
const SOON: Duration = Duration::from_secs(10);

async fn closed(socket: &mut TcpStream) -> bool {
    timeout(SOON, socket.read_u8()).await.expect("in time").is_err()
}

#[tokio::test]
async fn connections_are_taken_up_to_the_limit_and_one_more_is_closed() {
    let _metrics = todoke::telemetry::prometheus();
    let ca = Ca::new("ours");
    let limits = ServerLimits { connections_max: 2, ..ServerLimits::default() };
    let server = Server::start(&ca.server(), clock(), limits).await;
    let tls = client(&ca.leaf("good", Leaf::default()), 0);
    let (first, second) = (server.channel(&tls), server.channel(&tls));
    call(first.clone(), "").await.expect("the first");
    call(second.clone(), "").await.expect("at the limit");
    let before = counted(REFUSED, "connections_max");
    server.call(&tls).await.expect_err("one above");
    eventually("it is counted", || counted(REFUSED, "connections_max") > before).await;
    call(first, "").await.expect("those inside do not notice");
    drop(second);
    let again = || async { server.call(&tls).await.is_ok() };
    for _ in 0..1_000 {
        if again().await {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("a place that was left is taken by nobody");
}

#[tokio::test]
async fn one_identity_cannot_take_the_places_of_the_others() {
    let _metrics = todoke::telemetry::prometheus();
    let ca = Ca::new("ours");
    let limits = ServerLimits { connections_per_identity_max: 2, ..ServerLimits::default() };
    let server = Server::start(&ca.server(), clock(), limits).await;
    let greedy = client(&ca.leaf("greedy", Leaf::default()), 0);
    let uris = vec!["spiffe://todoke/operator/alice"];
    let other = client(&ca.leaf("other", Leaf { uris, ..Leaf::default() }), 0);
    let (first, second) = (server.channel(&greedy), server.channel(&greedy));
    call(first.clone(), "").await.expect("the first");
    call(second.clone(), "").await.expect("at the limit");
    let before = counted(REFUSED, "identity_connections_max");
    server.call(&greedy).await.expect_err("one above");
    eventually("it is counted", || counted(REFUSED, "identity_connections_max") > before).await;
    server.call(&other).await.expect("another has places of its own");
    call(first, "").await.expect("those inside do not notice");
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_ends_in_time_and_holds_up_nobody() {
    let _metrics = todoke::telemetry::prometheus();
    let ca = Ca::new("ours");
    let handshake = Duration::from_millis(1_500);
    let limits = ServerLimits { handshake, handshakes_max: 1, ..ServerLimits::default() };
    let server = Server::start(&ca.server(), clock(), limits).await;
    let before = counted(REFUSED, "timed_out");
    let mut silent = TcpStream::connect(server.address).await.expect("it listens");
    let mut halting = TcpStream::connect(server.address).await.expect("it listens");
    halting.write_all(&[0x16, 3, 1, 1, 0, 1]).await.expect("the start of a hello");
    let begun = tokio::time::Instant::now();
    let tls = client(&ca.leaf("good", Leaf::default()), 0);
    server.call(&tls).await.expect("neither has taken the only turn");
    assert!(begun.elapsed() < handshake, "it did not wait for their end");
    assert!(closed(&mut silent).await && closed(&mut halting).await, "both are sent away");
    eventually("both are counted", || counted(REFUSED, "timed_out") >= before + 2).await;
}

#[tokio::test]
async fn calls_on_one_connection_wait_beyond_the_limit() {
    let ca = Ca::new("ours");
    let limits = ServerLimits { streams_max: 2, ..ServerLimits::default() };
    let server = Server::start(&ca.server(), clock(), limits).await;
    let channel = server.channel(&client(&ca.leaf("good", Leaf::default()), 0));
    call(channel.clone(), "").await.expect("the settings of the server are known from here on");
    let calls: Vec<_> = (0..3).map(|_| Beside::begin(call(channel.clone(), "slow"))).collect();
    eventually("two calls are at work", || server.callers().len() == 3).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.callers().len(), 3, "the third waits at the client");
    server.desk.answers.0.add_permits(1);
    eventually("it follows when one is done", || server.callers().len() == 4).await;
    server.desk.answers.0.add_permits(2);
    for mut call in calls {
        call.end().await.expect("all are answered");
    }
}

#[tokio::test]
async fn headers_are_taken_up_to_the_limit_and_refused_above() {
    let ca = Ca::new("ours");
    let limits = ServerLimits { header_list_bytes_max: 4 << 10, ..ServerLimits::default() };
    let server = Server::start(&ca.server(), clock(), limits).await;
    let channel = server.channel(&client(&ca.leaf("good", Leaf::default()), 0));
    let with = |bytes: usize| {
        let mut request = tonic::Request::new(tonic_health::pb::HealthCheckRequest::default());
        request.metadata_mut().insert("x-fill", "x".repeat(bytes).parse().expect("ASCII"));
        let mut client = tonic_health::pb::health_client::HealthClient::new(channel.clone());
        async move { client.check(request).await }
    };
    with(3 << 10).await.expect("below");
    for kib in [4, 15] {
        let refused =
            with(kib << 10).await.expect_err("the rest of the headers makes it more than the limit");
        let fault = Fault::from_status(&refused).map(|fault| fault.reason);
        assert_eq!(fault, Some(Reason::LimitExceeded), "{refused:?}");
    }
    let refused = with(16 << 10).await.expect_err("it is not even read");
    assert_eq!(Fault::from_status(&refused), None, "{refused:?}");
    with(10).await.expect("the next call does not notice");
}

#[tokio::test]
async fn an_old_connection_is_left_for_a_new_one_and_no_call_that_began_is_lost() {
    let _metrics = todoke::telemetry::prometheus();
    let ca = Ca::new("ours");
    let limits = ServerLimits { age_max: Duration::from_millis(50), ..ServerLimits::default() };
    let server = Server::start(&ca.server(), clock(), limits).await;
    let channel = server.channel(&client(&ca.leaf("good", Leaf::default()), 0));
    let mut slow = Beside::begin(call(channel.clone(), "slow"));
    server.desk.begun.notified().await;
    let closed = || counted("todoke_connections_closed_total", "age");
    let before = closed();
    let mut answered = 1;
    while closed() < before + 3 {
        // A call that meets the end of the connection before it is sent fails at the client.
        answered += usize::from(call(channel.clone(), "").await.is_ok());
        assert_eq!(server.callers().len(), answered, "whatever reached the server was answered");
    }
    server.desk.answers.0.add_permits(1);
    slow.end().await.expect("what was in flight is answered");
}

#[tokio::test]
async fn a_call_that_outlives_its_connection_has_its_grace_and_is_then_cut() {
    let _metrics = todoke::telemetry::prometheus();
    let ca = Ca::new("ours");
    let (age_max, age_grace) = (Duration::from_millis(50), Duration::from_millis(300));
    let limits = ServerLimits { age_max, age_grace, ..ServerLimits::default() };
    let server = Server::start(&ca.server(), clock(), limits).await;
    let channel = server.channel(&client(&ca.leaf("good", Leaf::default()), 0));
    let before = counted("todoke_connections_closed_total", "cut");
    let begun = tokio::time::Instant::now();
    let cut = timeout(SOON, call(channel, "slow")).await.expect("long before the default of its grace");
    cut.expect_err("nobody answers it");
    assert!(begun.elapsed() >= age_grace, "not before its grace was over");
    eventually("it is counted", || counted("todoke_connections_closed_total", "cut") > before).await;
}
