//! The records of chunks become orders once, in the transaction that moves the batch on; an order id stands
//! for one record of a municipality for ever, unless its batch was given up.

use std::{collections::HashMap, ops::Range};

use crate::{
    crash::{self, Point},
    domain::{
        batch::BatchState,
        disposition::{Disposition, DispositionKind},
        validation::{ORDER_ID_HELD, ORDER_ID_REUSED},
    },
};

use super::{
    BatchRow, Claim, Error, NewOrder, Store, Stored,
    bulk::{Attempt, BulkSteps as _, KeyRow},
    columns::{batch_id, int, state, uint},
    work::WorkSteps as _,
};

const ORDER_ID_FIELD: &str = "order_id";

statements! {
    LEDGER = "
        SELECT CAST(COALESCE(SUM(record_count), 0) AS BIGINT) AS records FROM chunk
        WHERE municipality_code = $1 AND batch_id = $2 AND chunk_number >= $3 AND chunk_number < $4";
    COUNT_OUT = "
        UPDATE batch SET stored = stored - $3 - $4 - $5 - $6, accepted = accepted + $3,
            rejected = rejected + $4, duplicate = duplicate + $5, quarantined = quarantined + $6,
            chunks_worked = $8, progress_ms = $7
        WHERE municipality_code = $1 AND batch_id = $2";
    MOVED = "UPDATE work SET tries = 0 WHERE municipality_code = $1 AND batch_id = $2 AND tries > 0";
    pub(super) INDEXED = "
        UPDATE batch SET chunks_indexed = $3 WHERE municipality_code = $1 AND batch_id = $2";
    COUNT_ORDERS = "
        SELECT COUNT(*) AS orders FROM card_order
        WHERE municipality_code = $1 AND batch_id = $2 AND attempt = $3
            AND record_index >= $4 AND record_index < $5";
    COUNT_OTHERS = "
        SELECT kind, COUNT(*) AS others FROM disposition
        WHERE municipality_code = $1 AND batch_id = $2 AND attempt = $3
            AND record_index >= $4 AND record_index < $5
        GROUP BY kind";
}

/// The records of some chunks, apart.
pub(super) struct Sorted {
    /// The chunks are worked off up to this one.
    end: u32,
    /// Which of the orders given are orders.
    accepted: Vec<usize>,
    /// What became of all other records.
    others: Vec<Disposition>,
}

impl Sorted {
    fn count(&self, kind: DispositionKind) -> Result<i64, Error> {
        int(self.others.iter().filter(|one| one.kind == kind).count() as u64, "record_count")
    }
}

