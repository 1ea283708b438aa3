//! Promise: who decides may die at any moment, or lose its database: what is in force stays so, nobody is
//! taken out for it, and a sick unit is soon out all the same, once.

use std::ops::Range;

use todoke::pool::policy::{Kind, Rule};

use super::{
    plan::{Fault, ONSET, Plan, Trouble},
    record::Record,
    some_seeds,
};

fn evictions(record: &Record) -> Vec<(u64, Rule)> {
    let evict = record.decisions.iter().filter(|(_, one)| one.kind == Kind::Evict);
    evict.map(|(second, one)| (second - ONSET, one.rule)).collect()
}

/// Four units, the first of which is dead from the onset on, while the first issuer is gone.
fn dead_while(issuers: usize, gone: Range<u64>, seed: u64) -> Record {
    let mut plan = Plan::well(4, 0.5, 0.005, ONSET + 240).with(Fault::Fails(1.0));
    plan.issuers = issuers;
    plan.troubles.push((ONSET + gone.start, ONSET + gone.end, Trouble::Dead { issuer: 0 }));
    Record::of(plan, seed)
}

#[test]
fn a_controller_that_dies_at_any_second_of_an_eviction_delays_it_and_takes_nobody_else_out() {
    for (issuers, gone_s) in [(1, 3), (1, 12), (2, 30)] {
        for (at, seed) in
            (0..80).step_by(20).flat_map(|at| some_seeds().map(move |seed| (at + seed % 20, seed)))
        {
            let record = dead_while(issuers, at..at + gone_s, seed);
            assert!(record.broken.is_empty(), "{issuers} issuers, dead at {at}: {:#?}", record.broken);
            let out = evictions(&record);
            let [(after, Rule::E1)] = out[..] else { panic!("{issuers} issuers, dead at {at}: {out:?}") };
            // All that was known may be lost at the last moment, and its lease with it; p0 begins anew, too.
            assert!(after <= at + gone_s + 100, "{issuers} issuers, dead at {at}: out after {after}");
        }
    }
}

#[test]
fn a_database_that_is_away_for_twenty_minutes_takes_nobody_out_and_a_sick_unit_is_out_soon_after() {
    for seed in some_seeds() {
        let away = ONSET..ONSET + 1_200;
        let mut plan = Plan::well(4, 0.5, 0.02, away.end + 300);
        plan.troubles.push((away.start, away.end, Trouble::DatabaseAway));
        let well = Record::of(plan.clone(), seed);
        assert!(well.broken.is_empty() && evictions(&well).is_empty(), "{:#?}", well.broken);
        let (failed, all) = well.calls;
        assert!(failed * 100 < all, "{failed} of {all} calls failed");
        let sick = Record::of(plan.with(Fault::Fails(1.0)), seed);
        assert!(sick.broken.is_empty(), "{:#?}", sick.broken);
        let decided = sick.decisions.iter().filter(|(second, one)| {
            (away.start + 15..away.end).contains(second) && !matches!(one.kind, Kind::Alarm(_))
        });
        assert_eq!(decided.count(), 0, "nothing is decided meanwhile");
        let out = evictions(&sick);
        assert!(matches!(out[..], [(after, Rule::E1)] if after < 1_230), "{out:?}");
    }
}
