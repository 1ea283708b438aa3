//! Promise: a unit comes back by proof: back-off, probation, then steps of real calls, each at its limit.

use super::{
    Fact, Kind, Parameters, Rule, State, back_off_s,
    fixture::{Pool, id, traffic},
};
use crate::pool::judgement::Verdict;

/// A pool of 4 whose unit 2 was evicted and is well again.
pub(super) fn evicted() -> Pool {
    let mut pool = Pool::of(4);
    pool.sick(2, 30.0);
    pool.until(&Kind::Evict, 2, 1);
    pool.well(2);
    pool
}

/// A pool of 4 whose unit 2 was evicted, and is let in as the others have left.
fn alone() -> Pool {
    let mut pool = evicted();
    // As in a restart of the whole pool: the others give their leases back, and are away for a while.
    pool.gone.extend([1, 3, 4].map(id));
    let given = [1, 3, 4].map(|n| {
        let generation = pool.policy.units()[&id(n)].generation;
        Fact::LeaseReleased { unit: id(n), generation }
    });
    let judgement = pool.judgement();
    pool.second += 1;
    pool.policy.step(pool.second, &judgement, &given);
    let let_in = pool.until(&Kind::Return, 2, 30);
    assert_eq!((let_in.rule, pool.state(2)), (Rule::F2, State::Healthy), "nobody else is there");
    pool
}

#[test]
fn a_unit_returns_by_back_off_probation_and_five_steps() {
    let mut pool = evicted();
    let out = pool.second;
    let probation = pool.until(&Kind::StartProbation, 2, 60);
    assert_eq!(probation.second - out, back_off_s(&Parameters::default(), &id(2), 1));
    let mut last = pool.until(&Kind::Step(1), 2, 100);
    assert_eq!(last.second - probation.second, 60, "200 probes came after 50 s, 60 s must pass");
    assert_eq!(pool.shares(), [100, 1, 100, 100]);
    for percent in [5, 25, 50] {
        let step = pool.until(&Kind::Step(percent), 2, 100);
        assert_eq!(step.second - last.second, 60);
        last = step;
    }
    let back = pool.until(&Kind::Return, 2, 100);
    assert_eq!((back.second - last.second, back.to), (60, Some(State::Healthy)));
}

#[test]
fn one_that_was_let_in_for_want_of_others_is_out_again_once_they_are_there_unless_it_has_proved_itself() {
    for (alone_s, is_out) in [(20, true), (70, false)] {
        let mut pool = alone();
        pool.run(alone_s);
        pool.gone.clear();
        pool.until(&Kind::Admit, 1, 30);
        let unit = &pool.policy.units()[&id(2)];
        assert_eq!(unit.state == State::Evicted, is_out, "{alone_s} s: {:?}", pool.record);
        if is_out {
            assert_eq!(unit.evictions, 1, "and no more");
            assert!(pool.policy.penalties(unit).fast < 1_000.0, "nothing new is held against it");
            assert_eq!(pool.record.last().map(|one| (&one.kind, one.rule)), Some((&Kind::Leave, Rule::F2)));
            pool.until(&Kind::StartProbation, 2, 60);
        }
    }
}

#[test]
fn one_that_was_let_in_and_looks_sick_the_moment_that_others_come_is_out_all_the_same() {
    for alone_s in [20, 70] {
        let mut pool = alone();
        pool.sick(2, 6.0);
        pool.failing.insert(id(2));
        pool.run(alone_s);
        pool.gone.clear();
        pool.until(&Kind::Admit, 1, 30);
        pool.run(1);
        let stands = pool.state(2);
        let out = matches!(stands, State::Evicted | State::Probation);
        assert!(out, "{alone_s} s, {stands}: {:?}", pool.record);
    }
}

#[test]
fn one_failed_probe_is_borne_and_two_are_not() {
    for (failed, next) in [(1, Kind::Step(1)), (2, Kind::FailProbation)] {
        let mut pool = evicted();
        pool.until(&Kind::StartProbation, 2, 60);
        pool.tell(vec![Fact::DeepProbes { unit: id(2), n: failed, failed, by: Vec::new() }]);
        let decided = pool.record.iter().any(|one| one.kind == Kind::FailProbation);
        assert_eq!(decided, next == Kind::FailProbation);
        if !decided {
            pool.until(&next, 2, 100);
            continue;
        }
        let unit = &pool.policy.units()[&id(2)];
        assert_eq!((unit.state, unit.evictions), (State::Evicted, 2));
        assert!(pool.policy.penalties(unit).slow < 1_000.1, "no caller was hurt, so no penalty");
    }
}

#[test]
fn a_step_needs_its_calls() {
    let parameters = Parameters { step_calls: 61, ..Parameters::default() };
    let mut pool = Pool::with(4, parameters);
    pool.sick(2, 30.0);
    pool.until(&Kind::Evict, 2, 1);
    pool.well(2);
    let first = pool.until(&Kind::Step(1), 2, 200);
    let second = pool.until(&Kind::Step(5), 2, 200);
    assert_eq!(second.second - first.second, 63, "one call a second, each known after two");
}

