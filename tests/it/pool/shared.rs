//! Promise: what fails all relay processes alike is held against none of them; of those that are sick one
//! after another as many are kept as are needed; and in both cases the pool says that it is degraded.

use todoke::wire::{
    fault::Reason,
    pb::{self, UnitState},
};

use super::{
    crowd::crowd,
    harness::{Pool, WARDS, ask, eventually, quick, reason},
    process::Process,
};
use crate::system::Folder;

/// The addresses of processes.
fn addresses(processes: &[(Process, String)]) -> Vec<String> {
    processes.iter().map(|(_, address)| address.clone()).collect()
}

/// How often a unit was evicted.
async fn evictions(pool: &Pool, unit: &str) -> usize {
    pool.decisions(unit).await.iter().filter(|one| one.kind == "evict").count()
}

/// Waits until what the pool says of all units is so.
async fn until_listed(pool: &Pool, what: &str, is: impl Fn(&pb::ListUnitsResponse) -> bool) {
    eventually(what, || async { is(&pool.list().await).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_gone_for_all_processes_evicts_none_of_them_and_is_said_to_be_shared() {
    let mut options = quick();
    options.policy.alarm_quiet_s = 2;
    let (pool, folder) = (Pool::start(options).await, Folder::new());
    let processes = pool.processes(&folder, &[&[][..]; 3]).await;
    let units = ["relay-1", "relay-2", "relay-3"];
    let addresses = addresses(&processes);
    let _crowd = crowd(&pool, &addresses);
    for unit in units {
        pool.drill(&format!("x-{unit}"), unit, "drop-upstream", 300).await.expect("an operator may");
    }
    until_listed(&pool, "it is shared", |list| list.verdict.starts_with("SHARED")).await;
    until_listed(&pool, "it is degraded", |list| list.degraded).await;
    for (unit, address) in units.iter().zip(&addresses) {
        let refused = reason(ask(&pool.ward_at(WARDS[4], address)).await);
        assert_eq!(refused, Some(Reason::UpstreamUnavailable), "{unit} is in use, and reaches nobody");
    }
    for unit in units {
        pool.drill(&format!("y-{unit}"), unit, "", 0).await.expect("it is played");
    }
    until_listed(&pool, "it is degraded no more", |list| !list.degraded).await;
    for (unit, address) in units.iter().zip(&addresses) {
        pool.until(unit, UnitState::Healthy).await;
        assert_eq!(evictions(&pool, unit).await, 0, "{unit}");
        let ward = pool.ward_at(WARDS[4], address);
        eventually("it carries calls again", || async { ask(&ward).await.ok() }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_processes_that_both_fail_one_is_kept_and_the_pool_says_that_it_is_degraded() {
    let mut options = quick();
    options.policy.back_off_base_s = 600; // the first one stays out
    let (pool, folder) = (Pool::start(options).await, Folder::new());
    let processes = pool.processes(&folder, &[&[][..]; 2]).await;
    let addresses = addresses(&processes);
    let _crowd = crowd(&pool, &addresses);
    pool.drill("x-1", "relay-2", "drop-upstream", 600).await.expect("an operator may");
    assert_eq!(pool.decided("relay-2", "evict").await.rule, "E1");
    assert!(!pool.list().await.degraded, "the other one is well, and enough");
    pool.drill("x-2", "relay-1", "drop-upstream", 600).await.expect("an operator may");
    until_listed(&pool, "it is degraded", |list| list.degraded).await;
    let refused = reason(ask(&pool.ward_at(WARDS[4], &addresses[0])).await);
    assert_eq!(refused, Some(Reason::UpstreamUnavailable), "it is kept in use: nobody else is there");
    let units = pool.units().await;
    assert_eq!((units["relay-1"].state(), units["relay-1"].share_percent), (UnitState::Healthy, 100));
    assert_eq!((evictions(&pool, "relay-1").await, evictions(&pool, "relay-2").await), (0, 1));
}
