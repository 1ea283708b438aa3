//! Promise: an order is carried out once and to its end, whoever hangs up, asks twice, or hears nothing of
//! what became of it.

use std::task::Poll;

use super::{
    fixture::{Memory, World},
    *,
};
use crate::{
    domain::identity::Identity,
    pool::policy::State,
    wire::{
        fault::{Fault, Reason},
        pb::{self, order_unit_request::Order},
    },
};

/// A pool of three that are in full use.
async fn three() -> World {
    let mut world = World::start().await;
    for _ in 0..30 {
        world.second(false).await;
    }
    assert_eq!(state(&world, "relay-3"), State::Healthy);
    world
}

fn state(world: &World, unit: &str) -> State {
    world.controller.core().policy.units()[&unit.parse().expect("a name")].state
}

fn drain(id: &str, unit: &str) -> pb::OrderUnitRequest {
    let order = Some(Order::Drain(pb::DrainUnit { why: "the rack is moved".to_owned() }));
    pb::OrderUnitRequest { request_id: id.to_owned(), unit: unit.to_owned(), order }
}

fn alice() -> Identity {
    "operator/alice".parse().expect("legal")
}

async fn order(world: &World, asked: pb::OrderUnitRequest) -> Result<pb::OrderUnitResponse, Fault> {
    world.controller.order(&alice(), asked).await
}

fn told(keeper: &Memory, kind: &str) -> usize {
    keeper.rows.lock().expect("no panic").iter().filter(|row| row.kind == kind).count()
}

#[tokio::test]
async fn a_pool_that_begins_raises_no_alarm() {
    let world = three().await;
    let told = ["alarm", "degraded"].map(|kind| told(&world.keeper, kind));
    assert_eq!(told, [0, 0]);
    assert!(!world.controller.list().expect("it can be read").degraded);
}

#[tokio::test]
async fn an_order_whose_commit_nobody_heard_of_is_in_force_if_it_was_done_and_only_then() {
    for done in [true, false] {
        let mut world = three().await;
        *world.keeper.unheard.lock().expect("no panic") = Some(done);
        let fault = order(&world, drain("d-1", "relay-3")).await.expect_err("nobody knows");
        assert_eq!(fault.reason, Reason::OutcomeUnknown);
        *world.keeper.unheard.lock().expect("no panic") = None;
        world.second(false).await;
        let expected = if done { State::Draining } else { State::Healthy };
        assert_eq!(state(&world, "relay-3"), expected, "done: {done}");
        let answer = order(&world, drain("d-1", "relay-3")).await.expect("asked again, it is known");
        assert_eq!(answer.unit.map(|unit| unit.state()), Some(pb::UnitState::Draining));
        assert_eq!(told(&world.keeper, "drain"), 1, "done: {done}");
        assert!(!world.controller.standing().frozen);
    }
}

#[tokio::test]
async fn an_order_to_a_frozen_pool_is_answered_at_once_and_changes_nothing() {
    let mut world = three().await;
    world.keeper.set_away(true);
    for _ in 0..12 {
        world.second(false).await;
    }
    assert!(world.controller.standing().frozen);
    let fault = order(&world, drain("d-1", "relay-3")).await.expect_err("nothing can be put on record");
    assert_eq!(fault.reason, Reason::DatabaseAway);
    assert!(
        fault.message.ends_with("no order is taken until it is back") && fault.retry_after.is_some(),
        "{fault}"
    );
    world.keeper.set_away(false);
    world.second(false).await;
    assert_eq!(state(&world, "relay-3"), State::Healthy);
    assert!(world.keeper.orders.lock().expect("no panic").is_empty());
    order(&world, drain("d-1", "relay-3")).await.expect("now it is carried out");
}

