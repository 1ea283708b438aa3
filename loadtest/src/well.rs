//! A pool in which all is well, under imports and small calls: nobody may be evicted, and no call or import
//! may fail, or the run does.
//! Before that, what its probes cost: the CPU of all its processes while nobody calls, probed and with
//! probes paused.
//!
//! Nothing is compressed: the rule goes by real seconds. `--seconds 21600` are six hours.

use std::{
    ffi::OsStr,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use clap::{Args, value_parser};
use serde_json::Value;
use todoke::client::session::Session;
use tokio::task::JoinSet;

use crate::{
    failure::Failure,
    figures::{Report, Spread},
    generator::schedule,
    import::most,
    imported::cpu_of,
    operator::{MUNICIPALITIES, Pool, sessions},
    progress,
    system::{self, Setup, System, pid},
};

/// A call that is not answered by then has failed.
const DEADLINE: Duration = Duration::from_secs(5);
/// What probes may take of a core, for each unit, in per cent.
const PROBES_GOAL: f64 = 1.0;
/// Longest time until probers have heard that they are to pause, or to go on: a report each second.
const HEARD: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
pub(crate) struct WellArgs {
    /// Seconds of imports and calls
    #[arg(long, value_name = "S", default_value_t = 600, value_parser = most(86_400))]
    seconds: u32,
    /// Calls a second, of five municipalities
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = most(5000))]
    rate: u32,
    /// Records of each import; one begins a minute
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = most(1_000_000))]
    records: u32,
    /// How many relays
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = value_parser!(u16).range(2..=16))]
    relays: u16,
    /// How often the probes' cost is measured
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = most(100))]
    cycles: u32,
    /// Seconds of a slice with probes, and of one without
    #[arg(long, value_name = "S", default_value_t = 30, value_parser = most(600))]
    slice: u32,
}

/// What became of calls and imports.
#[derive(Debug, Default)]
struct Load {
    calls: u64,
    failed: u64,
    /// How the first that failed did.
    first: Option<String>,
    imports: u64,
}

pub(crate) async fn run(args: &WellArgs, todoke: &Path) -> Result<Report, Failure> {
    let system = Arc::new(System::start(todoke, &Setup::of(args.relays))?);
    let pool = Pool { todoke, endpoints: system.endpoints_file() };
    pool.until_all_are_in_use(usize::from(args.relays)).await?;
    let mut report = Report { method: method(args), lines: Vec::new() };
    probes(args, &system, &pool, &mut report).await?;
    let before = cpu(&system)?;
    let load = load(args, &system, todoke).await?;
    let seconds = f64::from(args.seconds);
    let decisions = pool.ask(&["decisions", "--limit", "100000"]).await?;
    let of = |kind: &str| decisions.iter().filter(|one| one["kind"] == kind).count();
    let one = |value: f64| Spread::of(&[value]);
    report.add("calls", "calls", one(load.calls as f64));
    report.add("calls that failed", "calls", one(load.failed as f64));
    report.add("imports with a verified receipt", "imports", one(load.imports as f64));
    let used = cpu(&system)?;
    report.add("a relay under load", "% of a core", one(share(used.0 - before.0, seconds) / relays(args)));
    report.add("the issuer under load", "% of a core", one(share(used.1 - before.1, seconds)));
    report.add("steered away", "times", one(of("steer_away") as f64));
    report.add("evicted", "units", one(of("evict") as f64));
    match (of("evict"), load.first) {
        (0, None) => Ok(report),
        (evicted, first) => Err(Failure::new(format!(
            "{evicted} evictions and {} failed calls while all was well:\n{report}{}{}",
            load.failed,
            why(&decisions),
            first.map(|words| format!("\nthe first call that failed: {words}")).unwrap_or_default()
        ))),
    }
}

/// What is said of each eviction.
fn why(decisions: &[Value]) -> String {
    let evictions = decisions.iter().filter(|one| one["kind"] == "evict");
    evictions.map(|one| format!("\n{}: {}", one["time"], one["why"])).collect()
}

fn method(args: &WellArgs) -> Vec<String> {
    let WellArgs { seconds, rate, records, relays, slice, .. } = args;
    vec![
        format!(
            "{relays} relays and an issuer with nothing but defaults. First {slice} s at a time in which \
             nobody calls, in turn with probes, deep and shallow ones, and with those of all units paused: \
             what all processes need more with them, for each unit (goal: under {PROBES_GOAL} % of a core)."
        ),
        format!(
            "then {seconds} s of {rate} calls/s (ListBatches, open loop, {} municipalities, our own \
             client) and an import of {records} records each minute, or as soon as the last one has ended.",
            MUNICIPALITIES.len()
        ),
    ]
}

fn relays(args: &WellArgs) -> f64 {
    f64::from(args.relays)
}

/// Seconds of CPU in so many seconds, in per cent of a core.
fn share(cpu_s: f64, seconds: f64) -> f64 {
    100.0 * cpu_s / seconds
}

/// The CPU that all relays have used so far, and the issuer, in seconds.
fn cpu(system: &System) -> Result<(f64, f64), Failure> {
    let of = |nodes: &[todoke::client::endpoints::Node]| {
        cpu_of(&nodes.iter().map(pid).collect::<Result<Vec<u32>, _>>()?)
    };
    Ok((of(&system.endpoints().relays)?, of(&system.endpoints().issuers)?))
}

