//! Many rows in few statements: what each database does in its own way, behind steps of the same names.
//! PostgreSQL's are in `postgres::bulk`.
//!
//! SQLite takes rows as one list of values for every 512. What all rows share is bound once and joined to the
//! list; the text of a full group is always the same, so that it is prepared once. Its text is built at run
//! time, so that only the contract tests cover it.

use std::ops::Range;

use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection, query::Query, sqlite::SqliteArguments, types::Uuid};

use crate::{domain::disposition::Disposition, vault::BlindIndex};

use super::{Claim, Error, NewOrder, WorkKey, columns::int};

/// Rows in a statement. More are not faster, and SQLite takes 32,766 values at the most.
const GROUP_ROWS: usize = 512;

/// One attempt at a batch: whose rows they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    pub(super) key: WorkKey,
    pub(super) number: u32,
}

impl From<&Claim> for Attempt {
    fn from(claim: &Claim) -> Self {
        Self { key: claim.key, number: claim.attempt }
    }
}

/// Who holds an order id, and whether that still counts.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct KeyRow {
    pub(super) order_id: String,
    pub(super) batch_id: Uuid,
    pub(super) attempt: i64,
    pub(super) record_index: i64,
    /// The state of the holder's batch, and the attempt it is at.
    pub(super) state: String,
    pub(super) live_attempt: i64,
    /// The holder's leaf, if its order is stored.
    pub(super) leaf: Option<Vec<u8>>,
}

/// The steps that move many rows.
pub(super) trait BulkSteps {
    /// Orders whose ids are taken and looked for together at the most.
    fn keys_together(&self) -> usize;

