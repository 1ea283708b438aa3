//! What is found of one unit among all that is known: its limits, votes, siblings, suspect attributes and
//! alarms.

use crate::pool::{
    evidence::{Observer, UnitId},
    judgement::UnitJudgement,
    policy::{PROBED, Raised, Unit, units_are},
};

use super::{Discarded, Known, Limits, Sibling, Suspect, Vote, weighed::left_out};

impl Known<'_> {
    pub(super) fn limits(&self) -> Limits {
        let policy = self.policy.parameters();
        Limits {
            steer_at: self.rule.soft_at,
            back_below: self.rule.suspect_at,
            p0: self.judgement.p0,
            fast: (policy.fast_suppress, policy.fast_reuse),
            slow: policy.slow_quarantine,
            half_lives_s: (policy.fast_half_life_s, policy.slow_half_life_s),
        }
    }

    /// Everybody who saw the unit, and those who have no full vote whether they saw it or not.
    pub(super) fn votes(&self, evidence: Option<&UnitJudgement>) -> Vec<Vote> {
        let left_out = evidence.map_or(&[][..], |judged| left_out(&judged.bets));
        let mut seen = self.seen.clone();
        for observer in self.judgement.weak.keys().chain(left_out) {
            seen.entry(observer.clone()).or_default();
        }
        let vote = |(observer, (calls, bad)): (Observer, (u32, u32))| {
            let weight_percent = self.judgement.weak.get(&observer).copied().unwrap_or(100);
            let discarded = if weight_percent == 0 {
                Some(Discarded::Starved)
            } else {
                left_out.contains(&observer).then_some(Discarded::LeftOut)
            };
            Vote { observer, calls, bad, weight_percent, discarded }
        };
        seen.into_iter().map(vote).collect()
    }

    pub(super) fn siblings(&self, unit: &Unit) -> Vec<Sibling> {
        let shared = unit.about.shared();
        let others = self.policy.units().values().filter(|other| other.id() != unit.id());
        let of = |other: &Unit| {
            let all = other.about.shared().into_iter();
            let shares: Vec<String> = all.filter(|text| shared.contains(text)).collect();
            let judged = self.judgement.units.get(other.id()).filter(|_| other.state.serves());
            let (unit, state, s) = (other.id().clone(), other.state.name(), judged.map(|judged| judged.s));
            (!shares.is_empty()).then_some(Sibling { unit, state, s, shares })
        };
        others.filter_map(of).collect()
    }

    pub(super) fn suspects(&self, unit: &Unit) -> Vec<Suspect> {
        let history = self.policy.history();
        let of = |attribute: String| {
            let suspicion = history.suspects().get(&attribute)?.clone();
            Some(Suspect { attribute, suspicion })
        };
        let probed = history.suspects().get(PROBED).is_some_and(|held| held.units.contains(unit.id()));
        let probed = probed.then(|| PROBED.to_owned());
        history.suspects_of(&unit.about).into_iter().chain(probed).filter_map(of).collect()
    }

    /// What comes next for it; of one that is sick and kept for the floor, that.
    pub(super) fn next(&self, unit: &Unit) -> String {
        let id = unit.id();
        let floor = self.policy.floor();
        let is_sick = |judged: &UnitJudgement| judged.sick || judged.is_failing();
        let sick = unit.state.serves() && self.judgement.units.get(id).is_some_and(is_sick);
        match sick && !floor.allows(unit.state) {
            true => format!(
                "it stays in use, though it is sick, until more than {} in full use, as so many are needed",
                units_are(floor.needed)
            ),
            false => self.policy.outlook(id).unwrap_or_default(),
        }
    }

    pub(super) fn raised(&self, unit: &UnitId) -> Vec<Raised> {
        let alarms = self.policy.alarms().values();
        alarms.filter(|raised| raised.unit.as_ref().is_none_or(|of| of == unit)).cloned().collect()
    }
}
