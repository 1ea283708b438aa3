//! Promise: of two processes that serve under one name, the one that was started later has the lease, and the
//! other is given up, by whatever issuer is asked next.

use super::fixture::World;
use crate::{
    domain::identity::Identity,
    wire::{
        fault::{Fault, Reason},
        pb::ReportRequest,
    },
};

const PATH: &str = "/todoke.v1.BatchService/GetBatch";

fn relay() -> Identity {
    "relay/relay-2".parse().expect("legal")
}

/// The generation of the lease that a process of relay-2 gets.
async fn asks(world: &World, incarnation: u64) -> Result<u64, Fault> {
    asks_at(world, incarnation, "127.0.0.1:2").await
}

/// The same of one that says that it is reached at this address.
async fn asks_at(world: &World, incarnation: u64, address: &str) -> Result<u64, Fault> {
    let address = address.to_owned();
    let attributes = Some(crate::wire::pb::UnitAttributes { address, ..Default::default() });
    let report = ReportRequest { incarnation, attributes, ..ReportRequest::default() };
    let answer = world.controller.report(&relay(), report).await?;
    let lease = String::from_utf8(answer.lease).expect("a text, which nobody signed here");
    let generation = lease.lines().find_map(|line| line.strip_prefix("generation ")?.parse().ok());
    Ok(generation.expect("it has a lease"))
}

/// Whether a call under a lease of this generation is let in.
fn enters(world: &World, generation: u64) -> Option<Reason> {
    let now_ms = world.clock.now_ms();
    let entered = world.controller.gate().enter(&relay(), Some(generation), PATH, now_ms);
    entered.err().map(|fault| fault.reason)
}

/// A pool of three, of which relay-2 is served by a process started at 10.
async fn three() -> World {
    let mut world = World::start().await;
    world.controller.begin().await;
    let first = asks(&world, 10).await.expect("it is the first");
    for _ in 0..5 {
        world.clock.advance(1_000);
        assert_eq!(asks(&world, 10).await, Ok(first), "the same process goes on");
    }
    assert_eq!((first, enters(&world, 1)), (1, None));
    world.restart().await;
    assert_eq!(asks(&world, 10).await, Ok(1), "under the next issuer, too");
    world
}

#[tokio::test]
async fn the_later_process_has_the_lease_at_once_and_the_other_is_refused_everywhere() {
    let mut world = three().await;
    assert_eq!(asks(&world, 20).await, Ok(2));
    assert_eq!(enters(&world, 2), None, "its first call is taken");
    assert_eq!(enters(&world, 1), Some(Reason::GenerationStale));
    assert_eq!(asks(&world, 20).await, Ok(2), "once is enough");
    let given_up = asks(&world, 10).await.expect_err("a later one serves");
    assert_eq!(given_up.reason, Reason::GenerationStale);
    assert!(given_up.message.contains("end or rename this one"), "{given_up}");
    world.restart().await;
    assert!(asks(&world, 10).await.is_err(), "though it is the first that this issuer hears");
    assert_eq!(asks(&world, 20).await, Ok(2));
}

#[tokio::test]
async fn without_the_database_a_relay_that_was_started_anew_goes_on_under_the_lease_there_is() {
    let world = three().await;
    world.keeper.set_away(true);
    drop(world.controller.step(None).await);
    while !world.controller.standing().frozen {
        world.clock.advance(1_000);
        drop(world.controller.step(None).await);
    }
    assert_eq!(asks(&world, 20).await, Ok(1), "nothing of it can be kept");
    assert_eq!(enters(&world, 1), None);
    world.keeper.set_away(false);
    drop(world.controller.step(None).await);
    assert_eq!(asks(&world, 20).await, Ok(2), "now it can");
}

/// The share of relay-2 in the view.
fn share(world: &World) -> u8 {
    let view = world.controller.views().borrow().clone().expect("there are relays");
    view.members.iter().find(|member| member.unit.as_str() == "relay-2").expect("it is known").share_percent
}

#[tokio::test]
async fn the_view_sends_nobody_to_an_address_that_the_lease_is_not_held_at_and_a_replay_says_the_same() {
    let mut world = World::start().await;
    world.controller.begin().await;
    for _ in 0..20 {
        world.second(false).await;
    }
    assert_eq!(share(&world), 100);
    assert_eq!(asks_at(&world, 20, "127.0.0.1:9").await, Ok(2), "the later process has the lease");
    world.second(false).await;
    assert_eq!(share(&world), 100, "its word alone takes nobody out of use");
    asks_at(&world, 20, "127.0.0.1:9").await.expect("it goes on");
    world.second(false).await;
    assert_eq!(
        (share(&world), enters(&world, 2)),
        (0, None),
        "there are two, as the first one asked, too; who finds the later one is served"
    );
    world.restart().await;
    for n in 0..20 {
        asks_at(&world, 20, "127.0.0.1:9").await.expect("it goes on");
        world.second(false).await;
        assert_eq!(share(&world), 0, "{n} s after another issuer took over");
    }
    for _ in 0..30 {
        world.second(false).await;
    }
    assert_eq!(share(&world), 100, "the later one ended, and the first goes on at its own address");
    let kinds = |row: &crate::pool::keeper::KeptDecision| (row.unit.clone(), row.kind.clone());
    let rows: Vec<(String, String)> = world.keeper.rows.lock().expect("no panic").iter().map(kinds).collect();
    let said: Vec<&str> =
        rows.iter().filter(|(unit, _)| unit == "relay-2").map(|(_, kind)| kind.as_str()).collect();
    let expected = ["register", "admit", "take_over", "alarm", "leave", "alarm_over", "admit"];
    assert_eq!(said, expected, "each once");
    for report in world.replayed().await {
        assert_eq!(report.difference, None);
    }
}
