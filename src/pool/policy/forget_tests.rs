//! Promise: to forget a unit and register it anew is neither a short cut nor a punishment: it begins as it
//! would have gone on, and what time forgives a unit it forgives one that was forgotten.

use super::{
    Description, Fact, Kind, Parameters, Request, State, UNITS_MAX, Unit, back_off_s,
    fixture::{Pool, about, forget, id, order, refused},
};

const DAY: u64 = 86_400;

#[test]
fn a_unit_is_forgotten_once_it_takes_no_calls_and_its_process_is_gone_and_not_before() {
    let drain = |n: usize| Request::Drain { unit: id(n), reason: "it is scrapped".to_owned() };
    let mut pool = Pool::of(3);
    let silent = Request::Unregister { unit: id(3), reason: " ".to_owned() };
    assert!(refused(&mut pool, "alice", silent).contains("say why"));
    pool.tell(vec![order("alice", drain(3))]);
    assert!(refused(&mut pool, "alice", forget(3)).contains("DRAINING: wait"));
    pool.run(10);
    let told = pool.tell(vec![Fact::Reports { unit: id(3) }, order("alice", forget(3))]);
    assert_eq!(told[0].kind, Kind::Refuse("unregister".to_owned()));
    let said = &told[0].reason;
    assert!(said.contains("relay-3 is DRAINED and its process reports: stop it first"), "{said}");
    assert_eq!(pool.state(3), State::Drained, "as the operator had ordered");
    let told = pool.tell(vec![order("alice", forget(3))]);
    let said = &told.last().expect("it is on record").reason;
    assert!(said.contains("it is gone"), "{said}");
    assert_eq!((pool.shares(), pool.policy.units().len()), (vec![100, 100], 2));

    pool.quiet = true;
    pool.tell(vec![order("alice", Request::Register(Box::new(about(4))))]);
    pool.run(1);
    assert_eq!(pool.state(4), State::Joining);
    assert!(refused(&mut pool, "alice", forget(4)).contains("`todoke pool drain relay-4`, or stop it"));
    pool.gone.insert(id(4));
    pool.run(1);
    pool.tell(vec![order("alice", forget(4))]);
    assert!(!pool.policy.units().contains_key(&id(4)), "nobody asks for its lease");

    let mut pool = Pool::of(2);
    pool.tell(vec![order("alice", drain(2))]);
    pool.run(11);
    pool.gone.insert(id(1));
    pool.run(2);
    pool.tell(vec![order("alice", forget(1))]);
    pool.run(1);
    assert_eq!((pool.state(2), pool.shares()), (State::Drained, vec![100]), "it is the only one left");
    let kept = refused(&mut pool, "alice", forget(2));
    assert!(kept.contains("stop it first"), "{kept}");
}

#[test]
fn what_is_forgotten_makes_room_and_its_alarms_are_over() {
    let mut pool = Pool::of(UNITS_MAX);
    let elsewhere = Fact::Elsewhere { unit: id(2), address: Some("127.0.0.1:9".to_owned()) };
    pool.tell(vec![elsewhere]);
    let about_it = |pool: &Pool| pool.policy.alarms().values().filter(|one| one.unit == Some(id(2))).count();
    assert_eq!((about_it(&pool), pool.state(2)), (1, State::Joining));
    pool.tell(vec![order("alice", Request::Drain { unit: id(2), reason: "a mistake".to_owned() })]);
    pool.tell(vec![order("alice", forget(2))]);
    assert_eq!(about_it(&pool), 0);
    pool.tell(vec![order("alice", Request::Register(Box::new(about(UNITS_MAX + 1))))]);
    assert_eq!(pool.state(UNITS_MAX + 1), State::Joining, "there is room");
}

#[test]
fn to_forget_a_unit_that_was_evicted_is_no_short_cut_under_its_name_or_another() {
    let mut pool = Pool::of(4);
    pool.sick(2, 30.0);
    pool.until(&Kind::Evict, 2, 1);
    pool.well(2);
    pool.run(11);
    let generation = pool.policy.units()[&id(2)].generation;
    pool.tell(vec![order("alice", forget(2))]);
    let renamed = Description { id: id(9), ..about(2) };
    let told = pool.tell(vec![order("alice", Request::Register(Box::new(renamed)))]);
    assert!(told[0].reason.contains("evicted before"), "{}", told[0].reason);
    let unit = &pool.policy.units()[&id(9)];
    assert_eq!((unit.state, unit.evictions), (State::Evicted, 1));
    assert!(unit.back_off_until > pool.second && unit.generation > generation, "{unit:?}");
    pool.until(&Kind::StartProbation, 9, 60);
    pool.until(&Kind::Return, 9, 500);

    pool.tell(vec![order("alice", Request::Drain { unit: id(9), reason: "it is scrapped".to_owned() })]);
    pool.run(11);
    pool.tell(vec![order("alice", forget(9))]);
    let other = Description { id: id(9), serial: "S99".to_owned(), ..about(2) };
    pool.tell(vec![order("alice", Request::Register(Box::new(other)))]);
    assert_eq!(pool.state(9), State::Joining, "another box has nothing to answer for");
}

