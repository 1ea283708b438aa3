//! Promise: the verdict names the kind of cause that is at work, and until the others are ruled out it says
//! UNDECIDED and for how long.

use super::super::evidence::{Bucket, Class};
use super::super::judgement::{Judgement, Verdict};
use super::world::{Fault, Plan, START, Trial, heavy_caller, observer_id, unit_id, units};
use super::{Judge, Parameters};

/// Every judgement of a pool from the onset on.
fn judgements(plan: Plan, seconds: u64) -> Vec<Judgement> {
    let mut trial = Trial::new(plan, 23);
    let all = (0..plan.onset + seconds).map(|_| trial.step());
    all.filter(|judgement| judgement.second >= START + plan.onset).collect()
}

/// The verdict at the end, after no other one than those that say nothing yet.
fn verdict(plan: Plan, seconds: u64) -> Verdict {
    let all = judgements(plan, seconds);
    let last = all.last().expect("there are seconds").verdict.clone();
    for judgement in &all {
        let open = matches!(judgement.verdict, Verdict::None | Verdict::Undecided { .. });
        assert!(open || judgement.verdict == last, "{plan:?} at {}: {judgement:?}", judgement.second);
    }
    last
}

#[test]
fn one_sick_unit_is_named() {
    for fault in [Fault::Fails(1.0), Fault::Fails(0.3), Fault::Flaps, Fault::Hangs] {
        assert_eq!(verdict(Plan::quiet(fault), 150), Verdict::Unit { unit: unit_id(0) }, "{fault:?}");
    }
}

#[test]
fn two_sick_units_of_one_model_are_named_by_what_only_they_share() {
    let two = vec![unit_id(0), unit_id(1)];
    let of_model = Verdict::Attribute { units: two.clone(), attributes: vec!["model=model-x".to_owned()] };
    let plan = Plan::quiet(Fault::TwoFail(1.0));
    assert_eq!(verdict(plan, 160), of_model);

    let mut trial = Trial::new(plan, 23);
    let mut plain = units(4);
    plain.values_mut().for_each(|attributes| {
        attributes.0.remove("model");
    });
    trial.judge.units(&plain);
    let last = (0..plan.onset + 160).map(|_| trial.step()).last().expect("there are seconds");
    assert_eq!(last.verdict, Verdict::Units { units: two });
}

/// The verdicts while each unit that is sick is taken out at once, as it is in earnest, and comes back once.
fn while_evicted(fault: Fault, seconds: u64, back_after: u64) -> Vec<Verdict> {
    let plan = Plan::quiet(fault);
    let (mut trial, mut takes_part, mut left) = (Trial::new(plan, 23), units(4), Vec::new());
    let mut step = |second| {
        let judgement = trial.step();
        for (id, _) in judgement.units.iter().filter(|(_, unit)| unit.sick) {
            takes_part.remove(id);
            left.push((second + back_after, id.clone()));
        }
        let back = left.iter().filter(|(at, _)| *at == second).map(|(_, id)| id);
        takes_part.extend(back.map(|id| (id.clone(), units(4)[id].clone())));
        trial.judge.units(&takes_part);
        judgement.verdict
    };
    let mut all: Vec<Verdict> = (0..plan.onset + seconds).map(&mut step).collect();
    all.dedup();
    all.retain(|verdict| !matches!(verdict, Verdict::None | Verdict::Undecided { .. }));
    all
}

#[test]
fn the_second_of_one_model_is_named_with_the_first_that_is_out_already() {
    let (two, attributes) = (vec![unit_id(0), unit_id(1)], vec!["model=model-x".to_owned()]);
    let of_model = Verdict::Attribute { units: two, attributes };
    let verdicts = while_evicted(Fault::TwoFail(0.5), 400, 10_000);
    assert_eq!(verdicts.last(), Some(&of_model), "{verdicts:?}");
}

#[test]
fn a_unit_that_is_back_is_named_by_itself_when_it_is_sick_again() {
    let verdicts = while_evicted(Fault::Fails(1.0), 400, 120);
    let named = |verdict: &Verdict| *verdict == Verdict::Unit { unit: unit_id(0) };
    assert!(!verdicts.is_empty() && verdicts.iter().all(named), "{verdicts:?}");
}

#[test]
fn a_caller_whose_calls_fail_everywhere_is_named() {
    let plan = Plan { rate: 5.0, ..Plan::quiet(Fault::Caller { pinned: false }) };
    assert_eq!(verdict(plan, 150), Verdict::Caller { caller: heavy_caller() });
    let plan = Plan { rate: 5.0, ..Plan::quiet(Fault::Caller { pinned: true }) };
    let all = judgements(plan, 150);
    let last = all.last().expect("there are seconds");
    assert_eq!(last.units[&unit_id(0)].left_out_caller, Some(heavy_caller()));
    assert_eq!(last.verdict, Verdict::Caller { caller: heavy_caller() });
}

