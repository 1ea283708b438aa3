//! A CA that makes any certificate, good or bad, and a real gRPC server that tells who called it.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};
use tempfile::TempDir;
use time::OffsetDateTime;
use todoke::{
    net::{
        PeerIdentity, ServerLimits,
        channel::{ChannelOptions, connect},
        serve::{CutOff, serve_tonic},
        tls::{ClientTls, ServerTls, TlsFiles},
    },
    runtime::clock::Clock,
};
use tokio::{
    net::TcpListener,
    sync::{Notify, Semaphore},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_client::HealthClient,
    health_server::{Health, HealthServer},
};

pub(super) const NAME: &str = "todoke.internal";
pub(super) const DAY_MS: i64 = 86_400_000;

pub(super) fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

pub(super) fn clock() -> Clock {
    Clock::fixed(now().unix_timestamp() * 1_000)
}

/// What a certificate of the tests says.
pub(super) struct Leaf {
    pub(super) uris: Vec<&'static str>,
    /// Days from now.
    pub(super) days: (i64, i64),
    pub(super) usages: Vec<ExtendedKeyUsagePurpose>,
    pub(super) serial: u64,
}

impl Default for Leaf {
    fn default() -> Self {
        Self {
            uris: vec!["spiffe://todoke/municipality/131229"],
            days: (-30, 30),
            usages: vec![ExtendedKeyUsagePurpose::ClientAuth],
            serial: 7,
        }
    }
}

/// A CA with its folder.
pub(super) struct Ca {
    pub(super) dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    pub(super) fn new(name: &str) -> Self {
        Self::until(name, 3_650)
    }

    /// A CA that ends in so many days.
    pub(super) fn until(name: &str, days: i64) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let key = KeyPair::generate().expect("P-256");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_after = now() + time::Duration::days(days);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).expect("self-signed").pem();
        fs::write(dir.path().join("ca.pem"), pem).expect("writable");
        Self { dir, issuer: Issuer::new(params, key) }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Makes a certificate in the folder of this CA.
    pub(super) fn leaf(&self, name: &str, leaf: Leaf) -> TlsFiles {
        let names = if name == "server" { vec![NAME.to_owned()] } else { vec![] };
        let mut params = CertificateParams::new(names).expect("a host name");
        for uri in leaf.uris {
            params.subject_alt_names.push(SanType::URI(uri.try_into().expect("ASCII")));
        }
        params.not_before = now() + time::Duration::days(leaf.days.0);
        params.not_after = now() + time::Duration::days(leaf.days.1);
        params.extended_key_usages = leaf.usages;
        params.serial_number = Some(SerialNumber::from(leaf.serial));
        let key = KeyPair::generate().expect("P-256");
        let pem = params.signed_by(&key, &self.issuer).expect("signed").pem();
        fs::write(self.path(&format!("{name}.pem")), pem).expect("writable");
        fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).expect("writable");
        self.files(name)
    }

    pub(super) fn server(&self) -> TlsFiles {
        let usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.leaf("server", Leaf { uris: vec!["spiffe://todoke/issuer/issuer-1"], usages, ..Leaf::default() })
    }

    pub(super) fn files(&self, name: &str) -> TlsFiles {
        TlsFiles {
            cert: self.path(&format!("{name}.pem")),
            key: self.path(&format!("{name}.key")),
            ca: self.path("ca.pem"),
            crl: None,
        }
    }

    /// Writes a CRL that holds for `days` from now, and returns its path.
    pub(super) fn crl(&self, number: u64, revoked: &[u64], days: i64) -> PathBuf {
        let entry = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: now(),
            reason_code: None,
            invalidity_date: None,
        };
        let crl = CertificateRevocationListParams {
            this_update: now() - time::Duration::days(60),
            next_update: now() + time::Duration::days(days),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let pem = crl.signed_by(&self.issuer).expect("signed").pem().expect("PEM");
        fs::write(self.path("crl.pem"), pem).expect("writable");
        self.path("crl.pem")
    }
}

