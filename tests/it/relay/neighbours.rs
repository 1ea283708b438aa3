//! Promise: what one caller does to its own calls is no other caller's trouble, though all share
//! connections.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use h2::{Reason as Code, client};
use todoke::wire::fault::Fault;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::watch,
};
use tonic::Request;

use super::{
    harness::{EDOGAWA, KATSUSHIKA, Setup, connect, eventually, many, within},
    raw::{self, frame, head},
};

/// Calls that the well-behaved neighbour makes meanwhile.
const CALLS: usize = 300;

async fn neighbour_is_well(setup: &Setup) {
    let neighbour = setup.caller(EDOGAWA);
    let ends = many(CALLS, 10, |n| {
        let neighbour = &neighbour;
        async move { neighbour.ask("Echo", &n.to_string()).await.is_ok_and(|answer| answer == n.to_string()) }
    });
    let failed = ends.await.into_iter().filter(|well| !well).count();
    assert_eq!(failed, 0, "of {CALLS} calls of the neighbour");
}

fn connections(setup: &Setup) -> usize {
    setup.backend.seen.connections.load(std::sync::atomic::Ordering::SeqCst)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_reads_nothing_stops_only_itself() {
    let setup = Setup::start(|options| {
        options.shards = 1;
        options.reader_grace = Duration::from_millis(100);
        options.caller_unread_max = 3;
    })
    .await;
    // A hundred answers of a MiB each, none of which is read: far more than the connection to the issuer
    // holds.
    let mut builder = client::Builder::new();
    builder.initial_window_size(65_535).initial_connection_window_size(65_535);
    let mut raw = raw::dial_with(&setup, KATSUSHIKA, &builder).await;
    let mut unread = Vec::new();
    for _ in 0..100 {
        unread.push(raw.call("Flood", b"1024").await);
    }
    neighbour_is_well(&setup).await;
    // All but as many as the limit says are broken off by the relay, and the issuer is free of them.
    eventually("the issuer keeps three", || async { (setup.backend.open() == 3).then_some(()) }).await;
    neighbour_is_well(&setup).await;
    drop((unread, raw));
    eventually("the issuer keeps none", || async { (setup.backend.open() == 0).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_never_read_is_given_up_in_the_end() {
    let setup = Setup::start(|options| {
        options.reader_grace = Duration::from_millis(50);
        options.reader_patience = Duration::from_millis(50);
    })
    .await;
    let mut raw = raw::dial(&setup, KATSUSHIKA).await;
    let response = raw.call("Flood", b"4096").await;
    let mut body = within("it begins", response).await.expect("it begins").into_body();
    let ended = async {
        loop {
            match body.data().await {
                Some(Ok(_)) => {} // taken, and never given back
                Some(Err(error)) => return error.reason(),
                None => panic!("it came to its end"),
            }
        }
    };
    assert_eq!(within("it is broken off", ended).await, Some(Code::ENHANCE_YOUR_CALM));
}

#[tokio::test(flavor = "multi_thread")]
async fn small_answers_that_are_never_read_are_given_up_too() {
    let setup = Setup::start(|options| {
        options.reader_grace = Duration::from_millis(50);
        options.reader_patience = Duration::from_millis(50);
    })
    .await;
    // Less than a relay lets pass before it waits, and a reader that takes not one byte of it.
    let mut raw = raw::dial_with(&setup, KATSUSHIKA, client::Builder::new().initial_window_size(0)).await;
    let mut asked = Vec::new();
    for _ in 0..50 {
        asked.push(raw.call("Echo", &[b'x'; 1024]).await);
    }
    for response in asked {
        let mut body = within("it begins", response).await.expect("it begins").into_body();
        let error = within("it is broken off", body.data()).await.expect("no end").expect_err("no byte");
        assert_eq!(error.reason(), Some(Code::ENHANCE_YOUR_CALM));
    }
    neighbour_is_well(&setup).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_whose_client_takes_nothing_from_the_socket_is_cut() {
    let setup = Setup::start(|options| {
        options.reader_grace = Duration::from_secs(600); // nobody tires of the single answers
        options.keep_alive_every = Duration::from_secs(600); // as of one who sends something all the time
        options.reader_patience = Duration::from_millis(200);
    })
    .await;
    let (close, closed) = watch::channel(false);
    let io = connect(&setup.pki.client("131229"), setup.relay.address()).await.expect("it connects");
    let mut builder = client::Builder::new();
    builder.initial_window_size(1 << 30).initial_connection_window_size(1 << 30);
    let (send, connection) = builder.handshake(Deaf { io, closed }).await.expect("it speaks HTTP/2");
    let mut driver = tokio::task::JoinSet::new();
    driver.spawn(connection);
    let mut raw = raw::Raw { send, driver };
    let first = raw.call("Flood", b"64").await;
    within("it is answered while it reads", first).await.expect("an answer");
    close.send(true).expect("it is open");
    let mut unread = Vec::new();
    for _ in 0..64 {
        unread.push(raw.call("Flood", b"4096").await);
    }
    let all_begun = || async { (setup.backend.open() >= 60).then_some(()) };
    eventually("far more is asked for than sockets hold", all_begun).await;
    eventually("the issuer is free of it", || async { (setup.backend.open() == 0).then_some(()) }).await;
    neighbour_is_well(&setup).await;
}

/// A socket that writes on and reads no more.
struct Deaf<T> {
    io: T,
    closed: watch::Receiver<bool>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Deaf<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if *self.closed.borrow() { Poll::Pending } else { Pin::new(&mut self.io).poll_read(cx, out) }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Deaf<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_resets_rapidly_stops_only_itself() {
    let setup = Setup::start(|options| options.shards = 1).await;
    let before = connections(&setup);
    let resetting = async {
        let mut raw = raw::dial(&setup, KATSUSHIKA).await;
        for _ in 0..3_000 {
            let Ok(mut send) = raw.send.clone().ready().await else {
                raw = raw::dial(&setup, KATSUSHIKA).await; // it may lose its own connection
                continue;
            };
            let Ok((response, mut body)) = send.send_request(head("/test.Backend/Hang"), false) else {
                continue;
            };
            let _ = body.send_data(frame(b"x"), false);
            tokio::task::yield_now().await;
            body.send_reset(Code::CANCEL);
            drop(response);
        }
        raw
    };
    let (raw, ()) = tokio::join!(within("all are sent", resetting), neighbour_is_well(&setup));
    eventually("nothing is left", || async { (setup.backend.open() == 0).then_some(()) }).await;
    assert_eq!(connections(&setup), before, "the shared connection held");
    drop(raw);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_breaks_off_too_much_is_refused_and_may_come_back() {
    let setup =
        Setup::start(|options| (options.caller_reset_rate, options.caller_reset_burst) = (1, 10)).await;
    let caller = setup.caller(KATSUSHIKA);
    for n in 0..20 {
        let request = Request::new(stream::iter([Bytes::from_static(b"x")]));
        match caller.stream("Drip", request).await {
            Ok(answers) => {
                let mut answers = answers.into_inner();
                answers.message().await.expect("one drip");
            }
            Err(status) => {
                assert!(n >= 10, "call {n} is within the limit: {status:?}");
                let fault = Fault::from_status(&status).expect("ours");
                assert_eq!(fault.get("limit"), Some("caller_resets"));
                neighbour_is_well(&setup).await;
                eventually("it may come back", || async { caller.ask("Echo", "x").await.ok() }).await;
                return;
            }
        }
    }
    panic!("never refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_nobody_takes_hold_no_more_than_their_windows() {
    let setup = Setup::start(|options| {
        options.shards = 1;
        options.stream_window = 65_535;
        options.connection_window = 1 << 20;
    })
    .await;
    let caller = setup.caller(KATSUSHIKA);
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let uploading = many(4, 4, |_| {
        let (caller, sent) = (&caller, std::sync::Arc::clone(&sent));
        let pieces = (0..64).map(move |_| {
            sent.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            Bytes::from(vec![1; 64 * 1024])
        });
        async move {
            let mut answers = caller
                .stream("Sip", Request::new(stream::iter(pieces)))
                .await
                .expect("it begins")
                .into_inner();
            answers.message().await.expect("it is answered").expect("one answer")
        }
    });
    let watching = async {
        eventually("the uploads began", || async { (setup.backend.open() == 4).then_some(()) }).await;
        neighbour_is_well(&setup).await;
        // 16 MiB are offered; what the windows of backend, relay and client hold is a part of it.
        let offered = sent.load(std::sync::atomic::Ordering::SeqCst) * 64 * 1024;
        assert!(offered < 12 << 20, "{offered} bytes were taken though nobody reads");
        setup.backend.seen.go.send_replace(true);
    };
    let (totals, ()) = tokio::join!(within("the uploads end", uploading), watching);
    assert!(totals.iter().all(|total| total == &Bytes::from((64 * 64 * 1024).to_string())), "{totals:?}");
}
