//! Promise: a process that stood still for longer than its lease changes nothing that is no longer its own.

use std::time::{Duration, Instant};

use super::{
    super::system::{Signal, eventually, signal},
    harness::Scene,
};

/// Stops the issuer at a point until its leases are over and its client has lost patience with the relays.
async fn stopped(at: &str) {
    let scene = Scene::start_at(Some(at), &[]).await;
    let client = scene.import("cards.csv", &["--ack-timeout", "1s"], &[]);
    let (pid, since) = (scene.once().await, Instant::now());
    let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    eventually("the issuer to stand still", || state().contains(") T ")).await;
    eventually("its lease to be over", || since.elapsed() > Duration::from_millis(1500)).await;
    signal(Signal::CONT, pid);
    let (code, result, heard) = client.ends().await;
    assert_eq!(code, Some(0), "{heard:?}");
    scene.is_done("cards.csv", &result).await;
    scene.has_the_cards_of(&["cards.csv"]).await;
    assert_eq!(scene.folder.endpoints()["issuers"][0]["pid"], pid, "it never died");
    scene.over().await;
}

#[tokio::test]
async fn an_issuer_stopped_inside_the_transaction_of_a_chunk() {
    stopped("chunk-half-stored:4=stop").await;
}

#[tokio::test]
async fn an_issuer_stopped_between_the_orders_of_two_chunks() {
    stopped("chunk-exploded:4=stop").await;
}

#[tokio::test]
async fn an_issuer_stopped_between_the_acceptance_and_its_news() {
    stopped("half-accepted=stop").await;
}
