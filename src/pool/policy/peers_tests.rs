//! Promise: what calls say of a unit that returns is held against its peers in the same seconds, and neither
//! one municipality nor one peer decides it alone.

use super::super::{
    CallsOf, Fact, Kind, Rule,
    fixture::{id, traffic},
    return_tests::{evicted, quiet},
};

#[test]
fn what_its_peers_fail_alike_is_no_burst_of_a_unit_that_returns() {
    for (peers_failed, evicts) in [(0, true), (40, true), (60, false), (100, false)] {
        let mut pool = evicted();
        pool.until(&Kind::Step(1), 2, 200);
        // Reports of one second come up to two seconds apart.
        for (own, peers) in [(0, 1), (1, 0), (0, 1)] {
            let of = |n| traffic(n, 100 * peers, peers_failed * peers);
            pool.tell(vec![of(1), of(3), of(4), traffic(2, 20 * own, 15 * own)]);
        }
        pool.run(2);
        let burst = pool.record.iter().any(|one| one.rule == Rule::E2);
        assert_eq!(burst, evicts, "15 of 20 failed, and of its peers' {peers_failed} %: {:?}", pool.record);
    }
}

#[test]
fn what_its_peers_failed_before_excuses_no_burst_of_its_own() {
    let mut pool = evicted();
    pool.until(&Kind::Step(1), 2, 200);
    for _ in 0..5 {
        pool.tell(vec![traffic(1, 100, 50), traffic(3, 100, 50), traffic(4, 100, 50), traffic(2, 8, 0)]);
    }
    pool.run(5);
    pool.tell(vec![traffic(1, 100, 0), traffic(3, 100, 0), traffic(4, 100, 0), traffic(2, 40, 20)]);
    pool.run(2);
    assert!(pool.record.iter().any(|one| one.rule == Rule::E2), "{:?}", pool.record);
}

#[test]
fn one_caller_alone_takes_no_unit_out_and_two_do() {
    let of = |code: &str, calls, failed| CallsOf { caller: code.parse().expect("a code"), calls, failed };
    for (callers, evicts) in [
        (vec![of("131229", 20, 20)], false),
        (vec![of("131229", 20, 20), of("131211", 4, 4)], false),
        (vec![of("131229", 20, 20), of("131211", 5, 5)], true),
    ] {
        let mut pool = quiet();
        let sum = |which: fn(&CallsOf) -> u32| callers.iter().map(which).sum();
        let (calls, failed) = (sum(|of| of.calls), sum(|of| of.failed));
        let mut decided = pool.tell(vec![Fact::Traffic { unit: id(2), calls, failed, callers }]);
        decided.extend((0..2).flat_map(|_| pool.tell(Vec::new())));
        assert_eq!(decided.iter().any(|one| one.rule == Rule::E2), evicts, "{failed} failed: {decided:?}");
    }
}

#[test]
fn steps_within_a_second_do_not_hurry_what_peers_are_heard_of() {
    let mut pool = evicted();
    pool.until(&Kind::Step(1), 2, 200);
    pool.tell(vec![traffic(2, 20, 15)]);
    for _ in 0..4 {
        let judgement = pool.judgement();
        pool.policy.step(pool.second, &judgement, &[]);
    }
    pool.tell([1, 3, 4].map(|n| traffic(n, 100, 80)).to_vec());
    pool.run(3);
    assert!(!pool.record.iter().any(|one| one.rule == Rule::E2), "{:?}", pool.record);
}