#[tokio::test]
async fn what_is_to_last_so_long_does_however_late_it_is_carried_out() {
    let world = three().await;
    let lasting = |id: &str, seconds| {
        let (until_time, lasts) = (None, Some(prost_types::Duration { seconds, nanos: 0 }));
        let order = Some(Order::PauseProbes(pb::PauseProbes { until_time, lasts }));
        pb::OrderUnitRequest { request_id: id.to_owned(), unit: "relay-3".to_owned(), order }
    };
    let asked = lasting("p-1", 3_600);
    world.clock.advance(60_000);
    order(&world, asked.clone()).await.expect("an hour is the most");
    world.clock.advance(60_000);
    let again = order(&world, asked).await.expect("the same order");
    assert!(again.ordered_time.is_some(), "it is said that this is the answer of then");
    for (id, seconds) in [("p-2", 3_601), ("p-3", 7_200)] {
        let fault = order(&world, lasting(id, seconds)).await.expect_err("too long");
        let words = format!("probes are paused for 1 to 3600 s, not for {seconds} s");
        assert!(fault.message.ends_with(&words), "{fault}");
    }
    let drill = |lasts: Option<i64>, until: i64| {
        let lasts = lasts.map(|seconds| prost_types::Duration { seconds, nanos: 0 });
        let until_time = Some(crate::wire::convert::timestamp(world.clock.now_ms() + until));
        let order = Some(Order::Drill(pb::DrillUnit { fault: "hang".to_owned(), until_time, lasts }));
        pb::OrderUnitRequest { request_id: "h-1".to_owned(), unit: "relay-3".to_owned(), order }
    };
    for (asked, words) in [
        (drill(Some(601), 0), "drill.lasts must be within the next ten minutes"),
        (drill(Some(0), 60_000), "drill.lasts is over already: say for how long"),
        (drill(None, -1), "drill.until_time is over already: say for how long"),
        (drill(None, 700_000), "drill.until_time must be within the next ten minutes"),
    ] {
        let fault = order(&world, asked).await.expect_err(words);
        assert_eq!((fault.reason, fault.message.as_str()), (Reason::FieldInvalid, words));
    }
}

#[tokio::test]
async fn that_the_database_was_away_is_on_record_once_with_its_end_whatever_was_heard_of_its_commits() {
    for done in [true, false] {
        for away in [false, true] {
            let mut world = three().await;
            let before = world.keeper.rows.lock().expect("no panic").len();
            world.keeper.set_away(away);
            // What is due every ten seconds is kept among these, or would be.
            for n in 0..24 {
                if n == 12 {
                    world.keeper.set_away(false);
                    *world.keeper.unheard.lock().expect("no panic") = Some(done);
                }
                world.second(false).await;
            }
            *world.keeper.unheard.lock().expect("no panic") = None;
            for _ in 0..3 {
                world.second(false).await;
            }
            assert!(!world.controller.standing().frozen);
            let rows = world.keeper.rows.lock().expect("no panic")[before..].to_vec();
            let kinds: Vec<&str> = rows.iter().map(|row| row.kind.as_str()).collect();
            let unlike = (1..rows.len()).all(|at| rows[at].record != rows[at - 1].record);
            let pairs = kinds.chunks(2).all(|pair| pair == ["alarm", "alarm_over"]);
            assert!(!kinds.is_empty() && pairs && unlike, "done: {done}, away: {away}: {kinds:?}");
        }
    }
}

#[tokio::test]
async fn a_database_that_can_be_read_and_not_written_is_away() {
    let mut world = three().await;
    world.keeper.set_full(true);
    for _ in 0..24 {
        world.second(false).await;
    }
    assert!(world.controller.standing().frozen && !world.controller.not_ready().is_empty());
    let fault = order(&world, drain("d-1", "relay-3")).await.expect_err("nothing can be put on record");
    assert_eq!(fault.reason, Reason::DatabaseAway);
    let leaves = world.controller.core().leaves(world.clock.now_ms());
    assert!(leaves.values().all(Option::is_some), "leases are extended: {leaves:?}");
    world.keeper.set_full(false);
    for _ in 0..4 {
        world.second(false).await;
    }
    assert!(!world.controller.standing().frozen);
    assert_eq!(["alarm", "alarm_over"].map(|kind| told(&world.keeper, kind)), [1, 1], "it is on record");

    // One that begins while it is so has nothing to decide by.
    world.keeper.set_full(true);
    world.restart().await;
    world.second(false).await;
    assert!(world.controller.standing().frozen);
}

#[tokio::test]
async fn a_lease_that_another_issuer_took_while_it_could_not_be_renewed_is_no_database_that_is_away() {
    for stolen in [true, false] {
        let world = three().await;
        world.keeper.set_away(true);
        assert!(!world.controller.renew().await);
        world.keeper.set_away(false);
        if stolen {
            world.keeper.steal();
        } else {
            world.keeper.set_full(true);
        }
        let fault = order(&world, drain("d-1", "relay-3")).await.expect_err("it is not kept");
        let said = (fault.reason, world.controller.standing().frozen, world.controller.standing().epoch > 0);
        match stolen {
            true => assert_eq!(said, (Reason::UpstreamUnavailable, false, false), "{fault}"),
            false => assert_eq!(said, (Reason::DatabaseAway, true, true), "{fault}"),
        }
    }
}

