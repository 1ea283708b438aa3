//! Promise: a sick unit is steered away from and then evicted as soon as the simulated rule did it, and no
//! healthy one is evicted.
//!
//! Times are of the judged second, from the onset on; the lag of the judgement comes on top. The figures to
//! reach are those of the prototype in a pool of four with four observers.

use super::world::{Fault, Plan, START, Trial, unit_id};

const SEEDS: u64 = 16;

/// When `relay-1` was soft and sick, in seconds after the onset; and how often another one was sick.
type Outcome = (Option<u64>, Option<u64>, u32);

fn run(plan: Plan, seed: u64, patience: u64) -> Outcome {
    let mut trial = Trial::new(plan, seed);
    let (mut soft, mut wrong) = (None, 0);
    for _ in 0..plan.onset + patience {
        let judgement = trial.step();
        let after = (judgement.second + 1).saturating_sub(START + plan.onset);
        let first = unit_id(0);
        wrong += judgement.units.iter().filter(|(id, unit)| unit.sick && **id != first).count() as u32;
        if after == 0 {
            continue;
        }
        if judgement.units[&first].soft {
            soft = soft.or(Some(after));
        }
        if judgement.units[&first].sick {
            return (soft, Some(after), wrong);
        }
    }
    (soft, None, wrong)
}

/// Medians over the seeds; one that never happened is later than all others.
fn medians(plan: Plan, patience: u64) -> (u64, u64) {
    let runs: Vec<_> = (0..SEEDS).map(|seed| run(plan, seed * 7919 + 17, patience)).collect();
    assert_eq!(runs.iter().map(|(.., wrong)| wrong).sum::<u32>(), 0, "{plan:?}: the wrong one is sick");
    let median = |of: fn(&Outcome) -> Option<u64>| {
        let mut all: Vec<u64> = runs.iter().map(|run| of(run).unwrap_or(u64::MAX)).collect();
        all.sort_unstable();
        all[all.len() / 2]
    };
    (median(|run| run.0), median(|run| run.1))
}

/// Both medians are near the figures of the prototype.
fn assert_near(plan: Plan, (soft, sick): (u64, u64)) {
    let (is_soft, is_sick) = medians(plan, sick * 3);
    let near = |is: u64, figure: u64| is * 10 >= figure * 7 && is * 10 <= figure * 13;
    assert!(near(is_soft, soft), "{plan:?}: soft after {is_soft} s, not {soft}");
    assert!(near(is_sick, sick), "{plan:?}: sick after {is_sick} s, not {sick}");
}

#[test]
fn a_dead_unit_is_steered_away_from_in_15_s_and_sick_in_52() {
    assert_near(Plan::quiet(Fault::Fails(1.0)), (15, 52));
}

#[test]
fn a_dead_unit_takes_66_s_where_2_of_100_calls_fail_in_bursts() {
    assert_near(Plan { errors: 0.02, ..Plan::quiet(Fault::Fails(1.0)) }, (19, 66));
}

#[test]
fn a_unit_that_hangs_is_sick_in_52_s() {
    assert_near(Plan::quiet(Fault::Hangs), (16, 52));
}

#[test]
fn a_unit_that_fails_three_of_ten_calls_is_sick_in_78_s() {
    assert_near(Plan::quiet(Fault::Fails(0.3)), (24, 78));
}

#[test]
fn a_unit_that_flaps_is_sick_in_67_s() {
    assert_near(Plan::quiet(Fault::Flaps), (20, 67));
}

#[test]
fn a_busy_pool_is_judged_in_the_same_time() {
    assert_near(Plan { rate: 5.0, ..Plan::quiet(Fault::Fails(1.0)) }, (14, 50));
}

#[test]
fn no_healthy_unit_is_sick_in_an_hour_and_a_half_of_bursts_beside_a_liar_or_a_bad_upstream() {
    let faults = [
        (Fault::None, 5400),
        (Fault::Liar(1), 500),
        (Fault::Upstream(1.0), 500),
        (Fault::Upstream(0.3), 500),
        (Fault::Caller { pinned: true }, 500),
    ];
    for (fault, seconds) in faults {
        let mut trial = Trial::new(Plan { errors: 0.02, ..Plan::quiet(fault) }, 3);
        for _ in 0..seconds {
            let judgement = trial.step();
            let sick: Vec<_> = judgement.units.iter().filter(|(_, unit)| unit.sick).collect();
            assert!(sick.is_empty(), "{fault:?} at {}: {sick:?}", judgement.second);
        }
    }
}
