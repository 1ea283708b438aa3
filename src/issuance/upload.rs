//! A chunk is acknowledged only after its transaction committed; a stream that breaks leaves whole chunks or
//! nothing.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::OwnedSemaphorePermit,
    task::{JoinError, JoinSet},
    time::Instant,
};
use tonic::Streaming;

use crate::{
    crash::{self, Point},
    domain::{manifest::Manifest, ranges::Ranges},
    store::{BatchRow, ManifestRow, NewChunk, PutChunk},
    telemetry::names,
    vault::DataKey,
    wire::{
        fault::{Fault, Reason},
        pb,
    },
};

use super::{
    caller::Caller,
    chunks,
    core::{Core, not_found, store_fault},
    deadline::Deadline,
    frames, ledger,
    outlet::Outlet,
    view,
};

/// Acknowledgements that wait for a slow reader at the most.
pub(crate) const ACKS_WAITING_MAX: usize = 4;
/// How often a stream reads anew which chunks other streams made durable.
const REFRESH_EVERY: Duration = Duration::from_secs(2);
/// Chunks of one stream that may come changed on the way. A sender sends each again three times at the most,
/// so more of them mean a broken sender or line, which would have the issuer hash for nothing.
const MISMATCHES_MAX: u32 = 16;

/// What one stream of chunks needs to know.
pub(crate) struct Upload {
    pub(crate) core: Arc<Core>,
    pub(crate) row: BatchRow,
    pub(crate) manifest: Manifest,
    pub(crate) stored: ManifestRow,
    pub(crate) key: DataKey,
    pub(crate) epoch: u32,
    pub(crate) relay: String,
    pub(crate) deadline: Deadline,
}

/// What became of one frame.
enum Done {
    Durable { number: u32, duplicate: bool },
    Again(pb::ChunkFault),
}

/// The frames in work. Each is a task of its own: it goes on to its end, and gives back its turn at the store
/// and its permits, however long the stream waits for a sender that does not read its acknowledgements.
type Work = JoinSet<Result<Done, Fault>>;

/// What the stream has to tell.
struct Ledger {
    durable: Ranges,
    duplicates: u64,
    faults: Vec<pb::ChunkFault>,
    mismatches: u32,
    unacknowledged: u64,
    since: Option<Instant>,
    refreshed: Instant,
}

impl Upload {
    /// Reads the frame that begins a stream.
    pub(crate) async fn begin(
        core: &Arc<Core>,
        caller: &Caller,
        start: pb::UploadStart,
        deadline: Deadline,
    ) -> Result<Self, Fault> {
        let municipality = caller.municipality()?;
        let row = core.batch(municipality, super::core::batch_id(&start.batch_id)?).await?;
        if row.manifest_digest.as_bytes() != start.manifest_digest.as_slice() {
            let words = format!("batch {} was opened with another manifest", row.batch_id);
            return Err(Fault::new(Reason::ManifestInvalid, words).violation(
                "start.manifest_digest",
                "must be the SHA-256 of the manifest that opened the batch",
            ));
        }
        let (manifest, stored) = core.manifest(&row).await?;
        let key = core.data_key(&row)?;
        let relay = caller.relay.as_ref().map(|r| r.name().to_owned()).unwrap_or_default();
        let (core, epoch) = (Arc::clone(core), start.uploader_epoch);
        Ok(Self { core, row, manifest, stored, key, epoch, relay, deadline })
    }

    /// Takes chunks until the sender ends, breaks or errs; then acknowledges what is durable.
    pub(crate) async fn run(
        self,
        mut inbound: Streaming<pb::UploadChunksRequest>,
        acks: Outlet<pb::UploadChunksResponse>,
    ) {
        let upload = Arc::new(self);
        let mut ledger = match upload.ledger().await {
            Ok(ledger) => ledger,
            Err(fault) => return acks.end(fault),
        };
        let mut work = Work::new();
        let mut end = upload.pump(&mut inbound, &acks, &mut ledger, &mut work).await;
        while let Some(done) = work.join_next().await {
            // What was begun is finished, so that the last acknowledgement says all there is.
            end = end.and(finished(done).and_then(|done| ledger.note(done)));
        }
        if let Err(fault) = end.and(upload.acknowledge(&mut ledger, &acks).await) {
            acks.end(fault);
        }
    }

    async fn ledger(&self) -> Result<Ledger, Fault> {
        let durable = self.core.store.durable_chunks(self.row.municipality, self.row.batch_id).await;
        Ok(Ledger {
            durable: durable.map_err(store_fault)?,
            duplicates: 0,
            faults: Vec::new(),
            mismatches: 0,
            unacknowledged: 0,
            since: None,
            refreshed: Instant::now(),
        })
    }

