//! A pool for tests: units that answer as they are told to, and judgements made by hand.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Decision, Description, Fact, Intervention, Kind, Operator, Order, Parameters, Policy, Request, State,
};
use crate::pool::{
    evidence::{Class, UnitId},
    judgement::{Bet, Judgement, UnitJudgement, Verdict},
};

pub(in crate::pool) fn id(n: usize) -> UnitId {
    format!("relay-{n}").parse().expect("a unit's name")
}

pub(in crate::pool) fn about(n: usize) -> Description {
    Description {
        id: id(n),
        address: format!("127.0.0.1:{}", 40_100 + n),
        slot: format!("slot-{n}"),
        serial: format!("S{n}"),
        model: "HSM-7".to_owned(),
        image: "r1".to_owned(),
        attributes: BTreeMap::new(),
    }
}

pub(in crate::pool) fn operator(name: &str) -> Operator {
    Operator::try_from(format!("operator/{name}")).expect("an operator")
}

pub(in crate::pool) fn order(name: &str, request: Request) -> Fact {
    Fact::Order(Order { by: operator(name), request })
}

pub(in crate::pool) fn forget(n: usize) -> Request {
    Request::Unregister { unit: id(n), reason: "it is gone".to_owned() }
}

/// Why an order is refused.
pub(in crate::pool) fn refused(pool: &mut Pool, by: &str, request: Request) -> String {
    let decisions = pool.tell(vec![order(by, request)]);
    let refusal = decisions.iter().find(|one| matches!(one.kind, Kind::Refuse(_)));
    refusal.map(|one| one.reason.clone()).unwrap_or_else(|| panic!("nothing is refused: {decisions:?}"))
}

/// Calls of a unit, nobody's in particular.
pub(in crate::pool) fn traffic(n: usize, calls: u32, failed: u32) -> Fact {
    Fact::Traffic { unit: id(n), calls, failed, callers: Vec::new() }
}

pub(in crate::pool) fn intervention() -> Intervention {
    Intervention {
        changed: "driver 2.1 to 2.2".to_owned(),
        hypothesis: "the interrupt conflict with the monitoring agent".to_owned(),
    }
}

/// S at which a unit is sick.
const LIMIT: f64 = 21.4;
/// S from which a verdict waits.
const RESTLESS: f64 = 4.5;
/// p0 of the pool.
const P0: f64 = 0.04;
/// Calls of one unit within the scale.
const CALLS: u64 = 20;

/// Bad ones of them, such that S would be about this.
fn bad_calls(s: f64) -> u64 {
    match s {
        ..=0.0 => 0,
        ..1.0 => 2,
        ..LIMIT => 6,
        _ => CALLS,
    }
}

/// d as the rule has it: the share of bad calls over the peers', beyond noise.
fn excess(own: (u64, u64), peers: (u64, u64)) -> f64 {
    if own.0 == 0 || peers.1 == 0 {
        return 0.0;
    }
    let share = |(bad, calls): (u64, u64)| bad as f64 / calls as f64;
    let q = (peers.0 as f64 + 0.5) / (peers.1 as f64 + 1.0);
    let noise = 2.0 * (q * (1.0 - q) * (1.0 / own.1 as f64 + 1.0 / peers.1 as f64)).sqrt();
    (share(own) - share(peers) - noise).max(0.0)
}

/// Seconds from S to its limit at this d, as the rule has them.
fn seconds_to_sick(s: f64, d: f64) -> Option<u64> {
    let gain = (1.0 + 0.9 / P0 * (d - P0)).ln() / 10.0;
    match s {
        ..LIMIT => (gain > 0.0).then(|| ((LIMIT - s) / gain).ceil() as u64),
        _ => Some(0),
    }
}

/// A judgement of one unit with this S, of a pool whose three others are well.
pub(in crate::pool) fn judged(s: f64) -> UnitJudgement {
    let bets = vec![bet(Class::Traffic, s, true), bet(Class::Probe, s, true)];
    UnitJudgement {
        s,
        beyond: s - LIMIT,
        soft: s >= 5.0,
        sick: s >= LIMIT,
        hearsay: false,
        suspect: s >= 1.0,
        seconds_to_sick: seconds_to_sick(s, bets[0].d),
        threshold_us: 100_000,
        left_out_caller: None,
        absolute: 0.0,
        bets,
    }
}

pub(in crate::pool) fn bet(class: Class, s: f64, played: bool) -> Bet {
    let (own, peers) = ((bad_calls(s), CALLS), (0, 3 * CALLS));
    let d = if played { excess(own, peers) } else { 0.0 };
    Bet { class: Some(class), scale: 10, left_out: Vec::new(), s, limit: LIMIT, d, own, peers, played }
}

/// The verdict that follows from who is sick, and who may be; those that hold back an eviction, or accuse
/// what several share, a test sets itself.
fn verdict_of(units: &BTreeMap<UnitId, UnitJudgement>) -> Verdict {
    let sick: Vec<UnitId> =
        units.iter().filter(|(_, judged)| judged.sick).map(|(id, _)| id.clone()).collect();
    let mut restless = units.values().filter(|judged| judged.s >= RESTLESS).peekable();
    match sick.as_slice() {
        [] if restless.peek().is_none() => Verdict::None,
        [] => Verdict::Undecided { seconds: restless.filter_map(|judged| judged.seconds_to_sick).min() },
        [unit] => Verdict::Unit { unit: unit.clone() },
        _ => Verdict::Units { units: sick },
    }
}