on_both! {
    pub(super) trait OrderSteps {
        /// Stores what became of the records, and counts them.
        async fn store_sorted(
            &mut conn,
            claim: &Claim,
            orders: &[NewOrder],
            sorted: &Sorted,
            now_ms: i64,
        ) -> Result<Stored, Error> {
            let accepted: Vec<&NewOrder> = sorted.accepted.iter().map(|at| &orders[*at]).collect();
            let attempt = Attempt::from(claim);
            conn.insert_orders(attempt, &accepted, now_ms).await?;
            crash::point(Point::ChunkHalfExploded);
            conn.insert_dispositions(attempt, &sorted.others).await?;
            let accepted = int(accepted.len() as u64, "record_count")?;
            let rejected = sorted.count(DispositionKind::Rejected)?;
            let duplicate = sorted.count(DispositionKind::Duplicate)?;
            let (code, id) = (claim.key.municipality.to_string(), claim.key.batch_id.uuid());
            let query = sqlx::query(COUNT_OUT).bind(&code).bind(id).bind(accepted).bind(rejected);
            let query = query.bind(duplicate).bind(sorted.count(DispositionKind::Quarantined)?).bind(now_ms);
            query.bind(i64::from(sorted.end)).execute(&mut *conn).await?;
            sqlx::query(MOVED).bind(&code).bind(id).execute(conn).await?;
            Ok(Stored::Done {
                accepted: uint(accepted, "accepted")?,
                duplicate: uint(duplicate, "duplicate")?,
                rejected: uint(rejected, "rejected")?,
            })
        }

        /// Enters the persons of the chunks up to `end` that are not entered.
        async fn index_persons(&mut conn, claim: &Claim, row: &BatchRow, end: u32) -> Result<(), Error> {
            let (code, id) = (claim.key.municipality.to_string(), claim.key.batch_id.uuid());
            let records = i64::from(row.chunk_records);
            let records = i64::from(row.chunks_indexed) * records..i64::from(end) * records;
            conn.enter_persons(Attempt::from(claim), int(row.sequence, "sequence")?, records).await?;
            sqlx::query(INDEXED).bind(&code).bind(id).bind(i64::from(end)).execute(conn).await?;
            Ok(())
        }

        /// Returns what became of chunks that were stored before.
        async fn count_stored(
            &mut conn,
            claim: &Claim,
            row: &BatchRow,
            numbers: &Range<u32>,
        ) -> Result<Stored, Error> {
            let (code, id) = (claim.key.municipality.to_string(), claim.key.batch_id.uuid());
            let first = i64::from(numbers.start) * i64::from(row.chunk_records);
            let end = i64::from(numbers.end) * i64::from(row.chunk_records);
            let query = sqlx::query_scalar(COUNT_ORDERS).bind(&code).bind(id).bind(i64::from(claim.attempt));
            let accepted: i64 = query.bind(first).bind(end).fetch_one(&mut *conn).await?;
            let query = sqlx::query_as(COUNT_OTHERS).bind(&code).bind(id).bind(i64::from(claim.attempt));
            let others: Vec<(String, i64)> = query.bind(first).bind(end).fetch_all(conn).await?;
            let of = |kind: DispositionKind| {
                uint(others.iter().find(|one| one.0 == kind.as_str()).map_or(0, |one| one.1), "others")
            };
            Ok(Stored::Done {
                accepted: uint(accepted, "accepted")?,
                duplicate: of(DispositionKind::Duplicate)?,
                rejected: of(DispositionKind::Rejected)?,
            })
        }

        /// Returns how many records the ledger has for some chunks.
        async fn ledger(&mut conn, claim: &Claim, numbers: &Range<u32>) -> Result<u64, Error> {
            let query = sqlx::query_scalar(LEDGER).bind(claim.key.municipality.to_string());
            let query = query.bind(claim.key.batch_id.uuid());
            let query = query.bind(i64::from(numbers.start)).bind(i64::from(numbers.end));
            uint(query.fetch_one(conn).await?, "record_count")
        }

        /// Tells orders from duplicates and from ids that are taken; takes the ids of the orders.
        ///
        /// Goes by order id, so that neighbours in the tree are written together; of one id the first comes
        /// first.
        async fn sort(
            &mut conn,
            claim: &Claim,
            orders: &[NewOrder],
            sorted: &mut Sorted,
        ) -> Result<(), Error> {
            let attempt = Attempt::from(claim);
            let mut by_id: Vec<usize> = (0..orders.len()).collect();
            by_id.sort_unstable_by(|a, b| (&orders[*a].order_id, a).cmp(&(&orders[*b].order_id, b)));
            for places in by_id.chunks(conn.keys_together()) {
                let group: Vec<&NewOrder> = places.iter().map(|at| &orders[*at]).collect();
                if conn.take_keys(attempt, &group).await? == group.len() as u64 {
                    sorted.accepted.extend(places);
                    continue;
                }
                let mut holders: HashMap<String, Holder> = HashMap::with_capacity(group.len());
                for row in conn.find_keys(attempt, &group).await? {
                    let (order_id, holder) = Holder::of(row, claim, orders)?;
                    holders.insert(order_id, holder);
                }
                let mut freed = Vec::new();
                for at in places {
                    let order = &orders[*at];
                    let holder = holders.get_mut(&order.order_id).ok_or(Error::Corrupt("order_key"))?;
                    match holder.judge(order) {
                        Verdict::Own => sorted.accepted.push(*at),
                        Verdict::Free => {
                            *holder = Holder::this(order, claim);
                            freed.push(order);
                            sorted.accepted.push(*at);
                        }
                        Verdict::Taken(disposition) => sorted.others.push(disposition),
                    }
                }
                conn.take_over_keys(attempt, &freed).await?;
            }
            sorted.accepted.sort_unstable();
            sorted.others.sort_unstable_by_key(|one| one.index);
            Ok(())
        }
    }
}

/// Who holds an order id.
struct Holder {
    /// Its place.
    batch: crate::domain::batch_id::BatchId,
    index: u64,
    leaf: Option<crate::domain::digest::Digest>,
    stands: Stands,
}

/// Whether a holder counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    /// It is a record of this attempt at this batch.
    Here,
    /// It is an order of an accepted batch.
    Accepted,
    /// Its batch may still be accepted or given up.
    Open,
    /// Its batch was given up, or is at a later attempt.
    Gone,
}

/// What becomes of an order whose id is known.
enum Verdict {
    /// It holds the id itself.
    Own,
    /// The holder counts no more.
    Free,
    /// It is no order.
    Taken(Disposition),
}

impl Holder {
    fn this(order: &NewOrder, claim: &Claim) -> Self {
        let (batch, leaf) = (claim.key.batch_id, Some(order.leaf));
        Self { batch, index: order.index, leaf, stands: Stands::Here }
    }

