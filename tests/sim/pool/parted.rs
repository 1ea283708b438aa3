//! Promise: a network that comes apart is not taken for sick units: those that serve go on, and all is as it
//! was once it is whole again. Reports that are late, lost or twice there change nothing but the time.

use todoke::pool::policy::{Kind, Rule};

use super::{
    plan::{Fault, ONSET, Plan, Trouble},
    record::Record,
    some_seeds,
};

/// For how long the network is apart.
const APART_S: u64 = 300;

/// Four units and two issuers, and what does not reach what for a while.
fn apart(troubles: &[Trouble], seed: u64) -> Record {
    let mut plan = Plan::well(4, 5.0, 0.0, ONSET + APART_S + 1_500);
    plan.issuers = 2;
    plan.troubles.extend(troubles.iter().map(|trouble| (ONSET, ONSET + APART_S, *trouble)));
    Record::of(plan, seed)
}

/// Observers of either side do not reach the units of the other; issuers are the observers 4 and 5.
fn unseen(sides: [&[usize]; 2]) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    for (own, other) in [(0, 1), (1, 0)] {
        for observer in sides[own] {
            for unit in sides[other].iter().filter(|unit| **unit < 4) {
                troubles.push(Trouble::Parted { observer: *observer, unit: *unit });
            }
        }
    }
    troubles
}

fn by_evidence(record: &Record) -> Vec<String> {
    let evict = record.decisions.iter().filter(|(_, one)| one.kind == Kind::Evict && one.rule != Rule::E4);
    evict.map(|(second, one)| format!("{second}: {}", one.reason)).collect()
}

#[test]
fn observers_that_do_not_reach_the_other_half_of_the_pool_take_nobody_out() {
    for seed in some_seeds() {
        let record = apart(&unseen([&[0, 1, 4], &[2, 3, 5]]), seed);
        assert!(record.broken.is_empty(), "{:#?}", record.broken);
        assert_eq!(by_evidence(&record), Vec::<String>::new());
    }
}

#[test]
fn two_units_that_reach_no_issuer_that_decides_are_fenced_by_their_leases_and_come_back() {
    for seed in some_seeds() {
        let mut troubles = unseen([&[0, 1, 4], &[2, 3, 5]]);
        for (relay, issuer) in [(0, 1), (1, 1), (2, 0), (3, 0)] {
            troubles.push(Trouble::Unreported { relay, issuer });
        }
        troubles.push(Trouble::Undecided { issuer: 1 });
        let record = apart(&troubles, seed);
        assert!(record.broken.is_empty(), "{:#?}", record.broken);
        assert_eq!(by_evidence(&record), Vec::<String>::new());
        for unit in [2, 3] {
            let back = record.after_onset(unit, &Kind::Return);
            assert!(back.is_some(), "unit {unit} is back: {}", record.story());
        }
    }
}

#[test]
fn a_unit_apart_from_all_others_goes_and_comes_back_and_none_of_the_three_does() {
    for seed in some_seeds() {
        let record = apart(&unseen([&[0, 1, 2, 4, 5], &[3]]), seed);
        let others = record.broken.iter().filter(|what| !what.contains("relay-04"));
        assert_eq!(others.count(), 0, "{:#?}", record.broken);
        assert!(record.after_onset(3, &Kind::SteerAway).is_some(), "nobody but callers reach it");
    }
}

#[test]
fn reports_that_are_late_lost_and_out_of_order_take_nobody_out_and_save_nobody() {
    for seed in some_seeds() {
        let mut plan = Plan::well(4, 0.5, 0.02, ONSET + 900);
        plan.troubles.extend((0..4).map(|relay| (60, u64::MAX, Trouble::LateReports { relay })));
        let well = Record::of(plan.clone(), seed);
        assert!(well.broken.is_empty(), "{:#?}", well.broken);
        let sick = Record::of(plan.with(Fault::Fails(1.0)), seed);
        assert!(sick.broken.is_empty(), "{:#?}", sick.broken);
        let out = sick.after_onset(0, &Kind::Evict);
        assert!(out.is_some_and(|after| after < 90), "out after {out:?} s");
    }
}
