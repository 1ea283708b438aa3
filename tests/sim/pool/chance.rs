//! A pool by chance: how large and busy it is, what is sick, and what else goes wrong. No more at once than
//! what the rule promises to stand: one observer that is not to be believed, and one caller whose calls fail.

use super::{
    law::Pace,
    plan::{CALLERS, Clients, Fault, ONSET, Plan, Sick, Trouble},
};
use crate::random::Random;

/// Seconds of a run.
const SECONDS: u64 = 600;
/// Most calls a second in all, so that a run is quick.
const CALLS_MAX: f64 = 20.0;

fn one<T: Copy>(of: &[T], dice: &mut Random) -> T {
    of[dice.from(0, of.len() as u64) as usize]
}

/// The plan of a seed.
pub(crate) fn plan(seed: u64) -> Plan {
    let mut dice = Random::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let units = one(&[2, 3, 4, 4, 5, 8], &mut dice);
    let rate = one(&[0.3f64, 0.5, 2.0, 5.0], &mut dice).min(CALLS_MAX / units as f64);
    let errors = one(&[0.005, 0.02], &mut dice);
    let mut plan = Plan::well(units, rate, errors, SECONDS);
    plan.issuers = one(&[1, 1, 2], &mut dice);
    plan.pace = one(&[Pace::Even, Pace::Even, Pace::Rough], &mut dice);
    plan.clients = one(&[Clients::Ours, Clients::Stock, Clients::Both, Clients::Both], &mut dice);
    plan.heavy = one(&[&[][..], &[0.3], &[0.2, 0.2, 0.2]], &mut dice).to_vec();
    plan.peak_calls_per_s = one(&[0, 0, 2_000, 4_001], &mut dice).min(2_000 * units as u32);
    if dice.happens(0.5) {
        plan.sick.push(sick(units, &mut dice));
    }
    let observer = observer_trouble(&plan, &mut dice);
    let broken = caller_trouble(&plan, &mut dice);
    let other = other_trouble(&plan, &mut dice);
    for trouble in [observer, broken, other].into_iter().flatten() {
        let from = dice.from(60, SECONDS - 60);
        plan.troubles.push((from, from + dice.from(5, 240), trouble));
    }
    plan
}

fn sick(units: usize, dice: &mut Random) -> Sick {
    let faults = [
        Fault::Fails(1.0),
        Fault::Fails(0.3),
        Fault::Fails(0.1),
        Fault::FailsCallers(0.3),
        Fault::Hangs,
        Fault::IsSlow(0.3, 2.0),
        Fault::IsSlower(3.0),
        Fault::Flaps(3.0, 2.0),
        Fault::Crashes,
        Fault::Stands,
    ];
    let (unit, fault) = (dice.from(0, units as u64) as usize, one(&faults, dice));
    let from = dice.from(60, ONSET);
    Sick { unit, fault, from, until: from + dice.from(5, 400) }
}

/// One observer is not to be believed, or not to be reached.
fn observer_trouble(plan: &Plan, dice: &mut Random) -> Option<Trouble> {
    let observers = plan.units + plan.issuers;
    let observer = dice.from(0, observers as u64) as usize;
    let unit = (observer + 1 + dice.from(0, plan.units as u64 - 1) as usize) % plan.units;
    match dice.from(0, 6) {
        0 => Some(Trouble::Liar { observer, unit, times: one(&[1, 40], dice) }),
        1 => Some(Trouble::Starved { observer }),
        2 => Some(Trouble::Blind { observer, share: one(&[0.5, 1.0], dice) }),
        3 => Some(Trouble::Parted { observer, unit }),
        _ => None,
    }
}

/// The calls of one caller fail.
fn caller_trouble(plan: &Plan, dice: &mut Random) -> Option<Trouble> {
    let pinned = Some(dice.from(0, plan.units as u64) as usize).filter(|_| dice.happens(0.5));
    let caller = if dice.happens(0.5) { 0 } else { dice.from(0, CALLERS as u64) as usize };
    dice.happens(0.3).then_some(Trouble::Broken { caller, pinned })
}

/// What is behind the relays, or between them and who decides, is away or late.
fn other_trouble(plan: &Plan, dice: &mut Random) -> Option<Trouble> {
    let relay = dice.from(0, plan.units as u64) as usize;
    let issuer = dice.from(0, plan.issuers as u64) as usize;
    match dice.from(0, 12) {
        0 | 1 => Some(Trouble::LateReports { relay }),
        2 => Some(Trouble::Upstream(one(&[0.3, 1.0], dice))),
        3 => Some(Trouble::DatabaseAway),
        4 => Some(Trouble::Undecided { issuer }),
        5 => Some(Trouble::Dead { issuer }),
        6 => Some(Trouble::Unreported { relay, issuer }),
        _ => None,
    }
}
