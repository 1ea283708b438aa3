//! The policy decides: from a judgement each second, and facts and orders, who is in use; each decision says
//! from which rule and numbers it follows, and the same input gives the same decisions again, after a restart
//! too.
//!
//! [`Policy`] is its own state: written and read again, it goes on as if nothing had happened. It reads no
//! clock and draws no random number. One [`Policy::step`] a second, in this order: facts, orders, drills,
//! takeovers, leases, addresses, drains, joiners, evictions, steering, returns, floor, alarms, view.

mod alarms;
mod bundles;
mod callers;
mod damping;
mod decision;
mod description;
mod drills;
mod elsewhere;
mod evict;
mod facts;
mod floor;
mod history;
mod order;
mod orders;
mod outlook;
mod parameters;
mod peers;
mod probers;
mod release;
mod returns;
mod steer;
mod takeover;
mod trickle;
mod unit;
mod view;
mod weighed;

#[cfg(test)]
mod alarm_tests;
#[cfg(test)]
mod anew_tests;
#[cfg(test)]
mod degraded_tests;
#[cfg(test)]
mod drill_tests;
#[cfg(test)]
mod elsewhere_tests;
#[cfg(test)]
pub(super) mod fixture;
#[cfg(test)]
mod forget_tests;
#[cfg(test)]
mod january_tests;
#[cfg(test)]
mod lease_tests;
#[cfg(test)]
mod limit_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod order_tests;
#[cfg(test)]
mod pause_tests;
#[cfg(test)]
mod return_tests;
#[cfg(test)]
mod takeover_tests;
#[cfg(test)]
mod trickle_tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use alarms::Raised;
pub use bundles::{BUNDLES_MAX, Bundle};
pub use callers::{Callers, CallsOf, Lately};
pub use damping::{Damping, Key, Penalties, Unproved};
pub use decision::{Alarm, Decision, Kind, Rule};
pub use description::Description;
pub use drills::{Drill, Drills, Process};
pub use evict::back_off_s;
pub use floor::Floor;
pub use history::{Episode, History, Suspicion, chance};
pub use order::{Fact, Intervention, NoOperator, Operator, Order, Request};
pub use parameters::{
    ATTRIBUTES_MAX, EPISODES_MAX, NAME_BYTES_MAX, PENALTIES_MAX, Parameters, SUSPECTS_MAX, UNITS_MAX,
    WORDS_BYTES_MAX,
};
pub use peers::{Recent, Row};
pub use probers::{Probers, ProbesOf};
pub use steer::{Anew, is_green};
pub use takeover::Takeovers;
pub use trickle::Trickle;
pub use unit::{Approval, Lease, Progress, State, Unit, Why};
pub use view::{Entry, View};
pub use weighed::Weighed;

use super::{
    evidence::UnitId,
    judgement::{Judgement, UnitJudgement, Verdict},
};
pub(in crate::pool) use decision::grouped;
pub(in crate::pool) use description::UNKNOWN;
pub(in crate::pool) use elsewhere::REMEDY_BEGINS;
pub(in crate::pool) use floor::units_are;
pub(in crate::pool) use steer::PROBED;

use decision::Note;

/// Seconds between two steps from which on nobody decided meanwhile: one that takes over at once goes on from
/// what was kept up to ten seconds before, and a lease lives ten more.
const AWAY_AFTER_S: u64 = 30;

/// Who is in use, and why. This is the whole state of the decider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    parameters: Parameters,
    units: BTreeMap<UnitId, Unit>,
    damping: Damping,
    history: History,
    alarms: BTreeMap<String, Raised>,
    second: u64,
    epoch: u64,
    version: u64,
    published: (u64, Vec<Entry>),
    last_usable: Vec<UnitId>,
    last_eviction: Option<u64>,
    /// The highest generation of a unit that was unregistered: who is registered since begins above it, so
    /// that no lease of before is good again.
    #[serde(default, skip_serializing_if = "is_zero")]
    retired: u64,
    /// When a pool in which nobody was in full use got its first unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    begun: Option<u64>,
    database_away: bool,
    leases_believed_until: u64,
    /// Until when it is no news that nobody is in use, as nobody could have said so yet to whoever took over.
    #[serde(default, skip_serializing_if = "is_zero")]
    waits_until: u64,
    observers: u32,
    peak_calls_per_s: u32,
    /// The last seconds' calls, while anybody's are counted.
    #[serde(default, skip_serializing_if = "Recent::is_empty")]
    recent: Recent,
}

