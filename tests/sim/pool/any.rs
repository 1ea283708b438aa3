//! Promise: whatever goes wrong in a pool, by any seed, no unit that is well is taken out by evidence or
//! named as sick, never two are at once, the floor holds, and the view always names somebody.

use super::{chance, each_seed, number, record::Record};

/// What came of a seed that was asked for, in words.
fn tell(seed: u64) {
    println!("seed {seed}: {:?}", chance::plan(seed));
    let record = Record::of(chance::plan(seed), seed);
    println!("{}", record.story());
}

#[test]
fn by_no_seed_is_a_unit_that_is_well_taken_out_or_named() {
    if let Some(seed) = number("TEST_TODOKE_SEED") {
        tell(seed);
    }
    each_seed(|seed| {
        let plan = chance::plan(seed);
        let broken = Record::of(plan.clone(), seed).broken;
        assert!(broken.is_empty(), "seed {seed}: {plan:?}: {broken:#?}");
    });
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [3, 4, 5] {
        let [one, other] = [(); 2].map(|()| Record::of(chance::plan(seed), seed));
        assert_eq!((one.decisions, one.verdicts), (other.decisions, other.verdicts), "seed {seed}");
        assert_eq!(one.calls, other.calls, "seed {seed}");
    }
}
