//! Promise: the same evidence gives the same judgement, through a snapshot and in any order; and no single
//! observer, caller or shared cause ever makes a unit sick.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::evidence::{Bucket, Class, Observer};
use super::super::judgement::{Bet, Judgement, Verdict};
use super::left_out::{Sets, members};
use super::unit::Line;
use super::world::{Dice, Fault, Plan, START, Trial, heavy_caller, observer_id, unit_id, units};
use super::{Judge, Parameters};
use crate::domain::municipality::MunicipalityCode;

/// So many seconds of a pool; nothing in it may ever be sick.
fn never_sick(plan: Plan, seconds: u64) -> Judgement {
    let mut trial = Trial::new(plan, 5);
    let mut last = trial.step();
    for _ in 1..plan.onset + seconds {
        last = trial.step();
        assert!(last.units.values().all(|unit| !unit.sick), "{plan:?}: {last:?}");
    }
    last
}

#[test]
fn a_judge_that_was_written_down_and_read_back_judges_as_before() {
    for fault in [Fault::Fails(0.5), Fault::Caller { pinned: false }] {
        let plan = Plan { errors: 0.02, onset: 20, ..Plan::quiet(fault) };
        let mut trial = Trial::new(plan, 11);
        for _ in 0..45 {
            trial.step();
        }
        // Evidence that waits for its judgement is part of it.
        let waiting = trial.world.step(true);
        waiting.iter().for_each(|bucket| trial.judge.take(bucket, START + 45).expect("it is in time"));
        let text = serde_json::to_string(&trial.judge).expect("it can be written");
        let mut other: Judge = serde_json::from_str(&text).expect("it can be read");
        assert_eq!(other, trial.judge);
        for second in 46..90 {
            let buckets = trial.world.step(false);
            for judge in [&mut trial.judge, &mut other] {
                buckets.iter().for_each(|bucket| judge.take(bucket, START + second).expect("it is in time"));
            }
            assert_eq!(trial.judge.judge(START + second + 2), other.judge(START + second + 2));
        }
        assert_eq!(other, trial.judge);
    }
}

#[test]
fn the_order_of_the_buckets_of_a_second_does_not_matter() {
    let plan = Plan { observers: 12, onset: 10, ..Plan::quiet(Fault::Fails(0.5)) };
    let mut trial = Trial::new(plan, 2);
    let mut other = trial.judge.clone();
    let mut dice = Dice(9);
    for second in 0..40 {
        let mut buckets = trial.world.step(true);
        buckets.iter().for_each(|bucket| trial.judge.take(bucket, START + second).expect("it is in time"));
        for at in (1..buckets.len()).rev() {
            buckets.swap(at, dice.next() as usize % (at + 1));
        }
        buckets.iter().for_each(|bucket| other.take(bucket, START + second).expect("it is in time"));
        assert_eq!(trial.judge.judge(START + second + 2), other.judge(START + second + 2));
    }
    assert_eq!(other, trial.judge);
}

#[test]
fn s_is_the_least_over_all_sets_of_observers_that_may_be_left_out() {
    for (observers, size, fault) in
        [(4, 1, Fault::Fails(0.5)), (7, 2, Fault::TwoLiars), (12, 2, Fault::Liar(2))]
    {
        let mut trial = Trial::new(Plan { observers, onset: 20, ..Plan::quiet(fault) }, 4);
        for _ in 0..60 {
            let judgement = trial.step();
            let sets = Sets::of(trial.judge.roster.groups(), observers);
            assert!(sets.counting.iter().all(|set| members(*set).count_ones() == size), "{observers}");
            for (_, unit) in trial.judge.present() {
                let least = |line: &Line| sets.counting.iter().map(|set| line.s(*set)).fold(1e9, f64::min);
                let most = unit.lines.iter().map(least).fold(0.0, f64::max);
                assert_eq!(judgement.units[&unit.id].s, most, "{observers}: {judgement:?}");
            }
        }
    }
}

