//! The chunks of a sealed batch are worked off in their order, each exactly once, by whoever holds its lease;
//! a worker that dies loses the lease, and another goes on where the last commit was.

use std::{ops::Range, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    crash::{self, Point},
    domain::{
        date::Date,
        digest::Digest,
        manifest::{Manifest, Policy},
    },
    store::{self, BatchRow, Claim, Damage, Stored, WorkKey},
    telemetry::names,
    vault::{self, DataKey},
};

use super::{
    chunks::{self, Exploded, Origin},
    core::{Core, MANIFEST_REMEDY, whole_manifest},
    options::ms,
    reconcile::{self, ReadBack},
    recount::{self, Recount, by_district, in_words},
};

/// Candidates that an idle worker looks at together.
const CANDIDATES_MAX: u32 = 16;

/// Why a piece of work ended without its end being stored.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Somebody else has the lease now.
    LeaseLost,
    /// The issuer is about to stop.
    Stopping,
    /// The batch cannot come out right: these words go to its owner.
    Discrepant(String),
    /// This chunk is damaged in the database.
    Damaged(u32),
    /// The store failed.
    Store(store::Error),
    /// The key of its data does not open: nothing is wrong with what its sender sent.
    Locked(vault::Error),
}

impl From<store::Error> for Stop {
    fn from(error: store::Error) -> Self {
        Stop::Store(error)
    }
}

/// One piece of work in hand.
pub(crate) struct Job {
    pub(crate) core: Arc<Core>,
    pub(crate) claim: Claim,
    pub(crate) row: BatchRow,
    pub(crate) manifest: Manifest,
    roots: Vec<Digest>,
    pub(crate) key: Arc<DataKey>,
    /// The day that ages are judged at: the same for each attempt, and for a lost batch that comes again.
    today: Date,
    renewed_ms: i64,
    stop: CancellationToken,
}

/// Works off batches until told to stop.
pub(crate) async fn run(core: Arc<Core>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let woken = core.work.notified();
        let worked = match round(&core, &stop).await {
            Ok(worked) => worked,
            Err(error) => {
                tracing::warn!(%error, "cannot look for work; trying again");
                false
            }
        };
        if !worked {
            tokio::select! {
                () = stop.cancelled() => return,
                () = woken => {}
                () = tokio::time::sleep(core.options.work_poll) => {}
            }
        }
    }
}

/// Claims and works off one batch; `false` if there was none.
async fn round(core: &Arc<Core>, stop: &CancellationToken) -> Result<bool, store::Error> {
    for candidate in core.store.work_candidates(core.clock.now_ms(), CANDIDATES_MAX).await? {
        let (now_ms, lease_ms) = (core.clock.now_ms(), ms(core.options.lease));
        match core.store.claim_work(&candidate, &core.options.name, now_ms, lease_ms).await {
            Ok(Some(claim)) => {
                work_off(core, &candidate, claim, stop).await?;
                return Ok(true);
            }
            Ok(None) => {}
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => pass_over(core, &candidate, &error).await,
        }
    }
    Ok(false)
}

/// Tells of work that cannot be claimed, and puts it off: it is the longest due, and would hold up all
/// others.
async fn pass_over(core: &Core, work: &WorkKey, error: &store::Error) {
    let (id, wait) = (work.batch_id, core.options.retry.1);
    tracing::error!(municipality.code = %work.municipality, batch.id = %id, %error,
        "work on batch {id} cannot be begun; again in {} s", wait.as_secs());
    let now_ms = core.clock.now_ms();
    let due_ms = now_ms.saturating_add(ms(wait));
    if let Err(error) = core.store.postpone_work(work, now_ms, due_ms, "it could not be begun").await {
        tracing::warn!(batch.id = %id, %error, "batch {id} cannot be put off");
    }
}

async fn work_off(
    core: &Arc<Core>,
    work: &WorkKey,
    claim: Claim,
    stop: &CancellationToken,
) -> Result<(), store::Error> {
    let id = work.batch_id;
    let tries = claim.tries;
    let ended = match Job::prepare(core, &claim, stop).await {
        Ok(mut job) => match job.run().await {
            Err(Stop::Damaged(number)) => job.set_aside(number).await,
            ended => ended,
        },
        Err(stopped) => Err(stopped),
    };
    let now_ms = core.clock.now_ms();
    match ended {
        Ok(()) => {}
        Err(Stop::LeaseLost) => {
            tracing::warn!(batch.id = %id, "the lease on batch {id} went to another worker");
        }
        Err(Stop::Stopping) => {
            core.store.release_work(&claim, now_ms, "the issuer stopped").await?;
        }
        // Nobody could say which chunk is whole; the words are the owner's.
        Err(Stop::Damaged(number)) => reject(core, &claim, &in_words(&[number])).await?,
        Err(Stop::Discrepant(words)) => reject(core, &claim, &words).await?,
        Err(Stop::Store(error)) => {
            let wait = backoff(core.options.retry, tries);
            tracing::warn!(batch.id = %id, %error,
                "work on batch {id} failed; again in {} ms", wait.as_millis());
            core.store.release_work(&claim, now_ms + ms(wait), "the store failed").await?;
        }
        Err(Stop::Locked(error)) => {
            let wait = backoff(core.options.retry, tries);
            tracing::error!(municipality.code = %work.municipality, batch.id = %id, %error,
                "the data key of batch {id} does not open; again in {} ms", wait.as_millis());
            core.store.release_work(&claim, now_ms + ms(wait), "its data key does not open").await?;
        }
    }
    core.ended(work.municipality, id);
    Ok(())
}

