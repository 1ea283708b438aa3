//! Promise: each rule of eviction, steering and the floor holds at its limit and lets go one beyond it.

use super::{
    Alarm, Fact, Kind, Parameters, Policy, Rule, State, back_off_s,
    fixture::{Pool, id, judged},
};
use crate::pool::judgement::Verdict;

#[test]
fn a_second_eviction_waits_for_ten_seconds() {
    let mut pool = Pool::of(4);
    pool.sick(1, 30.0);
    pool.sick(2, 25.0);
    let first = pool.until(&Kind::Evict, 1, 1);
    let second = pool.until(&Kind::Evict, 2, 20);
    assert_eq!(second.second - first.second, 10);
    assert_eq!(first.numbers["s"], 30.0);
}

#[test]
fn with_two_observers_a_sick_unit_is_steered_away_and_never_evicted() {
    let mut pool = Pool::of(4);
    pool.tell(vec![Fact::Observers { count: 2 }]);
    pool.record.clear();
    pool.sick(2, 40.0);
    pool.run(100);
    assert_eq!(pool.kinds(), [&Kind::Alarm(Alarm::FewObservers), &Kind::SteerAway]);
    let words = &pool.record[0].reason;
    assert!(words.contains("evict relay-2") && words.contains("pool drain relay-2"), "{words}");
    pool.tell(vec![Fact::Observers { count: 3 }]);
    pool.run(1);
    assert_eq!(pool.state(2), State::Draining);
}

#[test]
fn the_floor_follows_the_peak() {
    let mut pool = Pool::of(4);
    // 2,000 calls/s a unit: 4,001 need 3, 6,001 need 4.
    pool.tell(vec![Fact::Peak { calls_per_s: 6_001 }]);
    pool.sick(2, 30.0);
    pool.run(15);
    assert_eq!(pool.state(2), State::Healthy, "neither evicted nor steered away: {:?}", pool.record);
    assert!(pool.kinds().contains(&&Kind::Degraded));
    pool.tell(vec![Fact::Peak { calls_per_s: 6_000 }]);
    assert_eq!(pool.state(2), State::Draining);
    pool.run(61);
    assert!(pool.kinds().contains(&&Kind::DegradedOver));
}

#[test]
fn of_two_sick_units_the_less_bad_is_kept() {
    let mut pool = Pool::of(2);
    pool.sick(1, 25.0);
    pool.sick(2, 30.0);
    pool.run(40);
    assert_eq!((pool.state(1), pool.state(2)), (State::Healthy, State::Evicted));
    let degraded = pool.record.iter().find(|one| one.kind == Kind::Degraded).expect("it is said");
    assert!(degraded.reason.contains("relay-1 is sick and kept"), "{}", degraded.reason);
    assert_eq!(degraded.numbers["floor"], 1.0);
}

#[test]
fn a_shared_cause_evicts_nobody() {
    let mut pool = Pool::of(4);
    pool.verdict = Verdict::Shared;
    (1..=4).for_each(|n| pool.sick(n, 40.0));
    pool.run(100);
    assert_eq!(pool.kinds(), [&Kind::Alarm(Alarm::SharedCause)]);
    pool.verdict = Verdict::None;
    (1..=4).for_each(|n| pool.well(n));
    pool.run(60);
    assert_eq!(pool.kinds().last(), Some(&&Kind::AlarmOver(Alarm::SharedCause)));
}

#[test]
fn never_more_than_half_is_steered_away() {
    for (n, most) in [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)] {
        let mut pool = Pool::of(n);
        (1..=n).for_each(|n| pool.sick(n, 10.0 + n as f64));
        pool.run(5);
        let steered = (1..=n).filter(|n| pool.state(*n) == State::Suspect).count();
        assert_eq!(steered, most, "of {n}");
        assert!(!pool.kinds().contains(&&Kind::SteerBack), "steered to and fro: {:?}", pool.record);
    }
}

#[test]
fn never_more_is_steered_away_than_the_rest_can_carry() {
    for (calls_per_s, most) in [(4_000, 2), (4_001, 1), (6_001, 0)] {
        let mut pool = Pool::of(4);
        pool.tell(vec![Fact::Peak { calls_per_s }]);
        pool.sick(1, 10.0);
        pool.sick(2, 11.0);
        pool.run(5);
        let steered = [1, 2].into_iter().filter(|n| pool.state(*n) == State::Suspect).count();
        assert_eq!(steered, most, "{calls_per_s} calls/s");
        assert!(!pool.kinds().contains(&&Kind::SteerBack), "steered to and fro: {:?}", pool.record);
    }
}

