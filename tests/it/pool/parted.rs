//! Promise: of a network that comes apart one half goes on as before; a relay on the other side refuses calls
//! by itself, is out for its lease alone, and comes back when the network is whole. No call of ours fails.
//!
//! A relay that is apart reaches no issuer and is reached by nobody of the pool, only by callers. Two that
//! are apart do not see each other either, which they could tell nobody.

use todoke::wire::{fault::Reason, pb::UnitState};
use tokio_util::sync::CancellationToken;
use tonic_health::pb::health_check_response::ServingStatus;

use super::{
    crowd::own_client,
    harness::{Pool, WARDS, ask, eventually, health, quick, reason},
    link::Link,
    process::{Process, free_port},
};
use crate::system::Folder;

/// A relay process, how the pool and it reach each other, and where callers reach it.
struct Relay {
    _process: Process,
    links: [Link; 2],
    address: String,
}

async fn relay(pool: &Pool, folder: &Folder, name: &str) -> Relay {
    let address = free_port();
    let links = [Link::to(pool.issuer.address).await, Link::to(address).await];
    let [up, down] = [0, 1].map(|at: usize| links[at].address.to_string());
    let address = address.to_string();
    let flags = ["--listen", &address, "--upstream", &up, "--advertise", &down];
    Relay { _process: pool.process_with(folder, None, name, &flags), links, address }
}

/// Four relays, the last so many of which are apart from all others for a while.
async fn apart(count: usize) {
    let mut options = quick();
    options.rule.budget_years = 100.0; // leases end sooner than probes prove anything
    let (pool, folder, mut relays) = (Pool::start(options).await, Folder::new(), Vec::new());
    let names = ["relay-1", "relay-2", "relay-3", "relay-4"];
    for name in names {
        relays.push(relay(&pool, &folder, name).await);
        pool.until(name, UnitState::Healthy).await;
    }
    let addresses: Vec<String> = relays.iter().map(|relay| relay.address.clone()).collect();
    let stop = CancellationToken::new();
    let mut own = own_client(&pool, &addresses, stop.clone());
    let there = names.len() - count;
    relays[there..].iter().flat_map(|relay| &relay.links).for_each(Link::cut);
    for (name, relay) in names.iter().zip(&relays).skip(there) {
        let evicted = pool.decided(name, "evict").await;
        assert_eq!(evicted.rule, "E4", "{}", evicted.why);
        let ward = pool.ward_at(WARDS[0], &relay.address);
        eventually("it refuses calls by itself", || async {
            (reason(ask(&ward).await) == Some(Reason::RelayFenced)).then_some(())
        })
        .await;
        assert_eq!(health(&ward).await, Some(ServingStatus::NotServing), "{name}");
    }
    for relay in &relays[..there] {
        ask(&pool.ward_at(WARDS[0], &relay.address)).await.expect("those that are together go on");
    }
    relays[there..].iter().flat_map(|relay| &relay.links).for_each(Link::mend);
    for (at, name) in names.iter().enumerate() {
        let unit = pool.until(name, UnitState::Healthy).await;
        let ward = pool.ward_at(WARDS[0], &relays[at].address);
        eventually("it takes calls", || async { ask(&ward).await.ok() }).await;
        let evictions = pool.decisions(name).await.iter().filter(|one| one.kind == "evict").count();
        assert_eq!((evictions, unit.generation), if at < there { (0, 1) } else { (1, 2) }, "{name}");
    }
    stop.cancel();
    let (made, failed) = own.join_next().await.expect("it was begun").expect("it ends");
    assert!(made > 20 && failed.is_empty(), "{} of {made} calls failed: {failed:?}", failed.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_four_processes_that_are_apart_fence_themselves_and_come_back_once_the_network_is_whole() {
    apart(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_four_processes_that_is_apart_fences_itself_and_comes_back_once_the_network_is_whole() {
    apart(1).await;
}
