//! A task ends when it is told to; one that dies before is logged by name, and does to the process what was
//! said when it was spawned.

use std::{
    collections::BTreeMap,
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::exit;
use crate::telemetry::names;

/// Longest time that tasks get to be dropped once they were cut off. One that does not reach an await point
/// by then holds its thread and is left behind.
const CUT_OFF: Duration = Duration::from_secs(2);

const PANIC: &str = "panic";
const EARLY_END: &str = "early_end";

/// What it means when a task ends although nothing was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDeath {
    /// Nothing: the task may end whenever its work is done. A panic is logged.
    Ignore,
    /// The process cannot do without it and stops in order, with [`exit::FAILED`].
    Shutdown,
}

/// All tasks of a process, or of one part of it in a test. Cheap to clone; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Tasks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    hard: CancellationToken,
    soft: CancellationToken,
    tracker: TaskTracker,
    alive: Mutex<BTreeMap<&'static str, usize>>,
    first_death: OnceLock<&'static str>,
}

impl Default for Inner {
    fn default() -> Self {
        let hard = CancellationToken::new();
        let soft = hard.child_token();
        let (tracker, alive) = (TaskTracker::new(), Mutex::default());
        Self { hard, soft, tracker, alive, first_death: OnceLock::new() }
    }
}

/// How all tasks came to their end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// The first task that panicked, or whose early end stopped the process.
    pub first_death: Option<&'static str>,
    /// The names of tasks that were not finished by the end of the drain, each once.
    pub cut_off: Vec<&'static str>,
}

impl Ended {
    /// [`exit::FAILED`] if a task died, else [`exit::DONE`]. Being cut off is no failure: whatever was not
    /// acknowledged is done again.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if self.first_death.is_some() { exit::FAILED } else { exit::DONE }
    }
}

impl Tasks {
    /// Makes an empty set with fresh tokens.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The token that asks to finish what was begun and begin nothing new. Cancelled by the first signal, by
    /// the death of a task that the process needs, and together with the hard one.
    #[must_use]
    pub fn soft(&self) -> CancellationToken {
        self.0.soft.clone()
    }

    /// The token that cuts off: each task is dropped at its next await point. Cancelled by the second signal
    /// or at the end of the drain.
    #[must_use]
    pub fn hard(&self) -> CancellationToken {
        self.0.hard.clone()
    }

    /// Runs `task` under a name that stands in logs and metrics; many tasks may share one.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn spawn<F>(&self, name: &'static str, on_death: OnDeath, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mark = Mark::new(name, self.clone());
        for cause in [PANIC, EARLY_END] {
            // It stands at zero from the start: a rise from nothing is no rise to whoever alarms on it.
            metrics::counter!(names::TASK_DEATHS, names::TASK => name, names::CAUSE => cause).increment(0);
        }
        let tasks = self.clone();
        let task: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(task);
        self.0.tracker.spawn(async move {
            let _mark = mark;
            let ended = tokio::select! {
                biased;
                ended = AssertUnwindSafe(task).catch_unwind() => ended,
                () = tasks.0.hard.cancelled() => return,
            };
            tasks.ended(name, on_death, ended.is_err());
        });
    }

    /// Waits until every task is done, at most `drain` from the time that the soft token is cancelled; then
    /// cuts off the rest. Tasks that are all done before anybody asked them to stop end the wait as well.
    pub async fn join(&self, drain: Duration) -> Ended {
        self.0.tracker.close();
        let late = async {
            self.0.soft.cancelled().await;
            tokio::select! {
                () = tokio::time::sleep(drain) => {}
                () = self.0.hard.cancelled() => {}
            }
        };
        let mut ended = Ended::default();
        tokio::select! {
            biased;
            () = self.0.tracker.wait() => tracing::info!("every task is done"),
            () = late => {
                ended.cut_off = self.alive();
                tracing::warn!(tasks = ?ended.cut_off,
                    "cutting off what is not finished: {}", ended.cut_off.join(", "));
            }
        }
        self.0.hard.cancel();
        if tokio::time::timeout(CUT_OFF, self.0.tracker.wait()).await.is_err() {
            tracing::error!(tasks = ?self.alive(), "tasks hold their threads and are left behind");
        }
        ended.first_death = self.0.first_death.get().copied();
        ended
    }

    /// Names of tasks that run, each once.
    #[must_use]
    pub fn alive(&self) -> Vec<&'static str> {
        self.0.lock_alive().keys().copied().collect()
    }

    /// Runs what belongs to no work and so holds up no end: it is dropped with the hard token.
    #[expect(clippy::disallowed_methods, reason = "this is the room that spawns; it ends with the token")]
    pub(super) fn beside(&self, future: impl Future<Output = ()> + Send + 'static) {
        let hard = self.hard();
        tokio::spawn(async move { hard.run_until_cancelled_owned(future).await });
    }

    fn ended(&self, name: &'static str, on_death: OnDeath, panicked: bool) {
        if !panicked && (on_death == OnDeath::Ignore || self.0.soft.is_cancelled()) {
            return;
        }
        let cause = if panicked { PANIC } else { EARLY_END };
        metrics::counter!(names::TASK_DEATHS, names::TASK => name, names::CAUSE => cause).increment(1);
        let _ = self.0.first_death.set(name);
        match on_death {
            // What a panic says stays with the panic hook: it may quote data.
            OnDeath::Ignore => tracing::error!(task = name, cause, "task {name} panicked; the rest goes on"),
            OnDeath::Shutdown => {
                let how = if panicked { "panicked" } else { "ended though nobody asked it to" };
                tracing::error!(task = name, cause, "task {name} {how}: the process stops");
                self.0.soft.cancel();
            }
        }
    }
}

impl Inner {
    fn lock_alive(&self) -> MutexGuard<'_, BTreeMap<&'static str, usize>> {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a task as alive for as long as it is held.
struct Mark {
    name: &'static str,
    tasks: Tasks,
}

impl Mark {
    fn new(name: &'static str, tasks: Tasks) -> Self {
        *tasks.0.lock_alive().entry(name).or_default() += 1;
        metrics::gauge!(names::TASKS, names::TASK => name).increment(1);
        Self { name, tasks }
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        metrics::gauge!(names::TASKS, names::TASK => self.name).decrement(1);
        let mut alive = self.tasks.0.lock_alive();
        if let Some(count) = alive.get_mut(self.name) {
            *count -= 1;
            if *count == 0 {
                alive.remove(self.name);
            }
        }
    }
}

#[cfg(test)]
#[path = "tasks_tests.rs"]
mod tests;
