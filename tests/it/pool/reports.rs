//! Promise: only relays report, each for itself; what cannot be right is refused by its field, and what comes
//! twice counts once. What a relay saw may be refused: it serves all the same.

use std::time::Duration;

use todoke::{
    net::headers,
    pool::notes::UNITS_MAX,
    runtime::clock::Clock,
    wire::{
        fault::{Fault, Reason},
        pb::{
            EvidenceBucket, ReportRequest, ShallowProbes, UnitState, pool_service_client::PoolServiceClient,
        },
    },
};
use tokio::time::Instant;

use super::{
    harness::{Pool, WARDS, ask, eventually, quick},
    puppet::{Puppet, traffic},
};
use crate::issuance::harness::fault;

/// Buckets of one report.
const BUCKETS_MAX: usize = 4_096;

#[tokio::test]
async fn nobody_but_a_relay_reports_and_no_relay_for_another() {
    let pool = Pool::start(quick()).await;
    let puppet = Puppet::new(&pool, "relay-1").await;
    puppet.leased(&pool).await;
    for identity in [WARDS[0], "operator/alice"] {
        let mut other = PoolServiceClient::new(pool.issuer.party_again(identity).channel);
        let refused = fault(other.report(puppet.nothing()).await.expect_err("it is no relay"));
        assert_eq!(refused.reason, Reason::WrongRole, "{identity}");
    }
    let mut passed = Puppet::passed(puppet.nothing(), Some(1));
    passed.metadata_mut().insert(headers::CALLER, "relay/relay-2".parse().expect("ASCII"));
    let refused = fault(puppet.client().report(passed).await.expect_err("it is another's"));
    assert_eq!(refused.reason, Reason::WrongRole);
}

#[tokio::test]
async fn a_report_that_cannot_be_right_is_refused_by_its_field() {
    let pool = Pool::start(quick()).await;
    let puppet = Puppet::new(&pool, "relay-1").await;
    puppet.leased(&pool).await;
    let good = traffic(pool.issuer.clock.now_ms() / 1000, "relay-1", 3, 1);
    let puppet = &puppet;
    let send = |buckets: Vec<EvidenceBucket>| async move {
        puppet.report(ReportRequest { buckets, ..puppet.nothing() }).await
    };
    let bad = |change: &dyn Fn(&mut EvidenceBucket)| {
        let mut bucket = good.clone();
        change(&mut bucket);
        bucket
    };
    for (field, wrong) in [
        ("class", bad(&|bucket| bucket.class = 0)),
        ("class", bad(&|bucket| bucket.class = 9)),
        ("bad_count", bad(&|bucket| bucket.bad_count = 4)),
        ("latencies", bad(&|bucket| bucket.latencies = vec![0; 35])),
        ("caller", bad(&|bucket| bucket.caller = "13122".to_owned())),
        ("second", bad(&|bucket| bucket.second = -1)),
        ("unit", bad(&|bucket| bucket.unit = "no unit".to_owned())),
    ] {
        let refused = send(vec![good.clone(), wrong]).await.expect_err("it cannot be right");
        assert_eq!(refused.reason, Reason::FieldInvalid, "{field}");
        let named = refused.violations.iter().any(|(name, _)| *name == format!("buckets[1].{field}"));
        assert!(named, "{field}: {refused:?}");
    }
    let at_the_limit = bad(&|bucket| bucket.latencies = vec![0; 34]);
    send(vec![at_the_limit; BUCKETS_MAX]).await.expect("at the limit all are taken");
    let refused: Fault = send(vec![good.clone(); BUCKETS_MAX + 1]).await.expect_err("it is one too many");
    assert_eq!(refused.reason, Reason::LimitExceeded);
}

