//! Promise: on a whole system of processes with nothing but defaults, a relay that fails alone is found
//! within a minute and out once, though its issuer is killed while it drains; and one that was taken out and
//! obeys nobody is refused by the issuer whatever it shows.

use std::{path::Path, time::Duration};

use serde_json::Value;
use todoke::wire::{fault::Reason, pb};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::puppet::Puppet;
use crate::{
    issuance::harness::{Party, fault, id},
    operators::{of, said, until},
    system::{Dev, Folder, Signal, killed, signal},
};

/// How long it may take from the fault until calls are steered away, which an operator is told of at once.
const FOUND_WITHIN: Duration = Duration::from_secs(60);
/// How long until it is evicted, on a machine that has other things to do. By the simulation it is 52 s.
const EVICTED_WITHIN: Duration = Duration::from_secs(120);

/// The decisions of a kind, whoever they are about.
async fn decided(folder: &Folder, kind: &str) -> Vec<Value> {
    let lines = said(folder, &["decisions", "--limit", "1000"]).await;
    of(&lines, "decision").into_iter().filter(|one| one["kind"] == kind).cloned().collect()
}

/// Waits until a unit has one.
async fn until_decided(folder: &Folder, unit: &str, kind: &str, within: Duration) {
    let (begun, mut ticks) = (Instant::now(), interval(Duration::from_millis(500)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !decided(folder, kind).await.iter().any(|one| one["unit"] == unit) {
        assert!(begun.elapsed() < within, "no {kind} of {unit} within {within:?}");
        ticks.tick().await;
    }
}

#[tokio::test]
async fn a_relay_that_fails_alone_is_found_within_a_minute_and_out_once_though_its_issuer_is_killed() {
    let folder = Folder::new();
    let mut dev = Dev::start(&folder, &["--relays", "4"]).await;
    until(&folder, &["relay-1", "relay-2", "relay-3", "relay-4"], "HEALTHY").await;
    said(&folder, &["drill", "relay-3", "--fault", "drop-upstream", "--for", "5m"]).await;
    until_decided(&folder, "relay-3", "steer_away", FOUND_WITHIN).await;
    until_decided(&folder, "relay-3", "evict", EVICTED_WITHIN).await;
    until(&folder, &["relay-3"], "DRAINING").await;
    killed(&folder.endpoints()["issuers"][0]["pid"]);
    dev.until("ready", "issuer-1").await;
    until_decided(&folder, "relay-3", "reset", FOUND_WITHIN).await;
    let evicted = decided(&folder, "evict").await;
    let whom: Vec<(&str, &str)> = evicted.iter().filter_map(|one| pair(one, "unit", "rule")).collect();
    assert_eq!(whom, [("relay-3", "E1")], "once, and nobody else: {evicted:?}");
    until(&folder, &["relay-1", "relay-2", "relay-4"], "HEALTHY").await;
    assert_eq!(dev.stop().await, Some(0));
}

fn pair<'a>(value: &'a Value, one: &str, other: &str) -> Option<(&'a str, &'a str)> {
    Some((value[one].as_str()?, value[other].as_str()?))
}

/// Passes a municipality's call on to the issuer with the certificate of a relay, under a lease of this
/// generation.
async fn passes(pki: &Path, relay: &str, issuer: &str, generation: u64) -> Reason {
    let party = Party::at(pki, &format!("relay/{relay}"), issuer);
    let request = Puppet::passed(pb::GetBatchRequest { batch_id: id(1).to_string() }, Some(generation));
    fault(party.batches().get_batch(request).await.expect_err("nobody opened that batch")).reason
}

#[tokio::test]
async fn what_an_evicted_process_holds_opens_no_issuer_while_it_hears_no_order() {
    let folder = Folder::new();
    let mut dev = Dev::start(&folder, &["--relays", "2"]).await;
    until(&folder, &["relay-1", "relay-2"], "HEALTHY").await;
    let (pki, endpoints) = (folder.path("dev/pki"), folder.endpoints());
    let issuer = endpoints["issuers"][0]["address"].as_str().expect("an address");
    let generation = || async {
        let lines = said(&folder, &["list"]).await;
        let unit = of(&lines, "unit").into_iter().find(|unit| unit["unit"] == "relay-2").cloned();
        unit.and_then(|unit| unit["generation"].as_u64()).expect("it is listed")
    };
    let held = generation().await;
    assert_eq!(passes(&pki, "relay-2", issuer, held).await, Reason::NotFound, "it is in use");
    let pid = endpoints["relays"][1]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
    let pid = pid.expect("a pid");
    signal(Signal::STOP, pid);
    until_decided(&folder, "relay-2", "evict", FOUND_WITHIN).await;
    for shown in [held, held + 1, generation().await] {
        let refused = passes(&pki, "relay-2", issuer, shown).await;
        assert_eq!(refused, Reason::RelayFenced, "generation {shown}, of which it held {held}");
    }
    let other = passes(&pki, "relay-1", issuer, held).await;
    assert_eq!(other, Reason::NotFound, "the other goes on");
    signal(Signal::CONT, pid);
    until_decided(&folder, "relay-2", "start_probation", FOUND_WITHIN + EVICTED_WITHIN).await;
    assert_eq!(passes(&pki, "relay-2", issuer, held).await, Reason::RelayFenced, "it is on probation");
    assert_eq!(dev.stop().await, Some(0));
}
