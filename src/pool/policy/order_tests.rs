//! Promise: no order makes the pool forget: what is out for a reason comes back by the rules alone.

use super::{
    Alarm, Description, Fact, Intervention, Kind, Policy, Request, Rule, State, UNITS_MAX,
    fixture::{Pool, about, forget, id, intervention, order, refused},
};

/// A pool of 4 whose unit 2 is in quarantine.
fn quarantined() -> Pool {
    let mut pool = Pool::of(4);
    for _ in 0..2 {
        pool.sick(2, 30.0);
        pool.until(&Kind::Evict, 2, 1);
        pool.well(2);
        pool.run(700);
    }
    assert_eq!(pool.state(2), State::Quarantined);
    pool.record.clear();
    pool
}

fn sign(intervention: Option<Intervention>) -> Request {
    Request::SignOff { unit: id(2), intervention }
}

#[test]
fn two_operators_and_a_record_release_a_unit_and_nothing_less_does() {
    let mut pool = quarantined();
    assert!(refused(&mut pool, "alice", sign(None)).contains("intervention record"));
    let half = Intervention { changed: " ".to_owned(), ..intervention() };
    assert!(refused(&mut pool, "alice", sign(Some(half))).contains("both parts"));
    pool.tell(vec![order("alice", sign(Some(intervention())))]);
    assert_eq!(pool.state(2), State::Quarantined);
    assert!(refused(&mut pool, "alice", sign(None)).contains("another operator"));
    assert!(refused(&mut pool, "alice", sign(Some(intervention()))).contains("another operator"));
    let other = Intervention { changed: "a new fan".to_owned(), ..intervention() };
    pool.tell(vec![order("bob", sign(Some(other.clone())))]);
    assert_eq!(pool.state(2), State::Quarantined, "they did not sign the same");
    pool.tell(vec![order("alice", sign(Some(other)))]);
    let released = pool.record.iter().find(|one| one.kind == Kind::Release).expect("both signed");
    assert!(released.reason.contains("operator/bob and operator/alice"), "{}", released.reason);
    assert_eq!(pool.state(2), State::Probation, "it still has to prove itself");
}

#[test]
fn what_each_operator_signed_is_kept_and_either_counts_once_another_signs_the_same() {
    let mut pool = quarantined();
    let words = |changed: &str| Intervention { changed: changed.to_owned(), ..intervention() };
    pool.tell(vec![order("alice", sign(Some(words("a new fan"))))]);
    let told = pool.tell(vec![order("bob", sign(Some(words("a new disk"))))]);
    let said = told.iter().find(|one| one.kind == Kind::SignOff).expect("he signed");
    for kept in
        ["operator/bob signed relay-2 off: a new disk", "operator/alice signed other words: a new fan"]
    {
        assert!(said.reason.contains(kept), "{kept}: {}", said.reason);
    }
    assert!(refused(&mut pool, "bob", sign(None)).contains("another operator"), "the newest are his own");
    pool.tell(vec![order("alice", sign(Some(words("a new cable"))))]);
    let waits = |pool: &Pool| -> Vec<String> {
        pool.policy.units()[&id(2)].signatures().map(|one| one.intervention.changed.clone()).collect()
    };
    assert_eq!(waits(&pool), ["a new disk", "a new cable"], "her second words are instead of her first");
    for n in 1..=4 {
        pool.tell(vec![order(&format!("o-{n}"), sign(Some(words(&format!("{n}")))))]);
    }
    assert_eq!(waits(&pool), ["1", "2", "3", "4"], "so many wait, and no more");
    pool.tell(vec![order("alice", sign(Some(words("2"))))]);
    let released = pool.record.iter().find(|one| one.kind == Kind::Release).expect("two signed the same");
    assert!(released.reason.starts_with("operator/o-2 and operator/alice released"), "{}", released.reason);
    assert!(released.reason.contains("operator/o-4 signed other words: 4"), "{}", released.reason);
    assert_eq!(waits(&pool), Vec::<String>::new());
}

