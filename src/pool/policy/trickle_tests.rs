//! Promise: who is steered away from gets enough calls to be judged by, and no more; and where only its calls
//! speak against it, only they speak for it.

use super::{
    Alarm, CallsOf, Fact, Kind, State,
    fixture::{Pool, bet, id, judged, traffic},
};
use crate::pool::{evidence::Class, judgement::UnitJudgement};

/// A unit whose probes are green, and whose traffic has this S and so many calls in ten seconds.
fn green_but(s: f64, calls: u64) -> UnitJudgement {
    let mut seen = UnitJudgement { soft: s >= 1.0, ..judged(s) };
    let of = |scale, n| super::super::judgement::Bet { scale, own: (0, n), ..bet(Class::Traffic, s, n > 2) };
    seen.bets = vec![of(10, calls), of(60, calls), bet(Class::Probe, 0.0, true)];
    seen
}

/// One second in which unit 2 is judged like this and has these calls.
fn second(pool: &mut Pool, of_2: UnitJudgement, calls: u32, failed: u32) -> Vec<super::Decision> {
    told(pool, of_2, vec![traffic(2, calls, failed)])
}

/// One second in which unit 2 is judged like this, and this is told of calls.
fn told(pool: &mut Pool, of_2: UnitJudgement, calls: Vec<Fact>) -> Vec<super::Decision> {
    let mut judgement = pool.judgement();
    judgement.units.insert(id(2), of_2);
    pool.second += 1;
    judgement.second = pool.second;
    let generation = 1;
    let mut facts: Vec<Fact> = (1..=4).map(|n| Fact::LeaseRenewed { unit: id(n), generation }).collect();
    facts.extend(calls);
    pool.policy.step(pool.second, &judgement, &facts)
}

fn share(pool: &Pool) -> u8 {
    pool.shares()[1]
}

#[test]
fn where_only_its_calls_tell_a_unit_gets_more_of_them_until_they_are_enough() {
    let mut pool = Pool::of(4);
    second(&mut pool, green_but(6.0, 50), 1, 1);
    assert_eq!((pool.state(2), share(&pool)), (State::Suspect, 40), "of 50 calls at a full share, 20");
    let mut pool = Pool::of(4);
    second(&mut pool, green_but(6.0, 8), 1, 1);
    assert_eq!(share(&pool), 50, "never more than half");
    let mut pool = Pool::of(4);
    second(&mut pool, green_but(6.0, 4_000), 1, 1);
    assert_eq!(share(&pool), 5);
    for (seconds, calls, expected) in
        [(9, 9, 5), (1, 9, 10), (9, 9, 10), (1, 9, 20), (20, 10, 20), (60, 30, 20)]
    {
        for _ in 0..seconds {
            second(&mut pool, green_but(6.0, calls), 1, 1);
        }
        assert_eq!(share(&pool), expected, "{seconds} s more, {calls} calls");
    }
}

#[test]
fn a_steered_unit_with_more_calls_than_it_takes_gets_fewer() {
    let mut pool = Pool::of(4);
    let busy = || {
        let mut seen = judged(6.0);
        seen.bets.iter_mut().for_each(|bet| bet.own = (10, 31));
        seen
    };
    let mut shares = Vec::new();
    for _ in 0..45 {
        second(&mut pool, busy(), 1, 1);
        shares.push(share(&pool));
    }
    shares.dedup();
    assert_eq!(shares, [5, 2, 1], "halved each ten seconds, and never nothing");
    let few = || UnitJudgement {
        bets: vec![bet(Class::Traffic, 6.0, false), bet(Class::Probe, 6.0, true)],
        ..judged(6.0)
    };
    for _ in 0..60 {
        second(&mut pool, few(), 0, 0);
    }
    assert_eq!(share(&pool), 1, "its probes tell");
}

#[test]
fn a_unit_whose_calls_alone_spoke_against_it_comes_back_by_a_hundred_good_ones_in_a_row() {
    let mut pool = Pool::of(4);
    let decided = second(&mut pool, green_but(10.0, 20), 1, 1);
    assert_eq!(decided[0].kind, Kind::Alarm(Alarm::ProbeGreenTrafficRed));
    for _ in 0..300 {
        second(&mut pool, green_but(0.0, 0), 0, 0);
    }
    assert_eq!(pool.state(2), State::Suspect, "silence is no evidence");
    for _ in 0..10 {
        for calls in [9, 1] {
            second(&mut pool, green_but(0.0, 20), calls, u32::from(calls == 1));
        }
    }
    assert_eq!(pool.state(2), State::Suspect, "one of ten fails");
    let back = (1..=200).find(|_| {
        let decided = second(&mut pool, green_but(0.0, 20), 1, 0);
        decided.iter().any(|one| one.kind == Kind::SteerBack)
    });
    assert_eq!(back, Some(102), "the calls of two seconds are known to be its own last");
}

#[test]
fn one_that_its_probes_cleared_and_its_calls_did_not_is_as_if_they_alone_had_spoken() {
    let mut pool = Pool::of(4);
    second(&mut pool, judged(6.0), 1, 1);
    assert!(!pool.policy.units()[&id(2)].is_by_calls());
    second(&mut pool, green_but(2.0, 20), 1, 1);
    assert!(pool.policy.units()[&id(2)].is_by_calls());
    second(&mut pool, green_but(0.0, 20), 1, 0);
    assert_eq!(pool.state(2), State::Suspect);
}