#[test]
fn the_least_bad_is_steered_back_when_the_pool_shrinks() {
    let mut pool = Pool::of(4);
    pool.sick(1, 10.0);
    pool.sick(2, 11.0);
    pool.run(1);
    assert_eq!((pool.state(1), pool.state(2)), (State::Suspect, State::Suspect));
    pool.gone.insert(id(3));
    pool.run(1);
    assert_eq!((pool.state(1), pool.state(2)), (State::Healthy, State::Suspect));
}

#[test]
fn a_steered_unit_keeps_a_trickle_and_comes_back_without_a_penalty() {
    let mut pool = Pool::of(3);
    pool.sick(2, 5.0);
    pool.run(1);
    assert_eq!(pool.shares(), [100, 5, 100]);
    pool.sick(2, 4.9);
    pool.run(1);
    assert_eq!(pool.shares(), [100, 100, 100]);
    let unit = &pool.policy.units()[&id(2)];
    assert_eq!((unit.evictions, unit.generation, pool.policy.penalties(unit).slow), (0, 1, 0.0));
}

#[test]
fn a_lapsed_lease_evicts_at_once_and_below_the_floor() {
    let mut pool = Pool::of(2);
    pool.tell(vec![Fact::Peak { calls_per_s: 4_000 }]);
    pool.record.clear();
    pool.gone.insert(id(2));
    pool.run(1);
    assert_eq!(pool.record[0].rule, Rule::E4);
    assert_eq!(pool.state(2), State::Evicted);
    assert!(pool.kinds().contains(&&Kind::Degraded));
}

#[test]
fn a_lease_of_an_older_generation_counts_for_nothing() {
    let mut pool = Pool::of(3);
    pool.sick(2, 30.0);
    pool.until(&Kind::Evict, 2, 1);
    pool.well(2);
    pool.until(&Kind::Reset, 2, 20);
    pool.second += 1_000;
    for generation in [1, 1, 3, 3] {
        // Alone: the fixture would renew with the right one.
        let facts = [Fact::LeaseRenewed { unit: id(2), generation }];
        pool.second += 1;
        pool.policy.step(pool.second, &pool.judgement(), &facts);
    }
    assert_eq!(pool.state(2), State::Evicted, "no probation without a lease of its own generation");
    pool.policy.step(pool.second, &pool.judgement(), &[Fact::LeaseRenewed { unit: id(2), generation: 2 }]);
    assert_eq!(pool.state(2), State::Probation);
}

#[test]
fn a_generation_ends_when_the_draining_does_so_that_calls_that_run_may_end() {
    let mut pool = Pool::of(3);
    pool.sick(2, 30.0);
    let evicted = pool.until(&Kind::Evict, 2, 1);
    assert_eq!(pool.policy.units()[&id(2)].generation, 1);
    let may = |pool: &Pool| (pool.policy.grants_lease(&id(2)), pool.policy.takes_calls(&id(2)));
    assert_eq!(may(&pool), (false, true), "it learns that it drains, and what runs may end");
    let reset = pool.until(&Kind::Reset, 2, 20);
    assert_eq!(reset.second - evicted.second, 10);
    assert_eq!(pool.policy.units()[&id(2)].generation, 2);
    assert_eq!(may(&pool), (false, false));
    pool.gone.insert(id(3));
    pool.run(1);
    assert_eq!(pool.policy.units()[&id(3)].generation, 2, "a lapsed lease is void at once");
}

#[test]
fn leases_that_lapse_together_say_nothing_of_what_the_boxes_share() {
    for (apart, systemic) in [(59, false), (60, true)] {
        let mut pool = Pool::of(4);
        pool.gone.insert(id(1));
        pool.run(apart);
        pool.gone.insert(id(2));
        pool.run(1);
        assert_eq!(pool.kinds().contains(&&Kind::Systemic), systemic, "{apart} s apart: {:?}", pool.record);
    }
}

#[test]
fn a_second_failure_is_suspect_only_while_chance_does_not_explain_it() {
    // Of 4 units with one model, 1 − exp(−3 T / 365) passes 5 % after 6.2 days.
    for (days, systemic) in [(6, true), (7, false)] {
        let mut pool = Pool::of(4);
        pool.sick(1, 30.0);
        let first = pool.until(&Kind::Evict, 1, 1);
        pool.well(1);
        pool.second = first.second + days * 86_400 - 1;
        pool.sick(2, 30.0);
        pool.until(&Kind::Evict, 2, 1);
        assert_eq!(pool.kinds().contains(&&Kind::Systemic), systemic, "{days} days: {:?}", pool.record);
        assert_eq!(pool.policy.history().suspects().is_empty(), !systemic, "{days} days apart");
    }
}

