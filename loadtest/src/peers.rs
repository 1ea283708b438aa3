//! What is put before a backend: our relay and HAProxy, each a process with the same certificates, mutual TLS
//! on both sides, and as many threads as the other.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::uri::PathAndQuery;
use serde::Deserialize;
use todoke::{
    domain::identity::Identity,
    net::{
        channel::{self, ChannelOptions},
        pki::{Authority, Issued},
        tls::{ClientTls, ServerTls, TlsFiles},
    },
};
use tonic::{Request, client::Grpc, transport::Channel};

use crate::{
    echo::SERVING,
    failure::Failure,
    raw::Raw,
    system::{end, eventually},
};

/// The name that all servers' certificates carry.
pub(crate) const SERVER_NAME: &str = "todoke.internal";
/// Whose certificates the load generator has, one for each connection.
pub(crate) const MUNICIPALITIES: [&str; 8] =
    ["131229", "131211", "131237", "141003", "271004", "011002", "231002", "401307"];
/// Longest time until a process takes connections.
const START_MAX: Duration = Duration::from_secs(30);
/// How often a relay is asked whether it serves.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How many relays have certificates.
const RELAYS: usize = 5;
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// A CA of our own, with certificates for everybody.
pub(crate) struct Pki {
    pub(crate) dir: PathBuf,
    /// Of `relay-1` and so on.
    relays: Vec<Issued>,
    issuer: Issued,
    pub(crate) operator: Issued,
    pub(crate) municipalities: Vec<Issued>,
}

impl Pki {
    /// Makes it in `dir`.
    pub(crate) fn make(dir: &Path) -> Result<Self, Failure> {
        let said = |error: todoke::net::pki::AuthorityError| Failure::new(error.to_string());
        let authority = Authority::create(dir, time::OffsetDateTime::now_utc()).map_err(said)?;
        let issue = |name: &str| {
            let identity: Identity = name.parse().map_err(Failure::while_doing(name))?;
            authority.issue(&identity, &[], LIFETIME).map_err(said)
        };
        Ok(Self {
            dir: dir.to_owned(),
            relays: (1..=RELAYS)
                .map(|number| issue(&format!("relay/relay-{number}")))
                .collect::<Result<_, _>>()?,
            issuer: issue("issuer/issuer-1")?,
            operator: issue("operator/alice")?,
            municipalities: MUNICIPALITIES
                .iter()
                .map(|code| issue(&format!("municipality/{code}")))
                .collect::<Result<_, _>>()?,
        })
    }

