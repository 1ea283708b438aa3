//! Promise: the figures of the rule are those that its formulas give by hand.

use super::super::evidence::{Bucket, Class, Latencies};
use super::super::judgement::UnitJudgement;
use super::counts::{CALL, Counts, excess};
use super::verdict::terms;
use super::wealth::Wealth;
use super::world::{START, observer_id, unit_id, units};
use super::{Judge, Parameters};

fn counts(bad: u64, n: u64) -> Counts {
    Counts { n: n * CALL, bad: bad * CALL }
}

fn assert_is(value: f64, by_hand: f64) {
    assert!((value - by_hand).abs() < 5e-6, "{value} is not {by_hand}");
}

fn bucket(observer: usize, unit: usize, n: u32, bad: u32) -> Bucket {
    Bucket {
        second: START,
        observer: observer_id(observer),
        unit: unit_id(unit),
        class: Class::Traffic,
        caller: None,
        n,
        bad,
        latencies: None,
    }
}

#[test]
fn d_is_the_share_beyond_the_peers_and_twice_the_noise() {
    // q = 1.5 / 21, se = √(q(1−q)(1/10 + 1/20)) = 0.0997446; 0.6 − 0.05 − 2 se.
    assert_is(excess(counts(6, 10), counts(1, 20), 2.0), 0.350_510_9);
    assert_is(excess(counts(1, 10), counts(1, 20), 2.0), 0.0);
    assert_is(excess(counts(0, 10), counts(0, 20), 2.0), 0.0);
}

#[test]
fn s_gains_a_tenth_of_the_logarithm_and_never_falls_below_nothing() {
    let parameters = Parameters::default();
    let terms = terms(0.04, 10, &parameters);
    assert_is(terms.gain(0.350_510_9), 0.207_776_2);
    assert_is(terms.gain(0.0), -0.230_258_5);
    let mut wealth = Wealth::default();
    wealth.play(terms.gain(0.350_510_9), &terms);
    assert_is(wealth.s(), 0.207_776_2);
    wealth.play(terms.gain(0.0), &terms);
    assert_is(wealth.s(), 0.0);
    wealth.play(1e9, &terms);
    assert_is(wealth.s(), terms.limit + 10.0);
}

#[test]
fn a_bet_that_is_not_played_is_void_after_a_minute() {
    let terms = terms(0.04, 10, &Parameters::default());
    let mut wealth = Wealth::default();
    wealth.play(3.0, &terms);
    for _ in 0..60 {
        wealth.pass(&terms);
    }
    assert_is(wealth.s(), 3.0);
    wealth.pass(&terms);
    assert_is(wealth.s(), 0.0);
}

/// Three observers see four calls on each of two units; those on the first are all bad.
fn one_second() -> UnitJudgement {
    let mut judge = Judge::new(Parameters::default(), START);
    judge.units(&units(2));
    for observer in 0..3 {
        judge.take(&bucket(observer, 0, 4, 4), START).expect("it is in time");
        judge.take(&bucket(observer, 1, 4, 0), START).expect("it is in time");
    }
    let judgement = judge.judge(START + 2);
    assert_eq!(judgement.second, START);
    judgement.units[&unit_id(0)].clone()
}

#[test]
fn a_second_of_three_observers_is_bet_on_without_each_of_them() {
    let unit = one_second();
    // 8 of 8 against 0 of 8: q = 0.5 / 9, d = 1 − 2 · 0.1145307; ln(1 + 22.5 · (d − 0.04)) / 10.
    assert_is(unit.s, 0.285_911_8);
    let bet = |class, scale, left_out: usize| {
        let bets = unit.bets.iter();
        let mut found =
            bets.filter(|bet| (bet.class, bet.scale, bet.left_out.len()) == (class, scale, left_out));
        found.next().expect("it is shown").clone()
    };
    let least = bet(Some(Class::Traffic), 10, 1);
    assert_eq!((least.own, least.peers, least.played), ((8, 8), (0, 8), true));
    assert_is(least.d, 0.770_938_6);
    let nobody = bet(None, 10, 0);
    assert_eq!((nobody.own, nobody.peers), ((12, 12), (0, 12)));
    assert_is(nobody.d, 0.842_981_3);
    assert_is(bet(Some(Class::Traffic), 60, 1).s, 0.047_652_0);
    assert!(!bet(Some(Class::Probe), 10, 1).played);
    // (21.3617 − S) / S seconds more at the same d; the longer scale would take 410.
    assert_eq!(unit.seconds_to_sick, Some(74));
    // On the longer scale the limit is nearer, though S is smaller: 0.0476520 − 19.5699861.
    assert_is(unit.beyond, -19.522_334_2);
    // Against nothing: ln(1 + 22.5 · 0.96) / 10.
    assert_is(unit.absolute, 0.311_794_9);
    assert_eq!(unit.threshold_us, 2_000_000);
}

#[test]
fn a_unit_is_soft_from_five_and_stays_so_until_it_is_below_one() {
    let mut judge = Judge::new(Parameters::default(), START);
    judge.units(&units(2));
    let (mut rising, mut falling) = (0, 0);
    let mut was_soft = false;
    for second in 0..100 {
        for (observer, unit) in (0..3).flat_map(|observer| [(observer, 0), (observer, 1)]) {
            let bad = if unit == 0 && second < 25 { 4 } else { 0 };
            let seen = Bucket { second: START + second, ..bucket(observer, unit, 4, bad) };
            judge.take(&seen, START + second).expect("it is in time");
        }
        let unit = judge.judge(START + second + 2).units[&unit_id(0)].clone();
        assert_eq!(unit.suspect, unit.s >= 1.0);
        assert!(unit.soft || unit.s < 5.0, "{unit:?}");
        assert!(!unit.soft || unit.s >= 1.0, "{unit:?}");
        rising += u32::from(unit.suspect && !unit.soft && !was_soft);
        falling += u32::from(unit.soft && unit.s < 5.0);
        was_soft |= unit.soft;
    }
    assert!(rising > 5 && falling > 5, "{rising} s up to soft, {falling} s from there down");
}

#[test]
fn the_threshold_of_a_unit_is_twice_the_lower_median_of_the_others_p99() {
    let mut judge = Judge::new(Parameters::default(), START);
    judge.units(&units(4));
    for (unit, us) in [(0, 1_000_000), (1, 500_000), (2, 64_000), (3, 120_000)] {
        let mut latencies = Latencies::default();
        (0..30).for_each(|_| latencies.add(us));
        let seen = Bucket { latencies: Some(latencies), ..bucket(0, unit, 30, 0) };
        judge.take(&seen, START).expect("it is in time");
    }
    let judgement = judge.judge(START + 2);
    let threshold = |unit: usize| judgement.units[&unit_id(unit)].threshold_us;
    // The bounds of the places: 1,024, 512, 64 and 128 ms.
    assert_eq!([0, 1, 2, 3].map(threshold), [256_000, 256_000, 1_024_000, 1_024_000]);
    assert_eq!(judge.threshold_us(&unit_id(7)), 256_000, "one that takes no part");
}
