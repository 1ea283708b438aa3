//! One issuer at a time sweeps, by a lease of the database; when it stops another takes over at once, when it
//! dies within the lease.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{store, telemetry::names};

use super::{
    compare,
    core::Core,
    options::ms,
    sweep::{self, HEARTBEAT, Raised},
};

/// How long the lease to sweep lives without being renewed.
const LEASE: Duration = Duration::from_secs(10);
/// How often it is renewed, and how often others ask for it.
const RENEW_EVERY: Duration = Duration::from_secs(3);

/// What the issuer that sweeps knows between two rounds.
#[derive(Default)]
struct Sweeper {
    /// Of the lease that is held here; 0: another issuer sweeps, or nobody.
    epoch: u64,
    raised: HashSet<Raised>,
    /// When the last round began.
    last_ms: Option<i64>,
}

/// Sweeps whenever it is this issuer's part, until told to stop; then it gives its lease back.
pub(crate) async fn run(core: Arc<Core>, stop: CancellationToken) {
    let mut sweeper = Sweeper::default();
    let mut due = Instant::now();
    while !stop.is_cancelled() {
        match sweeper.turn(&core, due <= Instant::now()).await {
            Ok(true) => due = Instant::now() + core.options.sweep_every,
            Ok(false) => {}
            Err(error) => {
                due = Instant::now() + core.options.sweep_every;
                tracing::error!(%error, "the sweeper's round failed: stalled batches may go unnoticed");
            }
        }
        let next = due.saturating_duration_since(Instant::now());
        // Where another one sweeps a round is always due.
        let pause = if next.is_zero() { core.options.sweep_every } else { next };
        stop.run_until_cancelled(sleep(pause.min(RENEW_EVERY))).await;
    }
    let epoch = sweeper.epoch;
    if epoch > 0 {
        sweeper.rest();
        let now_ms = core.clock.now_ms();
        let given = core.store.give_up_lease(HEARTBEAT, &core.options.name, epoch, now_ms);
        if let Ok(Err(error)) = timeout(RENEW_EVERY, given).await {
            tracing::warn!(%error, "the lease to sweep was not given back: another takes it in 10 s");
        }
    }
}

async fn take(core: &Core, held: u64) -> Result<Option<u64>, store::Error> {
    let (now_ms, lease_ms) = (core.clock.now_ms(), ms(LEASE));
    core.store.take_lease(HEARTBEAT, &core.options.name, held, now_ms, lease_ms).await
}

/// Keeps the lease as long as it can, and returns when it is another's.
async fn lost(core: &Core, held: u64) {
    loop {
        sleep(RENEW_EVERY).await;
        match take(core, held).await {
            Ok(Some(epoch)) if epoch == held => {}
            Ok(_) => return,
            Err(error) => tracing::warn!(%error, "the lease to sweep was not renewed: {error}"),
        }
    }
}

impl Sweeper {
    /// Keeps its lease, or tries to get it, and sweeps if it is held and a round is due; whether it was.
    async fn turn(&mut self, core: &Core, is_due: bool) -> Result<bool, store::Error> {
        self.hold(take(core, self.epoch).await?.unwrap_or_default());
        if self.epoch == 0 {
            follow(core).await?;
            return Ok(false);
        }
        if !is_due {
            return Ok(false);
        }
        let sweeping = async {
            sweep::set_back(core, &mut self.last_ms).await?;
            sweep::round(core, &mut self.raised).await
        };
        tokio::select! {
            swept = sweeping => swept?,
            () = lost(core, self.epoch) => return Ok(true),
        }
        beat(core, core.clock.now_ms());
        Ok(true)
    }

    /// Notes of which epoch the lease is now.
    fn hold(&mut self, epoch: u64) {
        if epoch == 0 && self.epoch > 0 {
            tracing::warn!("the lease to sweep is over here: another issuer took it");
            self.rest();
        }
        if epoch > 0 && self.epoch == 0 {
            tracing::info!(epoch, "this issuer looks for batches that do not move, epoch {epoch}");
        }
        self.epoch = epoch;
        metrics::gauge!(names::SWEEP_EPOCH).set(u32::try_from(epoch).unwrap_or(u32::MAX));
    }

    /// Sweeps no more; what was raised is for the next sweeper to tell.
    fn rest(&mut self) {
        *self = Self::default();
        sweep::gauges(&self.raised);
        compare::progress(std::iter::empty());
        metrics::gauge!(names::SWEEP_EPOCH).set(0);
    }
}

/// Knows what another issuer's sweeper does, and what this one would need.
async fn follow(core: &Core) -> Result<(), store::Error> {
    core.expected.refresh();
    if let Some(swept_ms) = core.store.heartbeat(HEARTBEAT).await? {
        beat(core, swept_ms);
    }
    Ok(())
}

fn beat(core: &Core, swept_ms: i64) {
    core.heartbeat_ms.store(swept_ms, Ordering::Relaxed);
    metrics::gauge!(names::SWEEP_HEARTBEAT).set(seconds(swept_ms));
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge is a float; milliseconds of this century fit into 53 bits"
)]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}
