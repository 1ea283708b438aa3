//! After a restore, what is lost and how far each municipality is can be read at any time, and changes
//! nothing.

use sqlx::types::Uuid;

use crate::domain::{batch_id::BatchId, digest::Digest, municipality::MunicipalityCode};

use super::{
    Error, Store,
    columns::{self, int, uint},
    restore::GateSteps as _,
    sweep::readable,
};

statements! {
    LOST_NOTE = "
        SELECT receipt FROM lost_batch
        WHERE municipality_code = $1 AND batch_id = $2 AND given_up_ms IS NULL";
    LOST_OF = "
        SELECT l.municipality_code, l.batch_id, l.sequence, l.record_count, l.told_ms, l.digest
        FROM lost_batch AS l
        WHERE l.municipality_code = $1 AND l.given_up_ms IS NULL
            AND NOT EXISTS (SELECT 1 FROM batch AS b
                WHERE b.municipality_code = l.municipality_code AND b.batch_id = l.batch_id
                    AND b.state IN ('ACCEPTED', 'ACCEPTED_WITH_REJECTS', 'ABORTED'))
        ORDER BY l.sequence LIMIT $2";
    LOST_OF_ALL = "
        SELECT l.municipality_code, l.batch_id, l.sequence, l.record_count, l.told_ms, l.digest
        FROM lost_batch AS l
        WHERE l.given_up_ms IS NULL
            AND NOT EXISTS (SELECT 1 FROM batch AS b
                WHERE b.municipality_code = l.municipality_code AND b.batch_id = l.batch_id
                    AND b.state IN ('ACCEPTED', 'ACCEPTED_WITH_REJECTS', 'ABORTED'))
        ORDER BY l.municipality_code, l.sequence LIMIT $1";
    HIGHEST_LOST = "
        SELECT sequence, digest FROM lost_batch WHERE municipality_code = $1 ORDER BY sequence DESC LIMIT 1";
    STANDINGS = "
        SELECT k.municipality_code, COALESCE(c.how, 'WAITING') AS how, COALESCE(c.note, '') AS note
        FROM (SELECT municipality_code FROM batch UNION SELECT municipality_code FROM lost_batch
            UNION SELECT municipality_code FROM comparison WHERE restore_id = $1) AS k
        LEFT JOIN comparison AS c ON c.municipality_code = k.municipality_code AND c.restore_id = $1
        ORDER BY k.municipality_code LIMIT $2";
}

/// How far a municipality is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its receipts were not compared: nothing new is taken from it.
    Waiting,
    /// They were.
    Compared,
    /// The operator decided to go on without.
    Released,
}

/// A municipality and how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// Whose.
    pub municipality: MunicipalityCode,
    /// How far.
    pub standing: Standing,
    /// Why it was released.
    pub note: String,
}

/// A batch that was accepted once, and is not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostBatch {
    /// Whose.
    pub municipality: MunicipalityCode,
    /// Which.
    pub batch_id: BatchId,
    /// Its sequence.
    pub sequence: u64,
    /// Its records.
    pub record_count: u64,
    /// When its receipt came.
    pub told_ms: i64,
    /// The digest of its receipt.
    pub digest: Digest,
}

type RawLost = (String, Uuid, i64, i64, i64, Vec<u8>);

fn lost((code, id, sequence, records, told_ms, digest): RawLost) -> Result<LostBatch, Error> {
    Ok(LostBatch {
        municipality: columns::municipality(&code)?,
        batch_id: columns::batch_id(id)?,
        sequence: uint(sequence, "sequence")?,
        record_count: uint(records, "record_count")?,
        told_ms,
        digest: columns::digest(&digest, "digest")?,
    })
}

impl Store {
    /// Returns what a municipality has receipts for and is not here, by sequence, `count` at most.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn lost_of(&self, municipality: MunicipalityCode, count: u32) -> Result<Vec<LostBatch>, Error> {
        on_read!(self, "lost_of", |conn| {
            let query = sqlx::query_as(LOST_OF).bind(municipality.to_string()).bind(i64::from(count));
            let rows: Vec<RawLost> = query.fetch_all(conn).await?;
            rows.into_iter().map(lost).collect()
        })
    }

    /// Returns the same of all municipalities. What cannot be read is told in the log.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn lost_batches(&self, count: u32) -> Result<Vec<LostBatch>, Error> {
        on_read!(self, "lost_batches", |conn| {
            let rows = sqlx::query(LOST_OF_ALL).bind(i64::from(count)).fetch_all(conn).await?;
            Ok(readable("lost_batches", &rows, lost))
        })
    }

    /// Returns the receipt that a batch had before it was lost, byte for byte; `None` if it was given up.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn lost_receipt(
        &self,
        municipality: MunicipalityCode,
        id: BatchId,
    ) -> Result<Option<Vec<u8>>, Error> {
        on_read!(self, "lost_receipt", |conn| {
            let query = sqlx::query_scalar(LOST_NOTE).bind(municipality.to_string()).bind(id.uuid());
            Ok(query.fetch_optional(conn).await?)
        })
    }

    /// Returns the highest sequence that a lost batch of a municipality has or had, and its receipt's digest.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn highest_lost(&self, municipality: MunicipalityCode) -> Result<Option<(u64, Digest)>, Error> {
        on_read!(self, "highest_lost", |conn| {
            let query = sqlx::query_as(HIGHEST_LOST).bind(municipality.to_string());
            let row: Option<(i64, Vec<u8>)> = query.fetch_optional(conn).await?;
            let Some((sequence, digest)) = row else { return Ok(None) };
            Ok(Some((uint(sequence, "sequence")?, columns::digest(&digest, "digest")?)))
        })
    }

    /// Returns how far each municipality is that is known here, `count` at most; none if there was no
    /// restore. What cannot be read is told in the log.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn comparisons(&self, count: u32) -> Result<Vec<Compared>, Error> {
        on_snapshot!(self, "comparisons", |conn| {
            let Some(restore) = conn.in_force().await? else { return Ok(Vec::new()) };
            let query = sqlx::query(STANDINGS).bind(int(restore.id, "restore_id")?);
            let rows = query.bind(i64::from(count)).fetch_all(conn).await?;
            Ok(readable("comparisons", &rows, |(code, how, note): (String, String, String)| {
                let standing = match how.as_str() {
                    "COMPARED" => Standing::Compared,
                    "RELEASED" => Standing::Released,
                    _ => Standing::Waiting,
                };
                Ok(Compared { municipality: columns::municipality(&code)?, standing, note })
            }))
        })
    }
}
