//! What the controller was told is written without ever holding it up: what the disk does not take is
//! counted, and nothing more is written before a new `start`, so that whatever is there can be run again.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
};

use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    FORMAT, LINE_BYTES_MAX, Line, Second,
    files::{Files, Room},
};
use crate::{
    pool::{
        policy::{Decision, Policy},
        rule::Judge,
    },
    runtime::{OnDeath, Tasks, blocking},
    telemetry::names,
};

/// Steps that wait for the disk; one more is dropped.
const WAITING_MAX: usize = 64;

/// Steps that pass after a failure before the next try.
const PAUSE: u32 = 10;

/// Seconds between two starts of one file: no more are judged again to know what the judge knew.
pub(super) const START_EVERY_S: u64 = 300;

/// Where the controller leaves what it was told; without a folder it is forgotten. A clone is the same.
#[derive(Clone, Default)]
pub struct Recorder(Option<Arc<Pipe>>);

struct Pipe {
    queue: mpsc::Sender<Entry>,
    signs: Arc<Signs>,
}

/// What controller and writer tell each other.
#[derive(Default)]
struct Signs {
    /// What comes does not follow on what was written: nothing is, until a start is.
    broken: AtomicBool,
    /// The file is nearly full: a start is wanted, and lines go on until then.
    full: AtomicBool,
    /// Steps until the next try.
    pause: AtomicU32,
    /// The second of the last start.
    began: AtomicU64,
}

enum Entry {
    Start(Box<Began>),
    Second(Box<(Second, Vec<Decision>)>),
}

struct Began {
    second: u64,
    policy: Policy,
    judge: Judge,
    /// Whether the file may be the one that is written.
    within: bool,
}

impl Recorder {
    /// Writes into this folder, at most so many bytes, as a task of `tasks`.
    #[must_use]
    pub fn into_folder(folder: PathBuf, bytes_max: u64, tasks: &Tasks) -> Self {
        let (queue, entries) = mpsc::channel(WAITING_MAX);
        let signs = Arc::new(Signs { broken: AtomicBool::new(true), ..Signs::default() });
        let writer = Writer { signs: Arc::clone(&signs), failing: false };
        let files = Files::new(folder, bytes_max);
        tasks.spawn("pool-ledger", OnDeath::Ignore, writer.run(files, entries, tasks.soft()));
        Self(Some(Arc::new(Pipe { queue, signs })))
    }

    /// What comes next does not follow on what came before, as when another issuer has decided since.
    pub(in crate::pool) fn interrupt(&self) {
        if let Some(Pipe { signs, .. }) = self.0.as_deref() {
            signs.broken.store(true, Relaxed);
        }
    }

    /// Begins anew before the step of this second, if that is due.
    pub(in crate::pool) fn before(&self, second: u64, policy: &Policy, judge: &Judge) {
        let Some(Pipe { queue, signs }) = self.0.as_deref() else { return };
        let anew = signs.broken.load(Relaxed) || signs.full.load(Relaxed);
        let due = anew || second >= signs.began.load(Relaxed).saturating_add(START_EVERY_S);
        let waits = signs.pause.fetch_update(Relaxed, Relaxed, |steps| steps.checked_sub(1)).is_ok();
        if !due || waits || queue.capacity() == 0 {
            return;
        }
        let (policy, judge) = (policy.clone(), judge.clone());
        let start = Entry::Start(Box::new(Began { second, policy, judge, within: !anew }));
        if queue.try_send(start).is_ok() {
            signs.began.store(second, Relaxed);
            signs.broken.store(false, Relaxed);
            signs.full.store(false, Relaxed);
        }
    }

    /// Leaves one step: what was put in, and what was decided.
    pub(in crate::pool) fn step(&self, input: Second, decisions: &[Decision]) {
        let Some(Pipe { queue, signs }) = self.0.as_deref() else { return };
        let broken = signs.broken.load(Relaxed);
        if broken || queue.try_send(Entry::Second(Box::new((input, decisions.to_vec())))).is_err() {
            signs.broken.store(true, Relaxed);
            metrics::counter!(names::POOL_LEDGER_LOST).increment(1);
        }
    }
}

#[cfg(test)]
impl Recorder {
    /// Waits until the disk has been told all.
    pub(in crate::pool) async fn settled(&self) {
        let Some(Pipe { queue, .. }) = self.0.as_deref() else { return };
        while queue.capacity() < WAITING_MAX {
            tokio::task::yield_now().await;
        }
    }
}

/// The end of the pipe at the disk.
struct Writer {
    signs: Arc<Signs>,
    failing: bool,
}

impl Writer {
    async fn run(mut self, mut files: Files, mut entries: mpsc::Receiver<Entry>, stop: CancellationToken) {
        while let Some(Some(entry)) = stop.run_until_cancelled(entries.recv()).await {
            files = self.put(files, entry).await;
        }
        entries.close();
        while let Some(entry) = entries.recv().await {
            files = self.put(files, entry).await;
        }
    }

    async fn put(&mut self, mut files: Files, entry: Entry) -> Files {
        let is_second = matches!(entry, Entry::Second(_));
        let (files, written) = blocking(move || {
            let written = write(&mut files, &entry);
            (files, written)
        })
        .await;
        match written {
            Ok(room) => {
                self.signs.full.fetch_or(room == Room::Ending, Relaxed);
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the pool's ledger is written again");
                }
            }
            Err(error) => {
                self.signs.broken.store(true, Relaxed);
                self.signs.pause.store(PAUSE, Relaxed);
                metrics::counter!(names::POOL_LEDGER_LOST).increment(u64::from(is_second));
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(%error, "the pool's ledger cannot be written: {error}. The pool is \
                        judged on, and nothing of it is on record until this is mended");
                }
            }
        }
        metrics::gauge!(names::POOL_LEDGER_FAILING).set(f64::from(u8::from(self.failing)));
        files
    }
}

/// A `start` line, without a copy of what stands in it.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Begin<'a> {
    Start(Whole<'a>),
}

#[derive(Serialize)]
struct Whole<'a> {
    format: u32,
    policy: &'a Policy,
    judge: &'a Judge,
}

fn write(files: &mut Files, entry: &Entry) -> io::Result<Room> {
    match entry {
        Entry::Start(start) => {
            let Began { second, policy, judge, within } = &**start;
            let mut text = serde_json::to_string(&Begin::Start(Whole { format: FORMAT, policy, judge }))?;
            text.push('\n');
            if text.len() > LINE_BYTES_MAX {
                let words = format!("what the judge keeps is longer than {LINE_BYTES_MAX} bytes");
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, words));
            }
            if *within { files.begin_within(*second, &text) } else { files.begin(*second, &text) }
        }
        Entry::Second(step) => {
            let (input, decisions) = &**step;
            let mut text = Line::Second(input.clone()).text();
            for decision in decisions {
                text.push_str(&Line::Decision(Box::new(decision.clone())).text());
            }
            files.add(&text)
        }
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
