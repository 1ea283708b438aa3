//! A chunk, its ledger and the counts of its batch are stored together or not at all, and each chunk once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    crash::{self, Point},
    domain::{
        batch::{BatchCommand, BatchState},
        batch_id::BatchId,
        digest::Digest,
        municipality::MunicipalityCode,
        ranges::Ranges,
    },
    telemetry::names,
};

use super::{
    Error, NewChunk, PutChunk, Store, StoredChunk,
    bulk::BulkSteps as _,
    columns::{digest, int, small, state, uint},
    group::{Job, Next, Pending, answer_all},
    ledger::LedgerSteps as _,
    locks::LockSteps as _,
};

statements! {
    GET_ROOT = "
        SELECT root FROM chunk WHERE municipality_code = $1 AND batch_id = $2 AND chunk_number = $3";
    GET_GATE = "
        SELECT state, uploader_epoch, chunk_count - chunks_stored AS lacking, missing FROM batch
        WHERE municipality_code = $1 AND batch_id = $2";
    // A chunk of an accepted batch comes back: what became of its records stands.
    PUT_BACK = "
        UPDATE batch SET chunks_stored = chunks_stored + 1, progress_ms = $3
        WHERE municipality_code = $1 AND batch_id = $2";
    INSERT = "
        INSERT INTO chunk (municipality_code, batch_id, chunk_number, root, record_count, uploader_epoch,
            relay, stored_ms, sealed)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    COUNT_IN = "
        UPDATE batch SET state = $5, missing = missing - $3, stored = stored + $3,
            chunks_stored = chunks_stored + 1, progress_ms = $4
        WHERE municipality_code = $1 AND batch_id = $2";
    DURABLE = "
        SELECT chunk_number FROM chunk WHERE municipality_code = $1 AND batch_id = $2 ORDER BY chunk_number";
    DISTRICTS = "
        SELECT district, stored_records FROM batch_district WHERE municipality_code = $1 AND batch_id = $2";
    GET = "
        SELECT root, record_count, sealed FROM chunk
        WHERE municipality_code = $1 AND batch_id = $2 AND chunk_number = $3";
    MARK_CONFLICT = "
        UPDATE batch SET conflict_ms = COALESCE(conflict_ms, $3)
        WHERE municipality_code = $1 AND batch_id = $2";
    INSERT_CONFLICT = "
        INSERT INTO chunk_conflict (municipality_code, batch_id, chunk_number, first_ms, last_ms, times)
        VALUES ($1, $2, $3, $4, $4, 1)
        ON CONFLICT (municipality_code, batch_id, chunk_number)
        DO UPDATE SET last_ms = excluded.last_ms, times = chunk_conflict.times + 1";
}

/// A group ends with the chunk that brings it to so many bytes, so that one commit stays short.
const GROUP_BYTES_MAX: usize = 8 << 20;

/// Chunks of a group while changes wait for the end of each transaction.
const GROUP_PRESSED: usize = 2;

/// A chunk that can wait in a queue.
#[derive(Debug)]
pub(super) struct OwnedChunk {
    municipality: MunicipalityCode,
    batch_id: BatchId,
    number: u32,
    root: Digest,
    records: u32,
    sealed: Arc<Vec<u8>>,
    districts: Vec<(String, i64)>,
    uploader_epoch: u32,
    relay: String,
    now_ms: i64,
}

impl Job for OwnedChunk {
    type Outcome = PutChunk;
    /// Bytes.
    type Taken = usize;

    fn enter(&self, taken: &mut usize) -> bool {
        let room = *taken < GROUP_BYTES_MAX;
        *taken += self.sealed.len();
        room
    }
}