/// A pool with its clock, in which leases are renewed, probes answered and calls made as told.
#[derive(Clone)]
pub(in crate::pool) struct Pool {
    pub(in crate::pool) policy: Policy,
    pub(in crate::pool) second: u64,
    /// S of each unit that is not well. Its probes and calls fail, too, from 5 on.
    pub(in crate::pool) s: BTreeMap<UnitId, f64>,
    /// Units that fail for themselves, whoever else does.
    pub(in crate::pool) failing: BTreeSet<UnitId>,
    /// Units that do not renew their leases.
    pub(in crate::pool) gone: BTreeSet<UnitId>,
    /// What all point to; NONE: what follows from S.
    pub(in crate::pool) verdict: Verdict,
    /// Whether nobody calls or probes but as told.
    pub(in crate::pool) quiet: bool,
    /// Whether there is too little of everybody to judge by.
    pub(in crate::pool) unheard: bool,
    pub(in crate::pool) record: Vec<Decision>,
}

impl Pool {
    /// A pool of n healthy units and 4 observers.
    pub(in crate::pool) fn of(n: usize) -> Self {
        Self::with(n, Parameters::default())
    }

    pub(in crate::pool) fn with(n: usize, parameters: Parameters) -> Self {
        let policy = Policy::new(parameters);
        let (s, failing, gone) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        let mut pool = Self {
            policy,
            second: 1_000_000,
            s,
            failing,
            gone,
            verdict: Verdict::None,
            quiet: false,
            unheard: false,
            record: Vec::new(),
        };
        let mut facts = vec![Fact::Observers { count: 4 }];
        facts.extend((1..=n).map(|n| order("alice", Request::Register(Box::new(about(n))))));
        pool.tell(facts);
        // Until what is raised of an empty pool is over, too.
        pool.run(90);
        assert!((1..=n).all(|n| pool.state(n) == State::Healthy), "{:?}", pool.record);
        pool.record.clear();
        pool
    }

    pub(in crate::pool) fn state(&self, n: usize) -> State {
        self.policy.units()[&id(n)].state
    }

    pub(in crate::pool) fn judgement(&self) -> Judgement {
        let bad = |unit: &UnitId| match self.failing.contains(unit) {
            true => CALLS,
            false => bad_calls(self.s.get(unit).copied().unwrap_or(0.0)),
        };
        let all = self.policy.judged().fold((0, 0), |(sum, n), unit| (sum + bad(unit.id()), n + CALLS));
        let of = |unit: &UnitId| {
            let mut judged = judged(self.s.get(unit).copied().unwrap_or(0.0));
            // As the rule does: with two voters, which of them lies cannot be told.
            judged.sick &= self.policy.observers >= 3;
            judged.absolute = if self.failing.contains(unit) { LIMIT } else { 21.3 };
            let own = (bad(unit), CALLS);
            let peers = (all.0 - own.0, all.1 - own.1);
            let d = if self.unheard { 0.0 } else { excess(own, peers) };
            for bet in &mut judged.bets {
                (bet.own, bet.peers, bet.d, bet.played) = (own, peers, d, !self.unheard);
            }
            judged.seconds_to_sick = seconds_to_sick(judged.s, d);
            judged
        };
        let units = self.policy.judged().map(|unit| (unit.id().clone(), of(unit.id()))).collect();
        let verdict = match &self.verdict {
            Verdict::None => verdict_of(&units),
            told => told.clone(),
        };
        let (second, weak) = (self.second, BTreeMap::new());
        Judgement { second, units, verdict, p0: P0, weak, late_count: 0 }
    }

    /// One second with these facts beside the usual ones.
    pub(in crate::pool) fn tell(&mut self, mut facts: Vec<Fact>) -> Vec<Decision> {
        self.second += 1;
        for unit in self.policy.units().values() {
            let (unit, generation) = (unit.id().clone(), unit.generation);
            let bad = self.s.get(&unit).is_some_and(|s| *s >= 5.0);
            facts.push(if self.gone.contains(&unit) {
                Fact::LeaseLapsed { unit: unit.clone(), generation }
            } else {
                Fact::LeaseRenewed { unit: unit.clone(), generation }
            });
            if self.quiet {
                continue;
            }
            facts.push(Fact::DeepProbes {
                unit: unit.clone(),
                n: 4,
                failed: if bad { 4 } else { 0 },
                by: Vec::new(),
            });
            facts.push(Fact::Traffic { unit, calls: 1, failed: u32::from(bad), callers: Vec::new() });
        }
        let decisions = self.policy.step(self.second, &self.judgement(), &facts);
        self.record.extend(decisions.iter().cloned());
        decisions
    }

    pub(in crate::pool) fn run(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.tell(Vec::new());
        }
    }

    /// Runs until something is decided of a unit, and says when that was.
    pub(in crate::pool) fn until(&mut self, kind: &Kind, n: usize, within: u64) -> Decision {
        let wanted = |one: &Decision| one.kind == *kind && one.unit.as_ref() == Some(&id(n));
        for _ in 0..within {
            if let Some(found) = self.tell(Vec::new()).into_iter().find(wanted) {
                return found;
            }
        }
        panic!("no {kind:?} of {n} within {within} s: {:#?}", self.record);
    }

    pub(in crate::pool) fn sick(&mut self, n: usize, s: f64) {
        self.s.insert(id(n), s);
    }

    pub(in crate::pool) fn well(&mut self, n: usize) {
        self.s.remove(&id(n));
    }

    pub(in crate::pool) fn kinds(&self) -> Vec<&Kind> {
        self.record.iter().map(|one| &one.kind).collect()
    }

    pub(in crate::pool) fn shares(&self) -> Vec<u8> {
        self.policy.view().map_or_else(Vec::new, |view| view.units.iter().map(|e| e.share_percent).collect())
    }
}
