//! Many rows that meet no conflict come by COPY: all of them are stored, or the statement fails.
//!
//! It takes the server less than half of what UNNEST and ON CONFLICT take: 0.8 s of CPU for the order, the
//! key and the person of each of 200,000 records, instead of 1.5, and a third less WAL for the keys.
//!
//! A COPY that its caller leaves in the middle ends its connection: what the driver hears next is the answer
//! to that COPY, which nobody has asked for, so that the connection is not taken back into the pool
//! (`postgres::is_clean`), and the server rolls its transaction back.
//!
//! The format: PostgreSQL's documentation of COPY, "Binary Format".

use std::ops::Range;

use sqlx::PgConnection;

use super::{
    super::{Error, NewOrder, bulk::Attempt},
    bulk::places,
};
use crate::vault::BlindIndex;

statements! {
    COPY_ORDERS = { postgres: "
        COPY card_order (municipality_code, batch_id, attempt, ordered_ms, record_index, order_id, leaf, kind,
            district, person_index, protected, accommodations, sealed) FROM STDIN (FORMAT binary)" };
    COPY_KEYS = { postgres: "
        COPY order_key (municipality_code, order_id, batch_id, attempt, record_index)
        FROM STDIN (FORMAT binary)" };
    BEFORE_KEYS = { postgres: "SAVEPOINT before_keys" };
    BACK_BEFORE_KEYS = { postgres: "ROLLBACK TO SAVEPOINT before_keys" };
    // What follows would otherwise be another transaction to the row that this one has locked.
    AFTER_KEYS = { postgres: "RELEASE SAVEPOINT before_keys" };
    READ_PERSONS = { postgres: "
        SELECT COALESCE(array_agg(substr(person_index, 1, 8)), '{}') AS person_keys,
            COALESCE(array_agg(record_index), '{}') AS record_indexes
        FROM card_order
        WHERE municipality_code = $1 AND batch_id = $2 AND attempt = $3
            AND record_index >= $4 AND record_index < $5 AND person_index IS NOT NULL" };
    COPY_PERSONS = { postgres: "
        COPY card_person (municipality_code, person_key, sequence, attempt, record_index)
        FROM STDIN (FORMAT binary)" };
}

/// What the data begins with: a signature, no flags, no extension.
const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with, in the place of a row's number of fields.
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
/// The length of a field that is NULL.
const NULL: [u8; 4] = (-1_i32).to_be_bytes();
/// Bytes that are sent at a time.
const PIECE_BYTES: usize = 64 << 10;
/// Fewer rows do not come by COPY. Its data and its end are two writes, and with Nagle's algorithm, which the
/// driver leaves on, the second waits 44 ms for the receipt of a short first one (7 kB: always; 145 kB: once
/// in twelve; 580 kB: never).
const ROWS_MIN: usize = 1024;

/// Whether so many rows come by COPY.
pub(super) fn is_worth(rows: usize) -> bool {
    rows >= ROWS_MIN
}

/// One row as it is sent.
struct Row<'a>(&'a mut Vec<u8>);

impl Row<'_> {
    /// Adds a field in the binary form of its type: text and bytes as they are, numbers big-endian.
    fn field(&mut self, bytes: &[u8]) {
        let length = i32::try_from(bytes.len()).expect("no field of a record is near 2 GiB");
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(bytes);
    }

    /// Adds a field that may be NULL.
    fn nullable(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.field(bytes),
            None => self.0.extend_from_slice(&NULL),
        }
    }
}

/// Stores a row of `fields` fields for each of `items`; `write` adds the fields. Returns how many came of it.
async fn copy<T: Sync>(
    conn: &mut PgConnection,
    statement: &str,
    fields: i16,
    items: &[T],
    write: impl Fn(&mut Row<'_>, &T) + Send,
) -> Result<u64, sqlx::Error> {
    let mut copy = conn.copy_in_raw(statement).await?;
    let mut bytes = Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 4);
    bytes.extend_from_slice(HEADER);
    for item in items {
        bytes.extend_from_slice(&fields.to_be_bytes());
        write(&mut Row(&mut bytes), item);
        if bytes.len() >= PIECE_BYTES {
            copy.send(bytes.as_slice()).await?;
            bytes.clear();
        }
    }
    bytes.extend_from_slice(&TRAILER);
    copy.send(bytes.as_slice()).await?;
    copy.finish().await
}

/// Every row has to have come of it.
fn all(stored: u64, rows: usize) -> Result<(), Error> {
    if stored == rows as u64 { Ok(()) } else { Err(Error::Corrupt("rows affected")) }
}

/// The orders with their places, as the database has them.
fn placed<'a>(orders: &[&'a NewOrder]) -> Result<Vec<(i64, &'a NewOrder)>, Error> {
    Ok(places(orders.iter().copied())?.into_iter().zip(orders.iter().copied()).collect())
}

