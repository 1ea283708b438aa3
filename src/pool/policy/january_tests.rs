//! Promise: the January of 2016 goes otherwise: the shared cause is suspect on the 18th, and the return of
//! the 20th is refused.

use super::{
    Decision, Kind, Request, Rule, State, UNKNOWN,
    fixture::{Pool, about, id, intervention, order},
};

const DAY: u64 = 86_400;

/// The second of a time of January, in the test's own time.
fn at(day: u64, hour: u64, minute: u64) -> u64 {
    100 * DAY + day * DAY + hour * 3_600 + minute * 60
}

/// Day, hour, minute.
type Time = (u64, u64, u64);

/// When which unit was sick, by the Board of Audit's record; the hour and minute of its end are of the same
/// day.
const TIMETABLE: [(usize, Time, (u64, u64)); 6] = [
    (1, (13, 11, 40), (13, 10)),
    (2, (18, 15, 40), (19, 0)),
    (2, (19, 8, 30), (8, 50)),
    (2, (21, 18, 40), (19, 0)),
    (2, (22, 9, 40), (9, 50)),
    (2, (25, 10, 45), (11, 25)),
];

/// S rises as in the simulation of a hanging unit in a quiet pool: soft after 16 s, evicted after 52 s.
fn set(pool: &mut Pool) {
    let now = pool.second + 1;
    for n in [1, 2] {
        let since = TIMETABLE.iter().find_map(|(unit, (day, hour, minute), (h, m))| {
            let (from, to) = (at(*day, *hour, *minute), at(*day, *h, *m));
            (*unit == n && (from..to).contains(&now)).then(|| now - from)
        });
        match since {
            None => pool.well(n),
            Some(seconds) if seconds < 16 => pool.sick(n, 4.9),
            Some(seconds) if seconds < 52 => pool.sick(n, 10.0),
            Some(_) => pool.sick(n, 25.0),
        }
    }
}

/// Second by second near a disturbance, else a minute at a time.
fn run_until(pool: &mut Pool, end: u64) {
    while pool.second + 1 < end {
        let now = pool.second + 1;
        let near = TIMETABLE.iter().any(|(_, (day, hour, minute), (h, m))| {
            now + 120 >= at(*day, *hour, *minute) && now < at(*day, *h, *m) + 3 * 3_600
        });
        if !near {
            pool.second += 59;
        }
        set(pool);
        pool.tell(Vec::new());
    }
}

fn of<'a>(pool: &'a Pool, kind: &Kind, day: u64) -> Vec<&'a Decision> {
    let on = |one: &&Decision| one.kind == *kind && (at(day, 0, 0)..at(day + 1, 0, 0)).contains(&one.second);
    pool.record.iter().filter(on).collect()
}

#[test]
fn the_timetable_of_january_2016_is_replayed() {
    let mut pool = Pool::of(2);
    pool.second = at(13, 11, 0);
    run_until(&mut pool, at(18, 0, 0));

    let evicted = of(&pool, &Kind::Evict, 13);
    assert_eq!(evicted.len(), 1);
    assert_eq!((evicted[0].unit.as_ref(), evicted[0].rule), (Some(&id(1)), Rule::E1));
    assert!(evicted[0].second < at(13, 11, 41));
    let steered = of(&pool, &Kind::SteerAway, 13);
    assert!(steered[0].second < at(13, 11, 40) + 20, "{:?}", steered[0]);
    assert_eq!(of(&pool, &Kind::Systemic, 13), [] as [&Decision; 0], "one failure shows nothing of a model");
    assert_eq!(pool.state(1), State::Healthy, "it came back by steps");

    run_until(&mut pool, at(19, 0, 0));
    assert_eq!(of(&pool, &Kind::Evict, 18).len(), 1);
    let systemic = of(&pool, &Kind::Systemic, 18);
    assert_eq!(systemic.len(), 1);
    assert_eq!(systemic[0].numbers["p"], 0.014);
    assert_eq!(systemic[0].attributes, ["image=r1", "model=HSM-7"]);
    let reason = "SYSTEMIC_SUSPECT: relay-2 failed 5.2 days after relay-1, both among the 2 with image=r1: \
                  by chance p = 1.4 %; 5.2 days after relay-1, both among the 2 with model=HSM-7: by chance \
                  p = 1.4 %";
    assert_eq!(systemic[0].reason, reason);
    assert!(systemic[0].second < at(18, 15, 41));
    assert_eq!(pool.state(2), State::Healthy, "it was well again after 19:00");

    run_until(&mut pool, at(20, 10, 0));
    let quarantined = of(&pool, &Kind::Quarantine, 19);
    assert_eq!(quarantined.len(), 1);
    assert_eq!(quarantined[0].numbers["slow"].round(), 1_933.0);

    // Reconnected with no cause found.
    for request in [Request::SignOff { unit: id(2), intervention: None }, Request::Undrain { unit: id(2) }] {
        let decisions = pool.tell(vec![order("alice", request)]);
        assert_eq!(decisions.len(), 1);
        assert!(matches!(decisions[0].kind, Kind::Refuse(_)), "{decisions:?}");
        let reason = &decisions[0].reason;
        let words = ["QUARANTINED", "its slow penalty, 1,933, reaches the limit of 1,800"];
        assert!(words.iter().all(|words| reason.contains(words)), "{reason}");
    }
    run_until(&mut pool, at(26, 0, 0));
    assert_eq!(pool.state(2), State::Quarantined);
    assert!((20..26).all(|day| of(&pool, &Kind::Evict, day).is_empty()), "nobody could be hurt again");
    assert_eq!(pool.shares(), [100, 0]);
}