#[test]
fn a_burst_of_failures_evicts_anew_and_fewer_do_not() {
    for (failed, calls, evicts) in [(5, 25, true), (5, 26, false), (4, 5, false)] {
        let mut pool = evicted();
        pool.until(&Kind::Step(1), 2, 200);
        // The fixture adds one good call of its own.
        pool.tell(vec![traffic(2, calls - 1, failed)]);
        pool.run(1);
        assert!(!pool.record.iter().any(|one| one.rule == Rule::E2), "its peers are not heard of yet");
        pool.run(1);
        let burst = pool.record.iter().find(|one| one.rule == Rule::E2);
        assert_eq!(burst.is_some(), evicts, "{failed} of {calls}");
        if evicts {
            let unit = &pool.policy.units()[&id(2)];
            assert_eq!((unit.state, unit.evictions), (State::Draining, 2));
        }
    }
}

#[test]
fn a_shared_cause_holds_a_return_and_evicts_nobody() {
    let mut pool = evicted();
    pool.until(&Kind::Step(1), 2, 200);
    pool.verdict = Verdict::Shared;
    for _ in 0..100 {
        pool.tell(vec![traffic(2, 50, 50)]);
    }
    assert_eq!(pool.state(2), State::Returning(1));
    pool.verdict = Verdict::None;
    pool.until(&Kind::Step(5), 2, 61);
}

#[test]
fn a_soft_doubt_holds_a_step() {
    let mut pool = evicted();
    pool.until(&Kind::Step(1), 2, 200);
    let parameters = pool.policy.parameters().clone();
    pool.sick(2, 5.0);
    // Soft, while its calls do not fail.
    for _ in 0..(2 * parameters.step_s) {
        pool.tell(vec![traffic(2, 100, 0)]);
    }
    assert_eq!(pool.state(2), State::Returning(1));
}

#[test]
fn quick_evictions_keep_a_unit_out_until_the_fast_penalty_has_fallen() {
    let parameters = Parameters { slow_quarantine: 1_000_000, fast_suppress: 1_800, ..Parameters::default() };
    let mut pool = Pool::with(4, parameters);
    for _ in 0..2 {
        pool.sick(2, 30.0);
        pool.until(&Kind::Evict, 2, 1);
        pool.well(2);
        if pool.policy.penalties(&pool.policy.units()[&id(2)]).suppressed {
            break;
        }
        pool.until(&Kind::Return, 2, 500);
    }
    let out = pool.second;
    let probation = pool.until(&Kind::StartProbation, 2, 4_000);
    // 1,87x → 750 takes 1.3 half-lives, where the back-off alone is a minute.
    assert!((2_300..2_600).contains(&(probation.second - out)), "{}", probation.second - out);
    assert!(probation.numbers["fast"] <= 750.0);
}

#[test]
fn earlier_evictions_are_forgiven_after_a_week_of_use() {
    let mut pool = evicted();
    pool.until(&Kind::Return, 2, 500);
    let back_off_until = pool.policy.units()[&id(2)].back_off_until;
    pool.second = back_off_until + 7 * 86_400 - 2;
    pool.run(1);
    assert_eq!(pool.policy.units()[&id(2)].evictions, 1);
    pool.run(1);
    assert_eq!(pool.policy.units()[&id(2)].evictions, 0);
}

#[test]
fn a_lease_that_lapses_on_probation_ends_it() {
    let mut pool = evicted();
    pool.until(&Kind::StartProbation, 2, 60);
    pool.gone.insert(id(2));
    let failed = pool.until(&Kind::FailProbation, 2, 2);
    assert_eq!((failed.rule, pool.state(2)), (Rule::E4, State::Evicted));
}

#[test]
fn an_operator_is_told_what_a_unit_waits_for() {
    let parameters = Parameters { fast_suppress: 1_000, ..Parameters::default() };
    let mut pool = Pool::with(4, parameters);
    let next = |pool: &Pool| pool.policy.outlook(&id(2)).unwrap_or_default();
    assert!(next(&pool).starts_with("it stays HEALTHY"));
    pool.sick(2, 30.0);
    pool.until(&Kind::Evict, 2, 1);
    assert_eq!(next(&pool), "EVICTED in 10 s");
    pool.well(2);
    pool.run(10);
    let back_off = back_off_s(&Parameters::default(), &id(2), 1) - 10;
    // 1,000 → 750 takes 747.1 s of half an hour's half-life.
    let waits = format!(
        "PROBATION (probed, without callers) when its back-off ends in {back_off} s, and its fast penalty \
         falls from 996 to 750, in 738 s, and it asks for a lease"
    );
    assert_eq!(next(&pool), waits);
    pool.until(&Kind::StartProbation, 2, 738);
    pool.run(1);
    let wanted = "RETURNING after 200 deep probes in at least 60 s, of which 1 may fail";
    let or = "If more fail, EVICTED again with a new back-off";
    assert_eq!(next(&pool), format!("{wanted}; so far 4 in 1 s, of which 0 failed. {or}"));
    pool.until(&Kind::Step(1), 2, 60);
    pool.run(3);
    let by_calls = "5 % of a full share after 50 calls in at least 60 s; so far 1 in 3 s";
    let by_probes = "Or after 100 deep probes in at least 120 s; so far 12";
    assert_eq!(next(&pool), format!("{by_calls}. {by_probes}"));
    pool.tell(vec![Fact::Database { away: true }]);
    assert_eq!(next(&pool), "nothing changes until the database is back");
    assert_eq!(pool.policy.outlook(&id(9)), None);
}

