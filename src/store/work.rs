//! At most one worker changes a batch: every change names the claim's epoch, and a later claim makes it void.

use sqlx::types::Uuid;

use crate::{
    crash::{self, Point},
    domain::batch::{BatchCommand, BatchState},
};

use super::{
    Acceptance, BatchRow, Claim, Error, Store, WorkKey,
    batches::BatchSteps as _,
    columns::{self, batch_id, int, small},
    ends::EndSteps as _,
    locks::LockSteps as _,
    restore::GateSteps as _,
    sweep::readable,
};

statements! {
    CANDIDATES = "
        SELECT w.municipality_code, w.batch_id FROM work AS w
        WHERE w.due_ms <= $1
            AND (NOT EXISTS (SELECT 1 FROM restore) OR EXISTS (SELECT 1 FROM comparison AS c
                WHERE c.municipality_code = w.municipality_code
                    AND c.restore_id = (SELECT MAX(restore_id) FROM restore)))
        ORDER BY w.due_ms LIMIT $2";
    // The second of two steps that work on every engine: no row means that somebody else has it.
    CLAIM = "
        UPDATE work SET holder = $3, epoch = epoch + 1, tries = tries + 1, due_ms = $4, note = NULL
        WHERE municipality_code = $1 AND batch_id = $2 AND due_ms <= $5
        RETURNING attempt, epoch, tries";
    BEGIN_WORK = "
        UPDATE batch SET state = $3 WHERE municipality_code = $1 AND batch_id = $2";
    RENEW = "
        UPDATE work SET due_ms = $5
        WHERE municipality_code = $1 AND batch_id = $2 AND attempt = $3 AND epoch = $4
            AND holder IS NOT NULL";
    RELEASE = "
        UPDATE work SET holder = NULL, due_ms = $5, note = $6
        WHERE municipality_code = $1 AND batch_id = $2 AND attempt = $3 AND epoch = $4
            AND holder IS NOT NULL";
    POSTPONE = "
        UPDATE work SET holder = NULL, due_ms = $3, note = $4
        WHERE municipality_code = $1 AND batch_id = $2 AND due_ms <= $5";
    IS_HELD = "
        SELECT COUNT(*) AS held FROM work
        WHERE municipality_code = $1 AND batch_id = $2 AND attempt = $3 AND epoch = $4
            AND holder IS NOT NULL";
    RECONCILE = "
        UPDATE batch SET state = $3, progress_ms = $4 WHERE municipality_code = $1 AND batch_id = $2";
    INSERT_RECEIPT = "
        INSERT INTO receipt (municipality_code, batch_id, sequence, attempt, digest, receipt)
        VALUES ($1, $2, $3, $4, $5, $6)";
}

on_both! {
    pub(super) trait WorkSteps {
        /// Returns the batch if the claim still holds; it does until the transaction is over.
        async fn held(&mut conn, claim: &Claim) -> Result<Option<BatchRow>, Error> {
            conn.lock_batch(claim.key.municipality, claim.key.batch_id).await?;
            let query = sqlx::query_scalar(IS_HELD)
                .bind(claim.key.municipality.to_string())
                .bind(claim.key.batch_id.uuid())
                .bind(i64::from(claim.attempt))
                .bind(i64::from(claim.epoch));
            let held: i64 = query.fetch_one(&mut *conn).await?;
            if held == 0 {
                return Ok(None);
            }
            conn.batch(claim.key.municipality, claim.key.batch_id).await
        }

        /// Changes the lease if the claim still holds: `RENEW`, or `RELEASE` with a note.
        async fn change_lease(
            &mut conn,
            claim: &Claim,
            due_ms: i64,
            released: Option<&str>,
        ) -> Result<bool, Error> {
            let query = sqlx::query(if released.is_some() { RELEASE } else { RENEW })
                .bind(claim.key.municipality.to_string())
                .bind(claim.key.batch_id.uuid())
                .bind(i64::from(claim.attempt))
                .bind(i64::from(claim.epoch))
                .bind(due_ms);
            let query = if released.is_some() { query.bind(released) } else { query };
            Ok(query.execute(conn).await?.rows_affected() == 1)
        }
    }
}