    fn ca(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// TLS for a backend in this process.
    pub(crate) fn backend_tls(&self) -> Result<ServerTls, Failure> {
        let (cert, key) = (self.issuer.cert.clone(), self.issuer.key.clone());
        let files = TlsFiles { cert, key, ca: self.ca(), crl: None };
        ServerTls::load(&files).map_err(Failure::while_doing("the backend's certificate"))
    }

    /// A channel to `address` for each of the first `callers` municipalities.
    pub(crate) fn channels(&self, address: &str, callers: usize) -> Result<Vec<Channel>, Failure> {
        self.municipalities.iter().take(callers).map(|issued| self.channel(address, issued)).collect()
    }

    /// A channel to `address` as `relay-1`.
    pub(crate) fn relay_channel(&self, address: &str) -> Result<Channel, Failure> {
        self.channel(address, &self.relays[0])
    }

    fn channel(&self, address: &str, issued: &Issued) -> Result<Channel, Failure> {
        let (cert, key) = (issued.cert.clone(), issued.key.clone());
        let files = TlsFiles { cert, key, ca: self.ca(), crl: None };
        let tls =
            ClientTls::load(&files, SERVER_NAME).map_err(Failure::while_doing("a caller's certificate"))?;
        channel::connect(address, &tls, SERVER_NAME, ChannelOptions::default())
            .map_err(Failure::while_doing(address))
    }
}

/// A process that takes calls; it is ended when this is dropped.
pub(crate) struct Peer {
    process: Child,
    pub(crate) address: String,
}

impl Peer {
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

#[derive(Deserialize)]
struct Addresses {
    address: String,
}

/// Starts one of todoke's roles, `name` in files of `folder`, and waits until it says where it listens.
fn todoke(
    program: &Path,
    folder: &Path,
    (role, name): (&str, &str),
    flags: &[(&str, &Path)],
) -> Result<Peer, Failure> {
    let addresses = folder.join(format!("{name}.addresses"));
    let log = folder.join(format!("{name}.log"));
    // One of an earlier process would be believed.
    let _ = fs::remove_file(&addresses);
    let mut command = Command::new(program);
    command.args([
        role,
        "--name",
        name,
        "--listen",
        "127.0.0.1:0",
        "--ops-listen",
        "127.0.0.1:0",
        "--exit-with-parent",
    ]);
    command.arg("--addresses-file").arg(&addresses);
    for (flag, value) in flags {
        command.arg(flag).arg(value);
    }
    let (out, err) = (File::create(&log)?, File::create(folder.join(format!("{name}.err")))?);
    // The child holds the other end of its standard input, and goes when that does.
    let mut process = command.stdin(Stdio::piped()).stdout(out).stderr(err).spawn()?;
    let listening = eventually(START_MAX, || match process.try_wait()? {
        Some(status) => {
            let words = fs::read_to_string(folder.join(format!("{name}.err"))).unwrap_or_default();
            Err(Failure::new(format!("`todoke {role}` ended with {status}: {words}")))
        }
        None => Ok(addresses.exists()),
    });
    let read =
        listening.and_then(|()| Ok(serde_json::from_str::<Addresses>(&fs::read_to_string(&addresses)?)?));
    match read {
        Ok(Addresses { address }) => Ok(Peer { process, address }),
        Err(failure) => {
            end(&mut process);
            Err(failure)
        }
    }
}

/// Where a relay stands.
pub(crate) struct Place<'a> {
    /// It is `relay-1`, and so on.
    pub(crate) number: usize,
    pub(crate) upstream: &'a str,
    /// Whether it is a unit of a pool, if `upstream` keeps one.
    pub(crate) pool: bool,
}

/// Our relay, once it serves. Its limits for one caller are raised: eight callers here stand for 1,741.
pub(crate) async fn relay(
    program: &Path,
    folder: &Path,
    pki: &Pki,
    place: &Place<'_>,
) -> Result<Peer, Failure> {
    let (own, name) = (&pki.relays[place.number - 1], format!("relay-{}", place.number));
    let relay = todoke(
        program,
        folder,
        ("relay", &name),
        &[
            ("--cert", &own.cert),
            ("--key", &own.key),
            ("--ca", &pki.ca()),
            ("--upstream", Path::new(place.upstream)),
            ("--caller-rate", Path::new("1000000")),
            ("--caller-burst", Path::new("1000000")),
            ("--caller-calls-max", Path::new("1024")),
            ("--pool", Path::new(if place.pool { "true" } else { "false" })),
            ("--pool-key", &pki.dir.join("receipt.pub")),
        ],
    )?;
    let channel = pki.channel(&relay.address, &pki.municipalities[0])?;
    let begun = Instant::now();
    while !serves(&channel).await {
        if begun.elapsed() > START_MAX {
            return Err(Failure::new(format!("{name} does not serve after {START_MAX:?}; look at its log")));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(relay)
}

/// Whether it says that it serves.
async fn serves(channel: &Channel) -> bool {
    let mut grpc = Grpc::new(channel.clone());
    let path = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
    let ready = grpc.ready().await.is_ok();
    ready && grpc.unary(Request::new(Bytes::new()), path, Raw).await.is_ok_and(|it| it.get_ref() == SERVING)
}

/// An issuer on this database, or on SQLite in `folder`, which keeps the pool or none.
pub(crate) fn issuer(
    program: &Path,
    folder: &Path,
    pki: &Pki,
    pool: bool,
    database: Option<&str>,
) -> Result<Peer, Failure> {
    let config = folder.join("issuer.toml");
    fs::write(&config, format!("[pool]\nenabled = {pool}\n"))?;
    let own = || format!("sqlite:{}", folder.join("issuer.db").display());
    let database = PathBuf::from(database.map_or_else(own, str::to_owned));
    todoke(
        program,
        folder,
        ("issuer", "issuer-1"),
        &[
            ("--config", &config),
            ("--cert", &pki.issuer.cert),
            ("--key", &pki.issuer.key),
            ("--ca", &pki.ca()),
            ("--kek", &pki.dir.join("kek.key")),
            ("--receipt-key", &pki.dir.join("receipt.key")),
            ("--database", &database),
        ],
    )
}

/// The version of the installed HAProxy; `None` if there is none.
pub(crate) fn haproxy_version() -> Option<String> {
    let output = Command::new("haproxy").arg("-v").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.split_whitespace().nth(2).map(str::to_owned)
}

/// HAProxy before `upstream`.
pub(crate) fn haproxy(folder: &Path, pki: &Pki, upstream: &str, threads: usize) -> Result<Peer, Failure> {
    let bundle = folder.join("haproxy.pem");
    fs::write(&bundle, [fs::read(&pki.relays[0].cert)?, fs::read(&pki.relays[0].key)?].concat())?;
    let address = free_address()?;
    let config = folder.join("haproxy.cfg");
    fs::write(&config, haproxy_config(&bundle, &pki.ca(), &address, upstream, threads))?;
    let log = File::create(folder.join("haproxy.log"))?;
    let mut process = Command::new("haproxy")
        .args(["-db", "-f"])
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()?;
    let listening = eventually(START_MAX, || match process.try_wait()? {
        Some(status) => {
            let words = fs::read_to_string(folder.join("haproxy.log")).unwrap_or_default();
            Err(Failure::new(format!("haproxy ended with {status}: {words}")))
        }
        None => Ok(TcpStream::connect(address).is_ok()),
    });
    if let Err(failure) = listening {
        end(&mut process);
        return Err(failure);
    }
    Ok(Peer { process, address: address.to_string() })
}

/// HTTP/2 and mutual TLS on both sides, connections kept and shared, nothing logged, and as many streams a
/// connection as our relay allows.
fn haproxy_config(bundle: &Path, ca: &Path, address: &SocketAddr, upstream: &str, threads: usize) -> String {
    let (bundle, ca) = (bundle.display(), ca.display());
    format!(
        "global\n    nbthread {threads}\n    maxconn 4000\n    tune.h2.max-concurrent-streams 200\n\
         defaults\n    mode http\n    http-reuse always\n    \
         timeout connect 5s\n    timeout client 10m\n    timeout server 10m\n\
         frontend callers\n    bind {address} ssl crt {bundle} ca-file {ca} verify required alpn h2\n    \
         default_backend issuers\n\
         backend issuers\n    server issuer-1 {upstream} ssl crt {bundle} ca-file {ca} verify required \
         verifyhost {SERVER_NAME} sni str({SERVER_NAME}) alpn h2\n"
    )
}

/// An address that nobody had a moment ago.
fn free_address() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
