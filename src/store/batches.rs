//! A batch id and a sequence stand for one manifest for ever; opening it again only fences the uploader
//! before.

use sqlx::types::Uuid;

use crate::domain::{batch::Counts, batch_id::BatchId, digest::Digest, municipality::MunicipalityCode};

use super::{
    BatchRow, Error, ManifestRow, NewBatch, Opened, Store,
    columns::{
        self, batch_id, bound, digest, int, join_digests, join_strings, small, split_digests, split_strings,
        uint,
    },
    locks::LockSteps as _,
    restore::GateSteps as _,
};

/// Every column of a [`RawBatch`].
macro_rules! select_batch {
    ($rest:literal) => {
        concat!(
            "SELECT b.municipality_code, b.batch_id, b.sequence, b.state, b.attempt, b.record_count,
                b.chunk_records, b.chunk_count, b.manifest_digest, b.wrapped_key, b.uploader_epoch,
                b.chunks_stored, b.chunks_worked, b.chunks_indexed, b.missing, b.stored, b.accepted,
                b.rejected, b.duplicate, b.quarantined, b.opened_ms, b.progress_ms, b.seal_by_ms,
                b.sealed_ms, b.finished_ms, b.conflict_ms, b.damaged_ms, b.discrepancy,
                CASE WHEN w.holder IS NULL THEN NULL ELSE w.due_ms END AS lease_until_ms
            FROM batch AS b LEFT JOIN work AS w
                ON w.municipality_code = b.municipality_code AND w.batch_id = b.batch_id ",
            $rest
        )
    };
}
pub(super) use select_batch;

statements! {
    GET = select_batch!("WHERE b.municipality_code = $1 AND b.batch_id = $2");
    GET_MANIFEST = "
        SELECT manifest, signature, certificate_chain, chunk_roots FROM manifest
        WHERE municipality_code = $1 AND batch_id = $2";
    FIND_SEQUENCE = "SELECT batch_id FROM batch WHERE municipality_code = $1 AND sequence = $2";
    HIGHEST = "
        SELECT COALESCE(MAX(sequence), 0) AS highest
        FROM (SELECT MAX(sequence) AS sequence FROM batch WHERE municipality_code = $1
            UNION ALL SELECT MAX(sequence) FROM lost_batch WHERE municipality_code = $1) AS both_kinds";
    COUNT_OPEN = "
        SELECT COUNT(*) AS batches FROM batch
        WHERE municipality_code = $1 AND state NOT IN ('ACCEPTED', 'ACCEPTED_WITH_REJECTS', 'ABORTED')";
    INSERT = "
        INSERT INTO batch (municipality_code, batch_id, sequence, state, attempt, record_count, chunk_records,
            chunk_count, manifest_digest, wrapped_key, uploader_epoch, missing, opened_ms, progress_ms,
            seal_by_ms)
        VALUES ($1, $2, $3, 'ANNOUNCED', 1, $4, $5, $6, $7, $8, 1, $4, $9, $9, $10)
        ON CONFLICT DO NOTHING";
    INSERT_MANIFEST = "
        INSERT INTO manifest (municipality_code, batch_id, signature, certificate_chain, manifest,
            chunk_roots)
        VALUES ($1, $2, $3, $4, $5, $6)";
    FENCE = "
        UPDATE batch SET uploader_epoch = uploader_epoch + 1 WHERE municipality_code = $1 AND batch_id = $2";
    LIST = select_batch!(
        "WHERE b.municipality_code = $1 AND b.sequence < $2 ORDER BY b.sequence DESC LIMIT $3"
    );
    // What was lost and given up is no hole.
    HOLES = "
        SELECT previous + 1 AS first_hole, sequence - 1 AS last_hole
        FROM (SELECT t.sequence, LAG(t.sequence, 1, CAST(0 AS BIGINT)) OVER (ORDER BY t.sequence) AS previous
            FROM (SELECT sequence FROM batch WHERE municipality_code = $1
                UNION SELECT sequence FROM lost_batch WHERE municipality_code = $1
                    AND given_up_ms IS NOT NULL) AS t
            WHERE t.sequence <= (SELECT MAX(sequence) FROM batch WHERE municipality_code = $1)) AS numbered
        WHERE sequence > previous + 1 ORDER BY sequence LIMIT $2";
}

#[derive(sqlx::FromRow)]
pub(super) struct RawBatch {
    municipality_code: String,
    batch_id: Uuid,
    sequence: i64,
    state: String,
    attempt: i64,
    record_count: i64,
    chunk_records: i64,
    chunk_count: i64,
    manifest_digest: Vec<u8>,
    wrapped_key: Vec<u8>,
    uploader_epoch: i64,
    chunks_stored: i64,
    chunks_worked: i64,
    chunks_indexed: i64,
    missing: i64,
    stored: i64,
    accepted: i64,
    rejected: i64,
    duplicate: i64,
    quarantined: i64,
    opened_ms: i64,
    progress_ms: i64,
    seal_by_ms: i64,
    sealed_ms: Option<i64>,
    finished_ms: Option<i64>,
    conflict_ms: Option<i64>,
    damaged_ms: Option<i64>,
    discrepancy: Option<String>,
    lease_until_ms: Option<i64>,
}

