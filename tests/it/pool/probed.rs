//! Promise: a relay process that is sick because it is probed gets well when an operator pauses its probes,
//! and then they are named as what is suspect.
//!
//! As in January 2016, when the monitoring agent was the cause: each look at the relay stops it for a while.

use std::time::Duration;

use todoke::wire::{
    convert::timestamp,
    pb::{self, UnitState, order_unit_request::Order},
};
use tokio::{sync::watch, task::JoinSet, time::interval};

use super::{
    crowd::crowd,
    harness::{Pool, order, quick},
    link::Link,
    process::free_port,
};
use crate::system::{Folder, Signal, signal};

/// How long a look at it stops it: long enough for probes to find it bad, and shorter than leases live.
const STOPPED: Duration = Duration::from_secs(4);
/// How long it runs on after that, whoever looks.
const RUNS: Duration = Duration::from_secs(2);

/// Stops a process each time that a call goes through the link.
async fn stop_when_probed(pid: u32, mut calls: watch::Receiver<u64>) {
    while calls.changed().await.is_ok() {
        signal(Signal::STOP, pid);
        passed(STOPPED).await;
        signal(Signal::CONT, pid);
        passed(RUNS).await;
        calls.mark_unchanged();
    }
}

/// Returns when so much time has passed.
async fn passed(time: Duration) {
    let mut ticks = interval(time);
    ticks.tick().await;
    ticks.tick().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_its_probes_make_sick_is_well_once_they_are_paused_and_they_are_suspect() {
    let mut options = quick();
    options.rule.budget_years = 100.0; // it is steered away from long before it would be evicted
    // What its probes said is soon forgotten, and little is enough to see that it is well.
    (options.rule.scales, options.rule.silence_s, options.policy.anew_s) = ([3, 10], 10, 10);
    let (pool, folder) = (Pool::start(options).await, Folder::new());
    let address = free_port();
    let link = Link::to(address).await;
    let (listens, advertised) = (address.to_string(), link.address.to_string());
    let flags = ["--listen", &listens, "--advertise", &advertised];
    let sick = pool.process_with(&folder, None, "relay-1", &flags);
    pool.until("relay-1", UnitState::Healthy).await;
    let others = pool.processes_from(&folder, 2, &[&[][..]; 3]).await;
    let mut addresses: Vec<String> = others.iter().map(|(_, address)| address.clone()).collect();
    addresses.push(listens); // callers go to it straight
    let _crowd = crowd(&pool, &addresses);
    let mut stopping = JoinSet::new();
    stopping.spawn(stop_when_probed(sick.pid(), link.calls()));

    pool.decided("relay-1", "steer_away").await;
    let until_time = Some(timestamp(pool.issuer.clock.now_ms() + 600_000));
    let pause = Order::PauseProbes(pb::PauseProbes { until_time, lasts: None });
    pool.order(order("p-1", "relay-1", pause)).await.expect("an operator may");
    let back = pool.decided("relay-1", "steer_back").await;
    assert!(back.why.contains("in its callers' calls, while its probes are paused"), "{}", back.why);
    let alarm = pool.decided("relay-1", "alarm").await;
    assert!(alarm.rule == "V6" && alarm.why.contains("probe=deep is suspect"), "{alarm:?}");
    let suspects = pool.list().await.suspects;
    let named: Vec<&str> = suspects.iter().map(|one| one.attribute.as_str()).collect();
    assert_eq!((named, suspects[0].units.clone()), (vec!["probe=deep"], vec!["relay-1".to_owned()]));
    for unit in ["relay-1", "relay-2", "relay-3", "relay-4"] {
        assert!(pool.decisions(unit).await.iter().all(|one| one.kind != "evict"), "{unit}");
    }
}
