//! Two municipalities, two relays and an issuer on a simulated network.

use std::{
    path::{Path, PathBuf},
    rc::Rc,
    sync::OnceLock,
    time::Duration,
};

use tempfile::TempDir;
use time::OffsetDateTime;
use todoke::{
    domain::{batch::BatchState, digest::Digest, identity::Role, note, receipt::Receipt},
    issuance,
    net::{
        pki::Authority,
        tcp::TcpListener,
        tls::{ClientTls, ServerTls, TlsFiles},
    },
    relay,
    runtime::{Tasks, clock::Clock, outside},
    store::{Store, StoreOptions},
    vault::Vault,
};
use turmoil::{Builder, Sim};

use super::{faults::Schedule, party::Ward};

/// When every run begins: now, because the certificates are fresh.
pub(crate) fn now_ms() -> i64 {
    static NOW_MS: OnceLock<i64> = OnceLock::new();
    *NOW_MS.get_or_init(|| Clock::system().now_ms())
}

/// Longest run in simulated time: the faults, and what the slowest recovers in.
const LIMIT: Duration = Duration::from_secs(240);
/// How far simulated time goes at a time.
const TICK: Duration = Duration::from_millis(5);
const PORT: u16 = 443;

/// One authority for all runs: what is random in keys decides nothing that a run looks at.
fn pki() -> &'static Path {
    static PKI: OnceLock<TempDir> = OnceLock::new();
    let dir = PKI.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let authority = Authority::create(dir.path(), OffsetDateTime::now_utc()).expect("an authority");
        for identity in [
            "issuer/issuer-1",
            "relay/relay-1",
            "relay/relay-2",
            "municipality/131229",
            "municipality/011002",
        ] {
            let identity = identity.parse().expect("legal");
            authority.issue(&identity, &[], Duration::from_secs(86_400)).expect("a certificate");
        }
        let clients = ["131229", "011002"].map(|code| {
            let files = serde_json::json!({"cert": format!("{code}.pem"), "key": format!("{code}.key")});
            (format!("municipality/{code}"), files)
        });
        let relays = ["relay-1", "relay-2"];
        let endpoints = serde_json::json!({
            "server_name": "todoke.internal", "ca": "ca.pem", "receipt_key": "receipt.pub",
            "relays": relays.map(|id| serde_json::json!({"id": id, "address": format!("{id}:{PORT}")})),
            "clients": serde_json::Value::Object(clients.into_iter().collect()),
        });
        std::fs::write(dir.path().join("endpoints.json"), endpoints.to_string()).expect("writable");
        let verifier = vault(dir.path()).verifier_key();
        std::fs::write(dir.path().join("receipt.pub"), verifier.to_string()).expect("writable");
        dir
    });
    dir.path()
}

fn vault(pki: &Path) -> Vault {
    Vault::open(&pki.join("kek.key"), &pki.join("receipt.key")).expect("a vault")
}

fn files(name: &str) -> TlsFiles {
    let path = |ending: &str| pki().join(format!("{name}.{ending}"));
    TlsFiles { cert: path("pem"), key: path("key"), ca: pki().join("ca.pem"), crl: None }
}

async fn relay(name: &'static str) -> turmoil::Result {
    let options = relay::Options {
        name: name.to_owned(),
        upstreams: vec![format!("issuer:{PORT}")],
        shards: 1,
        ..relay::Options::default()
    };
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    let own = ServerTls::load(&files(name))?;
    let upstream = ClientTls::load_for(&files(name), "todoke.internal", &[Role::Issuer])?;
    let tasks = Tasks::new();
    let _running = relay::start(options, listener, own, upstream, None, &tasks)?;
    died(&tasks).await
}

/// Waits for the death of a task, which must not come.
async fn died(tasks: &Tasks) -> turmoil::Result {
    tasks.soft().cancelled().await;
    panic!("a task died: {:?}", tasks.join(Duration::ZERO).await.first_death);
}

/// The issuer. Before it serves anything it is asked for all that senders were told is durable.
async fn issuer(path: PathBuf, clock: Clock, wards: [Ward; 2]) -> turmoil::Result {
    let store = open(&path).await;
    for ward in &wards {
        check_acknowledged(&store, ward).await;
    }
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    let tls = ServerTls::load(&files("issuer-1"))?;
    let tasks = Tasks::new();
    let options = issuance::Options { cpu_jobs_max: 1, ..issuance::Options::default() };
    let vault = vault(pki());
    let parts = issuance::Parts { store, vault, tls, clock: clock.clone(), pool: None };
    let _running = issuance::start(options, listener, parts, &tasks).await?;
    let time = async {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            clock.advance(100);
        }
    };
    tokio::select! {
        () = time => Ok(()),
        died = died(&tasks) => died,
    }
}

