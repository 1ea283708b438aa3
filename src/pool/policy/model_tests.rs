//! Promise: whatever is judged and told, in whatever order, the policy keeps what it promises each second,
//! and goes on the same after it was written and read.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    Decision, Fact, Kind, Lease, Parameters, Policy, Process, Request, Rule, State, UNITS_MAX,
    fixture::{about, id, intervention, judged, order, traffic},
};
use crate::pool::{
    drill::Fault,
    evidence::UnitId,
    judgement::{Judgement, Verdict},
};

const UNITS: usize = 5;

/// What happens from one second on; S and leases stay as they are until they are changed.
#[derive(Debug, Clone, Copy)]
enum Event {
    Evidence(usize, f64),
    Shared(bool),
    Lease(usize, Lease),
    Database(bool),
    Observers(u32),
    Peak(u32),
    Probes(usize, u32, u32),
    Calls(usize, u32, u32),
    Order(usize, u8, bool),
    Epoch(u64),
    Elsewhere(usize, bool),
    Skip(u64),
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    let unit = 1..=UNITS;
    let s = prop_oneof![Just(0.0), Just(3.0), Just(6.0), Just(22.0), 0.0..40.0];
    let lease = prop_oneof![4 => Just(Lease::Live), 1 => Just(Lease::Lapsed), 1 => Just(Lease::Released)];
    prop_oneof![
        6 => (unit.clone(), s).prop_map(|(n, s)| Event::Evidence(n, s)),
        1 => prop::bool::weighted(0.2).prop_map(Event::Shared),
        3 => (unit.clone(), lease).prop_map(|(n, lease)| Event::Lease(n, lease)),
        1 => prop::bool::weighted(0.3).prop_map(Event::Database),
        1 => (1..6_u32).prop_map(Event::Observers),
        1 => (0..11_000_u32).prop_map(Event::Peak),
        3 => (unit.clone(), 0..300_u32, 0..3_u32).prop_map(|(n, all, failed)| Event::Probes(n, all, failed)),
        3 => (unit.clone(), 0..100_u32, 0..30_u32).prop_map(|(n, all, failed)| Event::Calls(n, all, failed)),
        3 => (unit.clone(), 0..9_u8, any::<bool>()).prop_map(|(n, what, bob)| Event::Order(n, what, bob)),
        1 => (unit.clone(), any::<bool>()).prop_map(|(n, there)| Event::Elsewhere(n, there)),
        1 => (0..9_u64).prop_map(Event::Epoch),
        6 => prop_oneof![1..15_u64, 50..200_u64, Just(2_000), Just(40_000)].prop_map(Event::Skip),
        1 => Just(Event::Restart),
    ]
}

/// The policy, what the world does to it, and what must hold.
struct World {
    policy: Policy,
    second: u64,
    s: BTreeMap<UnitId, f64>,
    leases: BTreeMap<UnitId, Lease>,
    shared: bool,
    last_eviction: Option<u64>,
}

impl World {
    fn new() -> Self {
        let leases = (1..=UNITS).map(|n| (id(n), Lease::Live)).collect();
        let policy = Policy::new(Parameters::default());
        let mut world =
            Self { policy, second: 1_000, s: BTreeMap::new(), leases, shared: false, last_eviction: None };
        let mut facts = vec![Fact::Observers { count: 4 }];
        facts.extend((1..=UNITS).map(|n| order("alice", Request::Register(Box::new(about(n))))));
        world.second(facts);
        world
    }

    fn apply(&mut self, event: Event) {
        let mut seconds = 1;
        let mut facts = Vec::new();
        match event {
            Event::Evidence(n, s) => drop(self.s.insert(id(n), s)),
            Event::Shared(shared) => self.shared = shared,
            Event::Lease(n, lease) => drop(self.leases.insert(id(n), lease)),
            Event::Database(away) => facts.push(Fact::Database { away }),
            Event::Observers(count) => facts.push(Fact::Observers { count }),
            Event::Peak(calls_per_s) => facts.push(Fact::Peak { calls_per_s }),
            Event::Probes(n, all, failed) => {
                facts.push(Fact::DeepProbes { unit: id(n), n: all, failed, by: Vec::new() });
            }
            Event::Calls(n, calls, failed) => facts.push(traffic(n, calls, failed)),
            Event::Order(n, what, bob) => facts.extend(asked(n, what, if bob { "bob" } else { "alice" })),
            Event::Elsewhere(n, there) => {
                facts.push(Fact::Elsewhere { unit: id(n), address: there.then(|| "127.0.0.1:9".to_owned()) });
            }
            Event::Epoch(epoch) => facts.push(Fact::Controller { epoch, restored: epoch % 2 == 0 }),
            Event::Skip(by) => seconds = by,
            Event::Restart => {
                let text = serde_json::to_string(&self.policy).expect("it is plain data");
                let read: Policy = serde_json::from_str(&text).expect("it reads its own state");
                assert_eq!(read, self.policy, "a restart changes nothing");
                self.policy = read;
            }
        }
        // A long while is stepped through second by second at first, and then skipped.
        for _ in 0..seconds.min(70) {
            self.second(std::mem::take(&mut facts));
        }
        self.second += seconds.saturating_sub(70);
    }

