//! What a database holds at one moment, as it stands, also where it is damaged: each look is at the same
//! moment, and changes nothing.

mod texts;

use std::collections::HashSet;

use futures_util::TryStreamExt as _;
use sqlx::{PgConnection, Postgres, Sqlite, SqliteConnection, Transaction};

use crate::domain::{batch_id::BatchId, disposition::Disposition, municipality::MunicipalityCode};

use super::{
    BatchRow, Error, ManifestRow, NewOrder, Pool, Store, StoredChunk, WorkKey,
    batches::BatchSteps as _,
    bulk::Attempt,
    chunks::ChunkSteps as _,
    columns::{bound, uint},
    mend::MendSteps as _,
    pages::RawDisposition,
    statement::{PerDatabase, Speaks as _},
    transact::Engine as _,
};
use texts::{
    ANNOUNCED, BATCHES, COUNT_ROWS, INTEGRITY, LOST_CHUNKS, LOST_MANIFESTS, LOST_ORDERS, LOST_RECEIPTS,
    ORDERS, OTHERS, POOL, RECEIPT, RECEIPT_BEFORE, STRAY_CHUNKS, STRAY_ENTRIES,
};

/// The key of a batch, as it stands in the database; damage may have made it none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawKey {
    /// The municipality's code.
    pub code: Vec<u8>,
    /// The batch's id.
    pub id: Vec<u8>,
}

/// An order as it stands, with whether it can be found by its id and by its person; damage may have made its
/// texts none.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct RawOrder {
    /// Its record's place.
    pub record_index: i64,
    /// The municipality's own key.
    pub order_id: Vec<u8>,
    /// The leaf hash of its record.
    pub leaf: Vec<u8>,
    /// The kind of card.
    pub kind: Vec<u8>,
    /// The district.
    pub district: Vec<u8>,
    /// The blind index of its person.
    pub person_index: Option<Vec<u8>>,
    /// Whether the address is hidden.
    pub protected: bool,
    /// What the recipient needs.
    pub accommodations: Vec<u8>,
    /// The record, sealed.
    pub sealed: Vec<u8>,
    /// Whether its order id leads here.
    pub has_key: bool,
    /// Whether its person leads here.
    pub has_person: bool,
}

/// A receipt as it stands.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct RawReceipt {
    /// The batch's sequence.
    pub sequence: i64,
    /// The attempt it was given for.
    pub attempt: i64,
    /// SHA-256 of its text.
    pub digest: Vec<u8>,
    /// The signed note.
    pub receipt: Vec<u8>,
}

/// The receipt that a batch had before a restore.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct ReceiptBefore {
    /// The signed note.
    pub receipt: Vec<u8>,
    /// Whether the batch was given up: then it may have got another one since.
    pub given_up: bool,
}

/// The database at one moment.
#[derive(Debug)]
pub struct Snapshot(At);

#[derive(Debug)]
enum At {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// Runs `body` at the moment of the snapshot, on whichever database it is of.
macro_rules! at {
    ($snapshot:expr, |$conn:ident| $body:expr) => {
        match &mut $snapshot.0 {
            At::Sqlite(guard) => {
                let $conn: &mut SqliteConnection = guard;
                $body
            }
            At::Postgres(guard) => {
                let $conn: &mut PgConnection = guard;
                $body
            }
        }
    };
}

impl Store {
    /// Returns the database as it is now. It keeps what is old alive: do not hold it for more
    /// than one batch.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        match &self.pool {
            Pool::Sqlite { read, .. } => Ok(Snapshot(At::Sqlite(read.snapshot().await?))),
            Pool::Postgres(server) => Ok(Snapshot(At::Postgres(server.snapshot().await?))),
        }
    }
}

/// Damaged rows of the pool that are told of.
const DAMAGED_MAX: usize = 20;

type Range = std::ops::Range<u64>;

impl Snapshot {
    /// Returns how many chunks all batches announced, to show how far a look has come.
    ///
    /// # Errors
    /// Any [`Error`] of a read; so for all that follow.
    pub async fn announced(&mut self) -> Result<u64, Error> {
        at!(self, |conn| {
            uint(sqlx::query_scalar(conn.sql(ANNOUNCED)).fetch_one(conn).await?, "chunk_count")
        })
    }

