//! Promise: a peer that knows HTTP/2 too well gains nothing by it: cancelled calls in a burst, or calls that
//! are none, end its own connection only, and one that no longer answers is noticed.

use std::time::Duration;

use todoke::net::{
    ServerLimits,
    channel::{ChannelOptions, connect},
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tokio_rustls::TlsConnector;

use super::harness::{Ca, Leaf, NAME, Server, call, client, clock};
use crate::frames::{ACK, DATA, GOAWAY, HEADERS, PING, RST_STREAM, Raw, WHOLE_CALL, frame};

/// RFC 9113, section 7.
const PROTOCOL_ERROR: u32 = 0x1;
const ENHANCE_YOUR_CALM: u32 = 0xb;

pub(super) async fn dial(server: &Server, ca: &Ca) -> Raw {
    dial_as(server, ca, "spiffe://todoke/municipality/131229").await
}

async fn dial_as(server: &Server, ca: &Ca, uri: &'static str) -> Raw {
    let tls = client(&ca.leaf("raw", Leaf { uris: vec![uri], ..Leaf::default() }), 0);
    let socket = TcpStream::connect(server.address).await.expect("it listens");
    let stream = TlsConnector::from(tls.config()).connect(tls.server_name(), socket).await;
    Raw::begin(stream.expect("a good client")).await
}

/// Calls that are cancelled as soon as they are made, all in one piece, and a question behind them.
fn burst(calls: u32) -> Vec<u8> {
    // POST, https, "/" and an authority, by the static table of HPACK.
    let headers = [&[0x83, 0x87, 0x84, 0x41, 15][..], NAME.as_bytes()].concat();
    assert_eq!(NAME.len(), 15);
    let mut bytes = Vec::new();
    for call in 0..calls {
        let stream = 2 * call + 1;
        bytes.extend(frame(HEADERS, WHOLE_CALL, stream, &headers));
        bytes.extend(frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()));
    }
    bytes.extend(frame(PING, 0, 0, b"are you?"));
    bytes
}

/// Calls that name no method, all in one piece, and a question behind them.
fn nonsense(calls: u32) -> Vec<u8> {
    let headers = [&[0x87, 0x84, 0x41, 15][..], NAME.as_bytes()].concat();
    let mut bytes: Vec<u8> =
        (0..calls).flat_map(|call| frame(HEADERS, WHOLE_CALL, 2 * call + 1, &headers)).collect();
    bytes.extend(frame(PING, 0, 0, b"are you?"));
    bytes
}

/// The beginnings of calls that are answered at once, whatever comes behind.
fn begun(calls: u32) -> Vec<u8> {
    let headers = [&[0x83, 0x87, 0x84, 0x41, 15][..], NAME.as_bytes()].concat();
    (0..calls).flat_map(|call| frame(HEADERS, 0x4, 2 * call + 1, &headers)).collect()
}

/// What a GOAWAY says to be its reason.
fn reason(goaway: &[u8]) -> u32 {
    goaway[4..8].try_into().map(u32::from_be_bytes).expect("four bytes")
}

#[tokio::test]
async fn calls_cancelled_in_a_burst_are_borne_up_to_the_limit_and_then_end_their_own_connection() {
    let ca = Ca::new("ours");
    let limits = ServerLimits { pending_resets_max: 30, ..ServerLimits::default() };
    let server = Server::start(&ca.server(), clock(), limits).await;
    let other = server.channel(&client(&ca.leaf("other", Leaf::default()), 0));
    call(other.clone(), "").await.expect("it serves");
    let mut raw = dial(&server, &ca).await;
    raw.send(&burst(30)).await;
    assert_eq!(raw.next(PING, ACK).await.as_deref(), Some(&b"are you?"[..]), "at the limit");
    let mut raw = dial(&server, &ca).await;
    raw.send(&burst(31)).await;
    let goaway = raw.next(GOAWAY, 0).await.expect("one above");
    assert_eq!(reason(&goaway), ENHANCE_YOUR_CALM);
    call(other, "").await.expect("another's connection does not notice");
}