/// Ends work on a batch that cannot come out right.
async fn reject(core: &Core, claim: &Claim, words: &str) -> Result<(), store::Error> {
    let id = claim.key.batch_id;
    tracing::error!(municipality.code = %claim.key.municipality, batch.id = %id,
        "batch {id} is discrepant: {words}");
    core.store.reject_batch(claim, words, core.clock.now_ms()).await.map(drop)
}

fn backoff((base, max): (Duration, Duration), tries: u32) -> Duration {
    base.saturating_mul(1 << tries.min(16)).min(max)
}

impl Job {
    async fn prepare(core: &Arc<Core>, claim: &Claim, stop: &CancellationToken) -> Result<Job, Stop> {
        let (municipality, id) = (claim.key.municipality, claim.key.batch_id);
        let row = core.store.batch(municipality, id).await?.ok_or(Stop::LeaseLost)?;
        let stored = core.store.manifest(municipality, id).await?;
        let stored =
            stored.ok_or_else(|| Stop::Discrepant("the manifest is gone from the database".to_owned()))?;
        let manifest = whole_manifest(&row, &stored)
            .map_err(|what| Stop::Discrepant(format!("the stored manifest {what}: {MANIFEST_REMEDY}")))?;
        let key = core.vault.unwrap(municipality, id, &row.wrapped_key).map_err(Stop::Locked)?;
        let key = Arc::new(key);
        let before = core.store.lost_receipt(municipality, id).await?;
        let before = before.and_then(|note| reconcile::read_before(&note));
        let before_ms = before.map_or(row.opened_ms, |(receipt, _)| receipt.committed_ms);
        let today = Date::in_japan(row.opened_ms.min(before_ms));
        let renewed_ms = core.clock.now_ms();
        let (core, claim, stop) = (Arc::clone(core), claim.clone(), stop.clone());
        let roots = stored.chunk_roots;
        Ok(Job { core, claim, row, manifest, roots, key, today, renewed_ms, stop })
    }

    async fn run(&mut self) -> Result<(), Stop> {
        let back = self.explode().await?;
        self.check_policy().await?;
        if !self.core.store.start_reconciling(&self.claim, self.core.clock.now_ms()).await? {
            return Err(Stop::LeaseLost);
        }
        self.core.changed(self.row.municipality, self.row.batch_id);
        reconcile::reconcile(self, back).await
    }

    /// The chunks from `first` on that are gone through together: one at least, and none at the end. It is
    /// one while changes of items come, which would wait for more.
    pub(crate) fn together(&self, first: u32) -> Range<u32> {
        let records = if self.core.store.is_pressed() { 0 } else { self.core.options.records_together };
        let chunks = records / self.row.chunk_records;
        first..first.saturating_add(chunks.max(1)).min(self.row.chunk_count)
    }

    /// Makes orders of the chunks that are left. While some are stored, the next are prepared, and those
    /// before are read back, on another core.
    async fn explode(&mut self) -> Result<ReadBack, Stop> {
        let mut back = ReadBack::default();
        let mut numbers = self.together(self.claim.next_chunk);
        let mut ready = self.exploded(numbers.clone()).await?;
        while !numbers.is_empty() {
            self.keep().await?;
            let (store, now_ms) = (self.core.store.clone(), self.core.clock.now_ms());
            let Exploded { orders, rejects } = ready;
            let stored = store.store_orders(&self.claim, numbers.clone(), orders, rejects, now_ms);
            let next = self.together(numbers.end);
            let stored_before = self.together(back.next()).end.min(numbers.start);
            let (stored, exploded, read) =
                tokio::join!(stored, self.exploded(next.clone()), back.go_on(self, stored_before));
            match stored? {
                Stored::Done { accepted, duplicate, rejected } => {
                    metrics::counter!(names::RECORDS, names::DISPOSITION => "accepted").increment(accepted);
                    metrics::counter!(names::RECORDS, names::DISPOSITION => "duplicate").increment(duplicate);
                    metrics::counter!(names::RECORDS, names::DISPOSITION => "rejected").increment(rejected);
                }
                Stored::LeaseLost => return Err(Stop::LeaseLost),
            }
            crash::point(Point::ChunkExploded);
            self.core.changed(self.row.municipality, self.row.batch_id);
            (numbers, ready, back) = (next, exploded?, read?);
            while self.core.store.enter_next_persons(&self.claim).await? {
                self.keep().await?;
            }
        }
        Ok(back)
    }

