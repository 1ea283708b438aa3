//! What a unit recorded before it drained is known by what it says of it, and no report can make that much.

use super::intake::Intake;
use crate::pool::{
    evidence::UnitId,
    policy::{BUNDLES_MAX, Bundle, Fact, Policy},
};

/// Time in which a unit may name so many new bundles as are remembered of it, one for each drain, in ms.
const BUNDLES_WITHIN_MS: i64 = 600_000;

impl Intake {
    /// A unit that asked says which bundles it left. What is known already is passed over, and so is what is
    /// more than can be true: it says all of them each second, so none is lost by waiting.
    pub(super) fn take_bundles(
        &mut self,
        policy: &Policy,
        unit: &UnitId,
        bundles: impl Iterator<Item = Bundle>,
        now_ms: i64,
    ) {
        let (Some(known), Some(asked)) = (policy.units().get(unit), self.units.get_mut(unit)) else { return };
        if (now_ms - asked.bundles.0).abs() >= BUNDLES_WITHIN_MS {
            asked.bundles = (now_ms, 0);
        }
        for bundle in bundles.take(BUNDLES_MAX).filter(|bundle| !known.bundles.contains(bundle)) {
            let fact = Fact::Bundle { unit: unit.clone(), bundle };
            if asked.bundles.1 < BUNDLES_MAX && !self.facts.contains(&fact) {
                asked.bundles.1 += 1;
                self.facts.push(fact);
            }
        }
    }
}