#[test]
fn a_failure_after_a_release_speaks_against_the_hypothesis_and_quarantines_at_once() {
    let mut pool = quarantined();
    pool.tell(vec![order("alice", sign(Some(intervention())))]);
    pool.tell(vec![order("bob", sign(None))]);
    pool.until(&Kind::Return, 2, 500);
    pool.sick(2, 30.0);
    pool.run(11);
    let out = pool.record.iter().find(|one| one.kind == Kind::RuleOut).expect("it is said");
    assert!(out.reason.contains("did not help: it is not the interrupt conflict"), "{}", out.reason);
    assert_eq!(pool.state(2), State::Quarantined);
}

#[test]
fn an_override_ends_after_a_day() {
    let mut pool = quarantined();
    let reason = "no cause found".to_owned();
    let longer = Request::Override { unit: id(2), reason: reason.clone(), seconds: Some(86_401) };
    assert!(refused(&mut pool, "alice", longer).contains("86400 s at most, not 86401 s"));
    pool.tell(vec![order("alice", Request::Override { unit: id(2), reason, seconds: None })]);
    assert!(pool.kinds().contains(&&Kind::Alarm(Alarm::Overridden)));
    let since = pool.second;
    pool.until(&Kind::Return, 2, 500);
    pool.tell(vec![order("alice", Request::Drain { unit: id(2), reason: "evade".to_owned() })]);
    pool.run(12);
    assert!(refused(&mut pool, "alice", forget(2)).contains("override"));
    pool.tell(vec![order("alice", Request::Undrain { unit: id(2) })]);
    pool.second = since + 86_400 - 2;
    pool.run(1);
    assert_ne!(pool.state(2), State::Quarantined);
    pool.run(1);
    let over = pool.record.iter().find(|one| one.rule == Rule::E3).expect("it is over");
    assert_eq!((over.second, &over.kind), (since + 86_400, &Kind::Quarantine));
    pool.run(10);
    assert_eq!(pool.state(2), State::Quarantined);
    assert!(refused(&mut pool, "alice", Request::Undrain { unit: id(2) }).contains("QUARANTINED"));
    pool.tell(vec![order("alice", forget(2))]);
    pool.tell(vec![order("alice", Request::Register(Box::new(about(2))))]);
    assert_eq!(pool.state(2), State::Quarantined, "the slot is as it was before the override");
}

#[test]
fn another_name_for_a_quarantined_box_or_slot_changes_nothing() {
    let mut pool = quarantined();
    pool.tell(vec![order("alice", forget(2))]);
    let renamed = Description { id: id(9), slot: "slot-9".to_owned(), ..about(2) };
    pool.tell(vec![order("alice", Request::Register(Box::new(renamed)))]);
    assert_eq!(pool.state(9), State::Quarantined, "the same box in another slot");
    pool.tell(vec![order("alice", forget(9))]);
    let swapped = Description { serial: "S99".to_owned(), ..about(2) };
    pool.tell(vec![order("alice", Request::Register(Box::new(swapped)))]);
    assert_eq!(pool.state(2), State::Quarantined, "another box in the same slot");
}

#[test]
fn a_failure_after_the_box_was_swapped_rules_that_serial_out() {
    let mut pool = Pool::of(4);
    pool.sick(2, 30.0);
    pool.until(&Kind::Evict, 2, 1);
    pool.run(11);
    let swapped = Description { serial: "S99".to_owned(), ..about(2) };
    pool.tell(vec![order("alice", Request::Register(Box::new(swapped)))]);
    pool.well(2);
    pool.until(&Kind::Return, 2, 600);
    pool.sick(2, 30.0);
    pool.run(1);
    let out = pool.record.iter().find(|one| one.kind == Kind::RuleOut).expect("it is said");
    assert_eq!(out.attributes, ["serial=S2"]);
    assert!(pool.policy.history().ruled_out().contains_key("serial=S2"));
}

#[test]
fn the_pool_has_room_for_its_limit_and_not_for_one_more() {
    let mut pool = Pool::of(UNITS_MAX);
    let one_more = Request::Register(Box::new(about(UNITS_MAX + 1)));
    assert!(refused(&mut pool, "alice", one_more).contains("64 units"));
    let same = pool.tell(vec![order("alice", Request::Register(Box::new(about(1))))]);
    assert_eq!(same, [], "the same again is no change");
}

