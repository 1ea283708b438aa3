//! What a ledger says of each unit over all its seconds: how many calls went wrong, how much worse than its
//! peers it was (d), and what was decided; from this p0 and the scales of the rule can be set.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Judge, Second};
use crate::pool::{
    evidence::{Class, UnitId},
    judgement::{Judgement, UnitJudgement, Verdict},
    policy::{Decision, Kind, Policy},
    rule,
};

/// The upper bounds of all places of a histogram of d but the last; the first is of those that are no worse
/// than their peers.
pub const D_BOUNDS: [f64; 11] = [0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0];

/// Calls, and bad ones of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Calls.
    pub calls: u64,
    /// Bad ones of them.
    pub bad: u64,
}

impl Share {
    fn add(&mut self, n: u32, bad: u32) {
        self.calls += u64::from(n);
        self.bad += u64::from(bad);
    }

    /// Bad calls in a hundred.
    #[must_use]
    pub fn percent(self) -> f64 {
        if self.calls == 0 { 0.0 } else { self.bad as f64 * 100.0 / self.calls as f64 }
    }
}

/// How often d was how large, on one scale, with nobody's word left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Histogram {
    /// Seconds by place: up to each of [`D_BOUNDS`], and above the last.
    pub seconds: [u64; D_BOUNDS.len() + 1],
    /// The largest.
    pub max: f64,
}

impl Histogram {
    fn add(&mut self, d: f64) {
        let place = D_BOUNDS.iter().position(|bound| d <= *bound).unwrap_or(D_BOUNDS.len());
        self.seconds[place] += 1;
        self.max = self.max.max(d);
    }

    /// The bound that d passes in no more than this share of the seconds; infinite in the last place.
    #[must_use]
    pub fn quantile(&self, share: f64) -> f64 {
        let total: u64 = self.seconds.iter().sum();
        let wanted = (total as f64 * share).ceil() as u64;
        let mut sum = 0;
        for (place, seconds) in self.seconds.iter().enumerate() {
            sum += seconds;
            if sum >= wanted {
                return D_BOUNDS.get(place).copied().unwrap_or(f64::INFINITY);
            }
        }
        f64::INFINITY
    }
}

/// One unit.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct UnitAnalysis {
    /// Seconds in which it took part.
    pub seconds: u64,
    /// Callers' calls, as all observers together reported them.
    pub traffic: Share,
    /// Deep probes.
    pub probes: Share,
    /// d by scale τ in seconds, of both classes together.
    pub d: BTreeMap<u32, Histogram>,
    /// The largest S, and in which second.
    pub s_max: f64,
    /// That second.
    pub s_max_second: u64,
    /// Times that new calls were steered away.
    pub soft_steps: u64,
    /// Times that it was evicted.
    pub evictions: u64,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Analysis {
    /// Seconds that were judged.
    pub seconds: u64,
    /// The first of them.
    pub from: u64,
    /// And the last.
    pub to: u64,
    /// Decisions that were made.
    pub decisions: u64,
    /// The smallest and the largest p0.
    pub p0: (f64, f64),
    /// Seconds by verdict.
    pub verdicts: BTreeMap<&'static str, u64>,
    /// The units, by name.
    pub units: BTreeMap<UnitId, UnitAnalysis>,
}

/// Judges a ledger again, and counts.
pub struct Analyst {
    judge: rule::Judge,
    analysis: Analysis,
    /// The last second that was counted since the last start.
    last: u64,
}

impl Analyst {
    /// One that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        let judge = rule::Judge::new(rule::Parameters::default(), 0);
        Self { judge, analysis: Analysis::default(), last: 0 }
    }

    /// What it has counted.
    #[must_use]
    pub fn analysis(&self) -> &Analysis {
        &self.analysis
    }

    fn count(&mut self, judgement: &Judgement) {
        let all = &mut self.analysis;
        let p0 = judgement.p0;
        all.p0 = if all.seconds == 0 { (p0, p0) } else { (all.p0.0.min(p0), all.p0.1.max(p0)) };
        all.from = if all.seconds == 0 { judgement.second } else { all.from.min(judgement.second) };
        all.to = all.to.max(judgement.second);
        all.seconds += 1;
        *all.verdicts.entry(word(&judgement.verdict)).or_default() += 1;
        for (id, judged) in &judgement.units {
            all.units.entry(id.clone()).or_default().count(judgement.second, judged);
        }
    }
}

impl Default for Analyst {
    fn default() -> Self {
        Self::new()
    }
}

impl UnitAnalysis {
    fn count(&mut self, second: u64, judged: &UnitJudgement) {
        self.seconds += 1;
        if judged.s > self.s_max {
            (self.s_max, self.s_max_second) = (judged.s, second);
        }
        let whole = |bet: &&crate::pool::judgement::Bet| bet.class.is_none() && bet.left_out.is_empty();
        let mut counted = None;
        for bet in judged.bets.iter().filter(whole).filter(|bet| bet.played) {
            // Where nobody's word was the least one, it stands there twice.
            if counted.replace(bet.scale) != Some(bet.scale) {
                self.d.entry(bet.scale).or_default().add(bet.d);
            }
        }
    }
}

impl Judge for Analyst {
    fn restore(&mut self, kept: Option<&serde_json::Value>) -> Result<(), String> {
        // Another issuer's part may be of before.
        self.last = 0;
        self.judge.restore(kept)
    }

    fn judge(&mut self, input: &Second, policy: &Policy) -> Judgement {
        for bucket in &input.buckets {
            let unit = self.analysis.units.entry(bucket.unit.clone()).or_default();
            let share = if bucket.class == Class::Probe { &mut unit.probes } else { &mut unit.traffic };
            share.add(bucket.n, bucket.bad);
        }
        let judgement = Judge::judge(&mut self.judge, input, policy);
        // An order is decided in a step of its own, in a second that is judged already.
        if judgement.second > self.last {
            self.last = judgement.second;
            self.count(&judgement);
        }
        judgement
    }

    fn hear(&mut self, decision: &Decision) {
        self.analysis.decisions += 1;
        let Some(unit) = &decision.unit else { return };
        match decision.kind {
            Kind::SteerAway => self.analysis.units.entry(unit.clone()).or_default().soft_steps += 1,
            Kind::Evict => self.analysis.units.entry(unit.clone()).or_default().evictions += 1,
            _ => {}
        }
    }
}

/// The word for a verdict.
fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::None => "NONE",
        Verdict::Unit { .. } => "UNIT",
        Verdict::Units { .. } => "UNITS",
        Verdict::Attribute { .. } => "ATTRIBUTE",
        Verdict::Shared => "SHARED",
        Verdict::Caller { .. } => "CALLER",
        Verdict::Observer { .. } => "OBSERVER",
        Verdict::Undecided { .. } => "UNDECIDED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d_stands_in_the_first_place_whose_bound_it_does_not_pass() {
        let mut histogram = Histogram::default();
        for d in [-0.2, 0.0, 0.0005, 0.05, 0.06, 2.0] {
            histogram.add(d);
        }
        assert_eq!(histogram.seconds, [2, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1]);
        assert!((histogram.max - 2.0).abs() < 1e-9);
        let quantiles = [0.33, 0.5, 0.66, 0.83, 1.0].map(|share| histogram.quantile(share));
        assert_eq!(quantiles, [0.0, 0.001, 0.05, 0.1, f64::INFINITY]);
    }
}
