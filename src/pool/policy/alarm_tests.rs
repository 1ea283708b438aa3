//! Promise: what somebody should look at is said once when it begins and once when it has been over for a
//! minute.

use super::{
    Alarm, Fact, Kind, Request, Rule, State,
    fixture::{Pool, about, bet, id, judged, order},
};
use crate::pool::{evidence::Class, judgement::Verdict};

fn said(pool: &Pool, kind: &Kind) -> Vec<u64> {
    pool.record.iter().filter(|one| one.kind == *kind).map(|one| one.second).collect()
}

#[test]
fn an_alarm_is_over_a_minute_after_its_cause_was_seen_last() {
    let mut pool = Pool::of(4);
    pool.verdict = Verdict::Caller { caller: "131229".to_owned().try_into().expect("a municipality") };
    pool.run(10);
    let last = pool.second;
    pool.verdict = Verdict::None;
    pool.run(100);
    assert_eq!(said(&pool, &Kind::Alarm(Alarm::SickCaller)), [last - 9]);
    assert_eq!(said(&pool, &Kind::AlarmOver(Alarm::SickCaller)), [last + 60]);
    assert!(pool.record[0].reason.contains("131229"), "{}", pool.record[0].reason);
    assert!(pool.policy.alarms().is_empty());
}

#[test]
fn an_observer_that_sees_what_nobody_does_is_named_with_its_way() {
    let observer = || "relay/relay-3".to_owned().try_into().expect("an observer");
    for (link, words) in [
        (None, "relay/relay-3 sees failures that nobody else does"),
        (Some(id(2)), "relay/relay-3 alone sees relay-2 fail: look at the way between them"),
    ] {
        let mut pool = Pool::of(4);
        pool.verdict = Verdict::Observer { observer: observer(), link };
        pool.run(5);
        assert_eq!(pool.kinds(), [&Kind::Alarm(Alarm::SickObserver)]);
        assert_eq!(pool.record[0].reason, words);
    }
}

#[test]
fn the_attribute_of_exactly_the_sick_units_is_suspect_and_said_when_one_more_is_added() {
    let mut pool = Pool::of(4);
    let attributes = vec!["image=r1".to_owned(), "model=HSM-7".to_owned()];
    pool.verdict = Verdict::Attribute { units: vec![id(1), id(2)], attributes: attributes.clone() };
    pool.run(50);
    assert_eq!(said(&pool, &Kind::Systemic).len(), 1);
    assert_eq!((pool.record[0].rule, &pool.record[0].attributes), (Rule::V2, &attributes));
    let decisions = pool.tell(vec![order("alice", Request::Register(Box::new(about(5))))]);
    let warning = "adds capacity, not diversity; shares suspect attribute image=r1, model=HSM-7";
    assert!(decisions[0].reason.contains(warning), "{}", decisions[0].reason);
}

#[test]
fn an_alarm_of_one_unit_is_not_that_of_another() {
    let mut pool = Pool::of(4);
    let mut red = judged(10.0);
    red.bets = vec![bet(Class::Traffic, 5.0, true), bet(Class::Probe, 0.9, true)];
    assert!(super::steer::is_red_behind_green(&red, pool.policy.parameters()));
    for (traffic, probe, played) in [(4.9, 0.9, true), (5.0, 1.0, true), (5.0, 0.9, false)] {
        let mut other = judged(10.0);
        other.bets = vec![bet(Class::Traffic, traffic, true), bet(Class::Probe, probe, played)];
        assert!(!super::steer::is_red_behind_green(&other, pool.policy.parameters()));
    }
    for (bad, is_green) in [(0, true), (5, true), (6, false), (12, false)] {
        let mut few = red.clone();
        // All of its probes are seen together; without one observer they are too few to bet on.
        let (mut without_one, mut all) = (bet(Class::Probe, 0.0, false), bet(Class::Probe, 0.0, true));
        (without_one.own, all.own) = ((bad.min(2), 2), (bad, 12));
        few.bets = vec![bet(Class::Traffic, 5.0, true), without_one, all];
        let is_red = super::steer::is_red_behind_green(&few, pool.policy.parameters());
        assert_eq!(is_red, is_green, "{bad} of 12 probes fail");
    }
    let mut judgement = pool.judgement();
    judgement.units.extend([(id(1), red.clone()), (id(2), red)]);
    let decisions = pool.policy.step(pool.second, &judgement, &[]);
    let alarm = Kind::Alarm(Alarm::ProbeGreenTrafficRed);
    let of: Vec<_> = decisions.iter().filter(|one| one.kind == alarm).map(|one| one.unit.clone()).collect();
    assert_eq!(of, [Some(id(1)), Some(id(2))]);
}