/// One second's work: what was judged, what is decided so far, and who was kept for the floor.
struct Turn<'a> {
    second: u64,
    /// Seconds since the last step: 0 of an order's, as its second was counted already.
    elapsed: u64,
    judgement: Option<&'a Judgement>,
    decisions: Vec<Decision>,
    kept_sick: Vec<UnitId>,
    /// Shallow probes of the last moments, and the bad ones.
    health: BTreeMap<UnitId, (u32, u32)>,
    /// Units to forget whose processes report.
    reports: BTreeSet<UnitId>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_zero(second: &u64) -> bool {
    *second == 0
}

impl Turn<'_> {
    fn judged(&self, unit: &UnitId) -> Option<&UnitJudgement> {
        self.judgement.and_then(|judgement| judgement.units.get(unit))
    }

    fn verdict(&self) -> Verdict {
        self.judgement.map_or(Verdict::None, |judgement| judgement.verdict.clone())
    }

    /// The evidence against a unit, as it is kept with a decision.
    fn weighed(&self, unit: &UnitId) -> Option<Weighed> {
        self.judgement.and_then(|judgement| Weighed::of(judgement, unit))
    }

    fn is_shared(&self) -> bool {
        self.judgement.is_some_and(|judgement| judgement.verdict == Verdict::Shared)
    }

    fn say(&mut self, unit: Option<&UnitId>, states: Option<(State, State)>, note: Note) {
        self.decisions.push(Decision {
            second: self.second,
            unit: unit.cloned(),
            kind: note.kind,
            from: states.map(|(from, _)| from),
            to: states.map(|(_, to)| to),
            rule: note.rule,
            reason: note.reason,
            verdict: self.verdict(),
            numbers: note.numbers,
            attributes: note.attributes,
            evidence: note.evidence,
        });
    }
}

impl Policy {
    /// A policy of a pool without units. What is wrong with the parameters is said by [`Parameters::faults`].
    #[must_use]
    pub fn new(parameters: Parameters) -> Self {
        Self {
            parameters,
            units: BTreeMap::new(),
            damping: Damping::default(),
            history: History::default(),
            alarms: BTreeMap::new(),
            second: 0,
            epoch: 0,
            version: 0,
            published: (0, Vec::new()),
            last_usable: Vec::new(),
            last_eviction: None,
            retired: 0,
            begun: None,
            database_away: false,
            leases_believed_until: 0,
            waits_until: 0,
            observers: 0,
            peak_calls_per_s: 0,
            recent: Recent::default(),
        }
    }

    /// Goes on with other numbers, as after a restart with other options.
    pub fn set_parameters(&mut self, parameters: Parameters) {
        self.parameters = parameters;
    }

    /// Decides for one second. Call it once a second; time never runs backwards in here: a second before the
    /// last one is taken for the last one.
    ///
    /// A judgement that is too old is not acted upon, and what is not known in it stays as it is.
    pub fn step(&mut self, second: u64, judgement: &Judgement, facts: &[Fact]) -> Vec<Decision> {
        let second = second.max(self.second);
        let fresh = judgement.second.saturating_add(self.parameters.judgement_age_max_s) >= second;
        let judgement = fresh.then_some(judgement);
        // Two at most: a tick may come a little late, and what passed before a restart was not seen.
        let gap = second.saturating_sub(self.second);
        let elapsed = gap.min(2);
        self.second = second;
        if gap > AWAY_AFTER_S {
            self.note_away(gap);
        }
        if gap > steer::FORGOTTEN_AFTER_S {
            self.judge_began(second);
        }
        let mut turn = Turn {
            second,
            elapsed,
            judgement,
            decisions: Vec::new(),
            kept_sick: Vec::new(),
            health: BTreeMap::new(),
            reports: BTreeSet::new(),
        };
        let orders = self.take_in(&mut turn, facts);
        if self.database_away {
            self.refuse_all(&mut turn, &orders);
        } else {
            for order in orders {
                self.obey(&mut turn, order);
            }
            self.decide(&mut turn);
        }
        self.publish();
        turn.decisions
    }