    /// Returns what SQLite says of the file itself, 20 lines at most; nothing if it is whole. Its lines name
    /// tables, indexes, rows and pages, and no content. PostgreSQL says nothing: its own tools look at files.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn integrity(&mut self) -> Result<Vec<String>, Error> {
        let At::Sqlite(file) = &mut self.0 else { return Ok(Vec::new()) };
        let lines: Vec<String> = sqlx::query_scalar(INTEGRITY).fetch_all(&mut **file).await?;
        Ok(lines.into_iter().filter(|line| line != "ok").collect())
    }

    /// What of the pool's rows is no text that can be there: the table and the row's number. `is_state` and
    /// `is_record` say what can.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn damaged_pool(
        &mut self,
        is_state: fn(&str) -> bool,
        is_record: fn(&str) -> bool,
    ) -> Result<Vec<(&'static str, i64)>, Error> {
        let mut damaged = Vec::new();
        let mut look = |(part, number, text): (String, i64, Vec<u8>)| {
            let (table, holds) = match part.as_str() {
                "pool_state" => ("pool_state", is_state),
                _ => ("pool_decision", is_record),
            };
            if damaged.len() < DAMAGED_MAX && !str::from_utf8(&text).is_ok_and(holds) {
                damaged.push((table, number));
            }
        };
        at!(self, |conn| {
            let mut rows = sqlx::query_as(conn.sql(POOL)).fetch(conn);
            while let Some(row) = rows.try_next().await? {
                look(row);
            }
        });
        Ok(damaged)
    }

    /// Returns the keys of batches after this one, `count` at most.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn batches(&mut self, after: Option<&RawKey>, count: u32) -> Result<Vec<RawKey>, Error> {
        let first = (b"".as_slice(), [0; 16].as_slice());
        let (code, id) = after.map_or(first, |after| (&after.code, &after.id));
        let rows: Vec<(Vec<u8>, Vec<u8>)> = at!(self, |conn| {
            let query = sqlx::query_as(conn.sql(BATCHES)).bind(code).bind(id).bind(i64::from(count));
            query.fetch_all(conn).await?
        });
        Ok(rows.into_iter().map(|(code, id)| RawKey { code, id }).collect())
    }

    /// Returns keys under which a table has rows and `batch` has none, with the table's name; a hundred of
    /// each table at most.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn lost(&mut self) -> Result<Vec<(&'static str, RawKey)>, Error> {
        let tables: [(_, PerDatabase); 4] = [
            ("manifest", LOST_MANIFESTS),
            ("chunk", LOST_CHUNKS),
            ("card_order", LOST_ORDERS),
            ("receipt", LOST_RECEIPTS),
        ];
        let mut lost = Vec::new();
        for (table, sql) in tables {
            let rows: Vec<(Vec<u8>, Vec<u8>)> =
                at!(self, |conn| sqlx::query_as(conn.sql(sql)).fetch_all(conn).await?);
            lost.extend(rows.into_iter().map(|(code, id)| (table, RawKey { code, id })));
        }
        Ok(lost)
    }

    /// Returns a batch.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn batch(
        &mut self,
        municipality: MunicipalityCode,
        id: BatchId,
    ) -> Result<Option<BatchRow>, Error> {
        at!(self, |conn| conn.batch(municipality, id).await)
    }

    /// Returns what the sender signed.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn manifest(&mut self, row: &BatchRow) -> Result<Option<ManifestRow>, Error> {
        let raw = at!(self, |conn| conn.raw_manifest(row.municipality, row.batch_id).await?);
        raw.map(ManifestRow::try_from).transpose()
    }

    /// Returns a stored chunk.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn chunk(&mut self, row: &BatchRow, number: u32) -> Result<Option<StoredChunk>, Error> {
        at!(self, |conn| conn.chunk(row.municipality, row.batch_id, number).await)
    }

    /// Returns the orders at these places of the present attempt.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn orders(&mut self, row: &BatchRow, places: &Range) -> Result<Vec<RawOrder>, Error> {
        at!(self, |conn| {
            let query = sqlx::query_as(conn.sql(ORDERS)).bind(row.municipality.to_string());
            let query = query.bind(row.batch_id.uuid()).bind(i64::from(row.attempt));
            let query = query.bind(bound(places.start)).bind(bound(places.end) - 1);
            Ok(query.bind(bound(row.sequence)).fetch_all(conn).await?)
        })
    }

    /// Returns what became of the other records at these places of the present attempt.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn others(&mut self, row: &BatchRow, places: &Range) -> Result<Vec<Disposition>, Error> {
        let rows: Vec<RawDisposition> = at!(self, |conn| {
            let query = sqlx::query_as(OTHERS).bind(row.municipality.to_string());
            let query = query.bind(row.batch_id.uuid()).bind(i64::from(row.attempt));
            query.bind(bound(places.start)).bind(bound(places.end) - 1).fetch_all(conn).await?
        });
        rows.into_iter().map(Disposition::try_from).collect()
    }

    /// Returns how many orders and other dispositions the present attempt has, wherever they stand.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn count_entries(&mut self, row: &BatchRow) -> Result<u64, Error> {
        at!(self, |conn| {
            let query = sqlx::query_scalar(COUNT_ROWS).bind(row.municipality.to_string());
            let query = query.bind(row.batch_id.uuid()).bind(i64::from(row.attempt));
            uint(query.fetch_one(conn).await?, "entries")
        })
    }

    /// Returns the numbers of a batch's chunks that its grid does not have, a hundred at most.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn stray_chunks(&mut self, row: &BatchRow) -> Result<Vec<i64>, Error> {
        at!(self, |conn| {
            let query = sqlx::query_scalar(STRAY_CHUNKS).bind(row.municipality.to_string());
            let query = query.bind(row.batch_id.uuid()).bind(i64::from(row.chunk_count));
            Ok(query.fetch_all(conn).await?)
        })
    }

    /// Returns the attempts that a batch never had and yet has entries of: the table, the attempt, and how
    /// many; a hundred at most.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn stray_entries(&mut self, row: &BatchRow) -> Result<Vec<(&'static str, i64, i64)>, Error> {
        let rows: Vec<(String, i64, i64)> = at!(self, |conn| {
            let query = sqlx::query_as(STRAY_ENTRIES).bind(row.municipality.to_string());
            let query = query.bind(row.batch_id.uuid()).bind(i64::from(row.attempt));
            query.fetch_all(conn).await?
        });
        let table = |part: String| if part == "disposition" { "disposition" } else { "card_order" };
        Ok(rows.into_iter().map(|(part, attempt, count)| (table(part), attempt, count)).collect())
    }

    /// Returns those of the orders' ids that another batch holds.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn held_by_others(
        &mut self,
        row: &BatchRow,
        orders: &[&NewOrder],
    ) -> Result<HashSet<String>, Error> {
        let key = WorkKey { municipality: row.municipality, batch_id: row.batch_id };
        at!(self, |conn| conn.held_by_others(Attempt { key, number: row.attempt }, orders).await)
    }

    /// Returns the records stored of each district.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn districts(
        &mut self,
        row: &BatchRow,
    ) -> Result<std::collections::BTreeMap<String, u64>, Error> {
        at!(self, |conn| conn.districts(row.municipality, row.batch_id).await)
    }

    /// Returns the receipt.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn receipt(&mut self, row: &BatchRow) -> Result<Option<RawReceipt>, Error> {
        at!(self, |conn| {
            let query = sqlx::query_as(RECEIPT).bind(row.municipality.to_string()).bind(row.batch_id.uuid());
            Ok(query.fetch_optional(conn).await?)
        })
    }

    /// Returns the receipt that the batch had before it was lost and came again.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn receipt_before(&mut self, row: &BatchRow) -> Result<Option<ReceiptBefore>, Error> {
        at!(self, |conn| {
            let query = sqlx::query_as(RECEIPT_BEFORE).bind(row.municipality.to_string());
            Ok(query.bind(row.batch_id.uuid()).fetch_optional(conn).await?)
        })
    }
}
