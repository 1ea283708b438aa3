//! What is damaged is set aside with its bytes and its records are counted anew, both or neither; nothing is
//! thrown away, and no batch is accepted over it.

use std::collections::BTreeMap;

use crate::domain::{
    batch::{BatchCommand, BatchState},
    batch_id::BatchId,
    digest::Digest,
    municipality::MunicipalityCode,
};

use super::{
    BatchRow, Claim, Error, NewBatch, Store, Stored,
    batches::{BatchSteps as _, RawManifest},
    bulk::BulkSteps as _,
    columns::{int, join_strings},
    ends::EndSteps as _,
    locks::LockSteps as _,
    mend::accepted,
    orders::OrderSteps as _,
    work::WorkSteps as _,
};

statements! {
    SET_ASIDE = "
        INSERT INTO quarantine (municipality_code, batch_id, kind, attempt, place, found_ms, action, content)
        VALUES ($1, $2, 'CHUNK', $3, $4, $5, $6, COALESCE((SELECT sealed FROM chunk
            WHERE municipality_code = $1 AND batch_id = $2 AND chunk_number = $4), $7))
        ON CONFLICT DO NOTHING";
    TAKE_OUT = "DELETE FROM chunk WHERE municipality_code = $1 AND batch_id = $2 AND chunk_number = $3";
    KEEP_MANIFEST = "
        INSERT INTO quarantine (municipality_code, batch_id, kind, attempt, place, found_ms, action, content)
        VALUES ($1, $2, 'MANIFEST', $3, 0, $4, 'its sender opened the batch again and sent its own', $5)
        ON CONFLICT DO NOTHING";
    DROP_MANIFEST = "DELETE FROM manifest WHERE municipality_code = $1 AND batch_id = $2";
    FORGET_DISTRICTS = "DELETE FROM batch_district WHERE municipality_code = $1 AND batch_id = $2";
    RECOUNT = "
        UPDATE batch SET state = $3, missing = $4, stored = $5, accepted = $6, rejected = $7, duplicate = $8,
            quarantined = $9, chunks_stored = $10, damaged_ms = COALESCE(damaged_ms, $11), progress_ms = $11
        WHERE municipality_code = $1 AND batch_id = $2";
}

/// What a look at every chunk of a batch came to.
#[derive(Debug, Clone, Copy)]
pub struct Damage<'a> {
    /// The chunks that cannot be read, do not hold what was announced, or are gone.
    pub chunks: &'a [u32],
    /// The records of all other chunks by district.
    pub districts: &'a BTreeMap<String, u64>,
    /// When it was found.
    pub now_ms: i64,
}

on_both! {
    pub(super) trait QuarantineSteps {
        /// Moves chunks out of the ledger, and counts the districts of what stays.
        async fn set_aside(
            &mut conn,
            row: &BatchRow,
            damage: &Damage<'_>,
            action: &str,
        ) -> Result<(), Error> {
            let (code, id) = (row.municipality.to_string(), row.batch_id.uuid());
            for number in damage.chunks {
                let query = sqlx::query(SET_ASIDE).bind(&code).bind(id).bind(i64::from(row.attempt));
                let query = query.bind(i64::from(*number)).bind(damage.now_ms).bind(action);
                query.bind(b"".as_slice()).execute(&mut *conn).await?;
                let query = sqlx::query(TAKE_OUT).bind(&code).bind(id).bind(i64::from(*number));
                query.execute(&mut *conn).await?;
            }
            sqlx::query(FORGET_DISTRICTS).bind(&code).bind(id).execute(&mut *conn).await?;
            let mut districts = Vec::with_capacity(damage.districts.len());
            for (district, records) in damage.districts {
                districts.push((district.clone(), int(*records, "stored_records")?));
            }
            conn.add_districts(&code, id, &districts).await
        }

        /// Writes a batch's counts and state as `row` has them.
        async fn recount(&mut conn, row: &BatchRow, now_ms: i64) -> Result<(), Error> {
            let counts = &row.counts;
            sqlx::query(RECOUNT)
                .bind(row.municipality.to_string())
                .bind(row.batch_id.uuid())
                .bind(row.state.as_str())
                .bind(int(counts.missing, "missing")?)
                .bind(int(counts.stored, "stored")?)
                .bind(int(counts.accepted, "accepted")?)
                .bind(int(counts.rejected, "rejected")?)
                .bind(int(counts.duplicate, "duplicate")?)
                .bind(int(counts.quarantined, "quarantined")?)
                .bind(i64::from(row.chunks_stored))
                .bind(now_ms)
                .execute(conn)
                .await?;
            Ok(())
        }
    }
}

