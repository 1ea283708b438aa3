//! Deep probes of each unit since the last step; of a unit that they may let in also whose they were, so that
//! no observer alone can keep it out.

use std::collections::BTreeMap;

use super::calls;
use crate::pool::{
    evidence::{Bucket, Observer, UnitId},
    notes::UNITS_MAX,
    policy::{Fact, Policy, ProbesOf, Unit},
};

/// Observers of a unit that are told apart: every relay, and some issuers.
const OBSERVERS_MAX: usize = 72;

/// Probes of a unit by one observer that count in a step. It is told to send one a second at most, at random
/// times, and what it saw in two seconds may come in one step.
const PROBES_MAX: u32 = 4;

/// Probes and failed ones.
type Sum = (u32, u32);

/// What was seen since the last step.
#[derive(Debug, Default)]
pub(super) struct Probes {
    sums: BTreeMap<UnitId, BTreeMap<Observer, Sum>>,
}

impl Probes {
    /// Takes a bucket of probes; what a unit says of itself proves nothing.
    pub(super) fn add(&mut self, bucket: &Bucket) {
        let (observer, unit) = (&bucket.observer, &bucket.unit);
        if bucket.n == 0 || observer.is(unit) {
            return;
        }
        if self.sums.len() >= UNITS_MAX && !self.sums.contains_key(unit) {
            return;
        }
        let seen = self.sums.entry(unit.clone()).or_default();
        if seen.len() >= OBSERVERS_MAX && !seen.contains_key(observer) {
            return;
        }
        calls::add(seen.entry(observer.clone()).or_default(), bucket);
    }

    /// What all observers together saw of each unit.
    pub(super) fn sums(&self) -> BTreeMap<UnitId, Sum> {
        self.sums.iter().map(|(unit, seen)| (unit.clone(), sum(seen.values().copied().map(cut)))).collect()
    }

    /// What the policy is told of it.
    pub(super) fn facts(&mut self, policy: &Policy) -> Vec<Fact> {
        let of = |(observer, seen)| {
            let (n, failed) = cut(seen);
            ProbesOf { observer, n, failed }
        };
        let fact = |(unit, seen): (UnitId, BTreeMap<Observer, Sum>)| {
            let counts = policy.units().get(&unit).is_some_and(Unit::counts_probes);
            let (n, failed) = sum(seen.values().copied().map(cut));
            let by = if counts { seen.into_iter().map(of).collect() } else { Vec::new() };
            Fact::DeepProbes { unit, n, failed, by }
        };
        std::mem::take(&mut self.sums).into_iter().map(fact).collect()
    }
}

fn cut((n, failed): Sum) -> Sum {
    let most = n.min(PROBES_MAX);
    // Of what is cut as large a part failed; one that did is not lost.
    let part = u64::from(failed.min(n)) * u64::from(most);
    (most, u32::try_from(part.div_ceil(u64::from(n.max(1)))).unwrap_or(most))
}

fn sum(seen: impl Iterator<Item = Sum>) -> Sum {
    seen.fold((0, 0), |sum, seen| (sum.0.saturating_add(seen.0), sum.1.saturating_add(seen.1)))
}
