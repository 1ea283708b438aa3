//! What came of a run, and whether what is promised of every run held in each of its seconds.

use std::fmt::Write as _;

use todoke::pool::{
    evidence::UnitId,
    judgement::Verdict,
    policy::{Decision, Kind, Rule, State},
};

use super::{
    plan::{ONSET, Plan, Trouble},
    relay::unit_id,
    world::World,
};

/// Seconds after the end of a fault in which its evidence still counts.
const AFTER_S: u64 = 90;
/// Seconds between two evictions by evidence.
const GAP_S: u64 = 10;
/// Until everybody has joined.
const JOINED_S: u64 = 30;

/// What came of a run.
#[derive(Default)]
pub(crate) struct Record {
    /// With the seconds since the beginning.
    pub(crate) decisions: Vec<(u64, Decision)>,
    /// Verdicts, each with the second in which it was first so.
    pub(crate) verdicts: Vec<(u64, Verdict)>,
    /// What was promised and did not hold.
    pub(crate) broken: Vec<String>,
    /// Calls that failed in the end, and all.
    pub(crate) calls: (u64, u64),
    /// The largest S of a unit that was well, and how often one was steered away from.
    pub(crate) s_most: f64,
    pub(crate) soft_steps: u64,
    /// How often one that was well was sent back on its return.
    pub(crate) sent_back: u64,
    last_eviction: Option<u64>,
}

/// Whether it takes a unit out of use by what was seen of it.
fn is_by_evidence(decision: &Decision) -> bool {
    decision.kind == Kind::Evict && matches!(decision.rule, Rule::E1 | Rule::E2)
}

fn number_of(unit: &UnitId, plan: &Plan) -> Option<usize> {
    (0..plan.units).find(|number| unit_id(*number) == *unit)
}

impl Record {
    /// Plays a plan to its end.
    pub(crate) fn of(plan: Plan, seed: u64) -> Self {
        Self::until(plan, seed, |_, _| false)
    }

    /// Plays a plan until something is so.
    pub(crate) fn until(plan: Plan, seed: u64, is_enough: impl Fn(&Self, &World) -> bool) -> Self {
        let mut record = Self::default();
        let mut world = World::new(plan, seed);
        for _ in 0..world.plan.seconds {
            let decisions = world.step();
            record.note(&world, decisions);
            if is_enough(&record, &world) {
                break;
            }
        }
        record.calls = (world.flights.failed, world.flights.all);
        record
    }

    /// One second more.
    pub(crate) fn note(&mut self, world: &World, decisions: Vec<Decision>) {
        let second = world.second;
        for decision in decisions {
            self.check(world, &decision);
            self.decisions.push((second, decision));
        }
        let Some(leader) = world.leader() else { return };
        let judgement = leader.judgement();
        if self.verdicts.last().is_none_or(|(_, last)| !is_same(last, &judgement.verdict)) {
            self.check_verdict(world, &judgement.verdict);
            self.verdicts.push((second, judgement.verdict.clone()));
        }
        for (id, judged) in &judgement.units {
            let is_well = number_of(id, &world.plan).is_some_and(|unit| self.is_well(world, unit));
            if is_well && judged.s > self.s_most {
                self.s_most = judged.s;
            }
        }
        let states = || leader.policy().units().values().map(|unit| unit.state);
        let steered = states().filter(|state| *state == State::Suspect).count();
        let serving = states().filter(|state| state.serves()).count();
        if 2 * steered > serving {
            self.breaks(world, &format!("{steered} of {serving} are steered away from"));
        }
        if second > JOINED_S && world.view.shares.iter().all(|share| *share == 0) {
            self.breaks(world, "the view names nobody");
        }
    }

    fn breaks(&mut self, world: &World, what: &str) {
        self.broken.push(format!("at {}: {what}", world.second));
    }

    fn is_well(&self, world: &World, unit: usize) -> bool {
        world.plan.is_well(unit, world.second, AFTER_S)
    }

