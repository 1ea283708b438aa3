//! Promise: a unit that an operator unregistered is nowhere any more, is said to have been, and is replayed
//! so; what registers itself after that begins anew.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

use super::fixture::World;
use crate::{
    pool::evidence::UnitId,
    wire::{
        fault::Reason,
        pb::{DrainUnit, UnregisterUnit, order_unit_request::Order},
    },
};

/// What Prometheus reads of relay-3 that is so, after a step.
fn figures(world: &World, recorder: &PrometheusRecorder) -> Vec<String> {
    metrics::with_local_recorder(recorder, || {
        let mut core = world.controller.core();
        // The steps before were shown to nobody.
        core.shown = ["relay-1", "relay-2", "relay-3"].map(|name| name.parse().expect("a name")).into();
        core.show(0);
    });
    let page = recorder.handle().render();
    let of_it = page.lines().filter(|line| line.contains("relay-3"));
    of_it.filter(|line| !line.ends_with(" 0") && !line.ends_with(" NaN")).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_unit_that_is_unregistered_is_nowhere_any_more_and_a_replay_says_the_same() {
    let mut world = World::start().await;
    world.controller.begin().await;
    for _ in 0..20 {
        world.second(false).await;
    }
    let why = "the box is scrapped".to_owned();
    world.order("d-1", "relay-3", Order::Drain(DrainUnit { why: why.clone() })).await;
    for _ in 0..12 {
        world.second(false).await;
    }
    let recorder = PrometheusBuilder::new().build_recorder();
    let drained = ["todoke_pool_unit_state{unit=\"relay-3\",state=\"DRAINED\"} 1"];
    assert_eq!(figures(&world, &recorder), drained);
    let unit: UnitId = "relay-3".parse().expect("a name");
    let generation = world.controller.core().policy.units()[&unit].generation;
    let forget = || Order::Unregister(UnregisterUnit { why: why.clone() });
    // Its process runs: for as long as it may only be silent for a moment, too.
    for silent_s in [0, 15] {
        if silent_s > 0 {
            world.relays = vec![1, 2];
        }
        for _ in 0..silent_s {
            world.second(false).await;
        }
        let refused = world.try_order("u-1", "relay-3", forget()).await.expect_err("it would be back");
        assert_eq!(refused.reason, Reason::OrderRefused);
        assert!(refused.message.contains("relay-3 is DRAINED and its process reports"), "{refused}");
    }
    world.second(false).await;
    world.order("u-1", "relay-3", forget()).await;

    assert_eq!(figures(&world, &recorder), Vec::<String>::new());
    let view = world.controller.views().borrow().clone().expect("there are relays");
    let named: Vec<&str> = view.members.iter().map(|member| member.unit.as_str()).collect();
    assert_eq!(named, ["relay-1", "relay-2"]);
    let relay = "relay/relay-3".parse().expect("legal");
    let path = "/todoke.v1.BatchService/GetBatch";
    let entered = world.controller.gate().enter(&relay, Some(generation), path, world.clock.now_ms());
    assert_eq!(entered.err().map(|fault| fault.reason), Some(Reason::RelayFenced));
    let targets = world.controller.core().targets(None);
    assert!(targets.iter().all(|target| target.unit != "relay-3"), "{targets:?}");
    let said = world.controller.explain("relay-3").await.expect_err("it is unknown");
    assert_eq!(said.reason, Reason::UnitUnknown);
    for words in ["not registered any more", "operator/alice unregistered relay-3: the box is scrapped"] {
        assert!(said.message.contains(words), "{said}");
    }
    let never = world.controller.explain("relay-9").await.expect_err("it never was");
    assert!(never.message.contains("no unit is named relay-9"), "{never}");

    world.relays.push(3);
    world.second(false).await;
    let began = world.controller.core().policy.units()[&unit].generation;
    assert!(began > generation, "its process registered it anew, and no lease of before is good");
    for report in world.replayed().await {
        assert_eq!(report.difference, None);
    }
}

#[tokio::test]
async fn the_last_view_stays_published_when_the_last_unit_is_forgotten_and_the_answer_says_so() {
    let mut world = World::start().await;
    world.controller.begin().await;
    world.relays = vec![3];
    for _ in 0..5 {
        world.second(false).await;
    }
    world.relays.clear();
    for _ in 0..40 {
        world.second(false).await;
    }
    let before = world.controller.signed_view().expect("there was a relay");
    let forget = Order::Unregister(UnregisterUnit { why: "the pool moves".to_owned() });
    let answer = world.try_order("u-1", "relay-3", forget).await.expect("nobody is there");
    assert!(answer.warnings[0].contains("the view that names it stays published"), "{answer:?}");
    world.second(false).await;
    assert_eq!(world.controller.signed_view(), Some(before), "a view is never empty");
    assert!(world.controller.list().expect("it can be read").units.is_empty());
}
