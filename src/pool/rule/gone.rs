//! Units that were sick when they left are remembered for a while: of several with one cause the first is
//! evicted before the others are shown to be sick, and the verdict on those counts it in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::evidence::UnitId;
use super::unit::{Attributes, Unit};

/// Seconds for which one is remembered: longer than a second unit with the same cause takes (`pool-rule.md`,
/// "two of one model fail 30 %": 270 s), and short against the time between two causes.
const REMEMBERED_S: u64 = 600;

/// Those that left while they were sick, with the second of it and what they might share.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Gone(BTreeMap<UnitId, (u64, Attributes)>);

impl Gone {
    /// A unit leaves, and is sick. No more are remembered than there are places, as the rest takes part.
    pub(super) fn note(&mut self, unit: &Unit, second: u64) {
        self.0.insert(unit.id.clone(), (second, unit.attributes.clone()));
    }

    /// Forgets who left long ago, and who takes part again.
    pub(super) fn settle(&mut self, second: u64, present: &BTreeMap<UnitId, Attributes>) {
        self.0.retain(|id, (left, _)| *left + REMEMBERED_S > second && !present.contains_key(id));
    }

    /// Who they are.
    pub(super) fn units(&self) -> impl Iterator<Item = &UnitId> {
        self.0.keys()
    }

    /// What they might share.
    pub(super) fn attributes(&self) -> impl Iterator<Item = (&UnitId, &Attributes)> {
        self.0.iter().map(|(id, (_, attributes))| (id, attributes))
    }
}