#[test]
fn a_liar_alone_makes_nobody_sick_however_much_it_says() {
    for (observers, times) in [(3, 1), (4, 1), (4, 40), (9, 5)] {
        let plan = Plan { observers, ..Plan::quiet(Fault::Liar(times)) };
        let last = never_sick(plan, 200);
        let about = Verdict::Observer { observer: observer_id(0), link: Some(unit_id(0)) };
        assert_eq!(last.verdict, about, "{observers} observers");
    }
}

#[test]
fn two_liars_of_six_make_nobody_sick_and_two_of_five_could() {
    never_sick(Plan { observers: 6, rate: 5.0, ..Plan::quiet(Fault::TwoLiars) }, 200);
    let mut trial = Trial::new(Plan { observers: 5, rate: 5.0, ..Plan::quiet(Fault::TwoLiars) }, 5);
    let sick = (0..260).any(|_| trial.step().units[&unit_id(0)].sick);
    assert!(sick, "one of five is left out: two of one mind are believed");
}

#[test]
fn one_caller_alone_makes_nobody_sick() {
    for rate in [0.5, 5.0] {
        for pinned in [true, false] {
            never_sick(Plan { rate, ..Plan::quiet(Fault::Caller { pinned }) }, 200);
        }
    }
}

#[test]
fn a_bad_upstream_makes_nobody_sick_and_is_seen_to_be_shared() {
    for share in [1.0, 0.3] {
        let last = never_sick(Plan::quiet(Fault::Upstream(share)), 200);
        assert_eq!(last.verdict, Verdict::Shared, "{share}");
    }
}

#[test]
fn with_two_observers_a_dead_unit_is_steered_away_from_and_not_evicted() {
    let last = never_sick(Plan { observers: 2, ..Plan::quiet(Fault::Fails(1.0)) }, 120);
    let unit = &last.units[&unit_id(0)];
    assert!(unit.soft && unit.beyond > 0.0 && unit.seconds_to_sick.is_none(), "{unit:?}");
}

#[test]
fn an_observer_without_weight_has_no_vote() {
    let plan = Plan { observers: 3, ..Plan::quiet(Fault::Fails(1.0)) };
    let mut trial = Trial::new(plan, 5);
    trial.judge.weigh(&observer_id(1), 0);
    for _ in 0..plan.onset + 120 {
        let judgement = trial.step();
        assert!(!judgement.units[&unit_id(0)].sick, "two have a vote");
        assert_eq!(judgement.weak, BTreeMap::from([(observer_id(1), 0)]));
    }
    trial.judge.weigh(&observer_id(1), 100);
    assert!((0..60).any(|_| trial.step().units[&unit_id(0)].sick), "three have");
    let mut liar = Trial::new(Plan::quiet(Fault::Liar(1)), 5);
    liar.judge.weigh(&observer_id(0), 0);
    for _ in 0..120 {
        let judgement = liar.step();
        let nothing = judgement.units[&unit_id(0)].bets.iter().all(|bet| bet.own.0 < 3);
        assert!(nothing, "{:?}", judgement.units[&unit_id(0)]);
    }
}

#[test]
fn a_unit_whose_calls_nobody_else_sees_is_sick_by_its_own_word_though_its_probes_are_green() {
    let mut judge = Judge::new(Parameters::default(), START);
    judge.units(&units(3));
    let relay = |unit: usize| Observer::try_from(format!("relay/relay-{}", unit + 1)).expect("an observer");
    for second in START..START + 120 {
        for (unit, other) in (0..3).flat_map(|unit| (0..3).map(move |other| (unit, other))) {
            let (class, n) = if unit == other { (Class::Traffic, 10) } else { (Class::Probe, 1) };
            let bad = if (unit, other) == (0, 0) { 10 } else { 0 };
            let (observer, unit) = (relay(other), unit_id(unit));
            let bucket = Bucket { second, observer, unit, class, caller: None, n, bad, latencies: None };
            judge.take(&bucket, second).expect("it is in time");
        }
        judge.judge(second + 2);
    }
    let last = judge.judge(START + 121);
    assert!(last.units[&unit_id(0)].sick, "{last:?}");
    assert_eq!(last.verdict, Verdict::Unit { unit: unit_id(0) });
    assert!((1..3).all(|unit| !last.units[&unit_id(unit)].soft), "{last:?}");
}

