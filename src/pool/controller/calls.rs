//! Callers' calls of each unit since the last step; of a unit whose calls are counted, also whose they were,
//! so that no municipality alone can have it taken out or kept out.

use std::collections::BTreeMap;

use crate::{
    domain::municipality::MunicipalityCode,
    pool::{
        evidence::{Bucket, UnitId},
        notes::UNITS_MAX,
        policy::{CallsOf, Fact, Policy, Unit},
    },
};

/// Callers of a unit that are told apart within a step, and those of them that the policy is told of.
const CALLERS_MAX: (usize, usize) = (256, 32);

/// Calls and failed ones.
type Sum = (u32, u32);

/// Adds to a sum.
pub(super) fn add(sum: &mut Sum, bucket: &Bucket) {
    *sum = (sum.0.saturating_add(bucket.n), sum.1.saturating_add(bucket.bad));
}

/// What was seen since the last step.
#[derive(Debug, Default)]
pub(super) struct Calls {
    pub(super) sums: BTreeMap<UnitId, Sum>,
    callers: BTreeMap<UnitId, BTreeMap<MunicipalityCode, Sum>>,
}

impl Calls {
    /// Takes a bucket of traffic; callers' complaints never count alone, and so do not here, where nothing
    /// else is beside them.
    pub(super) fn add(&mut self, bucket: &Bucket) {
        if bucket.observer.has_hearsay_of(&bucket.unit) {
            return;
        }
        if self.sums.len() >= UNITS_MAX && !self.sums.contains_key(&bucket.unit) {
            return;
        }
        add(self.sums.entry(bucket.unit.clone()).or_default(), bucket);
        let Some(caller) = bucket.caller else { return };
        let callers = self.callers.entry(bucket.unit.clone()).or_default();
        if callers.len() < CALLERS_MAX.0 || callers.contains_key(&caller) {
            add(callers.entry(caller).or_default(), bucket);
        }
    }

    /// What the policy is told of it.
    pub(super) fn facts(&mut self, policy: &Policy) -> Vec<Fact> {
        let mut all = std::mem::take(&mut self.callers);
        let mut of = |unit: &UnitId| {
            let counts = policy.units().get(unit).is_some_and(Unit::counts_calls);
            let callers = all.remove(unit).filter(|_| counts);
            let call = |(caller, (calls, failed))| CallsOf { caller, calls, failed };
            let mut callers: Vec<CallsOf> = callers.unwrap_or_default().into_iter().map(call).collect();
            callers.sort_by_key(|of| (std::cmp::Reverse((of.failed, of.calls)), of.caller));
            callers.truncate(CALLERS_MAX.1);
            callers
        };
        let sums = std::mem::take(&mut self.sums);
        let fact = |(unit, (calls, failed))| {
            let callers = of(&unit);
            Fact::Traffic { unit, calls, failed, callers }
        };
        sums.into_iter().map(fact).collect()
    }
}
