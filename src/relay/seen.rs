//! What a relay saw of its own calls since it was last asked: how many, how many of them went wrong in a way
//! that a relay can cause, whose they were, and how long the issuers took.
//!
//! Everything on the way of a call is an atomic of its own shard or caller.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::{
    domain::municipality::MunicipalityCode,
    pool::evidence::{Latencies, UnitId},
};

/// Complaints that are kept of one second, each of one caller about one unit.
const COMPLAINTS_MAX: usize = 1_024;

/// Seconds that are told apart among calls without an answer; older ones were counted long ago.
const SLOTS: usize = 64;

/// What is older than this has no threshold yet.
const FIRST_THRESHOLD: Duration = Duration::from_secs(5);

/// Calls of one caller, since it was last asked.
#[derive(Debug, Default)]
pub(super) struct Tally {
    n: AtomicU32,
    bad: AtomicU32,
}

impl Tally {
    pub(super) fn count(&self, bad: bool) {
        self.n.fetch_add(1, Relaxed);
        self.bad.fetch_add(bad.into(), Relaxed);
    }

    /// Calls and bad ones, from now on counted from 0. A call that ends meanwhile may stand in the next.
    pub(super) fn take(&self) -> (u32, u32) {
        // Bad ones first: they are never more than calls.
        let bad = self.bad.swap(0, Relaxed);
        (self.n.swap(0, Relaxed).max(bad), bad)
    }
}

/// How a call ended, for who asks whether the relay is sick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was answered, be it with a refusal of the service.
    Good,
    /// It failed in a way that a relay can cause.
    Bad,
    /// It says nothing: its caller gave it up, or was refused by a limit of its own.
    Nothing,
}

impl Outcome {
    /// By the status that the client saw, which is gRPC's number.
    ///
    /// UNAVAILABLE, DEADLINE_EXCEEDED, INTERNAL and UNKNOWN are what a transport makes; no status at all is a
    /// broken answer. Everything else is the service's own word. A deadline that ends an answer of which
    /// something came is its caller's: it says no more than that caller's own cancel, which may come a moment
    /// sooner. So is one that ends a call which is not `old` yet, as calls may be: a caller could have any
    /// relay look sick by deadlines that nobody can keep.
    pub(super) fn of(status: Option<u8>, answered: bool, old: bool) -> Self {
        match status {
            Some(1) => Outcome::Nothing,
            Some(4) if answered || !old => Outcome::Nothing,
            Some(2 | 4 | 13 | 14) | None => Outcome::Bad,
            Some(_) => Outcome::Good,
        }
    }
}

/// What one shard saw.
pub(super) struct Seen {
    latencies: [AtomicU32; Latencies::PLACES],
    /// Calls without an answer whose callers owe nothing of them, by the second in which they began, later by
    /// what was owed.
    unanswered: [AtomicU32; SLOTS],
}

impl Seen {
    pub(super) fn new() -> Self {
        let zero = |_| AtomicU32::new(0);
        Self { latencies: std::array::from_fn(zero), unanswered: std::array::from_fn(zero) }
    }

    fn slot(&self, began: Duration) -> &AtomicU32 {
        &self.unanswered[usize::try_from(began.as_secs()).unwrap_or_default() % SLOTS]
    }

    /// A call waits for its answer, and began so long after the relay did.
    pub(super) fn began(&self, began: Duration) {
        self.slot(began).fetch_add(1, Relaxed);
    }

    /// The call that began then was answered, or waits no more without an answer.
    pub(super) fn answered(&self, began: Duration, after: Option<Duration>) {
        self.slot(began).fetch_sub(1, Relaxed);
        if let Some(after) = after {
            let us = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
            self.latencies[Latencies::place(us)].fetch_add(1, Relaxed);
        }
    }

    /// Whether a call may be without an answer that began `age` ago or earlier.
    pub(super) fn has_older(&self, now: Duration, age: Duration) -> bool {
        let Some(last) = now.checked_sub(age).map(|then| then.as_secs()) else { return false };
        let first = now.as_secs().saturating_sub(SLOTS as u64 - 1);
        (first..=last).any(|second| self.slot(Duration::from_secs(second)).load(Relaxed) > 0)
    }

    /// Adds the latencies since the last time to `sum`.
    pub(super) fn take(&self, sum: &mut Latencies) {
        sum.0.resize(Latencies::PLACES, 0);
        for (sum, place) in sum.0.iter_mut().zip(&self.latencies) {
            *sum = sum.saturating_add(place.swap(0, Relaxed));
        }
    }
}

/// What all shards share.
pub(super) struct Common {
    /// Whether what becomes of calls is counted: nobody asks a relay that is in no pool.
    pub(super) counts: bool,
    threshold_us: AtomicU64,
    /// Calls of those who are no municipality.
    pub(super) others: Tally,
    complaints: Mutex<BTreeMap<(UnitId, MunicipalityCode), u32>>,
}