#[tokio::test]
async fn shallow_probes_that_cannot_be_right_are_refused_by_their_field() {
    let pool = Pool::start(quick()).await;
    let puppet = Puppet::new(&pool, "relay-1").await;
    puppet.leased(&pool).await;
    let puppet = &puppet;
    let send = |shallow: Vec<ShallowProbes>| async move {
        puppet.report(ReportRequest { shallow, ..puppet.nothing() }).await
    };
    let of = |unit: &str, bad_count| ShallowProbes { unit: unit.to_owned(), call_count: 3, bad_count };
    for (field, wrong) in [("bad_count", of("relay-2", 4)), ("unit", of("no unit", 0))] {
        let refused = send(vec![of("relay-2", 3), wrong]).await.expect_err("it cannot be right");
        assert_eq!(refused.reason, Reason::FieldInvalid, "{field}");
        let named = refused.violations.iter().any(|(name, _)| *name == format!("shallow[1].{field}"));
        assert!(named, "{field}: {refused:?}");
    }
    send(vec![of("relay-2", 3); UNITS_MAX]).await.expect("at the limit all are taken");
    let refused = send(vec![of("relay-2", 3); UNITS_MAX + 1]).await.expect_err("it is one too many");
    assert_eq!(refused.reason, Reason::LimitExceeded);
}

/// Bad calls, and calls, of a unit's traffic on the longer scale, with nobody left out.
async fn counted(pool: &Pool, unit: &str) -> Option<(u64, u64)> {
    let explained = pool.explained(unit).await;
    let bets = explained["evidence"]["bets"].as_array()?.clone();
    let whole = bets.into_iter().find(|bet| {
        let nobody = bet["left_out"].as_array().is_some_and(Vec::is_empty);
        bet["class"] == "traffic" && bet["scale"] == 60 && nobody
    })?;
    Some((whole["own"][0].as_u64()?, whole["own"][1].as_u64()?))
}

#[tokio::test]
async fn a_report_that_comes_twice_counts_once() {
    let mut options = quick();
    options.policy.join_probes = 0;
    let pool = Pool::start(options).await;
    let (one, two) = (Puppet::new(&pool, "relay-1").await, Puppet::new(&pool, "relay-2").await);
    one.leased(&pool).await;
    two.leased(&pool).await;
    for unit in ["relay-1", "relay-2"] {
        eventually("it is judged", || async { counted(&pool, unit).await }).await;
    }
    let second = pool.issuer.clock.now_ms() / 1000;
    let report = |second, n| {
        let buckets = vec![traffic(second, "relay-1", n, 1), traffic(second, "relay-2", n, 1)];
        ReportRequest { buckets, ..two.nothing() }
    };
    for _ in 0..3 {
        two.report(report(second, 100)).await.expect("it is taken, or was");
    }
    let is = |wanted: (u64, u64)| {
        let pool = &pool;
        async move { counted(pool, "relay-1").await.filter(|now| *now == wanted) }
    };
    eventually("it counts", || is((1, 100))).await;
    two.report(report(second - 1, 50)).await.expect("an earlier second is another one");
    two.report(report(second, 100)).await.expect("it was taken");
    eventually("the other counts beside it", || is((2, 150))).await;
}

#[tokio::test]
async fn a_relay_whose_evidence_is_refused_each_second_keeps_its_lease() {
    let pool = Pool::start(quick()).await;
    // By its clock it is 1969, and no issuer takes what was seen then.
    let relay = pool.relay_by("relay-1", Clock::fixed(-60_000)).await;
    pool.until("relay-1", UnitState::Healthy).await;
    relay.serves().await;
    let (party, begun) = (pool.ward(WARDS[0], &relay), Instant::now());
    let lost = || {
        let page = todoke::telemetry::prometheus().render();
        let line = page.lines().find_map(|line| line.strip_prefix("todoke_relay_evidence_lost_total "));
        line.and_then(|count| count.parse::<u64>().ok()).unwrap_or_default()
    };
    let before = lost();
    // A lease lives 15 s, and there is something to report in each of them.
    while begun.elapsed() < Duration::from_secs(20) {
        let asked = ask(&party).await;
        assert!(asked.is_ok(), "after {:?}: {asked:?}", begun.elapsed());
    }
    assert!(lost() >= before + 10, "its evidence was taken: {before}, then {}", lost());
    let units = pool.units().await;
    assert_eq!(units["relay-1"].state(), UnitState::Healthy, "{}", units["relay-1"].why);
}
