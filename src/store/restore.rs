//! After a restore nothing new is taken from a municipality, and nothing of it worked off, until its receipts
//! were held against what is here; what they prove to be lost is kept until it has come again.

use sqlx::types::Uuid;

use crate::domain::{
    batch_id::BatchId, digest::Digest, manifest::Manifest, municipality::MunicipalityCode, receipt::Receipt,
};

use super::{
    Error, Forgotten, Opened, Store,
    columns::{self, int, uint},
};

statements! {
    IN_FORCE = "
        SELECT restore_id, marked_ms, cause, note FROM restore ORDER BY restore_id DESC LIMIT 1";
    MARK = "
        INSERT INTO restore (restore_id, marked_ms, cause, note) VALUES ($1, $2, $3, $4)
        ON CONFLICT DO NOTHING";
    // 1 if a restore is in force and the municipality has not compared since.
    WAITS = "
        SELECT COUNT(*) AS waits
        FROM (SELECT restore_id FROM restore ORDER BY restore_id DESC LIMIT 1) AS r
        WHERE NOT EXISTS (SELECT 1 FROM comparison AS c
            WHERE c.municipality_code = $1 AND c.restore_id = r.restore_id)";
    COMPARE = "
        INSERT INTO comparison (municipality_code, restore_id, compared_ms, how, note)
        VALUES ($1, $2, $3, 'COMPARED', '') ON CONFLICT (municipality_code, restore_id) DO NOTHING";
    // A decision stands above a comparison, and the last one's reason above those before.
    RELEASE = "
        INSERT INTO comparison (municipality_code, restore_id, compared_ms, how, note)
        VALUES ($1, $2, $3, 'RELEASED', $4) ON CONFLICT (municipality_code, restore_id)
        DO UPDATE SET compared_ms = excluded.compared_ms, how = excluded.how, note = excluded.note";
    KNOWN_RECEIPT = "SELECT digest FROM receipt WHERE municipality_code = $1 AND batch_id = $2";
    LOST_DIGEST = "SELECT digest FROM lost_batch WHERE municipality_code = $1 AND batch_id = $2";
    PROMISED_DIGEST = "
        SELECT digest FROM lost_batch
        WHERE municipality_code = $1 AND batch_id = $2 AND given_up_ms IS NULL";
    ADD_LOST = "
        INSERT INTO lost_batch (municipality_code, batch_id, sequence, record_count, manifest_digest,
            previous, told_ms, digest, receipt)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";
    // The chain: each lost receipt names the one before, which must be here or lost as well.
    MISSING_LINKS = "
        SELECT l.previous FROM lost_batch AS l
        WHERE l.municipality_code = $1 AND l.previous IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM receipt AS r
                WHERE r.municipality_code = l.municipality_code AND r.digest = l.previous)
            AND NOT EXISTS (SELECT 1 FROM lost_batch AS p
                WHERE p.municipality_code = l.municipality_code AND p.digest = l.previous)
        LIMIT 100";
    KNOWS_RECEIPT = "SELECT COUNT(*) AS known FROM receipt WHERE municipality_code = $1 AND digest = $2";
    KNOWS_LOST = "SELECT COUNT(*) AS known FROM lost_batch WHERE municipality_code = $1 AND digest = $2";
    LOST_OF_SEQUENCE = "
        SELECT batch_id, manifest_digest FROM lost_batch WHERE municipality_code = $1 AND sequence = $2";
    LOST_MANIFEST = "
        SELECT manifest_digest FROM lost_batch WHERE municipality_code = $1 AND batch_id = $2";
    LOST_BEFORE = "
        SELECT l.sequence FROM lost_batch AS l
        WHERE l.municipality_code = $1 AND l.sequence < $2 AND l.given_up_ms IS NULL
            AND NOT EXISTS (SELECT 1 FROM batch AS b
                WHERE b.municipality_code = l.municipality_code AND b.batch_id = l.batch_id
                    AND b.state IN ('ACCEPTED', 'ACCEPTED_WITH_REJECTS', 'ABORTED'))
        ORDER BY l.sequence LIMIT 1";
    GIVE_UP = "
        UPDATE lost_batch SET given_up_ms = $2 WHERE municipality_code = $1 AND given_up_ms IS NULL";
}

/// Why a database counts as restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The operator says so.
    Operator,
    /// The file beside it had seen more heartbeats than it has.
    Witness,
    /// A municipality holds a receipt of ours that is not here.
    Receipt,
}

impl Cause {
    /// The word that is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Operator => "OPERATOR",
            Cause::Witness => "WITNESS",
            Cause::Receipt => "RECEIPT",
        }
    }
}

/// The restore that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restore {
    /// Its number, from 1.
    pub id: u64,
    /// When it was noticed.
    pub marked_ms: i64,
    /// How: OPERATOR, WITNESS or RECEIPT.
    pub cause: String,
    /// In words.
    pub note: String,
}

/// A receipt that a municipality holds, whose signature is our own.
#[derive(Debug)]
pub struct Held<'a> {
    /// What it says.
    pub receipt: &'a Receipt,
    /// SHA-256 of its text.
    pub digest: Digest,
    /// Its bytes.
    pub note: &'a [u8],
}

