//! Where a batch's owner or its seal takes it, and the proof of how it ended: one transaction each, and the
//! domain's own table decides what may follow what.

use crate::domain::{
    batch::{BatchCommand, BatchState},
    batch_id::BatchId,
    digest::Digest,
    municipality::MunicipalityCode,
    ranges::Ranges,
};

use super::{
    Abort, BatchRow, Error, Pool, Repair, Store,
    batches::BatchSteps as _,
    columns::{self, int},
    locks::LockSteps as _,
};

/// How often a batch is worked off at most, as the API says.
const ATTEMPTS_MAX: u32 = 100;

statements! {
    SEAL = "
        UPDATE batch SET state = $3, sealed_ms = $4, progress_ms = $4
        WHERE municipality_code = $1 AND batch_id = $2";
    ADD_WORK = "
        INSERT INTO work (municipality_code, batch_id, attempt, due_ms) VALUES ($1, $2, $3, $4)";
    END = "
        UPDATE batch SET state = $3, discrepancy = $4, finished_ms = $5, progress_ms = $5
        WHERE municipality_code = $1 AND batch_id = $2";
    DROP_WORK = "DELETE FROM work WHERE municipality_code = $1 AND batch_id = $2";
    INSERT_ABORT = "
        INSERT INTO abort_statement (municipality_code, batch_id, aborted_ms, reason, signature, statement)
        VALUES ($1, $2, $3, $4, $5, $6)";
    // Everything of the attempt before is counted as stored again; its rows stay, under its own number.
    NEXT_ATTEMPT = "
        UPDATE batch SET state = $3, attempt = attempt + 1, chunks_worked = 0, chunks_indexed = 0,
            stored = record_count,
            accepted = 0, rejected = 0, duplicate = 0, quarantined = 0, discrepancy = NULL, progress_ms = $4
        WHERE municipality_code = $1 AND batch_id = $2";
    // The same, and what was set aside is missing until its sender has sent it again.
    SEND_AGAIN = "
        UPDATE batch SET state = $3, attempt = attempt + 1, chunks_worked = 0, chunks_indexed = 0,
            chunks_stored = $4, missing = $5, stored = record_count - $5, accepted = 0, rejected = 0,
            duplicate = 0, quarantined = 0, sealed_ms = NULL, discrepancy = NULL, progress_ms = $6
        WHERE municipality_code = $1 AND batch_id = $2";
    CHUNK_NUMBERS = "
        SELECT chunk_number FROM chunk WHERE municipality_code = $1 AND batch_id = $2";
    GET_REQUEST = "
        SELECT fingerprint FROM repair_request WHERE municipality_code = $1 AND request_id = $2";
    INSERT_REQUEST = "
        INSERT INTO repair_request (municipality_code, request_id, batch_id, attempt, fingerprint,
            requested_ms)
        VALUES ($1, $2, $3, $4, $5, $6)";
    GET_RECEIPT = "SELECT receipt FROM receipt WHERE municipality_code = $1 AND batch_id = $2";
    LAST_RECEIPT = "
        SELECT sequence, digest FROM receipt WHERE municipality_code = $1 ORDER BY sequence DESC LIMIT 1";
}

on_both! {
    pub(super) trait EndSteps {
        /// Puts a batch at an end and takes it from whoever works on it.
        async fn end_batch(
            &mut conn,
            municipality: MunicipalityCode,
            id: BatchId,
            end: (BatchState, Option<&str>),
            now_ms: i64,
        ) -> Result<(), Error> {
            let code = municipality.to_string();
            let query = sqlx::query(END).bind(&code).bind(id.uuid()).bind(end.0.as_str());
            query.bind(end.1).bind(now_ms).execute(&mut *conn).await?;
            sqlx::query(DROP_WORK).bind(&code).bind(id.uuid()).execute(conn).await?;
            Ok(())
        }

        async fn given_receipt(
            &mut conn,
            municipality: MunicipalityCode,
            id: BatchId,
        ) -> Result<Option<Vec<u8>>, Error> {
            let query = sqlx::query_scalar(GET_RECEIPT).bind(municipality.to_string()).bind(id.uuid());
            Ok(query.fetch_optional(conn).await?)
        }
    }
}