on_both! {
    pub(super) trait ChunkSteps {
        /// Returns how many records of each district are durable.
        async fn districts(
            &mut conn,
            municipality: MunicipalityCode,
            id: BatchId,
        ) -> Result<BTreeMap<String, u64>, Error> {
            let query = sqlx::query_as(DISTRICTS).bind(municipality.to_string()).bind(id.uuid());
            let rows: Vec<(String, i64)> = query.fetch_all(conn).await?;
            rows.into_iter().map(|(name, records)| Ok((name, uint(records, "stored_records")?))).collect()
        }

        async fn chunk(
            &mut conn,
            municipality: MunicipalityCode,
            id: BatchId,
            number: u32,
        ) -> Result<Option<StoredChunk>, Error> {
            let query = sqlx::query_as(GET).bind(municipality.to_string()).bind(id.uuid());
            let row: Option<(Vec<u8>, i64, Vec<u8>)> =
                query.bind(i64::from(number)).fetch_optional(conn).await?;
            let Some((root, records, sealed)) = row else { return Ok(None) };
            let (root, records): (Digest, u32) = (digest(&root, "root")?, small(records, "record_count")?);
            Ok(Some(StoredChunk { root, records, sealed }))
        }

        /// Stores one chunk. The order of the checks is the API's: duplicate, sealed, fenced.
        async fn put_chunk(&mut conn, chunk: &OwnedChunk) -> Result<PutChunk, Error> {
            let (code, id) = (chunk.municipality.to_string(), chunk.batch_id.uuid());
            let number = i64::from(chunk.number);
            let there: Option<Vec<u8>> = sqlx::query_scalar(GET_ROOT)
                .bind(&code).bind(id).bind(number).fetch_optional(&mut *conn).await?;
            if let Some(root) = there {
                let same = root == chunk.root.as_bytes();
                return Ok(if same { PutChunk::Duplicate } else { PutChunk::Damaged });
            }
            let gate: Option<(String, i64, i64, i64)> =
                sqlx::query_as(GET_GATE).bind(&code).bind(id).fetch_optional(&mut *conn).await?;
            let Some((stands, epoch, lacking, missing)) = gate else { return Ok(PutChunk::NotFound) };
            let stands = state(&stands)?;
            let accepted = matches!(stands, BatchState::Accepted | BatchState::AcceptedWithRejects);
            let after = stands.after(BatchCommand::StoreChunk).ok();
            if after.is_none() && !(accepted && lacking > 0) {
                return Ok(PutChunk::Sealed);
            }
            if epoch != i64::from(chunk.uploader_epoch) {
                return Ok(PutChunk::Fenced);
            }
            let room = lacking > 0 && (accepted || missing >= i64::from(chunk.records));
            if !room && conn.miscounted(chunk.municipality, chunk.batch_id).await?.is_some() {
                return Ok(PutChunk::Miscounted);
            }
            sqlx::query(INSERT)
                .bind(&code)
                .bind(id)
                .bind(number)
                .bind(chunk.root.as_bytes().as_slice())
                .bind(i64::from(chunk.records))
                .bind(epoch)
                .bind(&chunk.relay)
                .bind(chunk.now_ms)
                .bind(Arc::clone(&chunk.sealed))
                .execute(&mut *conn)
                .await?;
            crash::point(Point::ChunkHalfStored);
            conn.add_districts(&code, id, &chunk.districts).await?;
            let Some(after) = after else {
                sqlx::query(PUT_BACK).bind(&code).bind(id).bind(chunk.now_ms).execute(conn).await?;
                return Ok(PutChunk::Stored);
            };
            let records = i64::from(chunk.records);
            let counted = sqlx::query(COUNT_IN).bind(&code).bind(id).bind(records).bind(chunk.now_ms);
            counted.bind(after.as_str()).execute(conn).await?;
            Ok(PutChunk::Stored)
        }
    }
}

impl Store {
    /// Makes a chunk durable, unless it is already.
    ///
    /// Chunks that arrive while another commit is being written share the next one.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction.
    pub async fn put_chunk(
        &self,
        municipality: MunicipalityCode,
        id: BatchId,
        chunk: NewChunk<'_>,
    ) -> Result<PutChunk, Error> {
        let mut districts = Vec::with_capacity(chunk.district_records.len());
        for (district, records) in chunk.district_records {
            districts.push((district, int(records, "stored_records")?));
        }
        let owned = OwnedChunk {
            municipality,
            batch_id: id,
            number: chunk.number,
            root: chunk.root,
            records: chunk.records,
            sealed: chunk.sealed,
            districts,
            uploader_epoch: chunk.uploader_epoch,
            relay: chunk.relay.to_owned(),
            now_ms: chunk.now_ms,
        };
        let mut waiting = self.chunks.join(Arc::new(owned));
        loop {
            let chunks_max = if self.is_pressed() { GROUP_PRESSED } else { usize::MAX };
            match self.chunks.wait(&mut waiting, chunks_max).await {
                Next::Answer(outcome) => return outcome,
                Next::Commit(_turn, group) => self.put_group(group).await,
            }
        }
    }

