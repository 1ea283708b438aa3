//! Promise: a lease that one unit loses counts against it; one that all lose at once counts against none.

use super::{
    Alarm, Fact, Kind, Rule, State,
    fixture::{Pool, id},
};

fn penalties(pool: &Pool) -> Vec<f64> {
    pool.policy.units().values().map(|unit| pool.policy.penalties(unit).slow).collect()
}

#[test]
fn one_that_does_not_renew_its_lease_is_evicted_and_charged() {
    let mut pool = Pool::of(3);
    pool.run(20);
    pool.gone.insert(id(2));
    let evicted = pool.until(&Kind::Evict, 2, 3);
    assert_eq!(evicted.rule, Rule::E4);
    assert!(penalties(&pool)[1] > 0.0 && penalties(&pool)[0] == 0.0, "{:?}", penalties(&pool));
}

#[test]
fn what_all_lose_at_once_is_held_against_none_however_often() {
    let mut pool = Pool::of(3);
    for _ in 0..3 {
        pool.run(100);
        pool.gone = [1, 2, 3].map(id).into();
        pool.run(30);
        assert!(pool.policy.units().values().all(|unit| unit.state == State::Joining), "{:?}", pool.kinds());
        pool.gone.clear();
    }
    pool.run(100);
    assert!(!pool.kinds().contains(&&Kind::Evict), "{:?}", pool.kinds());
    assert_eq!(penalties(&pool), [0.0; 3]);
    assert_eq!(pool.record.iter().filter(|one| one.rule == Rule::E5).count(), 9);
    assert!(pool.policy.units().values().all(|unit| unit.state == State::Healthy), "{:?}", pool.kinds());
}

#[test]
fn one_that_was_out_already_and_still_asks_speaks_for_the_way_to_all() {
    let mut pool = Pool::of(3);
    pool.run(20);
    pool.gone.insert(id(3));
    pool.until(&Kind::Evict, 3, 3);
    pool.gone = [1, 2].map(id).into();
    pool.run(3);
    let evicted = |n: usize| pool.record.iter().any(|one| one.kind == Kind::Evict && one.unit == Some(id(n)));
    assert!(evicted(1) && evicted(2), "{:?}", pool.kinds());
}

/// A pool that was stopped in order, with nothing raised, and that somebody takes over now.
fn stopped() -> Pool {
    let mut pool = Pool::of(3);
    pool.gone = [1, 2, 3].map(id).into();
    pool.run(30);
    let mut kept = serde_json::to_value(&pool.policy).expect("it has a JSON form");
    kept["alarms"] = serde_json::json!({});
    pool.policy = serde_json::from_value(kept).expect("it is read again");
    pool.record.clear();
    pool.tell(vec![Fact::Controller { epoch: 9, restored: false }]);
    pool
}

#[test]
fn who_took_over_gives_the_relays_a_lease_s_life_to_report_before_it_misses_them() {
    let mut pool = stopped();
    pool.run(14);
    assert_eq!(pool.kinds(), [&Kind::Drain; 0]);
    pool.run(1);
    assert_eq!(pool.kinds(), [&Kind::Alarm(Alarm::NothingServes), &Kind::Degraded]);

    let mut pool = stopped();
    pool.run(10);
    pool.gone.clear();
    pool.run(60);
    assert_eq!(pool.kinds(), [&Kind::Admit; 3]);
}
