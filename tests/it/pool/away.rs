//! Promise: without its database the pool stays as it is and serves on; and of two issuers one decides, until
//! it gives that up.

use todoke::{
    pool::controller::{Controller, Options},
    vault::Vault,
    wire::{
        fault::Reason,
        pb::{self, RelayOrder, UnitState},
    },
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    harness::{Pool, WARDS, ask, controller, drain, eventually, quick},
    puppet::Puppet,
};
use crate::issuance::harness::{files, issue};

#[tokio::test]
async fn without_its_database_the_pool_is_frozen_and_relays_serve_on() {
    let pool = Pool::start(quick()).await;
    let relays = pool.relays(2).await;
    let newcomer = Puppet::new(&pool, "relay-3").await;
    let before = pool.list().await;
    let held = pool.issuer.hold_writes().await;
    let refused = pool.order(drain("d-1", "relay-2")).await.expect_err("it cannot be put on record");
    assert!([Reason::DatabaseAway, Reason::OutcomeUnknown].contains(&refused.reason), "{refused:?}");
    eventually("it is frozen", || async { pool.list().await.frozen.then_some(()) }).await;
    let why = (pool.issuer.not_ready)().join("; ");
    assert!(why.contains("the pool is frozen"), "{why}");
    for relay in &relays {
        ask(&pool.ward(WARDS[0], relay)).await.expect("what has a lease serves on");
    }
    let answer = newcomer.report(newcomer.nothing()).await;
    let let_in = answer.is_ok_and(|answer| answer.order() == RelayOrder::Serve);
    assert!(!let_in, "nobody is let in");
    let now = pool.list().await;
    assert_eq!((now.view_version, now.units.len()), (before.view_version, 2), "nothing is changed");

    drop(held);
    eventually("it goes on", || async { (!pool.list().await.frozen).then_some(()) }).await;
    eventually("the order is carried out once", || async { pool.order(drain("d-1", "relay-2")).await.ok() })
        .await;
    pool.until("relay-2", UnitState::Draining).await;
    let drained = pool.decisions("relay-2").await.into_iter().filter(|one| one.kind == "drain").count();
    assert_eq!(drained, 1);
    eventually("the alarm is over", || async { (pool.issuer.not_ready)().is_empty().then_some(()) }).await;
}

/// What another issuer on the same database judges the pool by; it does nothing yet.
fn another(pool: &Pool, options: Options) -> Controller {
    issue(&pool.issuer.authority, "issuer/issuer-2");
    let pki = pool.issuer.dir.path().join("pki");
    let vault = Vault::open(&pki.join("kek.key"), &pki.join("receipt.key")).expect("a vault");
    let (tls, store, clock) = (files(&pki, "issuer-2"), &pool.issuer.store, &pool.issuer.clock);
    controller(("issuer-2", &tls), options, store, &vault, clock)
}

/// The same, which runs until the set is dropped.
pub(super) fn beside(pool: &Pool, options: Options) -> (Controller, JoinSet<()>) {
    let other = another(pool, options);
    let mut running = JoinSet::new();
    running.spawn(other.clone().run(CancellationToken::new()));
    (other, running)
}

#[tokio::test]
async fn of_two_issuers_on_one_database_one_decides_and_the_other_takes_over_when_it_stops() {
    let pool = Pool::start(quick()).await;
    let relays = pool.relays(2).await;
    let (other, _running) = beside(&pool, quick());
    let alice = "operator/alice".parse().expect("an identity");

    let mut views = other.views();
    let view = views.wait_for(Option::is_some).await.expect("it follows").clone().expect("there is one");
    assert_eq!(view.members.len(), 2, "it knows what the first one decided");
    let first = pool.controller.standing().epoch;
    assert_eq!(other.standing().epoch, 0);
    let refused = other.order(&alice, drain("d-1", "relay-2")).await.expect_err("it does not decide");
    assert_eq!(refused.reason, Reason::UpstreamUnavailable);
    let stranger = Puppet::new(&pool, "relay-9").await;
    let relay = "relay/relay-9".parse().expect("an identity");
    let unsaid = other.report(&relay, stranger.nothing()).await.expect_err("it has not read of it");
    assert_eq!(unsaid.reason, Reason::ViewNotReady, "it stops nobody whom the first one may have let in");
    assert_eq!(pool.units().await["relay-2"].state(), UnitState::Healthy, "and nothing came of it");

    let others = pool.issuer.rows("pool_decision").await;
    pool.issuer.tasks.soft().cancel();
    eventually("the other takes over", || async { (other.standing().epoch > first).then_some(()) }).await;
    let done = other.order(&alice, drain("d-2", "relay-2")).await.expect("it decides now");
    assert_eq!(done.unit.as_ref().map(pb::Unit::state), Some(UnitState::Draining));
    assert!(pool.issuer.rows("pool_decision").await > others, "in the same ledger");
    drop(relays);
}

#[tokio::test]
async fn an_issuer_that_begins_beside_another_lets_those_in_that_hold_a_lease_before_they_report_to_it() {
    let pool = Pool::start(quick()).await;
    let _relays = pool.relays(2).await;
    let other = another(&pool, quick());
    other.begin().await;
    assert_eq!(other.standing().epoch, 0, "it follows");
    let enters = |relay: &str, generation| {
        let relay = relay.parse().expect("an identity");
        let (path, now_ms) = ("/todoke.v1.BatchService/GetBatch", pool.issuer.clock.now_ms());
        other.gate().enter(&relay, Some(generation), path, now_ms).map(drop).map_err(|fault| fault.reason)
    };
    let generation = pool.units().await["relay-1"].generation;
    assert_eq!(enters("relay/relay-1", generation), Ok(()));
    assert_eq!(enters("relay/relay-1", generation - 1), Err(Reason::GenerationStale));
    assert_eq!(enters("relay/relay-9", generation), Err(Reason::RelayFenced));
}

#[tokio::test]
async fn a_relay_that_dies_while_another_issuer_takes_over_loses_its_lease_all_the_same() {
    let mut options = quick();
    options.policy.join_probes = 0;
    let pool = Pool::start(options.clone()).await;
    let (lives, dies) = (Puppet::new(&pool, "relay-1").await, Puppet::new(&pool, "relay-2").await);
    for puppet in [&lives, &dies] {
        puppet.leased(&pool).await;
        pool.until(&puppet.name, UnitState::Healthy).await;
    }
    let (other, _running) = beside(&pool, options);
    let first = pool.controller.standing().epoch;
    pool.issuer.tasks.soft().cancel();
    eventually("the other takes over", || async { (other.standing().epoch > first).then_some(()) }).await;
    let relay = "relay/relay-1".parse().expect("an identity");
    let evicted = |unit: &'static str| {
        let sql = format!("SELECT count(*) FROM pool_decision WHERE unit = '{unit}' AND kind = 'evict'");
        pool.issuer.number(sql)
    };
    eventually("the dead one is evicted", || async {
        other.report(&relay, lives.nothing()).await.expect("it may report");
        (evicted("relay-2").await > 0).then_some(())
    })
    .await;
    assert_eq!(evicted("relay-1").await, 0, "the one that reports is not");
}
