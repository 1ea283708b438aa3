//! Many rows in one statement: a column of values is one array, and what all rows share is bound once.
//!
//! UNNEST fills arrays of unequal lengths up with NULL, so all are made of the same rows, and the rows that
//! came of it are counted. What is many, and meets no conflict, comes by COPY: see `postgres::copied`.

use std::ops::Range;

use sqlx::{PgConnection, Postgres, postgres::PgArguments, query::Query, types::Uuid};

use crate::{domain::disposition::Disposition, vault::BlindIndex};

use super::{
    super::{
        Error, NewOrder,
        bulk::{Attempt, BulkSteps, ENTER_PERSONS, KeyRow},
        columns::int,
    },
    copied,
};

/// Rows in a statement; more are not faster.
const GROUP_ROWS: usize = 8192;

statements! {
    ADD_DISTRICTS = { postgres: "
        INSERT INTO batch_district (municipality_code, batch_id, district, stored_records)
        SELECT $1, $2, v.district, v.records
        FROM UNNEST($3::text[], $4::bigint[]) AS v (district, records)
        ON CONFLICT (municipality_code, batch_id, district)
        DO UPDATE SET stored_records = batch_district.stored_records + excluded.stored_records" };
    // Whoever holds such an id is waited for, and keeps it until this transaction is over.
    TAKE_KEYS = { postgres: "
        INSERT INTO order_key (municipality_code, order_id, batch_id, attempt, record_index)
        SELECT $1, v.order_id, $2, $3, v.record_index
        FROM UNNEST($4::text[], $5::bigint[]) AS v (order_id, record_index)
        ON CONFLICT (municipality_code, order_id) DO UPDATE SET attempt = excluded.attempt,
            record_index = excluded.record_index
        WHERE order_key.batch_id = excluded.batch_id AND order_key.attempt < excluded.attempt" };
    TAKE_OVER_KEYS = { postgres: "
        INSERT INTO order_key (municipality_code, order_id, batch_id, attempt, record_index)
        SELECT $1, v.order_id, $2, $3, v.record_index
        FROM UNNEST($4::text[], $5::bigint[]) AS v (order_id, record_index)
        ON CONFLICT (municipality_code, order_id) DO UPDATE SET batch_id = excluded.batch_id,
            attempt = excluded.attempt, record_index = excluded.record_index" };
    FIND_KEYS = { postgres: "
        SELECT k.order_id, k.batch_id, k.attempt, k.record_index, b.state, b.attempt AS live_attempt, o.leaf
        FROM order_key AS k
        JOIN batch AS b ON b.municipality_code = k.municipality_code AND b.batch_id = k.batch_id
        LEFT JOIN card_order AS o ON o.municipality_code = k.municipality_code AND o.batch_id = k.batch_id
            AND o.attempt = k.attempt AND o.record_index = k.record_index
        WHERE k.municipality_code = $1 AND k.order_id = ANY($2::text[])" };
    INSERT_ORDERS = { postgres: "
        INSERT INTO card_order (municipality_code, batch_id, attempt, ordered_ms, record_index, order_id,
            leaf, kind, district, person_index, protected, accommodations, sealed)
        SELECT $1, $2, $3, $4, v.record_index, v.order_id, v.leaf, v.kind, v.district, v.person_index,
            v.protected, v.accommodations, v.sealed
        FROM UNNEST($5::bigint[], $6::text[], $7::bytea[], $8::text[], $9::text[], $10::bytea[],
            $11::boolean[], $12::text[], $13::bytea[]) AS v (record_index, order_id, leaf, kind, district,
            person_index, protected, accommodations, sealed)" };
    INSERT_DISPOSITIONS = { postgres: "
        INSERT INTO disposition (municipality_code, batch_id, attempt, record_index, order_id, kind, code,
            field, other_batch_id, other_index)
        SELECT $1, $2, $3, v.record_index, v.order_id, v.kind, v.code, v.field, v.other_batch_id,
            v.other_index
        FROM UNNEST($4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::uuid[], $10::bigint[])
            AS v (record_index, order_id, kind, code, field, other_batch_id, other_index)" };
}

type Asked = Query<'static, Postgres, PgArguments>;

/// A statement with what all rows of an attempt share.
fn of_attempt(text: &'static str, attempt: Attempt) -> Asked {
    let query = sqlx::query(text).bind(attempt.key.municipality.to_string());
    query.bind(attempt.key.batch_id.uuid()).bind(i64::from(attempt.number))
}

/// The places of records, as the database has them.
pub(super) fn places<'a>(all: impl Iterator<Item = &'a NewOrder>) -> Result<Vec<i64>, Error> {
    all.map(|order| int(order.index, "record_index")).collect()
}

/// Runs a statement that has to make so many rows.
async fn made(conn: &mut PgConnection, query: Asked, rows: usize) -> Result<(), Error> {
    let made = query.execute(conn).await?.rows_affected();
    if made == rows as u64 { Ok(()) } else { Err(Error::Corrupt("rows affected")) }
}

/// Each id once, with the first that has it, or the last: one statement cannot change a row twice.
fn once<'a>(orders: &[&'a NewOrder], last: bool) -> Vec<&'a NewOrder> {
    let mut seen = std::collections::HashSet::with_capacity(orders.len());
    let mut is_new = |order: &&'a NewOrder| seen.insert(order.order_id.as_str());
    if last {
        let mut kept: Vec<_> = orders.iter().rev().copied().filter(|order| is_new(order)).collect();
        kept.sort_unstable_by(|a, b| a.order_id.cmp(&b.order_id));
        return kept;
    }
    orders.iter().copied().filter(|order| is_new(order)).collect()
}

/// Binds ids and places of orders.
fn keys(query: Asked, orders: &[&NewOrder]) -> Result<Asked, Error> {
    let ids: Vec<&str> = orders.iter().map(|order| order.order_id.as_str()).collect();
    Ok(query.bind(ids).bind(places(orders.iter().copied())?))
}

impl BulkSteps for PgConnection {
    fn keys_together(&self) -> usize {
        GROUP_ROWS
    }

    async fn add_districts(
        &mut self,
        code: &str,
        id: Uuid,
        districts: &[(String, i64)],
    ) -> Result<(), Error> {
        if districts.is_empty() {
            return Ok(());
        }
        let (names, records): (Vec<&str>, Vec<i64>) =
            districts.iter().map(|(name, records)| (name.as_str(), *records)).unzip();
        let query = sqlx::query(ADD_DISTRICTS).bind(code.to_owned()).bind(id).bind(names).bind(records);
        made(self, query, districts.len()).await
    }

    async fn take_keys(&mut self, attempt: Attempt, orders: &[&NewOrder]) -> Result<u64, Error> {
        let once = once(orders, false);
        if copied::is_worth(orders.len())
            && once.len() == orders.len()
            && copied::take_all(self, attempt, orders).await?
        {
            return Ok(orders.len() as u64);
        }
        let query = keys(of_attempt(TAKE_KEYS, attempt), &once)?;
        Ok(query.execute(self).await?.rows_affected())
    }

    async fn lock_keys(&mut self, attempt: Attempt, orders: &[&NewOrder]) -> Result<(), Error> {
        let mut sorted = orders.to_vec();
        sorted.sort_unstable_by(|a, b| a.order_id.cmp(&b.order_id));
        for group in sorted.chunks(GROUP_ROWS) {
            self.take_keys(attempt, group).await?;
        }
        Ok(())
    }

    async fn find_keys(&mut self, attempt: Attempt, orders: &[&NewOrder]) -> Result<Vec<KeyRow>, Error> {
        let ids: Vec<&str> = orders.iter().map(|order| order.order_id.as_str()).collect();
        let query = sqlx::query_as(FIND_KEYS).bind(attempt.key.municipality.to_string()).bind(ids);
        Ok(query.fetch_all(self).await?)
    }

    async fn take_over_keys(&mut self, attempt: Attempt, orders: &[&NewOrder]) -> Result<(), Error> {
        for group in once(orders, true).chunks(GROUP_ROWS) {
            let query = keys(of_attempt(TAKE_OVER_KEYS, attempt), group)?;
            made(self, query, group.len()).await?;
        }
        Ok(())
    }

    async fn insert_orders(
        &mut self,
        attempt: Attempt,
        orders: &[&NewOrder],
        now_ms: i64,
    ) -> Result<(), Error> {
        if copied::is_worth(orders.len()) {
            return copied::insert_orders(self, attempt, orders, now_ms).await;
        }
        for group in orders.chunks(GROUP_ROWS) {
            let text = |of: fn(&NewOrder) -> &str| group.iter().map(|order| of(order)).collect::<Vec<&str>>();
            let query = of_attempt(INSERT_ORDERS, attempt)
                .bind(now_ms)
                .bind(places(group.iter().copied())?)
                .bind(text(|order| &order.order_id))
                .bind(group.iter().map(|order| order.leaf.as_bytes().as_slice()).collect::<Vec<_>>())
                .bind(text(|order| &order.kind))
                .bind(text(|order| &order.district))
                .bind(
                    group
                        .iter()
                        .map(|order| order.person_index.as_ref().map(BlindIndex::as_slice))
                        .collect::<Vec<_>>(),
                )
                .bind(group.iter().map(|order| order.protected).collect::<Vec<_>>())
                .bind(text(|order| &order.accommodations))
                .bind(group.iter().map(|order| order.sealed.as_slice()).collect::<Vec<_>>());
            made(self, query, group.len()).await?;
        }
        Ok(())
    }

    async fn enter_persons(
        &mut self,
        attempt: Attempt,
        sequence: i64,
        records: Range<i64>,
    ) -> Result<(), Error> {
        if copied::is_worth(usize::try_from(records.end - records.start).unwrap_or(0)) {
            return copied::enter_persons(self, attempt, sequence, records).await;
        }
        let query = of_attempt(ENTER_PERSONS, attempt).bind(sequence);
        query.bind(records.start).bind(records.end).execute(self).await?;
        Ok(())
    }

    async fn insert_dispositions(&mut self, attempt: Attempt, others: &[Disposition]) -> Result<(), Error> {
        for group in others.chunks(GROUP_ROWS) {
            let index = |one: &Disposition| int(one.index, "record_index");
            let places = group.iter().map(index).collect::<Result<Vec<_>, _>>()?;
            let other =
                |one: &Disposition| one.duplicate_of.map(|(_, index)| int(index, "other_index")).transpose();
            let other_places = group.iter().map(other).collect::<Result<Vec<_>, _>>()?;
            let id = |one: &Disposition| one.duplicate_of.map(|(id, _)| id.uuid());
            let other_ids: Vec<_> = group.iter().map(id).collect();
            let query = of_attempt(INSERT_DISPOSITIONS, attempt)
                .bind(places)
                .bind(group.iter().map(|one| one.order_id.as_str()).collect::<Vec<_>>())
                .bind(group.iter().map(|one| one.kind.as_str()).collect::<Vec<_>>())
                .bind(group.iter().map(|one| one.code.as_deref()).collect::<Vec<_>>())
                .bind(group.iter().map(|one| one.field.as_deref()).collect::<Vec<_>>())
                .bind(other_ids)
                .bind(other_places);
            made(self, query, group.len()).await?;
        }
        Ok(())
    }
}
