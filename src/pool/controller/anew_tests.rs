//! Promise: an issuer that was away for so long that its record says nothing of now takes its own ignorance
//! for no proof: a relay that it had steered callers away from stays so until it is judged again.

use super::fixture::World;
use crate::pool::policy::{Decision, State};

fn state(world: &World) -> State {
    world.controller.core().policy.units()[&"relay-2".parse().expect("a name")].state
}

/// Kinds and reasons of the decisions about the sick relay.
fn told(world: &World) -> Vec<(String, String)> {
    let rows = world.keeper.rows.lock().expect("no panic");
    let about = rows.iter().filter(|row| row.unit == "relay-2");
    about
        .map(|row| {
            let decision: Decision = serde_json::from_str(&row.record).expect("it was written so");
            (row.kind.clone(), decision.reason)
        })
        .collect()
}

/// A pool of three, started anew while the second is steered away from; it stays sick or not. Seconds until
/// it is not SUSPECT any more.
async fn left_suspicion(sick: bool) -> (World, u64) {
    let mut world = World::start().await;
    for _ in 0..30 {
        world.second(false).await;
    }
    let mut passed = 0;
    while state(&world) != State::Suspect {
        world.second(true).await;
        passed += 1;
        assert!(passed < 60, "{:?}", told(&world));
    }
    world.pass(61);
    world.restart().await;
    assert_eq!(state(&world), State::Suspect, "it is kept");
    for second in 1..=120 {
        world.second(sick).await;
        if state(&world) != State::Suspect {
            return (world, second);
        }
    }
    panic!("it is SUSPECT for ever: {:?}", told(&world));
}

#[tokio::test]
async fn one_that_is_still_sick_is_evicted_and_never_steered_back_before() {
    let (world, after) = left_suspicion(true).await;
    let told = told(&world);
    let kinds: Vec<&str> = told.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds[kinds.len() - 2..], ["steer_away", "evict"], "{after} s: {told:?}");
    for report in world.replayed().await {
        assert_eq!(report.difference, None);
    }
}

#[tokio::test]
async fn one_that_is_well_is_steered_back_by_evidence_which_is_said() {
    let (world, after) = left_suspicion(false).await;
    let told = told(&world);
    let (kind, reason) = told.last().expect("it was steered back");
    assert_eq!(kind, "steer_back");
    assert!(reason.ends_with("for 30 s on end, since its judge began anew"), "{reason}");
    assert!((30..=40).contains(&after), "{after} s");
    let reports = world.replayed().await;
    assert!(reports.len() >= 2, "each process has its own file");
    assert!(reports.iter().all(|report| report.difference.is_none()), "{reports:?}");
}
