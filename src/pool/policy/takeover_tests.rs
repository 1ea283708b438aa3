//! Promise: that a process took over from one that had not stopped in order is on record, once a minute at
//! the most, however processes fight over a name; an orderly restart is not.

use super::{
    Decision, Fact, Kind, Process, Rule,
    fixture::{Pool, id},
};

/// The 25th of July 2026, in ms.
const DAY_MS: u64 = 1_784_937_600_000;

/// A process that was started so many seconds into that day.
fn started(second: u64) -> Fact {
    let process = Process { incarnation: DAY_MS + second * 1_000, drills: false };
    Fact::Started { unit: id(2), process, address: Some(format!("10.0.0.2:{}", 40_000 + second)) }
}

/// A pool of 3 whose second unit is served by a process of that day's first second.
fn served() -> Pool {
    let mut pool = Pool::of(3);
    assert_eq!(pool.tell(vec![started(1)]), [], "the first one took over from nobody");
    pool
}

fn takeovers(decisions: &[Decision]) -> Vec<(&str, f64)> {
    let of_it = |one: &&Decision| one.kind == Kind::TakeOver;
    let of = |one: &&Decision| (one.unit.clone(), one.rule) == (Some(id(2)), Rule::J3);
    assert!(decisions.iter().filter(of_it).all(|one| of(&one)), "{decisions:?}");
    decisions.iter().filter(of_it).map(|one| (one.reason.as_str(), one.numbers["processes"])).collect()
}

#[test]
fn a_later_process_is_on_record_with_its_start_and_address_and_with_the_one_that_is_refused() {
    let mut pool = served();
    let generation = pool.policy.units()[&id(2)].generation;
    let decided = pool.tell(vec![started(20)]);
    let reason = "another process serves as relay-2 now, started: 2026-07-25T00:00:20Z, reached at \
                  10.0.0.2:40020. The one before it, started: 2026-07-25T00:00:01Z, did not give its lease \
                  back, and is refused if it runs still";
    assert_eq!(takeovers(&decided), [(reason, 1.0)]);
    assert_eq!(pool.policy.units()[&id(2)].generation, generation + 1);
    pool.run(100);
    assert_eq!(takeovers(&pool.tell(vec![started(20)])), [], "once");

    let again = pool.tell(vec![started(1)]);
    let [(reason, _)] = takeovers(&again)[..] else { panic!("{again:?}") };
    assert!(reason.starts_with("the earlier process serves as relay-2 again"), "{reason}");
    assert!(reason.contains("The later one, started: 2026-07-25T00:00:20Z, fell silent"), "{reason}");
}

#[test]
fn of_those_that_fight_one_a_minute_is_on_record_with_how_many_they_were() {
    let mut pool = served();
    let mut said = Vec::new();
    for second in 2..302 {
        let facts = if second < 200 { vec![started(second)] } else { Vec::new() };
        let decided = pool.tell(facts);
        said.extend(
            takeovers(&decided).into_iter().map(|(reason, count)| (second, reason.to_owned(), count)),
        );
    }
    let when: Vec<(u64, f64)> = said.iter().map(|(second, _, count)| (*second, *count)).collect();
    assert_eq!(when, [(2, 1.0), (62, 60.0), (122, 60.0), (182, 60.0), (242, 17.0)], "none is left out");
    let (_, last, _) = &said[4];
    assert!(last.contains("started: 2026-07-25T00:03:19Z"), "{last}");
    assert!(last.ends_with("; 17 took the name from each other within 60 s"), "{last}");
}

#[test]
fn one_that_stopped_in_order_or_lost_its_lease_before_is_on_record_by_that() {
    let mut pool = served();
    let generation = pool.policy.units()[&id(2)].generation;
    pool.gone.insert(id(2));
    pool.policy.step(pool.second, &pool.judgement(), &[Fact::LeaseReleased { unit: id(2), generation }]);
    pool.gone.remove(&id(2));
    assert_eq!(takeovers(&pool.tell(vec![started(20)])), [], "it gave its lease back");

    let mut pool = served();
    pool.gone.insert(id(2));
    let lapsed = pool.tell(Vec::new());
    assert!(lapsed.iter().any(|one| (&one.kind, one.rule) == (&Kind::Evict, Rule::E4)), "{lapsed:?}");
    pool.gone.remove(&id(2));
    assert_eq!(takeovers(&pool.tell(vec![started(20)])), []);
}

#[test]
fn what_waits_for_its_minute_is_kept() {
    let mut pool = served();
    pool.tell(vec![started(20)]);
    pool.tell(vec![started(30)]);
    let kept = serde_json::to_string(&pool.policy).expect("it has a JSON form");
    pool.policy = serde_json::from_str(&kept).expect("it is read again");
    pool.run(60);
    assert_eq!(takeovers(&pool.record).len(), 2, "{:?}", pool.record);
}