impl Store {
    /// Hands a batch of which nothing is missing to the workers.
    ///
    /// `false` if it is sealed already, something is missing, or there is no such batch: read it to see.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction.
    pub async fn mark_sealed(
        &self,
        municipality: MunicipalityCode,
        id: BatchId,
        now_ms: i64,
    ) -> Result<bool, Error> {
        in_tx!(self, "mark_sealed", |tx| {
            tx.lock_batch(municipality, id).await?;
            let Some(row) = tx.batch(municipality, id).await? else { return Ok(false) };
            let Ok(after) = row.state.after(BatchCommand::Seal) else { return Ok(false) };
            if row.counts.missing > 0 {
                return Ok(false);
            }
            let code = municipality.to_string();
            let query = sqlx::query(SEAL).bind(&code).bind(id.uuid());
            query.bind(after.as_str()).bind(now_ms).execute(&mut *tx).await?;
            let query = sqlx::query(ADD_WORK).bind(&code).bind(id.uuid());
            query.bind(i64::from(row.attempt)).bind(now_ms).execute(tx).await?;
            Ok(true)
        })
    }

    /// Notes that a whole batch, which is not being worked on, does not add up, and why.
    ///
    /// `false` if its state does not allow it, something is missing, or there is no such batch.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction.
    pub async fn mark_discrepant(
        &self,
        municipality: MunicipalityCode,
        id: BatchId,
        words: &str,
        now_ms: i64,
    ) -> Result<bool, Error> {
        in_tx!(self, "mark_discrepant", |tx| {
            tx.lock_batch(municipality, id).await?;
            let Some(row) = tx.batch(municipality, id).await? else { return Ok(false) };
            let unsealed = matches!(row.state, BatchState::Announced | BatchState::Receiving);
            let Ok(after) = row.state.after(BatchCommand::FindDiscrepancy) else { return Ok(false) };
            if !unsealed || row.counts.missing > 0 {
                return Ok(false);
            }
            tx.end_batch(municipality, id, (after, Some(words)), now_ms).await?;
            Ok(true)
        })
    }

    /// Gives a batch up for good, keeps the signed statement, and frees its order ids.
    ///
    /// Idempotent by batch id: an aborted batch stays as it was aborted first.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction.
    pub async fn abort(
        &self,
        municipality: MunicipalityCode,
        id: BatchId,
        statement: &[u8],
        signature: &[u8],
        reason: &str,
        now_ms: i64,
    ) -> Result<Abort, Error> {
        in_tx!(self, "abort", |tx| {
            tx.lock_batch(municipality, id).await?;
            let Some(row) = tx.batch(municipality, id).await? else { return Ok(Abort::NotFound) };
            if row.state == BatchState::Aborted {
                return Ok(Abort::Again);
            }
            let Ok(after) = row.state.after(BatchCommand::Abort) else { return Ok(Abort::WrongState) };
            tx.end_batch(municipality, id, (after, Some(reason)), now_ms).await?;
            sqlx::query(INSERT_ABORT)
                .bind(municipality.to_string())
                .bind(id.uuid())
                .bind(now_ms)
                .bind(reason)
                .bind(signature)
                .bind(statement)
                .execute(tx)
                .await?;
            Ok(Abort::Done)
        })
    }

