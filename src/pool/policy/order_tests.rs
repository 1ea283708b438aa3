//! Promise: no order makes the pool forget: what is out for a reason comes back by the rules alone.

use super::{
    Alarm, Description, Fact, Intervention, Kind, Parameters, Request, Rule, State, UNITS_MAX,
    fixture::{Pool, about, id, intervention, order},
};

fn refused(pool: &mut Pool, by: &str, request: Request) -> String {
    let decisions = pool.tell(vec![order(by, request)]);
    let refusal = decisions.iter().find(|one| matches!(one.kind, Kind::Refuse(_)));
    refusal.map(|one| one.reason.clone()).unwrap_or_else(|| panic!("nothing is refused: {decisions:?}"))
}

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

fn forget(n: usize) -> Request {
    Request::Unregister { unit: id(n), reason: "it is gone".to_owned() }
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
    assert!(out.reason.contains("did not help, so not: the interrupt conflict"), "{}", out.reason);
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
fn orders_are_refused_while_the_database_is_away() {
    let mut pool = Pool::of(3);
    pool.tell(vec![Fact::Database { away: true }]);
    let drain = Request::Drain { unit: id(2), reason: "now".to_owned() };
    assert!(refused(&mut pool, "alice", drain).contains("database"));
    assert_eq!(pool.state(2), State::Healthy);
}

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
    let back_off = super::back_off_s(&Parameters::default(), &id(2), 3);
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
