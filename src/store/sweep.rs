//! Whoever looks at everything gets all that can be read: a damaged row is told and counted, and hides no
//! other.

use std::collections::BTreeMap;

use sqlx::{ColumnIndex, Decode, FromRow, Row, Type, types::Uuid};

use crate::{domain::municipality::MunicipalityCode, telemetry::names};

use super::{
    BatchRow, Error, Holes, OpenAfter, OpenPage, Store,
    batches::{RawBatch, select_batch},
    columns::{self, uint},
};

statements! {
    // The condition is the partial index's own, word for word, so that it is used.
    LIST_OPEN = select_batch!(
        "WHERE b.state NOT IN ('ACCEPTED', 'ACCEPTED_WITH_REJECTS', 'ABORTED')
            AND (b.municipality_code, b.batch_id) > ($1, $2)
        ORDER BY b.municipality_code, b.batch_id LIMIT $3"
    );
    // So is this one.
    LIST_DAMAGED = select_batch!(
        "WHERE b.state IN ('ACCEPTED', 'ACCEPTED_WITH_REJECTS') AND b.damaged_ms IS NOT NULL
            AND b.chunks_stored < b.chunk_count AND (b.municipality_code, b.batch_id) > ($1, $2)
        ORDER BY b.municipality_code, b.batch_id LIMIT $3"
    );
    // What was lost and given up is no hole. The innermost SELECT is a walk along one index; the others are
    // only about municipalities that lack a number.
    COUNT_HOLES = "
        SELECT h.municipality_code, h.holes,
            (SELECT b.sequence - 1 FROM batch AS b
            WHERE b.municipality_code = h.municipality_code AND b.sequence > 1
                AND NOT EXISTS (SELECT 1 FROM batch AS p
                    WHERE p.municipality_code = b.municipality_code AND p.sequence = b.sequence - 1)
                AND NOT EXISTS (SELECT 1 FROM lost_batch AS q WHERE q.municipality_code = b.municipality_code
                    AND q.sequence = b.sequence - 1 AND q.given_up_ms IS NOT NULL)
            ORDER BY b.sequence DESC LIMIT 1) AS before_batch,
            (SELECT l.sequence - 1 FROM lost_batch AS l
            WHERE l.municipality_code = h.municipality_code AND l.sequence > 1 AND l.sequence < h.last
                AND l.given_up_ms IS NOT NULL
                AND NOT EXISTS (SELECT 1 FROM batch AS p
                    WHERE p.municipality_code = l.municipality_code AND p.sequence = l.sequence - 1)
                AND NOT EXISTS (SELECT 1 FROM lost_batch AS q WHERE q.municipality_code = l.municipality_code
                    AND q.sequence = l.sequence - 1 AND q.given_up_ms IS NOT NULL)
            ORDER BY l.sequence DESC LIMIT 1) AS before_lost
        FROM (SELECT g.municipality_code, g.last, g.lacking - (SELECT COUNT(*) FROM lost_batch AS l
                WHERE l.municipality_code = g.municipality_code AND l.sequence < g.last
                    AND l.given_up_ms IS NOT NULL AND NOT EXISTS (SELECT 1 FROM batch AS b
                        WHERE b.municipality_code = l.municipality_code AND b.sequence = l.sequence)) AS holes
            FROM (SELECT municipality_code, MAX(sequence) AS last, MAX(sequence) - COUNT(*) AS lacking
                FROM batch GROUP BY municipality_code HAVING MAX(sequence) > COUNT(*)) AS g) AS h
        WHERE h.holes > 0 ORDER BY h.municipality_code LIMIT $1";
    OPENED_SINCE = "
        SELECT municipality_code, opened_ms FROM batch WHERE opened_ms > $1 AND state <> 'ABORTED'";
    OPENED_OF = "
        SELECT opened_ms FROM batch
        WHERE municipality_code = $1 AND opened_ms > $2 AND state <> 'ABORTED'";
    // Whose times lie ahead of a clock that was set back; each municipality's are then changed by themselves.
    AHEAD = "
        SELECT municipality_code FROM batch
        WHERE state NOT IN ('ACCEPTED', 'ACCEPTED_WITH_REJECTS', 'ABORTED')
            AND (progress_ms > $1 OR sealed_ms > $1 OR finished_ms > $1)
        UNION SELECT municipality_code FROM work WHERE due_ms > $2
        ORDER BY municipality_code";
    // Of open batches: they would hide what does not move.
    PULL_BACK = "
        UPDATE batch SET progress_ms = CASE WHEN progress_ms > $2 THEN $2 ELSE progress_ms END,
            sealed_ms = CASE WHEN sealed_ms > $2 THEN $2 ELSE sealed_ms END,
            finished_ms = CASE WHEN finished_ms > $2 THEN $2 ELSE finished_ms END
        WHERE municipality_code = $1 AND state NOT IN ('ACCEPTED', 'ACCEPTED_WITH_REJECTS', 'ABORTED')
            AND (progress_ms > $2 OR sealed_ms > $2 OR finished_ms > $2)";
    // No lease and no wait is ever longer; the holder keeps its epoch, and renews.
    PULL_BACK_WORK = "UPDATE work SET due_ms = $2 WHERE municipality_code = $1 AND due_ms > $2";
}

