//! A small pool for tests, judged by the rule itself: three units, four observers, and one unit that fails
//! for a while.

use std::collections::BTreeMap;

use super::{FORMAT, Judge, Line, Second, Start, check::Chain};
use crate::pool::{
    evidence::{Bucket, Class, Latencies, Observer, UnitId},
    policy::{Decision, Description, Fact, Operator, Order, Parameters, Policy, Request},
    rule,
};

/// The first second.
pub(crate) const START: u64 = 1_785_000_000;

pub(crate) fn unit(n: usize) -> UnitId {
    format!("relay-{n}").parse().expect("a name")
}

/// An operator makes a unit known.
pub(crate) fn register(n: usize) -> Fact {
    let about = Description {
        id: unit(n),
        address: format!("127.0.0.1:{}", 40_100 + n),
        slot: format!("slot-{n}"),
        serial: format!("S{n}"),
        model: "HSM-7".to_owned(),
        image: "r1".to_owned(),
        attributes: BTreeMap::new(),
    };
    let by = Operator::try_from("operator/alice".to_owned()).expect("an operator");
    Fact::Order(Order { by, request: Request::Register(Box::new(about)) })
}

/// The pool as it is judged, second by second.
pub(crate) struct Live {
    pub(crate) policy: Policy,
    pub(crate) judge: rule::Judge,
    pub(crate) second: u64,
}

impl Live {
    pub(crate) fn new() -> Self {
        let judge = rule::Judge::new(rule::Parameters::default(), START);
        Self { policy: Policy::new(Parameters::default()), judge, second: START }
    }

    /// What is put in for the next second; `relay-2` fails most calls if it is sick.
    pub(crate) fn input(&mut self, sick: bool) -> Second {
        self.second += 1;
        let second = self.second;
        let mut facts = vec![Fact::Observers { count: 4 }];
        let mut buckets = Vec::new();
        let observers = ["issuer/issuer-1", "relay/relay-1", "relay/relay-2", "relay/relay-3"];
        let observers = observers.map(|name| Observer::try_from(name.to_owned()).expect("an observer"));
        for n in 1..=3 {
            let Some(known) = self.policy.units().get(&unit(n)) else {
                facts.push(register(n));
                continue;
            };
            let (unit, generation) = (unit(n), known.generation);
            facts.push(Fact::LeaseRenewed { unit: unit.clone(), generation });
            facts.push(Fact::DeepProbes { unit: unit.clone(), n: 4, failed: 0, by: Vec::new() });
            let bad = if n == 2 && sick { 8 } else { 0 };
            facts.push(Fact::Traffic { unit: unit.clone(), calls: 10, failed: bad, callers: Vec::new() });
            for observer in observers.iter().filter(|observer| !observer.is(&unit)) {
                let mut latencies = Latencies::default();
                latencies.add(7_000 + 1_000 * (second % 5));
                for class in [Class::Traffic, Class::Probe] {
                    let (observer, unit, latencies) = (observer.clone(), unit.clone(), latencies.clone());
                    let (caller, latencies) = (None, Some(latencies));
                    buckets.push(Bucket { second, observer, unit, class, caller, n: 10, bad, latencies });
                }
            }
        }
        let weight = if second.is_multiple_of(50) { 40 } else { 100 };
        Second { second, weights: BTreeMap::from([(observers[3].clone(), weight)]), buckets, facts }
    }

    /// Judges and decides.
    pub(crate) fn decide(&mut self, input: &Second) -> Vec<Decision> {
        let judgement = Judge::judge(&mut self.judge, input, &self.policy);
        self.policy.step(input.second, &judgement, &input.facts)
    }
}

/// The lines of so many seconds, of which the unit is sick for 100 s after the first two minutes.
pub(crate) fn lines(seconds: u64) -> Vec<Line> {
    let mut live = Live::new();
    let judge = Some(serde_json::to_value(&live.judge).expect("it has a JSON form"));
    let policy = live.policy.clone();
    let mut lines = vec![Line::Start(Box::new(Start { format: FORMAT, policy, judge }))];
    for n in 0..seconds {
        let input = live.input((120..220).contains(&n));
        let decisions = live.decide(&input);
        lines.push(Line::Second(input));
        lines.extend(decisions.into_iter().map(|decision| Line::Decision(Box::new(decision))));
    }
    lines
}

/// Lines as they are written, each start and second with its check.
pub(crate) fn written(lines: &[Line]) -> String {
    let (mut text, mut chain) = (String::new(), Chain::new());
    for group in lines.chunk_by(|_, next| matches!(next, Line::Decision(_))) {
        if matches!(group[0], Line::Start(_)) {
            chain = Chain::new();
        }
        text += &chain.closed(&group.iter().map(Line::text).collect::<String>());
    }
    text
}

/// The number of one of these lines, once they are written.
pub(crate) fn number(lines: &[Line], at: usize) -> usize {
    let heads = lines[..=at].iter().filter(|line| !matches!(line, Line::Decision(_))).count();
    at + heads
}
