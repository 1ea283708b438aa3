//! Promise: a drill is on record from its beginning to its end, is played by who was started for it and by
//! nobody else, and a crash is played once.

use super::{
    Fact, Kind, Policy, Process, Request, Rule,
    fixture::{Pool, id, order},
};
use crate::pool::drill::Fault;

fn fault(text: &str) -> Fault {
    text.parse().expect("a fault")
}

fn drill(text: &str, seconds: u64) -> Request {
    Request::Drill { unit: id(2), fault: fault(text), seconds }
}

fn started(incarnation: u64, drills: bool) -> Fact {
    Fact::Started { unit: id(2), process: Process { incarnation, drills }, address: None }
}

/// A pool of 3 whose unit 2 may play faults.
fn pool() -> Pool {
    let mut pool = Pool::of(3);
    pool.tell(vec![started(1, true)]);
    pool
}

/// Tells what decisions of drills a second brings, each with its rule and reason.
fn said(pool: &mut Pool, facts: Vec<Fact>) -> Vec<(Kind, Rule, String)> {
    let decisions = pool.tell(facts).into_iter();
    let of_drills = decisions.filter(|one| {
        assert_eq!(one.unit, Some(id(2)), "{one:?}");
        matches!(one.kind, Kind::Drill | Kind::DrillOver | Kind::Refuse(_))
    });
    of_drills.map(|one| (one.kind, one.rule, one.reason)).collect()
}

fn only((kind, rule): (Kind, Rule), words: &str, said: &[(Kind, Rule, String)]) {
    let [(of, by, reason)] = said else { panic!("one decision: {said:?}") };
    assert_eq!((of, by), (&kind, &rule), "{reason}");
    assert!(reason.contains(words), "{reason}");
}

/// What unit 2 has to play, for how many ms.
fn played(policy: &Policy, incarnation: u64, now_ms: i64) -> Option<(Fault, u64)> {
    policy.units()[&id(2)].drills.of(incarnation, now_ms).map(|(drill, left)| (drill.fault, left))
}

#[test]
fn a_drill_begins_and_ends_on_record_and_is_gone_on_with_by_whoever_reads_what_was_kept() {
    let mut pool = pool();
    let begun = said(&mut pool, vec![order("alice", drill("fail:0.3", 60))]);
    only((Kind::Drill, Rule::O1), "operator/alice has relay-2 play fail:0.3 for 60 s", &begun);
    let number = pool.policy.units()[&id(2)].drills.number;
    let kept = serde_json::to_string(&pool.policy).expect("it has a JSON form");
    pool.policy = serde_json::from_str(&kept).expect("it is read again");
    let now_ms = i64::try_from(pool.second).expect("a second") * 1000;
    assert_eq!(played(&pool.policy, 1, now_ms + 1), Some((fault("fail:0.3"), 59_999)));
    assert_eq!(played(&pool.policy, 9, now_ms + 59_999), Some((fault("fail:0.3"), 1)), "a new process, too");
    assert_eq!(played(&pool.policy, 1, now_ms + 60_000), None, "whether a step says so or not");
    for _ in 0..59 {
        assert_eq!(said(&mut pool, vec![]), []);
    }
    let ended = said(&mut pool, vec![]);
    only((Kind::DrillOver, Rule::O2), "no more, after 60 s, ordered by operator/alice", &ended);
    assert!(pool.policy.units()[&id(2)].drills.number > number, "so that a relay hears of it");
    assert_eq!(said(&mut pool, vec![]), []);
}

#[test]
fn a_drill_is_refused_where_it_was_not_prepared_and_ended_where_it_is_no_longer() {
    let mut pool = Pool::of(3);
    let refused = (Kind::Refuse("drill".to_owned()), Rule::O1);
    let ask = |pool: &mut Pool, seconds| said(pool, vec![order("alice", drill("hang", seconds))]);
    only(refused.clone(), "has not reported yet", &ask(&mut pool, 60));
    pool.tell(vec![started(1, false)]);
    only(refused.clone(), "was not started with --drills", &ask(&mut pool, 60));
    pool.tell(vec![started(2, true)]);
    for seconds in [0, 601] {
        only(refused.clone(), "1 to 600 s", &ask(&mut pool, seconds));
    }
    only((Kind::Drill, Rule::O1), "for 600 s", &ask(&mut pool, 600));
    let anew = said(&mut pool, vec![started(3, false)]);
    only((Kind::DrillOver, Rule::O2), "without --drills", &anew);
    assert_eq!(played(&pool.policy, 3, 0), None);
}

#[test]
fn a_drill_is_ended_by_an_operator_or_by_another_one_and_each_end_is_said() {
    let mut pool = pool();
    let stop = || vec![order("bob", Request::StopDrill { unit: id(2) })];
    let none = (Kind::Refuse("stop-drill".to_owned()), Rule::O1);
    only(none.clone(), "relay-2 plays no fault", &said(&mut pool, stop()));
    pool.tell(vec![order("alice", drill("hang", 60))]);
    let other = said(&mut pool, vec![order("bob", drill("slow:2s:0.3", 60))]);
    only((Kind::DrillOver, Rule::O1), "operator/bob has it play slow:2s:0.3 instead", &other[..1]);
    only((Kind::Drill, Rule::O1), "play slow:2s:0.3", &other[1..]);
    only(
        (Kind::DrillOver, Rule::O1),
        "ordered by operator/bob: operator/bob ends it",
        &said(&mut pool, stop()),
    );
    only(none, "relay-2 plays no fault", &said(&mut pool, stop()));
}

#[test]
fn a_crash_is_for_the_process_that_was_there_and_over_with_the_next_one() {
    let mut pool = pool();
    pool.tell(vec![order("alice", drill("crash", 60))]);
    let now_ms = i64::try_from(pool.second).expect("a second") * 1000;
    assert_eq!(played(&pool.policy, 1, now_ms), Some((Fault::Crash, 60_000)));
    assert_eq!(played(&pool.policy, 2, now_ms), None, "it reports before it was decided that it is over");
    only((Kind::DrillOver, Rule::O2), "started anew", &said(&mut pool, vec![started(2, true)]));
    assert_eq!(played(&pool.policy, 2, now_ms), None);
    pool.tell(vec![order("alice", drill("hang", 60))]);
    assert_eq!(said(&mut pool, vec![started(3, true)]), [], "any other fault goes on");
}

#[test]
fn a_unit_is_not_forgotten_while_it_plays_a_fault() {
    let mut pool = pool();
    pool.tell(vec![order("alice", drill("hang", 60))]);
    pool.tell(vec![order("alice", Request::Drain { unit: id(2), reason: "a test".to_owned() })]);
    pool.run(12);
    let reason = "it is gone".to_owned();
    let forget = || vec![order("alice", Request::Unregister { unit: id(2), reason: reason.clone() })];
    let refused = said(&mut pool, forget());
    only((Kind::Refuse("unregister".to_owned()), Rule::O1), "end its drill first", &refused);
    pool.run(60);
    pool.tell(forget());
    assert!(!pool.policy.units().contains_key(&id(2)));
}
