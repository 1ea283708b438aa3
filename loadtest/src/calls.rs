//! Unary calls: what a relay costs before a backend that costs nothing, beside HAProxy in the same place; and
//! what a real call to the issuer takes, direct and through one relay.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use clap::{Args, value_parser};
use http::uri::PathAndQuery;
use prost::Message as _;
use todoke::wire::pb;

use crate::{
    echo::Echo,
    failure::Failure,
    figures::{Report, Spread},
    generator::{self, Target},
    import::{self, MIB},
    peers::{self, MUNICIPALITIES, Peer, Pki, SERVER_NAME},
    process, progress, system,
};

/// Bytes of a request and of its answer, as in the measurements of the design.
const REQUEST_BYTES: usize = 303;
const REPLY_BYTES: usize = 186;
/// Load that is not measured, so that connections are made and caches are warm.
const WARM_UP: Duration = Duration::from_millis(300);
/// Records of the batch that the issuer is asked about.
const BATCH_RECORDS: u32 = 2_000;

#[derive(Debug, Args)]
pub(crate) struct CallsArgs {
    /// How many times each side is measured
    #[arg(long, value_name = "N", default_value_t = 11, value_parser = value_parser!(u32).range(1..=100))]
    cycles: u32,
    /// Seconds of one slice
    #[arg(long, value_name = "S", default_value_t = 3, value_parser = value_parser!(u64).range(1..=60))]
    slice: u64,
    /// Calls in flight in the closed loop, over 8 connections
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = value_parser!(u16).range(1..=1600))]
    callers: u16,
    /// Calls a second in the open loop before the cheap backend
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = rate())]
    rate: u32,
    /// Calls a second in the open loop to the issuer
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = rate())]
    issuer_rate: u32,
    /// Leaves HAProxy out, which otherwise has to be installed (apt-get install haproxy)
    #[arg(long)]
    without_haproxy: bool,
    /// Another build of todoke, whose relay is measured beside this one
    #[arg(long, value_name = "PROGRAM")]
    other: Option<PathBuf>,
}

fn rate() -> clap::builder::RangedI64ValueParser<u32> {
    value_parser!(u32).range(1..=100_000)
}

/// One way to the backend, and what was measured on it.
struct Side {
    name: &'static str,
    target: Target,
    /// The process in between, if there is one.
    between: Option<Peer>,
    closed_per_s: Vec<f64>,
    closed_p99_ms: Vec<f64>,
    closed_cpu_us: Vec<f64>,
    open_p50_ms: Vec<f64>,
    open_p99_ms: Vec<f64>,
    open_p999_ms: Vec<f64>,
    open_cpu_us: Vec<f64>,
}

pub(crate) async fn run(args: &CallsArgs, todoke: &Path) -> Result<Report, Failure> {
    let folder = tempfile::Builder::new().prefix("todoke-loadtest-").tempdir()?;
    let haproxy = peers::haproxy_version();
    if haproxy.is_none() && !args.without_haproxy {
        return Err(Failure::new(
            "haproxy is not installed: apt-get install haproxy, or pass --without-haproxy",
        ));
    }
    let mut report = Report { method: method(args, haproxy.as_deref()), lines: Vec::new() };
    let pki = Pki::make(&folder.path().join("pki"))?;
    before_a_cheap_backend(args, todoke, folder.path(), &pki, &mut report).await?;
    before_the_issuer(args, todoke, folder.path(), &pki, &mut report).await?;
    Ok(report)
}

fn method(args: &CallsArgs, haproxy: Option<&str>) -> Vec<String> {
    let peer = match haproxy {
        Some(version) if !args.without_haproxy => format!("HAProxy {version} with as many threads"),
        _ => "no HAProxy".to_owned(),
    };
    vec![
        format!(
            "echo: {REQUEST_BYTES}-byte requests, {REPLY_BYTES}-byte replies, mutual TLS on every hop, {} \
             connections of as many municipalities; relay with all its policy on, {peer}.",
            MUNICIPALITIES.len()
        ),
        format!(
            "closed loop: {} calls in flight; open loop: {} calls/s, latency from the time a call was due. \
             Load generator and backend: tonic, in one process with {} workers; its CPU is in no figure.",
            args.callers,
            args.rate,
            tokio::runtime::Handle::current().metrics().num_workers()
        ),
        format!(
            "issuer: GetBatch of one batch, direct and through one relay, closed loop with {} in flight and \
             open loop at {} calls/s.",
            issuer_callers(args),
            args.issuer_rate
        ),
    ]
}

fn issuer_callers(args: &CallsArgs) -> usize {
    usize::from(args.callers).min(64)
}

