//! Why a unit stands where it stands: every number that this rests on, what may come next, and what the
//! default rules of other tools would have done, for an operator who has never seen it.

mod action;
mod found;
mod rules;
mod standing;
mod weighed;
mod words;

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    evidence::{Observer, UnitId},
    judgement::{Bet, Judgement, UnitJudgement, Verdict},
    keeper::KeptDecision,
    other_tools::Opinion,
    policy::{
        Approval, Bundle, Decision, Description, Drill, Floor, Kind, Lease, Penalties, Policy, Raised, Rule,
        State, Suspicion, Unit, is_green,
    },
    rule,
};

pub use words::{signed_words, span, time_of, verdict_words};

/// Decisions about a unit that an explanation tells.
pub const TOLD_MAX: usize = 5;

/// What an explanation is made of, beside the unit.
#[derive(Debug)]
pub struct Known<'a> {
    /// Who is in use.
    pub policy: &'a Policy,
    /// What the rule says.
    pub judgement: &'a Judgement,
    /// The rule's numbers.
    pub rule: &'a rule::Parameters,
    /// Calls and bad ones of the unit that each observer saw in the last minute.
    pub seen: BTreeMap<Observer, (u32, u32)>,
    /// Shallow probes of the last moments by all observers, and bad ones.
    pub health: (u32, u32),
    /// Until when the unit may serve if it does not ask again, in ms since 1970.
    pub lease_until_ms: Option<i64>,
    /// Where its process says that it is reached, if that is not where it is registered.
    pub reported_address: Option<String>,
    /// What other tools would have done, and since when they see what is seen here.
    pub elsewhere: (Vec<Opinion>, Option<u64>),
    /// Decisions about the unit, newest first.
    pub decisions: &'a [KeptDecision],
    /// Who says all this.
    pub issuer: Issuer,
    /// Seconds since 1970.
    pub now_s: u64,
}

/// The issuer that explains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Issuer {
    /// Its name.
    pub name: String,
    /// Whether it decides; another one knows of decisions what is written down.
    pub decides: bool,
    /// Of its lease; 0: it has none.
    pub epoch: u64,
    /// Whether the database is away, so that nothing changes.
    pub frozen: bool,
}

/// What one observer says of the unit, in the last minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Vote {
    /// Who.
    pub observer: Observer,
    /// Calls that it saw.
    pub calls: u32,
    /// Bad ones of them.
    pub bad: u32,
    /// How much its word counts.
    pub weight_percent: u8,
    /// Why its word does not count, if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discarded: Option<Discarded>,
}

/// Why an observer's word does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Discarded {
    /// It misses its own timers, so that it may see its own slowness.
    Starved,
    /// Without it the evidence is least: whoever lies alone cannot evict.
    LeftOut,
}

/// What shallow probes of the last moments say; nobody is judged by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Shallow {
    /// `GREEN` if more than half of them were answered that the unit serves, else `RED`; `NONE` without any.
    pub colour: &'static str,
    /// How many there were.
    pub probes: u32,
    /// And bad ones of them.
    pub bad: u32,
}

impl Shallow {
    fn of((probes, bad): (u32, u32)) -> Self {
        let colour = match (probes, is_green((probes, bad))) {
            (0, _) => "NONE",
            (_, true) => "GREEN",
            (_, false) => "RED",
        };
        Self { colour, probes, bad }
    }
}

/// Another unit that shares something with this one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sibling {
    /// Which.
    pub unit: UnitId,
    /// Where it stands.
    pub state: &'static str,
    /// S against it; `None` if it takes no calls.
    pub s: Option<f64>,
    /// S on the scale that is nearest to its limit, and that limit, as the text has them of the unit itself.
    #[serde(skip)]
    nearest: Option<(f64, f64)>,
    /// What both have, as `name=value`.
    pub shares: Vec<String>,
}

/// A suspect attribute that the unit has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Suspect {
    /// As `name=value`.
    pub attribute: String,
    /// Why.
    #[serde(flatten)]
    pub suspicion: Suspicion,
}