impl Common {
    pub(super) fn new(counts: bool) -> Self {
        let first = u64::try_from(FIRST_THRESHOLD.as_micros()).unwrap_or(u64::MAX);
        let (threshold_us, complaints) = (AtomicU64::new(first), Mutex::default());
        Self { counts, threshold_us, others: Tally::default(), complaints }
    }

    /// A call older than this is bad.
    pub(super) fn threshold(&self) -> Duration {
        Duration::from_micros(self.threshold_us.load(Relaxed))
    }

    /// Takes what the controller found to be too old.
    pub(super) fn set_threshold(&self, us: u64) {
        self.threshold_us.store(us, Relaxed);
    }

    /// A caller says that an attempt over another unit failed before this one. It counts once a second.
    pub(super) fn complaint(&self, unit: UnitId, caller: MunicipalityCode) {
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (unit, caller);
        if complaints.len() < COMPLAINTS_MAX || complaints.contains_key(&key) {
            complaints.insert(key, 1);
        }
    }

    /// The complaints since the last time.
    pub(super) fn take_complaints(&self) -> Vec<(UnitId, MunicipalityCode)> {
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *complaints).into_keys().collect()
    }
}

/// Reads what a client says of its attempt before: the unit, and how it ended: `relay-2;UNAVAILABLE`.
pub(super) fn previous_attempt(value: &str) -> Option<UnitId> {
    let (unit, outcome) = value.split_once(';')?;
    let plain = |b: u8| b.is_ascii_uppercase() || b == b'_';
    let outcome = !outcome.is_empty() && outcome.len() <= 32 && outcome.bytes().all(plain);
    outcome.then(|| unit.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn what_only_a_caller_or_a_service_says_is_not_held_against_a_relay() {
        for status in 0..=17 {
            let bad = [2, 4, 13, 14].contains(&status);
            let is_bad = |answered, old| Outcome::of(Some(status), answered, old) == Outcome::Bad;
            assert_eq!(is_bad(false, true), bad, "{status}");
            assert_eq!(is_bad(false, false), bad && status != 4, "{status}: its deadline was too short");
            assert_eq!(is_bad(true, true), bad && status != 4, "{status}: it ended a stream");
        }
        assert_eq!(Outcome::of(None, true, false), Outcome::Bad, "an answer without a status is broken");
        assert_eq!(Outcome::of(Some(1), false, true), Outcome::Nothing, "its caller gave it up");
        assert_eq!(Outcome::of(Some(4), false, false), Outcome::Nothing, "as good as that");
    }

    #[test]
    fn a_call_without_an_answer_is_found_once_it_is_old_enough_and_until_it_is_answered() {
        let seen = Seen::new();
        seen.began(ms(10_900));
        assert!(!seen.has_older(ms(10_950), ms(1_000)), "its second is not old enough");
        assert!(seen.has_older(ms(11_900), ms(1_000)), "it may be by its second");
        assert!(seen.has_older(ms(70_000), ms(1_000)), "it waits on");
        seen.answered(ms(10_900), Some(ms(60_000)));
        assert!(!seen.has_older(ms(71_000), ms(1_000)));
        assert!(!seen.has_older(ms(500), ms(1_000)), "the relay is younger than that");
    }

    #[test]
    fn what_was_taken_is_counted_anew() {
        let (tally, seen) = (Tally::default(), Seen::new());
        tally.count(true);
        tally.count(false);
        assert_eq!((tally.take(), tally.take()), ((2, 1), (0, 0)));
        seen.began(ms(0));
        seen.answered(ms(0), Some(ms(3)));
        let (mut first, mut second) = (Latencies::default(), Latencies::default());
        seen.take(&mut first);
        seen.take(&mut second);
        assert_eq!((first.0.iter().sum::<u32>(), second.0.iter().sum::<u32>()), (1, 0));
        assert_eq!(first.0[Latencies::place(3_000)], 1);
    }

    #[test]
    fn a_caller_complains_of_a_unit_once_a_second_and_all_together_only_so_often() {
        let common = Common::new(true);
        let caller: MunicipalityCode = "131229".parse().expect("a code");
        let unit = |n: usize| format!("relay-{n}").parse::<UnitId>().expect("a name");
        for _ in 0..3 {
            common.complaint(unit(2), caller);
        }
        assert_eq!(common.take_complaints(), [(unit(2), caller)]);
        for n in 0..=COMPLAINTS_MAX {
            common.complaint(unit(n), caller);
        }
        assert_eq!(common.take_complaints().len(), COMPLAINTS_MAX);
        assert_eq!(common.take_complaints(), []);
    }

    #[test]
    fn a_previous_attempt_names_unit_and_outcome_or_nothing() {
        assert_eq!(previous_attempt("relay-2;UNAVAILABLE"), "relay-2".parse().ok());
        for bad in ["", "relay-2", "relay-2;", ";X", "relay 2;X", "relay-2;x", "relay-2;A;B"] {
            assert_eq!(previous_attempt(bad), None, "{bad}");
        }
    }
}
