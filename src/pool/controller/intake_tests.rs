//! Promise: what one observer says is counted once, whatever its clock does, and no relay that says much
//! takes more room than it may.

use super::{
    calls::Calls,
    intake::{Intake, Says},
    report::bucket,
};
use crate::{
    pool::{
        evidence::{Bucket, Class, Observer, UnitId},
        policy::{
            BUNDLES_MAX, Bundle, CallsOf, Fact, Kind, Policy, ProbesOf, Process, Request,
            fixture::{Pool, about, id, order},
        },
    },
    wire::pb::EvidenceBucket,
};

fn observer(n: usize) -> Observer {
    format!("relay/relay-{n}").try_into().expect("an observer")
}

fn of(second: i64) -> EvidenceBucket {
    bucket(second, "relay-2", true, (1, 0), Vec::new())
}

/// Buckets that are taken of a report of this second, sent in that one.
fn taken(intake: &mut Intake, second: i64, sent: i64) -> usize {
    intake.take(&observer(1), &[of(second)], 1_000, (0, sent)).expect("it fits");
    intake.take_evidence(1_000).buckets.len()
}

#[test]
fn a_second_is_taken_once_and_again_after_the_clock_was_set_back() {
    let mut intake = Intake::default();
    assert_eq!(taken(&mut intake, 1_000, 1_001), 1);
    assert_eq!(taken(&mut intake, 1_000, 1_002), 0, "it was sent again");
    assert_eq!(taken(&mut intake, 900, 901), 1, "its clock was set back");
    assert_eq!(taken(&mut intake, 900, 902), 0);
    assert_eq!(taken(&mut intake, 1_000, 1_001), 1, "this second comes again");
}

fn observers(intake: &mut Intake, policy: &Policy) -> u32 {
    let facts = intake.take_facts(policy, 1_000_000, 1_000);
    let count = facts.iter().find_map(|fact| match fact {
        Fact::Observers { count } => Some(*count),
        _ => None,
    });
    count.expect("it is always told")
}

#[test]
fn an_observer_without_a_vote_does_not_count_as_one() {
    let (mut intake, pool) = (Intake::default(), Pool::of(2));
    for n in 1..=3 {
        intake.weigh(&observer(n), 0);
        intake.take(&observer(n), &[of(1_000)], 1_000, (0, 1_001)).expect("it fits");
    }
    assert_eq!(observers(&mut intake, &pool.policy), 3);
    intake.weigh(&observer(2), 1_000);
    assert_eq!(observers(&mut intake, &pool.policy), 2);
    intake.weigh(&observer(2), 900);
    assert_eq!(observers(&mut intake, &pool.policy), 3, "it counts a little again");
}

#[test]
fn a_relay_that_names_bundles_and_processes_without_end_is_heard_of_few() {
    let (mut intake, pool) = (Intake::default(), Pool::of(2));
    let mut told = |from_ms: i64| {
        let (mut bundles, mut started) = (0, 0);
        for n in 0..500 {
            let now_ms = from_ms + n * 1_000;
            for m in 0..3 {
                let process = Process { incarnation: (from_ms + n * 10 + m).unsigned_abs(), drills: false };
                intake
                    .take_request(&pool.policy, &id(2), process, Says::default(), now_ms)
                    .expect("it is newer");
                let named = (0..20).map(|k| Bundle { name: format!("{from_ms}-{n}-{m}-{k}"), bytes: 1 });
                intake.take_bundles(&pool.policy, &id(2), named, now_ms);
            }
            let facts = intake.take_facts(&pool.policy, now_ms, now_ms.unsigned_abs() / 1000);
            bundles += facts.iter().filter(|fact| matches!(fact, Fact::Bundle { .. })).count();
            let now = facts.iter().filter(|fact| matches!(fact, Fact::Started { .. })).count();
            started = started.max(now);
        }
        (bundles, started)
    };
    assert_eq!(told(1_000_000), (BUNDLES_MAX, 1));
    assert_eq!(told(2_000_000), (BUNDLES_MAX, 1), "ten minutes later it may again");
}