/// A decision with its number in the ledger.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Told {
    /// From 1.
    pub number: u64,
    /// What was decided.
    #[serde(flatten)]
    pub decision: Decision,
}

/// The numbers that a unit's S and penalties are held against.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Limits {
    /// S from which new calls are steered away.
    pub steer_at: f64,
    /// S below which they come back.
    pub back_below: f64,
    /// p0: how much worse than its peers a unit may be.
    pub p0: f64,
    /// Fast penalty from which it stays out, and down to which.
    pub fast: (u32, u32),
    /// Slow penalty from which it is quarantined.
    pub slow: u32,
    /// Seconds in which the fast penalty and the slow one halve.
    pub half_lives_s: (u64, u64),
}

/// Why a unit stands where it stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// Which.
    pub unit: UnitId,
    /// What was registered.
    pub about: Description,
    /// The address that it reports itself, if that is another.
    pub reported_address: Option<String>,
    /// The name of its state.
    pub state: &'static str,
    /// The share of calls that it gets, in per cent of a full one.
    pub share_percent: u8,
    /// Whether it is only in use because nobody else is.
    pub kept: bool,
    /// Since which second.
    pub since: u64,
    /// For how many seconds.
    pub seconds: u64,
    /// The rule that put it there.
    pub rule: Rule,
    /// What that rule says.
    pub rule_words: String,
    /// Why it applied.
    pub why: String,
    /// What a person is to do about it.
    pub action: String,
    /// The next transition and what it waits for.
    pub next: String,
    /// Whether it asks for a lease. One that may not serve gets none.
    pub lease: Lease,
    /// Until when it has one, if it does not ask again; ms since 1970.  `None` of one that may not serve.
    pub lease_until_ms: Option<i64>,
    /// The lease's generation.
    pub generation: u64,
    /// Until when an operator's override holds.
    pub override_until: Option<u64>,
    /// Who signed it off so far, and with which words: none counts before another operator signs the same.
    pub signatures: Vec<Approval>,
    /// Until when it is not probed.
    pub probes_paused_until: Option<u64>,
    /// What it plays on purpose.
    pub drill: Option<Drill>,
    /// What it recorded and left in files before it drained, the newest last.
    pub bundles: Vec<Bundle>,
    /// The evidence; `None` of a unit that takes no calls, which nobody judges.
    pub evidence: Option<UnitJudgement>,
    /// What it is held against.
    pub limits: Limits,
    /// Who says what.
    pub votes: Vec<Vote>,
    /// What its health says, which proves nothing of its work.
    pub shallow: Shallow,
    /// What all units in use together point to.
    pub verdict: Verdict,
    /// The other units that share something with it.
    pub siblings: Vec<Sibling>,
    /// The floor's arithmetic.
    pub floor: Floor,
    /// Whether the floor lets it be taken out.
    pub may_be_taken_out: bool,
    /// Penalties of past evictions.
    pub penalties: Penalties,
    /// Evictions in a row: each doubles the back-off.
    pub evictions: u32,
    /// What it has of suspect attributes.
    pub suspects: Vec<Suspect>,
    /// Alarms that are raised now, about it or the whole pool.
    pub raised: Vec<Raised>,
    /// What other tools' default rules would have done with the same evidence.
    pub elsewhere: Vec<Opinion>,
    /// Since when they were tried.
    pub elsewhere_since: Option<u64>,
    /// The last decisions about it, newest first.
    pub decisions: Vec<Told>,
    /// The last decision that evicted it, if it is among those that were looked at.
    pub evicted_by: Option<Told>,
    /// Who says this.
    pub issuer: Issuer,
    /// What only the text needs.
    #[serde(skip)]
    stands: Stands,
}

/// What only the text needs.
#[derive(Debug, Clone, PartialEq)]
struct Stands {
    /// The state, as it follows on "is".
    words: String,
    /// Its state.
    state: State,
    /// What brought it there: the rule, what that says, and why it applied; of one that has drained, what it
    /// drained for.
    because: (Rule, String, String),
    /// What an eviction adds to each of its penalties.
    penalty: u32,
    /// For how long an alarm is shown after its cause was seen last.
    alarm_quiet_s: u64,
    /// Whether a unit is out of use, so that nothing is said of all.
    some_out: bool,
    /// Whom there is evidence against, the most of it first.
    held_against: Vec<UnitId>,
    /// How many units are judged, as they take calls.
    in_use: usize,
    /// Whether its process has reported lately.
    reports: bool,
    /// Whether a second process serves as it, at another address.
    two: bool,
}

