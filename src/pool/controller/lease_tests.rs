//! Promise: while something speaks against a unit, those that it is judged by are probed as often as it is;
//! and one that is drained is told to take calls no longer than the issuer does.

use super::fixture::World;
use crate::{
    domain::identity::Identity,
    pool::evidence::UnitId,
    wire::pb::{self, DrainUnit, EvidenceBucket, EvidenceClass, RelayOrder, order_unit_request::Order},
};

/// One second in which so many relays report, and find `relay-2` bad if it is sick. `relay-1` and it are of
/// one model, all others of their own.
async fn second(world: &mut World, units: usize, sick: bool) {
    world.pass(1);
    if world.second % 3 == 0 {
        world.controller.renew().await;
    }
    for n in 1..=units {
        let relay: Identity = format!("relay/relay-{n}").parse().expect("legal");
        let probes = |unit: usize| EvidenceBucket {
            second: world.second,
            unit: format!("relay-{unit}"),
            class: EvidenceClass::Probe.into(),
            call_count: 10,
            bad_count: if unit == 2 && sick { 8 } else { 0 },
            ..EvidenceBucket::default()
        };
        let attributes = pb::UnitAttributes {
            address: format!("127.0.0.1:{n}"),
            slot: format!("slot-{n}"),
            serial: format!("S{n}"),
            model: format!("HSM-{}", n.max(2)),
            image: format!("r{n}"),
            ..pb::UnitAttributes::default()
        };
        let buckets = (1..=units).filter(|other| *other != n).map(probes).collect();
        let request = pb::ReportRequest { buckets, attributes: Some(attributes), ..Default::default() };
        let _ = world.controller.report(&relay, request).await;
    }
    let _ = world.controller.step(None).await;
}

/// How often each unit of the pool is probed, in ms.
fn every_ms(world: &World) -> Vec<u32> {
    let core = world.controller.core();
    core.policy.units().values().map(|unit| core.probe_every_ms(unit)).collect()
}

#[tokio::test]
async fn all_of_a_small_pool_are_probed_each_second_while_one_is_suspect_and_in_a_large_one_its_siblings() {
    for (units, others_ms) in [(8, 1_000), (9, 5_000)] {
        let mut world = World::start().await;
        for _ in 0..30 {
            second(&mut world, units, false).await;
        }
        assert_eq!(every_ms(&world), vec![5_000; units], "nothing speaks against anybody");
        let sick: UnitId = "relay-2".parse().expect("a name");
        while !world.controller.core().judgement.units[&sick].suspect {
            second(&mut world, units, true).await;
        }
        let mut expected = vec![others_ms; units];
        expected[..2].fill(1_000);
        assert_eq!(every_ms(&world), expected, "{units} units");
    }
}

#[tokio::test]
async fn the_grace_of_a_well_relay_is_never_longer_than_what_is_left_of_its_drain() {
    for (drain_s, said_after_ms, grace_ms) in [(10, 300, 1_000), (1, 0, 1_000), (1, 300, 700), (2, 1_999, 1)]
    {
        let mut world = World::start().await;
        world.options.policy.drain_s = drain_s;
        world.restart().await;
        for _ in 0..30 {
            world.second(false).await;
        }
        world.order("d-1", "relay-3", Order::Drain(DrainUnit { why: "a test".to_owned() })).await;
        world.clock.advance(said_after_ms);
        let relay: Identity = "relay/relay-3".parse().expect("legal");
        let answer = world.controller.report(&relay, pb::ReportRequest::default()).await.expect("it may");
        assert_eq!(answer.order(), RelayOrder::Drain, "{}", answer.why);
        assert_eq!(answer.grace_ms, grace_ms, "after {said_after_ms} ms of {drain_s} s");
    }
}
