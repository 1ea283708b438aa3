//! What a batch that is not sealed counts as stored is what is stored: where the two differ, which only
//! damage brings about, the counts are set right from the rows and the batch is marked as damaged, both or
//! neither.

use std::collections::BTreeMap;

use sqlx::types::Uuid;

use crate::domain::{
    batch::{BatchState, Counts},
    batch_id::BatchId,
    municipality::MunicipalityCode,
    ranges::Ranges,
};

use super::{
    BatchRow, Damage, Error, Store, WorkKey,
    batches::BatchSteps as _,
    chunks::ChunkSteps as _,
    columns::{self, batch_id, uint},
    locks::LockSteps as _,
    quarantine::QuarantineSteps as _,
    sweep::readable,
};

statements! {
    NUMBERS = "
        SELECT chunk_number FROM chunk
        WHERE municipality_code = $1 AND batch_id = $2 AND chunk_number BETWEEN 0 AND CAST($3 AS BIGINT) - 1";
    // The first condition is the partial index's own, and the count walks along one index.
    LIST = "
        SELECT b.municipality_code, b.batch_id FROM batch AS b
        WHERE b.state NOT IN ('ACCEPTED', 'ACCEPTED_WITH_REJECTS', 'ABORTED')
            AND b.state IN ('ANNOUNCED', 'RECEIVING')
            AND b.chunks_stored <> (SELECT COUNT(*) FROM chunk AS c
                WHERE c.municipality_code = b.municipality_code AND c.batch_id = b.batch_id
                    AND c.chunk_number BETWEEN 0 AND b.chunk_count - 1)
        ORDER BY b.municipality_code, b.batch_id LIMIT $1";
}

/// A batch that counts something else than is stored, as it was at one moment.
#[derive(Debug)]
pub struct Miscounted {
    /// The batch.
    pub row: BatchRow,
    /// The chunks that are there.
    pub durable: Ranges,
    districts: BTreeMap<String, u64>,
}

impl Miscounted {
    /// Chunks that were stored and are gone.
    #[must_use]
    pub fn gone(&self) -> u64 {
        u64::from(self.row.chunks_stored).saturating_sub(self.durable.len())
    }

    /// Which they are, if that is known: of a batch that was not whole nobody can say.
    #[must_use]
    pub fn gone_chunks(&self) -> Vec<u32> {
        if self.row.chunks_stored < self.row.chunk_count {
            return Vec::new();
        }
        lacking(&self.row, &self.durable)
    }
}

fn lacking(row: &BatchRow, durable: &Ranges) -> Vec<u32> {
    (0..row.chunk_count).filter(|number| !durable.contains(u64::from(*number))).collect()
}

/// What a batch has to count if just these chunks are there.
fn counted(row: &BatchRow, durable: &Ranges) -> (u32, Counts) {
    let lacking = lacking(row, durable);
    let missing = row.records_in(&lacking);
    let counts = Counts { missing, stored: row.record_count.saturating_sub(missing), ..Counts::default() };
    (row.chunk_count.saturating_sub(u32::try_from(lacking.len()).unwrap_or(u32::MAX)), counts)
}

on_both! {
    pub(super) trait LedgerSteps {
        /// Returns the batch if it is not sealed and counts something else than is stored.
        async fn miscounted(
            &mut conn,
            municipality: MunicipalityCode,
            id: BatchId,
        ) -> Result<Option<Miscounted>, Error> {
            let Some(row) = conn.batch(municipality, id).await? else { return Ok(None) };
            if !matches!(row.state, BatchState::Announced | BatchState::Receiving) {
                return Ok(None);
            }
            let query = sqlx::query_scalar(NUMBERS).bind(municipality.to_string()).bind(id.uuid());
            let numbers: Vec<i64> = query.bind(i64::from(row.chunk_count)).fetch_all(&mut *conn).await?;
            let numbers = numbers.into_iter().map(|number| uint(number, "chunk_number"));
            let durable: Ranges = numbers.collect::<Result<_, _>>()?;
            if (row.chunks_stored, row.counts) == counted(&row, &durable) {
                return Ok(None);
            }
            let districts = conn.districts(municipality, id).await?;
            Ok(Some(Miscounted { row, durable, districts }))
        }
    }
}

impl Store {
    /// Returns a batch if it is not sealed and counts something else than is stored.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn miscounted(
        &self,
        municipality: MunicipalityCode,
        id: BatchId,
    ) -> Result<Option<Miscounted>, Error> {
        on_snapshot!(self, "miscounted", |conn| conn.miscounted(municipality, id).await)
    }

    /// Names batches of which another number of chunks is counted than is there, `count` at most. What cannot
    /// be read is told in the log.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn miscounted_batches(&self, count: u32) -> Result<Vec<WorkKey>, Error> {
        on_read!(self, "miscounted_batches", |conn| {
            let rows = sqlx::query(LIST).bind(i64::from(count)).fetch_all(conn).await?;
            Ok(readable("miscounted_batches", &rows, |(code, id): (String, Uuid)| {
                Ok(WorkKey { municipality: columns::municipality(&code)?, batch_id: batch_id(id)? })
            }))
        })
    }

    /// Counts a batch anew from what is there, without the damaged chunks, which are set aside: what lacks is
    /// missing again, for its sender to send. `damage.districts` are of the chunks that were there `then`;
    /// what came since is added.
    ///
    /// `false` if the counts are right meanwhile, or more is gone: look again.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction.
    pub async fn count_again(&self, then: &Miscounted, damage: &Damage<'_>) -> Result<bool, Error> {
        in_tx!(self, "count_again", |tx| {
            let (municipality, id) = (then.row.municipality, then.row.batch_id);
            tx.lock_batch(municipality, id).await?;
            let Some(now) = tx.miscounted(municipality, id).await? else { return Ok(false) };
            let stays = |(first, last): (u64, u64)| (first..=last).all(|n| now.durable.contains(n));
            if !then.durable.iter().all(stays) {
                return Ok(false);
            }
            let whole = |n: &u64| !damage.chunks.iter().any(|damaged| u64::from(*damaged) == *n);
            let there: Ranges = now.durable.iter().flat_map(|(a, b)| a..=b).filter(whole).collect();
            let mut districts = damage.districts.clone();
            for (district, records) in &now.districts {
                let before = then.districts.get(district).copied().unwrap_or_default();
                let since = records.saturating_sub(before);
                if since > 0 {
                    *districts.entry(district.clone()).or_default() += since;
                }
            }
            let mut row = now.row;
            (row.chunks_stored, row.counts) = counted(&row, &there);
            let damage = Damage { districts: &districts, ..*damage };
            tx.set_aside(&row, &damage, "set aside before the seal; to be sent again").await?;
            tx.recount(&row, damage.now_ms).await?;
            Ok(true)
        })
    }
}
