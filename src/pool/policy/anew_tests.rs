//! Promise: a judge that begins anew acquits nobody by what it has not heard yet, and a unit that an operator
//! had taken out proves itself in a pool that begins, too.

use super::{
    Decision, Fact, Kind, Request, State,
    fixture::{Pool, id, order},
};

/// A pool of 4 whose unit 2 is steered away from, as a new controller finds it: with nothing against it.
fn taken_over() -> Pool {
    let mut pool = Pool::of(4);
    pool.sick(2, 6.0);
    pool.run(1);
    assert_eq!(pool.state(2), State::Suspect);
    let kept = serde_json::to_string(&pool.policy).expect("it has a JSON form");
    pool.policy = serde_json::from_str(&kept).expect("it is read again");
    pool.well(2);
    pool.tell(vec![Fact::Controller { epoch: 9, restored: false }]);
    pool
}

fn back(pool: &mut Pool, within: u64) -> Decision {
    pool.until(&Kind::SteerBack, 2, within)
}

#[test]
fn who_is_well_for_half_a_minute_on_end_is_steered_back_and_not_sooner() {
    let mut pool = taken_over();
    let begun = pool.second;
    pool.run(28);
    assert_eq!(pool.state(2), State::Suspect);
    let next = pool.policy.outlook(&id(2)).unwrap_or_default();
    assert!(next.contains("for 30 s on end, so far 29"), "{next}");
    let back = back(&mut pool, 1);
    assert_eq!(back.second - begun, 29);
    assert_eq!(back.reason, "relay-2 was as well as its peers for 30 s on end, since its judge began anew");
}

#[test]
fn who_hangs_still_is_evicted_without_having_been_back() {
    let mut pool = taken_over();
    // What the rule makes of a unit that fails all of its calls: (1/10) ln(1 + 0.9/0.04 * 0.96) a second.
    for second in 1..=70u32 {
        pool.sick(2, f64::from(second) * 0.31);
        pool.run(1);
    }
    let kinds: Vec<&Kind> =
        pool.record.iter().filter(|one| one.unit == Some(id(2))).map(|one| &one.kind).collect();
    assert_eq!(kinds, [&Kind::SteerAway, &Kind::Evict]);
}

#[test]
fn who_is_between_well_and_sick_waits() {
    let mut pool = taken_over();
    pool.sick(2, 1.0);
    pool.run(300);
    assert_eq!(pool.state(2), State::Suspect, "S must be below 1, as ever");
    pool.sick(2, 0.9);
    pool.run(300);
    assert_eq!(pool.state(2), State::Suspect, "and nothing may speak against it");
    pool.well(2);
    pool.run(20);
    pool.sick(2, 0.9);
    pool.run(1);
    pool.well(2);
    pool.run(29);
    assert_eq!(pool.state(2), State::Suspect, "not within half a minute");
    back(&mut pool, 1);
}

#[test]
fn seconds_without_evidence_count_for_nothing_until_a_minute_of_silence_is_over() {
    let mut pool = taken_over();
    pool.run(10);
    pool.unheard = true;
    pool.run(40);
    pool.unheard = false;
    pool.run(18);
    assert_eq!(pool.state(2), State::Suspect);
    back(&mut pool, 1);

    let mut pool = taken_over();
    pool.unheard = true;
    let silent = pool.second;
    let back = back(&mut pool, 100);
    assert_eq!(back.second - silent, 60);
    assert_eq!(back.reason, "too little was heard of relay-2 for 60 s to hold anything against it");
}

#[test]
fn an_order_in_between_is_no_second_of_evidence() {
    let mut pool = taken_over();
    for _ in 0..28 {
        pool.tell(Vec::new());
        let judgement = pool.judgement();
        pool.policy.step(pool.second, &judgement, &[]);
    }
    assert_eq!(pool.state(2), State::Suspect);
}

#[test]
fn the_same_judge_steers_back_at_once_and_one_that_slept_for_two_minutes_is_another() {
    for (slept, waits) in [(0, false), (119, false), (120, true)] {
        let mut pool = Pool::of(4);
        pool.sick(2, 6.0);
        pool.run(1);
        pool.well(2);
        pool.second += slept;
        pool.run(1);
        assert_eq!(pool.state(2) == State::Suspect, waits, "{slept} s");
    }
}

#[test]
fn who_was_drained_joins_a_pool_that_begins_by_its_probes() {
    let mut pool = Pool::of(3);
    let drain = Request::Drain { unit: id(2), reason: "a new disk".to_owned() };
    pool.tell(vec![order("alice", drain)]);
    pool.run(11);
    assert_eq!(pool.state(2), State::Drained);
    // All are stopped, and started again.
    pool.gone = [1, 2, 3].map(id).into();
    pool.run(30);
    pool.gone.clear();
    pool.run(1);
    pool.quiet = true;
    pool.tell(vec![order("alice", Request::Undrain { unit: id(2) })]);
    pool.run(2);
    assert_eq!([1, 3].map(|n| pool.state(n)), [State::Healthy; 2], "the pool begins anew with these");
    assert_eq!(pool.state(2), State::Joining);
    pool.tell(vec![Fact::DeepProbes { unit: id(2), n: 9, failed: 0, by: Vec::new() }]);
    assert_eq!(pool.state(2), State::Joining);
    pool.tell(vec![Fact::DeepProbes { unit: id(2), n: 1, failed: 0, by: Vec::new() }]);
    assert_eq!(pool.state(2), State::Healthy);
    let joined = pool.record.last().map(|one| one.reason.clone()).unwrap_or_default();
    assert_eq!(joined, "relay-2 joins: 10 deep probes passed, none failed");
    assert!(!pool.policy.units()[&id(2)].undrained, "that is over");
}