#[test]
fn more_boxes_of_the_suspect_model_add_capacity_and_not_diversity() {
    let mut pool = Pool::of(2);
    pool.second = at(13, 11, 0);
    run_until(&mut pool, at(19, 0, 0));
    let decisions = pool.tell(vec![order("bob", Request::Register(Box::new(about(3))))]);
    let registered = decisions.iter().find(|one| one.kind == Kind::Register).expect("it is registered");
    let warning = "adds capacity, not diversity; shares suspect attribute image=r1, model=HSM-7";
    assert!(registered.reason.contains(warning), "{}", registered.reason);
    let mut other = about(4);
    other.model = "HSM-9".to_owned();
    other.image = "r2".to_owned();
    let decisions = pool.tell(vec![order("bob", Request::Register(Box::new(other)))]);
    let registered = decisions.iter().find(|one| one.kind == Kind::Register).expect("it is registered");
    assert!(!registered.reason.contains("diversity"), "{}", registered.reason);

    let clears =
        || Request::Absolve { attribute: "model=HSM-7".to_owned(), intervention: Some(intervention()) };
    let decisions = pool.tell(vec![order("bob", clears())]);
    assert_eq!(decisions[0].kind, Kind::SignOff);
    assert!(pool.policy.history().suspects().contains_key("model=HSM-7"), "one operator is not enough");
    let decisions = pool.tell(vec![order("alice", clears())]);
    assert_eq!(decisions[0].kind, Kind::Absolve);
    assert!(!pool.policy.history().suspects().contains_key("model=HSM-7"));
}

/// A pool of two of which nobody said what they are, on the 18th, when both have failed.
fn of_unknown_make() -> Pool {
    let mut pool = Pool::of(2);
    for n in [1, 2] {
        pool.tell(vec![order("alice", Request::Drain { unit: id(n), reason: "a new image".to_owned() })]);
        pool.run(12);
        let mut unsaid = about(n);
        (unsaid.model, unsaid.image) = (UNKNOWN.to_owned(), UNKNOWN.to_owned());
        pool.tell(vec![order("alice", Request::Register(Box::new(unsaid)))]);
        pool.tell(vec![order("alice", Request::Undrain { unit: id(n) })]);
        pool.run(60);
    }
    pool.record.clear();
    pool.second = at(13, 11, 0);
    run_until(&mut pool, at(19, 0, 0));
    assert_eq!(of(&pool, &Kind::Evict, 13).len() + of(&pool, &Kind::Evict, 18).len(), 2);
    pool
}

#[test]
fn what_is_unknown_of_two_units_is_no_common_cause() {
    let mut pool = of_unknown_make();
    assert_eq!(of(&pool, &Kind::Systemic, 18), [] as [&Decision; 0]);
    assert!(pool.policy.history().suspects().is_empty());
    let mut third = about(3);
    third.model = UNKNOWN.to_owned();
    let decisions = pool.tell(vec![order("bob", Request::Register(Box::new(third)))]);
    let registered = decisions.iter().find(|one| one.kind == Kind::Register).expect("it is registered");
    assert!(!registered.reason.contains("suspect"), "{}", registered.reason);
}

#[test]
fn what_was_not_said_before_or_is_not_said_now_is_no_change() {
    let mut pool = of_unknown_make();
    let history = pool.policy.history();
    assert_eq!(history.changed_since_last(&about(1)), [] as [&str; 0], "only now it is said what it is");
    pool = Pool::of(2);
    pool.second = at(13, 11, 0);
    run_until(&mut pool, at(14, 0, 0));
    let (mut other, history) = (about(1), pool.policy.history());
    other.model = UNKNOWN.to_owned();
    assert_eq!(history.changed_since_last(&other), [] as [&str; 0]);
    other.model = "HSM-9".to_owned();
    assert_eq!(history.changed_since_last(&other), ["model=HSM-7"]);
}