impl TryFrom<RawBatch> for BatchRow {
    type Error = Error;

    fn try_from(raw: RawBatch) -> Result<Self, Error> {
        Ok(Self {
            municipality: columns::municipality(&raw.municipality_code)?,
            batch_id: batch_id(raw.batch_id)?,
            sequence: uint(raw.sequence, "sequence")?,
            state: columns::state(&raw.state)?,
            attempt: small(raw.attempt, "attempt")?,
            record_count: uint(raw.record_count, "record_count")?,
            chunk_records: small(raw.chunk_records, "chunk_records")?,
            chunk_count: small(raw.chunk_count, "chunk_count")?,
            manifest_digest: digest(&raw.manifest_digest, "manifest_digest")?,
            wrapped_key: raw.wrapped_key,
            uploader_epoch: small(raw.uploader_epoch, "uploader_epoch")?,
            chunks_stored: small(raw.chunks_stored, "chunks_stored")?,
            chunks_worked: small(raw.chunks_worked, "chunks_worked")?,
            chunks_indexed: small(raw.chunks_indexed, "chunks_indexed")?,
            counts: Counts {
                missing: uint(raw.missing, "missing")?,
                stored: uint(raw.stored, "stored")?,
                accepted: uint(raw.accepted, "accepted")?,
                rejected: uint(raw.rejected, "rejected")?,
                duplicate: uint(raw.duplicate, "duplicate")?,
                quarantined: uint(raw.quarantined, "quarantined")?,
            },
            opened_ms: raw.opened_ms,
            progress_ms: raw.progress_ms,
            seal_by_ms: raw.seal_by_ms,
            sealed_ms: raw.sealed_ms,
            finished_ms: raw.finished_ms,
            conflict_ms: raw.conflict_ms,
            damaged_ms: raw.damaged_ms,
            lease_until_ms: raw.lease_until_ms,
            discrepancy: raw.discrepancy,
        })
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct RawManifest {
    manifest: Vec<u8>,
    signature: Vec<u8>,
    certificate_chain: Vec<u8>,
    chunk_roots: Vec<u8>,
}

impl RawManifest {
    /// Every column, to be kept as it is.
    pub(super) fn into_columns(self) -> [Vec<u8>; 4] {
        [self.manifest, self.signature, self.certificate_chain, self.chunk_roots]
    }
}

impl TryFrom<RawManifest> for ManifestRow {
    type Error = Error;

    fn try_from(raw: RawManifest) -> Result<Self, Error> {
        Ok(Self {
            certificate_chain: split_strings(&raw.certificate_chain, "certificate_chain")?,
            chunk_roots: split_digests(&raw.chunk_roots, "chunk_roots")?,
            bytes: raw.manifest,
            signature: raw.signature,
        })
    }
}

on_both! {
    pub(super) trait BatchSteps {
        /// Returns what the sender signed, as it stands.
        async fn raw_manifest(
            &mut conn,
            municipality: MunicipalityCode,
            id: BatchId,
        ) -> Result<Option<RawManifest>, Error> {
            let query = sqlx::query_as(GET_MANIFEST).bind(municipality.to_string()).bind(id.uuid());
            Ok(query.fetch_optional(conn).await?)
        }

        async fn batch(
            &mut conn,
            municipality: MunicipalityCode,
            id: BatchId,
        ) -> Result<Option<BatchRow>, Error> {
            let query = sqlx::query_as(GET).bind(municipality.to_string()).bind(id.uuid());
            let row: Option<RawBatch> = query.fetch_optional(conn).await?;
            row.map(BatchRow::try_from).transpose()
        }

        async fn insert_batch(&mut conn, new: &NewBatch<'_>) -> Result<(), Error> {
            let manifest = new.manifest;
            let code = manifest.municipality.to_string();
            let inserted = sqlx::query(INSERT)
                .bind(&code)
                .bind(manifest.batch_id.uuid())
                .bind(int(manifest.sequence, "sequence")?)
                .bind(int(manifest.totals.records, "record_count")?)
                .bind(i64::from(manifest.chunk_records))
                .bind(i64::from(manifest.chunk_count()))
                .bind(Digest::of(new.manifest_bytes).as_bytes().as_slice())
                .bind(&new.wrapped_key)
                .bind(new.now_ms)
                .bind(manifest.seal_by_ms)
                .execute(&mut *conn)
                .await?;
            // Somebody was faster with the first one of this municipality: it is seen when this begins anew.
            if inserted.rows_affected() == 0 {
                return Err(Error::Busy);
            }
            conn.insert_manifest(new).await
        }

        async fn insert_manifest(&mut conn, new: &NewBatch<'_>) -> Result<(), Error> {
            sqlx::query(INSERT_MANIFEST)
                .bind(new.manifest.municipality.to_string())
                .bind(new.manifest.batch_id.uuid())
                .bind(new.signature)
                .bind(join_strings(new.certificate_chain))
                .bind(new.manifest_bytes)
                .bind(join_digests(new.chunk_roots))
                .execute(conn)
                .await?;
            Ok(())
        }

        async fn open_batch(&mut conn, new: &NewBatch<'_>) -> Result<Opened, Error> {
            let (municipality, id) = (new.manifest.municipality, new.manifest.batch_id);
            let code = municipality.to_string();
            conn.lock_municipality(municipality).await?;
            conn.lock_batch(municipality, id).await?;
            let stands = conn.batch(municipality, id).await?;
            let digest = Digest::of(new.manifest_bytes);
            if stands.as_ref().is_some_and(|row| row.manifest_digest != digest) {
                return Ok(Opened::IdReused);
            }
            // What has come to its end can only be looked at: nothing is taken, whatever was forgotten.
            let over = stands.as_ref().is_some_and(|row| row.state.is_final());
            if !over && let Some(refused) = conn.gate(new.manifest, &digest).await? {
                return Ok(refused);
            }
            if stands.is_some() {
                sqlx::query(FENCE).bind(&code).bind(id.uuid()).execute(&mut *conn).await?;
                let row = conn.batch(municipality, id).await?.ok_or(Error::Corrupt("batch"))?;
                return Ok(Opened::Again(row));
            }
            let sequence = int(new.manifest.sequence, "sequence")?;
            let query = sqlx::query_scalar(FIND_SEQUENCE).bind(&code).bind(sequence);
            let taken: Option<Uuid> = query.fetch_optional(&mut *conn).await?;
            // Somebody has just opened the first one of this municipality, this very one.
            if taken == Some(id.uuid()) {
                return Err(Error::Busy);
            }
            if taken.is_some() {
                return Ok(Opened::SequenceReused);
            }
            let highest: i64 = sqlx::query_scalar(HIGHEST).bind(&code).fetch_one(&mut *conn).await?;
            if sequence > highest.saturating_add(bound(new.ahead_max)) {
                return Ok(Opened::TooFarAhead(uint(highest, "sequence")?));
            }
            let open: i64 = sqlx::query_scalar(COUNT_OPEN).bind(&code).fetch_one(&mut *conn).await?;
            if open >= i64::from(new.open_max) {
                return Ok(Opened::TooManyOpen);
            }
            conn.insert_batch(new).await?;
            let row = conn.batch(municipality, id).await?.ok_or(Error::Corrupt("batch"))?;
            Ok(Opened::Created(row))
        }
    }
}

impl Store {
    /// Opens a batch, or the same one again with a higher uploader epoch.
    ///
    /// Idempotent by batch id; the manifest's bytes decide whether it is the same one.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction.
    pub async fn open_batch(&self, new: &NewBatch<'_>) -> Result<Opened, Error> {
        in_tx!(self, "open_batch", |tx| tx.open_batch(new).await)
    }

    /// Returns a batch.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn batch(
        &self,
        municipality: MunicipalityCode,
        id: BatchId,
    ) -> Result<Option<BatchRow>, Error> {
        on_read!(self, "batch", |conn| conn.batch(municipality, id).await)
    }

    /// Returns what the sender of a batch signed.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn manifest(
        &self,
        municipality: MunicipalityCode,
        id: BatchId,
    ) -> Result<Option<ManifestRow>, Error> {
        on_read!(self, "manifest", |conn| {
            let raw = conn.raw_manifest(municipality, id).await?;
            raw.map(ManifestRow::try_from).transpose()
        })
    }

