//! Promise: a unit that fails callers while its health is green is steered away from, then evicted by
//! evidence as the one cause, and a client of ours sees no failed call meanwhile; what it plays is on record.

use std::time::Duration;

use todoke::wire::{
    fault::Reason,
    pb::{self, UnitState, pool_service_client::PoolServiceClient},
};
use tokio_util::sync::CancellationToken;
use tonic_health::pb::health_check_response::ServingStatus;

use super::{
    away::beside,
    crowd::{crowd, own_client},
    harness::{Pool, WARDS, ask, eventually, health, quick, reason},
    puppet::Puppet,
};

/// Plays a fault on `relay-2` of three until it is evicted.
async fn is_evicted_for(fault: &str) {
    let pool = Pool::start(quick()).await;
    let relays = pool.relays(3).await;
    let addresses: Vec<String> = relays.iter().map(|relay| relay.running.address.to_string()).collect();
    let _crowd = crowd(&pool, &addresses);
    let stop = CancellationToken::new();
    let mut own = own_client(&pool, &addresses, stop.clone());
    let standing = pool.ward(WARDS[0], &relays[1]);
    let unit =
        pool.drill("x-1", "relay-2", fault, 300).await.expect("an operator may").unit.expect("it is known");
    assert_eq!((unit.drill.as_str(), unit.drill_until_time.is_some()), (fault, true));
    let begun = pool.decided("relay-2", "drill").await;
    assert!(begun.why.contains(&format!("operator/alice has relay-2 play {fault}")), "{}", begun.why);

    let steered = pool.decided("relay-2", "steer_away").await;
    assert_eq!((steered.rule.as_str(), steered.to_state()), ("S1", UnitState::Suspect), "{}", steered.why);
    assert_eq!(health(&standing).await, Some(ServingStatus::Serving), "its health is green");
    assert_eq!(pool.explained("relay-2").await["drill"]["fault"], fault);
    let evicted = pool.decided("relay-2", "evict").await;
    assert_eq!(evicted.rule, "E1", "{}", evicted.why);
    let record: serde_json::Value = serde_json::from_str(&evicted.record_json).expect("it is JSON");
    assert_eq!(record["verdict"]["kind"], "UNIT", "{record}");
    assert_eq!(record["verdict"]["unit"], "relay-2");
    relays[1].serves_not().await;
    assert_eq!(reason(ask(&pool.ward(WARDS[0], &relays[1])).await), Some(Reason::RelayFenced));
    for (at, other) in [(0, "relay-1"), (2, "relay-3")] {
        let kinds: Vec<String> = pool.decisions(other).await.into_iter().map(|one| one.kind).collect();
        assert_eq!(kinds, ["register", "admit"], "{other} goes on as before");
        ask(&pool.ward(WARDS[0], &relays[at])).await.expect("it serves");
    }
    stop.cancel();
    let (made, failed) = own.join_next().await.expect("it was begun").expect("it ends");
    assert!(made > 20 && failed.is_empty(), "{} of {made} calls failed: {failed:?}", failed.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_hangs_behind_green_health_is_evicted_and_costs_our_client_no_call() {
    is_evicted_for("hang").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_fails_most_calls_behind_green_health_is_evicted_and_costs_our_client_no_call() {
    is_evicted_for("fail:0.8").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_loses_its_issuers_behind_green_health_is_evicted_and_costs_our_client_no_call() {
    is_evicted_for("drop-upstream").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_slow_for_a_third_of_its_calls_is_evicted_and_costs_our_client_no_call() {
    is_evicted_for("slow:2s:0.3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_fails_a_third_of_its_calls_is_evicted_and_costs_our_client_no_call() {
    is_evicted_for("fail:0.3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_flaps_behind_green_health_is_evicted_and_costs_our_client_no_call() {
    is_evicted_for("flap:3s:2s").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_upstream_breaks_what_runs_and_lets_nothing_through_until_the_drill_is_ended() {
    let pool = Pool::start(quick()).await;
    let relays = pool.relays(2).await;
    let ward = pool.ward(WARDS[0], &relays[1]);
    let mut client = PoolServiceClient::new(ward.channel.clone());
    let watched = client.watch_view(pb::WatchViewRequest { after_version: 0 }).await;
    let mut running = watched.expect("it goes through").into_inner();
    running.message().await.expect("it runs").expect("the view as it is");

    pool.drill("x-1", "relay-2", "drop-upstream", 60).await.expect("an operator may");
    let cut = async {
        while running.message().await?.is_some() {}
        Ok::<_, tonic::Status>(())
    };
    let cut = tokio::time::timeout(Duration::from_secs(30), cut).await.expect("what runs is broken off");
    assert!(cut.is_err(), "it did not end in order");
    assert_eq!(reason(ask(&ward).await), Some(Reason::UpstreamUnavailable));
    assert_eq!(health(&ward).await, Some(ServingStatus::Serving));
    ask(&pool.ward(WARDS[0], &relays[0])).await.expect("the other goes on");

    pool.drill("x-2", "relay-2", "", 0).await.expect("it is played");
    let ended = pool.decided("relay-2", "drill_over").await;
    assert!(ended.why.contains("operator/alice ends it"), "{}", ended.why);
    eventually("it carries calls again", || async { ask(&ward).await.ok() }).await;
}

#[tokio::test]
async fn whichever_issuer_a_relay_hears_and_whoever_decides_next_a_drill_goes_on_to_its_end() {
    let mut options = quick();
    options.policy.join_probes = 0;
    let pool = Pool::start(options.clone()).await;
    let (other, _running) = beside(&pool, options);
    let puppets = [Puppet::new(&pool, "relay-1").await, Puppet::new(&pool, "relay-2").await];
    for puppet in &puppets {
        puppet.leased(&pool).await;
    }
    let relay = "relay/relay-2".parse().expect("an identity");
    let refused = pool.drill("x-1", "relay-2", "hang", 20).await.expect_err("it was not started for that");
    assert!(refused.reason == Reason::OrderRefused && refused.message.contains("--drills"), "{refused:?}");
    let drills = || pb::ReportRequest { drills: true, ..puppets[1].nothing() };
    puppets[1].report(drills()).await.expect("it may report");
    pool.drill("x-2", "relay-2", "slow:2s:0.3", 20).await.expect("it was started anew for that");

    let first = puppets[1].report(drills()).await.expect("it may report");
    assert_eq!((first.drill.as_str(), first.drill_left_ms > 15_000), ("slow:2s:0.3", true), "{first:?}");
    let of_other =
        || async { other.report(&relay, drills()).await.ok().filter(|told| told.drill_number > 0) };
    let second = eventually("the other one knows of it", of_other).await;
    assert_eq!((&second.drill, second.drill_number), (&first.drill, first.drill_number), "the same drill");
    pool.issuer.tasks.soft().cancel();
    eventually("the other takes over", || async { (other.standing().epoch > 0).then_some(()) }).await;
    let third = other.report(&relay, drills()).await.expect("it may report");
    assert_eq!((third.drill, third.drill_number), (first.drill, first.drill_number), "it goes on");
    eventually("it ends by itself", || async {
        let told = other.report(&relay, drills()).await.expect("it may report");
        (told.drill.is_empty() && told.drill_number > first.drill_number).then_some(())
    })
    .await;
    let ends =
        "SELECT count(*) FROM pool_decision WHERE kind = 'drill_over' AND record LIKE '%its time is over%'";
    assert_eq!(pool.issuer.number(ends.to_owned()).await, 1);
}