    async fn pump(
        self: &Arc<Self>,
        inbound: &mut Streaming<pb::UploadChunksRequest>,
        acks: &Outlet<pb::UploadChunksResponse>,
        ledger: &mut Ledger,
        work: &mut Work,
    ) -> Result<(), Fault> {
        let options = &self.core.options;
        let mut last_progress = Instant::now();
        // Holds no place while its sender is slow, so that nobody waits for an idle one.
        let mut waiting = None;
        loop {
            let room = work.len() < options.frames_in_work_max;
            let ack_at = ledger.since.map_or_else(|| self.deadline.at(), |since| since + options.ack_every);
            tokio::select! {
                biased;
                Some(done) = work.join_next() => {
                    ledger.note(finished(done)?)?;
                    last_progress = Instant::now();
                    // A sender with a small window waits for it, and little that it could tell is near.
                    let near = (work.len() as u64).min(options.ack_chunks_max.saturating_sub(1));
                    if ledger.unacknowledged > near {
                        self.acknowledge(ledger, acks).await?;
                    }
                }
                () = tokio::time::sleep_until(ack_at.min(self.deadline.at())) => {
                    self.deadline.check()?;
                    self.acknowledge(ledger, acks).await?;
                }
                permit = Arc::clone(&self.core.frames).acquire_owned(), if waiting.is_some() => {
                    let permit = permit.expect("the semaphore is never closed");
                    let chunk = waiting.take().expect("this branch needs it");
                    work.spawn(Arc::clone(self).take(chunk, permit));
                }
                frame = self.frame(inbound, last_progress), if room && waiting.is_none() => {
                    let Some(frame) = frame? else { return Ok(()) };
                    last_progress = Instant::now();
                    waiting = Some(frames::chunk_of(frame)?);
                }
            }
        }
    }

    /// Waits for the next frame; `None` at the end of the stream.
    async fn frame(
        &self,
        inbound: &mut Streaming<pb::UploadChunksRequest>,
        last: Instant,
    ) -> Result<Option<pb::UploadChunksRequest>, Fault> {
        let idle = self.core.options.upload_idle;
        match tokio::time::timeout_at(last + idle, inbound.message()).await {
            Ok(Ok(frame)) => Ok(frame),
            Ok(Err(status)) => {
                tracing::debug!(batch.id = %self.row.batch_id, code = ?status.code(),
                    "an upload stream broke");
                frames::unreadable(&status, self.core.options.message_bytes_max).map_or(Ok(None), Err)
            }
            Err(_) => Err(Fault::new(
                Reason::DeadlineExceeded,
                format!("no frame came for {} s: open another stream for the rest", idle.as_secs()),
            )),
        }
    }

    /// Checks one chunk and makes it durable.
    async fn take(self: Arc<Self>, chunk: pb::Chunk, permit: OwnedSemaphorePermit) -> Result<Done, Fault> {
        let _permit = permit;
        frames::check_size(&chunk)?;
        let number = chunk.chunk_number;
        let Some(announced) = self.stored.chunk_roots.get(number as usize).copied() else {
            let words =
                format!("there is no chunk {number}: the manifest has {}", self.manifest.chunk_count());
            return Err(Fault::new(Reason::ChunkOutsideManifest, words));
        };
        let upload = Arc::clone(&self);
        let sealed =
            self.core.on_core(move || upload.check_and_seal(&chunk.payload, number, &chunk.root, announced));
        let sealed = match sealed.await {
            Ok(sealed) => sealed,
            Err(fault) if fault.reason == Reason::ChunkDigestMismatch => {
                metrics::counter!(names::CHUNKS, names::OUTCOME => "mismatch").increment(1);
                return Ok(Done::Again(pb::ChunkFault {
                    chunk_number: number,
                    reason: fault.reason.as_str().to_owned(),
                    message: fault.message,
                }));
            }
            Err(fault) => return Err(self.refused(number, fault).await),
        };
        let new = NewChunk {
            number,
            root: announced,
            records: self.manifest.chunk_len(number),
            sealed: Arc::new(sealed.payload),
            district_records: sealed.district_records,
            uploader_epoch: self.epoch,
            relay: &self.relay,
            now_ms: self.core.clock.now_ms(),
        };
        let put = self.put(new).await?;
        self.outcome(number, put).await
    }

    /// Makes a chunk durable; a batch that counts more than is stored is set right for it.
    async fn put(&self, new: NewChunk<'_>) -> Result<PutChunk, Fault> {
        let (municipality, id) = (self.row.municipality, self.row.batch_id);
        for _ in 0..2 {
            let put = self.core.store.put_chunk(municipality, id, new.clone()).await.map_err(store_fault)?;
            if put != PutChunk::Miscounted {
                return Ok(put);
            }
            ledger::set_right(&self.core, municipality, id).await?;
        }
        Ok(PutChunk::Miscounted)
    }

    fn check_and_seal(
        &self,
        payload: &Bytes,
        number: u32,
        frame_root: &[u8],
        announced: crate::domain::digest::Digest,
    ) -> Result<chunks::Sealed, Fault> {
        let district_records = chunks::check(&self.manifest, number, frame_root, announced, payload)?;
        let aad = chunks::chunk_aad(self.row.municipality, self.row.batch_id, number);
        Ok(chunks::Sealed { payload: self.key.seal(&aad, payload), district_records })
    }