#[test]
fn a_unit_in_use_is_neither_changed_nor_forgotten_and_a_slot_holds_one() {
    let mut pool = Pool::of(3);
    let changed = Description { image: "r2".to_owned(), ..about(2) };
    assert!(refused(&mut pool, "alice", Request::Register(Box::new(changed))).contains("drain it"));
    assert!(refused(&mut pool, "alice", forget(2)).contains("`todoke pool drain relay-2` first"));
    let squatter = Description { id: id(9), serial: "S9".to_owned(), ..about(2) };
    assert!(refused(&mut pool, "alice", Request::Register(Box::new(squatter))).contains("that slot"));
    assert!(refused(&mut pool, "alice", Request::Undrain { unit: id(8) }).contains("not registered"));
    let nameless = Description { slot: String::new(), ..about(8) };
    assert!(refused(&mut pool, "alice", Request::Register(Box::new(nameless))).contains("slot has 0 bytes"));
    let lost = Description { address: "nowhere".to_owned(), ..about(8) };
    assert!(refused(&mut pool, "alice", Request::Register(Box::new(lost))).contains("must be host:port"));
}

#[test]
fn a_drained_unit_comes_back_as_it_left_and_not_below_the_floor() {
    let drain = |n: usize| Request::Drain { unit: id(n), reason: "a new disk".to_owned() };
    let mut pool = Pool::of(2);
    pool.tell(vec![order("alice", drain(2))]);
    assert_eq!((pool.state(2), pool.shares()), (State::Draining, vec![100, 0]));
    assert!(refused(&mut pool, "alice", drain(1)).contains("1 unit is in full use and one must stay"));
    let undrained = refused(&mut pool, "alice", Request::Undrain { unit: id(1) });
    assert!(undrained.ends_with("no operator has drained it, so nothing is to be undone"), "{undrained}");
    pool.run(10);
    assert_eq!(pool.state(2), State::Drained);
    pool.run(1_000);
    pool.tell(vec![order("alice", Request::Undrain { unit: id(2) })]);
    assert_eq!(pool.state(2), State::Joining);

    let mut pool = Pool::of(3);
    pool.sick(2, 10.0);
    pool.run(1);
    pool.tell(vec![order("alice", drain(2))]);
    pool.run(10);
    pool.tell(vec![order("alice", Request::Undrain { unit: id(2) })]);
    assert_eq!(pool.state(2), State::Probation, "what was suspect has to prove itself");
}

#[test]
fn one_that_is_drained_is_graced_only_if_nothing_at_all_spoke_against_it() {
    let drained = |s: f64, red: bool| {
        let mut pool = Pool::of(3);
        pool.sick(2, s);
        pool.policy.units.get_mut(&id(2)).expect("it is there").traffic_red = red;
        let drain = Request::Drain { unit: id(2), reason: "a new disk".to_owned() };
        pool.tell(vec![order("alice", drain)]);
        assert_eq!(pool.state(2), State::Draining);
        pool
    };
    let until = |pool: &Pool| pool.policy.graced_until(&id(2));
    let mut pool = drained(0.0, false);
    assert_eq!(until(&pool), Some(pool.second + 10), "until its drain is over");
    let state = serde_json::to_string(&pool.policy).expect("it can be kept");
    assert_eq!(serde_json::from_str::<Policy>(&state).expect("it is whole"), pool.policy);
    let old: Policy = serde_json::from_str(&state.replace(r#""graced":true,"#, "")).expect("as before");
    assert_eq!(old.graced_until(&id(2)), None, "who decided before did not say so");
    pool.run(10);
    assert_eq!((pool.state(2), until(&pool)), (State::Drained, None));
    for (s, red) in [(1.0, false), (5.0, false), (0.0, true)] {
        assert_eq!(until(&drained(s, red)), None, "S = {s}; red: {red}");
    }
}

#[test]
fn orders_are_refused_while_the_database_is_away() {
    let mut pool = Pool::of(3);
    pool.tell(vec![Fact::Database { away: true }]);
    let drain = Request::Drain { unit: id(2), reason: "now".to_owned() };
    assert!(refused(&mut pool, "alice", drain).contains("database"));
    assert_eq!(pool.state(2), State::Healthy);
}
