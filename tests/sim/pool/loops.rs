//! Promise: what is done about a sick unit does not hide that it is sick. One that is steered away from does
//! not come back for being silent, and one that was taken out comes back when it is well, by steps.

use todoke::pool::policy::{Kind, State};

use super::{
    plan::{Clients, Fault, ONSET, Plan, Sick},
    record::Record,
    relay::unit_id,
    some_seeds,
};

/// The first unit is sick for so long.
fn sick_for(mut plan: Plan, fault: Fault, seconds: u64) -> Plan {
    plan.sick.push(Sick { unit: 0, fault, from: ONSET, until: ONSET + seconds });
    plan
}

fn sound(record: &Record) {
    assert!(record.broken.is_empty(), "{}", record.story());
}

#[test]
fn a_unit_that_fails_callers_behind_green_probes_stays_steered_away_from_until_it_is_taken_out() {
    for clients in [Clients::Ours, Clients::Stock, Clients::Both] {
        for seed in some_seeds() {
            for (rate, out_max) in [(0.5, 900), (5.0, 240)] {
                let plan = Plan { clients, ..Plan::well(4, rate, 0.005, ONSET + 1_200) };
                let record = Record::of(plan.with(Fault::FailsCallers(0.5)), seed);
                sound(&record);
                let [out, back] = [Kind::Evict, Kind::SteerBack].map(|kind| record.after_onset(0, &kind));
                let which = format!("{clients:?}, {rate} calls/s, seed {seed}");
                assert_eq!(back, None, "{which}: {}", record.story());
                assert!(out.is_some_and(|out| out < out_max), "{which}: {}", record.story());
            }
        }
    }
}

#[test]
fn a_unit_that_is_well_again_comes_back_by_steps_and_stays() {
    for seed in some_seeds() {
        for fault in [Fault::Fails(1.0), Fault::Hangs, Fault::FailsCallers(0.5)] {
            let plan = sick_for(Plan::well(4, 5.0, 0.0, ONSET + 3_000), fault, 90);
            let record = Record::of(plan, seed);
            sound(&record);
            let of = |kind: &Kind| record.after_onset(0, kind);
            let Some(out) = of(&Kind::Evict) else {
                assert!(of(&Kind::SteerBack).is_some(), "{fault:?}: it is not taken back");
                continue;
            };
            let steps = [Kind::Step(1), Kind::Step(5), Kind::Step(25), Kind::Step(50), Kind::Return];
            let steps: Vec<u64> = steps.iter().filter_map(of).collect();
            assert_eq!(steps.len(), 5, "{fault:?}: {}", record.story());
            assert!(steps.windows(2).all(|pair| pair[1] >= pair[0] + 60), "{fault:?}: {steps:?}");
            assert!(out < 90 && steps[4] < 2_700, "{fault:?}: out after {out} s, back by {steps:?}");
            let last =
                record.decisions.iter().rfind(|(_, one)| one.unit == Some(unit_id(0)) && one.to.is_some());
            let states = last.map(|(_, one)| one.to);
            assert!(matches!(states, Some(Some(State::Healthy | State::Suspect))), "{states:?}");
        }
    }
}

#[test]
fn a_unit_that_fails_again_as_soon_as_it_is_back_stays_out_until_it_is_signed_off() {
    for seed in some_seeds() {
        let mut plan = sick_for(Plan::well(4, 5.0, 0.0, 9_000), Fault::Fails(1.0), 90);
        for from in [ONSET + 2_700, ONSET + 5_400] {
            plan.sick.push(Sick { unit: 0, fault: Fault::Fails(1.0), from, until: from + 90 });
        }
        let record = Record::of(plan, seed);
        sound(&record);
        let count = |kind: &Kind| record.decisions.iter().filter(|(_, one)| one.kind == *kind).count();
        let all = [Kind::Evict, Kind::Quarantine, Kind::Return].map(|kind| count(&kind));
        assert_eq!(all, [2, 1, 1], "evicted, quarantined, returned: {}", record.story());
    }
}