    /// Begins another attempt at a discrepant batch, from its stored chunks. Those that were set aside have
    /// to be sent again first: the batch is RECEIVING then, and their records are missing.
    ///
    /// Idempotent by `request_id`; `fingerprint` tells whether it is the same request.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction.
    pub async fn begin_repair(
        &self,
        municipality: MunicipalityCode,
        id: BatchId,
        request_id: &str,
        fingerprint: &Digest,
        now_ms: i64,
    ) -> Result<Repair, Error> {
        in_tx!(self, "begin_repair", |tx| {
            tx.lock_batch(municipality, id).await?;
            let code = municipality.to_string();
            let query = sqlx::query_scalar(GET_REQUEST).bind(&code).bind(request_id);
            let before: Option<Vec<u8>> = query.fetch_optional(&mut *tx).await?;
            if let Some(before) = before {
                let same = before == fingerprint.as_bytes();
                return Ok(if same { Repair::Again } else { Repair::Reused });
            }
            let Some(row) = tx.batch(municipality, id).await? else { return Ok(Repair::NotFound) };
            let query = sqlx::query_scalar(CHUNK_NUMBERS).bind(&code).bind(id.uuid());
            let numbers: Vec<i64> = query.fetch_all(&mut *tx).await?;
            let lacking = lacking(&row, &numbers);
            let command = if lacking.is_empty() { BatchCommand::Repair } else { BatchCommand::SendAgain };
            let Ok(after) = row.state.after(command) else { return Ok(Repair::WrongState) };
            if row.attempt >= ATTEMPTS_MAX {
                return Ok(Repair::WrongState);
            }
            let attempt = i64::from(row.attempt) + 1;
            if lacking.is_empty() {
                let query = sqlx::query(NEXT_ATTEMPT).bind(&code).bind(id.uuid());
                query.bind(after.as_str()).bind(now_ms).execute(&mut *tx).await?;
                let query = sqlx::query(ADD_WORK).bind(&code).bind(id.uuid());
                query.bind(attempt).bind(now_ms).execute(&mut *tx).await?;
            } else {
                let query = sqlx::query(SEND_AGAIN).bind(&code).bind(id.uuid()).bind(after.as_str());
                let query = query.bind(int(numbers.len() as u64, "chunks_stored")?);
                let query = query.bind(int(row.records_in(&lacking), "missing")?);
                query.bind(now_ms).execute(&mut *tx).await?;
            }
            let query =
                sqlx::query(INSERT_REQUEST).bind(&code).bind(request_id).bind(id.uuid()).bind(attempt);
            query.bind(fingerprint.as_bytes().as_slice()).bind(now_ms).execute(tx).await?;
            Ok(Repair::Started)
        })
    }

    /// Returns the receipt of an accepted batch, the same bytes each time.
    ///
    /// Who has it holds us to it. So a server commits what was read: its standby has the receipt then, even
    /// if the server was started again since it was written.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction.
    pub async fn receipt(
        &self,
        municipality: MunicipalityCode,
        id: BatchId,
    ) -> Result<Option<Vec<u8>>, Error> {
        match &self.pool {
            Pool::Sqlite { .. } => {
                on_read!(self, "receipt", |conn| conn.given_receipt(municipality, id).await)
            }
            Pool::Postgres(_) => in_tx!(self, "receipt", |tx| tx.given_receipt(municipality, id).await),
        }
    }

    /// Returns the highest sequence that has a receipt, and the digest of that receipt.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn last_receipt(&self, municipality: MunicipalityCode) -> Result<Option<(u64, Digest)>, Error> {
        on_read!(self, "last_receipt", |conn| {
            let query = sqlx::query_as(LAST_RECEIPT).bind(municipality.to_string());
            let row: Option<(i64, Vec<u8>)> = query.fetch_optional(conn).await?;
            let read = |(sequence, digest): (i64, Vec<u8>)| {
                Ok((columns::uint(sequence, "sequence")?, columns::digest(&digest, "digest")?))
            };
            row.map(read).transpose()
        })
    }
}

/// The chunks of the grid that are not there.
fn lacking(row: &BatchRow, numbers: &[i64]) -> Vec<u32> {
    let there: Ranges = numbers.iter().filter_map(|number| u64::try_from(*number).ok()).collect();
    (0..row.chunk_count).filter(|number| !there.contains(u64::from(*number))).collect()
}
