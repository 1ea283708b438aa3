//! Municipalities with clients that choose no relay: each calls over every one, as often as over the others.

use std::{sync::Arc, time::Duration};

use todoke::wire::pb;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::harness::{Pool, Relay, WARDS};
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
pub(super) fn crowd(pool: &Pool, relays: &[Relay]) -> Crowd {
    let mut calling = JoinSet::new();
    for ward in &WARDS[..WARDS.len() - 1] {
        for relay in relays {
            calling.spawn(call_on(pool.ward(ward, relay)));
        }
    }
    Crowd { _calling: calling }
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