/// The reads that pass over what they cannot read.
const PASS_OVER: [&str; 8] = [
    "open_batches",
    "damaged_batches",
    "miscounted_batches",
    "municipalities_with_holes",
    "opened_since",
    "work_candidates",
    "comparisons",
    "lost_batches",
];

/// Counts none yet for each of those reads, so that the first one is a rise to whoever alarms on it.
pub(super) fn none_unreadable() {
    for statement in PASS_OVER {
        metrics::counter!(names::STORE_UNREADABLE, names::STATEMENT => statement).increment(0);
    }
}

/// Whose, how many, and the highest one before a batch and before one that was given up.
type RawHoles = (String, i64, Option<i64>, Option<i64>);

/// Tells of a row that cannot be read. The texts of a key name a municipality and a batch, never a person.
fn unreadable(statement: &'static str, municipality: &str, batch: Option<Uuid>, error: &Error) {
    debug_assert!(PASS_OVER.contains(&statement), "{statement} does not begin at zero");
    let batch = batch.map_or_else(|| "unknown".to_owned(), |id| id.to_string());
    metrics::counter!(names::STORE_UNREADABLE, names::STATEMENT => statement).increment(1);
    tracing::error!(municipality.code = municipality, batch.id = batch, %error,
        "a row of batch {batch} of {municipality:?} is unreadable and passed over: restore it from a backup");
}

/// Reads rows one by one: what cannot be read is told, and hides no other.
pub(super) fn readable<R, Raw, T>(
    statement: &'static str,
    rows: &[R],
    read: impl Fn(Raw) -> Result<T, Error>,
) -> Vec<T>
where
    R: Row,
    Raw: for<'r> FromRow<'r, R>,
    for<'n> &'n str: ColumnIndex<R>,
    for<'r> String: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> Uuid: Decode<'r, R::Database> + Type<R::Database>,
{
    let one = |row: &R| {
        let value = Raw::from_row(row).map_err(Error::from).and_then(&read);
        let told = value.inspect_err(|error| {
            let code: Option<String> = row.try_get("municipality_code").ok();
            let batch: Option<Uuid> = row.try_get("batch_id").ok();
            unreadable(statement, code.as_deref().unwrap_or("unknown"), batch, error);
        });
        told.ok()
    };
    rows.iter().filter_map(one).collect()
}

on_both! {
    trait SweepSteps {
        /// Returns a page of `LIST_OPEN` or of `LIST_DAMAGED`.
        async fn page_of(
            &mut conn,
            sql: &'static str,
            after: Option<&OpenAfter>,
            count: u32,
        ) -> Result<OpenPage, Error> {
            let (code, id) = after.map_or(("", Uuid::nil()), |after| (after.code.as_str(), after.id));
            let query = sqlx::query(sql).bind(code).bind(id).bind(i64::from(count));
            let found = query.fetch_all(conn).await?;
            let name = if sql == LIST_OPEN { "open_batches" } else { "damaged_batches" };
            let rows = readable(name, &found, |raw: RawBatch| BatchRow::try_from(raw));
            // After the last row that has a key; those that have none are told once more.
            let key = |row: &_| {
                let (code, id) = <(String, Uuid)>::from_row(row).ok()?;
                Some(OpenAfter { code, id })
            };
            let last = found.iter().rev().find_map(key);
            Ok(OpenPage { rows, next: last.filter(|_| found.len() == count as usize) })
        }
    }
}

