//! Nobody finds an application ID or a birth date by trying: wrong ones are counted, for IDs that exist and
//! for others alike, and nothing but time takes a count away.
//!
//! The counts are in memory, at each issuer its own: after a restart, and at another issuer, there are as
//! many tries again. A request counts before it is looked up, so that many at once are no way around a limit,
//! and once, however often it is sent again; what was right, or was not looked up at all, is taken out again.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::{
    domain::{digest::Digest, municipality::MunicipalityCode},
    vault::BlindIndex,
    wire::fault::{Fault, Reason},
};

use super::super::options::{Options, ms};

/// IDs that are counted at the most, some 20 MB of memory. Beyond it, the half that was tried longest ago is
/// forgotten; it takes eleven municipalities at their own limit all day to come so far.
const IDS_MAX: usize = 50_000;

/// One look-up: which ID of which municipality, and by which request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Try {
    pub(super) municipality: MunicipalityCode,
    /// The blind index of the ID.
    pub(super) id: BlindIndex,
    /// The fingerprint of the request: the same one again is no other try.
    pub(super) request: Digest,
    pub(super) now_ms: i64,
}

/// What was tried lately.
#[derive(Debug)]
pub(super) struct Attempts {
    of_id: Limit,
    of_caller: Limit,
    counts: Mutex<Counts>,
}

/// So many within so long.
#[derive(Debug, Clone, Copy)]
struct Limit {
    max: usize,
    window_ms: i64,
}

#[derive(Debug, Default)]
struct Counts {
    ids: HashMap<BlindIndex, Vec<Miss>>,
    callers: HashMap<MunicipalityCode, Vec<Miss>>,
}

#[derive(Debug, Clone, Copy)]
struct Miss {
    at_ms: i64,
    request: Digest,
}

impl Attempts {
    pub(super) fn new(options: &Options) -> Self {
        let limit = |max: usize, window: Duration| Limit { max: max.max(1), window_ms: ms(window) };
        Self {
            of_id: limit(options.lookup_id_misses_max, options.lookup_id_window),
            of_caller: limit(options.lookup_caller_misses_max, options.lookup_caller_window),
            counts: Mutex::default(),
        }
    }

    /// Counts a look-up that is about to be made.
    ///
    /// # Errors
    /// LOOKUPS_LIMITED with how long to wait.
    pub(super) fn begin(&self, one: &Try) -> Result<(), Fault> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let Counts { ids, callers } = &mut *counts;
        forget(ids, self.of_id, one.now_ms);
        let (id, caller) = (ids.entry(one.id).or_default(), callers.entry(one.municipality).or_default());
        self.of_id.prune(id, one.now_ms);
        self.of_caller.prune(caller, one.now_ms);
        let refused = self.of_id.refuses(id, one, "for this application ID").or_else(|| {
            self.of_caller.refuses(caller, one, "from this municipality, of application IDs or birth dates")
        });
        if let Some(fault) = refused {
            if id.is_empty() {
                ids.remove(&one.id);
            }
            return Err(fault);
        }
        for misses in [id, caller] {
            if !misses.iter().any(|miss| miss.request == one.request) {
                misses.push(Miss { at_ms: one.now_ms, request: one.request });
            }
        }
        Ok(())
    }

    /// Takes a look-up out again that was right, or could not be made.
    pub(super) fn take_back(&self, one: &Try) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let Counts { ids, callers } = &mut *counts;
        let both = [ids.get_mut(&one.id), callers.get_mut(&one.municipality)];
        for misses in both.into_iter().flatten() {
            misses.retain(|miss| miss.request != one.request);
        }
        if ids.get(&one.id).is_some_and(Vec::is_empty) {
            ids.remove(&one.id);
        }
    }
}

impl Limit {
    /// Whether a miss of then still counts now. One that lies ahead is of before the clock was set back.
    fn counts(self, at_ms: i64, now_ms: i64) -> bool {
        now_ms.abs_diff(at_ms) < self.window_ms.unsigned_abs()
    }

    fn prune(self, misses: &mut Vec<Miss>, now_ms: i64) {
        misses.retain(|miss| self.counts(miss.at_ms, now_ms));
    }

    /// Says how long to wait if there are as many as may be; the same request again is always answered.
    fn refuses(self, misses: &[Miss], one: &Try, of: &str) -> Option<Fault> {
        let again = misses.iter().any(|miss| miss.request == one.request);
        if again || misses.len() < self.max {
            return None;
        }
        let first = misses.iter().map(|miss| miss.at_ms).min().unwrap_or(one.now_ms);
        let wait = (first + self.window_ms - one.now_ms).clamp(1000, self.window_ms.max(1000));
        let words = format!("{} were wrong {of}: wait as long as RetryInfo says", misses.len());
        let wait = Duration::from_millis(wait.unsigned_abs());
        Some(Fault::new(Reason::LookupsLimited, words).after(wait))
    }
}

/// Makes room when there are too many IDs.
fn forget(ids: &mut HashMap<BlindIndex, Vec<Miss>>, limit: Limit, now_ms: i64) {
    if ids.len() < IDS_MAX {
        return;
    }
    ids.retain(|_, misses| misses.iter().any(|miss| limit.counts(miss.at_ms, now_ms)));
    if ids.len() < IDS_MAX {
        return;
    }
    let last = |misses: &[Miss]| misses.iter().map(|miss| miss.at_ms).max().unwrap_or(i64::MIN);
    let mut times: Vec<(i64, BlindIndex)> = ids.iter().map(|(id, misses)| (last(misses), *id)).collect();
    let (older, ..) = times.select_nth_unstable(IDS_MAX / 2);
    for (_, id) in older.iter() {
        ids.remove(id);
    }
}

#[cfg(test)]
#[path = "attempts_tests.rs"]
mod tests;
