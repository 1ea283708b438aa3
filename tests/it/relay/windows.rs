//! Promise: an issuer may send so many bytes of an answer ahead of its reader and not one more, and each
//! answer has that much for itself.

use std::{future::poll_fn, net::SocketAddr, time::Duration};

use bytes::Bytes;
use h2::{RecvStream, SendStream, client, server::SendResponse};
use http::{HeaderMap, HeaderValue, Request as HttpRequest, Response};
use todoke::net::tls::ServerTls;
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};
use tokio_rustls::TlsAcceptor;

use super::{
    harness::{EDOGAWA, KATSUSHIKA, Pki, Relay, within},
    raw::{self, Raw},
};

/// More than HTTP/2 gives when nobody says anything.
const WINDOW: usize = 100_000;
/// What a caller lets come before it reads.
const PEEK: u32 = 1_024;

type Asked = (HttpRequest<RecvStream>, SendResponse<Bytes>);

/// An issuer below gRPC; what it answers is for the test to say.
struct Issuer {
    address: SocketAddr,
    asked: mpsc::UnboundedReceiver<Asked>,
    _serving: JoinSet<()>,
}

impl Issuer {
    async fn start(tls: ServerTls) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (calls, asked) = mpsc::unbounded_channel();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let (tcp, _) = listener.accept().await.expect("it accepts");
            let io = TlsAcceptor::from(tls.config()).accept(tcp).await.expect("TLS");
            let mut connection = h2::server::handshake(io).await.expect("HTTP/2");
            while let Some(Ok(call)) = connection.accept().await {
                let _ = calls.send(call); // the test may be over
            }
        });
        Self { address, asked, _serving: serving }
    }

    /// Begins an answer to the next call.
    async fn begin(&mut self) -> (RecvStream, SendStream<Bytes>) {
        let (request, mut respond) = within("a call", self.asked.recv()).await.expect("it serves");
        let head = Response::builder().header("content-type", "application/grpc").body(()).expect("a head");
        (request.into_body(), respond.send_response(head, false).expect("it is sent"))
    }
}

/// Waits until the relay lets so many bytes come.
async fn room(answer: &mut SendStream<Bytes>, bytes: usize) {
    let grown = async {
        while answer.capacity() < bytes {
            poll_fn(|cx| answer.poll_capacity(cx)).await.expect("it goes on").expect("it goes on");
        }
    };
    within("there is room", grown).await;
}

fn end(mut answer: SendStream<Bytes>) {
    let mut status = HeaderMap::new();
    status.insert("grpc-status", HeaderValue::from_static("0"));
    answer.send_trailers(status).expect("it is sent");
}

/// Has a call answered with what the relay takes of one byte more than its limit, which is all but that.
async fn fill(caller: &mut Raw, issuer: &mut Issuer) -> (RecvStream, (RecvStream, SendStream<Bytes>)) {
    let response = caller.call("Any", b"x").await;
    let (request, mut answer) = issuer.begin().await;
    answer.reserve_capacity(WINDOW + 1);
    room(&mut answer, WINDOW).await;
    assert_eq!(answer.capacity(), WINDOW, "at the limit, and not one above");
    answer.send_data(Bytes::from(vec![7; WINDOW]), false).expect("it is sent");
    answer.reserve_capacity(1);
    (within("it begins", response).await.expect("it begins").into_body(), (request, answer))
}

/// Reads so many bytes of an answer.
async fn read(body: &mut RecvStream, bytes: usize) {
    let mut left = bytes;
    while left > 0 {
        let data = within("more of it", body.data()).await.expect("no end").expect("it goes on");
        body.flow_control().release_capacity(data.len()).expect("it was received");
        left = left.checked_sub(data.len()).expect("no more than was sent");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_read_holds_its_window_and_the_next_byte_waits() {
    let pki = Pki::new();
    let mut issuer = Issuer::start(pki.server("issuer-1")).await;
    let behind = [issuer.address];
    let relay = Relay::start(&pki, &behind, |options| {
        (options.shards, options.upstream_calls_max) = (1, 3);
        options.answer_window = u32::try_from(WINDOW).expect("it fits");
        options.reader_grace = Duration::from_secs(600);
    });
    let relay = relay.await;
    relay.ready().await;
    let mut builder = client::Builder::new();
    builder.initial_window_size(PEEK);
    let mut caller = raw::shake(&pki, KATSUSHIKA, relay.address(), &builder).await;
    let (mut first, (_request, mut answer)) = fill(&mut caller, &mut issuer).await;
    let second = fill(&mut caller, &mut issuer).await; // it has its own, though the first one's is full
    let mut neighbour = raw::dial_to(&pki, EDOGAWA, relay.address()).await;
    for _ in 0..20 {
        // By the only connection to the issuer: whatever the relay had to say came before this ends.
        let response = neighbour.call("Any", b"x").await;
        let (_request, answer) = issuer.begin().await;
        end(answer);
        assert_eq!(within("it is answered", raw::end(response)).await.code, Some(0));
    }
    assert_eq!(answer.capacity(), 0, "one above, and nobody has read");
    read(&mut first, WINDOW).await;
    room(&mut answer, 1).await;
    answer.send_data(Bytes::from_static(b"8"), false).expect("it is sent");
    end(answer);
    let last = within("the last byte", first.data()).await.expect("no end").expect("it goes on");
    assert_eq!(last, Bytes::from_static(b"8"));
    drop(second);
}