async fn open(path: &Path) -> Store {
    let url = format!("sqlite:{}", path.display());
    let options = StoreOptions { url, ..StoreOptions::default() };
    for _ in 0..1_000 {
        match outside(Store::open(&options)).await {
            Ok(store) => return store,
            // The killed process's own threads close the file in real time.
            Err(todoke::store::Error::InUse { .. }) => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the database stays in use");
}

async fn check_acknowledged(store: &Store, ward: &Ward) {
    let acknowledged = ward.known.lock().expect("unpoisoned").acknowledged;
    let (code, id) = (ward.code.parse().expect("a code"), ward.batch_id.parse().expect("version 7"));
    let missing = match store.batch(code, id).await.expect("it reads") {
        Some(row) => row.counts.missing,
        None => ward.records,
    };
    assert!(
        ward.records - missing >= acknowledged,
        "{}: {acknowledged} records were acknowledged, and {missing} of {} are missing",
        ward.name,
        ward.records
    );
}

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Summary {
    /// When each municipality had its receipt, and how many runs ended without one before.
    receipts: Vec<(u128, u32)>,
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "receipts at (ms, after runs without): {:?}", self.receipts)
    }
}

/// Plays a seed to its end.
pub(crate) fn run(seed: u64, loud: bool) -> Summary {
    let folder = folder();
    let (path, clock) = (folder.path().join("issuer.db"), Clock::fixed(now_ms()));
    let ward = |name, code, id, records| Ward::new(folder.path(), name, code, id, records);
    let wards = [
        ward("katsushika", "131229", "0192f0c1-2345-7abc-8def-000000000001", 300),
        ward("sapporo", "011002", "0192f0c1-2345-7abc-8def-000000000002", 100),
    ];
    let mut sim = Builder::new()
        .rng_seed(seed)
        .tick_duration(TICK)
        .simulation_duration(LIMIT)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(120))
        .tcp_capacity(4_096)
        .enable_random_order()
        .build();
    let shared = Rc::new((path, clock, wards.clone()));
    sim.host("issuer", move || {
        let (path, clock, wards) = shared.as_ref().clone();
        issuer(path, clock, wards)
    });
    for name in ["relay-1", "relay-2"] {
        sim.host(name, move || relay(name));
    }
    for (n, one) in wards.iter().enumerate() {
        let one = one.clone();
        sim.host(one.name, move || {
            let one = one.clone();
            async move {
                one.imports(pki().join("endpoints.json"), seed + n as u64).await;
                Ok(())
            }
        });
    }
    play(&mut sim, seed, &wards, loud);
    drop(sim);
    audit(&folder.path().join("issuer.db"), &wards);
    let receipt = |ward: &Ward| {
        let known = ward.known.lock().expect("unpoisoned");
        (known.receipt_ms, known.tries)
    };
    Summary { receipts: wards.iter().map(receipt).collect() }
}

/// A folder in memory where there is one: what is simulated is not how fast a disk is.
fn folder() -> TempDir {
    let shm = Path::new("/dev/shm");
    let made = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() };
    made.expect("a temporary folder")
}

fn play(sim: &mut Sim<'_>, seed: u64, wards: &[Ward; 2], loud: bool) {
    let mut schedule = Schedule::of(seed);
    let done = |ward: &Ward| ward.known.lock().expect("unpoisoned").receipt.is_some();
    while !(schedule.is_over() && wards.iter().all(done)) {
        schedule.apply(sim, loud);
        assert!(sim.elapsed() + TICK < LIMIT, "seed {seed}: no receipt in {LIMIT:?} of simulated time");
        sim.step().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

/// Looks at the database alone: each record is there once, and the receipt is the sender's.
fn audit(path: &Path, wards: &[Ward; 2]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let store = open(path).await;
        for ward in wards {
            let (code, id) = (ward.code.parse().expect("a code"), ward.batch_id.parse().expect("version 7"));
            let row = store.batch(code, id).await.expect("it reads").expect("it is there");
            assert_eq!((row.state, row.counts.accepted), (BatchState::Accepted, ward.records));
            let receipt = store.receipt(code, id).await.expect("it reads").expect("it is there");
            let key = vault(pki()).verifier_key();
            let text = note::open(&receipt, &key).expect("it is signed");
            let known = ward.known.lock().expect("unpoisoned").receipt.clone();
            assert_eq!(Some(Digest::of(text.as_bytes()).to_string()), known, "the receipt is the sender's");
            assert_eq!(Receipt::parse(text).expect("it parses").faults(), Vec::<String>::new());
            let (mut seen, mut after) = (Vec::new(), 0);
            loop {
                let page = store.dispositions_page(code, id, row.attempt, after, 5_000, false).await;
                let page = page.expect("it reads");
                let Some(last) = page.last() else { break };
                after = last.index + 1;
                seen.extend(page.iter().map(|one| one.order_id.clone()));
            }
            let expected: Vec<String> = (0..ward.records).map(|n| format!("K-{n}")).collect();
            assert_eq!(seen, expected, "{}: each record once", ward.name);
        }
        store.close().await;
    });
}