    fn check(&mut self, world: &World, decision: &Decision) {
        let well = |unit: &UnitId| number_of(unit, &world.plan).is_some_and(|unit| self.is_well(world, unit));
        let is_well = decision.unit.as_ref().is_some_and(well);
        if decision.kind == Kind::SteerAway {
            self.soft_steps += 1;
        }
        if decision.kind != Kind::Evict {
            return;
        }
        // What returns is sent back for a burst of its own (E2), also if it is well else: it is not in use
        // yet.
        let sent_back = decision.rule == Rule::E2;
        self.sent_back += u64::from(sent_back && is_well);
        let excused = sent_back || decision.rule == Rule::E4 && is_cut(&world.plan, world.second);
        if is_well && !excused {
            self.breaks(world, &format!("a unit that is well is evicted: {}", decision.reason));
        }
        if !is_by_evidence(decision) {
            return;
        }
        if self.last_eviction.is_some_and(|last| decision.second - last < GAP_S) {
            self.breaks(world, &format!("two at once: {}", decision.reason));
        }
        self.last_eviction = Some(decision.second);
        let of = |name: &str| decision.numbers.get(name).copied().unwrap_or_default();
        let is_full = decision.from.is_some_and(State::is_full);
        if is_full && of("full") <= of("floor") {
            self.breaks(world, &format!("below the floor: {}", decision.reason));
        }
    }

    /// No unit that is well is ever named.
    fn check_verdict(&mut self, world: &World, verdict: &Verdict) {
        let named: Vec<&UnitId> = match verdict {
            Verdict::Unit { unit } => vec![unit],
            Verdict::Units { units } | Verdict::Attribute { units, .. } => units.iter().collect(),
            _ => Vec::new(),
        };
        let sick = |id: &UnitId| number_of(id, &world.plan).is_some_and(|unit| !self.is_well(world, unit));
        if !named.into_iter().all(sick) {
            self.breaks(world, &format!("a unit that is well is named: {verdict:?}"));
        }
    }

    /// What happened, in words.
    pub(crate) fn story(&self) -> String {
        let mut text = String::new();
        for (second, Decision { rule, kind, reason, .. }) in &self.decisions {
            let _ = writeln!(text, "{second:5} {rule:?} {}: {reason}", kind.name());
        }
        for (second, verdict) in &self.verdicts {
            let _ = writeln!(text, "{second:5} {verdict:?}");
        }
        let (failed, all) = self.calls;
        let _ = writeln!(text, "{failed} of {all} calls failed; broken: {:#?}", self.broken);
        text
    }

    /// Seconds from the onset to the first decision of a kind about a unit.
    pub(crate) fn after_onset(&self, unit: usize, kind: &Kind) -> Option<u64> {
        let id = unit_id(unit);
        let is = |(second, decision): &&(u64, Decision)| {
            *second > ONSET && decision.kind == *kind && decision.unit.as_ref() == Some(&id)
        };
        self.decisions.iter().find(is).map(|(second, _)| second - ONSET)
    }

    /// Seconds from the onset to the first verdict that is so.
    pub(crate) fn verdict_after_onset(&self, is: impl Fn(&Verdict) -> bool) -> Option<u64> {
        let found = self.verdicts.iter().find(|(second, verdict)| *second > ONSET && is(verdict));
        found.map(|(second, _)| second - ONSET)
    }
}

/// Whether two verdicts say the same, however long they need still.
fn is_same(a: &Verdict, b: &Verdict) -> bool {
    a == b || matches!((a, b), (Verdict::Undecided { .. }, Verdict::Undecided { .. }))
}

/// Whether some relay may not have been heard lately for reasons that are not its own.
fn is_cut(plan: &Plan, second: u64) -> bool {
    plan.troubles.iter().any(|(from, until, trouble)| {
        let lately = *from <= second && second < until.saturating_add(AFTER_S);
        lately && matches!(trouble, Trouble::Unreported { .. } | Trouble::Dead { .. })
    })
}
