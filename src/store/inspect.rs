//! What a database holds at one moment, as it stands, also where it is damaged: each look is at the same
//! moment, and changes nothing.

use std::collections::HashSet;

use futures_util::TryStreamExt as _;
use sqlx::{Sqlite, Transaction};

use crate::domain::{batch_id::BatchId, disposition::Disposition, municipality::MunicipalityCode};

use super::{
    BatchRow, Error, ManifestRow, NewOrder, Pool, Store, StoredChunk, WorkKey,
    batches::BatchSteps as _,
    bulk::Attempt,
    chunks::ChunkSteps as _,
    columns::{bound, uint},
    mend::MendSteps as _,
    pages::RawDisposition,
};

statements! {
    BATCHES = "
        SELECT CAST(municipality_code AS BLOB) AS code, batch_id FROM batch
        WHERE (municipality_code, batch_id) > (CAST($1 AS TEXT), $2)
        ORDER BY municipality_code, batch_id LIMIT $3";
    // Damage may have made a number of chunks anything: only what one can be is added up.
    ANNOUNCED = "
        SELECT CAST(COALESCE(SUM(MIN(MAX(chunk_count, 0), 4294967295)), 0) AS INTEGER) AS chunks FROM batch";
    INTEGRITY = "PRAGMA integrity_check(20)";
    POOL = "
        SELECT 'pool_state' AS part, 0 AS number, CAST(state AS BLOB) AS text FROM pool_state
        UNION ALL
        SELECT 'pool_decision', number, CAST(record AS BLOB) FROM pool_decision";
    ORDERS = "
        SELECT o.record_index, CAST(o.order_id AS BLOB) AS order_id, o.leaf, CAST(o.kind AS BLOB) AS kind,
            CAST(o.district AS BLOB) AS district, o.person_index, o.protected,
            CAST(o.accommodations AS BLOB) AS accommodations, o.sealed,
            EXISTS (SELECT 1 FROM order_key AS k WHERE k.municipality_code = o.municipality_code
                AND k.order_id = o.order_id AND k.batch_id = o.batch_id AND k.attempt = o.attempt
                AND k.record_index = o.record_index) AS has_key,
            o.person_index IS NULL OR EXISTS (SELECT 1 FROM card_person AS p
                WHERE p.municipality_code = o.municipality_code
                AND p.person_key = substr(o.person_index, 1, 8) AND p.sequence = $6
                AND p.attempt = o.attempt AND p.record_index = o.record_index) AS has_person
        FROM card_order AS o
        WHERE o.municipality_code = $1 AND o.batch_id = $2 AND o.attempt = $3
            AND o.record_index BETWEEN $4 AND $5
        ORDER BY o.record_index";
    OTHERS = "
        SELECT record_index, order_id, kind, code, field, other_batch_id, other_index FROM disposition
        WHERE municipality_code = $1 AND batch_id = $2 AND attempt = $3 AND record_index BETWEEN $4 AND $5
        ORDER BY record_index";
    COUNT_ROWS = "
        SELECT (SELECT COUNT(*) FROM card_order
                WHERE municipality_code = $1 AND batch_id = $2 AND attempt = $3)
            + (SELECT COUNT(*) FROM disposition
                WHERE municipality_code = $1 AND batch_id = $2 AND attempt = $3) AS entries";
    STRAY_CHUNKS = "
        SELECT chunk_number FROM chunk
        WHERE municipality_code = $1 AND batch_id = $2 AND chunk_number NOT BETWEEN 0 AND $3 - 1 LIMIT 100";
    STRAY_ENTRIES = "
        SELECT 'card_order' AS part, attempt, COUNT(*) AS entries FROM card_order
        WHERE municipality_code = $1 AND batch_id = $2 AND attempt > $3 GROUP BY attempt
        UNION ALL
        SELECT 'card_order', attempt, COUNT(*) FROM card_order
        WHERE municipality_code = $1 AND batch_id = $2 AND attempt < 1 GROUP BY attempt
        UNION ALL
        SELECT 'disposition', attempt, COUNT(*) FROM disposition
        WHERE municipality_code = $1 AND batch_id = $2 AND attempt > $3 GROUP BY attempt
        UNION ALL
        SELECT 'disposition', attempt, COUNT(*) FROM disposition
        WHERE municipality_code = $1 AND batch_id = $2 AND attempt < 1 GROUP BY attempt
        LIMIT 100";
    RECEIPT = "
        SELECT sequence, attempt, digest, receipt FROM receipt
        WHERE municipality_code = $1 AND batch_id = $2";
    RECEIPT_BEFORE = "
        SELECT receipt, given_up_ms IS NOT NULL AS given_up FROM lost_batch
        WHERE municipality_code = $1 AND batch_id = $2";
    LOST_MANIFESTS = "
        SELECT CAST(municipality_code AS BLOB) AS code, batch_id FROM manifest AS t
        WHERE NOT EXISTS (SELECT 1 FROM batch AS b
            WHERE b.municipality_code = t.municipality_code AND b.batch_id = t.batch_id) LIMIT 100";
    LOST_CHUNKS = "
        SELECT DISTINCT CAST(municipality_code AS BLOB) AS code, batch_id FROM chunk AS t
        WHERE NOT EXISTS (SELECT 1 FROM batch AS b
            WHERE b.municipality_code = t.municipality_code AND b.batch_id = t.batch_id) LIMIT 100";
    LOST_ORDERS = "
        SELECT DISTINCT CAST(municipality_code AS BLOB) AS code, batch_id FROM card_order AS t
        WHERE NOT EXISTS (SELECT 1 FROM batch AS b
            WHERE b.municipality_code = t.municipality_code AND b.batch_id = t.batch_id) LIMIT 100";
    LOST_RECEIPTS = "
        SELECT CAST(municipality_code AS BLOB) AS code, batch_id FROM receipt AS t
        WHERE NOT EXISTS (SELECT 1 FROM batch AS b
            WHERE b.municipality_code = t.municipality_code AND b.batch_id = t.batch_id) LIMIT 100";
}

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
pub struct Snapshot(Transaction<'static, Sqlite>);

impl Store {
    /// Returns the database as it is now. It keeps old pages alive: do not hold it for longer than one batch.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        match &self.pool {
            Pool::Sqlite { read, .. } => Ok(Snapshot(read.begin().await?)),
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
        uint(sqlx::query_scalar(ANNOUNCED).fetch_one(&mut *self.0).await?, "chunk_count")
    }

    /// Returns what SQLite says of the file itself, 20 lines at most; nothing if it is whole. Its lines name
    /// tables, indexes, rows and pages, and no content.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn integrity(&mut self) -> Result<Vec<String>, Error> {
        let lines: Vec<String> = sqlx::query_scalar(INTEGRITY).fetch_all(&mut *self.0).await?;
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
        let mut rows = sqlx::query_as::<_, (String, i64, Vec<u8>)>(POOL).fetch(&mut *self.0);
        let mut damaged = Vec::new();
        while let Some((part, number, text)) = rows.try_next().await? {
            let (table, holds) = match part.as_str() {
                "pool_state" => ("pool_state", is_state),
                _ => ("pool_decision", is_record),
            };
            if damaged.len() < DAMAGED_MAX && !str::from_utf8(&text).is_ok_and(holds) {
                damaged.push((table, number));
            }
        }
        Ok(damaged)
    }

    /// Returns the keys of batches after this one, `count` at most.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn batches(&mut self, after: Option<&RawKey>, count: u32) -> Result<Vec<RawKey>, Error> {
        let (code, id) = after.map_or(([].as_slice(), [].as_slice()), |after| (&after.code, &after.id));
        let query = sqlx::query_as(BATCHES).bind(code).bind(id).bind(i64::from(count));
        let rows: Vec<(Vec<u8>, Vec<u8>)> = query.fetch_all(&mut *self.0).await?;
        Ok(rows.into_iter().map(|(code, id)| RawKey { code, id }).collect())
    }

    /// Returns keys under which a table has rows and `batch` has none, with the table's name; a hundred of
    /// each table at most.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn lost(&mut self) -> Result<Vec<(&'static str, RawKey)>, Error> {
        let tables = [
            ("manifest", LOST_MANIFESTS),
            ("chunk", LOST_CHUNKS),
            ("card_order", LOST_ORDERS),
            ("receipt", LOST_RECEIPTS),
        ];
        let mut lost = Vec::new();
        for (table, sql) in tables {
            let rows: Vec<(Vec<u8>, Vec<u8>)> = sqlx::query_as(sql).fetch_all(&mut *self.0).await?;
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
        self.0.batch(municipality, id).await
    }

    /// Returns what the sender signed.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn manifest(&mut self, row: &BatchRow) -> Result<Option<ManifestRow>, Error> {
        let raw = self.0.raw_manifest(row.municipality, row.batch_id).await?;
        raw.map(ManifestRow::try_from).transpose()
    }

    /// Returns a stored chunk.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn chunk(&mut self, row: &BatchRow, number: u32) -> Result<Option<StoredChunk>, Error> {
        self.0.chunk(row.municipality, row.batch_id, number).await
    }

    /// Returns the orders at these places of the present attempt.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn orders(&mut self, row: &BatchRow, places: &Range) -> Result<Vec<RawOrder>, Error> {
        let query = sqlx::query_as(ORDERS).bind(row.municipality.to_string()).bind(row.batch_id.uuid());
        let query = query.bind(i64::from(row.attempt)).bind(bound(places.start)).bind(bound(places.end) - 1);
        Ok(query.bind(bound(row.sequence)).fetch_all(&mut *self.0).await?)
    }

    /// Returns what became of the other records at these places of the present attempt.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn others(&mut self, row: &BatchRow, places: &Range) -> Result<Vec<Disposition>, Error> {
        let query = sqlx::query_as(OTHERS).bind(row.municipality.to_string()).bind(row.batch_id.uuid());
        let query = query.bind(i64::from(row.attempt)).bind(bound(places.start)).bind(bound(places.end) - 1);
        let rows: Vec<RawDisposition> = query.fetch_all(&mut *self.0).await?;
        rows.into_iter().map(Disposition::try_from).collect()
    }

    /// Returns how many orders and other dispositions the present attempt has, wherever they stand.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn count_entries(&mut self, row: &BatchRow) -> Result<u64, Error> {
        let query = sqlx::query_scalar(COUNT_ROWS).bind(row.municipality.to_string());
        let query = query.bind(row.batch_id.uuid()).bind(i64::from(row.attempt));
        uint(query.fetch_one(&mut *self.0).await?, "entries")
    }

    /// Returns the numbers of a batch's chunks that its grid does not have, a hundred at most.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn stray_chunks(&mut self, row: &BatchRow) -> Result<Vec<i64>, Error> {
        let query = sqlx::query_scalar(STRAY_CHUNKS).bind(row.municipality.to_string());
        let query = query.bind(row.batch_id.uuid()).bind(i64::from(row.chunk_count));
        Ok(query.fetch_all(&mut *self.0).await?)
    }

    /// Returns the attempts that a batch never had and yet has entries of: the table, the attempt, and how
    /// many; a hundred at most.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn stray_entries(&mut self, row: &BatchRow) -> Result<Vec<(&'static str, i64, i64)>, Error> {
        let query = sqlx::query_as(STRAY_ENTRIES).bind(row.municipality.to_string());
        let query = query.bind(row.batch_id.uuid()).bind(i64::from(row.attempt));
        let rows: Vec<(String, i64, i64)> = query.fetch_all(&mut *self.0).await?;
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
        self.0.held_by_others(Attempt { key, number: row.attempt }, orders).await
    }

    /// Returns the records stored of each district.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn districts(
        &mut self,
        row: &BatchRow,
    ) -> Result<std::collections::BTreeMap<String, u64>, Error> {
        self.0.districts(row.municipality, row.batch_id).await
    }

    /// Returns the receipt.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn receipt(&mut self, row: &BatchRow) -> Result<Option<RawReceipt>, Error> {
        let query = sqlx::query_as(RECEIPT).bind(row.municipality.to_string()).bind(row.batch_id.uuid());
        Ok(query.fetch_optional(&mut *self.0).await?)
    }

    /// Returns the receipt that the batch had before it was lost and came again.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn receipt_before(&mut self, row: &BatchRow) -> Result<Option<ReceiptBefore>, Error> {
        let query =
            sqlx::query_as(RECEIPT_BEFORE).bind(row.municipality.to_string()).bind(row.batch_id.uuid());
        Ok(query.fetch_optional(&mut *self.0).await?)
    }
}