#[test]
fn a_unit_that_gives_its_lease_back_has_not_failed() {
    let mut pool = Pool::of(3);
    let generation = pool.policy.units()[&id(2)].generation;
    pool.gone.insert(id(2));
    let facts = vec![Fact::LeaseReleased { unit: id(2), generation }];
    pool.gone.clear();
    // The fixture renews after the facts it is given: take the fact alone.
    let judgement = judgement_of(&pool);
    pool.second += 1;
    let decisions = pool.policy.step(pool.second, &judgement, &facts);
    assert_eq!((&decisions[0].kind, pool.state(2)), (&Kind::Leave, State::Joining));
    assert_eq!(pool.policy.penalties(&pool.policy.units()[&id(2)]).fast, 0.0);
    pool.until(&Kind::Admit, 2, 5);
}

fn judgement_of(pool: &Pool) -> crate::pool::judgement::Judgement {
    crate::pool::judgement::Judgement {
        second: pool.second + 1,
        units: pool.policy.judged().map(|unit| (unit.id().clone(), judged(0.0))).collect(),
        verdict: Verdict::None,
        p0: 0.04,
        weak: Default::default(),
        late_count: 0,
    }
}

#[test]
fn while_the_database_is_away_nothing_moves() {
    let mut pool = Pool::of(4);
    pool.sick(3, 30.0);
    pool.until(&Kind::Evict, 3, 1);
    pool.well(3);
    let before = pool.policy.view();
    pool.tell(vec![Fact::Database { away: true }]);
    pool.record.clear();
    pool.sick(1, 40.0);
    pool.gone.insert(id(2));
    pool.run(1_200);
    assert_eq!(pool.record, []);
    assert_eq!(pool.policy.view(), before);
    pool.tell(vec![Fact::Database { away: false }]);
    assert_eq!(pool.kinds()[0], &Kind::AlarmOver(Alarm::DatabaseAway));
    assert_eq!(pool.state(1), State::Draining, "evidence is acted upon again");
    assert_eq!(pool.state(2), State::Healthy, "leases are believed for one life more");
    let lapsed = pool.until(&Kind::Evict, 2, 20);
    assert_eq!(lapsed.rule, Rule::E4);
}

#[test]
fn an_old_judgement_evicts_nobody() {
    for (age, evicted) in [(10, true), (11, false)] {
        let mut pool = Pool::of(4);
        let mut judgement = judgement_of(&pool);
        judgement.units.insert(id(2), judged(30.0));
        judgement.second = pool.second;
        let generation = 1;
        let facts: Vec<Fact> = (1..=4).map(|n| Fact::LeaseRenewed { unit: id(n), generation }).collect();
        pool.policy.step(pool.second + age, &judgement, &facts);
        assert_eq!(pool.state(2) == State::Draining, evicted, "{age} s old");
    }
}

#[test]
fn with_nobody_left_the_best_with_a_lease_is_let_in_and_the_view_is_never_empty() {
    let mut pool = Pool::of(2);
    pool.gone.extend([id(1), id(2)]);
    pool.run(1);
    assert_eq!((pool.state(1), pool.state(2)), (State::Joining, State::Joining), "held against none");
    assert_eq!(pool.shares(), [100, 100], "the last usable set stays");
    assert!(pool.kinds().contains(&&Kind::Alarm(Alarm::NothingServes)));
    pool.gone.remove(&id(2));
    pool.run(2);
    assert_eq!(pool.state(2), State::Healthy);
    assert_eq!(pool.shares(), [0, 100]);
}

#[test]
fn a_pool_without_units_publishes_nothing() {
    assert_eq!(Policy::new(Parameters::default()).view(), None);
}

#[test]
fn the_back_off_doubles_to_half_an_hour_within_a_fifth() {
    let parameters = Parameters::default();
    for (evictions, whole) in [(1, 30), (2, 60), (6, 960), (7, 1_800), (8, 1_800), (u32::MAX, 1_800)] {
        let drawn: Vec<u64> = (1..=64).map(|n| back_off_s(&parameters, &id(n), evictions)).collect();
        let (least, most) = (whole - whole / 5, whole + whole / 5);
        assert!(drawn.iter().all(|s| (least..=most).contains(s)), "{evictions}: {drawn:?}");
        let spread = drawn.iter().max().zip(drawn.iter().min()).map(|(max, min)| max - min);
        assert!(spread >= Some(whole / 5), "they do not come back together: {drawn:?}");
        let other = Parameters { seed: 1, ..Parameters::default() };
        assert_ne!(drawn, (1..=64).map(|n| back_off_s(&other, &id(n), evictions)).collect::<Vec<_>>());
    }
}