#[tokio::test]
async fn an_order_is_carried_out_to_its_end_though_its_caller_hangs_up() {
    let world = three().await;
    let closed = world.keeper.open.acquire().await.expect("it is never closed");
    {
        let mut asked = std::pin::pin!(order(&world, drain("d-1", "relay-3")));
        begin(&world, asked.as_mut()).await; // and it hangs up
    }
    drop(closed);
    let turn = tokio::time::timeout(Duration::from_secs(10), world.controller.0.turn.lock()).await;
    drop(turn.expect("it ends"));
    assert_eq!(told(&world.keeper, "drain"), 1, "it is kept");
    assert_eq!(state(&world, "relay-3"), State::Draining, "and in force");
}

#[tokio::test]
async fn one_order_that_comes_twice_at_once_is_carried_out_once_and_answered_twice() {
    let world = three().await;
    let closed = world.keeper.open.acquire().await.expect("it is never closed");
    let both = async {
        let (one, other) = (drain("d-1", "relay-3"), drain("d-1", "relay-3"));
        let third = drain("d-1", "relay-2");
        tokio::join!(order(&world, one), order(&world, other), order(&world, third))
    };
    let open = async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        drop(closed);
    };
    let ((one, other, third), ()) = tokio::join!(both, open);
    let (one, other) = (one.expect("it is carried out"), other.expect("it was carried out"));
    let asked_again = [&one, &other].map(|answer| answer.ordered_time.is_some());
    assert_eq!((&one.unit, asked_again), (&other.unit, [false, true]), "of the second that is said");
    assert_eq!(third.expect_err("it is another order").reason, Reason::RequestIdReused);
    assert_eq!(told(&world.keeper, "drain"), 1);
    assert!(!world.controller.standing().frozen);
}

/// Polls a future until the turn is taken: what it does is in work.
async fn begin(world: &World, mut asked: std::pin::Pin<&mut impl Future>) {
    let begun = std::future::poll_fn(|context| Poll::Ready(asked.as_mut().poll(context).is_ready()));
    assert!(!begun.await);
    while world.controller.0.turn.try_lock().is_ok() {
        tokio::task::yield_now().await;
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_pools_seconds_stay_by_the_clock_though_a_write_takes_long_and_reports_come_meanwhile() {
    let world = three().await;
    let closed = world.keeper.open.acquire().await.expect("it is never closed");
    let mut asked = std::pin::pin!(order(&world, drain("d-1", "relay-3")));
    begin(&world, asked.as_mut()).await;
    world.clock.advance(5_000);
    let relay = "relay/relay-1".parse().expect("legal");
    world.controller.report(&relay, pb::ReportRequest::default()).await.expect("it is answered");
    drop(closed);
    asked.await.expect("it is carried out");
    let clock = seconds(world.clock.now_ms());
    assert_eq!(world.controller.core().seconds.at(clock), clock, "not ahead of it");
}

/// Lets a relay report that is not registered, and stands in the place of another.
async fn intrude(world: &World, slot: &str) -> pb::ReportResponse {
    let attributes = Some(pb::UnitAttributes {
        address: "127.0.0.1:9".to_owned(),
        slot: slot.to_owned(),
        ..pb::UnitAttributes::default()
    });
    let request = pb::ReportRequest { attributes, ..pb::ReportRequest::default() };
    let relay = "relay/relay-9".parse().expect("legal");
    world.controller.report(&relay, request).await.expect("it is answered")
}

#[tokio::test]
async fn a_relay_that_may_not_register_itself_is_told_why_and_is_on_record_once() {
    let mut world = three().await;
    let steps = world.keeper.rows.lock().expect("no panic").len();
    for _ in 0..200 {
        let answer = intrude(&world, "relay-1").await;
        assert_eq!(answer.order(), pb::RelayOrder::Drain);
        assert!(answer.why.contains("relay-1 has that slot or that serial"), "{}", answer.why);
        world.second(false).await;
    }
    assert_eq!(told(&world.keeper, "refuse"), 1);
    intrude(&world, "relay-2").await;
    assert_eq!(told(&world.keeper, "refuse"), 2, "another reason");
    intrude(&world, "relay-9").await;
    assert_eq!(state(&world, "relay-9"), State::Joining, "and it may, when nothing is against it");
    assert!(world.keeper.rows.lock().expect("no panic").len() < steps + 10);
}

#[tokio::test]
async fn nobody_is_answered_what_another_was_refused() {
    let world = three().await;
    let closed = world.keeper.open.acquire().await.expect("it is never closed");
    let both = async { tokio::join!(intrude(&world, "relay-1"), order(&world, drain("d-1", "relay-3"))) };
    let open = async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        drop(closed);
    };
    let ((_, answer), ()) = tokio::join!(both, open);
    assert_eq!(answer.expect("it is carried out").unit.map(|unit| unit.unit), Some("relay-3".to_owned()));
    assert_eq!(told(&world.keeper, "refuse"), 1);
}
