//! What an operator has put right in an accepted batch: the damaged bytes are kept, the whole ones stand in
//! their place, and a line says so; all of it or nothing.

use std::collections::{BTreeSet, HashSet};

use crate::domain::batch::BatchState;

use super::{
    BatchRow, Error, NewOrder, Store, WorkKey,
    batches::BatchSteps as _,
    bulk::{Attempt, BulkSteps as _},
    columns::int,
    locks::LockSteps as _,
};

statements! {
    KEEP_ORDER = "
        INSERT INTO quarantine (municipality_code, batch_id, kind, attempt, place, found_ms, action, content)
        VALUES ($1, $2, 'ORDER', $3, $4, $5, $6, COALESCE((SELECT sealed FROM card_order
            WHERE municipality_code = $1 AND batch_id = $2 AND attempt = $3 AND record_index = $4), $7))
        ON CONFLICT DO NOTHING";
    DROP_ORDER = "
        DELETE FROM card_order
        WHERE municipality_code = $1 AND batch_id = $2 AND attempt = $3 AND record_index = $4";
    ADD_PERSON = "
        INSERT INTO card_person (municipality_code, person_key, sequence, attempt, record_index)
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
    KEEP_CHUNK = "
        INSERT INTO quarantine (municipality_code, batch_id, kind, attempt, place, found_ms, action, content)
        VALUES ($1, $2, 'CHUNK', $3, $4, $5, 'made again of its orders', COALESCE((SELECT sealed FROM chunk
            WHERE municipality_code = $1 AND batch_id = $2 AND chunk_number = $4), $6))
        ON CONFLICT DO NOTHING";
    SET_CHUNK = "
        INSERT INTO chunk (municipality_code, batch_id, chunk_number, root, record_count, uploader_epoch,
            relay, stored_ms, sealed)
        VALUES ($1, $2, $3, $4, $5, $6, '', $7, $8)
        ON CONFLICT (municipality_code, batch_id, chunk_number) DO UPDATE SET root = excluded.root,
            record_count = excluded.record_count, sealed = excluded.sealed";
    COUNT_CHUNKS = "
        UPDATE batch SET chunks_stored = (SELECT COUNT(*) FROM chunk AS c
            WHERE c.municipality_code = batch.municipality_code AND c.batch_id = batch.batch_id
                AND c.chunk_number BETWEEN 0 AND batch.chunk_count - 1)
        WHERE municipality_code = $1 AND batch_id = $2";
    KEEP_RECEIPT = "
        INSERT INTO quarantine (municipality_code, batch_id, kind, attempt, place, found_ms, action, content)
        VALUES ($1, $2, 'RECEIPT', $3, 0, $4, 'made again, byte for byte', COALESCE((SELECT receipt
            FROM receipt WHERE municipality_code = $1 AND batch_id = $2), $5))
        ON CONFLICT DO NOTHING";
    SET_RECEIPT = "
        INSERT INTO receipt (municipality_code, batch_id, sequence, attempt, digest, receipt)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (municipality_code, batch_id) DO UPDATE SET sequence = excluded.sequence,
            attempt = excluded.attempt, digest = excluded.digest, receipt = excluded.receipt";
}

/// A chunk as it is to stand.
#[derive(Debug)]
pub struct WholeChunk<'a> {
    /// Its number.
    pub number: u32,
    /// The root over its records.
    pub root: crate::domain::digest::Digest,
    /// Its payload, sealed.
    pub sealed: &'a [u8],
}

on_both! {
    pub(super) trait MendSteps {
        /// Returns those of the order ids that another batch holds.
        async fn held_by_others(
            &mut conn,
            attempt: Attempt,
            orders: &[&NewOrder],
        ) -> Result<HashSet<String>, Error> {
            let mut held = HashSet::new();
            for group in orders.chunks(conn.keys_together()) {
                for key in conn.find_keys(attempt, group).await? {
                    let gone = key.attempt != key.live_attempt || key.state == BatchState::Aborted.as_str();
                    if key.batch_id != attempt.key.batch_id.uuid() && !gone {
                        held.insert(key.order_id);
                    }
                }
            }
            Ok(held)
        }
    }
}