/// Inserts orders.
pub(super) async fn insert_orders(
    conn: &mut PgConnection,
    attempt: Attempt,
    orders: &[&NewOrder],
    now_ms: i64,
) -> Result<(), Error> {
    let (code, id) = (attempt.key.municipality.to_string(), attempt.key.batch_id.uuid());
    let (number, now) = (i64::from(attempt.number).to_be_bytes(), now_ms.to_be_bytes());
    let rows = placed(orders)?;
    let inserted = copy(conn, COPY_ORDERS, 13, &rows, |row, (place, order)| {
        row.field(code.as_bytes());
        row.field(id.as_bytes());
        row.field(&number);
        row.field(&now);
        row.field(&place.to_be_bytes());
        row.field(order.order_id.as_bytes());
        row.field(order.leaf.as_bytes());
        row.field(order.kind.as_bytes());
        row.field(order.district.as_bytes());
        row.nullable(order.person_index.as_ref().map(BlindIndex::as_slice));
        row.field(&[u8::from(order.protected)]);
        row.field(order.accommodations.as_bytes());
        row.field(&order.sealed);
    });
    all(inserted.await?, orders.len())
}

/// Takes all of these ids if nobody holds any of them, and otherwise none. One that somebody is about to take
/// is waited for.
pub(super) async fn take_all(
    conn: &mut PgConnection,
    attempt: Attempt,
    orders: &[&NewOrder],
) -> Result<bool, Error> {
    let (code, id) = (attempt.key.municipality.to_string(), attempt.key.batch_id.uuid());
    let number = i64::from(attempt.number).to_be_bytes();
    sqlx::raw_sql(BEFORE_KEYS).execute(&mut *conn).await?;
    let rows = placed(orders)?;
    let taken = copy(conn, COPY_KEYS, 5, &rows, |row, (place, order)| {
        row.field(code.as_bytes());
        row.field(order.order_id.as_bytes());
        row.field(id.as_bytes());
        row.field(&number);
        row.field(&place.to_be_bytes());
    });
    let is_free = match taken.await {
        Ok(taken) => all(taken, orders.len()).map(|()| true)?,
        Err(error) if is_held(&error) => {
            sqlx::raw_sql(BACK_BEFORE_KEYS).execute(&mut *conn).await?;
            false
        }
        Err(error) => return Err(error.into()),
    };
    sqlx::raw_sql(AFTER_KEYS).execute(conn).await?;
    Ok(is_free)
}

/// Whether it failed since somebody has one of the keys.
fn is_held(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

/// Enters the persons of the orders of these records, in the order of their keys.
pub(super) async fn enter_persons(
    conn: &mut PgConnection,
    attempt: Attempt,
    sequence: i64,
    records: Range<i64>,
) -> Result<(), Error> {
    let (code, number) = (attempt.key.municipality.to_string(), i64::from(attempt.number));
    let query = sqlx::query_as(READ_PERSONS).bind(&code).bind(attempt.key.batch_id.uuid()).bind(number);
    let query = query.bind(records.start).bind(records.end);
    let (keys, places): (Vec<Vec<u8>>, Vec<i64>) = query.fetch_one(&mut *conn).await?;
    let mut persons: Vec<(Vec<u8>, i64)> = keys.into_iter().zip(places).collect();
    persons.sort_unstable();
    let entered = copy(conn, COPY_PERSONS, 5, &persons, |row, (key, place)| {
        row.field(code.as_bytes());
        row.field(key);
        row.field(&sequence.to_be_bytes());
        row.field(&number.to_be_bytes());
        row.field(&place.to_be_bytes());
    });
    all(entered.await?, persons.len())
}
