//! Imports into a new and empty system, from the start of the first client to the end of the last, and what
//! each process used for it.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use todoke::client::endpoints::Node;

use crate::{
    failure::Failure,
    process::{self, Finished},
    system::{self, Setup, System, pid},
};

/// Who can import in a system of `todoke dev`.
pub(crate) const CALLERS: [&str; 5] = ["131229", "131211", "131237", "011002", "271004"];

/// A record file and the municipality that it is of.
pub(crate) struct Input {
    pub(crate) municipality: &'static str,
    pub(crate) file: PathBuf,
}

/// What all imports of a slice used together, process by process.
pub(crate) struct Slice {
    /// Until the last receipt was verified.
    pub(crate) wall: Duration,
    pub(crate) clients_cpu_s: f64,
    /// Of the largest client.
    pub(crate) client_peak_rss: f64,
    pub(crate) relays_cpu_s: f64,
    /// Of the largest relay.
    pub(crate) relay_peak_rss: f64,
    pub(crate) issuers_cpu_s: f64,
    /// Of the largest issuer.
    pub(crate) issuer_peak_rss: f64,
}

/// Writes a record file for one of [`CALLERS`].
pub(crate) fn sample(
    todoke: &Path,
    folder: &Path,
    municipality: &'static str,
    records: u32,
) -> Result<Input, Failure> {
    let file = folder.join(format!("cards-{municipality}.csv"));
    if file.exists() {
        fs::remove_file(&file)?; // of the run before: a file that is there is not written over
    }
    let records = records.to_string();
    let words = ["sample", "--municipality", municipality, "--seed", "7", "--records", &records, "--out"];
    let words: Vec<&OsStr> = words.iter().map(OsStr::new).chain([file.as_os_str()]).collect();
    system::run(todoke, &words)?;
    Ok(Input { municipality, file })
}

/// Imports all files at once; the system's start and end are not in the time, everything else is.
pub(crate) fn import(todoke: &Path, setup: &Setup, inputs: &[Input]) -> Result<Slice, Failure> {
    let system = System::start(todoke, setup)?;
    let pids = |nodes: &[Node]| nodes.iter().map(pid).collect::<Result<Vec<u32>, _>>();
    let (relays, issuers) = (pids(&system.endpoints().relays)?, pids(&system.endpoints().issuers)?);
    let before = (cpu_of(&relays)?, cpu_of(&issuers)?);
    let started = Instant::now();
    let clients = thread::scope(|scope| {
        let system = &system;
        let one = |input| scope.spawn(move || client(todoke, system, input));
        let running: Vec<_> = inputs.iter().map(one).collect();
        let ended = running.into_iter().map(|one| one.join().expect("it does not panic"));
        ended.collect::<Result<Vec<Finished>, Failure>>()
    })?;
    let wall = started.elapsed();
    let largest = |pids: &[u32]| -> Result<f64, Failure> {
        let all = pids.iter().map(|pid| process::peak_rss_bytes(*pid)).collect::<Result<Vec<u64>, _>>()?;
        Ok(all.into_iter().max().unwrap_or_default() as f64)
    };
    Ok(Slice {
        wall,
        clients_cpu_s: clients.iter().map(|client| client.cpu.as_secs_f64()).sum(),
        client_peak_rss: clients.iter().map(|client| client.peak_rss_bytes).max().unwrap_or_default() as f64,
        relays_cpu_s: cpu_of(&relays)? - before.0,
        relay_peak_rss: largest(&relays)?,
        issuers_cpu_s: cpu_of(&issuers)? - before.1,
        issuer_peak_rss: largest(&issuers)?,
    })
}

/// One `todoke import`, from its start to its end.
pub(crate) fn client(todoke: &Path, system: &System, input: &Input) -> Result<Finished, Failure> {
    // Journal and receipt are written beside the file, so that each run has a name of its own for it.
    let own = system.folder().join(format!("{}.csv", input.municipality));
    fs::hard_link(&input.file, &own).or_else(|_| fs::copy(&input.file, &own).map(drop))?;
    let log = own.with_extension("log");
    let client = Command::new(todoke)
        .arg("import")
        .arg(&own)
        .args(["--as", &format!("municipality/{}", input.municipality)])
        .args(["--output", "json", "--endpoints"])
        .arg(system.endpoints_file())
        .stdin(Stdio::null())
        .stdout(fs::File::create(&log)?)
        .stderr(Stdio::null())
        .spawn()?;
    let client = process::watch(client)?;
    if client.status.success() {
        return Ok(client);
    }
    let words = fs::read_to_string(&log).unwrap_or_default();
    Err(Failure::new(format!("`todoke import` ended with {}: {words}", client.status)))
}

pub(crate) fn cpu_of(processes: &[u32]) -> Result<f64, Failure> {
    let mut seconds = 0.0;
    for process in processes {
        seconds += process::cpu(*process)?.as_secs_f64();
    }
    Ok(seconds)
}