impl Store {
    /// Sets damaged chunks of a batch that is not sealed aside: their records are missing again, for its
    /// sender to send.
    ///
    /// `false` if the batch is sealed meanwhile, or something of it is missing already: look again.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction.
    pub async fn quarantine_unsealed(
        &self,
        municipality: MunicipalityCode,
        id: BatchId,
        damage: &Damage<'_>,
    ) -> Result<bool, Error> {
        in_tx!(self, "quarantine_unsealed", |tx| {
            tx.lock_batch(municipality, id).await?;
            let Some(mut row) = tx.batch(municipality, id).await? else { return Ok(false) };
            let unsealed = matches!(row.state, BatchState::Announced | BatchState::Receiving);
            if !unsealed || row.counts.missing > 0 || damage.chunks.is_empty() {
                return Ok(false);
            }
            let lacking = row.records_in(damage.chunks);
            row.counts.missing = lacking;
            row.counts.stored = row.record_count.saturating_sub(lacking);
            row.chunks_stored = row.chunk_count.saturating_sub(count(damage.chunks));
            tx.set_aside(&row, damage, "set aside before the seal; to be sent again").await?;
            tx.recount(&row, damage.now_ms).await?;
            Ok(true)
        })
    }

    /// Sets damaged chunks of the claim's batch aside: their records are counted as quarantined, and the
    /// batch is discrepant; `false` if the lease is lost.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction.
    pub async fn quarantine_claimed(
        &self,
        claim: &Claim,
        damage: &Damage<'_>,
        words: &str,
    ) -> Result<bool, Error> {
        in_tx!(self, "quarantine_claimed", |tx| {
            let Some(mut row) = tx.held(claim).await? else { return Ok(false) };
            let after =
                row.state.after(BatchCommand::FindDiscrepancy).map_err(|_| Error::Corrupt("state"))?;
            for number in damage.chunks {
                let len = row.records_in(&[*number]);
                if *number >= row.chunks_worked {
                    row.counts.stored = row.counts.stored.saturating_sub(len);
                } else if let Stored::Done { accepted, duplicate, rejected } =
                    tx.count_stored(claim, &row, &(*number..*number + 1)).await?
                {
                    row.counts.accepted = row.counts.accepted.saturating_sub(accepted);
                    row.counts.duplicate = row.counts.duplicate.saturating_sub(duplicate);
                    row.counts.rejected = row.counts.rejected.saturating_sub(rejected);
                }
                row.counts.quarantined += len;
            }
            row.chunks_stored = row.chunks_stored.saturating_sub(count(damage.chunks));
            tx.set_aside(&row, damage, "set aside while it was worked off; the batch is discrepant").await?;
            tx.recount(&row, damage.now_ms).await?;
            tx.end_batch(row.municipality, row.batch_id, (after, Some(words)), damage.now_ms).await?;
            Ok(true)
        })
    }

    /// Sets damaged chunks of an accepted batch aside, for its sender to send again; what became of their
    /// records stands. `false` if the batch is not accepted.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction.
    pub async fn quarantine_accepted(&self, row: &BatchRow, damage: &Damage<'_>) -> Result<bool, Error> {
        in_tx!(self, "quarantine_accepted", |tx| {
            tx.lock_batch(row.municipality, row.batch_id).await?;
            let now = tx.batch(row.municipality, row.batch_id).await?;
            let Some(mut now) = now.filter(|now| accepted(Some(now), row)) else { return Ok(false) };
            tx.set_aside(&now, damage, "set aside in an accepted batch; to be sent again").await?;
            now.chunks_stored = now.chunk_count.saturating_sub(count(damage.chunks));
            tx.recount(&now, damage.now_ms).await?;
            Ok(true)
        })
    }
}

impl Store {
    /// Puts the manifest that its sender has signed again in place of one that was damaged, which is kept.
    ///
    /// `false` if the batch stands with another manifest, or there is none.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction.
    pub async fn replace_manifest(&self, new: &NewBatch<'_>) -> Result<bool, Error> {
        in_tx!(self, "replace_manifest", |tx| {
            let (municipality, id) = (new.manifest.municipality, new.manifest.batch_id);
            tx.lock_batch(municipality, id).await?;
            let Some(row) = tx.batch(municipality, id).await? else { return Ok(false) };
            if row.manifest_digest != Digest::of(new.manifest_bytes) {
                return Ok(false);
            }
            let code = municipality.to_string();
            let kept = tx.raw_manifest(municipality, id).await?;
            let kept = kept.map(RawManifest::into_columns).unwrap_or_default();
            let kept = join_strings(&kept);
            let query = sqlx::query(KEEP_MANIFEST).bind(&code).bind(id.uuid());
            let query = query.bind(i64::from(row.attempt)).bind(new.now_ms).bind(kept);
            query.execute(&mut *tx).await?;
            sqlx::query(DROP_MANIFEST).bind(&code).bind(id.uuid()).execute(&mut *tx).await?;
            tx.insert_manifest(new).await?;
            Ok(true)
        })
    }
}

fn count(chunks: &[u32]) -> u32 {
    u32::try_from(chunks.len()).unwrap_or(u32::MAX)
}
