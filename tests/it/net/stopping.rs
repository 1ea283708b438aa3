//! Promise: a server that stops answers what it began, takes nothing new, and does not wait for ever.

use std::time::Duration;

use todoke::net::ServerLimits;
use tokio::{net::TcpStream, time::timeout};

use super::{
    frames::dial,
    harness::{Beside, Ca, Leaf, Server, call, client, clock, counted, eventually},
};

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_call_in_flight_is_answered_and_new_ones_are_refused() {
    let ca = Ca::new("ours");
    let mut server = Server::start(&ca.server(), clock(), ServerLimits::default()).await;
    let tls = client(&ca.leaf("good", Leaf::default()), 0);
    let channel = server.channel(&tls);
    let mut slow = Beside::begin(call(channel, "slow"));
    server.desk.begun.notified().await;
    server.stop.cancel();
    let gone = timeout(SOON, async {
        while TcpStream::connect(server.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    gone.await.expect("the listener is closed while the call is at work");
    server.call(&tls).await.expect_err("nothing new");
    assert!(server.serving.works(), "it waits for the call");
    server.desk.answers.0.add_permits(1);
    slow.end().await.expect("the call is answered");
    server.serving.end().await.expect("nothing was cut off");
}

const CHECK: &str = "/grpc.health.v1.Health/Check";

async fn a_call_in_flight_is_answered_beside_a_late_one(limits: ServerLimits, stops: bool) {
    let ca = Ca::new("ours");
    let server = Server::start(&ca.server(), clock(), limits).await;
    let mut raw = dial(&server, &ca).await;
    raw.call(CHECK, b"\x0a\x04slow").await;
    server.desk.begun.notified().await;
    if stops {
        server.stop.cancel();
    }
    assert_eq!(raw.go_with_a_late_call(CHECK).await, (1, 0), "one call was taken, and nothing is wrong");
    server.desk.answers.0.add_permits(1);
    assert_eq!(raw.answer().await.as_deref(), Some(&b"\x08\x01"[..]));
    assert_eq!(server.callers().len(), 1, "the late one is not begun");
}

#[tokio::test]
async fn a_call_in_flight_is_answered_though_a_late_one_came_with_the_answer_to_the_order_to_go() {
    a_call_in_flight_is_answered_beside_a_late_one(ServerLimits::default(), true).await;
}

#[tokio::test]
async fn a_call_in_flight_is_answered_though_a_late_one_came_when_the_connection_was_old() {
    let age_max = Duration::from_millis(100);
    let limits = ServerLimits { age_max, ..ServerLimits::default() };
    a_call_in_flight_is_answered_beside_a_late_one(limits, false).await;
}

#[tokio::test]
async fn idle_connections_do_not_hold_it_up() {
    let ca = Ca::new("ours");
    let mut server = Server::start(&ca.server(), clock(), ServerLimits::default()).await;
    let channel = server.channel(&client(&ca.leaf("good", Leaf::default()), 0));
    call(channel.clone(), "").await.expect("it serves");
    let _half = TcpStream::connect(server.address).await.expect("a handshake that does not go on");
    server.stop.cancel();
    let ended = timeout(Duration::from_secs(4), server.serving.end()).await;
    ended.expect("long before the drain's end").expect("nothing was cut off");
}

#[tokio::test]
async fn a_call_that_does_not_end_is_cut_off_when_its_time_is_over() {
    let _metrics = todoke::telemetry::prometheus();
    let ca = Ca::new("ours");
    let limits = ServerLimits { drain: Duration::from_millis(100), ..ServerLimits::default() };
    let mut server = Server::start(&ca.server(), clock(), limits).await;
    let mut slow = Beside::begin(call(server.channel(&client(&ca.leaf("good", Leaf::default()), 0)), "slow"));
    server.desk.begun.notified().await;
    let cut = || counted("todoke_connections_closed_total", "cut");
    let before = cut();
    server.stop.cancel();
    server.serving.end().await.expect("each connection ended itself");
    slow.end().await.expect_err("it was cut off");
    eventually("it is counted", || cut() > before).await;
}