    /// Records a conflict for a human; passes the fault on.
    async fn refused(&self, number: u32, fault: Fault) -> Fault {
        if fault.reason != Reason::ChunkContentConflict {
            return fault;
        }
        let id = self.row.batch_id;
        metrics::counter!(names::CHUNKS, names::OUTCOME => "conflict").increment(1);
        tracing::error!(municipality.code = %self.row.municipality, batch.id = %id, chunk = number,
            "batch {id}: chunk {number} came with other content than announced; a human must look");
        let now_ms = self.core.clock.now_ms();
        match self.core.store.record_conflict(self.row.municipality, id, number, now_ms).await {
            Ok(_) => {
                self.core.changed(self.row.municipality, id);
                fault
            }
            Err(error) => store_fault(error),
        }
    }

    async fn outcome(&self, number: u32, put: PutChunk) -> Result<Done, Fault> {
        let id = self.row.batch_id;
        match put {
            PutChunk::Stored => {
                crash::point(Point::ChunkStored);
                metrics::counter!(names::CHUNKS, names::OUTCOME => "stored").increment(1);
                self.core.changed(self.row.municipality, id);
                Ok(Done::Durable { number, duplicate: false })
            }
            PutChunk::Duplicate => {
                metrics::counter!(names::CHUNKS, names::OUTCOME => "duplicate").increment(1);
                Ok(Done::Durable { number, duplicate: true })
            }
            // Its sender is right: what it sent was announced. The seal finds it, and has it sent once more.
            PutChunk::Damaged => {
                metrics::counter!(names::CHUNKS, names::OUTCOME => "duplicate").increment(1);
                tracing::error!(municipality.code = %self.row.municipality, batch.id = %id, chunk = number,
                    "batch {id}: chunk {number} is altered in the database, and counts as stored until the \
                     seal, the worker or `verify-store` sets it aside");
                Ok(Done::Durable { number, duplicate: true })
            }
            PutChunk::Miscounted => {
                let words = format!("batch {id} changed meanwhile: open it again for the rest");
                Err(Fault::new(Reason::OutcomeUnknown, words))
            }
            PutChunk::Fenced => Err(Fault::new(
                Reason::UploaderFenced,
                format!("another uploader opened batch {id} after you: stop, and ask for its status"),
            )),
            PutChunk::Sealed => {
                Err(Fault::new(Reason::BatchSealed, format!("batch {id} takes no more chunks")))
            }
            PutChunk::NotFound => Err(not_found(id)),
        }
    }

    /// Sends the cumulative acknowledgement; an error means that nobody reads any more.
    async fn acknowledge(
        &self,
        ledger: &mut Ledger,
        acks: &Outlet<pb::UploadChunksResponse>,
    ) -> Result<(), Fault> {
        if ledger.refreshed.elapsed() >= REFRESH_EVERY {
            *ledger = Ledger {
                duplicates: ledger.duplicates,
                faults: std::mem::take(&mut ledger.faults),
                mismatches: ledger.mismatches,
                ..self.ledger().await?
            };
        }
        ledger.since = None;
        ledger.unacknowledged = 0;
        let (_, missing_count) = view::missing_records(&ledger.durable, &self.row);
        let ack = pb::UploadChunksResponse {
            durable_chunks: view::chunk_ranges(&ledger.durable),
            missing_count,
            duplicates: ledger.duplicates,
            faults: std::mem::take(&mut ledger.faults),
        };
        // Its moment is what the test that cuts the power goes by.
        let id = self.row.batch_id;
        tracing::debug!(batch.id = %id, missing = missing_count, "batch {id}: chunks are acknowledged");
        acks.send(ack, Instant::now() + self.core.options.upload_idle).await
    }
}

impl Ledger {
    /// Notes what became of a frame; fails when too many came changed.
    fn note(&mut self, done: Done) -> Result<(), Fault> {
        self.unacknowledged += 1;
        self.since.get_or_insert_with(Instant::now);
        match done {
            Done::Durable { number, duplicate } => {
                self.durable.insert(u64::from(number));
                self.duplicates += u64::from(duplicate);
                return Ok(());
            }
            Done::Again(fault) => self.faults.push(fault),
        }
        self.mismatches += 1;
        if self.mismatches < MISMATCHES_MAX {
            return Ok(());
        }
        let words = format!(
            "{} chunks of this stream are not what their frames say: look for what changes them, then open \
             another stream for the rest",
            self.mismatches
        );
        Err(Fault::new(Reason::ChunkDigestMismatch, words))
    }
}

/// Returns what a frame's task came to; one that died is a fault of ours.
fn finished(done: Result<Result<Done, Fault>, JoinError>) -> Result<Done, Fault> {
    done.unwrap_or_else(|died| {
        tracing::error!(panicked = died.is_panic(), "the task of an upload's frame died");
        Err(Fault::new(Reason::Internal, "a chunk's task died: tell the operator the time of this call"))
    })
}
