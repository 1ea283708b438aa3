//! The flight recorder: what happened at a relay in the last minutes is at hand at any time, within a limit,
//! and is left in a file before the relay drains; nothing of what callers send is in it.
//!
//! Calls cost it nothing but what is counted anyway; a connection takes its lock twice, a second once.

mod bundle;
mod sample;
mod shelf;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

pub(super) use sample::Sampler;
pub(super) use shelf::Shelf;

use super::{
    open::Whose,
    shard::{Shard, Shared},
};
use sample::Second;

/// Seconds that are kept: five minutes.
const SECONDS_MAX: usize = 300;
/// Notes that are kept.
const NOTES_MAX: usize = 500;
/// Comings and goings of connections that are kept, apart from the notes, as they may be many.
const CONNECTIONS_MAX: usize = 500;
/// Characters of a note.
const WORDS_MAX: usize = 300;

/// Something that happened, seldom enough for words.
struct Note {
    at: Instant,
    what: &'static str,
    words: String,
}

/// A client came, or went after so long.
struct Connection {
    at: Instant,
    whose: Whose,
    lasted: Option<Duration>,
}

#[derive(Default)]
struct Kept {
    seconds: VecDeque<Second>,
    notes: VecDeque<Note>,
    connections: VecDeque<Connection>,
}

/// Adds one, and forgets the oldest for it.
fn keep<T>(ring: &mut VecDeque<T>, max: usize, one: T) {
    if ring.len() >= max {
        ring.pop_front();
    }
    ring.push_back(one);
}

/// What is kept of the last minutes.
#[derive(Default)]
pub(super) struct Recorder {
    kept: Mutex<Kept>,
    /// Calls and bad ones that were accounted for since the last second.
    seen: (AtomicU64, AtomicU64),
    /// Where bundles are left; `None`: nowhere.
    shelf: Option<Arc<Shelf>>,
}

impl Recorder {
    pub(super) fn new(shelf: Option<Shelf>) -> Self {
        Self { shelf: shelf.map(Arc::new), ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened.
    pub(super) fn note(&self, what: &'static str, words: &str) {
        let words = words.chars().take(WORDS_MAX).collect();
        keep(&mut self.lock().notes, NOTES_MAX, Note { at: Instant::now(), what, words });
    }

    /// A client came, or went after so long.
    pub(super) fn connection(&self, whose: Whose, lasted: Option<Duration>) {
        let one = Connection { at: Instant::now(), whose, lasted };
        keep(&mut self.lock().connections, CONNECTIONS_MAX, one);
    }

    /// So many calls were accounted for, and so many of them were bad.
    pub(super) fn seen(&self, calls: u32, bad: u32) {
        self.seen.0.fetch_add(calls.into(), Relaxed);
        self.seen.1.fetch_add(bad.into(), Relaxed);
    }

    fn take_seen(&self) -> (u64, u64) {
        (self.seen.0.swap(0, Relaxed), self.seen.1.swap(0, Relaxed))
    }

    fn second(&self, second: Second) {
        keep(&mut self.lock().seconds, SECONDS_MAX, second);
    }

    /// Finds what was left before this process, in a thread of its own.
    pub(super) fn recall(&self) {
        if let Some(shelf) = self.shelf.clone() {
            Shelf::aside(move || shelf.recall());
        }
    }

    /// The last bundles that were left, as they are reported.
    pub(super) fn left(&self) -> Vec<String> {
        self.shelf.as_ref().map(|shelf| shelf.left()).unwrap_or_default()
    }

    /// Takes down what there is now, and has it written by a thread of its own, so that no disk holds up
    /// what comes next; whoever wants to wait for that gets an answer. `None` if nothing is to be left.
    pub(super) fn leave(
        &self,
        (shared, shards): (&Shared, &[Arc<Shard>]),
        cause: &'static str,
        why: &str,
    ) -> Option<oneshot::Receiver<()>> {
        let shelf = self.shelf.as_ref()?;
        let turn = shelf.turn()?;
        let made_ms = shelf.now_ms();
        let bytes = bundle::render(self, (shared, shards), (cause, why), made_ms, shelf.bytes_max());
        let (written, wait) = oneshot::channel();
        Shelf::aside(move || {
            turn.leave(&bytes, made_ms);
            let _ = written.send(()); // nobody may wait any more
        });
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::identity::Role;

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_has_a_limit_and_the_newest_stays() {
        let recorder = Recorder::default();
        let whose = Whose(Role::Municipality, "131229".parse().ok());
        for n in 0..2_000 {
            recorder.note("test", &format!("{n} {}", "検".repeat(1_000)));
            recorder.connection(whose, None);
        }
        let kept = recorder.lock();
        assert_eq!((kept.notes.len(), kept.connections.len()), (NOTES_MAX, CONNECTIONS_MAX));
        let last =
            kept.notes.back().map(|note| (note.words.starts_with("1999 "), note.words.chars().count()));
        assert_eq!(last, Some((true, WORDS_MAX)));
    }

    #[test]
    fn calls_that_were_seen_are_taken_once() {
        let recorder = Recorder::default();
        recorder.seen(10, 3);
        recorder.seen(1, 0);
        assert_eq!([recorder.take_seen(), recorder.take_seen()], [(11, 3), (0, 0)]);
    }
}
