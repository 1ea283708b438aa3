//! What every call and task of the issuer shares: the store, the vault, the clock and the limits in common.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use tokio::sync::{Notify, Semaphore};

use crate::{
    domain::{
        batch_id::BatchId, digest::Digest, manifest::Manifest, merkle, municipality::MunicipalityCode,
        note::VerifierKey,
    },
    net::tls::ServerTls,
    runtime::{self, clock::Clock},
    store::{self, BatchRow, Store},
    vault::{DataKey, Vault},
    wire::fault::{Fault, Reason},
};

use super::{expected::Expected, options::Options, places::Places, watches::Watches};

/// The shared part of the issuance service.
pub(crate) struct Core {
    pub(crate) options: Options,
    pub(crate) store: Store,
    pub(crate) vault: Vault,
    pub(crate) tls: ServerTls,
    pub(crate) clock: Clock,
    pub(crate) watches: Arc<Watches>,
    /// What the calendar expects.
    pub(crate) expected: Expected,
    /// Public receipt keys of before.
    pub(crate) former_keys: Vec<VerifierKey>,
    /// Wakes idle workers.
    pub(crate) work: Notify,
    pub(crate) streams: Places,
    pub(crate) seals: Places,
    pub(crate) watchers: Places,
    pub(crate) frames: Arc<Semaphore>,
    pub(crate) cores: Arc<Semaphore>,
    /// When a sweeper last finished a round, here or at another issuer, by its clock.
    pub(crate) heartbeat_ms: AtomicI64,
}

impl Core {
    pub(crate) fn new(
        options: Options,
        store: Store,
        vault: Vault,
        tls: ServerTls,
        clock: Clock,
        expected: Expected,
        former_keys: Vec<VerifierKey>,
    ) -> Arc<Self> {
        let permits = |n: usize| Arc::new(Semaphore::new(n.max(1)));
        Arc::new(Self {
            streams: Places::new("upload streams", options.streams_max, options.caller_streams_max),
            seals: Places::new("turns to seal", options.seals_max, options.caller_seals_max),
            watchers: Places::new("watchers", options.watchers_max, options.caller_watchers_max),
            frames: permits(options.frames_in_work_total_max),
            cores: permits(options.cpu_jobs_max),
            watches: Arc::default(),
            expected,
            former_keys,
            work: Notify::new(),
            heartbeat_ms: AtomicI64::new(clock.now_ms()),
            options,
            store,
            vault,
            tls,
            clock,
        })
    }

    /// Runs `job` where it may use a core for long, when it is its turn.
    pub(crate) async fn on_core<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let permit = Arc::clone(&self.cores).acquire_owned().await.expect("the semaphore is never closed");
        runtime::blocking(move || {
            let _permit = permit;
            job()
        })
        .await
    }

    /// Returns a batch of the caller's own. Another's is answered exactly as one that does not exist.
    pub(crate) async fn batch(&self, municipality: MunicipalityCode, id: BatchId) -> Result<BatchRow, Fault> {
        self.store.batch(municipality, id).await.map_err(store_fault)?.ok_or_else(|| not_found(id))
    }

    /// Returns the parsed manifest of a batch with its chunk roots.
    pub(crate) async fn manifest(&self, row: &BatchRow) -> Result<(Manifest, store::ManifestRow), Fault> {
        let stored = self.store.manifest(row.municipality, row.batch_id).await.map_err(store_fault)?;
        let stored = stored.ok_or_else(|| not_found(row.batch_id))?;
        let manifest = whole_manifest(row, &stored).map_err(|what| {
            tracing::error!(municipality.code = %row.municipality, batch.id = %row.batch_id,
                "the stored manifest of batch {} {what}: {MANIFEST_REMEDY}", row.batch_id);
            let words = format!("the stored manifest {what}: {MANIFEST_REMEDY}");
            Fault::new(Reason::Internal, words)
        })?;
        Ok((manifest, stored))
    }

    /// Returns the key of a batch's data.
    pub(crate) fn data_key(&self, row: &BatchRow) -> Result<DataKey, Fault> {
        self.vault.unwrap(row.municipality, row.batch_id, &row.wrapped_key).map_err(|error| {
            tracing::error!(batch.id = %row.batch_id, %error, "cannot open the data key of {}", row.batch_id);
            Fault::new(Reason::Internal, "the batch's data key cannot be opened: tell the operator")
        })
    }

    /// Tells whoever watches, here, that a batch changed.
    pub(crate) fn changed(&self, municipality: MunicipalityCode, id: BatchId) {
        self.watches.changed(municipality, id);
    }

    /// Tells them that the work on it has come to an end.
    pub(crate) fn ended(&self, municipality: MunicipalityCode, id: BatchId) {
        self.watches.ended(municipality, id);
    }

    /// Returns every reason why this issuer should not get calls.
    pub(crate) fn not_ready(&self) -> Vec<String> {
        let mut reasons = self.tls.ended();
        // A heartbeat that lies ahead is of before the clock was set back: it says nothing of now.
        let age = (self.clock.now_ms() - self.heartbeat_ms.load(Ordering::Relaxed)).abs();
        if age > super::options::ms(self.options.heartbeat_max) {
            reasons.push(format!(
                "the sweeper finished no round for {} s: stalled batches would not be noticed",
                age / 1000
            ));
        }
        reasons
    }
}