/// What a receipt is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is here, the same.
    Known,
    /// It is not here: its batch is lost, until it has come again.
    Lost,
    /// Another one is here for the same batch.
    Different,
}

/// How a comparison came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// For each receipt, in order, what it is here.
    pub kept: Vec<Kept>,
    /// Digests of receipts that others name as the one before, and that are neither here nor came.
    pub missing: Vec<Digest>,
    /// Whether the municipality may go on.
    pub done: bool,
    /// Whether it was this comparison that showed that the database is an older one.
    pub marked: bool,
}

on_both! {
    pub(super) trait GateSteps {
        async fn in_force(&mut conn) -> Result<Option<Restore>, Error> {
            let query = sqlx::query_as(IN_FORCE);
            let row: Option<(i64, i64, String, String)> = query.fetch_optional(conn).await?;
            let Some((id, marked_ms, cause, note)) = row else { return Ok(None) };
            Ok(Some(Restore { id: uint(id, "restore_id")?, marked_ms, cause, note }))
        }

        async fn mark(&mut conn, cause: Cause, note: &str, now_ms: i64) -> Result<u64, Error> {
            let id = conn.in_force().await?.map_or(0, |last| last.id) + 1;
            let query = sqlx::query(MARK).bind(int(id, "restore_id")?).bind(now_ms);
            let marked = query.bind(cause.as_str()).bind(note).execute(conn).await?;
            // Somebody marked it at the same time, which is seen when this begins anew.
            if marked.rows_affected() == 0 { Err(Error::Busy) } else { Ok(id) }
        }

        /// Whether nothing new is taken from a municipality.
        async fn waits(&mut conn, municipality: MunicipalityCode) -> Result<bool, Error> {
            let waits: i64 = sqlx::query_scalar(WAITS).bind(municipality.to_string()).fetch_one(conn).await?;
            Ok(waits > 0)
        }

        /// Why a batch may not be opened as long as something is lost; `None` if it may.
        async fn gate(&mut conn, manifest: &Manifest, digest: &Digest) -> Result<Option<Opened>, Error> {
            let code = manifest.municipality.to_string();
            if conn.waits(manifest.municipality).await? {
                return Ok(Some(Opened::Forgotten(Forgotten::ReconcileFirst)));
            }
            if let Some(previous) = manifest.previous_receipt {
                let mut known: i64 = 0;
                for kept in [KNOWS_RECEIPT, KNOWS_LOST] {
                    let query = sqlx::query_scalar(kept).bind(&code).bind(previous.as_bytes().as_slice());
                    let found: i64 = query.fetch_one(&mut *conn).await?;
                    known += found;
                }
                if known == 0 {
                    return Ok(Some(Opened::Forgotten(Forgotten::ReceiptUnknown)));
                }
            }
            let sequence = int(manifest.sequence, "sequence")?;
            let query = sqlx::query_scalar(LOST_MANIFEST).bind(&code).bind(manifest.batch_id.uuid());
            let own: Option<Vec<u8>> = query.fetch_optional(&mut *conn).await?;
            let Some(own) = own else {
                let query = sqlx::query_as(LOST_OF_SEQUENCE).bind(&code).bind(sequence);
                let taken: Option<(Uuid, Vec<u8>)> = query.fetch_optional(conn).await?;
                return Ok(taken.map(|_| Opened::SequenceReused));
            };
            if own != digest.as_bytes() {
                return Ok(Some(Opened::IdReused));
            }
            let query = sqlx::query_scalar(LOST_BEFORE).bind(&code).bind(sequence);
            let before: Option<i64> = query.fetch_optional(conn).await?;
            let Some(before) = before else { return Ok(None) };
            Ok(Some(Opened::Forgotten(Forgotten::LostBefore(uint(before, "sequence")?))))
        }

        /// Returns the digest of the receipt that a batch had before it was lost.
        async fn lost_digest(
            &mut conn,
            municipality: MunicipalityCode,
            id: BatchId,
        ) -> Result<Option<Digest>, Error> {
            let query = sqlx::query_scalar(LOST_DIGEST).bind(municipality.to_string()).bind(id.uuid());
            let digest: Option<Vec<u8>> = query.fetch_optional(conn).await?;
            digest.map(|digest| columns::digest(&digest, "digest")).transpose()
        }

        /// Returns the same if the batch must still come out as that receipt says: it was not given up.
        async fn promised_digest(
            &mut conn,
            municipality: MunicipalityCode,
            id: BatchId,
        ) -> Result<Option<Digest>, Error> {
            let query = sqlx::query_scalar(PROMISED_DIGEST).bind(municipality.to_string()).bind(id.uuid());
            let digest: Option<Vec<u8>> = query.fetch_optional(conn).await?;
            digest.map(|digest| columns::digest(&digest, "digest")).transpose()
        }

        async fn hold(
            &mut conn,
            municipality: MunicipalityCode,
            held: &Held<'_>,
            now_ms: i64,
        ) -> Result<(Kept, bool), Error> {
            let (code, id) = (municipality.to_string(), held.receipt.batch_id);
            let query = sqlx::query_scalar(KNOWN_RECEIPT).bind(&code).bind(id.uuid());
            let here: Option<Vec<u8>> = query.fetch_optional(&mut *conn).await?;
            if let Some(here) = here {
                let same = here == held.digest.as_bytes();
                return Ok((if same { Kept::Known } else { Kept::Different }, false));
            }
            if let Some(lost) = conn.lost_digest(municipality, id).await? {
                return Ok((if lost == held.digest { Kept::Lost } else { Kept::Different }, false));
            }
            // A receipt of ours from after the last restore that is not here either: there was one more.
            let committed_ms = held.receipt.committed_ms;
            let marked = conn.in_force().await?.is_none_or(|last| last.marked_ms < committed_ms);
            if marked {
                let note = format!("{municipality} holds a receipt for batch {id} that is not here");
                conn.mark(Cause::Receipt, &note, now_ms).await?;
            }
            let added = sqlx::query(ADD_LOST)
                .bind(&code)
                .bind(id.uuid())
                .bind(int(held.receipt.sequence, "sequence")?)
                .bind(int(held.receipt.declared.records, "record_count")?)
                .bind(held.receipt.manifest.as_bytes().as_slice())
                .bind(held.receipt.previous_receipt.map(|digest| digest.as_bytes().to_vec()))
                .bind(now_ms)
                .bind(held.digest.as_bytes().as_slice())
                .bind(held.note)
                .execute(&mut *conn)
                .await?;
            if added.rows_affected() == 1 {
                return Ok((Kept::Lost, marked));
            }
            // Somebody told of it at the same time, or another lost batch has the sequence: two receipts of
            // ours contradict.
            let lost = conn.lost_digest(municipality, id).await?;
            Ok((if lost == Some(held.digest) { Kept::Lost } else { Kept::Different }, marked))
        }
    }
}

