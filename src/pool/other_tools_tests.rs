//! Promise: each default rule ejects at its published number and not one below it, and a sick unit of four
//! escapes them as it did in January 2016.

use super::{DefaultRule, OtherTools};
use crate::pool::evidence::{Bucket, Class, Observer, UnitId};

fn unit(n: usize) -> UnitId {
    format!("relay-{n}").parse().expect("a name")
}

fn bucket(second: u64, n: usize, class: Class, calls: u32, bad: u32) -> Bucket {
    let observer = Observer::try_from("issuer/issuer-1".to_owned()).expect("an observer");
    Bucket { second, observer, unit: unit(n), class, caller: None, n: calls, bad, latencies: None }
}

/// Traffic of so many units for so many seconds, from second 1, each with (calls, failed) a second.
fn traffic(units: &[(u32, u32)], seconds: u64) -> OtherTools {
    let mut tools = OtherTools::new();
    for second in 1..=seconds {
        let each = units.iter().enumerate();
        let buckets: Vec<Bucket> =
            each.map(|(n, (calls, bad))| bucket(second, n + 1, Class::Traffic, *calls, *bad)).collect();
        tools.second(second, &buckets);
    }
    tools
}

fn first(tools: &OtherTools, n: usize, rule: DefaultRule) -> Option<u64> {
    tools.opinions(&unit(n)).into_iter().find(|one| one.rule == rule).and_then(|one| one.first)
}

fn why(tools: &OtherTools, n: usize, rule: DefaultRule) -> String {
    tools.opinions(&unit(n)).into_iter().find(|one| one.rule == rule).map(|one| one.why).unwrap_or_default()
}

#[test]
fn envoy_ejects_at_five_failures_in_a_row() {
    assert_eq!(first(&traffic(&[(1, 1)], 4), 1, DefaultRule::EnvoyConsecutive), None);
    assert_eq!(first(&traffic(&[(1, 1)], 5), 1, DefaultRule::EnvoyConsecutive), Some(5));
    let mut broken = traffic(&[(1, 1)], 4);
    broken.second(5, &[bucket(5, 1, Class::Traffic, 1, 0)]);
    broken.second(6, &[bucket(6, 1, Class::Traffic, 4, 4)]);
    assert_eq!(first(&broken, 1, DefaultRule::EnvoyConsecutive), None);
    assert_eq!(why(&broken, 1, DefaultRule::EnvoyConsecutive), "the longest run was 4; it needs 5");
}

#[test]
fn a_unit_of_four_that_fails_30_percent_of_500_calls_a_second_escapes_all_of_them() {
    let tools = traffic(&[(500, 2), (500, 150), (500, 3), (500, 2)], 60);
    for rule in DefaultRule::ALL {
        assert_eq!(first(&tools, 2, rule), None, "{rule:?}");
    }
    let words = "4 units had 100 calls in 10 s; it needs 5";
    assert_eq!(why(&tools, 2, DefaultRule::EnvoySuccessRate), words);
    assert_eq!(why(&tools, 2, DefaultRule::GrpcSuccessRate), words);
}

#[test]
fn success_rate_needs_five_hosts_of_a_hundred_calls_and_one_bad_alone() {
    let rule = DefaultRule::GrpcSuccessRate;
    let with = |calls: u32, sick: usize, all: usize| {
        let units: Vec<(u32, u32)> =
            (0..all).map(|n| (calls, if n < sick { calls / 2 } else { 0 })).collect();
        traffic(&units, 10)
    };
    assert_eq!(first(&with(10, 1, 5), 1, rule), Some(10), "√4 = 2 is over 1.9");
    assert_eq!(first(&with(10, 1, 4), 1, rule), None);
    assert_eq!(first(&with(10, 2, 5), 1, rule), None, "two hide each other");
    assert_eq!(first(&with(9, 1, 5), 1, rule), None, "90 calls are too few");
    assert_eq!(first(&with(10, 1, 5), 2, rule), None, "the others are well");
}