    /// Stores a group of chunks in one transaction; if that fails on one of them, each in its own, so that
    /// each learns its own fate.
    async fn put_group(&self, group: Vec<Pending<OwnedChunk>>) {
        if group.is_empty() {
            return; // everybody who waited was answered or is gone
        }
        #[expect(clippy::cast_precision_loss, reason = "a handful of chunks")]
        metrics::histogram!(names::STORE_GROUP).record(group.len() as f64);
        let together = in_tx!(self, "put_chunks", |tx| {
            // In their order, so that no two groups wait for each other.
            let batches: BTreeSet<_> =
                group.iter().map(|one| (one.job.municipality, one.job.batch_id)).collect();
            for (municipality, id) in batches {
                tx.lock_batch(municipality, id).await?;
            }
            let mut outcomes = Vec::with_capacity(group.len());
            for pending in &group {
                outcomes.push(tx.put_chunk(&pending.job).await?);
            }
            Ok(outcomes)
        });
        match together {
            Ok(outcomes) => {
                group.into_iter().zip(outcomes).for_each(|(one, outcome)| one.answer(Ok(outcome)));
            }
            Err(error) if group.len() == 1 || error.shared().is_some() => answer_all(group, error),
            Err(_) => {
                for one in group {
                    let outcome = in_tx!(self, "put_chunk", |tx| {
                        tx.lock_batch(one.job.municipality, one.job.batch_id).await?;
                        tx.put_chunk(&one.job).await
                    });
                    one.answer(outcome);
                }
            }
        }
    }

    /// Returns the numbers of a batch's durable chunks.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn durable_chunks(&self, municipality: MunicipalityCode, id: BatchId) -> Result<Ranges, Error> {
        on_read!(self, "durable_chunks", |conn| {
            let query = sqlx::query_scalar(DURABLE).bind(municipality.to_string()).bind(id.uuid());
            let numbers: Vec<i64> = query.fetch_all(conn).await?;
            numbers.into_iter().map(|number| uint(number, "chunk_number")).collect()
        })
    }

    /// Returns how many records of each district are durable.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn stored_per_district(
        &self,
        municipality: MunicipalityCode,
        id: BatchId,
    ) -> Result<BTreeMap<String, u64>, Error> {
        on_read!(self, "stored_per_district", |conn| conn.districts(municipality, id).await)
    }

    /// Returns a durable chunk.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn chunk_payload(
        &self,
        municipality: MunicipalityCode,
        id: BatchId,
        number: u32,
    ) -> Result<Option<StoredChunk>, Error> {
        on_read!(self, "chunk_payload", |conn| conn.chunk(municipality, id, number).await)
    }

    /// Notes that a chunk came with other content than announced; `false` if there is no such batch.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction.
    pub async fn record_conflict(
        &self,
        municipality: MunicipalityCode,
        id: BatchId,
        number: u32,
        now_ms: i64,
    ) -> Result<bool, Error> {
        in_tx!(self, "record_conflict", |tx| {
            let code = municipality.to_string();
            let marked =
                sqlx::query(MARK_CONFLICT).bind(&code).bind(id.uuid()).bind(now_ms).execute(&mut *tx).await?;
            if marked.rows_affected() == 0 {
                return Ok(false);
            }
            let query = sqlx::query(INSERT_CONFLICT).bind(&code).bind(id.uuid());
            query.bind(i64::from(number)).bind(now_ms).execute(tx).await?;
            Ok(true)
        })
    }
}