/// Seconds until unit 2, of which only its calls tell, is steered back, while this is told of calls.
fn back_after(calls: impl Fn(u64) -> Vec<Fact>) -> Option<u64> {
    let mut pool = Pool::of(4);
    second(&mut pool, green_but(10.0, 20), 1, 1);
    (1..=600).find(|now| {
        let decided = told(&mut pool, green_but(0.0, 20), calls(*now));
        decided.iter().any(|one| one.kind == Kind::SteerBack)
    })
}

#[test]
fn no_municipality_alone_keeps_a_unit_away_and_two_do() {
    for (codes, comes_back) in [(&["131229"][..], true), (&["131229", "131211"], false)] {
        let callers = |now: u64| {
            let of = |code: &&str| CallsOf { caller: code.parse().expect("a code"), calls: 1, failed: 1 };
            let turn = codes.iter().cycle().skip(now as usize).take(1);
            turn.map(of).collect::<Vec<_>>()
        };
        let calls = |now| Fact::Traffic { unit: id(2), calls: 11, failed: 1, callers: callers(now) };
        let back = back_after(|now| vec![calls(now)]);
        assert_eq!(back.is_some(), comes_back, "{codes:?}: {back:?}");
    }
}

fn of(code: &str, calls: u32, failed: u32) -> CallsOf {
    CallsOf { caller: code.parse().expect("a code"), calls, failed }
}

#[test]
fn the_only_caller_brings_a_unit_back_once_its_calls_have_gone_well_for_two_minutes() {
    let alone = |failed: fn(u64) -> bool| {
        move |now| {
            let failed = u32::from(failed(now));
            vec![Fact::Traffic { unit: id(2), calls: 1, failed, callers: vec![of("131229", 1, failed)] }]
        }
    };
    assert_eq!(back_after(alone(|now| now <= 5)), Some(5 + 120 + 100 + 2));
    assert_eq!(back_after(alone(|now| now.is_multiple_of(100))), None, "it fails on");
}

#[test]
fn what_a_peer_says_of_itself_counts_no_more_than_twice_what_the_others_do() {
    let lies =
        |n: u32| move |_| vec![traffic(2, 10, 4), traffic(1, n, n), traffic(3, 10, 0), traffic(4, 10, 0)];
    assert!(back_after(lies(10)).is_some(), "one peer of three fails all, and so four of ten are usual");
    let half =
        |_| vec![traffic(2, 10, 8), traffic(1, u32::MAX, u32::MAX), traffic(3, 10, 0), traffic(4, 10, 0)];
    assert_eq!(back_after(half), None, "it does not say that all fail");
}

#[test]
fn what_its_peers_fail_alike_keeps_no_unit_away() {
    let one_of_ten = |n: usize, now: u64| traffic(n, 5, u32::from((now + n as u64).is_multiple_of(2)));
    let alike = |now| (1..=4).map(|n| one_of_ten(n, now)).collect();
    let alone = |now| vec![one_of_ten(2, now), traffic(1, 5, 0), traffic(3, 5, 0), traffic(4, 5, 0)];
    assert!(back_after(alike).is_some_and(|seconds| seconds < 60), "{:?}", back_after(alike));
    assert_eq!(back_after(alone), None);
}

#[test]
fn a_unit_that_is_probed_again_or_whose_probes_turn_red_keeps_no_large_share() {
    let mut pool = Pool::of(4);
    second(&mut pool, green_but(6.0, 50), 1, 1);
    assert_eq!(share(&pool), 40);
    for _ in 0..10 {
        second(&mut pool, judged(6.0), 1, 1);
    }
    assert_eq!(share(&pool), 5, "its probes tell now");
}

#[test]
fn one_that_was_steered_away_from_before_there_were_trickles_has_one_too() {
    let mut pool = Pool::of(4);
    second(&mut pool, green_but(6.0, 5), 1, 1);
    let mut kept = serde_json::to_value(&pool.policy).expect("it has a JSON form");
    kept["units"]["relay-2"].as_object_mut().expect("a unit").remove("trickle");
    pool.policy = serde_json::from_value(kept).expect("it is read again");
    assert_eq!(share(&pool), 5);
    for _ in 0..11 {
        second(&mut pool, green_but(6.0, 5), 1, 1);
    }
    assert_eq!(share(&pool), 10);
}

#[test]
fn calls_that_have_spoken_for_a_unit_need_not_go_on_until_it_is_back() {
    let mut pool = Pool::of(4);
    second(&mut pool, green_but(10.0, 20), 1, 1);
    second(&mut pool, green_but(6.0, 20), 130, 0);
    for _ in 0..20 {
        second(&mut pool, green_but(2.0, 0), 0, 0);
    }
    assert_eq!(pool.state(2), State::Suspect, "what was held against it is not gone yet");
    second(&mut pool, green_but(0.0, 0), 0, 0);
    assert_eq!(pool.state(2), State::Healthy);
}