impl Store {
    /// Notes that this database is older than what was acknowledged; returns the number of the restore.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction.
    pub async fn mark_restored(&self, cause: Cause, note: &str, now_ms: i64) -> Result<u64, Error> {
        in_tx!(self, "mark_restored", |tx| tx.mark(cause, note, now_ms).await)
    }

    /// Returns the restore that is in force; `None` if there was none.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn restored(&self) -> Result<Option<Restore>, Error> {
        on_read!(self, "restored", |conn| conn.in_force().await)
    }

    /// Whether nothing new is taken from a municipality until its receipts were compared.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn waits_for_comparison(&self, municipality: MunicipalityCode) -> Result<bool, Error> {
        on_read!(self, "waits_for_comparison", |conn| conn.waits(municipality).await)
    }

    /// Holds receipts of ours, which a municipality has, against what is here, and keeps what is lost. With
    /// `whole` these and those before were all it has; then, unless one is missing between them, it may go
    /// on.
    ///
    /// Idempotent: a receipt that came before is lost or known as before.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction.
    pub async fn compare_receipts(
        &self,
        municipality: MunicipalityCode,
        held: &[Held<'_>],
        whole: bool,
        now_ms: i64,
    ) -> Result<Comparison, Error> {
        in_tx!(self, "compare_receipts", |tx| {
            let code = municipality.to_string();
            let (mut kept, mut marked) = (Vec::with_capacity(held.len()), false);
            for one in held {
                let (what, restore) = tx.hold(municipality, one, now_ms).await?;
                kept.push(what);
                marked |= restore;
            }
            let query = sqlx::query_scalar(MISSING_LINKS).bind(&code);
            let links: Vec<Vec<u8>> = query.fetch_all(&mut *tx).await?;
            let missing: Result<Vec<Digest>, Error> =
                links.iter().map(|link| columns::digest(link, "previous")).collect();
            let missing = missing?;
            if whole
                && missing.is_empty()
                && let Some(restore) = tx.in_force().await?
            {
                let query = sqlx::query(COMPARE).bind(&code).bind(int(restore.id, "restore_id")?);
                query.bind(now_ms).execute(&mut *tx).await?;
            }
            let done = !tx.waits(municipality).await?;
            Ok(Comparison { kept, missing, done, marked })
        })
    }

    /// Lets a municipality go on without a comparison, or in spite of what it came to, by decision of the
    /// operator: what it lost is given up, and may come again otherwise than its receipts say. `false` if
    /// there was no restore.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction.
    pub async fn release(
        &self,
        municipality: MunicipalityCode,
        note: &str,
        now_ms: i64,
    ) -> Result<bool, Error> {
        in_tx!(self, "release", |tx| {
            let Some(restore) = tx.in_force().await? else { return Ok(false) };
            let code = municipality.to_string();
            let query = sqlx::query(RELEASE).bind(&code).bind(int(restore.id, "restore_id")?);
            query.bind(now_ms).bind(note).execute(&mut *tx).await?;
            sqlx::query(GIVE_UP).bind(&code).bind(now_ms).execute(tx).await?;
            Ok(true)
        })
    }
}
