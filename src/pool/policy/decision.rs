//! What the policy decided, as it stands in the ledger: who, from where to where, by which rule, in words
//! that an operator understands, and on which numbers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{unit::State, weighed::Weighed};
use crate::pool::{evidence::UnitId, judgement::Verdict};

/// What a decision does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A unit is known now, or described anew.
    Register,
    /// A unit is forgotten.
    Unregister,
    /// A unit that joins is let in.
    Admit,
    /// New calls are steered away from it.
    SteerAway,
    /// And come back.
    SteerBack,
    /// It is taken out of use by evidence.
    Evict,
    /// Its draining is over: what is still open on it is reset.
    Reset,
    /// It is taken out of use by an operator.
    Drain,
    /// And let back by one.
    Undrain,
    /// It stopped in order and gave its lease back.
    Leave,
    /// It stays out until two operators sign it off.
    Quarantine,
    /// It is probed for its return.
    StartProbation,
    /// It did not stand that.
    FailProbation,
    /// It returns with this share, in per cent.
    Step(u8),
    /// It is in full use again.
    Return,
    /// The pool carries less than its floor, or keeps a sick unit for it: shed load.
    Degraded,
    /// No longer.
    DegradedOver,
    /// An attribute is suspect.
    Systemic,
    /// An attribute is ruled out as the one cause.
    RuleOut,
    /// An operator takes the suspicion from an attribute.
    Absolve,
    /// The first of two signatures.
    SignOff,
    /// The second: the quarantine is over.
    Release,
    /// The quarantine is lifted for a time, with no cause found.
    Override,
    /// A unit's probes are paused.
    PauseProbes,
    /// And go on.
    ResumeProbes,
    /// A unit plays a fault on purpose.
    Drill,
    /// No longer.
    DrillOver,
    /// A unit left what it recorded.
    Bundle,
    /// A process took over from another one, which had not given its lease back.
    TakeOver,
    /// Somebody should look.
    Alarm(Alarm),
    /// No longer.
    AlarmOver(Alarm),
    /// An order is refused: which.
    Refuse(String),
}

impl Kind {
    /// Its name, as it stands in the record.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Register => "register",
            Kind::Unregister => "unregister",
            Kind::Admit => "admit",
            Kind::SteerAway => "steer_away",
            Kind::SteerBack => "steer_back",
            Kind::Evict => "evict",
            Kind::Reset => "reset",
            Kind::Drain => "drain",
            Kind::Undrain => "undrain",
            Kind::Leave => "leave",
            Kind::Quarantine => "quarantine",
            Kind::StartProbation => "start_probation",
            Kind::FailProbation => "fail_probation",
            Kind::Step(_) => "step",
            Kind::Return => "return",
            Kind::Degraded => "degraded",
            Kind::DegradedOver => "degraded_over",
            Kind::Systemic => "systemic",
            Kind::RuleOut => "rule_out",
            Kind::Absolve => "absolve",
            Kind::SignOff => "sign_off",
            Kind::Release => "release",
            Kind::Override => "override",
            Kind::PauseProbes => "pause_probes",
            Kind::ResumeProbes => "resume_probes",
            Kind::Drill => "drill",
            Kind::DrillOver => "drill_over",
            Kind::Bundle => "bundle",
            Kind::TakeOver => "take_over",
            Kind::Alarm(_) => "alarm",
            Kind::AlarmOver(_) => "alarm_over",
            Kind::Refuse(_) => "refuse",
        }
    }
}

/// What somebody should look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Alarm {
    /// The database is away: the view is frozen.
    DatabaseAway,
    /// Probes of a unit are green while its traffic is red.
    ProbeGreenTrafficRed,
    /// All units are sick alike.
    SharedCause,
    /// One municipality's calls fail wherever they go.
    SickCaller,
    /// One observer sees what nobody else does.
    SickObserver,
    /// Too few observe for an eviction.
    FewObservers,
    /// A unit's failures stopped while its probes were paused.
    ProbeInduced,
    /// No unit is in use.
    NothingServes,
    /// A unit is in use by an override, with no cause found.
    Overridden,
    /// Of two processes that serve as a unit the one with the lease is not where it is registered.
    Elsewhere,
}

impl Alarm {
    /// All of them.
    pub const ALL: [Alarm; 10] = [
        Alarm::DatabaseAway,
        Alarm::ProbeGreenTrafficRed,
        Alarm::SharedCause,
        Alarm::SickCaller,
        Alarm::SickObserver,
        Alarm::FewObservers,
        Alarm::ProbeInduced,
        Alarm::NothingServes,
        Alarm::Overridden,
        Alarm::Elsewhere,
    ];

    /// Its name, as it stands in the record.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Alarm::DatabaseAway => "DATABASE_AWAY",
            Alarm::ProbeGreenTrafficRed => "PROBE_GREEN_TRAFFIC_RED",
            Alarm::SharedCause => "SHARED_CAUSE",
            Alarm::SickCaller => "SICK_CALLER",
            Alarm::SickObserver => "SICK_OBSERVER",
            Alarm::FewObservers => "FEW_OBSERVERS",
            Alarm::ProbeInduced => "PROBE_INDUCED",
            Alarm::NothingServes => "NOTHING_SERVES",
            Alarm::Overridden => "OVERRIDDEN",
            Alarm::Elsewhere => "ELSEWHERE",
        }
    }
}

