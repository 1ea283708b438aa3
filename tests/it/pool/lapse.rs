//! Promise: a relay that stands still loses its lease and is evicted for that alone, and comes back by
//! probation.

use todoke::wire::pb::UnitState;

use super::harness::{Pool, WARDS, ask, quick};
use crate::system::{Folder, Signal, signal};

#[tokio::test]
async fn a_relay_that_stands_still_is_evicted_for_its_lease_and_returns_by_probation() {
    let mut options = quick();
    options.rule.budget_years = 100.0; // its probes fail, too, but what they prove comes later
    let pool = Pool::start(options).await;
    let relays = pool.relays(2).await;
    let folder = Folder::new();
    let third = pool.process(&folder, "relay-3");
    pool.until("relay-3", UnitState::Healthy).await;

    signal(Signal::STOP, third.pid());
    let evicted = pool.decided("relay-3", "evict").await;
    assert_eq!(evicted.rule, "E4", "{}", evicted.why);
    for relay in &relays {
        ask(&pool.ward(WARDS[0], relay)).await.expect("the others go on");
    }
    signal(Signal::CONT, third.pid());
    let probation = pool.decided("relay-3", "start_probation").await;
    assert_eq!(probation.rule, "R1");
    let unit = pool.until("relay-3", UnitState::Healthy).await;
    assert_eq!((unit.rule.as_str(), unit.generation > 1), ("R2", true), "{}", unit.why);
    for other in ["relay-1", "relay-2"] {
        let taken_out = pool.decisions(other).await.into_iter().find(|one| one.kind == "evict");
        assert_eq!(taken_out, None);
    }
}

#[tokio::test]
async fn a_relay_that_is_told_to_stop_gives_its_lease_back_and_is_charged_with_nothing() {
    let pool = Pool::start(quick()).await;
    let _relays = pool.relays(2).await;
    let folder = Folder::new();
    let third = pool.process(&folder, "relay-3");
    pool.until("relay-3", UnitState::Healthy).await;
    signal(Signal::TERM, third.pid());
    let left = pool.decided("relay-3", "leave").await;
    assert_eq!(left.rule, "J2", "{}", left.why);
    let unit = pool.until("relay-3", UnitState::Joining).await;
    assert_eq!((unit.share_percent, unit.eviction_count), (0, 0));
    assert!(unit.penalty_slow == 0.0 && unit.penalty_fast == 0.0, "{unit:?}");
}
