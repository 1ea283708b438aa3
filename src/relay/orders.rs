//! What its issuers order is done by a relay: it serves or stops serving, and before that leaves what it
//! recorded; it plays a fault, and ends it.

use std::{sync::Arc, time::Duration};

use crate::{pool::drill, telemetry::names, wire::pb::ReportResponse};

use super::{
    drill::Said,
    fence::Standing,
    shard::{Shard, Shared},
};

/// The longest wait for a bundle before the relay drains.
const BUNDLE_MAX: Duration = Duration::from_millis(250);

/// Takes a standing. Before it stops serving on an order, it leaves what it recorded; no disk holds that up
/// for long.
pub(super) async fn stand(shared: &Shared, shards: &[Arc<Shard>], standing: Standing) {
    if let Standing::Ordered { why, .. } = &standing
        && shared.fence.serves()
    {
        shared.recorder.note("ordered", why);
        if let Some(written) = shared.recorder.leave((shared, shards), "order", why) {
            let _ = tokio::time::timeout(BUNDLE_MAX, written).await;
        }
    }
    shared.fence.set(standing);
}

/// Does what is not done call by call of a drill that has begun.
pub(super) fn play(shared: &Shared, shards: &[Arc<Shard>]) {
    let begun = shared.drill.look();
    let plays = shared.drill.now().is_some();
    metrics::gauge!(names::RELAY_DRILL).set(if plays { 1.0 } else { 0.0 });
    if let Some(fault) = begun {
        shared.recorder.note("drill", &format!("it plays {fault} on an operator's order"));
    }
    match begun {
        Some(drill::Fault::Crash) => {
            tracing::error!("{} ends as in a crash, on an operator's order", shared.options.name);
            std::process::abort();
        }
        Some(drill::Fault::DropUpstream) => shards.iter().for_each(|shard| shard.upstreams().sever()),
        _ => {}
    }
}

/// The fault that is to be played; one that this version does not know is none.
pub(super) fn drilled(answer: &ReportResponse) -> Said {
    let left = Duration::from_millis(answer.drill_left_ms.into());
    Said { number: answer.drill_number, fault: answer.drill.parse().ok().map(|fault| (fault, left)) }
}