#[tokio::test]
async fn calls_that_are_none_are_refused_one_by_one_up_to_the_limit_and_then_end_their_own_connection() {
    let ca = Ca::new("ours");
    let limits = ServerLimits { error_resets_max: 30, ..ServerLimits::default() };
    let server = Server::start(&ca.server(), clock(), limits).await;
    let other = server.channel(&client(&ca.leaf("other", Leaf::default()), 0));
    call(other.clone(), "").await.expect("it serves");
    let mut raw = dial(&server, &ca).await;
    raw.send(&nonsense(30)).await;
    let (mut resets, mut answered) = (0, false);
    while resets < 30 || !answered {
        match raw.next_of(&[(RST_STREAM, 0), (PING, ACK)]).await.expect("at the limit it lives on") {
            (RST_STREAM, code) => {
                assert_eq!(code, PROTOCOL_ERROR.to_be_bytes());
                resets += 1;
            }
            (_, echo) => answered = echo == b"are you?",
        }
    }
    let mut raw = dial(&server, &ca).await;
    raw.send(&nonsense(31)).await;
    let goaway = raw.next(GOAWAY, 0).await.expect("one above");
    assert_eq!(reason(&goaway), ENHANCE_YOUR_CALM);
    call(other, "").await.expect("another's connection does not notice");
    assert_eq!(server.callers().len(), 2, "none of them was a call");
}

#[tokio::test]
async fn a_peer_that_no_longer_answers_is_let_go() {
    let ca = Ca::new("ours");
    let (every, answer) = (Duration::from_millis(50), Duration::from_millis(50));
    let limits =
        ServerLimits { keep_alive_every: every, keep_alive_answer: answer, ..ServerLimits::default() };
    let server = Server::start(&ca.server(), clock(), limits).await;
    let mut raw = dial(&server, &ca).await;
    raw.next(PING, 0).await.expect("it asks");
    assert_eq!(raw.next(PING, ACK).await, None, "no answer came, so it closed the connection");
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_is_given_up_in_time() {
    let ca = Ca::new("ours");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let tls = client(&ca.leaf("client", Leaf::default()), 0);
    let options = ChannelOptions { connect: Duration::from_millis(100), ..ChannelOptions::default() };
    let channel = connect(&address, &tls, NAME, options).expect("a host name");
    let begun = Instant::now();
    call(channel, "").await.expect_err("nobody answers");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let refused = connect(&address, &tls, "not a host", options).expect_err("no authority");
    assert!(refused.to_string().contains("todoke.internal"), "{refused}");
}

/// Whether a peer's connection bears what still comes for a hundred calls that were answered meanwhile; a
/// server remembers only some of them, and takes the rest for a breach of the protocol.
async fn bears_leftovers(server: &Server, ca: &Ca, uri: &'static str) -> bool {
    let mut raw = dial_as(server, ca, uri).await;
    raw.send(&begun(100)).await;
    for _ in 0..100 {
        raw.next(RST_STREAM, 0).await.expect("it is answered, and no more of it is wanted");
    }
    let mut late: Vec<u8> = (0..100).flat_map(|call| frame(DATA, 0, 2 * call + 1, b"late")).collect();
    late.extend(frame(PING, 0, 0, b"are you?"));
    raw.send(&late).await;
    match raw.next_of(&[(PING, ACK), (GOAWAY, 0)]).await.expect("one of the two") {
        (GOAWAY, goaway) => {
            assert_eq!(reason(&goaway), ENHANCE_YOUR_CALM);
            false
        }
        (_, echo) => echo == b"are you?",
    }
}

#[tokio::test]
async fn what_still_comes_for_calls_that_are_over_ends_the_connection_of_no_relay() {
    let ca = Ca::new("ours");
    let limits = ServerLimits { error_resets_max: 30, ..ServerLimits::default() };
    let server = Server::start(&ca.server(), clock(), limits).await;
    assert!(!bears_leftovers(&server, &ca, "spiffe://todoke/municipality/131229").await, "only itself");
    assert!(bears_leftovers(&server, &ca, "spiffe://todoke/relay/relay-1").await, "many share it");
}