    fn of(row: KeyRow, claim: &Claim, orders: &[NewOrder]) -> Result<(String, Self), Error> {
        let batch = batch_id(row.batch_id)?;
        let index = uint(row.record_index, "record_index")?;
        let here = batch == claim.key.batch_id && row.attempt == i64::from(claim.attempt);
        let stands = match state(&row.state)? {
            _ if here => Stands::Here,
            _ if row.attempt != row.live_attempt => Stands::Gone,
            BatchState::Aborted => Stands::Gone,
            BatchState::Accepted | BatchState::AcceptedWithRejects => Stands::Accepted,
            BatchState::Announced
            | BatchState::Receiving
            | BatchState::Sealed
            | BatchState::Importing
            | BatchState::Reconciling
            | BatchState::Discrepant
            | BatchState::Repairing => Stands::Open,
        };
        let leaf = match row.leaf {
            Some(leaf) => Some(super::columns::digest(&leaf, "leaf")?),
            // An order of these very chunks is not stored yet.
            None if here => {
                let at = orders.binary_search_by_key(&index, |order| order.index);
                at.ok().map(|at| orders[at].leaf)
            }
            None => None,
        };
        Ok((row.order_id, Self { batch, index, leaf, stands }))
    }

    fn judge(&self, order: &NewOrder) -> Verdict {
        let same = self.leaf == Some(order.leaf);
        let (kind, code) = match self.stands {
            Stands::Gone => return Verdict::Free,
            Stands::Here if self.index == order.index => return Verdict::Own,
            Stands::Here | Stands::Accepted if same => (DispositionKind::Duplicate, None),
            Stands::Here | Stands::Accepted => (DispositionKind::Rejected, Some(ORDER_ID_REUSED)),
            Stands::Open => (DispositionKind::Rejected, Some(ORDER_ID_HELD)),
        };
        Verdict::Taken(Disposition {
            index: order.index,
            order_id: order.order_id.clone(),
            kind,
            code: code.map(str::to_owned),
            field: code.map(|_| ORDER_ID_FIELD.to_owned()),
            duplicate_of: Some((self.batch, self.index)),
        })
    }
}

impl Store {
    /// Stores what became of the records of the chunks `numbers`, the next ones of the claim's batch: of all
    /// of them or of none.
    ///
    /// An order whose id is an accepted order with the same leaf, or an earlier record of this batch, is a
    /// duplicate of it; with another leaf it is rejected as [`ORDER_ID_REUSED`]. An id that another batch
    /// holds without being accepted is rejected as [`ORDER_ID_HELD`]: repair this batch once the other one is
    /// decided. `orders` must stand in the order of their indexes.
    ///
    /// Idempotent: chunks that are stored already are answered as they were, and change nothing.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the chunks are not the next ones or not of so many records; any [`Error`] of a
    /// transaction.
    pub async fn store_orders(
        &self,
        claim: &Claim,
        numbers: Range<u32>,
        orders: Vec<NewOrder>,
        rejects: Vec<Disposition>,
        now_ms: i64,
    ) -> Result<Stored, Error> {
        let (orders, rejects) = (orders.as_slice(), rejects.as_slice());
        in_tx!(self, "store_orders", |tx| {
            let Some(row) = tx.held(claim).await? else { return Ok(Stored::LeaseLost) };
            let end = numbers.end;
            if end <= row.chunks_worked {
                return tx.count_stored(claim, &row, &numbers).await;
            }
            let records = (orders.len() + rejects.len()) as u64;
            if numbers.start != row.chunks_worked || row.state != BatchState::Importing {
                return Err(Error::Corrupt("chunks_worked"));
            }
            if records != tx.ledger(claim, &numbers).await? {
                return Err(Error::Corrupt("record_count"));
            }
            let accepted = Vec::with_capacity(orders.len());
            let mut sorted = Sorted { end, accepted, others: rejects.to_vec() };
            tx.sort(claim, orders, &mut sorted).await?;
            let stored = tx.store_sorted(claim, orders, &sorted, now_ms).await?;
            if let Some(end) = self.indexed_next(&row, end) {
                tx.index_persons(claim, &row, end).await?;
            }
            Ok(stored)
        })
    }

    /// Up to which chunk persons are entered once those up to `end` are stored; `None`: that is put off, as
    /// many together cost less.
    fn indexed_next(&self, row: &BatchRow, end: u32) -> Option<u32> {
        if end == row.chunk_count {
            return Some(end); // nothing comes after it
        }
        if self.is_pressed() {
            return None; // few at a time: see `persons`
        }
        let waiting = u64::from(end - row.chunks_indexed) * u64::from(row.chunk_records);
        (waiting >= self.persons_together).then_some(end)
    }
}
