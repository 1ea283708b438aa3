//! A whole todoke system of real processes in a folder of its own, gone when it is dropped.

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use todoke::client::endpoints::{Endpoints, Node};

use crate::failure::Failure;

/// Longest time from the start to `endpoints.json`.
const START_MAX: Duration = Duration::from_secs(60);
/// Longest time from Ctrl-C to the end.
const STOP_MAX: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What a system is made of.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) relays: u16,
    pub(crate) issuers: u16,
    /// A database of a server; `None`: a file of its own.
    pub(crate) database: Option<String>,
}

impl Setup {
    /// One issuer on a file of its own, and so many relays.
    pub(crate) fn of(relays: u16) -> Self {
        Self { relays, issuers: 1, database: None }
    }
}

/// A running system.
pub(crate) struct System {
    dev: Child,
    dir: TempDir,
    endpoints: Endpoints,
}

impl System {
    /// Starts `todoke dev`, and waits until all its processes are ready.
    pub(crate) fn start(todoke: &Path, setup: &Setup) -> Result<Self, Failure> {
        let dir = tempfile::Builder::new().prefix("todoke-loadtest-").tempdir()?;
        let log = dir.path().join("dev.log");
        let mut dev = Command::new(todoke)
            .args(["dev", "--no-restart", "--relays", &setup.relays.to_string()])
            .args(["--issuers", &setup.issuers.to_string()])
            .args(["--database", setup.database.as_deref().unwrap_or("sqlite"), "--dir"])
            .arg(dir.path().join("system"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()?;
        let file = dir.path().join("system/endpoints.json");
        let ready = eventually(START_MAX, || {
            if let Some(status) = dev.try_wait()? {
                let words = fs::read_to_string(&log).unwrap_or_default();
                return Err(Failure::new(format!("`todoke dev` ended with {status}: {words}")));
            }
            Ok(file.exists())
        });
        if let Err(failure) = ready {
            end(&mut dev);
            return Err(failure);
        }
        let endpoints = Endpoints::load(&file).map_err(Failure::while_doing("endpoints.json"))?;
        Ok(Self { dev, dir, endpoints })
    }

    /// What the system says of itself.
    pub(crate) fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// The file that says it.
    pub(crate) fn endpoints_file(&self) -> PathBuf {
        self.dir.path().join("system/endpoints.json")
    }

    /// A folder that goes with the system.
    pub(crate) fn folder(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        end(&mut self.dev);
    }
}

/// Runs a command of todoke to its end, and returns what it says. It says its failure on standard error, or
/// with `--output json` on standard output.
pub(crate) fn run(todoke: &Path, arguments: &[&OsStr]) -> Result<String, Failure> {
    let output = Command::new(todoke).args(arguments).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return String::from_utf8(output.stdout).map_err(Failure::while_doing("what it says"));
    }
    let words = [&output.stderr, &output.stdout].map(|words| String::from_utf8_lossy(words));
    let words = words.map(|words| words.trim().to_owned()).join(" ");
    Err(Failure::new(format!("`todoke {}`: {}", arguments[0].display(), words.trim())))
}

/// The process of a node, which `todoke dev` always names.
pub(crate) fn pid(node: &Node) -> Result<u32, Failure> {
    node.pid.ok_or_else(|| Failure::new(format!("endpoints.json does not say which process {} is", node.id)))
}

/// Waits until a condition holds.
pub(crate) fn eventually(
    limit: Duration,
    mut holds: impl FnMut() -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let started = Instant::now();
    while !holds()? {
        if started.elapsed() > limit {
            return Err(Failure::new(format!("a process was not ready after {limit:?}; look at its log")));
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// Ends a process as Ctrl-C does, so that it takes its own children with it; kills it if that takes too long.
pub(crate) fn end(process: &mut Child) {
    if process.try_wait().is_ok_and(|ended| ended.is_some()) {
        return;
    }
    let asked = Command::new("sh").args(["-c", "kill -INT $0", &process.id().to_string()]).status();
    let ended = asked.is_ok() && eventually(STOP_MAX, || Ok(process.try_wait()?.is_some())).is_ok();
    if !ended {
        let _ = process.kill();
        let _ = process.wait();
    }
}
