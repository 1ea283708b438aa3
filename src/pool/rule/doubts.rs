//! The same bet against those who are no units: an observer that sees what nobody else sees, the link between
//! it and one unit, and a caller whose calls fail wherever they go.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::counts::{Counts, noise};
use super::wealth::{Terms, Wealth};
use crate::domain::municipality::MunicipalityCode;

/// Calls of one observer on one unit from which their link is bet against. Two, where others need three: a
/// link sees few calls within 10 s.
const LINK_CALLS_MIN: u32 = 2;

/// Wealth against observers and their links.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Doubts {
    observers: Vec<Wealth>,
    /// By unit, then by observer.
    links: Vec<Vec<Wealth>>,
}

/// What is bet on: the calls of one on several units, and those of everybody else on the same units.
#[derive(Debug, Default)]
struct Comparison {
    own: Counts,
    others: Counts,
    /// Bad calls that would be expected of as many calls of everybody else.
    expected: f64,
}

impl Comparison {
    fn add(&mut self, own: Counts, others: Counts, calls_min: u32) {
        if others.is_enough(calls_min) {
            self.own += own;
            self.others += others;
            self.expected += own.calls() * others.share();
        }
    }

    /// d, if there is enough of it.
    fn excess(&self, calls_min: u32, noise_factor: f64) -> Option<f64> {
        let n = self.own.calls();
        let enough = self.own.is_enough(calls_min) && self.others.is_enough(1);
        enough.then(|| {
            let beyond = (self.own.bad_calls() - self.expected) / n;
            (beyond - noise(n, self.others, noise_factor)).max(0.0)
        })
    }
}

fn bet(wealth: &mut Wealth, excess: Option<f64>, terms: &Terms) {
    match excess {
        Some(d) => wealth.play(terms.gain(d), terms),
        None => wealth.pass(terms),
    }
}

impl Doubts {
    /// Bets once more; `seen` has the calls by unit and observer.
    pub(super) fn step(&mut self, seen: &[Vec<Counts>], terms: &Terms, calls_min: u32, noise_factor: f64) {
        let observers = seen.iter().map(Vec::len).max().unwrap_or(0);
        self.observers.resize(observers.max(self.observers.len()), Wealth::default());
        self.links.resize(seen.len().max(self.links.len()), Vec::new());
        let totals: Vec<Counts> =
            seen.iter().map(|row| row.iter().fold(Counts::default(), |sum, own| sum + *own)).collect();
        for (observer, wealth) in self.observers.iter_mut().enumerate() {
            let mut all = Comparison::default();
            for (unit, row) in seen.iter().enumerate() {
                let own = row.get(observer).copied().unwrap_or_default();
                all.add(own, totals[unit] - own, calls_min);
                let mut one = Comparison::default();
                one.add(own, totals[unit] - own, calls_min);
                let links = &mut self.links[unit];
                if links.len() <= observer {
                    links.resize(observer + 1, Wealth::default());
                }
                bet(&mut links[observer], one.excess(LINK_CALLS_MIN, noise_factor), terms);
            }
            bet(wealth, all.excess(calls_min, noise_factor), terms);
        }
    }

    pub(super) fn of_observer(&self, observer: usize) -> f64 {
        self.observers.get(observer).map_or(0.0, |wealth| wealth.s())
    }

    pub(super) fn of_link(&self, unit: usize, observer: usize) -> f64 {
        self.links.get(unit).and_then(|links| links.get(observer)).map_or(0.0, |wealth| wealth.s())
    }

    pub(super) fn forget_observer(&mut self, observer: usize) {
        for wealth in self.observers.iter_mut().skip(observer).take(1) {
            *wealth = Wealth::default();
        }
        for wealth in self.links.iter_mut().filter_map(|links| links.get_mut(observer)) {
            *wealth = Wealth::default();
        }
    }

    pub(super) fn forget_unit(&mut self, unit: u8) {
        if let Some(links) = self.links.get_mut(usize::from(unit)) {
            links.clear();
        }
    }
}

/// Bets against callers; `calls` has, by caller, those on each unit, and `totals` everybody's. Who is no
/// longer among them is forgotten.
pub(super) fn bet_on_callers(
    bets: &mut BTreeMap<MunicipalityCode, Wealth>,
    calls: &[(MunicipalityCode, Vec<Counts>)],
    totals: &[Counts],
    terms: &Terms,
    (calls_min, noise_factor): (u32, f64),
) {
    bets.retain(|caller, _| calls.iter().any(|(other, _)| other == caller));
    for (caller, units) in calls {
        let mut all = Comparison::default();
        for (own, total) in units.iter().zip(totals) {
            all.add(*own, *total - *own, calls_min);
        }
        bet(bets.entry(*caller).or_default(), all.excess(calls_min, noise_factor), terms);
    }
}

#[cfg(test)]
mod tests {
    use super::super::counts::CALL;
    use super::*;

    fn counts(bad: u64, n: u64) -> Counts {
        Counts { n: n * CALL, bad: bad * CALL }
    }

    fn excess(pairs: &[(Counts, Counts)]) -> Option<f64> {
        let mut all = Comparison::default();
        for (own, others) in pairs {
            all.add(*own, *others, 3);
        }
        all.excess(3, 2.0)
    }

    #[test]
    fn who_sees_what_all_see_is_not_doubted() {
        assert_eq!(excess(&[(counts(5, 10), counts(10, 20)), (counts(0, 10), counts(0, 20))]), Some(0.0));
        // q = 0.5 / 21: 1 − 2 · √(q(1−q)(1/10 + 1/20)).
        let alone = excess(&[(counts(10, 10), counts(0, 20))]).expect("there is enough");
        assert!((alone - 0.881_908_7).abs() < 1e-6, "{alone}");
    }

    #[test]
    fn a_unit_that_nobody_else_sees_says_nothing() {
        assert_eq!(excess(&[(counts(10, 10), counts(0, 2))]), None);
        assert_eq!(excess(&[(counts(10, 10), counts(0, 2)), (counts(0, 10), counts(0, 20))]), Some(0.0));
    }
}