#[test]
fn the_policy_is_told_whose_calls_failed_of_a_unit_that_returns() {
    let mut pool = Pool::of(3);
    pool.sick(2, 30.0);
    pool.until(&Kind::Evict, 2, 1);
    pool.well(2);
    pool.until(&Kind::Step(1), 2, 200);
    let mut calls = Calls::default();
    let said = |by: &str, calls: &mut Calls, unit: UnitId, caller: Option<&str>, (n, bad): (u32, u32)| {
        let caller = caller.map(|code| code.parse().expect("a code"));
        let (observer, class) = (by.to_owned().try_into().expect("an observer"), Class::Traffic);
        calls.add(&Bucket { second: 1, observer, unit, class, caller, n, bad, latencies: None });
    };
    let add = |calls: &mut Calls, unit, caller, of| said("issuer/issuer-1", calls, unit, caller, of);
    said("relay/relay-1", &mut calls, id(1), Some("131229"), (3, 3));
    said("relay/relay-1", &mut calls, id(2), Some("131211"), (40, 40)); // callers told it so
    add(&mut calls, id(2), None, (7, 1));
    add(&mut calls, id(2), Some("131229"), (2, 1));
    add(&mut calls, id(2), Some("131211"), (9, 0));
    add(&mut calls, id(2), Some("131229"), (1, 1));
    let of = |code: &str, calls, failed| CallsOf { caller: code.parse().expect("a code"), calls, failed };
    let expected = [
        Fact::Traffic { unit: id(1), calls: 3, failed: 3, callers: Vec::new() },
        Fact::Traffic {
            unit: id(2),
            calls: 19,
            failed: 3,
            callers: vec![of("131229", 3, 2), of("131211", 9, 0)],
        },
    ];
    assert_eq!(calls.facts(&pool.policy), expected);
    assert_eq!(calls.facts(&pool.policy), []);
}

#[test]
fn of_a_unit_that_joins_the_policy_is_told_who_probed_it_how_often_and_never_the_unit() {
    let (mut intake, mut pool) = (Intake::default(), Pool::of(4));
    pool.tell(vec![order("alice", Request::Register(Box::new(about(5))))]);
    let said = |intake: &mut Intake, n: usize, unit: &str, second: u32, seen: (u32, u32)| {
        let buckets = [bucket(second.into(), unit, true, seen, Vec::new())];
        intake.take(&observer(n), &buckets, second.into(), (0, second.into())).expect("it fits");
    };
    let told = |intake: &mut Intake, pool: &Pool, second: u32| {
        let facts = intake.take_facts(&pool.policy, 1_000 * i64::from(second), second.into());
        facts.into_iter().filter(|fact| matches!(fact, Fact::DeepProbes { .. })).collect::<Vec<_>>()
    };
    let of = |n, probes, failed| ProbesOf { observer: observer(n), n: probes, failed };
    said(&mut intake, 1, "relay-5", 1_000, (1, 0));
    said(&mut intake, 2, "relay-5", 1_000, (u32::MAX, u32::MAX));
    said(&mut intake, 5, "relay-5", 1_000, (200, 0));
    said(&mut intake, 1, "relay-3", 1_001, (2, 1));
    let by = vec![of(1, 1, 0), of(2, 4, 4)];
    let expected = [
        Fact::DeepProbes { unit: id(3), n: 2, failed: 1, by: Vec::new() },
        Fact::DeepProbes { unit: id(5), n: 5, failed: 4, by },
    ];
    assert_eq!(told(&mut intake, &pool, 1_001), expected, "what it says of itself proves nothing");
    said(&mut intake, 3, "relay-5", 1_030, (2, 1));
    let then = [Fact::DeepProbes { unit: id(5), n: 2, failed: 1, by: vec![of(3, 2, 1)] }];
    assert_eq!(told(&mut intake, &pool, 1_030), then, "each is told once");
}