/// Has the probes of all units pause, or go on.
async fn pause(system: &System, pool: &Pool<'_>, pauses: bool) -> Result<(), Failure> {
    let how: &[&str] = if pauses { &["--for", "1h"] } else { &["--resume"] };
    for relay in &system.endpoints().relays {
        pool.ask(&[&["pause-probes", &relay.id], how].concat()).await?;
    }
    Ok(())
}

/// What the probes of an idle pool cost.
async fn probes(
    args: &WellArgs,
    system: &System,
    pool: &Pool<'_>,
    report: &mut Report,
) -> Result<(), Failure> {
    let (mut probed, mut paused, mut is_paused) = (Vec::new(), Vec::new(), false);
    for cycle in 0..args.cycles {
        for side in 0..2 {
            let pauses = (side + cycle) % 2 == 0;
            if pauses != is_paused {
                pause(system, pool, pauses).await?;
                is_paused = pauses;
            }
            tokio::time::sleep(HEARD).await;
            let (begun, before) = (Instant::now(), cpu(system)?);
            tokio::time::sleep(Duration::from_secs(args.slice.into())).await;
            let (after, seconds) = (cpu(system)?, begun.elapsed().as_secs_f64());
            let (of_relays, of_issuer) = (after.0 - before.0, after.1 - before.1);
            let shares = [of_relays / relays(args), of_issuer, (of_relays + of_issuer) / relays(args)]
                .map(|cpu_s| share(cpu_s, seconds));
            if pauses { &mut paused } else { &mut probed }.push(shares);
        }
        progress(&format!("probes, cycle {} of {}: done", cycle + 1, args.cycles));
    }
    if is_paused {
        pause(system, pool, false).await?;
    }
    let side = |side: &[[f64; 3]], at: usize| side.iter().map(|shares| shares[at]).collect::<Vec<f64>>();
    for (at, who) in ["a relay", "the issuer"].into_iter().enumerate() {
        for (how, all) in [("probed", &probed), ("probes paused", &paused)] {
            report.add(format!("{who}, idle, {how}"), "% of a core", Spread::of(&side(all, at)));
        }
    }
    let more: Vec<f64> =
        side(&probed, 2).iter().zip(side(&paused, 2)).map(|(with, without)| with - without).collect();
    report.add("probes of a unit, by all who probe it", "% of a core", Spread::of(&more));
    Ok(())
}

/// Imports and calls, for so long.
async fn load(args: &WellArgs, system: &Arc<System>, todoke: &Path) -> Result<Load, Failure> {
    let longest = Duration::from_secs(args.seconds.into());
    let end = Instant::now() + longest;
    let (todoke, records, of) = (todoke.to_owned(), args.records, Arc::clone(system));
    let mut importing = tokio::task::spawn_blocking(move || imports(&todoke, &of, records, end));
    let ended =
        |ended: Result<Result<u64, Failure>, _>| ended.map_err(Failure::while_doing("the imports"))?;
    let sessions = sessions(system, DEADLINE)?;
    let (mut due, mut calls, mut turn, mut load) =
        (schedule(args.rate, longest), JoinSet::new(), 0, Load::default());
    let mut imported = None;
    loop {
        tokio::select! {
            due = due.recv() => if due.is_none() { break },
            // One that failed ends the run at once.
            done = &mut importing, if imported.is_none() => {
                imported = Some(ended(done)?);
                continue;
            }
        }
        let session = Arc::clone(&sessions[turn % sessions.len()]);
        turn += 1;
        calls.spawn(async move { call(&session).await });
        while let Some(done) = calls.try_join_next() {
            load.count(done.unwrap_or_else(|error| Err(error.to_string())));
        }
    }
    calls.join_all().await.into_iter().for_each(|answered| load.count(answered));
    load.imports = match imported {
        Some(imports) => imports,
        None => ended(importing.await)?,
    };
    Ok(load)
}

impl Load {
    fn count(&mut self, answered: Result<(), String>) {
        self.calls += 1;
        if let Err(words) = answered {
            self.failed += 1;
            self.first.get_or_insert(words);
        }
    }
}

async fn call(session: &Session) -> Result<(), String> {
    session.list_batches("").await.map(drop).map_err(|error| error.to_string())
}

/// One import after another until then, one a minute at the most; how many there were.
fn imports(todoke: &Path, system: &System, records: u32, end: Instant) -> Result<u64, Failure> {
    let mut imports = 0;
    while Instant::now() < end {
        let begun = Instant::now();
        let file = system.folder().join(format!("cards-{imports}.csv"));
        let (number, records) = ((1000 + imports).to_string(), records.to_string());
        let words = ["sample", "--municipality", "131229", "--seed", &number, "--records", &records, "--out"];
        let words: Vec<&OsStr> = words.iter().map(OsStr::new).chain([file.as_os_str()]).collect();
        system::run(todoke, &words)?;
        let imported = Command::new(todoke)
            .arg("import")
            .arg(&file)
            .args(["--as", "municipality/131229", "--output", "json", "--endpoints"])
            .arg(system.endpoints_file())
            .stdin(Stdio::null())
            .output()?;
        if !imported.status.success() {
            let words = String::from_utf8_lossy(&imported.stdout).into_owned();
            return Err(Failure::new(format!("`todoke import` ended with {}: {words}", imported.status)));
        }
        std::fs::remove_file(&file)?;
        imports += 1;
        let next = (begun + Duration::from_secs(60)).min(end);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(imports)
}
