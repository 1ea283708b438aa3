//! From a record file to a verified receipt through relays, against SQLite's own bulk insert of the same
//! records: both end with every record durable, and both begin with an empty database.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use clap::{Args, value_parser};

use crate::{
    bulk::{self, Row},
    failure::Failure,
    figures::{Report, Spread},
    process::{self, Finished},
    progress,
    system::{self, System, pid},
};

const CALLER: &str = "municipality/131229";
pub(crate) const MIB: f64 = 1024.0 * 1024.0;

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// How many records the file has
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = most(10_000_000))]
    records: u32,
    /// How many times both sides are measured
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = most(100))]
    cycles: u32,
    /// How many relays the client has
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = value_parser!(u16).range(1..=16))]
    relays: u16,
}

pub(crate) fn most(limit: i64) -> clap::builder::RangedI64ValueParser<u32> {
    value_parser!(u32).range(1..=limit)
}

/// What one import used, process by process.
pub(crate) struct Slice {
    pub(crate) client: Finished,
    relays_cpu_s: f64,
    /// Of the larger relay.
    pub(crate) relay_peak_rss: f64,
    issuer_cpu_s: f64,
    pub(crate) issuer_peak_rss: f64,
}

#[derive(Default)]
struct Measured {
    import: Vec<f64>,
    bulk: Vec<f64>,
    slices: Vec<Slice>,
}

pub(crate) async fn run(args: &ImportArgs, todoke: &Path) -> Result<Report, Failure> {
    let folder = tempfile::Builder::new().prefix("todoke-loadtest-").tempdir()?;
    let file = sample(todoke, folder.path(), args.records)?;
    let rows = bulk::read(&file)?;
    let records = f64::from(args.records);
    let mut measured = Measured::default();
    for cycle in 0..args.cycles {
        for side in 0..2 {
            if (side + cycle) % 2 == 0 {
                let slice = import(args.relays, todoke, &file)?;
                measured.import.push(records / slice.client.wall.as_secs_f64());
                measured.slices.push(slice);
            } else {
                measured.bulk.push(records / bulk_slice(&rows).await?);
            }
        }
        progress(&format!(
            "cycle {} of {}: import {:.0} records/s, bulk insert {:.0} records/s",
            cycle + 1,
            args.cycles,
            measured.import.last().copied().unwrap_or_default(),
            measured.bulk.last().copied().unwrap_or_default()
        ));
    }
    Ok(report(args, &measured, fs::metadata(&file)?.len()))
}

pub(crate) fn sample(todoke: &Path, folder: &Path, records: u32) -> Result<PathBuf, Failure> {
    let file = folder.join("cards.csv");
    if file.exists() {
        fs::remove_file(&file)?; // of the run before: a file that is there is not written over
    }
    let records = records.to_string();
    let words = ["sample", "--municipality", "131229", "--seed", "7", "--records", &records, "--out"];
    let words: Vec<&OsStr> = words.iter().map(OsStr::new).chain([file.as_os_str()]).collect();
    system::run(todoke, &words)?;
    Ok(file)
}

/// One import into an empty system; the system's start and end are not in the time, everything else is.
pub(crate) fn import(relays: u16, todoke: &Path, file: &Path) -> Result<Slice, Failure> {
    let system = System::start(todoke, relays)?;
    // Journal and receipt are written beside the file, so that each run has a name of its own for it.
    let own = system.folder().join("cards.csv");
    fs::hard_link(file, &own).or_else(|_| fs::copy(file, &own).map(drop))?;
    let relays = system.endpoints().relays.iter().map(pid).collect::<Result<Vec<u32>, _>>()?;
    let issuer =
        pid(system.endpoints().issuers.first().ok_or_else(|| Failure::new("there is no issuer"))?)?;
    let before = (cpu_of(&relays)?, cpu_of(&[issuer])?);

    let log = system.folder().join("import.log");
    let started = Instant::now();
    let client = Command::new(todoke)
        .arg("import")
        .arg(&own)
        .args(["--as", CALLER, "--output", "json", "--endpoints"])
        .arg(system.endpoints_file())
        .stdin(Stdio::null())
        .stdout(fs::File::create(&log)?)
        .stderr(Stdio::null())
        .spawn()?;
    let client = process::watch(client, started)?;
    if !client.status.success() {
        let words = fs::read_to_string(&log).unwrap_or_default();
        return Err(Failure::new(format!("`todoke import` ended with {}: {words}", client.status)));
    }
    let peaks =
        relays.iter().map(|relay| process::peak_rss_bytes(*relay)).collect::<Result<Vec<u64>, _>>()?;
    Ok(Slice {
        client,
        relays_cpu_s: cpu_of(&relays)? - before.0,
        relay_peak_rss: peaks.into_iter().max().unwrap_or_default() as f64,
        issuer_cpu_s: cpu_of(&[issuer])? - before.1,
        issuer_peak_rss: process::peak_rss_bytes(issuer)? as f64,
    })
}

pub(crate) fn cpu_of(processes: &[u32]) -> Result<f64, Failure> {
    let mut seconds = 0.0;
    for process in processes {
        seconds += process::cpu(*process)?.as_secs_f64();
    }
    Ok(seconds)
}

async fn bulk_slice(rows: &[Row]) -> Result<f64, Failure> {
    let folder = tempfile::Builder::new().prefix("todoke-loadtest-").tempdir()?;
    Ok(bulk::insert(folder.path(), rows).await?.as_secs_f64())
}

fn report(args: &ImportArgs, measured: &Measured, file_bytes: u64) -> Report {
    let mut report = Report {
        method: vec![
            format!(
                "`todoke import` of {} records ({:.1} MiB of CSV) through {} relays into an empty issuer on \
                 SQLite, from the start of the process to its end with a verified receipt,",
                args.records,
                file_bytes as f64 / MIB,
                args.relays
            ),
            "against SQLite's own multi-row prepared insert of the same records in the same run (WAL, \
             synchronous=FULL, a commit every 4,096 rows)."
                .to_owned(),
        ],
        lines: Vec::new(),
    };
    let of =
        |figure: fn(&Slice) -> f64| Spread::of(&measured.slices.iter().map(figure).collect::<Vec<f64>>());
    report.add("import", "records/s", Spread::of(&measured.import));
    report.add("bulk insert", "records/s", Spread::of(&measured.bulk));
    report.add("import / bulk insert", "ratio", Spread::of_ratios(&measured.import, &measured.bulk));
    report.add("CPU of the client", "s", of(|slice| slice.client.cpu.as_secs_f64()));
    report.add("CPU of all relays", "s", of(|slice| slice.relays_cpu_s));
    report.add("CPU of the issuer", "s", of(|slice| slice.issuer_cpu_s));
    report.add("peak memory of the client", "MiB", of(|slice| slice.client.peak_rss_bytes as f64 / MIB));
    report.add("peak memory of the larger relay", "MiB", of(|slice| slice.relay_peak_rss / MIB));
    report.add("peak memory of the issuer", "MiB", of(|slice| slice.issuer_peak_rss / MIB));
    report
}
