//! Nothing stalls in silence: every open batch is looked at again and again, and each round leaves a
//! heartbeat.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, atomic::Ordering},
};

use tokio_util::sync::CancellationToken;

use crate::{
    domain::{
        batch::{Flag, FlagKind},
        batch_id::BatchId,
        municipality::MunicipalityCode,
    },
    store,
    telemetry::names,
};

use super::{core::Core, view};

/// The name of the heartbeat that another process may look at.
pub const HEARTBEAT: &str = "sweeper";
/// Batches read together.
const PAGE: u32 = 500;
/// Municipalities with holes that are named in one round.
const HOLES_MAX: u32 = 2000; // there are 1,741
/// Raised flags that are remembered, so that each is told once; beyond, they are counted but told again.
const RAISED_MAX: usize = 100_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Raised {
    municipality: MunicipalityCode,
    batch: Option<BatchId>,
    kind: FlagKind,
    /// The highest number missing of a sequence: one more hole is told, too.
    hole: u64,
}

/// Sweeps until told to stop.
pub(crate) async fn run(core: Arc<Core>, stop: CancellationToken) {
    let mut raised = HashSet::new();
    loop {
        match round(&core, &mut raised).await {
            Ok(()) => {
                let now_ms = core.clock.now_ms();
                core.heartbeat_ms.store(now_ms, Ordering::Relaxed);
                metrics::gauge!(names::SWEEP_HEARTBEAT).set(seconds(now_ms));
            }
            Err(error) => {
                tracing::error!(%error, "the sweeper's round failed: stalled batches may go unnoticed");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(core.options.sweep_every) => {}
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge is a float; milliseconds of this century fit into 53 bits"
)]
fn seconds(now_ms: i64) -> f64 {
    now_ms as f64 / 1000.0
}

/// Looks at everything that is open, once.
async fn round(core: &Core, raised: &mut HashSet<Raised>) -> Result<(), store::Error> {
    let mut standing = HashSet::new();
    let mut after = None;
    loop {
        let page = core.store.open_batches(after, PAGE).await?;
        let now_ms = core.clock.now_ms();
        for row in &page.rows {
            for flag in view::flags_of(row, &core.options, now_ms) {
                let (municipality, batch) = (row.municipality, Some(row.batch_id));
                let key = Raised { municipality, batch, kind: flag.kind, hole: 0 };
                stand(&mut standing, raised, key, &flag);
            }
        }
        let Some(next) = page.next else { break };
        after = Some(next);
    }
    let mut with_holes = HashSet::new();
    for holes in core.store.municipalities_with_holes(HOLES_MAX).await? {
        let municipality = holes.municipality;
        with_holes.insert(municipality);
        let detail =
            format!("{} sequence numbers were never opened, the highest is {}", holes.count, holes.highest);
        let flag = Flag { kind: FlagKind::SequenceHole, since_ms: core.clock.now_ms(), detail };
        let key = Raised { municipality, batch: None, kind: flag.kind, hole: holes.highest };
        stand(&mut standing, raised, key, &flag);
    }
    for cleared in raised.difference(&standing) {
        if cleared.kind == FlagKind::SequenceHole && with_holes.contains(&cleared.municipality) {
            continue; // the highest hole is another one now
        }
        let batch = cleared.batch.map(|id| id.to_string()).unwrap_or_default();
        tracing::info!(municipality.code = %cleared.municipality, batch.id = batch,
            flag = cleared.kind.as_str(), "{} of {} is over", cleared.kind, cleared.municipality);
    }
    gauges(&standing);
    *raised = standing;
    core.store.write_heartbeat(HEARTBEAT, core.clock.now_ms()).await
}

/// Notes a flag that holds; one that is new is told once.
fn stand(standing: &mut HashSet<Raised>, before: &HashSet<Raised>, key: Raised, flag: &Flag) {
    if standing.len() < RAISED_MAX {
        standing.insert(key);
    }
    if before.contains(&key) {
        return;
    }
    metrics::counter!(names::FLAGS_RAISED, names::FLAG => flag.kind.as_str()).increment(1);
    let batch = key.batch.map(|id| id.to_string()).unwrap_or_default();
    tracing::error!(municipality.code = %key.municipality, batch.id = batch,
        flag = flag.kind.as_str(), since_ms = flag.since_ms,
        "{} at {}: {}", flag.kind, key.municipality, flag.detail);
}

fn gauges(standing: &HashSet<Raised>) {
    let mut counts: BTreeMap<FlagKind, u32> = FlagKind::ALL.iter().map(|kind| (*kind, 0)).collect();
    for one in standing {
        *counts.entry(one.kind).or_default() += 1;
    }
    for (kind, count) in counts {
        metrics::gauge!(names::FLAGS, names::FLAG => kind.as_str()).set(count);
    }
}
