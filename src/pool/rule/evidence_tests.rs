//! Promise: evidence that is late counts in every window that still holds its second, what cannot be right is
//! refused, and nothing grows beyond its limit.

use super::super::evidence::{Bucket, Class, Latencies};
use super::world::{Fault, Plan, START, Trial, heavy_caller, observer_id, unit_id, units};
use super::{Judge, Parameters, Refused};

fn bucket(second: u64, observer: usize, unit: usize, n: u32, bad: u32) -> Bucket {
    Bucket {
        second: START + second,
        observer: observer_id(observer),
        unit: unit_id(unit),
        class: Class::Traffic,
        caller: None,
        n,
        bad,
        latencies: None,
    }
}

fn judge_of(count: usize) -> Judge {
    let mut judge = Judge::new(Parameters::default(), START);
    judge.units(&units(count));
    judge
}

/// Bad calls, and calls, of `relay-1` on the longer scale with nobody left out.
fn own(judge: &mut Judge, now: u64) -> (u64, u64) {
    let judgement = judge.judge(START + now);
    let bets = &judgement.units[&unit_id(0)].bets;
    let all = bets.iter().filter(|bet| bet.class.is_none() && bet.scale == 60 && bet.left_out.is_empty());
    all.map(|bet| bet.own).next().expect("it is shown")
}

#[test]
fn what_comes_late_counts_until_its_second_is_out_of_the_window() {
    let mut judge = judge_of(2);
    judge.take(&bucket(0, 0, 0, 5, 1), START).expect("it is in time");
    assert_eq!(own(&mut judge, 12), (1, 5));
    judge.take(&bucket(0, 1, 0, 4, 4), START + 12).expect("its second is still looked at");
    assert_eq!(own(&mut judge, 13), (5, 9));
    assert_eq!(judge.judge(START + 13).late_count, 1);
    assert_eq!(own(&mut judge, 2 + 59), (5, 9));
    assert_eq!(own(&mut judge, 2 + 60), (0, 0));
    let late = judge.take(&bucket(0, 1, 0, 4, 4), START + 62);
    assert_eq!(late, Err(Refused::Past { second: START, earliest: START + 1 }));
    assert_eq!(judge.judge(START + 62).late_count, 2);
}

#[test]
fn late_evidence_leaves_the_judge_as_if_it_had_come_in_time() {
    let caller = |bucket: Bucket| Bucket { caller: Some(heavy_caller()), ..bucket };
    let all = [bucket(0, 0, 0, 9, 1), bucket(0, 1, 0, 1, 0), caller(bucket(0, 2, 0, 40, 30))];
    let (mut late, mut prompt) = (judge_of(2), judge_of(2));
    for bucket in &all {
        prompt.take(bucket, START).expect("it is in time");
    }
    for bucket in &all[..2] {
        late.take(bucket, START).expect("it is in time");
    }
    late.judge(START + 5);
    late.take(&all[2], START + 5).expect("its second is still looked at");
    prompt.judge(START + 5);
    assert_eq!(own(&mut late, 20), own(&mut prompt, 20));
    assert_eq!(late.judge(START + 20).units, prompt.judge(START + 20).units);
    assert_eq!(prompt.judge(START + 20).units[&unit_id(0)].left_out_caller, Some(heavy_caller()));
    assert_eq!(prompt.judge(START + 121).units[&unit_id(0)].left_out_caller, Some(heavy_caller()));
    assert_eq!(prompt.judge(START + 122).units[&unit_id(0)].left_out_caller, None, "after two minutes");
}

#[test]
fn what_cannot_be_right_is_refused() {
    let mut judge = judge_of(2);
    let future = judge.take(&bucket(2, 0, 0, 1, 0), START);
    assert_eq!(future, Err(Refused::Future { second: START + 2, latest: START + 1 }));
    judge.take(&bucket(1, 0, 0, 1, 0), START).expect("a clock may be a second ahead");
    let more = judge.take(&bucket(0, 0, 0, 1, 2), START);
    assert_eq!(more, Err(Refused::MoreBadThanCalls { n: 1, bad: 2 }));
    assert_eq!(judge.take(&bucket(0, 0, 2, 1, 0), START), Err(Refused::NoPart(unit_id(2))));
    let latencies = Some(Latencies(vec![1; Latencies::PLACES + 1]));
    let long = Bucket { latencies, ..bucket(0, 0, 0, 1, 0) };
    assert_eq!(judge.take(&long, START), Err(Refused::BadLatencies));
    let latencies = Some(Latencies::default());
    let of_one = Bucket { caller: Some(heavy_caller()), latencies, ..bucket(0, 0, 0, 1, 0) };
    assert_eq!(judge.take(&of_one, START), Err(Refused::BadLatencies));
    assert_eq!(judge.judge(START + 2).late_count, 4, "a unit on probation is no fault");
}