#[test]
fn complaints_never_count_alone_however_many_complain() {
    let relay = |unit: usize| Observer::try_from(format!("relay/relay-{}", unit + 1)).expect("an observer");
    let callers: Vec<MunicipalityCode> = ["131229", "131211", "131237", "011002", "271004", "141003"]
        .map(|code| code.parse().expect("a municipality"))
        .to_vec();
    // What of its own calls the unit says is bad, of ten a second.
    for (own_bad, is_sick) in [(0, false), (3, true)] {
        let mut judge = Judge::new(Parameters::default(), START);
        judge.units(&units(3));
        let mut last = judge.judge(START);
        for second in START..START + 240 {
            let bucket = |observer, unit, class, caller, n, bad| {
                let unit = unit_id(unit);
                Bucket { second, observer, unit, class, caller, n, bad, latencies: None }
            };
            let mut said = Vec::new();
            for (unit, other) in (0..3).flat_map(|unit| (0..3).map(move |other| (unit, other))) {
                said.push(if unit == other {
                    let bad = if unit == 0 { own_bad } else { 0 };
                    bucket(relay(unit), unit, Class::Traffic, None, 10, bad)
                } else {
                    bucket(relay(other), unit, Class::Probe, None, 1, 0)
                });
            }
            for caller in &callers {
                said.extend([1, 2].map(|over| bucket(relay(over), 0, Class::Traffic, Some(*caller), 1, 1)));
            }
            for bucket in said {
                judge.take(&bucket, second).expect("it is in time");
            }
            last = judge.judge(second + 2);
        }
        let unit = &last.units[&unit_id(0)];
        assert!(unit.soft && unit.beyond >= 0.0, "it is steered away from: {unit:?}");
        assert_eq!((unit.sick, unit.hearsay), (is_sick, !is_sick), "own bad {own_bad}: {unit:?}");
        assert_eq!(matches!(last.verdict, Verdict::Unit { .. }), is_sick, "{:?}", last.verdict);
    }
}

fn any_bucket() -> impl Strategy<Value = Bucket> {
    (0..20u64, 0..12usize, 0..4usize, any::<(bool, bool)>(), 0..2000u32, 0..2000u32).prop_map(
        |(second, observer, unit, (is_probe, is_heavy), n, bad)| Bucket {
            second: START + second,
            observer: observer_id(observer),
            unit: unit_id(unit),
            class: if is_probe { Class::Probe } else { Class::Traffic },
            caller: is_heavy.then(heavy_caller),
            n,
            bad: bad.min(n),
            latencies: None,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_is_said_s_stays_within_its_bounds(
        buckets in prop::collection::vec(any_bucket(), 1..120),
        weights in prop::collection::vec(0..120u8, 12),
    ) {
        let parameters = Parameters { callers_max: 1, observers_max: 8, ..Parameters::default() };
        let most = parameters.limit(10) + parameters.surplus_max;
        let mut judge = Judge::new(parameters, START);
        judge.units(&units(3));
        for (second, bucket) in buckets.iter().enumerate() {
            let now = START + second as u64 / 2;
            judge.weigh(&observer_id(second % 12), weights[second % 12]);
            let _ = judge.take(bucket, now);
            if second % 40 == 20 {
                judge.units(&units(2 + second / 40 % 2));
            }
            for unit in judge.judge(now).units.values() {
                prop_assert!((0.0..=most).contains(&unit.s), "{unit:?}");
                let sound = |bet: &Bet| bet.own.0 <= bet.own.1 && (0.0..=1.0).contains(&bet.d);
                prop_assert!(unit.bets.iter().all(sound), "{unit:?}");
            }
        }
        // After so long a silence, second by second, nothing is held against anybody.
        let end = (START..=START + 300).map(|now| judge.judge(now)).last().expect("a judgement");
        prop_assert!(!end.units.is_empty() && end.units.values().all(|unit| unit.s == 0.0), "{end:?}");
    }
}