impl Store {
    /// Returns pieces of work that may be claimed at `now_ms`, the longest due first, `count` at most; none
    /// of a municipality whose receipts must be compared first. What cannot be read is told in the log.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn work_candidates(&self, now_ms: i64, count: u32) -> Result<Vec<WorkKey>, Error> {
        on_read!(self, "work_candidates", |conn| {
            let rows = sqlx::query(CANDIDATES).bind(now_ms).bind(i64::from(count)).fetch_all(conn).await?;
            Ok(readable("work_candidates", &rows, |(code, id): (String, Uuid)| {
                Ok(WorkKey { municipality: columns::municipality(&code)?, batch_id: batch_id(id)? })
            }))
        })
    }

    /// Claims a piece of work for `lease_ms`; `None` if somebody else was first or it is done.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction.
    pub async fn claim_work(
        &self,
        key: &WorkKey,
        holder: &str,
        now_ms: i64,
        lease_ms: i64,
    ) -> Result<Option<Claim>, Error> {
        in_tx!(self, "claim_work", |tx| {
            tx.lock_batch(key.municipality, key.batch_id).await?;
            let (code, id) = (key.municipality.to_string(), key.batch_id.uuid());
            let query = sqlx::query_as(CLAIM).bind(&code).bind(id).bind(holder);
            let query = query.bind(now_ms.saturating_add(lease_ms)).bind(now_ms);
            let claimed: Option<(i64, i64, i64)> = query.fetch_optional(&mut *tx).await?;
            let Some((attempt, epoch, tries)) = claimed else { return Ok(None) };
            let row = tx.batch(key.municipality, key.batch_id).await?.ok_or(Error::Corrupt("work"))?;
            let after = row.state.after(BatchCommand::Work).map_err(|_| Error::Corrupt("work"))?;
            if after != row.state {
                let query = sqlx::query(BEGIN_WORK).bind(&code).bind(id).bind(after.as_str());
                query.execute(tx).await?;
            }
            Ok(Some(Claim {
                key: *key,
                attempt: small(attempt, "attempt")?,
                epoch: small(epoch, "epoch")?,
                next_chunk: row.chunks_worked,
                tries: small(tries - 1, "tries")?,
            }))
        })
    }

    /// Makes a lease end `lease_ms` from now; `false` if it is lost.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction.
    pub async fn renew_work(&self, claim: &Claim, now_ms: i64, lease_ms: i64) -> Result<bool, Error> {
        let until = now_ms.saturating_add(lease_ms);
        in_tx!(self, "renew_work", |tx| tx.change_lease(claim, until, None).await)
    }

    /// Gives work back, not to be claimed before `due_ms`, and says why; `false` if the lease was lost.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction.
    pub async fn release_work(&self, claim: &Claim, due_ms: i64, why: &str) -> Result<bool, Error> {
        in_tx!(self, "release_work", |tx| tx.change_lease(claim, due_ms, Some(why)).await)
    }

    /// Puts off work that cannot be claimed, from `now_ms` to `due_ms`, and says why: others get their
    /// turn; does nothing if somebody has claimed it meanwhile.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction.
    pub async fn postpone_work(
        &self,
        key: &WorkKey,
        now_ms: i64,
        due_ms: i64,
        why: &str,
    ) -> Result<(), Error> {
        in_tx!(self, "postpone_work", |tx| {
            let query = sqlx::query(POSTPONE).bind(key.municipality.to_string()).bind(key.batch_id.uuid());
            query.bind(due_ms).bind(why).bind(now_ms).execute(tx).await?;
            Ok(())
        })
    }

    /// Notes that every chunk is worked off; `false` if the lease is lost.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if a chunk is left; any [`Error`] of a transaction.
    pub async fn start_reconciling(&self, claim: &Claim, now_ms: i64) -> Result<bool, Error> {
        in_tx!(self, "start_reconciling", |tx| {
            let Some(row) = tx.held(claim).await? else { return Ok(false) };
            let after = row.state.after(BatchCommand::Reconcile).map_err(|_| Error::Corrupt("work"))?;
            if row.chunks_worked != row.chunk_count {
                return Err(Error::Corrupt("chunks_worked"));
            }
            let (code, id) = (row.municipality.to_string(), row.batch_id.uuid());
            let query = sqlx::query(RECONCILE).bind(code).bind(id).bind(after.as_str()).bind(now_ms);
            query.execute(tx).await?;
            Ok(true)
        })
    }

    /// Accepts a batch and keeps its receipt, both or neither; `false` if the lease is lost, or if the
    /// receipt of a lost batch came meanwhile and is another one.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if a record is not decided or the state does not allow it; any [`Error`] of a
    /// transaction.
    pub async fn accept(&self, claim: &Claim, acceptance: &Acceptance<'_>) -> Result<bool, Error> {
        in_tx!(self, "accept", |tx| {
            let Some(row) = tx.held(claim).await? else { return Ok(false) };
            let command = match acceptance.state {
                BatchState::AcceptedWithRejects => BatchCommand::AcceptWithRejects,
                _ => BatchCommand::Accept,
            };
            let after = row.state.after(command).map_err(|_| Error::Corrupt("state"))?;
            if row.counts.missing + row.counts.stored > 0 || after != acceptance.state {
                return Err(Error::Corrupt("acceptance"));
            }
            let before = tx.promised_digest(row.municipality, row.batch_id).await?;
            if before.is_some_and(|before| before != acceptance.receipt_digest) {
                return Ok(false);
            }
            tx.end_batch(row.municipality, row.batch_id, (after, None), acceptance.now_ms).await?;
            crash::point(Point::HalfAccepted);
            sqlx::query(INSERT_RECEIPT)
                .bind(row.municipality.to_string())
                .bind(row.batch_id.uuid())
                .bind(int(row.sequence, "sequence")?)
                .bind(i64::from(row.attempt))
                .bind(acceptance.receipt_digest.as_bytes().as_slice())
                .bind(acceptance.receipt)
                .execute(tx)
                .await?;
            Ok(true)
        })
    }

    /// Notes that a batch cannot come out right, and why; `false` if the lease is lost.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction.
    pub async fn reject_batch(&self, claim: &Claim, words: &str, now_ms: i64) -> Result<bool, Error> {
        in_tx!(self, "reject_batch", |tx| {
            let Some(row) = tx.held(claim).await? else { return Ok(false) };
            let after =
                row.state.after(BatchCommand::FindDiscrepancy).map_err(|_| Error::Corrupt("state"))?;
            tx.end_batch(row.municipality, row.batch_id, (after, Some(words)), now_ms).await?;
            Ok(true)
        })
    }
}
