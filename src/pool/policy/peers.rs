//! What a unit that returns does is held against what its peers do in the same seconds: what all fail alike
//! says nothing of it.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::{CallsOf, Fact, Policy, unit::State};
use crate::pool::evidence::UnitId;

/// Steps, of a second each, whose calls are pooled; a unit's own are those of the middle one. Reports of one
/// second come within two.
const STEPS: usize = 5;

/// What was seen of the units in use in one step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    /// Failed calls, and all.
    calls: BTreeMap<UnitId, (u32, u32)>,
    /// Whose, of units that return.
    callers: BTreeMap<UnitId, Vec<CallsOf>>,
}

/// The last steps, the oldest first; none while nobody returns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Recent(VecDeque<Step>);

impl Recent {
    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets them.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Failed calls, and all, of all units but one.
    fn beside(&self, unit: &UnitId) -> (u64, u64) {
        let others = self.0.iter().flat_map(|step| &step.calls).filter(|(other, _)| *other != unit);
        others.fold((0, 0), |sum, (_, of)| (sum.0 + u64::from(of.0), sum.1 + u64::from(of.1)))
    }
}

impl Policy {
    /// Takes in the calls that were told of in this step, and counts for those that return what was seen two
    /// steps ago, as by now their peers' calls of before and after are known.
    pub(super) fn note_calls(&mut self, facts: &[Fact]) {
        if self.database_away || !self.units.values().any(super::Unit::counts_calls) {
            self.recent.clear();
            return;
        }
        let mut step = Step::default();
        for fact in facts {
            let Fact::Traffic { unit, calls, failed, callers } = fact else { continue };
            let Some(known) = self.units.get(unit).filter(|known| known.state.serves()) else { continue };
            let sum = step.calls.entry(unit.clone()).or_default();
            *sum = (sum.0.saturating_add((*failed).min(*calls)), sum.1.saturating_add(*calls));
            if known.counts_calls() && !callers.is_empty() {
                step.callers.entry(unit.clone()).or_default().extend(callers.iter().cloned());
            }
        }
        self.recent.0.push_back(step);
        while self.recent.0.len() > STEPS {
            self.recent.0.pop_front();
        }
        let Some(middle) = self.recent.0.len().checked_sub(STEPS / 2 + 1) else { return };
        for unit in self.units.values_mut().filter(|unit| unit.counts_calls()) {
            let step = &self.recent.0[middle];
            let Some((failed, calls)) = step.calls.get(unit.id()) else { continue };
            unit.progress.add(*calls, *failed, self.recent.beside(unit.id()));
            if let Some(callers) = step.callers.get(unit.id()) {
                unit.callers.add(callers);
            }
        }
    }
}

impl super::Unit {
    /// Whether its calls are counted: while it returns, and while only they can show that it is well.
    fn counts_calls(&self) -> bool {
        matches!(self.state, State::Returning(_)) || self.state == State::Suspect && self.is_by_calls()
    }
}