impl Store {
    /// Puts orders in the place of damaged ones of an accepted batch, and enters them under their ids and
    /// persons; returns the places where that was done. None is put where another batch holds the order id,
    /// nor if the batch is not accepted in this attempt.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction.
    pub async fn mend_orders(
        &self,
        row: &BatchRow,
        orders: &[(NewOrder, String)],
        now_ms: i64,
    ) -> Result<BTreeSet<u64>, Error> {
        in_tx!(self, "mend_orders", |tx| {
            tx.lock_batch(row.municipality, row.batch_id).await?;
            if !accepted(tx.batch(row.municipality, row.batch_id).await?.as_ref(), row) {
                return Ok(BTreeSet::new());
            }
            let (code, id, number) = (row.municipality.to_string(), row.batch_id.uuid(), row.attempt);
            let key = WorkKey { municipality: row.municipality, batch_id: row.batch_id };
            let attempt = Attempt { key, number };
            let all: Vec<&NewOrder> = orders.iter().map(|(order, _)| order).collect();
            tx.lock_keys(attempt, &all).await?;
            let held = tx.held_by_others(attempt, &all).await?;
            let free = || orders.iter().filter(|(order, _)| !held.contains(&order.order_id));
            for (order, action) in free() {
                let index = int(order.index, "record_index")?;
                let query = sqlx::query(KEEP_ORDER).bind(&code).bind(id).bind(i64::from(number));
                let query = query.bind(index).bind(now_ms).bind(action).bind(b"".as_slice());
                query.execute(&mut *tx).await?;
                let query = sqlx::query(DROP_ORDER).bind(&code).bind(id).bind(i64::from(number));
                query.bind(index).execute(&mut *tx).await?;
                if let Some(person) = &order.person_index {
                    let query = sqlx::query(ADD_PERSON).bind(&code).bind(&person[..8]);
                    let query = query.bind(int(row.sequence, "sequence")?).bind(i64::from(number));
                    query.bind(index).execute(&mut *tx).await?;
                }
            }
            let orders: Vec<&NewOrder> = free().map(|(order, _)| order).collect();
            tx.take_over_keys(attempt, &orders).await?;
            // When it was ordered stands in no record; the acceptance is the nearest moment that is known.
            tx.insert_orders(attempt, &orders, row.finished_ms.unwrap_or(now_ms)).await?;
            Ok(orders.iter().map(|order| order.index).collect())
        })
    }

    /// Puts a whole chunk in the place of a damaged one of an accepted batch; `false` if it is not accepted.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction.
    pub async fn mend_chunk(
        &self,
        row: &BatchRow,
        chunk: &WholeChunk<'_>,
        now_ms: i64,
    ) -> Result<bool, Error> {
        in_tx!(self, "mend_chunk", |tx| {
            tx.lock_batch(row.municipality, row.batch_id).await?;
            if !accepted(tx.batch(row.municipality, row.batch_id).await?.as_ref(), row) {
                return Ok(false);
            }
            let (code, id) = (row.municipality.to_string(), row.batch_id.uuid());
            let query = sqlx::query(KEEP_CHUNK).bind(&code).bind(id).bind(i64::from(row.attempt));
            let query = query.bind(i64::from(chunk.number)).bind(now_ms).bind(b"".as_slice());
            query.execute(&mut *tx).await?;
            let query = sqlx::query(SET_CHUNK).bind(&code).bind(id).bind(i64::from(chunk.number));
            let query = query.bind(chunk.root.as_bytes().as_slice());
            let query = query.bind(int(row.records_in(&[chunk.number]), "record_count")?);
            let query = query.bind(i64::from(row.uploader_epoch)).bind(now_ms).bind(chunk.sealed);
            query.execute(&mut *tx).await?;
            sqlx::query(COUNT_CHUNKS).bind(&code).bind(id).execute(tx).await?;
            Ok(true)
        })
    }

    /// Puts a receipt that was made again in the place of a damaged one; `false` if the batch is not
    /// accepted.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction.
    pub async fn mend_receipt(
        &self,
        row: &BatchRow,
        receipt: &[u8],
        digest: &crate::domain::digest::Digest,
        now_ms: i64,
    ) -> Result<bool, Error> {
        in_tx!(self, "mend_receipt", |tx| {
            tx.lock_batch(row.municipality, row.batch_id).await?;
            if !accepted(tx.batch(row.municipality, row.batch_id).await?.as_ref(), row) {
                return Ok(false);
            }
            let (code, id) = (row.municipality.to_string(), row.batch_id.uuid());
            let query = sqlx::query(KEEP_RECEIPT).bind(&code).bind(id).bind(i64::from(row.attempt));
            query.bind(now_ms).bind(b"".as_slice()).execute(&mut *tx).await?;
            let query = sqlx::query(SET_RECEIPT).bind(&code).bind(id).bind(int(row.sequence, "sequence")?);
            let query = query.bind(i64::from(row.attempt)).bind(digest.as_bytes().as_slice());
            query.bind(receipt).execute(tx).await?;
            Ok(true)
        })
    }
}

/// Whether a batch is still accepted in the attempt that was looked at.
pub(super) fn accepted(now: Option<&BatchRow>, then: &BatchRow) -> bool {
    now.is_some_and(|now| {
        now.attempt == then.attempt
            && matches!(now.state, BatchState::Accepted | BatchState::AcceptedWithRejects)
    })
}
