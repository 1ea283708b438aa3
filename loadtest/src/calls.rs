//! Unary calls: what a relay costs before a backend that costs nothing, beside HAProxy in the same place; and
//! what a real call to the issuer takes, direct and through one relay.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;

use crate::{
    echo::Echo,
    failure::Failure,
    figures::{Report, Spread},
    import::Database,
    peers::{self, MUNICIPALITIES, Pki, Place},
    server::Server,
    side::{Load, Side, measure},
    targets::{self, REPLY_BYTES, REQUEST_BYTES},
};

#[derive(Debug, Args)]
pub(crate) struct CallsArgs {
    #[command(flatten)]
    load: Load,
    /// Leaves HAProxy out, which otherwise has to be installed (apt-get install haproxy)
    #[arg(long)]
    without_haproxy: bool,
    /// Another build of todoke, whose relay is measured beside this one
    #[arg(long, value_name = "PROGRAM")]
    other: Option<PathBuf>,
    /// The issuer's database; postgres is a throw-away server
    #[arg(long, value_enum, default_value_t = Database::Sqlite)]
    database: Database,
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
             connections of as many municipalities; relay with all its policy on but a lease, \
             as the backend keeps no pool; {peer}.",
            MUNICIPALITIES.len()
        ),
        format!(
            "closed loop: {} calls in flight; open loop: {} calls/s, latency from the time a call was due. \
             Load generator and backend: tonic, in one process with {} workers; its CPU is in no figure.",
            args.load.callers,
            args.load.rate,
            tokio::runtime::Handle::current().metrics().num_workers()
        ),
        format!(
            "issuer on {:?}: GetBatch of one batch, direct and through one relay, closed loop with {} in \
             flight and open loop at {} calls/s.",
            args.database,
            args.load.issuer_callers(),
            args.load.issuer_rate
        ),
    ]
}

async fn before_a_cheap_backend(
    args: &CallsArgs,
    todoke: &Path,
    folder: &Path,
    pki: &Pki,
    report: &mut Report,
) -> Result<(), Failure> {
    let threads = std::thread::available_parallelism()?.get();
    let echo = Echo::start(pki.backend_tls()?, None).await?;
    let upstream = echo.address.to_string();
    let place = Place { number: 1, upstream: &upstream, pool: true };
    let mut sides = vec![Side::new("echo direct", targets::echo(pki, &upstream)?, None)];
    let relay = peers::relay(todoke, folder, pki, &place).await?;
    sides.push(Side::new("echo through the relay", targets::echo(pki, &relay.address)?, Some(relay)));
    if !args.without_haproxy {
        let haproxy = peers::haproxy(folder, pki, &upstream, threads)?;
        sides.push(Side::new("echo through HAProxy", targets::echo(pki, &haproxy.address)?, Some(haproxy)));
    }
    if let Some(other) = &args.other {
        let folder = folder.join("other");
        fs::create_dir(&folder)?;
        let relay = peers::relay(other, &folder, pki, &place).await?;
        sides.push(Side::new(
            "echo through the other relay",
            targets::echo(pki, &relay.address)?,
            Some(relay),
        ));
    }
    let load = &args.load;
    measure(load, &mut sides, usize::from(load.callers), load.rate, report).await?;
    let [direct, relay, rest @ ..] = sides.as_slice() else { return Ok(()) };
    report.add(
        "relay / direct: calls",
        "ratio",
        Spread::of_ratios(&relay.closed_per_s, &direct.closed_per_s),
    );
    for other in rest {
        let name = other.name.trim_start_matches("echo through ");
        relay.compare(other, &format!("relay / {name}"), report);
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
    let (_server, database) = match args.database {
        Database::Sqlite => (None, None),
        Database::Postgres => {
            let mut server = Server::start()?;
            let database = server.database().await?;
            let url = server.url(&database);
            (Some(server), Some(url))
        }
    };
    let issuer = peers::issuer(todoke, folder, pki, true, database.as_deref())?;
    let upstream = issuer.address.clone();
    let relay =
        peers::relay(todoke, folder, pki, &Place { number: 1, upstream: &upstream, pool: true }).await?;
    let endpoints = targets::endpoints(folder, pki, &issuer, &relay)?;
    let batch = targets::one_batch(todoke, folder, &endpoints)?;
    let mut sides = [
        Side::new("GetBatch direct", targets::get_batch(pki, &upstream, &batch)?, None),
        Side::new(
            "GetBatch through the relay",
            targets::get_batch(pki, &relay.address, &batch)?,
            Some(relay),
        ),
    ];
    let load = &args.load;
    measure(load, &mut sides, load.issuer_callers(), load.issuer_rate, report).await?;
    let [direct, relay] = &sides;
    let ratios = Spread::of_ratios(&relay.open_p50_ms, &direct.open_p50_ms);
    report.add("GetBatch, relay / direct: p50, open", "ratio", ratios);
    drop(issuer);
    Ok(())
}