/// A service whose call "slow" answers when it is told to.
#[derive(Clone, Default)]
pub(super) struct Desk {
    pub(super) callers: Arc<Mutex<Vec<String>>>,
    pub(super) begun: Arc<Notify>,
    pub(super) answers: Arc<Answers>,
}

pub(super) struct Answers(pub(super) Semaphore);

impl Default for Answers {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

#[tonic::async_trait]
impl Health for Desk {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let peer = request.extensions().get::<PeerIdentity>().cloned();
        let peer = peer.ok_or_else(|| Status::internal("no identity came with the call"))?;
        self.callers.lock().expect("nobody panicked").push(peer.0.to_string());
        if request.get_ref().service == "slow" {
            self.begun.notify_one();
            self.answers.0.acquire().await.expect("never closed").forget();
        }
        Ok(Response::new(HealthCheckResponse { status: 1 }))
    }

    type WatchStream = tokio_stream::Empty<Result<HealthCheckResponse, Status>>;

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("not needed"))
    }
}

/// Something at work beside the test; dropped with it.
pub(super) struct Beside<T>(JoinSet<T>);

impl<T: Send + 'static> Beside<T> {
    pub(super) fn begin(work: impl Future<Output = T> + Send + 'static) -> Self {
        let mut set = JoinSet::new();
        set.spawn(work);
        Self(set)
    }

    /// Whether it still works.
    pub(super) fn works(&mut self) -> bool {
        self.0.try_join_next().is_none()
    }

    /// Returns what came of it; fails after ten seconds.
    pub(super) async fn end(&mut self) -> T {
        let ended = timeout(Duration::from_secs(10), self.0.join_next()).await.expect("in time");
        ended.expect("it was not asked for before").expect("no panic")
    }
}

/// A server that runs until it is stopped or dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) tls: ServerTls,
    pub(super) desk: Desk,
    pub(super) stop: CancellationToken,
    pub(super) serving: Beside<Result<(), CutOff>>,
}

impl Server {
    pub(super) async fn start(files: &TlsFiles, clock: Clock, limits: ServerLimits) -> Self {
        let tls = ServerTls::load_at(files, clock).expect("good files");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (desk, stop) = (Desk::default(), CancellationToken::new());
        let routes = HealthServer::new(desk.clone());
        let serving = serve_tonic(listener, tls.clone(), routes, limits, stop.clone());
        Self { address, tls, desk, stop, serving: Beside::begin(serving) }
    }

    pub(super) fn channel(&self, tls: &ClientTls) -> Channel {
        let options = ChannelOptions { connect: Duration::from_secs(5), ..ChannelOptions::default() };
        connect(&self.address.to_string(), tls, NAME, options).expect("a host name")
    }

    /// Calls with a fresh connection.
    pub(super) async fn call(&self, tls: &ClientTls) -> Result<(), Status> {
        call(self.channel(tls), "").await
    }

    pub(super) fn callers(&self) -> Vec<String> {
        self.desk.callers.lock().expect("nobody panicked").clone()
    }
}

pub(super) async fn call(channel: Channel, service: &str) -> Result<(), Status> {
    let request = HealthCheckRequest { service: service.to_owned() };
    HealthClient::new(channel).check(request).await.map(drop)
}

/// A client by the clock of a time when its certificate was good.
pub(super) fn client(files: &TlsFiles, days: i64) -> ClientTls {
    let clock = Clock::fixed(now().unix_timestamp() * 1_000 + days * DAY_MS);
    ClientTls::load_at(files, NAME, &[], clock).expect("good by that clock")
}

/// How often connections were refused, or closed, for this cause.
pub(super) fn counted(metric: &str, cause: &str) -> u64 {
    let wanted = format!("{metric}{{cause=\"{cause}\"}} ");
    let text = todoke::telemetry::prometheus().render();
    let line = text.lines().find_map(|line| line.strip_prefix(&wanted));
    line.map_or(0, |number| number.parse().expect("a whole number"))
}

/// Waits until `condition` holds; fails after ten seconds.
pub(super) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let until = tokio::time::Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(tokio::time::Instant::now() < until, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(super) fn empty(path: &Path) {
    fs::write(path, "").expect("writable");
}