impl Store {
    /// Returns batches of all municipalities that have not come to their end, after where another page ended,
    /// `count` at most. DISCREPANT is no end: somebody must act. What cannot be read is told in the log.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn open_batches(&self, after: Option<OpenAfter>, count: u32) -> Result<OpenPage, Error> {
        on_read!(self, "open_batches", |conn| conn.page_of(LIST_OPEN, after.as_ref(), count).await)
    }

    /// Returns the same of accepted batches of which chunks were set aside and have not come again.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn damaged_batches(&self, after: Option<OpenAfter>, count: u32) -> Result<OpenPage, Error> {
        on_read!(self, "damaged_batches", |conn| conn.page_of(LIST_DAMAGED, after.as_ref(), count).await)
    }

    /// Returns the municipalities whose sequence has holes, `count` at most.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn municipalities_with_holes(&self, count: u32) -> Result<Vec<Holes>, Error> {
        on_read!(self, "municipalities_with_holes", |conn| {
            let rows = sqlx::query(COUNT_HOLES).bind(i64::from(count)).fetch_all(conn).await?;
            Ok(readable("municipalities_with_holes", &rows, |(code, holes, before, lost): RawHoles| {
                let highest = before.max(lost).ok_or(Error::Corrupt("sequence"))?;
                let (count, highest) = (uint(holes, "holes")?, uint(highest, "sequence")?);
                Ok(Holes { municipality: columns::municipality(&code)?, count, highest })
            }))
        })
    }

    /// Brings what lies ahead of `now_ms` back to it, after the clock was set back: no batch has moved in the
    /// future, and no lease or wait ends later than `wait_max_ms` from now. Returns how many rows did. Each
    /// municipality's are changed in a transaction of their own; after a failure some are left for the next.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction.
    pub async fn pull_back(&self, now_ms: i64, wait_max_ms: i64) -> Result<u64, Error> {
        let last_ms = now_ms.saturating_add(wait_max_ms);
        let ahead: Vec<String> = on_read!(self, "ahead_of_clock", |conn| {
            Ok(sqlx::query_scalar(AHEAD).bind(now_ms).bind(last_ms).fetch_all(conn).await?)
        })?;
        let mut rows = 0;
        for code in &ahead {
            rows += in_tx!(self, "pull_back", |tx| {
                let batches = sqlx::query(PULL_BACK).bind(code).bind(now_ms).execute(&mut *tx).await?;
                let work = sqlx::query(PULL_BACK_WORK).bind(code).bind(last_ms).execute(tx).await?;
                Ok(batches.rows_affected() + work.rows_affected())
            })?;
        }
        Ok(rows)
    }

    /// Returns when batches were opened after this moment that nobody gave up, by municipality. What cannot
    /// be read is told in the log.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn opened_since(&self, after_ms: i64) -> Result<BTreeMap<MunicipalityCode, Vec<i64>>, Error> {
        on_read!(self, "opened_since", |conn| {
            let rows = sqlx::query(OPENED_SINCE).bind(after_ms).fetch_all(conn).await?;
            let opened = readable("opened_since", &rows, |(code, opened_ms): (String, i64)| {
                Ok((columns::municipality(&code)?, opened_ms))
            });
            let mut found: BTreeMap<MunicipalityCode, Vec<i64>> = BTreeMap::new();
            for (municipality, opened_ms) in opened {
                found.entry(municipality).or_default().push(opened_ms);
            }
            Ok(found)
        })
    }

    /// Returns the same of one municipality.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn opened_of(&self, municipality: MunicipalityCode, after_ms: i64) -> Result<Vec<i64>, Error> {
        on_read!(self, "opened_of", |conn| {
            let query = sqlx::query_scalar(OPENED_OF).bind(municipality.to_string()).bind(after_ms);
            Ok(query.fetch_all(conn).await?)
        })
    }
}