/// The rule that a decision rests on: its id. What it says is in the words of an explanation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Rule {
    /// Evidence: worse than its peers beyond the limit.
    E1,
    /// A burst of failures while it returned.
    E2,
    /// An override expired.
    E3,
    /// Its lease lapsed.
    E4,
    /// The leases of all lapsed at once.
    E5,
    /// Of two processes the one that holds its lease is not where it is registered.
    E6,
    /// Soft: worse than its peers, not yet beyond the limit.
    S1,
    /// The evidence is gone.
    S2,
    /// Never more than half of the pool, and never more than the rest can carry.
    S3,
    /// The floor.
    F1,
    /// Nobody else serves.
    F2,
    /// A unit that joins has proved itself.
    J1,
    /// A unit left in order.
    J2,
    /// Of two processes under one name the later one has the lease.
    J3,
    /// Back-off is over.
    R1,
    /// Probation.
    R2,
    /// A step is passed.
    R3,
    /// Draining is over.
    D1,
    /// Before it drains, a unit leaves what it recorded.
    D2,
    /// Flap damping, slow scale.
    Q1,
    /// Two signatures.
    Q2,
    /// Override.
    Q3,
    /// Recurrence across units of one attribute.
    V1,
    /// The sick units are exactly those of one attribute.
    V2,
    /// What was changed did not help.
    V3,
    /// The verdict.
    V4,
    /// Traffic beats probes.
    V5,
    /// The monitor may be the cause.
    V6,
    /// An operator's order.
    O1,
    /// The end of a drill.
    O2,
    /// The database.
    B1,
    /// Too few observers.
    B2,
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// When.
    pub second: u64,
    /// Of which unit, if it is of one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unit: Option<UnitId>,
    /// What.
    pub kind: Kind,
    /// The unit's state before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<State>,
    /// And after.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub to: Option<State>,
    /// By which rule.
    pub rule: Rule,
    /// Why, for an operator.
    pub reason: String,
    /// What all units pointed to then.
    pub verdict: Verdict,
    /// The numbers that it rests on, each under its name, rounded to thousandths.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub numbers: BTreeMap<String, f64>,
    /// The attributes that it is about, as `name=value`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub attributes: Vec<String>,
    /// Of an eviction: the evidence against the unit in that second.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub evidence: Option<Weighed>,
}

/// A number as people read it: 1,933.
pub(in crate::pool) fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.max(0.0));
    let places = digits.char_indices().map(|(at, digit)| {
        let comma = at > 0 && (digits.len() - at).is_multiple_of(3);
        if comma { format!(",{digit}") } else { digit.to_string() }
    });
    places.collect()
}

/// To thousandths, and finite, so that it is the same again when it was written and read.
pub(super) fn rounded(value: f64) -> f64 {
    let whole = if value.is_finite() { value.clamp(-1e9, 1e9) } else { 1e9 };
    (whole * 1_000.0).round() / 1_000.0
}

/// What is said beside the states: kind, rule, reason, numbers, attributes, evidence.
#[derive(Debug, Clone)]
pub(super) struct Note {
    pub(super) kind: Kind,
    pub(super) rule: Rule,
    pub(super) reason: String,
    pub(super) numbers: BTreeMap<String, f64>,
    pub(super) attributes: Vec<String>,
    pub(super) evidence: Option<Weighed>,
}

impl Note {
    pub(super) fn new(kind: Kind, rule: Rule, reason: impl Into<String>) -> Self {
        let (numbers, attributes) = (BTreeMap::new(), Vec::new());
        Self { kind, rule, reason: reason.into(), numbers, attributes, evidence: None }
    }

    /// Adds a number, rounded.
    pub(super) fn with(mut self, name: &str, value: f64) -> Self {
        self.numbers.insert(name.to_owned(), rounded(value));
        self
    }

    /// Adds a count.
    pub(super) fn count(self, name: &str, value: impl TryInto<u32>) -> Self {
        let value = value.try_into().unwrap_or(u32::MAX);
        self.with(name, f64::from(value))
    }

    /// Adds the evidence that was weighed.
    pub(super) fn weighed(self, evidence: Option<Weighed>) -> Self {
        Self { evidence, ..self }
    }

    /// Says which attributes it is about.
    pub(super) fn about(mut self, attributes: Vec<String>) -> Self {
        self.attributes = attributes;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_as_people_read_them() {
        for (value, text) in [(0.0, "0"), (999.4, "999"), (1_932.9, "1,933"), (1_234_567.0, "1,234,567")] {
            assert_eq!(grouped(value), text);
        }
    }

    #[test]
    fn a_kind_has_the_name_that_stands_in_its_record() {
        let plain =
            [Kind::SteerAway, Kind::StartProbation, Kind::DegradedOver, Kind::RuleOut, Kind::TakeOver];
        for kind in plain {
            assert_eq!(serde_json::to_value(&kind).expect("plain data"), kind.name());
        }
        for kind in [Kind::Step(5), Kind::Alarm(Alarm::SharedCause), Kind::Refuse("drain".to_owned())] {
            let value = serde_json::to_value(&kind).expect("plain data");
            assert!(value.get(kind.name()).is_some(), "{value}");
        }
    }

    #[test]
    fn an_alarm_has_the_name_that_stands_in_its_record() {
        for alarm in Alarm::ALL {
            assert_eq!(serde_json::to_value(alarm).expect("plain data"), alarm.name());
        }
    }

    #[test]
    fn a_number_of_a_decision_is_finite_and_short() {
        let note = Note::new(Kind::Evict, Rule::E1, "").with("a", f64::NAN).with("b", 1.0 / 3.0);
        assert_eq!((note.numbers["a"], note.numbers["b"]), (1e9, 0.333));
    }
}