#[test]
fn an_observer_that_sees_failures_everywhere_is_named_without_a_unit() {
    let plan = Plan { rate: 5.0, ..Plan::quiet(Fault::Observer) };
    assert_eq!(verdict(plan, 150), Verdict::Observer { observer: observer_id(0), link: None });
}

#[test]
fn the_verdict_is_undecided_until_the_others_are_shown_to_be_well() {
    let all = judgements(Plan { onset: 12, ..Plan::quiet(Fault::Fails(1.0)) }, 90);
    let undecided = |judgement: &&Judgement| matches!(judgement.verdict, Verdict::Undecided { .. });
    assert!(all.iter().filter(undecided).count() > 20, "S passes 4.5 long before its limit");
    let sick = |judgement: &&Judgement| judgement.units[&unit_id(0)].sick;
    let first = all.iter().find(sick).expect("it becomes sick");
    assert!(first.second > START + 40);
    for judgement in all.iter().filter(undecided) {
        let Verdict::Undecided { seconds } = judgement.verdict else { continue };
        assert!(seconds.is_some_and(|seconds| seconds > 0), "{judgement:?}");
    }
}

/// A second in which three observers make four calls on each of some units; those on `relay-1` are bad.
fn second_of(judge: &mut Judge, second: u64, seen: &[usize]) -> Verdict {
    second_with(judge, second, seen, 1).verdict
}

/// The same, where those on the first units are bad.
fn second_with(judge: &mut Judge, second: u64, seen: &[usize], sick: usize) -> Judgement {
    for (observer, unit) in (0..3).flat_map(|observer| seen.iter().map(move |unit| (observer, *unit))) {
        let bucket = Bucket {
            second: START + second,
            observer: observer_id(observer),
            unit: unit_id(unit),
            class: Class::Traffic,
            caller: None,
            n: 4,
            bad: if unit < sick { 4 } else { 0 },
            latencies: None,
        };
        judge.take(&bucket, START + second).expect("it is in time");
    }
    judge.judge(START + second + 2)
}

#[test]
fn a_peer_that_fails_too_is_not_said_to_be_well_and_neither_is_forgotten() {
    let mut judge = Judge::new(Parameters::default(), START);
    judge.units(&units(2));
    for second in 0..200 {
        second_with(&mut judge, second, &[0, 1], 1);
    }
    let named = Verdict::Unit { unit: unit_id(0) };
    assert_eq!(judge.judge(START + 201).verdict, named);
    let mut shared_after = None;
    for second in 200..500 {
        let judgement = second_with(&mut judge, second, &[0, 1], 2);
        let after = second - 200;
        assert!(after < 8 || judgement.verdict != named, "{after} s after relay-2 failed, too");
        assert!(judgement.units[&unit_id(0)].is_failing(), "it fails as it did, after {after} s");
        let both = judgement.units[&unit_id(1)].is_failing();
        shared_after = shared_after.or((judgement.verdict == Verdict::Shared).then_some(after));
        assert!(shared_after.is_none() || both, "{judgement:?}");
    }
    assert!(shared_after.is_some_and(|after| after < 120), "{shared_after:?}");
}

#[test]
fn one_that_is_alone_fails_by_its_own_share() {
    let mut judge = Judge::new(Parameters::default(), START);
    judge.units(&units(1));
    let failing = (0..120).find(|second| {
        let judgement = second_with(&mut judge, *second, &[0], 1);
        judgement.units[&unit_id(0)].is_failing()
    });
    assert!(failing.is_some_and(|second| (40..90).contains(&second)), "{failing:?}");
    let well = (120..300).find(|second| {
        let judgement = second_with(&mut judge, *second, &[0], 0);
        !judgement.units[&unit_id(0)].is_failing()
    });
    assert!(well.is_some_and(|second| second < 200), "{well:?}");
}

#[test]
fn a_unit_of_which_nothing_was_seen_needs_twenty_good_seconds_to_be_ruled_out() {
    let mut judge = Judge::new(Parameters::default(), START);
    judge.units(&units(3));
    for second in 0..100 {
        second_of(&mut judge, second, &[0, 1]);
    }
    assert!(judge.judge(START + 101).units[&unit_id(0)].sick);
    for second in 100..119 {
        let seconds = Some(119 - second);
        assert_eq!(second_of(&mut judge, second, &[0, 1, 2]), Verdict::Undecided { seconds });
    }
    assert_eq!(second_of(&mut judge, 119, &[0, 1, 2]), Verdict::Unit { unit: unit_id(0) });
}

#[test]
fn a_quiet_pool_has_no_verdict() {
    assert_eq!(verdict(Plan { errors: 0.001, ..Plan::quiet(Fault::None) }, 200), Verdict::None);
}
