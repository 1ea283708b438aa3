//! A client that speaks bare HTTP/2, for what no well-behaved one does.

use std::net::SocketAddr;

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::{RecvStream, client};
use http::{HeaderMap, Request as HttpRequest, Response};
use todoke::wire::fault::Fault;
use tokio::task::JoinSet;
use tonic::Status;

use super::harness::{KATSUSHIKA, Pki, Setup, connect, within};

/// How a call ended.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) code: Option<i32>,
    pub(super) reason: Option<String>,
}

/// A connection; it is torn when this is dropped.
pub(super) struct Raw {
    pub(super) send: client::SendRequest<Bytes>,
    /// Ends when the connection does.
    pub(super) driver: JoinSet<Result<(), h2::Error>>,
}

/// Connects as somebody.
pub(super) async fn dial(setup: &Setup, identity: &str) -> Raw {
    dial_with(setup, identity, &client::Builder::new()).await
}

pub(super) async fn dial_to(pki: &Pki, identity: &str, address: SocketAddr) -> Raw {
    shake(pki, identity, address, &client::Builder::new()).await
}

pub(super) async fn dial_with(setup: &Setup, identity: &str, builder: &client::Builder) -> Raw {
    shake(&setup.pki, identity, setup.relay.address(), builder).await
}

pub(super) async fn shake(pki: &Pki, identity: &str, address: SocketAddr, builder: &client::Builder) -> Raw {
    let name = identity.split('/').nth(1).expect("role/name");
    let io = connect(&pki.client(name), address).await.expect("it connects");
    let (send, connection) = builder.handshake(io).await.expect("it speaks HTTP/2");
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    Raw { send, driver }
}

impl Raw {
    /// Begins a call of one message.
    pub(super) async fn call(&mut self, method: &str, message: &[u8]) -> client::ResponseFuture {
        let head = head(&format!("/test.Backend/{method}"));
        let mut send = self.send.clone().ready().await.expect("it is ready");
        let (response, mut body) = send.send_request(head, false).expect("it is sent");
        body.send_data(frame(message), true).expect("it is sent");
        response
    }

    /// Makes a call of one message; `None` if the connection was told to go before it was sent.
    ///
    /// What was sent and what was not is known by this client to the stream: hyper's may call a request
    /// unsent whose head is on its way, where the GOAWAY comes while it is handed over.
    pub(super) async fn ask_unless_gone(&self, method: &str, message: &[u8]) -> Option<Answer> {
        let mut send = self.send.clone().ready().await.ok()?;
        let (response, mut body) = send.send_request(head(&format!("/test.Backend/{method}")), false).ok()?;
        // What is wrong with the stream is told with the answer.
        let _ = body.send_data(frame(message), true);
        match response.await {
            Ok(response) => Some(finish(response).await),
            Err(error) if error.is_go_away() && error.is_remote() => {
                assert_eq!(error.reason(), Some(h2::Reason::NO_ERROR), "{error}");
                None
            }
            Err(error) => panic!("no answer, and it was sent: {error}"),
        }
    }

    /// Asks the relay itself; everything sent before was looked at when this returns.
    pub(super) async fn check_health(&mut self) {
        let mut send = self.send.clone().ready().await.expect("it is ready");
        let head = head("/grpc.health.v1.Health/Check");
        let (response, mut body) = send.send_request(head, false).expect("it is sent");
        body.send_data(frame(b""), true).expect("it is sent");
        assert_eq!(within("health", end(response)).await.code, Some(0));
    }
}

/// The head of a gRPC call.
pub(super) fn head(path: &str) -> HttpRequest<()> {
    HttpRequest::post(format!("https://todoke.internal{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .expect("a request")
}

/// A message in its frame.
pub(super) fn frame(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).expect("small"));
    frame.put(message);
    frame.freeze()
}

/// Calls a method with one message and returns how it ended.
pub(super) async fn ask(setup: &Setup, method: &str, request: tonic::Request<String>) -> Answer {
    let raw = dial(setup, KATSUSHIKA).await;
    let mut head = head(&format!("/test.Backend/{method}"));
    let (metadata, _, message) = request.into_parts();
    head.headers_mut().extend(metadata.into_headers());
    let mut send = raw.send.clone().ready().await.expect("it is ready");
    let (response, mut body) = send.send_request(head, false).expect("it is sent");
    body.send_data(frame(message.as_bytes()), true).expect("it is sent");
    within("an answer", end(response)).await
}

/// Reads a call to its end.
pub(super) async fn end(response: client::ResponseFuture) -> Answer {
    match response.await {
        Ok(response) => finish(response).await,
        Err(error) => panic!("no answer: {error}"),
    }
}

async fn finish(response: Response<RecvStream>) -> Answer {
    let (head, mut body) = response.into_parts();
    let mut last: HeaderMap = head.headers;
    while let Some(data) = body.data().await {
        let data = data.expect("it goes on");
        body.flow_control().release_capacity(data.len()).expect("it was received");
    }
    if let Some(trailers) = body.trailers().await.expect("it ends") {
        last = trailers;
    }
    let status = Status::from_header_map(&last);
    let fault = status.as_ref().and_then(Fault::from_status);
    Answer {
        code: status.map(|status| status.code() as i32),
        reason: fault.as_ref().map(|fault| fault.reason.as_str().to_owned()),
    }
}