/// A unit at its first step, to which calls and deep probes come only as they are told.
pub(super) fn quiet() -> Pool {
    let mut pool = evicted();
    pool.until(&Kind::Step(1), 2, 200);
    pool.quiet = true;
    pool
}

/// Seconds that a unit takes to its next step with these facts in each.
fn steps_after(pool: &mut Pool, facts: impl Fn(u64) -> Vec<Fact>) -> Option<u64> {
    let step = |one: &super::Decision| matches!(one.kind, Kind::Step(_));
    (1..=600).find(|second| pool.tell(facts(*second)).iter().any(step))
}

fn probes(n: u32, failed: u32) -> Fact {
    Fact::DeepProbes { unit: id(2), n, failed, by: Vec::new() }
}

#[test]
fn where_nobody_calls_good_probes_bring_a_unit_back_more_slowly() {
    assert_eq!(steps_after(&mut quiet(), |_| vec![probes(4, 0)]), Some(120), "two minutes a step");
    assert_eq!(steps_after(&mut quiet(), |_| vec![]), None, "nobody probes it");
    let few = |second: u64| vec![probes(u32::from(second.is_multiple_of(2)), 0)];
    assert_eq!(steps_after(&mut quiet(), few), Some(200), "100 probes, one each two seconds");
    let failing = |second: u64| vec![probes(1, u32::from(second == 110))];
    assert_eq!(steps_after(&mut quiet(), failing), Some(210), "a failed one begins them anew");
    let always = |second: u64| vec![probes(4, u32::from(second.is_multiple_of(20)))];
    assert_eq!(steps_after(&mut quiet(), always), None, "one of 80 fails: never 100 in a row");
}

#[test]
fn few_calls_are_counted_in_words_that_fit_their_number() {
    for (calls, words) in [(0, "while nobody called it,"), (1, "and its one call,"), (7, "few calls, 7,")] {
        let mut pool = quiet();
        steps_after(&mut pool, |second| vec![probes(4, 0), traffic(2, u32::from(second <= calls), 0)]);
        let said = pool.record.last().map(|one| one.reason.clone()).unwrap_or_default();
        assert!(said.contains(words), "{calls}: {said}");
    }
}

#[test]
fn good_probes_are_no_reason_where_a_call_failed_until_twenty_passed() {
    let failed = |second: u64| vec![probes(4, 0), traffic(2, u32::from(second == 5), u32::from(second == 5))];
    assert_eq!(steps_after(&mut quiet(), failed), None);
    // One call in ten seconds, of which the first fails, or each twentieth.
    let call = |second: u64, failed: bool| {
        vec![probes(4, 0), traffic(2, u32::from(second % 10 == 5), failed.into())]
    };
    assert_eq!(steps_after(&mut quiet(), |second| call(second, second == 5)), Some(207), "20 passed since");
    assert_eq!(
        steps_after(&mut quiet(), |second| call(second, second % 200 == 5)),
        Some(497),
        "19 in a row, then 50"
    );
    let mut pool = quiet();
    let mut kept = serde_json::to_value(&pool.policy).expect("it has a JSON form");
    kept["units"]["relay-2"]["traffic_red"] = true.into();
    pool.policy = serde_json::from_value(kept).expect("it is read again");
    assert_eq!(steps_after(&mut pool, |_| vec![probes(4, 0)]), None, "its traffic was red behind green");
    let calls = |_| vec![probes(4, 0), traffic(2, 1, 0)];
    assert!(steps_after(&mut pool, calls).is_some(), "its calls are");
}

#[test]
fn an_order_in_between_lets_no_time_pass() {
    let mut pool = evicted();
    let probation = pool.until(&Kind::StartProbation, 2, 60);
    for _ in 0..59 {
        pool.tell(Vec::new());
        for _ in 0..3 {
            let judgement = pool.judgement();
            pool.policy.step(pool.second, &judgement, &[]);
        }
    }
    assert_eq!(pool.policy.units()[&id(2)].progress.seconds, 59);
    let step = pool.until(&Kind::Step(1), 2, 1);
    assert_eq!(step.second - probation.second, 60);
}
