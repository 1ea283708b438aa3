//! A relay in this process, backends behind it and callers before it, all over real sockets and mutual TLS.

use std::{future::Future, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, stream};
use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use time::OffsetDateTime;
use todoke::{
    domain::identity::{Identity, Role},
    net::{
        pki::Authority,
        tls::{ClientTls, ServerTls, TlsFiles},
    },
    relay::{self, Options},
    runtime::{Ended, Running, Tasks},
};
use tokio::{net::TcpStream, time::Instant};
use tokio_rustls::TlsConnector;
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Channel, Endpoint, Uri},
};

use super::{backend::Backend, codec::Plain};

/// Longest time that anything in a test may take.
const LIMIT: Duration = Duration::from_secs(30);

/// The municipality that most tests call as.
pub(super) const KATSUSHIKA: &str = "municipality/131229";
/// Its neighbour.
pub(super) const EDOGAWA: &str = "municipality/131237";

/// A CA with certificates for everybody.
pub(super) struct Pki {
    dir: TempDir,
    /// Whether parties look at the CRL.
    crl: bool,
}

impl Pki {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let authority = Authority::create(dir.path(), OffsetDateTime::now_utc()).expect("an authority");
        for identity in ["issuer/issuer-1", "issuer/issuer-2", "relay/relay-1", KATSUSHIKA, EDOGAWA] {
            let identity: Identity = identity.parse().expect("legal");
            authority.issue(&identity, &[], Duration::from_secs(86_400)).expect("a certificate");
        }
        Self { dir, crl: false }
    }

    /// The same, with everybody looking at the CRL.
    pub(super) fn with_crl() -> Self {
        Self { crl: true, ..Self::new() }
    }

    /// Revokes the certificates of `identity`.
    pub(super) fn revoke(&self, identity: &str) {
        let authority = Authority::open(self.dir.path(), OffsetDateTime::now_utc()).expect("the authority");
        authority.revoke(&identity.parse().expect("legal")).expect("it was issued");
    }

    /// Writes the CRL anew, to hold for this long.
    pub(super) fn renew_crl(&self, lifetime: Duration) {
        let authority = Authority::open(self.dir.path(), OffsetDateTime::now_utc()).expect("the authority");
        authority.refresh_crl(lifetime).expect("it is written");
    }

    fn files(&self, name: &str) -> TlsFiles {
        let path = |file: String| -> PathBuf { self.dir.path().join(file) };
        TlsFiles {
            cert: path(format!("{name}.pem")),
            key: path(format!("{name}.key")),
            ca: path("ca.pem".to_owned()),
            crl: self.crl.then(|| path("crl.pem".to_owned())),
        }
    }

    pub(super) fn server(&self, name: &str) -> ServerTls {
        ServerTls::load(&self.files(name)).expect("a server's certificate")
    }

    pub(super) fn client(&self, name: &str) -> ClientTls {
        ClientTls::load(&self.files(name), "todoke.internal").expect("a client's certificate")
    }
}

/// A relay with one backend behind it.
pub(super) struct Setup {
    pub(super) pki: Pki,
    pub(super) backend: Backend,
    pub(super) relay: Relay,
}

impl Setup {
    /// Starts both; the relay serves when this returns.
    pub(super) async fn start(change: impl FnOnce(&mut Options)) -> Self {
        let pki = Pki::new();
        let backend = Backend::start(pki.server("issuer-1")).await;
        let relay = Relay::start(&pki, &[backend.address], change).await;
        relay.ready().await;
        Self { pki, backend, relay }
    }

    pub(super) fn caller(&self, identity: &str) -> Caller {
        Caller::new(&self.pki, identity, self.relay.address())
    }
}

pub(super) struct Relay {
    running: Running,
    own_tls: ServerTls,
    upstream_tls: ClientTls,
    pub(super) tasks: Tasks,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.tasks.hard().cancel();
    }
}

