//! Promise: the ops port says the truth about the process, to anybody, within its limits.

use std::{net::SocketAddr, sync::Mutex};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::telemetry;

const LIMIT: Duration = Duration::from_secs(20);

struct Port {
    address: SocketAddr,
    reasons: Arc<Mutex<Vec<String>>>,
    stop: CancellationToken,
    serving: JoinHandle<Result<(), Error>>,
}

#[expect(clippy::disallowed_methods, reason = "the test waits for the end of its own task")]
async fn port(change: impl FnOnce(&mut Limits)) -> Port {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a port");
    let address = listener.local_addr().expect("bound");
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&reasons);
    let ready = Arc::new(move || told.lock().expect("no test panics with it").clone());
    let state = State { metrics: telemetry::prometheus(), ready };
    let stop = CancellationToken::new();
    let mut limits = Limits::default();
    change(&mut limits);
    let serving = tokio::spawn(serve(listener, state, limits, stop.clone()));
    Port { address, reasons, stop, serving }
}

impl Port {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("it listens")
    }

    /// Returns the whole answer to a request, head and body.
    async fn ask(&self, path: &str, headers: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
        let mut socket = self.connect().await;
        socket.write_all(request.as_bytes()).await.expect("it reads");
        rest(&mut socket).await
    }
}

/// Reads until the other end closes, which must happen.
async fn rest(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset after the answer is an end as well.
    let _ = timeout(LIMIT, socket.read_to_end(&mut bytes)).await.expect("it ends");
    String::from_utf8(bytes).expect("text")
}

/// Reads one answer of a connection that stays open.
async fn one(socket: &mut TcpStream, ends: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(ends) {
        let mut bytes = [0; 4096];
        let n = timeout(LIMIT, socket.read(&mut bytes)).await.expect("it answers").expect("readable");
        assert!(n > 0, "closed after {text}");
        text.push_str(std::str::from_utf8(&bytes[..n]).expect("text"));
    }
    text
}

#[tokio::test]
async fn metrics_are_described_text() {
    let port = port(|_| {}).await;
    let answer = port.ask("/metrics", "").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{answer}");
    assert!(
        answer.contains("# HELP todoke_build_info ") && answer.contains("cache-control: no-store"),
        "{answer}"
    );
    assert!(port.ask("/other", "").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn readiness_has_its_reasons_as_text_or_json() {
    let port = port(|_| {}).await;
    let answer = port.ask("/readyz", "").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("\r\n\r\nready\n"), "{answer}");
    port.reasons.lock().expect("free").push("the sweeper \"rests\"".to_owned());
    let answer = port.ask("/readyz", "accept: */*\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nnot ready\nthe sweeper \"rests\"\n"), "{answer}");
    let answer = port.ask("/readyz", "accept: text/html, Application/JSON;q=0.9\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    let body = answer.split("\r\n\r\n").nth(1).expect("a body");
    let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(body, serde_json::json!({ "ready": false, "reasons": ["the sweeper \"rests\""] }));
    assert!(port.ask("/livez", "").await.starts_with("HTTP/1.1 200 OK"), "it lives all the same");
}

#[tokio::test]
async fn more_connections_than_the_limit_wait_for_a_place() {
    let port = port(|limits| limits.connections_max = 2).await;
    let mut first = port.connect().await;
    let request = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
    first.write_all(request).await.expect("it reads");
    one(&mut first, "alive\n").await;
    let mut second = port.connect().await;
    second.write_all(request).await.expect("it reads");
    one(&mut second, "alive\n").await;
    let mut third = port.connect().await;
    third.write_all(request).await.expect("the system takes it");
    let early = timeout(Duration::from_millis(200), third.readable()).await;
    assert!(early.is_err(), "two have both places");
    drop(first);
    one(&mut third, "alive\n").await;
}

#[tokio::test]
async fn who_sends_no_request_is_cut_off() {
    let port = port(|limits| limits.head_timeout = Duration::from_millis(50)).await;
    let mut silent = port.connect().await;
    silent.write_all(b"GET /metrics HTTP/1.1\r\n").await.expect("it reads");
    let answer = rest(&mut silent).await;
    assert!(!answer.contains("200 OK"), "{answer}");
}

#[tokio::test]
async fn a_connection_has_an_end_even_if_it_is_busy() {
    let port = port(|limits| limits.connection_age_max = Duration::from_millis(50)).await;
    let mut lasting = port.connect().await;
    let begun = std::time::Instant::now();
    let busy = async {
        // One request behind the other; the end comes between two of them, or as a reset into one.
        while lasting.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.is_ok() {
            let mut text = String::new();
            while !text.ends_with("alive\n") {
                let mut bytes = [0; 4096];
                let Ok(n @ 1..) = lasting.read(&mut bytes).await else { return };
                text.push_str(std::str::from_utf8(&bytes[..n]).expect("text"));
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, busy).await.expect("it ends");
    assert!(begun.elapsed() >= Duration::from_millis(50), "not before its age");
}

#[tokio::test]
async fn a_head_over_the_limit_is_refused() {
    let port = port(|_| {}).await;
    let padding = |bytes| format!("x-padding: {}\r\n", "y".repeat(bytes));
    assert!(port.ask("/livez", &padding(15 * 1024)).await.starts_with("HTTP/1.1 200"));
    let refused = port.ask("/livez", &padding(17 * 1024)).await;
    assert!(refused.starts_with("HTTP/1.1 431") || refused.is_empty(), "{refused}");
}

#[tokio::test]
async fn a_body_is_not_read() {
    let port = port(|_| {}).await;
    let mut socket = port.connect().await;
    let head = format!("POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", 1u64 << 40);
    socket.write_all(head.as_bytes()).await.expect("it reads");
    let answer = rest(&mut socket).await;
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
}

#[tokio::test]
async fn a_stop_ends_idle_connections_and_the_server() {
    let port = port(|limits| limits.drain = LIMIT * 100).await;
    let mut idle = port.connect().await;
    idle.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("it reads");
    one(&mut idle, "ready\n").await;
    port.stop.cancel();
    assert_eq!(rest(&mut idle).await, "");
    timeout(LIMIT, port.serving).await.expect("it ends").expect("no panic").expect("no error");
    assert!(TcpStream::connect(port.address).await.is_err(), "nobody listens");
}
