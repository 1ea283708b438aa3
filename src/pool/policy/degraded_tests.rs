//! Promise: while those in use that are well are fewer than needed, the pool says so, also where no peer is
//! left to be worse than.

use super::{
    Alarm, Fact, Kind, Raised, State,
    fixture::{Pool, id},
};
use crate::pool::judgement::Verdict;

fn degraded(pool: &Pool) -> Option<&Raised> {
    pool.policy.alarms().values().find(|raised| raised.kind == Kind::Degraded)
}

/// What is said of it, if its cause is there in this second.
fn words(pool: &Pool) -> Option<&str> {
    degraded(pool).filter(|raised| raised.seen == pool.second).map(|raised| raised.reason.as_str())
}

#[test]
fn the_last_one_in_use_that_fails_is_said_though_it_has_no_peer() {
    let mut pool = Pool::of(2);
    pool.sick(1, 30.0);
    pool.run(15);
    assert_eq!((pool.state(1), words(&pool)), (State::Evicted, None), "the other is well, and enough");
    pool.failing.insert(id(2));
    pool.verdict = Verdict::Shared;
    pool.run(1);
    let said = "relay-2 is sick and kept, as 1 unit is needed, and no other in full use is well";
    assert_eq!(words(&pool), Some(said));
    let alarms = pool.policy.alarms().values();
    let shared = alarms.clone().find(|raised| raised.kind == Kind::Alarm(Alarm::SharedCause));
    let shared = shared.expect("its verdict is told");
    assert!(shared.reason.starts_with("the only unit in use fails"), "{}", shared.reason);
    pool.run(25);
    assert_eq!(pool.state(2), State::Healthy, "somebody has to carry the calls");
    assert_eq!(words(&pool), Some(said), "it is so still");
    pool.failing.clear();
    pool.verdict = Verdict::None;
    pool.run(60);
    assert_eq!(degraded(&pool), None);
    let told: Vec<&Kind> = pool
        .kinds()
        .into_iter()
        .filter(|kind| [Kind::Degraded, Kind::DegradedOver].contains(*kind))
        .collect();
    assert_eq!(told, [&Kind::Degraded, &Kind::DegradedOver]);
}

#[test]
fn one_that_is_kept_stays_sick_when_its_peer_fails_too() {
    let mut pool = Pool::of(2);
    pool.tell(vec![Fact::Peak { calls_per_s: 2_500 }]);
    pool.sick(1, 30.0);
    pool.failing.insert(id(1));
    pool.run(1);
    assert_eq!(words(&pool), Some("relay-1 is sick and kept, as 2 units are needed: shed load"));
    // S is made against its only peer: it falls as that fails.
    pool.failing.insert(id(2));
    pool.well(1);
    let said = "relay-1, relay-2 are sick and kept, as 2 units are needed, and no other in full use is well";
    for _ in 0..100 {
        pool.run(1);
        assert_eq!(words(&pool), Some(said));
    }
}

#[test]
fn who_fails_is_no_matter_while_enough_others_are_well() {
    for (needed, failing, is_said) in [(2, 2, false), (3, 2, true), (1, 3, false), (1, 4, true)] {
        let mut pool = Pool::of(4);
        pool.tell(vec![Fact::Peak { calls_per_s: 2_000 * needed }]);
        pool.failing = (1..=failing).map(id).collect();
        pool.run(1);
        assert_eq!(words(&pool).is_some(), is_said, "{failing} of 4 fail, {needed} are needed");
        let kept = pool.policy.clone();
        let record = serde_json::to_string(&kept).expect("it has a JSON form");
        pool.policy = serde_json::from_str(&record).expect("it is read again");
        pool.run(1);
        assert_eq!(words(&pool).is_some(), is_said, "after a restart, too");
    }
}
