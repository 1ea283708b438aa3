//! What a unit does that returns, or is steered away from for its calls alone, is held against what its peers
//! do in the same seconds: what all fail alike says nothing of it.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::{
    Callers, CallsOf, Fact, Policy,
    callers::{LeftOut, without},
    unit::State,
};
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
    /// Whose; of units whose calls are not counted, only of callers of whom some failed.
    callers: BTreeMap<UnitId, Vec<CallsOf>>,
    /// Whether it was counted for them.
    counted: bool,
}

/// The last seconds, the oldest first; none while nobody's calls are counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recent {
    told: VecDeque<Told>,
    /// Of all units together, since somebody's calls are counted.
    callers: Callers,
}

/// What part of calls fails beside a unit, as (failed, all): at least and at most, whichever one of its peers
/// is left out, so that none can speak for all alone.
#[derive(Debug, Clone, Copy)]
struct Beside {
    least: (u64, u64),
    most: (u64, u64),
}

/// How many of so many calls would fail as of those did, in thousandths.
fn expected_milli(n: u32, (failed, all): (u64, u64)) -> u64 {
    let milli = 1_000u64.saturating_mul(n.into()).saturating_mul(failed);
    milli.checked_div(all).unwrap_or(0)
}

impl Recent {
    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// Forgets them.
    pub(super) fn clear(&mut self) {
        self.told.clear();
        self.callers.clear();
    }

    /// What is told of a second; several steps may be made in it.
    fn of(&mut self, second: u64) -> &mut Told {
        // Before a gap, others were told of than after it.
        if self.told.back().is_some_and(|last| last.second + AROUND_S < second) {
            self.told.clear();
        }
        if self.told.back().is_none_or(|last| last.second != second) {
            self.told.push_back(Told { second, ..Told::default() });
        }
        while self.told.front().is_some_and(|first| first.second + 2 * AROUND_S < second) {
            self.told.pop_front();
        }
        self.told.back_mut().expect("it was pushed")
    }

    /// Takes the seconds whose peers are known by now, each once: their places.
    fn take_due(&mut self, now: u64) -> Vec<usize> {
        let is_due = |told: &Told| !told.counted && told.second + AROUND_S <= now;
        let due: Vec<usize> = (0..self.told.len()).filter(|at| is_due(&self.told[*at])).collect();
        for at in &due {
            let told = &mut self.told[*at];
            told.counted = true;
            told.callers.values().for_each(|callers| self.callers.add(told.second, callers));
        }
        due
    }

    /// What fails of all units but one around a second, of callers who are not left out.
    fn beside(&self, unit: &UnitId, second: u64, left_out: &[LeftOut]) -> Beside {
        let mut sums: BTreeMap<&UnitId, (u64, u64)> = BTreeMap::new();
        for told in self.told.iter().filter(|told| told.second.abs_diff(second) <= AROUND_S) {
            for (other, calls) in told.calls.iter().filter(|(other, _)| *other != unit) {
                let callers = told.callers.get(other).map(Vec::as_slice).unwrap_or_default();
                let (failed, n) = without(*calls, callers, left_out);
                let sum = sums.entry(other).or_default();
                *sum = (sum.0 + u64::from(failed), sum.1 + u64::from(n));
            }
        }
        let all = sums.values().fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
        let without_one = sums.values().map(|one| (all.0 - one.0, all.1 - one.1)).filter(|rest| rest.1 > 0);
        let by_rate = |a: &(u64, u64), b: &(u64, u64)| {
            (u128::from(a.0) * u128::from(b.1)).cmp(&(u128::from(b.0) * u128::from(a.1)))
        };
        let least = without_one.clone().min_by(by_rate).unwrap_or(all);
        Beside { least, most: without_one.max_by(by_rate).unwrap_or(all) }
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
        if self.database_away || !self.counts_calls() {
            self.recent.clear();
            return;
        }
        self.count_calls(second);
        let told = self.recent.of(second);
        for fact in facts {
            let Fact::Traffic { unit, calls, failed, callers } = fact else { continue };
            if !self.units.get(unit).is_some_and(|known| known.state.serves()) {
                continue;
            }
            let sum = told.calls.entry(unit.clone()).or_default();
            *sum = (sum.0.saturating_add((*failed).min(*calls)), sum.1.saturating_add(*calls));
            if !callers.is_empty() {
                told.callers.entry(unit.clone()).or_default().extend(callers.iter().cloned());
            }
        }
        self.count_calls(second);
    }

    /// Whether anybody's calls are counted.
    #[must_use]
    pub fn counts_calls(&self) -> bool {
        self.units.values().any(super::Unit::counts_calls)
    }

    fn count_calls(&mut self, second: u64) {
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
        let told = &recent.told[at];
        // What was told before it came to its state is of calls at another share.
        let Some((failed, n)) = told.calls.get(self.id()).filter(|_| told.second > self.since) else {
            return;
        };
        let callers = told.callers.get(self.id()).map(Vec::as_slice).unwrap_or_default();
        self.progress.add(*n, *failed);
        self.callers.add(told.second, callers);
        let own = self.callers.left_out(told.second, &Callers::default());
        let peers = recent.callers.left_out(told.second, &self.callers);
        let beside = recent.beside(self.id(), told.second, &Vec::from_iter(own.into_iter().chain(peers)));
        let (failed, n) = without((*failed, *n), callers, own.as_slice());
        self.progress.add_excess(failed, expected_milli(n, beside.most));
        self.row.add(n, failed, expected_milli(n, beside.least));
    }
}

#[cfg(test)]
#[path = "peers_tests.rs"]
mod tests;
