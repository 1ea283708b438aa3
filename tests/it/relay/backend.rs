//! An issuer that does what its method names say, so that a test can see what a relay makes of it.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::{Request as HttpRequest, Response as HttpResponse};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use todoke::{
    net::tls::ServerTls,
    wire::fault::{Fault, Reason},
};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_rustls::TlsAcceptor;
use tonic::{Request, Response, Status, Streaming, body::Body, server::StreamingService};
use tower::Service;

use super::codec::Plain;

pub(super) type Answers = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

/// What the backend saw, and what a test tells it.
#[derive(Default)]
pub(super) struct Seen {
    /// Calls whose handler or answer lives.
    pub(super) open: AtomicUsize,
    /// Calls that arrived.
    pub(super) calls: AtomicUsize,
    /// Connections that were made.
    pub(super) connections: AtomicUsize,
    /// `Wait`, and methods of ours, answer once this is true.
    pub(super) go: watch::Sender<bool>,
    /// Whether each call fails at once.
    pub(super) fails: AtomicBool,
}

/// Counts a call as open for as long as it is held.
struct Open(Arc<Seen>);

impl Open {
    fn new(seen: &Arc<Seen>) -> Self {
        seen.calls.fetch_add(1, SeqCst);
        seen.open.fetch_add(1, SeqCst);
        Self(Arc::clone(seen))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, SeqCst);
    }
}

/// A running backend; dropped, it is gone as if killed.
pub(super) struct Backend {
    pub(super) address: SocketAddr,
    pub(super) seen: Arc<Seen>,
    _serving: JoinSet<()>,
}

impl Backend {
    pub(super) async fn start(tls: ServerTls) -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("an address"), tls).await
    }

    /// Starts at an address that another one may just have left.
    pub(super) async fn start_at(address: SocketAddr, tls: ServerTls) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("it can be set");
        socket.bind(address).expect("the address is free");
        let listener = socket.listen(1024).expect("it listens");
        let address = listener.local_addr().expect("it is bound");
        let seen = Arc::new(Seen::default());
        let mut serving = JoinSet::new();
        serving.spawn(accept(listener, tls, Arc::clone(&seen)));
        Self { address, seen, _serving: serving }
    }

    pub(super) fn open(&self) -> usize {
        self.seen.open.load(SeqCst)
    }

    pub(super) fn calls(&self) -> usize {
        self.seen.calls.load(SeqCst)
    }
}

async fn accept(listener: TcpListener, tls: ServerTls, seen: Arc<Seen>) {
    // Dropped with this task, and all connections with it.
    let mut connections = JoinSet::new();
    loop {
        let (tcp, _) = listener.accept().await.expect("it accepts");
        tcp.set_nodelay(true).expect("it can be set");
        let acceptor = TlsAcceptor::from(tls.config());
        let handler = Handler(Arc::clone(&seen));
        seen.connections.fetch_add(1, SeqCst);
        connections.spawn(async move {
            let Ok(io) = acceptor.accept(tcp).await else { return };
            let mut builder = Builder::new(TokioExecutor::new()).http2_only();
            // As an issuer has it: windows of all streams together are the connection's.
            builder.http2().max_concurrent_streams(512);
            builder.http2().initial_stream_window_size(128 << 10).initial_connection_window_size(64 << 20);
            let _ = builder.serve_connection(TokioIo::new(io), TowerToHyperService::new(handler)).await;
        });
    }
}

#[derive(Clone)]
struct Handler(Arc<Seen>);

impl<B> Service<HttpRequest<B>> for Handler
where
    B: tonic::codegen::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = HttpResponse<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest<B>) -> Self::Future {
        let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        let seen = Arc::clone(&self.0);
        Box::pin(async move {
            Ok(tonic::server::Grpc::new(Plain)
                .streaming(Method { method, seen }, request.map(Body::new))
                .await)
        })
    }
}

struct Method {
    method: String,
    seen: Arc<Seen>,
}

impl StreamingService<Bytes> for Method {
    type Response = Bytes;
    type ResponseStream = Answers;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Answers>, Status>> + Send>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let (method, seen) = (self.method.clone(), Arc::clone(&self.seen));
        Box::pin(async move {
            let open = Open::new(&seen);
            let answers = answer(&method, request, &seen).await?;
            Ok(Response::new(Box::pin(answers.map(move |item| (&open, item).1)) as Answers))
        })
    }
}

async fn answer(method: &str, request: Request<Streaming<Bytes>>, seen: &Seen) -> Result<Answers, Status> {
    let (metadata, _, mut messages) = request.into_parts();
    if seen.fails.load(SeqCst) {
        return Err(Status::unavailable("it is broken"));
    }
    match method {
        // One answer: every header that came, one a line.
        "Headers" => {
            let _ = messages.message().await?;
            let lines: Vec<String> = metadata
                .into_headers()
                .iter()
                .map(|(n, v)| format!("{n}: {}\n", v.to_str().unwrap_or("?")))
                .collect();
            Ok(once(Bytes::from(lines.concat())))
        }
        // The same messages back, each at once.
        "Echo" => Ok(Box::pin(messages)),
        // The reason whose number the message is, at once: trailers only.
        "Fail" => {
            let number = messages.message().await?.unwrap_or_default();
            Err(fault(&number).into())
        }
        // The same without looking at the request: the answer overtakes the body.
        "FailFast" => Err(fault(b"0").into()),
        "Hang" => std::future::pending().await,
        // One message, and then nothing.
        "Drip" => {
            Ok(Box::pin(stream::once(async { Ok(Bytes::from_static(b"drip")) }).chain(stream::pending())))
        }
        "Wait" | "ListCards" | "GetBatch" | "GetCard" | "BeginActivation" => {
            let mut go = seen.go.subscribe();
            go.wait_for(|go| *go).await.map_err(|_| Status::internal("the test is over"))?;
            Ok(once(Bytes::from_static(b"done")))
        }
        // As many KiB as the message says, in messages of 64.
        "Flood" => {
            let kib = messages.message().await?.unwrap_or_default();
            let kib: usize =
                String::from_utf8_lossy(&kib).parse().map_err(|_| Status::internal("a number"))?;
            let piece = Bytes::from(vec![7; 64 * 1024]);
            Ok(Box::pin(stream::iter(vec![piece; kib / 64]).map(Ok)))
        }
        // Takes one message in a while, as long as the test says.
        "Sip" => {
            let mut go = seen.go.subscribe();
            go.wait_for(|go| *go).await.map_err(|_| Status::internal("the test is over"))?;
            let mut total = 0;
            while let Some(message) = messages.message().await? {
                total += message.len();
            }
            Ok(once(Bytes::from(total.to_string())))
        }
        _ => Err(Status::unimplemented("no such method")),
    }
}

/// The fault with this number, as an issuer would send it.
pub(super) fn fault(number: &[u8]) -> Fault {
    let n: usize = String::from_utf8_lossy(number).parse().unwrap_or(0);
    Fault::new(Reason::ALL[n % Reason::ALL.len()], format!("fault {n}, as said by the backend"))
        .violation("field", "is wrong")
        .with("number", n.to_string())
}

fn once(message: Bytes) -> Answers {
    Box::pin(stream::once(async { Ok(message) }))
}
