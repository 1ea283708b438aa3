//! The pool as Prometheus reads it: set after each step, all at once; where another issuer decides, no unit
//! is in any state, so that what several issuers export can be added up.

use std::{collections::BTreeMap, ops::RangeInclusive};

use super::Core;
use crate::{
    pool::{
        evidence::UnitId,
        judgement::Verdict,
        policy::{Alarm, Kind, Raised, State, is_green},
    },
    telemetry::names,
    wire::fault::Reason,
};

/// What is raised beside the alarms: that the pool carries less than its floor.
const DEGRADED: &str = "DEGRADED";

/// One decision of each kind.
const KINDS: [Kind; 32] = [
    Kind::Register,
    Kind::Unregister,
    Kind::Admit,
    Kind::SteerAway,
    Kind::SteerBack,
    Kind::Evict,
    Kind::Reset,
    Kind::Drain,
    Kind::Undrain,
    Kind::Leave,
    Kind::Quarantine,
    Kind::StartProbation,
    Kind::FailProbation,
    Kind::Step(0),
    Kind::Return,
    Kind::Degraded,
    Kind::DegradedOver,
    Kind::Systemic,
    Kind::RuleOut,
    Kind::Absolve,
    Kind::SignOff,
    Kind::Release,
    Kind::Override,
    Kind::PauseProbes,
    Kind::ResumeProbes,
    Kind::Drill,
    Kind::DrillOver,
    Kind::Bundle,
    Kind::TakeOver,
    Kind::Alarm(Alarm::DatabaseAway),
    Kind::AlarmOver(Alarm::DatabaseAway),
    Kind::Refuse(String::new()),
];

/// How an observer's word counts, and between which weights in per cent that is.
const VOTES: [(&str, RangeInclusive<u8>); 3] = [("whole", 100..=100), ("part", 1..=99), ("starved", 0..=0)];

fn flag(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}

/// Puts the counters with labels to 0, so that whoever alarms on a rise sees the first.
pub(super) fn begin_at_zero() {
    for outcome in ["given", "refused"] {
        metrics::counter!(names::POOL_LEASES, names::OUTCOME => outcome).increment(0);
    }
    for reason in [Reason::RelayFenced, Reason::GenerationStale, Reason::LaneFull] {
        metrics::counter!(names::POOL_GATE_REFUSALS, names::REASON => reason.as_str()).increment(0);
    }
    for kind in &KINDS {
        metrics::counter!(names::POOL_DECISIONS, names::KIND => kind.name()).increment(0);
    }
}

/// Counts a lease that was asked for.
pub(super) fn lease(given: bool) {
    let outcome = if given { "given" } else { "refused" };
    metrics::counter!(names::POOL_LEASES, names::OUTCOME => outcome).increment(1);
}

/// Counts a decision that was kept.
pub(super) fn decided(kind: &Kind) {
    metrics::counter!(names::POOL_DECISIONS, names::KIND => kind.name()).increment(1);
}

/// Of a unit that is unregistered nothing is so any more.
fn forget(unit: &UnitId) {
    let id = unit.to_string();
    for state in State::NAMES {
        metrics::gauge!(names::POOL_UNIT_STATE, names::UNIT => id.clone(), names::STATE => state).set(0.0);
    }
    metrics::gauge!(names::POOL_UNIT_EVIDENCE, names::UNIT => id.clone()).set(0.0);
    metrics::gauge!(names::POOL_UNIT_EVIDENCE_LIMIT, names::UNIT => id).set(0.0);
}

impl Core {
    /// Shows what is so after a step.
    pub(super) fn show(&mut self, now_s: u64) {
        let known = self.policy.units().keys().cloned().collect();
        let shown = std::mem::replace(&mut self.shown, known);
        shown.difference(&self.shown).for_each(forget);
        let decides = self.epoch > 0;
        metrics::gauge!(names::POOL_EPOCH).set(self.epoch as f64);
        metrics::gauge!(names::POOL_FROZEN).set(flag(self.frozen));
        for name in Verdict::NAMES {
            let holds = decides && self.judgement.verdict.name() == name;
            metrics::gauge!(names::POOL_VERDICT, names::VERDICT => name).set(flag(holds));
        }
        for unit in self.policy.units().values() {
            let id = unit.id().to_string();
            for state in State::NAMES {
                let holds = decides && unit.state.name() == state;
                let of = id.clone();
                metrics::gauge!(names::POOL_UNIT_STATE, names::UNIT => of, names::STATE => state)
                    .set(flag(holds));
            }
            let judged = self.judgement.units.get(unit.id()).filter(|_| decides);
            let (s, limit) = judged.map_or((0.0, 0.0), |judged| (judged.s, judged.s - judged.beyond));
            metrics::gauge!(names::POOL_UNIT_EVIDENCE, names::UNIT => id.clone()).set(s);
            metrics::gauge!(names::POOL_UNIT_EVIDENCE_LIMIT, names::UNIT => id).set(limit);
        }
        for (vote, weights) in VOTES {
            let count =
                if decides { self.intake.observers_by(now_s, |weight| weights.contains(&weight)) } else { 0 };
            metrics::gauge!(names::POOL_OBSERVERS, names::VOTE => vote).set(count as f64);
        }
        let suspects = if decides { self.policy.history().suspects().len() } else { 0 };
        metrics::gauge!(names::POOL_SUSPECTS).set(suspects as f64);
        self.show_health(decides, now_s);
        self.show_raised(decides);
    }

    /// What is not known of a unit's health any more is no number.
    fn show_health(&mut self, decides: bool, now_s: u64) {
        let known = self.policy.units().keys().filter(|_| decides);
        let seen = known.map(|unit| (unit.clone(), self.intake.health(unit, now_s)));
        let seen: BTreeMap<UnitId, (u32, u32)> = seen.filter(|(_, (n, _))| *n > 0).collect();
        let green = |unit: &UnitId, value: f64| {
            metrics::gauge!(names::POOL_UNIT_SHALLOW_GREEN, names::UNIT => unit.to_string()).set(value);
        };
        let before = std::mem::take(&mut self.probed);
        before.iter().filter(|unit| !seen.contains_key(unit)).for_each(|unit| green(unit, f64::NAN));
        seen.iter().for_each(|(unit, seen)| green(unit, flag(is_green(*seen))));
        self.probed = seen.into_keys().collect();
    }

    fn show_raised(&self, decides: bool) {
        let raised = |is: &dyn Fn(&Kind) -> bool| {
            let of = |raised: &&Raised| decides && is(&raised.kind);
            self.policy.alarms().values().filter(of).count() as f64
        };
        for alarm in Alarm::ALL {
            let count = raised(&|kind| *kind == Kind::Alarm(alarm));
            metrics::gauge!(names::POOL_ALARMS, names::ALARM => alarm.name()).set(count);
        }
        // As the list says it: the alarm is kept up for a while after its cause is gone.
        let degraded = decides && self.policy.alarms().values().any(|raised| self.is_degraded_now(raised));
        metrics::gauge!(names::POOL_ALARMS, names::ALARM => DEGRADED).set(flag(degraded));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_kind_of_decision_is_missing_among_those_that_begin_at_zero() {
        let all = serde_json::from_str::<Kind>("\"nothing\"").expect_err("there is no such kind").to_string();
        let all: Vec<&str> = all.split('`').skip(3).step_by(2).collect();
        assert!(all.len() > 30, "{all:?}");
        assert_eq!(KINDS.each_ref().map(Kind::name).as_slice(), all);
    }
}
