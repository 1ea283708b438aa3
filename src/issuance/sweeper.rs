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
    card::Expiring,
    compare,
    core::Core,
    options::ms,
    sweep::{self, HEARTBEAT, Raised},
};

/// How long the lease to sweep lives without being renewed.
const LEASE: Duration = Duration::from_secs(10);
/// How often it is renewed, and how often others ask for it.
const RENEW_EVERY: Duration = Duration::from_secs(3);

/// Rounds that fail in a row before another issuer is to try: it may be this one that cannot.
const FAILED_MAX: u32 = 3;

/// What the issuer that sweeps knows between two rounds.
#[derive(Default)]
struct Sweeper {
    /// Of the lease that is held here; 0: another issuer sweeps, or nobody.
    epoch: u64,
    raised: HashSet<Raised>,
    /// Where it goes on with cards whose last day is over.
    expiring: Expiring,
    /// When the last round began.
    last_ms: Option<i64>,
    /// When the next one is due; `None`: now.
    due: Option<Instant>,
    /// Rounds that failed since one was finished.
    failed: u32,
    /// When it was last looked what another issuer's sweeper does.
    followed_ms: Option<i64>,
    /// Until then the lease is left to others.
    stands_back: Option<Instant>,
}

/// Sweeps whenever it is this issuer's part, until told to stop; then it gives its lease back.
pub(crate) async fn run(core: Arc<Core>, stop: CancellationToken) {
    let mut sweeper = Sweeper::default();
    let pause = core.options.sweep_every.min(RENEW_EVERY);
    while !stop.is_cancelled() {
        sweeper.turn(&core).await;
        stop.run_until_cancelled(sleep(pause)).await;
    }
    sweeper.give_up(&core).await;
}

async fn take(core: &Core, held: u64) -> Result<Option<u64>, store::Error> {
    let (now_ms, lease_ms) = (core.clock.now_ms(), ms(LEASE));
    core.store.take_lease(HEARTBEAT, &core.options.name, held, now_ms, lease_ms).await
}

/// Keeps the lease as long as it can; returns the epoch of a new one, or 0 when it is another's.
async fn lost(core: &Core, held: u64) -> u64 {
    loop {
        sleep(RENEW_EVERY).await;
        match take(core, held).await {
            Ok(Some(epoch)) if epoch == held => {}
            Ok(taken) => return taken.unwrap_or_default(),
            Err(error) => tracing::warn!(%error, "the lease to sweep was not renewed: {error}"),
        }
    }
}

impl Sweeper {
    /// Keeps its lease, or tries to get it, and sweeps if it is held and a round is due.
    async fn turn(&mut self, core: &Core) {
        let now = Instant::now();
        if self.stands_back.is_none_or(|until| until <= now) {
            match take(core, self.epoch).await {
                Ok(taken) => self.hold(taken.unwrap_or_default()),
                Err(error) => return tracing::warn!(%error, "the lease to sweep cannot be had: {error}"),
            }
        }
        if self.epoch == 0 {
            if let Err(error) = self.follow(core).await {
                tracing::warn!(%error, "it cannot be read whether another issuer sweeps: {error}");
            }
        } else if self.due.is_none_or(|due| due <= now) {
            self.sweep(core).await;
        }
    }

    async fn sweep(&mut self, core: &Core) {
        let epoch = self.epoch;
        let sweeping = async {
            sweep::set_back(core, &mut self.last_ms).await?;
            sweep::round(core, &mut self.raised).await?;
            self.expiring.round(core).await
        };
        let swept = tokio::select! {
            swept = sweeping => swept,
            taken = lost(core, epoch) => return self.hold(taken),
        };
        self.due = Some(Instant::now() + core.options.sweep_every);
        match swept {
            Ok(()) => {
                self.failed = 0;
                beat(core, core.clock.now_ms());
            }
            Err(error) => {
                tracing::error!(%error, "the sweeper's round failed: stalled batches may go unnoticed");
                self.failed += 1;
                if self.failed >= FAILED_MAX {
                    self.give_up(core).await;
                    self.stands_back = Some(Instant::now() + LEASE);
                }
            }
        }
    }

    /// Gives the lease back, if it is held, so that another issuer takes it at once.
    async fn give_up(&mut self, core: &Core) {
        let epoch = self.epoch;
        if epoch == 0 {
            return;
        }
        self.rest();
        let now_ms = core.clock.now_ms();
        let given = core.store.give_up_lease(HEARTBEAT, &core.options.name, epoch, now_ms);
        if let Ok(Err(error)) = timeout(RENEW_EVERY, given).await {
            tracing::warn!(%error, "the lease to sweep was not given back: another takes it in 10 s");
        }
    }

    /// Knows what another issuer's sweeper does, and what this one would need. A clock that is set back here
    /// is noticed here, whoever sweeps.
    async fn follow(&mut self, core: &Core) -> Result<(), store::Error> {
        core.expected.refresh();
        self.followed_ms.get_or_insert(core.clock.now_ms());
        sweep::set_back(core, &mut self.followed_ms).await?;
        if let Some(swept_ms) = core.store.heartbeat(HEARTBEAT).await? {
            beat(core, swept_ms);
        }
        Ok(())
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
