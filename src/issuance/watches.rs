//! Whoever watches a batch is woken after each change that this process commits; other processes' are polled.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Notify;

use crate::{
    domain::{batch_id::BatchId, municipality::MunicipalityCode},
    store::BatchRow,
    wire::{
        fault::{Fault, Reason},
        pb,
    },
};

use super::{core::Core, deadline::Deadline, outlet::Outlet, places::Place, view};

type Key = (MunicipalityCode, BatchId);

/// The watched batches of this process.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    watched: Mutex<HashMap<Key, Watched>>,
}

#[derive(Debug)]
struct Watched {
    notify: Arc<Notify>,
    ended: Arc<Notify>,
    watchers: usize,
}

/// One watcher's claim; given back when dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    watches: Arc<Watches>,
    key: Key,
    notify: Arc<Notify>,
    ended: Arc<Notify>,
}

impl Watches {
    /// Begins to watch a batch.
    pub(crate) fn watch(self: &Arc<Self>, municipality: MunicipalityCode, id: BatchId) -> Watch {
        let key = (municipality, id);
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = watched.entry(key).or_insert_with(|| Watched {
            notify: Arc::default(),
            ended: Arc::default(),
            watchers: 0,
        });
        entry.watchers += 1;
        let (notify, ended) = (Arc::clone(&entry.notify), Arc::clone(&entry.ended));
        Watch { watches: Arc::clone(self), key, notify, ended }
    }

    /// Wakes everybody who watches this batch.
    pub(crate) fn changed(&self, municipality: MunicipalityCode, id: BatchId) {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = watched.get(&(municipality, id)) {
            entry.notify.notify_waiters();
        }
    }

    /// The same at the end of the work on it, which nobody is to hear of later than at once.
    pub(crate) fn ended(&self, municipality: MunicipalityCode, id: BatchId) {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = watched.get(&(municipality, id)) {
            entry.notify.notify_waiters();
            entry.ended.notify_waiters();
        }
    }
}

impl Watch {
    /// What wakes the watcher. Make the future before reading, so that no change between is missed.
    pub(crate) fn notify(&self) -> &Notify {
        &self.notify
    }

    /// What ends its pause.
    pub(crate) fn ended(&self) -> &Notify {
        &self.ended
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watched = self.watches.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = watched.get_mut(&self.key) {
            entry.watchers -= 1;
            if entry.watchers == 0 {
                watched.remove(&self.key);
            }
        }
    }
}

/// Sends the batch at once and after each change until it is final; a reader that is slow is waited for until
/// the deadline.
pub(crate) async fn send(
    core: Arc<Core>,
    row: BatchRow,
    deadline: Deadline,
    _place: Place,
    events: Outlet<pb::WatchBatchResponse>,
) {
    let watch = core.watches.watch(row.municipality, row.batch_id);
    let mut last = None;
    loop {
        let woken = watch.notify().notified();
        let mut woken = std::pin::pin!(woken);
        woken.as_mut().enable();
        let mut ended = std::pin::pin!(watch.ended().notified());
        ended.as_mut().enable();
        let row = match core.batch(row.municipality, row.batch_id).await {
            Ok(row) => row,
            Err(fault) => return events.end(fault),
        };
        let batch = view::batch(&row, &core.options, core.clock.now_ms());
        if last.as_ref() != Some(&batch) {
            last = Some(batch.clone());
            let event = pb::WatchBatchResponse { batch: Some(batch) };
            if let Err(fault) = events.send(event, deadline.at()).await {
                return events.end(fault);
            }
        }
        if row.state.is_final() {
            return;
        }
        let pause = tokio::time::sleep(core.options.watch_pause);
        let poll = tokio::time::sleep(core.options.watch_poll);
        tokio::select! {
            () = events.closed() => return,
            () = tokio::time::sleep_until(deadline.at()) => {
                let words = "the watch's deadline passed: watch again";
                return events.end(Fault::new(Reason::DeadlineExceeded, words));
            }
            () = ended => {}
            () = async { pause.await; tokio::select! { () = woken => {}, () = poll => {} } } => {}
        }
    }
}
