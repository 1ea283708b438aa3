//! Municipalities that call: with clients that choose no relay, each over every one as often as over the
//! others; and one with our own client.

use std::{sync::Arc, time::Duration};

use todoke::{
    client::calls::{CallOptions, Caller, Weight},
    wire::pb,
};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::harness::{Pool, WARDS};
use crate::issuance::harness::{Party, id};

/// How often each calls over each relay.
const EVERY: Duration = Duration::from_millis(400);

/// The longest that one waits: longer than any threshold above which a call is bad.
const PATIENCE: Duration = Duration::from_secs(4);

/// Calls until it is dropped, whatever becomes of the calls.
pub(super) struct Crowd {
    _calling: JoinSet<()>,
}

/// All municipalities but the last, which stays for the test.
pub(super) fn crowd(pool: &Pool, addresses: &[String]) -> Crowd {
    let mut calling = JoinSet::new();
    for ward in &WARDS[..WARDS.len() - 1] {
        for address in addresses {
            calling.spawn(call_on(pool.ward_at(ward, address)));
        }
    }
    Crowd { _calling: calling }
}

/// Calls as our own client does as the last municipality over `relay-1` and so on at these addresses, until
/// told to stop; returns how many calls it made and which failed.
pub(super) fn own_client(
    pool: &Pool,
    addresses: &[String],
    stop: CancellationToken,
) -> JoinSet<(u32, Vec<String>)> {
    let ward = WARDS[WARDS.len() - 1];
    let named = (1..).map(|number| format!("relay-{number}"));
    let channels = named.zip(addresses.iter().map(|address| pool.ward_at(ward, address).channel)).collect();
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

async fn call_on(party: Party) {
    let party = Arc::new(party);
    let (mut calls, mut ticks) = (JoinSet::new(), interval(EVERY));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        while calls.try_join_next().is_some() {}
        let party = Arc::clone(&party);
        calls.spawn(async move {
            let mut request = party.request(pb::GetBatchRequest { batch_id: id(1).to_string() });
            request.set_timeout(PATIENCE);
            let _ = party.batches().get_batch(request).await; // whatever becomes of it
        });
    }
}
