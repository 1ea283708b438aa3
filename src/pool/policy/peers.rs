//! What a unit does that returns, or is steered away from for its calls alone, is held against what its peers
//! do in the same seconds: what all fail alike says nothing of it.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::{CallsOf, Fact, Policy, unit::State};
use crate::pool::evidence::UnitId;

/// Seconds before and after one, whose calls are pooled for what the peers do in it: reports of one second
/// come within two.
const AROUND_S: u64 = 2;

/// What was told of the units in use in one second.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    second: u64,
    /// Failed calls, and all.
    calls: BTreeMap<UnitId, (u32, u32)>,
    /// Whose, of units whose calls are counted.
    callers: BTreeMap<UnitId, Vec<CallsOf>>,
    /// Whether it was counted for them.
    counted: bool,
}

/// The last seconds, the oldest first; none while nobody's calls are counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Recent(VecDeque<Told>);

impl Recent {
    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets them.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// What is told of a second; several steps may be made in it.
    fn of(&mut self, second: u64) -> &mut Told {
        // Before a gap, others were told of than after it.
        if self.0.back().is_some_and(|last| last.second + AROUND_S < second) {
            self.0.clear();
        }
        if self.0.back().is_none_or(|last| last.second != second) {
            self.0.push_back(Told { second, ..Told::default() });
        }
        while self.0.front().is_some_and(|first| first.second + 2 * AROUND_S < second) {
            self.0.pop_front();
        }
        self.0.back_mut().expect("it was pushed")
    }

    /// Takes the seconds whose peers are known by now, each once: their places.
    fn take_due(&mut self, now: u64) -> Vec<usize> {
        let is_due = |told: &Told| !told.counted && told.second + AROUND_S <= now;
        let due: Vec<usize> = (0..self.0.len()).filter(|at| is_due(&self.0[*at])).collect();
        due.iter().for_each(|at| self.0[*at].counted = true);
        due
    }

    /// Failed calls, and all, of all units but one around a second. Of one, no more count than twice the
    /// upper median of all, as by the rule of observers: what a unit says of itself may be any number.
    fn beside(&self, unit: &UnitId, second: u64) -> (u64, u64) {
        let mut sums: BTreeMap<&UnitId, (u64, u64)> = BTreeMap::new();
        for told in self.0.iter().filter(|told| told.second.abs_diff(second) <= AROUND_S) {
            for (other, (failed, n)) in told.calls.iter().filter(|(other, _)| *other != unit) {
                let sum = sums.entry(other).or_default();
                *sum = (sum.0 + u64::from(*failed), sum.1 + u64::from(*n));
            }
        }
        let mut calls: Vec<u64> = sums.values().map(|(_, n)| *n).collect();
        calls.sort_unstable();
        let most = calls.get(calls.len() / 2).map_or(0, |median| median.saturating_mul(2));
        sums.values().fold((0, 0), |sum, (failed, n)| {
            let capped = (*n).min(most);
            let failed = if capped < *n { failed.saturating_mul(capped) / n } else { *failed };
            (sum.0 + failed, sum.1 + capped)
        })
    }
}

/// Calls of a unit that went as well as its peers'.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// How many.
    pub n: u32,
    failed: u32,
    /// How many would have failed as of the peers' did, in thousandths.
    expected_milli: u64,
}

impl Row {
    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what was seen in a second; what fails beyond the peers and two standard errors of theirs begins
    /// it anew.
    fn add(&mut self, n: u32, failed: u32, expected_milli: u64) {
        self.n = self.n.saturating_add(n);
        self.failed = self.failed.saturating_add(failed);
        self.expected_milli = self.expected_milli.saturating_add(expected_milli);
        let beyond = (1_000 * u64::from(self.failed)).saturating_sub(self.expected_milli);
        if beyond.saturating_mul(beyond) > self.expected_milli.saturating_mul(4 * 1_000) {
            *self = Self::default();
        }
    }
}

impl Policy {
    /// Takes in the calls that were told of in this step, and counts those of two seconds ago, as by now
    /// their peers' of before and after are known.
    pub(super) fn note_calls(&mut self, second: u64, facts: &[Fact]) {
        if self.database_away || !self.units.values().any(super::Unit::counts_calls) {
            self.recent.clear();
            return;
        }
        self.count_due(second);
        let told = self.recent.of(second);
        for fact in facts {
            let Fact::Traffic { unit, calls, failed, callers } = fact else { continue };
            let Some(known) = self.units.get(unit).filter(|known| known.state.serves()) else { continue };
            let sum = told.calls.entry(unit.clone()).or_default();
            *sum = (sum.0.saturating_add((*failed).min(*calls)), sum.1.saturating_add(*calls));
            if known.counts_calls() && !callers.is_empty() {
                told.callers.entry(unit.clone()).or_default().extend(callers.iter().cloned());
            }
        }
        self.count_due(second);
    }

    fn count_due(&mut self, second: u64) {
        for at in self.recent.take_due(second) {
            for unit in self.units.values_mut().filter(|unit| unit.counts_calls()) {
                unit.count_calls(&self.recent, at);
            }
        }
    }
}

impl super::Unit {
    /// Whether its calls are counted: while it returns, and while only they can show that it is well.
    #[must_use]
    pub fn counts_calls(&self) -> bool {
        matches!(self.state, State::Returning(_)) || self.state == State::Suspect && self.is_by_calls()
    }

    fn count_calls(&mut self, recent: &Recent, at: usize) {
        let told = &recent.0[at];
        // What was told before it came to its state is of calls at another share.
        let Some((failed, n)) = told.calls.get(self.id()).filter(|_| told.second > self.since) else {
            return;
        };
        let (peers_failed, peers_n) = recent.beside(self.id(), told.second);
        let expected = |n: u32| {
            let milli = 1_000u64.saturating_mul(n.into()).saturating_mul(peers_failed);
            milli.checked_div(peers_n).unwrap_or(0)
        };
        let callers = told.callers.get(self.id()).map(Vec::as_slice).unwrap_or_default();
        self.progress.add(*n, *failed);
        self.progress.add_excess(*failed, expected(*n));
        self.callers.add(callers);
        self.lately.add(told.second, callers);
        let (n, failed) = self.callers.of_others((*n, *failed), callers, &self.lately);
        self.row.add(n, failed, expected(n));
    }
}

#[cfg(test)]
#[path = "peers_tests.rs"]
mod tests;