async fn before_a_cheap_backend(
    args: &CallsArgs,
    todoke: &Path,
    folder: &Path,
    pki: &Pki,
    report: &mut Report,
) -> Result<(), Failure> {
    let threads = std::thread::available_parallelism()?.get();
    let echo = Echo::start(pki.backend_tls()?, Bytes::from_static(&[b'r'; REPLY_BYTES])).await?;
    let upstream = echo.address.to_string();
    let request = Bytes::from_static(&[b'q'; REQUEST_BYTES]);
    let target = |address: &str| -> Result<Target, Failure> {
        let path = PathAndQuery::from_static("/loadtest.Echo/Call");
        let channels = pki.channels(address, MUNICIPALITIES.len())?;
        Ok(Target { channels, path, request: request.clone() })
    };
    let mut sides = vec![Side::new("echo direct", target(&upstream)?, None)];
    let relay = peers::relay(todoke, folder, pki, &upstream, false)?;
    sides.push(Side::new("echo through the relay", target(&relay.address)?, Some(relay)));
    if !args.without_haproxy {
        let haproxy = peers::haproxy(folder, pki, &upstream, threads)?;
        sides.push(Side::new("echo through HAProxy", target(&haproxy.address)?, Some(haproxy)));
    }
    if let Some(other) = &args.other {
        let folder = folder.join("other");
        fs::create_dir(&folder)?;
        let relay = peers::relay(other, &folder, pki, &upstream, false)?;
        sides.push(Side::new("echo through the other relay", target(&relay.address)?, Some(relay)));
    }
    measure(args, &mut sides, usize::from(args.callers), args.rate, report).await?;
    let [direct, relay, rest @ ..] = sides.as_slice() else { return Ok(()) };
    report.add(
        "relay / direct: calls",
        "ratio",
        Spread::of_ratios(&relay.closed_per_s, &direct.closed_per_s),
    );
    for other in rest {
        let name = other.name.trim_start_matches("echo through ");
        let mut add = |what: &str, ours: &[f64], theirs: &[f64]| {
            report.add(format!("relay / {name}: {what}"), "ratio", Spread::of_ratios(ours, theirs));
        };
        add("calls", &relay.closed_per_s, &other.closed_per_s);
        add("CPU a call, closed", &relay.closed_cpu_us, &other.closed_cpu_us);
        add("CPU a call, open", &relay.open_cpu_us, &other.open_cpu_us);
        add("p50, open", &relay.open_p50_ms, &other.open_p50_ms);
    }
    Ok(())
}

async fn before_the_issuer(
    args: &CallsArgs,
    todoke: &Path,
    folder: &Path,
    pki: &Pki,
    report: &mut Report,
) -> Result<(), Failure> {
    let issuer = peers::issuer(todoke, folder, pki)?;
    let upstream = issuer.address.clone();
    let relay = peers::relay(todoke, folder, pki, &upstream, true)?;
    let request = pb::GetBatchRequest { batch_id: one_batch(todoke, folder, pki, &relay)? };
    let target = |address: &str| -> Result<Target, Failure> {
        let path = PathAndQuery::from_static("/todoke.v1.BatchService/GetBatch");
        Ok(Target { channels: pki.channels(address, 1)?, path, request: request.encode_to_vec().into() })
    };
    let mut sides = [
        Side::new("GetBatch direct", target(&upstream)?, None),
        Side::new("GetBatch through the relay", target(&relay.address)?, Some(relay)),
    ];
    measure(args, &mut sides, issuer_callers(args), args.issuer_rate, report).await?;
    let [direct, relay] = &sides;
    let ratios = Spread::of_ratios(&relay.open_p50_ms, &direct.open_p50_ms);
    report.add("GetBatch, relay / direct: p50, open", "ratio", ratios);
    drop(issuer);
    Ok(())
}

/// Imports one batch and returns its id.
fn one_batch(todoke: &Path, folder: &Path, pki: &Pki, relay: &Peer) -> Result<String, Failure> {
    let (file, endpoints) = (import::sample(todoke, folder, BATCH_RECORDS)?, folder.join("endpoints.json"));
    let own = &pki.municipalities[0];
    fs::write(
        &endpoints,
        serde_json::to_string(&serde_json::json!({
            "server_name": SERVER_NAME,
            "ca": pki.dir.join("ca.pem"),
            "receipt_key": pki.dir.join("receipt.pub"),
            "relays": [{"id": "relay-1", "address": relay.address}],
            "clients": {"municipality/131229": {"cert": own.cert, "key": own.key}},
        }))?,
    )?;
    let words = ["import", "--as", "municipality/131229", "--endpoints"].map(OsStr::new);
    system::run(todoke, &[&words[..], &[endpoints.as_os_str(), file.as_os_str()]].concat())?;
    let receipt = fs::read_to_string(folder.join("cards.csv.receipt"))?;
    let id = receipt.lines().find_map(|line| line.strip_prefix("batch "));
    id.map(str::to_owned).ok_or_else(|| Failure::new("the receipt names no batch"))
}

