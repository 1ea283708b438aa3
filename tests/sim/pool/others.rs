//! Promise: what is no unit's fault is held against no unit, and is named for what it is; the floor holds.

use todoke::{
    domain::municipality::MunicipalityCode,
    pool::{judgement::Verdict, policy::Kind},
};

use super::{
    plan::{Fault, ONSET, Plan, Sick, Trouble},
    record::Record,
    some_seeds,
    world::code,
};

fn well(rate: f64) -> Plan {
    Plan::well(4, rate, 0.005, ONSET + 400)
}

/// Whether a verdict came, and nobody was taken out.
fn named(plan: Plan, seed: u64, is: impl Fn(&Verdict) -> bool) -> bool {
    let what = format!("{:?}", plan.troubles);
    let record = Record::of(plan, seed);
    assert!(record.broken.is_empty(), "{what}: {:#?}", record.broken);
    assert!(!record.decisions.iter().any(|(_, one)| one.kind == Kind::Evict), "{what}");
    record.verdict_after_onset(is).is_some()
}

#[test]
fn one_caller_whose_calls_fail_takes_nobody_out_wherever_it_calls_and_is_named() {
    for seed in some_seeds() {
        for pinned in [None, Some(0)] {
            let caller: MunicipalityCode = code(0);
            let plan = well(2.0).troubled(Trouble::Broken { caller: 0, pinned });
            let is = |verdict: &Verdict| *verdict == Verdict::Caller { caller };
            let found = named(plan, seed, is);
            assert!(found || pinned.is_some(), "seed {seed}: it is not named");
        }
    }
}

#[test]
fn several_heavy_callers_whose_calls_fail_everywhere_take_nobody_out() {
    for seed in some_seeds() {
        let mut plan = well(2.0);
        plan.heavy = vec![0.2, 0.2, 0.2];
        for caller in 0..3 {
            plan = plan.troubled(Trouble::Broken { caller, pinned: None });
        }
        named(plan, seed, |_| true);
    }
}

#[test]
fn an_observer_that_lies_or_sees_badly_takes_nobody_out_and_is_named() {
    for seed in some_seeds() {
        for observer in [1, 4] {
            let lies = [1, 40].map(|times| Trouble::Liar { observer, unit: 0, times });
            let blind = Trouble::Blind { observer, share: 1.0 };
            for trouble in [lies[0], lies[1], blind] {
                // What an issuer takes of calls is well, and thins its probes.
                let is_thin = observer == 4 && trouble == blind;
                let found = named(well(2.0).troubled(trouble), seed, |verdict| {
                    matches!(verdict, Verdict::Observer { .. })
                });
                assert!(found || is_thin, "seed {seed}: {trouble:?} is not named");
            }
            named(well(2.0).troubled(Trouble::Starved { observer }), seed, |_| true);
        }
    }
}

#[test]
fn a_bad_upstream_takes_nobody_out_and_is_named() {
    for seed in some_seeds() {
        for share in [0.3, 1.0] {
            let plan = well(2.0).troubled(Trouble::Upstream(share));
            assert!(named(plan, seed, |verdict| *verdict == Verdict::Shared), "seed {seed}: {share}");
        }
    }
}

#[test]
fn sick_units_that_are_needed_are_kept_and_the_pool_says_so() {
    for (units, peak, sick, out) in [(2, 4_000, 1, 0), (4, 2_001, 3, 2), (2, 0, 2, 1), (4, 0, 4, 3)] {
        for seed in some_seeds() {
            let mut plan = Plan::well(units, 2.0, 0.005, ONSET + 400);
            plan.peak_calls_per_s = peak;
            for unit in 0..sick {
                let from = ONSET + 90 * unit as u64;
                plan.sick.push(Sick { unit, fault: Fault::Fails(1.0), from, until: u64::MAX });
            }
            let record = Record::of(plan, seed);
            assert!(record.broken.is_empty(), "{:#?}", record.broken);
            let evicted = record.decisions.iter().filter(|(_, one)| one.kind == Kind::Evict).count();
            let degraded = record.decisions.iter().any(|(_, one)| one.kind == Kind::Degraded);
            assert!(degraded && evicted <= out, "{units} units, {sick} sick: {evicted} out, {degraded}");
        }
    }
}