impl Explanation {
    /// Explains a unit.
    #[must_use]
    pub fn of(unit: &Unit, known: &Known<'_>) -> Self {
        let Known { policy, judgement, elsewhere, issuer, now_s, .. } = known;
        let (id, floor) = (unit.id(), policy.floor());
        let view = policy.view();
        let entry = view.iter().flat_map(|view| &view.units).find(|entry| entry.unit == *id);
        let evidence = judgement.units.get(id).filter(|_| unit.state.serves()).cloned();
        let decisions: Vec<Told> = known.decisions.iter().filter_map(Told::read).collect();
        let granted = policy.grants_lease(id) && unit.state != State::Probation;
        let stands = known.stands(unit, &decisions);
        Self {
            unit: id.clone(),
            about: unit.about.clone(),
            reported_address: known.reported_address.clone(),
            state: unit.state.name(),
            share_percent: entry.map_or(0, |entry| entry.share_percent),
            kept: entry.is_some_and(|entry| entry.kept),
            since: unit.since,
            seconds: now_s.saturating_sub(unit.since),
            rule: unit.why.rule,
            rule_words: known.rule_words(unit.why.rule),
            why: unit.why.words.clone(),
            action: known.action(unit),
            next: known.next(unit),
            lease: unit.lease,
            lease_until_ms: known.lease_until_ms.filter(|_| granted),
            generation: unit.generation,
            override_until: unit.override_until,
            signatures: unit.signatures().cloned().collect(),
            probes_paused_until: unit.probes_paused_until.filter(|until| until > now_s),
            drill: unit.drills.now.clone(),
            bundles: unit.bundles.clone(),
            limits: known.limits(),
            votes: known.votes(evidence.as_ref()),
            shallow: Shallow::of(known.health),
            evidence,
            verdict: judgement.verdict.clone(),
            siblings: known.siblings(unit),
            may_be_taken_out: floor.allows(unit.state),
            floor,
            penalties: policy.penalties(unit),
            evictions: unit.evictions,
            suspects: known.suspects(unit),
            raised: known.raised(id),
            elsewhere: elsewhere.0.clone(),
            elsewhere_since: elsewhere.1,
            evicted_by: decisions.iter().find(|told| told.decision.kind == Kind::Evict).cloned(),
            decisions: decisions.into_iter().take(TOLD_MAX).collect(),
            issuer: issuer.clone(),
            stands,
        }
    }

    /// The second in which it is explained.
    fn now_s(&self) -> u64 {
        self.since.saturating_add(self.seconds)
    }

    /// The bet that decides: the one that is nearest to its limit, or farthest beyond.
    #[must_use]
    pub fn decisive(&self) -> Option<&Bet> {
        self.evidence.as_ref().and_then(|judged| weighed::decisive(&judged.bets))
    }
}

impl Known<'_> {
    fn stands(&self, unit: &Unit, decisions: &[Told]) -> Stands {
        Stands {
            words: match unit.state {
                State::Probation => "on PROBATION".to_owned(),
                state => state.name().to_owned(),
            },
            state: unit.state,
            because: self.because(unit, decisions),
            penalty: self.policy.parameters().penalty,
            alarm_quiet_s: self.policy.parameters().alarm_quiet_s,
            some_out: self.policy.units().values().any(|unit| !unit.state.serves()),
            held_against: self.held_against(),
            in_use: self.judgement.units.len(),
            reports: self.reports(),
            two: unit.elsewhere.is_some(),
        }
    }
}

impl Told {
    fn read(kept: &KeptDecision) -> Option<Self> {
        let decision = serde_json::from_str(&kept.record).ok()?;
        Some(Self { number: kept.number, decision })
    }
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