/// What mends a damaged manifest: its sender has the same bytes.
pub(crate) const MANIFEST_REMEDY: &str =
    "it is put right when its sender opens the batch again (`todoke resume`)";

/// Reads a stored manifest if it is, with its chunk roots, the one that the batch was opened with; otherwise
/// says what is wrong with it.
pub(crate) fn whole_manifest(row: &BatchRow, stored: &store::ManifestRow) -> Result<Manifest, &'static str> {
    if Digest::of(&stored.bytes) != row.manifest_digest {
        return Err("is not the one that was signed: it was altered in the database");
    }
    let manifest = Manifest::parse(&stored.bytes).map_err(|_| "is unreadable")?;
    if merkle::root(&stored.chunk_roots) != manifest.totals.merkle_root {
        return Err("has chunk roots that do not fold to its own: they were altered in the database");
    }
    Ok(manifest)
}

/// The answer for what does not exist, and for what is another's.
pub(crate) fn not_found(id: BatchId) -> Fault {
    Fault::new(Reason::NotFound, format!("this caller has no batch {id}"))
}

/// Reads a batch id.
pub(crate) fn batch_id(text: &str) -> Result<BatchId, Fault> {
    text.parse().map_err(|error| {
        Fault::new(Reason::FieldInvalid, format!("batch_id: {error}"))
            .violation("batch_id", format!("{error}"))
    })
}

/// Says what a failure of the store means for the caller, and logs it once.
#[expect(clippy::needless_pass_by_value, reason = "it takes what map_err gives")]
pub(crate) fn store_fault(error: store::Error) -> Fault {
    if error.may_have_applied() {
        tracing::warn!(%error, "the outcome of a transaction is unknown");
        return Fault::new(Reason::OutcomeUnknown, "it is not known whether this was committed: ask again")
            .after(std::time::Duration::from_secs(1));
    }
    if matches!(error, store::Error::Full) {
        tracing::error!(%error, "the disk of the database is full: calls are refused until there is room");
        let words = "the disk of the database is full, and nothing was changed: tell the operator to free \
                     some space, then try again";
        return Fault::new(Reason::UpstreamUnavailable, words).after(std::time::Duration::from_secs(1));
    }
    if error.is_transient() {
        tracing::warn!(%error, "the store is busy or away");
        return Fault::new(Reason::UpstreamUnavailable, "the database is busy or away: try again")
            .after(std::time::Duration::from_secs(1));
    }
    tracing::error!(%error, "the store failed");
    Fault::new(Reason::Internal, "the store failed: tell the operator the time of this call")
}
