//! Promise: a unit that fails callers while its probes are green is steered away from, then evicted by
//! evidence as the one cause, and a client of ours sees no failed call meanwhile.

use std::time::Duration;

use todoke::{
    client::calls::{CallOptions, Caller, Weight},
    wire::{
        convert::timestamp,
        fault::Reason,
        pb::{self, UnitState, order_unit_request::Order},
    },
};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{
    crowd::crowd,
    harness::{Pool, Relay, WARDS, ask, order, quick, reason},
};

/// Calls as our own client does, until told to stop; returns how many calls it made and which failed.
fn own_client(pool: &Pool, relays: &[Relay], stop: CancellationToken) -> JoinSet<(u32, Vec<String>)> {
    let ward = WARDS[WARDS.len() - 1];
    let named = (1..).map(|number| format!("relay-{number}"));
    let channels = named.zip(relays.iter().map(|relay| pool.ward(ward, relay).channel)).collect();
    let caller = Caller::new(channels, CallOptions::default(), 7);
    let mut calling = JoinSet::new();
    calling.spawn(async move {
        let (mut made, mut failed, mut ticks) = (0, Vec::new(), interval(Duration::from_millis(200)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let called = caller.call("ListBatches", Weight::Light, |attempt| async move {
                let request = attempt.request(pb::ListBatchesRequest::default());
                attempt.batches().list_batches(request).await
            });
            made += 1;
            failed.extend(called.await.err().map(|error| error.to_string()));
        }
        (made, failed)
    });
    calling
}

/// Plays a fault on `relay-2` of three until it is evicted.
async fn is_evicted_for(fault: &str) {
    let pool = Pool::start(quick()).await;
    let relays = pool.relays(3).await;
    let _crowd = crowd(&pool, &relays);
    let stop = CancellationToken::new();
    let mut own = own_client(&pool, &relays, stop.clone());
    let until_time = Some(timestamp(pool.issuer.clock.now_ms() + 300_000));
    let drill = Order::Drill(pb::DrillUnit { fault: fault.to_owned(), until_time });
    pool.order(order("x-1", "relay-2", drill)).await.expect("an operator may");

    let steered = pool.decided("relay-2", "steer_away").await;
    assert_eq!((steered.rule.as_str(), steered.to_state()), ("S1", UnitState::Suspect), "{}", steered.why);
    let evicted = pool.decided("relay-2", "evict").await;
    assert_eq!(evicted.rule, "E1", "{}", evicted.why);
    let record: serde_json::Value = serde_json::from_str(&evicted.record_json).expect("it is JSON");
    assert_eq!(record["verdict"]["kind"], "UNIT", "{record}");
    assert_eq!(record["verdict"]["unit"], "relay-2");
    relays[1].serves_not().await;
    assert_eq!(reason(ask(&pool.ward(WARDS[0], &relays[1])).await), Some(Reason::RelayFenced));
    for (at, other) in [(0, "relay-1"), (2, "relay-3")] {
        let kinds: Vec<String> = pool.decisions(other).await.into_iter().map(|one| one.kind).collect();
        assert_eq!(kinds, ["register", "admit"], "{other} goes on as before");
        ask(&pool.ward(WARDS[0], &relays[at])).await.expect("it serves");
    }
    stop.cancel();
    let (made, failed) = own.join_next().await.expect("it was begun").expect("it ends");
    assert!(made > 20 && failed.is_empty(), "{} of {made} calls failed: {failed:?}", failed.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_hangs_behind_green_probes_is_evicted_and_costs_our_client_no_call() {
    is_evicted_for("hang").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_fails_most_calls_behind_green_probes_is_evicted_and_costs_our_client_no_call() {
    is_evicted_for("fail:80").await;
}