    fn decide(&mut self, turn: &mut Turn<'_>) {
        self.end_drills(turn);
        self.say_takeovers(turn);
        self.end_lapsed_leases(turn);
        self.end_what_is_elsewhere(turn);
        self.end_drains(turn);
        self.let_joiners_in(turn);
        self.evict_by_evidence(turn);
        self.steer(turn);
        self.bring_back(turn);
        self.end_overrides(turn);
        self.hold_the_floor(turn);
        self.raise_alarms(turn);
    }

    /// Puts a unit into a state and says why.
    fn shift(&mut self, turn: &mut Turn<'_>, id: &UnitId, to: State, note: Note) {
        let Some(unit) = self.units.get_mut(id) else { return };
        let from = unit.state;
        if from.is_leased() && !to.is_leased() {
            // What it holds is void from here on, whether it listens or not.
            unit.generation += 1;
            unit.lease = Lease::Lapsed;
        }
        unit.state = to;
        unit.since = turn.second;
        unit.why = Why { rule: note.rule, words: note.reason.clone() };
        unit.begin_anew();
        if to != State::Draining {
            (unit.drain, unit.graced) = (None, false);
        }
        unit.traffic_red &= to != State::Healthy;
        unit.undrained &= to == State::Joining;
        unit.trickle = None;
        unit.let_in_from.take_if(|_| !to.is_full());
        turn.say(Some(id), Some((from, to)), note);
    }

    /// The names of the units for which something holds, in their order.
    fn names(&self, holds: impl Fn(&Unit) -> bool) -> Vec<UnitId> {
        self.units.values().filter(|unit| holds(unit)).map(|unit| unit.id().clone()).collect()
    }

    /// Every unit, by name.
    #[must_use]
    pub fn units(&self) -> &BTreeMap<UnitId, Unit> {
        &self.units
    }

    /// The units that the rule has to judge: those that take calls. All others are nobody's peers.
    pub fn judged(&self) -> impl Iterator<Item = &Unit> {
        self.units.values().filter(|unit| unit.state.serves())
    }

    /// The penalties of a unit, at the last second that was decided.
    #[must_use]
    pub fn penalties(&self, unit: &Unit) -> Penalties {
        self.damping.at(&Key::of(&unit.about), self.second, &self.parameters)
    }

    /// Past evictions and suspect attributes.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// What is raised now: alarms, and that the pool is degraded.
    #[must_use]
    pub fn alarms(&self) -> &BTreeMap<String, Raised> {
        &self.alarms
    }

    /// The numbers it decides by.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Of the controller that decided last.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The last second that was decided.
    #[must_use]
    pub fn second(&self) -> u64 {
        self.second
    }

    /// Whether a unit that asks for a lease of its generation gets it. One that drains does not, which is how
    /// it learns of it.
    #[must_use]
    pub fn grants_lease(&self, unit: &UnitId) -> bool {
        let state = self.units.get(unit).map(|unit| unit.state);
        state.is_some_and(|state| state.is_leased() && state != State::Draining) || self.is_kept(unit)
    }

    /// Whether calls that come through a unit, with the lease that it still holds, are taken: so that those
    /// which run may end, they are until its draining is over.
    #[must_use]
    pub fn takes_calls(&self, unit: &UnitId) -> bool {
        let state = self.units.get(unit).map(|unit| unit.state);
        state.is_some_and(|state| state.is_leased() && state != State::Probation) || self.is_kept(unit)
    }

    /// When the drain ends of a unit that an operator drains and against which nothing spoke then: calls that
    /// come to it all the same are to be taken for a moment of it.
    #[must_use]
    pub fn graced_until(&self, unit: &UnitId) -> Option<u64> {
        let drain = self.units.get(unit).filter(|unit| unit.graced)?.drain;
        drain.filter(|(_, to)| *to == State::Drained).map(|(until, _)| until)
    }

    /// Whether it is only in use because nobody else is.
    fn is_kept(&self, unit: &UnitId) -> bool {
        self.published.1.iter().any(|entry| entry.kept && entry.unit == *unit)
    }

    /// Whether a unit may be probed now.
    #[must_use]
    pub fn may_probe(&self, unit: &UnitId) -> bool {
        self.units
            .get(unit)
            .is_some_and(|unit| unit.probes_paused_until.is_none_or(|until| self.second >= until))
    }
}