    async fn exploded(&self, numbers: Range<u32>) -> Result<Exploded, Stop> {
        let mut all = Exploded { orders: Vec::new(), rejects: Vec::new() };
        for number in numbers {
            let one = self.exploded_chunk(number).await?;
            all.orders.extend(one.orders);
            all.rejects.extend(one.rejects);
        }
        Ok(all)
    }

    async fn exploded_chunk(&self, number: u32) -> Result<Exploded, Stop> {
        let (municipality, batch) = (self.row.municipality, self.row.batch_id);
        let stored = self.core.store.chunk_payload(municipality, batch, number).await?;
        let (Some(stored), Some(announced)) = (stored, self.roots.get(number as usize).copied()) else {
            return Err(Stop::Damaged(number));
        };
        let len = self.row.records_in(&[number]);
        let origin = Origin { municipality, batch, today: self.today };
        let first = u64::from(number) * u64::from(self.row.chunk_records);
        let (key, core) = (Arc::clone(&self.key), Arc::clone(&self.core));
        let exploded = self.core.on_core(move || {
            let aad = chunks::chunk_aad(municipality, batch, number);
            let payload = recount::opened(&key, &aad, &stored, announced, len)?;
            chunks::explode(origin, first, &payload, &core.vault, &key)
        });
        exploded.await.ok_or(Stop::Damaged(number))
    }

    /// Looks at every chunk once one was found damaged, sets all that are aside, and makes the batch
    /// discrepant.
    async fn set_aside(&mut self, found: u32) -> Result<(), Stop> {
        let mut recount = Recount::default();
        for number in 0..self.row.chunk_count {
            self.keep().await?;
            let opened = recount::read(&self.core, &self.row, &self.key, number, &self.roots).await?;
            recount = recount.add(&self.core, number, opened).await;
        }
        let (whole, damaged) = recount.finish();
        if damaged.is_empty() {
            return Err(Stop::Damaged(found));
        }
        let (municipality, id, now_ms) = (self.row.municipality, self.row.batch_id, self.core.clock.now_ms());
        let words = format!(
            "{} in the database, and set aside: repair the batch, then send it again with `todoke resume`",
            in_words(&damaged)
        );
        let damage = Damage { chunks: &damaged, districts: &by_district(&whole), now_ms };
        if !self.core.store.quarantine_claimed(&self.claim, &damage, &words).await? {
            return Err(Stop::LeaseLost);
        }
        metrics::counter!(names::CHUNKS_DAMAGED).increment(damaged.len() as u64);
        tracing::error!(municipality.code = %municipality, batch.id = %id,
            "batch {id} is discrepant: {words}");
        Ok(())
    }

    /// Keeps the lease, and stops if the issuer is to stop. Called before each transaction.
    pub(crate) async fn keep(&mut self) -> Result<(), Stop> {
        if self.stop.is_cancelled() {
            return Err(Stop::Stopping);
        }
        let (now_ms, lease_ms) = (self.core.clock.now_ms(), ms(self.core.options.lease));
        // Whoever was renewed in the future was so before the clock was set back: the lease may end any
        // moment.
        if (0..lease_ms / 3).contains(&(now_ms - self.renewed_ms)) {
            return Ok(());
        }
        self.renewed_ms = now_ms;
        let kept = self.core.store.renew_work(&self.claim, now_ms, lease_ms).await?;
        if kept { Ok(()) } else { Err(Stop::LeaseLost) }
    }

    /// Compares what was rejected with what the policy allows.
    async fn check_policy(&self) -> Result<(), Stop> {
        let (municipality, id) = (self.row.municipality, self.row.batch_id);
        let row = self.core.store.batch(municipality, id).await?.ok_or(Stop::LeaseLost)?;
        let rejected = row.counts.rejected + row.counts.quarantined;
        let words = match self.manifest.policy {
            Policy::AllOrNothing if rejected > 0 => {
                format!("{rejected} rejected under ALL_OR_NOTHING: `todoke rejects --batch {id}` names them")
            }
            Policy::AcceptValid { max_rejects } if rejected > max_rejects => {
                format!(
                    "{rejected} rejected, {max_rejects} allowed: `todoke rejects --batch {id}` names them"
                )
            }
            Policy::AllOrNothing | Policy::AcceptValid { .. } => return Ok(()),
        };
        Err(Stop::Discrepant(words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_limit() {
        let retry = (Duration::from_secs(1), Duration::from_secs(60));
        assert_eq!(backoff(retry, 0), Duration::from_secs(1));
        assert_eq!(backoff(retry, 3), Duration::from_secs(8));
        assert_eq!(backoff(retry, 99), Duration::from_secs(60));
    }
}
