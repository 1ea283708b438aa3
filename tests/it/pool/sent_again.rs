//! Promise: a relay process that stops in the middle of small calls costs none of them: they are answered
//! over another in good time, few are sent twice, and it is left alone after a handful.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use todoke::{
    client::calls::{Attempt, CallOptions, Caller, Weight},
    wire::pb::{self, UnitState},
};
use tokio::time::Instant;

use super::harness::{Pool, WARDS, quick};
use crate::{
    issuance::harness::Party,
    system::{Folder, Signal, signal},
};

/// Makes a call and counts how often it is sent; how long it took.
async fn call(caller: &Caller, sent: &AtomicU64) -> Duration {
    let begun = Instant::now();
    let send = |attempt: Attempt| {
        sent.fetch_add(1, Relaxed);
        let request = attempt.request(pb::ListBatchesRequest::default());
        async move { attempt.batches().list_batches(request).await }
    };
    let answer = caller.call("ListBatches", Weight::Light, send).await;
    assert!(answer.is_ok(), "{}", answer.expect_err("it failed"));
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_stops_costs_no_call_and_few_of_them_time() {
    let mut options = quick();
    options.rule.budget_years = 100.0; // what is seen here is the client, before any verdict
    let pool = Pool::start(options).await;
    let relays = pool.relays(2).await;
    let folder = Folder::new();
    let third = pool.process(&folder, "relay-3");
    let unit = pool.until("relay-3", UnitState::Healthy).await;
    let address = unit.attributes.expect("it said what it is").address;
    let stopped = Party::at(&pool.issuer.dir.path().join("pki"), WARDS[0], &address);
    let channels = [
        ("relay-1".to_owned(), pool.ward(WARDS[0], &relays[0]).channel),
        ("relay-2".to_owned(), pool.ward(WARDS[0], &relays[1]).channel),
        ("relay-3".to_owned(), stopped.channel),
    ];
    let (caller, sent) = (Caller::new(channels.into(), CallOptions::default(), 7), AtomicU64::new(0));
    for _ in 0..60 {
        call(&caller, &sent).await;
    }
    signal(Signal::STOP, third.pid());
    sent.store(0, Relaxed);
    let begun = Instant::now();
    let mut took = Vec::new();
    for _ in 0..200 {
        took.push(call(&caller, &sent).await);
    }
    let (seconds, slow) = (begun.elapsed().as_secs(), took.iter().filter(|took| took.as_secs() >= 2).count());
    signal(Signal::CONT, third.pid());
    let twice = sent.load(Relaxed) - 200;
    assert!(twice >= 1, "none was sent over the one that stopped");
    assert!(twice <= 10 + 20 + seconds, "{twice} of 200 were sent twice in {seconds} s, over the budget");
    assert!(slow <= 4, "{slow} of 200 took longer than 2 s: {took:?}");
}
