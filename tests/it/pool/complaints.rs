//! Promise: one municipality's complaints about a unit, however many, do nothing to it; those of several
//! do, and green probes do not help it then. Over the unit itself they are nothing.

use std::time::Duration;

use todoke::{net::headers, wire::pb};
use tokio::time::{MissedTickBehavior, interval};
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

use super::harness::{Pool, Relay, WARDS, eventually, health, quick};
use crate::issuance::harness::{Party, id};

/// How long one municipality complains: longer than three need.
const SECONDS: u32 = 25;

/// Calls over a relay, and says that the attempt before over this one failed.
async fn complain_of(party: &Party, unit: &str) {
    let mut request = party.request(pb::GetBatchRequest { batch_id: id(1).to_string() });
    let previous = headers::previous_attempt(unit, Code::Unavailable);
    request.metadata_mut().insert(headers::PREVIOUS_ATTEMPT, previous.parse().expect("ASCII"));
    let answer = party.batches().get_batch(request).await.expect_err("nobody opened it");
    assert_eq!(answer.code(), Code::NotFound, "the call itself is taken");
}

/// The same of `relay-2`.
async fn complain(party: &Party) {
    complain_of(party, "relay-2").await;
}

/// Has these municipalities complain over both other relays, twice a second, for so long.
async fn complain_on(pool: &Pool, relays: &[Relay], wards: &[&str], seconds: u32) {
    let over = [&relays[0], &relays[2]];
    let parties: Vec<Party> =
        wards.iter().flat_map(|ward| over.map(|relay| pool.ward(ward, relay))).collect();
    let mut ticks = interval(Duration::from_millis(500));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..seconds * 2 {
        ticks.tick().await;
        for party in &parties {
            complain(party).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_municipality_that_complains_alone_does_nothing_to_a_unit() {
    let pool = Pool::start(quick()).await;
    let relays = pool.relays(3).await;
    complain_on(&pool, &relays, &WARDS[..1], SECONDS).await;
    let judged = pool.explained("relay-2").await;
    let left_out = judged["evidence"]["left_out_caller"].as_str().unwrap_or_default();
    assert_eq!(WARDS[0].split('/').nth(1), Some(left_out), "it was heard, and left out: {judged}");
    for unit in ["relay-1", "relay-2", "relay-3"] {
        let kinds: Vec<String> = pool.decisions(unit).await.into_iter().map(|one| one.kind).collect();
        assert_eq!(kinds, ["register", "admit"], "{unit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_municipalities_that_complain_over_two_relays_are_believed_whatever_its_probes_say() {
    let pool = Pool::start(quick()).await;
    let relays = pool.relays(3).await;
    let doubted = async {
        pool.decided("relay-2", "steer_away").await;
        let alarm = pool.decided("relay-2", "alarm").await;
        let behind_green = alarm.rule == "V5" && alarm.why.contains("green probes prove nothing");
        assert!(behind_green, "its probes are green, and its callers are failed: {alarm:?}");
        let relay = pool.ward(WARDS[4], &relays[1]);
        assert_eq!(health(&relay).await, Some(ServingStatus::Serving), "so it says itself");
    };
    tokio::select! {
        () = doubted => {}
        () = complain_on(&pool, &relays, &WARDS[..3], 4 * SECONDS) => panic!("nobody believed them"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_relay_is_told_of_itself_is_not_reported_as_what_it_saw() {
    const CALLS: u64 = 10;
    let pool = Pool::start(quick()).await;
    let relays = pool.relays(1).await;
    let ward = pool.ward(WARDS[0], &relays[0]);
    for _ in 0..CALLS {
        complain_of(&ward, "relay-1").await;
    }
    // A complaint is taken before its call ends.
    let bad = eventually("its calls are reported", || async {
        let explained = pool.explained("relay-1").await;
        let mut votes = explained["votes"].as_array().expect("a list").iter();
        let own = votes.find(|vote| vote["observer"] == "relay/relay-1")?;
        (own["calls"].as_u64() >= Some(CALLS)).then(|| own["bad"].as_u64())
    })
    .await;
    assert_eq!(bad, Some(0), "none of them failed");
}