#[test]
fn a_unit_that_says_that_it_serves_while_it_fails_callers_is_said_and_no_more_than_said() {
    for (health, is_said) in [((12, 5), true), ((12, 6), false), ((0, 0), false)] {
        let mut pool = Pool::of(4);
        let mut judgement = pool.judgement();
        let mut red = judged(0.5);
        red.bets = vec![bet(Class::Traffic, 5.0, true), bet(Class::Probe, 9.0, true)];
        judgement.units.insert(id(1), red);
        let fact = Fact::ShallowProbes { unit: id(1), n: health.0, failed: health.1 };
        let decisions = pool.policy.step(pool.second, &judgement, &[fact]);
        let kinds: Vec<_> = decisions.iter().map(|one| &one.kind).collect();
        let alarm = &Kind::Alarm(Alarm::ProbeGreenTrafficRed);
        assert_eq!(kinds, [alarm].into_iter().filter(|_| is_said).collect::<Vec<_>>(), "{health:?}");
        let words = "relay-1 says that it serves and fails callers: its green health proves nothing";
        assert!(decisions.iter().all(|one| one.reason == words), "{decisions:?}");
        assert!(!pool.policy.units()[&id(1)].traffic_red, "its deep probes will tell when it is well again");
    }
}

#[test]
fn shallow_probes_let_nobody_in_take_nobody_out_and_bring_nobody_back() {
    let mut pool = Pool::of(4);
    pool.sick(2, 30.0);
    pool.until(&Kind::Evict, 2, 60);
    pool.well(2);
    let (mut with, mut without) = (pool.clone(), pool);
    for second in 0..600 {
        let failed = if second % 2 == 0 { 20 } else { 0 };
        let facts = (1..=4).map(|n| Fact::ShallowProbes { unit: id(n), n: 20, failed });
        with.tell(facts.collect());
        without.tell(Vec::new());
    }
    assert_eq!(with.record, without.record);
    assert_eq!(with.policy, without.policy);
}

#[test]
fn the_database_is_said_to_be_away_once() {
    let mut pool = Pool::of(2);
    for _ in 0..3 {
        pool.tell(vec![Fact::Database { away: true }]);
    }
    pool.run(500);
    for _ in 0..3 {
        pool.tell(vec![Fact::Database { away: false }]);
    }
    assert_eq!(pool.kinds(), [&Kind::Alarm(Alarm::DatabaseAway), &Kind::AlarmOver(Alarm::DatabaseAway)]);
    pool.gone.insert(id(1));
    for _ in 0..15 {
        pool.tell(vec![Fact::Database { away: false }]);
    }
    assert_eq!(pool.state(1), State::Evicted, "leases are believed for one life, however often it is said");
}

#[test]
fn a_new_controller_believes_leases_for_one_life_and_an_old_one_changes_nothing() {
    let mut pool = Pool::of(3);
    pool.tell(vec![Fact::Controller { epoch: 7, restored: false }]);
    assert_eq!(pool.policy.view().map(|view| view.epoch), Some(7));
    pool.gone.insert(id(2));
    pool.run(14);
    assert_eq!(pool.state(2), State::Healthy);
    pool.tell(vec![Fact::Controller { epoch: 7, restored: false }]);
    assert_eq!(pool.state(2), State::Evicted, "the same epoch is nobody new");
    pool.tell(vec![Fact::Controller { epoch: 6, restored: false }]);
    assert_eq!(pool.policy.view().map(|view| view.epoch), Some(7));
}

#[test]
fn an_alarm_does_not_count_the_time_in_which_no_issuer_decided() {
    let shared = || {
        let mut pool = Pool::of(3);
        pool.verdict = Verdict::Shared;
        pool.run(50);
        pool.record.clear();
        pool
    };
    let over = |pool: &mut Pool| {
        pool.verdict = Verdict::None;
        pool.run(90);
        let one = pool.record.iter().find(|one| one.kind == Kind::AlarmOver(Alarm::SharedCause));
        let one = one.expect("it is over").clone();
        (one.numbers["seconds"], one.reason.split(':').next().expect("words").to_owned(), one.second)
    };
    let mut pool = shared();
    let (begun, quiet) = (pool.second - 49, pool.policy.parameters().alarm_quiet_s);
    let (seconds, words, second) = over(&mut pool);
    assert_eq!((seconds, words), (49.0 + quiet as f64, format!("over after {} s", 49 + quiet)));
    assert_eq!(second - begun, 49 + quiet);

    // The issuer is stopped for a while, and the next process takes over.
    let mut pool = shared();
    pool.second += 1_598;
    let stopped = pool.second;
    pool.verdict = Verdict::None;
    pool.tell(vec![Fact::Controller { epoch: 9, restored: false }]);
    assert_eq!(pool.kinds(), [&Kind::Alarm(Alarm::SharedCause); 0], "it has seen nothing yet");
    let (seconds, words, second) = over(&mut pool);
    assert_eq!(second - stopped, 1 + quiet);
    let away = format!("over after {} s, beside 1599 s in which no issuer decided", 49 + quiet);
    assert_eq!((seconds, words), (49.0 + quiet as f64, away));
}