impl Relay {
    pub(super) async fn start(pki: &Pki, backends: &[SocketAddr], change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options {
            upstreams: backends.iter().map(ToString::to_string).collect(),
            shards: 2,
            caller_rate: 1_000_000,
            caller_burst: 1_000_000,
            caller_reset_rate: 1_000_000,
            caller_reset_burst: 1_000_000,
            reconnect: (Duration::from_millis(10), Duration::from_millis(50)),
            linger: Duration::from_millis(200),
            ..Options::default()
        };
        change(&mut options);
        let tasks = Tasks::new();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let files = pki.files("relay-1");
        let upstream_tls =
            ClientTls::load_for(&files, "todoke.internal", &[Role::Issuer]).expect("a certificate");
        let own_tls = pki.server("relay-1");
        let running = relay::start(options, listener, own_tls.clone(), upstream_tls.clone(), None, &tasks);
        Self { running: running.expect("it starts"), own_tls, upstream_tls, tasks }
    }

    /// Reads CA and CRL anew.
    pub(super) fn reload(&self) {
        assert!(self.own_tls.reload().expect("readable") && self.upstream_tls.reload().expect("readable"));
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.running.address
    }

    pub(super) fn not_ready(&self) -> Vec<String> {
        (self.running.not_ready)()
    }

    pub(super) async fn ready(&self) {
        eventually("the relay is ready", || async { self.not_ready().is_empty().then_some(()) }).await;
    }

    /// Tells it to stop, and waits until it has.
    pub(super) async fn stop(&self) -> Ended {
        self.tasks.soft().cancel();
        within("the relay stops", self.tasks.join(LIMIT)).await
    }
}

/// A caller with one connection.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) channel: Channel,
}

impl Caller {
    pub(super) fn new(pki: &Pki, identity: &str, address: SocketAddr) -> Self {
        let name = identity.split('/').nth(1).expect("role/name");
        Self { channel: channel(pki.client(name), address) }
    }

    /// Calls a method of the backend, or any by its path, with a stream of messages.
    pub(super) async fn stream(
        &self,
        method: &str,
        request: Request<impl Stream<Item = Bytes> + Send + 'static>,
    ) -> Result<Response<Streaming<Bytes>>, Status> {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone())
            .max_decoding_message_size(64 << 20)
            .max_encoding_message_size(64 << 20);
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let path =
            if method.starts_with('/') { method.to_owned() } else { format!("/test.Backend/{method}") };
        let path: PathAndQuery = path.parse().expect("a path");
        grpc.streaming(request, path, Plain).await
    }

    /// Calls a method with one message, and returns the only answer.
    pub(super) async fn ask(&self, method: &str, message: &str) -> Result<String, Status> {
        self.send(method, Request::new(message.to_owned())).await
    }

    pub(super) async fn send(&self, method: &str, request: Request<String>) -> Result<String, Status> {
        let request = request.map(|message| stream::iter([Bytes::from(message)]));
        let calling = async {
            let mut answers = self.stream(method, request).await?.into_inner();
            let answer = answers.message().await?.ok_or_else(|| Status::internal("no answer"))?;
            match answers.message().await? {
                None => Ok(String::from_utf8_lossy(&answer).into_owned()),
                Some(_) => Err(Status::internal("two answers")),
            }
        };
        within("a call", calling).await
    }
}

fn channel(tls: ClientTls, address: SocketAddr) -> Channel {
    let uri: Uri = "http://todoke.internal".parse().expect("a URI");
    Endpoint::from(uri)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(16 << 20)
        .connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
            let tls = tls.clone();
            async move { connect(&tls, address).await.map(TokioIo::new) }
        }))
}

/// Connects as a caller, without HTTP/2.
pub(super) async fn connect(
    tls: &ClientTls,
    address: SocketAddr,
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    TlsConnector::from(tls.config()).connect(tls.server_name(), tcp).await
}

/// Fails if it takes too long.
pub(super) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// Waits until `condition` gives something.
pub(super) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, condition: impl Fn() -> F) -> T {
    let until = Instant::now() + LIMIT;
    while Instant::now() < until {
        if let Some(value) = condition().await {
            return value;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("not in time: {what}");
}

/// Runs `count` calls, `at_once` at a time.
pub(super) async fn many<T, F>(count: usize, at_once: usize, call: impl Fn(usize) -> F) -> Vec<T>
where
    F: Future<Output = T>,
{
    use futures_util::StreamExt as _;
    let call = Arc::new(call);
    stream::iter(0..count).map(|n| call(n)).buffer_unordered(at_once).collect().await
}