/// Measures all sides in turn, each cycle beginning with another one, and reports each.
async fn measure(
    args: &CallsArgs,
    sides: &mut [Side],
    callers: usize,
    rate: u32,
    report: &mut Report,
) -> Result<(), Failure> {
    let (count, slice) = (sides.len(), Duration::from_secs(args.slice));
    for cycle in 0..args.cycles as usize {
        for turn in 0..count {
            sides[(turn + cycle) % count].closed(callers, slice).await?;
        }
        for turn in 0..count {
            sides[(turn + cycle) % count].open(rate, slice).await?;
        }
        let last: Vec<String> = sides.iter().map(Side::last).collect();
        progress(&format!("cycle {} of {}: {}", cycle + 1, args.cycles, last.join(", ")));
    }
    sides.iter().for_each(|side| side.report(report));
    Ok(())
}

impl Side {
    fn new(name: &'static str, target: Target, between: Option<Peer>) -> Self {
        Self {
            name,
            target,
            between,
            closed_per_s: Vec::new(),
            closed_p99_ms: Vec::new(),
            closed_cpu_us: Vec::new(),
            open_p50_ms: Vec::new(),
            open_p99_ms: Vec::new(),
            open_p999_ms: Vec::new(),
            open_cpu_us: Vec::new(),
        }
    }

    async fn closed(&mut self, callers: usize, slice: Duration) -> Result<(), Failure> {
        generator::closed(&self.target, callers, WARM_UP).await.map_err(self.said())?;
        let before = self.cpu_us()?;
        let sample = generator::closed(&self.target, callers, slice).await.map_err(self.said())?;
        if let (Some(before), Some(after)) = (before, self.cpu_us()?) {
            self.closed_cpu_us.push((after - before) / sample.calls as f64);
        }
        self.closed_per_s.push(sample.per_second());
        self.closed_p99_ms.push(sample.within_ms(0.99));
        Ok(())
    }

    async fn open(&mut self, rate: u32, slice: Duration) -> Result<(), Failure> {
        generator::open(&self.target, rate, WARM_UP).await.map_err(self.said())?;
        let before = self.cpu_us()?;
        let sample = generator::open(&self.target, rate, slice).await.map_err(self.said())?;
        if let (Some(before), Some(after)) = (before, self.cpu_us()?) {
            self.open_cpu_us.push((after - before) / sample.calls as f64);
        }
        self.open_p50_ms.push(sample.within_ms(0.5));
        self.open_p99_ms.push(sample.within_ms(0.99));
        self.open_p999_ms.push(sample.within_ms(0.999));
        Ok(())
    }

    fn said(&self) -> impl FnOnce(Failure) -> Failure {
        Failure::while_doing(self.name)
    }

    /// CPU time of the process in between so far.
    fn cpu_us(&self) -> Result<Option<f64>, Failure> {
        let Some(peer) = &self.between else { return Ok(None) };
        Ok(Some(process::cpu(peer.pid())?.as_secs_f64() * 1e6))
    }

    fn last(&self) -> String {
        format!("{} {:.0}/s", self.name, self.closed_per_s.last().copied().unwrap_or_default())
    }

    fn report(&self, report: &mut Report) {
        let name = self.name;
        report.add(format!("{name}: closed loop"), "calls/s", Spread::of(&self.closed_per_s));
        report.add(format!("{name}: closed loop p99"), "ms", Spread::of(&self.closed_p99_ms));
        report.add(format!("{name}: CPU a call, closed"), "µs", Spread::of(&self.closed_cpu_us));
        report.add(format!("{name}: open loop p50"), "ms", Spread::of(&self.open_p50_ms));
        report.add(format!("{name}: open loop p99"), "ms", Spread::of(&self.open_p99_ms));
        report.add(format!("{name}: open loop p99.9"), "ms", Spread::of(&self.open_p999_ms));
        report.add(format!("{name}: CPU a call, open"), "µs", Spread::of(&self.open_cpu_us));
        if let Some(peer) = &self.between {
            let peak = process::peak_rss_bytes(peer.pid()).map(|bytes| bytes as f64 / MIB);
            report.add(format!("{name}: peak memory"), "MiB", Spread::of(&Vec::from_iter(peak)));
        }
    }
}