#[test]
fn failure_percentage_needs_more_than_85_of_a_hundred() {
    let rule = DefaultRule::GrpcFailurePercentage;
    let with = |bad: u32, hosts: usize| {
        let mut units = vec![(10, 0); hosts];
        units[0] = (100, bad);
        traffic(&units, 10)
    };
    assert_eq!(first(&with(86, 5), 1, rule), Some(10));
    assert_eq!(first(&with(85, 5), 1, rule), None);
    assert_eq!(first(&with(86, 4), 1, rule), None);
}

#[test]
fn one_unit_in_ten_is_ejected_at_most_and_one_in_any_case() {
    let dead = [(10, 10), (10, 10), (10, 0), (10, 0)];
    let tools = traffic(&dead, 20);
    assert_eq!(first(&tools, 1, DefaultRule::EnvoyConsecutive), Some(1));
    assert_eq!(first(&tools, 2, DefaultRule::EnvoyConsecutive), None, "one of four is out already");
}

#[test]
fn an_ejection_lasts_for_thirty_seconds_times_its_number() {
    // Out at 1 for 30 s, at 31 for 60 s, at 91 for 90 s.
    for (seconds, last) in [(30, 1), (90, 31), (91, 91)] {
        let opinions = traffic(&[(10, 10), (10, 0)], seconds).opinions(&unit(1));
        assert_eq!((opinions[0].first, opinions[0].last), (Some(1), Some(last)), "{seconds} s");
    }
}

#[test]
fn haproxy_falls_at_three_failed_checks_two_seconds_apart() {
    let mut tools = OtherTools::new();
    for second in 1..=5 {
        tools.second(second, &[bucket(second, 1, Class::Probe, 4, 4)]);
    }
    assert_eq!(first(&tools, 1, DefaultRule::HaproxyCheck), None);
    assert_eq!(why(&tools, 1, DefaultRule::HaproxyCheck), "the longest run was 2 failed checks; it needs 3");
    tools.second(6, &[bucket(6, 1, Class::Probe, 4, 4)]);
    assert_eq!(first(&tools, 1, DefaultRule::HaproxyCheck), Some(6));
}

#[test]
fn haproxy_ejects_nobody_again_who_is_not_checked_any_more() {
    let mut tools = OtherTools::new();
    for second in 1..=90 {
        let (n, bad) = if second <= 6 { (4, 4) } else { (0, 0) };
        tools.second(second, &[bucket(second, 1, Class::Probe, n, bad)]);
    }
    for rule in [DefaultRule::HaproxyCheck, DefaultRule::HaproxyObserve] {
        let opinion = tools.opinions(&unit(1)).into_iter().find(|one| one.rule == rule).expect("one of each");
        assert_eq!((opinion.first, opinion.last), (Some(6), Some(6)), "{rule:?}");
    }
}

#[test]
fn haproxy_takes_ten_failed_calls_in_a_row_for_one_failed_check() {
    let rule = DefaultRule::HaproxyObserve;
    assert_eq!(first(&traffic(&[(1, 1)], 29), 1, rule), None);
    assert_eq!(first(&traffic(&[(1, 1)], 30), 1, rule), Some(30));
    // A check that passes between them makes all good again.
    let mut tools = OtherTools::new();
    for second in 1..=60 {
        let calls = bucket(second, 1, Class::Traffic, 9, 9);
        tools.second(second, &[calls, bucket(second, 1, Class::Probe, 1, 0)]);
    }
    assert_eq!(first(&tools, 1, rule), None, "green checks hide red traffic");
}

#[test]
fn more_units_than_a_pool_has_are_not_looked_at() {
    let tools = traffic(&[(1, 0); 65], 1);
    let watched = (1..=65).filter(|n| !tools.opinions(&unit(*n)).is_empty()).count();
    assert_eq!(watched, 64);
}