    /// Adds records to what is stored of each district.
    fn add_districts(
        &mut self,
        code: &str,
        id: Uuid,
        districts: &[(String, i64)],
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Takes the order ids of orders that nobody holds, or an earlier attempt at the same batch, and returns
    /// how many it took; an id that stands twice is taken once. Whoever holds the others keeps them until
    /// this transaction is over.
    fn take_keys(
        &mut self,
        attempt: Attempt,
        orders: &[&NewOrder],
    ) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Sees to it that who holds these ids keeps them until this transaction is over, and nobody comes to
    /// hold those that are free.
    fn lock_keys(
        &mut self,
        attempt: Attempt,
        orders: &[&NewOrder],
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Returns who holds the order ids of at most [`BulkSteps::keys_together`] orders.
    fn find_keys(
        &mut self,
        attempt: Attempt,
        orders: &[&NewOrder],
    ) -> impl Future<Output = Result<Vec<KeyRow>, Error>> + Send;

    /// Takes order ids over from holders that count no more.
    fn take_over_keys(
        &mut self,
        attempt: Attempt,
        orders: &[&NewOrder],
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Inserts orders.
    fn insert_orders(
        &mut self,
        attempt: Attempt,
        orders: &[&NewOrder],
        now_ms: i64,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Enters the persons of the orders of these records, in the order of their keys.
    fn enter_persons(
        &mut self,
        attempt: Attempt,
        sequence: i64,
        records: Range<i64>,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Inserts what became of the records that are no orders.
    fn insert_dispositions(
        &mut self,
        attempt: Attempt,
        others: &[Disposition],
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

statements! {
    pub(super) ENTER_PERSONS = "
        INSERT INTO card_person (municipality_code, person_key, sequence, attempt, record_index)
        SELECT municipality_code, substr(person_index, 1, 8), $4, attempt, record_index FROM card_order
        WHERE municipality_code = $1 AND batch_id = $2 AND attempt = $3
            AND record_index >= $5 AND record_index < $6 AND person_index IS NOT NULL
        ORDER BY substr(person_index, 1, 8)
        ON CONFLICT DO NOTHING";
}

const ADD_DISTRICTS: &str = "
    INSERT INTO batch_district (municipality_code, batch_id, district, stored_records)
    SELECT c.code, c.batch, v.column1, v.column2
    FROM (SELECT ? AS code, ? AS batch) AS c CROSS JOIN (VALUES @) AS v
    WHERE true ON CONFLICT (municipality_code, batch_id, district)
    DO UPDATE SET stored_records = batch_district.stored_records + excluded.stored_records";
const TAKE_KEYS: &str = "
    INSERT INTO order_key (municipality_code, order_id, batch_id, attempt, record_index)
    SELECT c.code, v.column1, c.batch, c.attempt, v.column2
    FROM (SELECT ? AS code, ? AS batch, ? AS attempt) AS c CROSS JOIN (VALUES @) AS v
    WHERE true ON CONFLICT (municipality_code, order_id) DO UPDATE SET attempt = excluded.attempt,
        record_index = excluded.record_index
    WHERE order_key.batch_id = excluded.batch_id AND order_key.attempt < excluded.attempt";
const TAKE_OVER_KEYS: &str = "
    INSERT INTO order_key (municipality_code, order_id, batch_id, attempt, record_index)
    SELECT c.code, v.column1, c.batch, c.attempt, v.column2
    FROM (SELECT ? AS code, ? AS batch, ? AS attempt) AS c CROSS JOIN (VALUES @) AS v
    WHERE true ON CONFLICT (municipality_code, order_id) DO UPDATE SET batch_id = excluded.batch_id,
        attempt = excluded.attempt, record_index = excluded.record_index";
const FIND_KEYS: &str = "
    SELECT k.order_id, k.batch_id, k.attempt, k.record_index, b.state, b.attempt AS live_attempt, o.leaf
    FROM order_key AS k
    JOIN batch AS b ON b.municipality_code = k.municipality_code AND b.batch_id = k.batch_id
    LEFT JOIN card_order AS o ON o.municipality_code = k.municipality_code AND o.batch_id = k.batch_id
        AND o.attempt = k.attempt AND o.record_index = k.record_index
    WHERE k.municipality_code = ? AND k.order_id IN (VALUES @)";
const INSERT_ORDERS: &str = "
    INSERT INTO card_order (municipality_code, batch_id, attempt, ordered_ms, record_index, order_id, leaf,
        kind, district, person_index, protected, accommodations, sealed)
    SELECT c.code, c.batch, c.attempt, c.now, v.column1, v.column2, v.column3, v.column4, v.column5,
        v.column6, v.column7, v.column8, v.column9
    FROM (SELECT ? AS code, ? AS batch, ? AS attempt, ? AS now) AS c CROSS JOIN (VALUES @) AS v";
const INSERT_DISPOSITIONS: &str = "
    INSERT INTO disposition (municipality_code, batch_id, attempt, record_index, order_id, kind, code, field,
        other_batch_id, other_index)
    SELECT c.code, c.batch, c.attempt, v.column1, v.column2, v.column3, v.column4, v.column5, v.column6,
        v.column7
    FROM (SELECT ? AS code, ? AS batch, ? AS attempt) AS c CROSS JOIN (VALUES @) AS v";

/// All of them, for the tests that read every text: `@` stands for the rows.
#[cfg(test)]
pub(super) const BUILT: [(&str, &str); 6] = [
    ("bulk::ADD_DISTRICTS", ADD_DISTRICTS),
    ("bulk::TAKE_KEYS", TAKE_KEYS),
    ("bulk::TAKE_OVER_KEYS", TAKE_OVER_KEYS),
    ("bulk::FIND_KEYS", FIND_KEYS),
    ("bulk::INSERT_ORDERS", INSERT_ORDERS),
    ("bulk::INSERT_DISPOSITIONS", INSERT_DISPOSITIONS),
];

/// Returns the query of `text` with `rows` rows of `columns` values in place of `@`.
///
/// Safe: the text is one of the constants above, and everything that came from outside is bound.
fn with_rows(text: &'static str, rows: usize, columns: usize) -> Query<'static, Sqlite, SqliteArguments> {
    let row = format!("({})", vec!["?"; columns].join(","));
    let list = vec![row.as_str(); rows].join(",");
    sqlx::query(AssertSqlSafe(text.replacen('@', &list, 1))).persistent(rows == GROUP_ROWS)
}

/// Binds what all rows of an attempt share.
fn of_attempt<'q>(
    query: Query<'q, Sqlite, SqliteArguments>,
    attempt: Attempt,
) -> Query<'q, Sqlite, SqliteArguments> {
    let query = query.bind(attempt.key.municipality.to_string());
    query.bind(attempt.key.batch_id.uuid()).bind(i64::from(attempt.number))
}

impl BulkSteps for SqliteConnection {
    fn keys_together(&self) -> usize {
        GROUP_ROWS
    }

    async fn lock_keys(&mut self, _: Attempt, _: &[&NewOrder]) -> Result<(), Error> {
        Ok(()) // nobody else writes
    }

    async fn add_districts(
        &mut self,
        code: &str,
        id: Uuid,
        districts: &[(String, i64)],
    ) -> Result<(), Error> {
        for group in districts.chunks(GROUP_ROWS) {
            let mut query = with_rows(ADD_DISTRICTS, group.len(), 2).bind(code).bind(id);
            for (district, records) in group {
                query = query.bind(district.as_str()).bind(*records);
            }
            query.execute(&mut *self).await?;
        }
        Ok(())
    }

    async fn take_keys(&mut self, attempt: Attempt, orders: &[&NewOrder]) -> Result<u64, Error> {
        let mut query = of_attempt(with_rows(TAKE_KEYS, orders.len(), 2), attempt);
        for order in orders {
            query = query.bind(order.order_id.as_str()).bind(int(order.index, "record_index")?);
        }
        Ok(query.execute(self).await?.rows_affected())
    }

    async fn find_keys(&mut self, attempt: Attempt, orders: &[&NewOrder]) -> Result<Vec<KeyRow>, Error> {
        let list = vec!["(?)"; orders.len()].join(",");
        let text = AssertSqlSafe(FIND_KEYS.replacen('@', &list, 1));
        let mut query = sqlx::query_as(text).persistent(false).bind(attempt.key.municipality.to_string());
        for order in orders {
            query = query.bind(order.order_id.as_str());
        }
        Ok(query.fetch_all(self).await?)
    }

    async fn take_over_keys(&mut self, attempt: Attempt, orders: &[&NewOrder]) -> Result<(), Error> {
        for group in orders.chunks(GROUP_ROWS) {
            let mut query = of_attempt(with_rows(TAKE_OVER_KEYS, group.len(), 2), attempt);
            for order in group {
                query = query.bind(order.order_id.as_str()).bind(int(order.index, "record_index")?);
            }
            query.execute(&mut *self).await?;
        }
        Ok(())
    }

    async fn insert_orders(
        &mut self,
        attempt: Attempt,
        orders: &[&NewOrder],
        now_ms: i64,
    ) -> Result<(), Error> {
        for group in orders.chunks(GROUP_ROWS) {
            let mut query = of_attempt(with_rows(INSERT_ORDERS, group.len(), 9), attempt).bind(now_ms);
            for order in group {
                query = query
                    .bind(int(order.index, "record_index")?)
                    .bind(order.order_id.as_str())
                    .bind(order.leaf.as_bytes().as_slice())
                    .bind(order.kind.as_str())
                    .bind(order.district.as_str())
                    .bind(order.person_index.as_ref().map(BlindIndex::as_slice))
                    .bind(order.protected)
                    .bind(order.accommodations.as_str())
                    .bind(order.sealed.as_slice());
            }
            query.execute(&mut *self).await?;
        }
        Ok(())
    }

    async fn enter_persons(
        &mut self,
        attempt: Attempt,
        sequence: i64,
        records: Range<i64>,
    ) -> Result<(), Error> {
        let query = sqlx::query(ENTER_PERSONS).bind(attempt.key.municipality.to_string());
        let query = query.bind(attempt.key.batch_id.uuid()).bind(i64::from(attempt.number)).bind(sequence);
        query.bind(records.start).bind(records.end).execute(self).await?;
        Ok(())
    }

    async fn insert_dispositions(&mut self, attempt: Attempt, others: &[Disposition]) -> Result<(), Error> {
        for group in others.chunks(GROUP_ROWS) {
            let mut query = of_attempt(with_rows(INSERT_DISPOSITIONS, group.len(), 7), attempt);
            for one in group {
                let other = one.duplicate_of;
                let other_index = other.map(|(_, index)| int(index, "other_index")).transpose()?;
                query = query
                    .bind(int(one.index, "record_index")?)
                    .bind(one.order_id.as_str())
                    .bind(one.kind.as_str())
                    .bind(one.code.as_deref())
                    .bind(one.field.as_deref())
                    .bind(other.map(|(id, _)| id.uuid()))
                    .bind(other_index);
            }
            query.execute(&mut *self).await?;
        }
        Ok(())
    }
}
