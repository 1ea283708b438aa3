//! A client of the database that writes small rows (`writer.py`) and says which of them were acknowledged.

use std::{
    collections::BTreeSet,
    io::{self, BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};

use tokio::time::Instant;

use crate::system::within;

/// Longest time that anything takes: a primary is replaced, and a dead one is back, on a machine with other
/// work.
const LIMIT: Duration = Duration::from_secs(120);
/// Who hears nothing for so long waits for a standby.
const SILENCE: Duration = Duration::from_secs(1);
/// The interpreter for which Debian's Patroni brings the client library.
const PYTHON: &str = "/usr/bin/python3";
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/failover/writer.py");

/// What it said so far.
#[derive(Default)]
struct Heard {
    acknowledged: BTreeSet<u64>,
    asked_again: usize,
    ended: bool,
}

pub(super) struct Writer {
    child: Child,
    /// It goes on as long as this is open.
    stdin: Option<ChildStdin>,
    heard: Arc<Mutex<Heard>>,
    reader: JoinHandle<()>,
}

impl Writer {
    pub(super) fn start(file: &Path) -> Self {
        let mut command = Command::new(PYTHON);
        command.arg(PROGRAM).arg(file).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("Python is installed");
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().expect("it was asked for"));
        let heard = Arc::new(Mutex::new(Heard::default()));
        let tells = Arc::clone(&heard);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                hear(&mut tells.lock().expect("nobody panics with it"), &line.expect("UTF-8"));
            }
        });
        Self { child, stdin, heard, reader }
    }

    fn acknowledged(&self) -> usize {
        self.heard.lock().expect("nobody panics with it").acknowledged.len()
    }

    /// Waits until so many more writes are acknowledged, and returns how long it took until the first one.
    pub(super) async fn goes_on_by(&self, more: usize) -> Duration {
        let (begun, before) = (Instant::now(), self.acknowledged());
        eventually("a write to be acknowledged", || self.acknowledged() > before).await;
        let first = begun.elapsed();
        eventually("writes to go on", || self.acknowledged() >= before + more).await;
        first
    }

    /// Waits until so many more are acknowledged, or none is for a second.
    pub(super) async fn goes_on_by_or_waits(&self, more: usize) {
        let before = self.acknowledged();
        let mut last = (before, Instant::now());
        eventually("writes to go on or to stand still", || {
            let now = self.acknowledged();
            if now != last.0 {
                last = (now, Instant::now());
            }
            now >= before + more || last.1.elapsed() > SILENCE
        })
        .await;
    }

    /// Stops it and returns what was acknowledged, and how often the fate of a write was unknown.
    pub(super) fn stop(mut self) -> (BTreeSet<u64>, usize) {
        drop(self.stdin.take());
        self.child.wait().expect("it ends");
        self.reader.join().expect("it read all of it");
        let heard = std::mem::take(&mut *self.heard.lock().expect("nobody panics with it"));
        assert!(heard.ended, "it said all that it had to say");
        (heard.acknowledged, heard.asked_again)
    }
}

fn hear(heard: &mut Heard, line: &str) {
    let id = |word: &str| word.parse().expect("a number");
    match line.split(' ').collect::<Vec<_>>()[..] {
        ["ack", row] | ["ack", row, "again"] => {
            heard.acknowledged.insert(id(row));
        }
        ["asked", "again", _] => heard.asked_again += 1,
        ["end"] => heard.ended = true,
        _ => panic!("it says {line:?}"),
    }
}

/// Waits until a condition holds.
pub(super) async fn eventually(what: &str, holds: impl FnMut() -> bool) {
    within(LIMIT, what, holds).await;
}

/// A process that does nothing until it is killed.
pub(super) fn who_waits() -> Child {
    Command::new("tail").args(["-f", "/dev/null"]).spawn().expect("it is everywhere")
}

/// Says a figure of a run, whether it passes or not.
pub(super) fn tell(what: &str) {
    writeln!(io::stdout(), "{what}").expect("it is open");
}
