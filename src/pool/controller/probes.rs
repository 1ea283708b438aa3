//! Deep probes of each unit since the last step; of a unit that they may let in also whose they were, so that
//! no observer alone can keep it out.

use std::collections::BTreeMap;

use super::{calls, witnesses::Witnesses};
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

/// What was seen since the last step, and who probed whom within the last minute.
#[derive(Debug)]
pub(super) struct Probes {
    sums: BTreeMap<UnitId, BTreeMap<Observer, Sum>>,
    lately: Witnesses,
}

impl Default for Probes {
    fn default() -> Self {
        Self { sums: BTreeMap::new(), lately: Witnesses::minute() }
    }
}

impl Probes {
    /// Takes a bucket of probes that came in this second; what a unit says of itself proves nothing.
    pub(super) fn add(&mut self, now_s: u64, bucket: &Bucket) {
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
        self.lately.add(now_s, observer, unit, (bucket.n, bucket.bad));
    }

    /// What all observers together saw of each unit.
    pub(super) fn sums(&self) -> BTreeMap<UnitId, Sum> {
        self.sums.iter().map(|(unit, seen)| (unit.clone(), sum(seen.values().copied().map(cut)))).collect()
    }

    /// What the policy is told of it at this second.
    pub(super) fn facts(&mut self, policy: &Policy, now_s: u64) -> Vec<Fact> {
        let fact = |(unit, seen): (UnitId, BTreeMap<Observer, Sum>)| {
            let counts = policy.units().get(&unit).is_some_and(Unit::counts_probes);
            let (n, failed) = sum(seen.values().copied().map(cut));
            let mut all: BTreeMap<Observer, Sum> = BTreeMap::new();
            if counts {
                all.extend(self.lately.of(&unit, now_s).into_keys().map(|observer| (observer, (0, 0))));
                all.extend(seen.into_iter().map(|(observer, seen)| (observer, cut(seen))));
            }
            let of = |(observer, (n, failed))| ProbesOf { observer, n, failed };
            Fact::DeepProbes { unit, n, failed, by: all.into_iter().map(of).collect() }
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