#[test]
fn a_unit_that_left_is_nobodys_peer_and_comes_back_without_its_past() {
    let mut trial = Trial::new(Plan { onset: 10, ..Plan::quiet(Fault::Fails(1.0)) }, 1);
    let sick = (0..90).any(|_| trial.step().units[&unit_id(0)].sick);
    assert!(sick);
    let before = trial.judge.judge(trial.judge.judged + 2);
    assert!(before.units[&unit_id(1)].bets.iter().any(|bet| bet.peers.0 * 5 > bet.peers.1), "{before:?}");
    let mut left = units(4);
    left.remove(&unit_id(0));
    trial.judge.units(&left);
    let now = trial.judge.judged;
    assert_eq!(trial.judge.judge(now + 3).units.len(), 3);
    for unit in trial.judge.judge(now + 3).units.values() {
        let gone = |(bad, n): (u64, u64)| bad * 10 <= n;
        assert!(unit.bets.iter().all(|bet| gone(bet.peers)), "no dead unit is a peer: {unit:?}");
    }
    trial.judge.units(&units(4));
    let back = &trial.judge.judge(now + 4).units[&unit_id(0)];
    assert!(back.s == 0.0 && !back.soft && !back.sick && back.absolute == 0.0);
    assert!(back.bets.iter().all(|bet| bet.own == (0, 0)));
}

#[test]
fn no_more_units_observers_and_callers_are_told_apart_than_the_limits_say() {
    let parameters = Parameters { units_max: 2, observers_max: 3, callers_max: 1, ..Parameters::default() };
    let mut judge = Judge::new(parameters, START);
    judge.units(&units(3));
    assert_eq!(judge.judge(START + 1).units.len(), 2);
    for observer in 0..3 {
        judge.take(&bucket(0, observer, 0, 1, 0), START).expect("there is room");
    }
    assert_eq!(judge.take(&bucket(0, 3, 0, 1, 0), START), Err(Refused::Crowded));
    for (code, bad) in [("131229", 3), ("131211", 4), ("131237", 4)] {
        let caller = Some(code.parse().expect("it is a code"));
        judge.take(&Bucket { caller, ..bucket(0, 0, 0, 5, bad) }, START).expect("callers are merged");
    }
    let unit = judge.judge(START + 2).units[&unit_id(0)].clone();
    assert_eq!(unit.left_out_caller, Some("131211".parse().expect("it is a code")), "the worst, lowest code");
}

#[test]
fn a_second_is_judged_once_and_a_gap_leaves_nothing_but_what_is_usual() {
    let mut trial = Trial::new(Plan { onset: 10, ..Plan::quiet(Fault::Fails(1.0)) }, 1);
    let last = (0..40).map(|_| trial.step()).last().expect("there are seconds");
    let before = trial.judge.clone();
    assert_eq!(trial.judge.judge(last.second + 2), last);
    assert_eq!(trial.judge.judge(last.second - 7), last);
    assert_eq!(trial.judge, before);
    assert!(last.units[&unit_id(0)].soft);
    let after = trial.judge.judge(last.second + 10_000);
    assert_eq!(after.second, last.second + 10_000 - 2);
    assert!(after.units.values().all(|unit| unit.s == 0.0 && !unit.soft));
}

#[test]
fn an_observer_that_joins_changes_no_bet_that_was_made_without_it() {
    let mut trial = Trial::new(Plan { observers: 5, onset: 10, ..Plan::quiet(Fault::Fails(1.0)) }, 1);
    let before = (0..45).map(|_| trial.step()).last().expect("there are seconds");
    let now = trial.judge.judged + 1;
    for observer in 5..8 {
        let seen = Bucket { second: now, ..bucket(0, observer, 1, 1, 0) };
        trial.judge.take(&seen, now).expect("it is in time");
    }
    let after = trial.step();
    let s = |judgement: &super::super::judgement::Judgement| judgement.units[&unit_id(0)].s;
    assert!(
        s(&after) > 0.6 * s(&before),
        "two are left out of eight now: {} after {}",
        s(&after),
        s(&before)
    );
}
