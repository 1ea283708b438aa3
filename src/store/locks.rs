//! What a transaction decides about, no other transaction changes meanwhile.
//!
//! SQLite has one connection that writes, so that transactions come one after the other in any case. On
//! PostgreSQL each takes the row of its batch first, always before any other row, and so comes after whoever
//! has it; the statements that follow see what that one has committed. What may be done to two batches of one
//! municipality at once is decided by the rows of their order ids, which are taken in the order of the ids.

use sqlx::{PgConnection, SqliteConnection};

use crate::domain::{batch_id::BatchId, municipality::MunicipalityCode};

use super::Error;

statements! {
    // Not FOR UPDATE: that would also hold up whoever only refers to the batch.
    LOCK_BATCH = { postgres: "
        SELECT state FROM batch WHERE municipality_code = $1 AND batch_id = $2 FOR NO KEY UPDATE" };
    // Its first batch stands for the municipality. As long as there is none there is nothing to count either.
    LOCK_MUNICIPALITY = { postgres: "
        SELECT state FROM batch WHERE municipality_code = $1
        ORDER BY sequence LIMIT 1 FOR NO KEY UPDATE" };
}

/// The rows that are taken first. Whoever is not there needs none.
pub(super) trait LockSteps {
    /// Comes after every other change of this batch.
    fn lock_batch(
        &mut self,
        municipality: MunicipalityCode,
        id: BatchId,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Comes after every other change of which batches a municipality has.
    fn lock_municipality(
        &mut self,
        municipality: MunicipalityCode,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

impl LockSteps for SqliteConnection {
    async fn lock_batch(&mut self, _: MunicipalityCode, _: BatchId) -> Result<(), Error> {
        Ok(())
    }

    async fn lock_municipality(&mut self, _: MunicipalityCode) -> Result<(), Error> {
        Ok(())
    }
}

impl LockSteps for PgConnection {
    async fn lock_batch(&mut self, municipality: MunicipalityCode, id: BatchId) -> Result<(), Error> {
        let query = sqlx::query(LOCK_BATCH).bind(municipality.to_string()).bind(id.uuid());
        query.execute(self).await?;
        Ok(())
    }

    async fn lock_municipality(&mut self, municipality: MunicipalityCode) -> Result<(), Error> {
        sqlx::query(LOCK_MUNICIPALITY).bind(municipality.to_string()).execute(self).await?;
        Ok(())
    }
}
