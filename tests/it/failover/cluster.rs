//! A Patroni cluster of real processes in a folder of its own, by the script that everybody else has.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    super::system::{Signal, is_alive, signal},
    writer::eventually,
};

const LOCAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/patroni/local");

/// Taken down when it is dropped, and when this process ends in another way.
pub(super) struct Cluster(TempDir);

impl Cluster {
    /// Makes one and waits until it is whole.
    pub(super) fn up(more: &[&str]) -> Self {
        Self::of(std::process::id(), more)
    }

    /// The same, for as long as a process runs.
    pub(super) fn of(process: u32, more: &[&str]) -> Self {
        let folder = folder();
        // The user postgres is to get in, who the cluster's processes are if this one is root.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).expect("it is ours");
        let cluster = Self(folder);
        let process = process.to_string();
        cluster.must("up", &[&["--while", &process], more].concat());
        cluster
    }

    fn dir(&self) -> PathBuf {
        self.0.path().join("ha")
    }

    pub(super) fn file(&self) -> PathBuf {
        self.dir().join("cluster.json")
    }

    fn known(&self) -> Value {
        serde_json::from_slice(&fs::read(self.file()).expect("it was written")).expect("it is JSON")
    }

    fn local(&self, command: &str, more: &[&str]) -> Output {
        let mut local = Command::new(LOCAL);
        local.arg(command).arg("--dir").arg(self.dir()).args(more).stdin(Stdio::null());
        local.output().expect("it is there, and may be run")
    }

    /// Has the script carry out a command; each of its waits has a limit.
    fn must(&self, command: &str, more: &[&str]) -> String {
        let output = self.local(command, more);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        assert!(output.status.success(), "{command} {more:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Waits until all nodes run and follow the primary.
    pub(super) fn is_whole(&self) {
        self.must("status", &["--wait"]);
    }

    /// Kills the primary and returns its name.
    pub(super) fn kill_primary(&self) -> String {
        self.must("kill-primary", &[])
    }

    pub(super) fn start(&self, node: &str) {
        self.must("start", &[node]);
    }

    /// Has all processes of the primary stand still, and returns its name.
    pub(super) fn stop_primary(&self) -> String {
        self.must("stop-primary", &[])
    }

    pub(super) fn go_on(&self, node: &str) {
        self.must("continue", &[node]);
    }

    /// Stops what sends to the standbys, until it is killed with its primary.
    pub(super) fn hold_standbys_back(&self) {
        let pids = self.query("SELECT pid FROM pg_stat_replication");
        assert_eq!(pids.len(), 2, "both standbys follow");
        for pid in pids {
            signal(Signal::STOP, u32::try_from(pid).expect("a process"));
        }
    }

    /// The ids of all rows that the writer's table has.
    pub(super) fn rows(&self) -> BTreeSet<u64> {
        self.query("SELECT id FROM small_write").into_iter().collect()
    }

    fn query(&self, sql: &str) -> Vec<u64> {
        let said = self::sql(&self.url("database"), sql).expect("the primary answers");
        said.lines().map(|line| line.parse().expect("a number")).collect()
    }

    /// The URL of `cluster.json` for a role.
    pub(super) fn url(&self, key: &str) -> String {
        self.known()[key].as_str().expect("a text").to_owned()
    }

    /// Every process that has to do with the folder.
    pub(super) fn processes(&self) -> BTreeSet<u32> {
        let dir = self.dir();
        let entries = fs::read_dir("/proc").expect("Linux").flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| is_alive(*pid) && works_in(*pid, &dir)).collect()
    }

    /// Waits until these processes have ended, and the folder is removed.
    pub(super) async fn is_gone(&self, processes: &BTreeSet<u32>) {
        eventually("every process to end", || !processes.iter().any(|pid| is_alive(*pid))).await;
        eventually("the folder to be removed", || !self.dir().exists()).await;
        assert_eq!(self.processes(), BTreeSet::new());
    }
}

/// A folder in memory if there is room, since three databases are made and removed; what a process that is
/// killed has written is kept there, too.
fn folder() -> TempDir {
    let free = Command::new("df").args(["--output=avail", "--block-size=1G", "/dev/shm"]).output();
    let free = free.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let roomy =
        free.lines().last().and_then(|line| line.trim().parse::<u64>().ok()).is_some_and(|free| free >= 4);
    let made = if roomy { tempfile::tempdir_in("/dev/shm") } else { tempfile::tempdir() };
    made.expect("a temporary folder")
}

/// What the primary says to a statement, or why it does not.
pub(super) fn sql(url: &str, statement: &str) -> Result<String, String> {
    let mut psql = Command::new("psql");
    psql.args([
        "--no-psqlrc",
        "--tuples-only",
        "--no-align",
        "--quiet",
        "--set=ON_ERROR_STOP=1",
        "--command",
    ])
    .arg(statement)
    .arg(format!("{url}&target_session_attrs=read-write&connect_timeout=10"))
    .stdin(Stdio::null());
    let output = psql.output().expect("it is installed");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Whether a process has the folder for its own, or stands in it.
fn works_in(pid: u32, dir: &Path) -> bool {
    fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|place| place.starts_with(dir))
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.file().exists() {
            let said = self.local("down", &[]);
            let what = String::from_utf8_lossy(&said.stderr).into_owned();
            assert!(said.status.success() || std::thread::panicking(), "down: {what}");
        }
    }
}