#[test]
fn to_forget_a_unit_before_it_has_proved_itself_is_no_short_cut_either() {
    let again = |pool: &mut Pool| {
        pool.tell(vec![order("alice", forget(2))]);
        let told = pool.tell(vec![order("alice", Request::Register(Box::new(about(2))))]);
        (told[0].reason.clone(), pool.policy.units()[&id(2)].clone())
    };
    // Two probations that it failed beside one eviction: they carry no penalty.
    let mut pool = Pool::of(4);
    pool.sick(2, 30.0);
    pool.until(&Kind::Evict, 2, 1);
    for _ in 0..2 {
        pool.until(&Kind::FailProbation, 2, 400);
    }
    let (said, unit) = again(&mut pool);
    assert!(said.contains("evicted before"), "{said}");
    assert_eq!((unit.state, unit.evictions, unit.traffic_red), (State::Evicted, 3, false));
    let back_off = back_off_s(&Parameters::default(), &id(2), 3);
    assert_eq!(unit.back_off_until, pool.second + back_off);

    // Its traffic was red behind green probes, and it was drained before it was evicted.
    let mut pool = Pool::of(4);
    let mut kept = serde_json::to_value(&pool.policy).expect("it has a JSON form");
    kept["units"]["relay-2"]["traffic_red"] = true.into();
    pool.policy = serde_json::from_value(kept).expect("it is read again");
    pool.sick(2, 10.0);
    pool.run(1);
    assert_eq!(pool.state(2), State::Suspect);
    pool.tell(vec![order("alice", Request::Drain { unit: id(2), reason: "it is red".to_owned() })]);
    pool.well(2);
    pool.run(10);
    let (said, unit) = again(&mut pool);
    assert!(said.contains("forgotten before they had proved themselves"), "{said}");
    assert_eq!((unit.state, unit.evictions, unit.traffic_red), (State::Evicted, 0, true));
    let (said, unit) = again(&mut pool);
    assert!(said.contains("forgotten before") && unit.traffic_red, "nor by doing it twice: {said}");
    let said = pool.until(&Kind::StartProbation, 2, 60).reason;
    assert!(said.contains("its probes will not be enough"), "{said}");
    pool.until(&Kind::Return, 2, 500);

    // What was well when it was drained joins as it would have without that.
    pool.tell(vec![order("alice", Request::Drain { unit: id(3), reason: "a new rack".to_owned() })]);
    pool.run(11);
    pool.tell(vec![order("alice", forget(3))]);
    pool.tell(vec![order("alice", Request::Register(Box::new(about(3))))]);
    assert_eq!(pool.state(3), State::Joining);
}

#[test]
fn that_the_last_unit_was_forgotten_and_its_view_stays_is_said() {
    let mut pool = Pool::of(2);
    pool.gone.extend([id(1), id(2)]);
    pool.run(1);
    let first = pool.tell(vec![order("alice", forget(1))]);
    assert!(!first.last().expect("it is on record").reason.contains("it was the last"), "{first:?}");
    let last = pool.tell(vec![order("alice", forget(2))]);
    let said = &last.last().expect("it is on record").reason;
    assert!(said.contains("it was the last: the view that names it stays published"), "{said}");
    assert_eq!(pool.policy.view(), None);
}

/// Drains the second unit, forgets it, and registers it after so many seconds; what is said, and the unit.
fn forgotten_for(pool: &mut Pool, seconds: u64) -> (String, Unit) {
    pool.tell(vec![order("alice", Request::Drain { unit: id(2), reason: "a new rack".to_owned() })]);
    pool.run(11);
    pool.tell(vec![order("alice", forget(2))]);
    pool.second += seconds;
    let told = pool.tell(vec![order("alice", Request::Register(Box::new(about(2))))]);
    (told[0].reason.clone(), pool.policy.units()[&id(2)].clone())
}

#[test]
fn a_unit_that_was_well_when_it_was_forgotten_joins_with_the_evictions_that_it_had() {
    let mut pool = Pool::of(4);
    pool.sick(2, 30.0);
    pool.until(&Kind::Evict, 2, 1);
    pool.well(2);
    pool.until(&Kind::Return, 2, 600);
    let before = pool.policy.units()[&id(2)].clone();
    let (said, unit) = forgotten_for(&mut pool, 0);
    assert!(said.contains("its next back-off is longer"), "{said}");
    assert_eq!((unit.state, unit.evictions), (State::Joining, 1), "as undrain would have had it");
    pool.run(10);
    assert_eq!(pool.state(2), State::Healthy);
    assert_eq!(pool.policy.units()[&id(2)].evictions, 1, "a week from its eviction on, not from now");
    // The week goes on from where it was, whether the unit is known or not.
    let left = before.back_off_until + 7 * DAY - pool.second;
    let (said, unit) = forgotten_for(&mut pool, left);
    assert_eq!((unit.state, unit.evictions), (State::Joining, 0), "{said}");
    assert!(!said.contains("back-off"), "{said}");
    assert_eq!(pool.policy.penalties(&unit).slow.round(), 500.0, "its penalty halves as ever");
}

#[test]
fn a_week_after_a_box_that_was_out_was_forgotten_only_its_proof_is_missing() {
    let mut out = Pool::of(4);
    out.sick(2, 30.0);
    out.until(&Kind::Evict, 2, 1);
    for _ in 0..4 {
        out.until(&Kind::FailProbation, 2, 1_000);
    }
    out.well(2);
    for (seconds, evictions) in [(6 * DAY, 5), (8 * DAY, 0), (365 * DAY, 0)] {
        let mut pool = out.clone();
        let (said, unit) = forgotten_for(&mut pool, seconds);
        assert_eq!((unit.state, unit.evictions), (State::Evicted, evictions), "{seconds} s: {said}");
        let back_off = back_off_s(&Parameters::default(), &id(2), evictions);
        assert_eq!(unit.back_off_until - pool.second, back_off, "{seconds} s");
    }
}