    /// Returns a municipality's batches below the sequence `before`, newest first, `count` at most.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn list_batches(
        &self,
        municipality: MunicipalityCode,
        before: Option<u64>,
        count: u32,
    ) -> Result<Vec<BatchRow>, Error> {
        let before = before.map_or(i64::MAX, bound);
        on_read!(self, "list_batches", |conn| {
            let query =
                sqlx::query_as(LIST).bind(municipality.to_string()).bind(before).bind(i64::from(count));
            let rows: Vec<RawBatch> = query.fetch_all(conn).await?;
            rows.into_iter().map(BatchRow::try_from).collect()
        })
    }

    /// Returns the sequence numbers below the highest that no batch has, lowest first, `count` at most. What
    /// was lost and given up is no hole.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn sequence_holes(
        &self,
        municipality: MunicipalityCode,
        count: u32,
    ) -> Result<Vec<u64>, Error> {
        on_read!(self, "sequence_holes", |conn| {
            let query = sqlx::query_as(HOLES).bind(municipality.to_string()).bind(i64::from(count));
            let holes: Vec<(i64, i64)> = query.fetch_all(conn).await?;
            let numbers = holes.into_iter().flat_map(|(first, last)| first..=last);
            numbers.take(count as usize).map(|number| uint(number, "sequence")).collect()
        })
    }
}
