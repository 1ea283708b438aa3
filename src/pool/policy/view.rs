//! What is published of the pool: it names at least one unit to send calls to as long as any unit is known.

use serde::{Deserialize, Serialize};

use super::{Policy, unit::State};
use crate::pool::evidence::UnitId;

/// One unit, as others see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name.
    pub unit: UnitId,
    /// Where it takes calls, `host:port`.
    pub address: String,
    /// Where it stands.
    pub state: State,
    /// Its share, in per cent of a full one; with 0 no new call is sent to it.
    pub share_percent: u8,
    /// The generation whose lease is good.
    pub generation: u64,
    /// It is only in use because nobody else is: the last usable set is kept.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub kept: bool,
}

/// The pool, as it is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// Rises with each change.
    pub version: u64,
    /// The controller's epoch: of two views that of the higher one holds.
    pub epoch: u64,
    /// Every unit, by name.
    pub units: Vec<Entry>,
}

impl Policy {
    /// What is published; `None` while no unit is registered.
    #[must_use]
    pub fn view(&self) -> Option<View> {
        let units = self.entries();
        (!units.is_empty()).then_some(View { version: self.version, epoch: self.epoch, units })
    }

    /// The share that a unit has, in per cent of a full one.
    fn share(&self, unit: &super::Unit) -> u8 {
        match unit.state {
            State::Healthy => 100,
            State::Suspect => self.trickle(unit).percent,
            State::Returning(percent) => percent,
            State::Joining
            | State::Draining
            | State::Evicted
            | State::Probation
            | State::Quarantined
            | State::Drained => 0,
        }
    }

    /// The units that are sent calls although none of them should be: the last that were in use, and of a
    /// pool that never was, all.
    fn kept(&self) -> Vec<&UnitId> {
        if self.units.values().any(|unit| self.share(unit) > 0) {
            return Vec::new();
        }
        let last: Vec<&UnitId> = self.last_usable.iter().filter(|id| self.units.contains_key(*id)).collect();
        if last.is_empty() { self.units.keys().collect() } else { last }
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        let kept = self.kept();
        let entry = |unit: &super::Unit| {
            let kept = kept.contains(&unit.id());
            Entry {
                unit: unit.id().clone(),
                address: unit.about.address.clone(),
                state: unit.state,
                share_percent: if kept { 100 } else { self.share(unit) },
                generation: unit.generation,
                kept,
            }
        };
        self.units.values().map(entry).collect()
    }

    /// Raises the version if anything is seen differently now, and remembers who is usable.
    pub(super) fn publish(&mut self) {
        let serving: Vec<UnitId> =
            self.units.values().filter(|unit| self.share(unit) > 0).map(|unit| unit.id().clone()).collect();
        if !serving.is_empty() {
            self.last_usable = serving;
        }
        let entries = self.entries();
        let now = (self.epoch, entries);
        if now != self.published {
            self.published = now;
            self.version += 1;
        }
    }
}