    fn second(&mut self, mut facts: Vec<Fact>) {
        self.second += 1;
        for unit in self.policy.units().values() {
            let (unit, generation) = (unit.id().clone(), unit.generation);
            facts.push(Fact::DeepProbes { unit: unit.clone(), n: 4, failed: 0, by: Vec::new() });
            facts.push(match self.leases[&unit] {
                Lease::Live => Fact::LeaseRenewed { unit, generation },
                Lease::Lapsed => Fact::LeaseLapsed { unit, generation },
                Lease::Released => Fact::LeaseReleased { unit, generation },
            });
        }
        let s = |unit: &UnitId| judged(self.s.get(unit).copied().unwrap_or(0.0));
        let judgement = Judgement {
            second: self.second,
            units: self.policy.judged().map(|unit| (unit.id().clone(), s(unit.id()))).collect(),
            verdict: if self.shared { Verdict::Shared } else { Verdict::None },
            p0: 0.04,
            weak: BTreeMap::new(),
            late_count: 0,
        };
        let before = self.policy.clone();
        let decisions = self.policy.step(self.second, &judgement, &facts);
        self.check(&before, &decisions, &facts);
    }

    fn check(&mut self, before: &Policy, decisions: &[Decision], facts: &[Fact]) {
        let text = serde_json::to_string(&decisions).expect("they are plain data");
        let read: Vec<Decision> = serde_json::from_str(&text).expect("it reads its own decisions");
        assert_eq!(read, decisions, "decisions are the same when they were written and read");
        let policy = &self.policy;
        assert!(policy.units().len() <= UNITS_MAX && decisions.len() < 10 * UNITS, "{decisions:#?}");

        // Whatever takes a unit that serves, but for a lapsed lease.
        let takes = |one: &&Decision| match one.rule {
            Rule::E1 | Rule::E2 => one.kind == Kind::Evict,
            Rule::E3 => one.from.is_some_and(State::serves),
            _ => false,
        };
        let evicted: Vec<&Decision> = decisions.iter().filter(takes).collect();
        assert!(evicted.len() <= 1, "two at once: {decisions:#?}");
        for one in &evicted {
            let gap = self.last_eviction.map(|last| one.second - last);
            assert!(gap.is_none_or(|gap| gap >= 10), "{gap:?}: {decisions:#?}");
            assert!(!self.shared || one.rule == Rule::E3, "evicted for a shared cause: {decisions:#?}");
            let full = one.from.is_some_and(State::is_full);
            let floor = policy.floor();
            assert!(!full || floor.full >= floor.needed, "below the floor {floor:?}: {decisions:#?}");
            self.last_eviction = Some(one.second);
        }

        let (steered, serving) = policy.steered();
        assert!(2 * steered <= serving, "{steered} of {serving} steered: {decisions:#?}");
        if !policy.units().is_empty() {
            let view = policy.view().expect("there are units");
            assert!(view.units.iter().any(|entry| entry.share_percent > 0), "{view:#?}");
            assert!(view.units.iter().all(|entry| entry.share_percent <= 100));
        }
        let away = facts.iter().any(|fact| matches!(fact, Fact::Database { .. }));
        if policy.database_away && before.database_away && !away {
            let states = |policy: &Policy| -> Vec<(UnitId, State, u64)> {
                policy.units().values().map(|u| (u.id().clone(), u.state, u.generation)).collect()
            };
            assert_eq!(states(policy), states(before), "frozen");
        }
        for unit in before.units().values().filter(|unit| unit.state == State::Quarantined) {
            let released = |one: &&Decision| matches!(one.kind, Kind::Release | Kind::Override);
            let still = policy.units().get(unit.id()).is_none_or(|unit| unit.state == State::Quarantined);
            assert!(still || decisions.iter().any(|d| released(&d)), "out of quarantine: {decisions:#?}");
        }
    }
}

fn asked(n: usize, what: u8, name: &str) -> [Fact; 2] {
    let (unit, reason) = (id(n), "as asked".to_owned());
    let request = match what {
        0 => Request::Register(Box::new(about(n))),
        1 => Request::Unregister { unit, reason },
        2 => Request::Drain { unit, reason },
        3 => Request::Undrain { unit },
        4 => Request::SignOff { unit, intervention: Some(intervention()) },
        5 => Request::Override { unit, reason, seconds: Some(3_600).filter(|_| n > 2) },
        6 => Request::PauseProbes { unit, seconds: 30 },
        7 => Request::Drill { unit, fault: Fault::Hang, seconds: 30 },
        _ => {
            let mut swapped = about(n);
            swapped.serial += "b";
            Request::Register(Box::new(swapped))
        }
    };
    let process = Process { incarnation: 1, drills: true };
    [Fact::Started { unit: id(n), process, address: None }, order(name, request)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_is_promised_holds_after_every_second(events in prop::collection::vec(event(), 1..120)) {
        let mut world = World::new();
        for event in events {
            world.apply(event);
        }
    }
}
