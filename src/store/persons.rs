//! While changes of items wait for the end of each transaction, persons of an import are entered a few at a
//! time. Which chunks are done is noted with the last few of each: after a crash its persons are entered
//! again, which changes nothing.

use super::{
    Claim, Error, Store,
    bulk::{Attempt, BulkSteps as _},
    columns::int,
    orders::INDEXED,
    work::WorkSteps as _,
};

/// Records whose persons are entered in one transaction. Each has a place of its own in a large tree, and so
/// a page. Chunks of tests are small.
const TOGETHER: i64 = if cfg!(test) { 3 } else { 512 };

impl Store {
    /// Enters the persons of the next chunk of this batch that is stored and waits for that, if changes
    /// press; `false` if there is none, or the claim does not hold.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction.
    pub async fn enter_next_persons(&self, claim: &Claim) -> Result<bool, Error> {
        if !self.is_pressed() {
            return Ok(false);
        }
        let row = self.batch(claim.key.municipality, claim.key.batch_id).await?;
        let Some(row) = row.filter(|row| row.chunks_indexed < row.chunks_worked) else { return Ok(false) };
        let (chunk, records) = (i64::from(row.chunks_indexed), i64::from(row.chunk_records));
        let (mut first, end) = (chunk * records, (chunk + 1) * records);
        let sequence = int(row.sequence, "sequence")?;
        while first < end {
            let next = (first + TOGETHER).min(end);
            let entered = in_tx!(self, "enter_persons", |tx| {
                let held = tx.held(claim).await?;
                if held.is_none_or(|now| now.chunks_indexed != row.chunks_indexed) {
                    return Ok(false);
                }
                tx.enter_persons(Attempt::from(claim), sequence, first..next).await?;
                if next == end {
                    let query = sqlx::query(INDEXED).bind(claim.key.municipality.to_string());
                    query.bind(claim.key.batch_id.uuid()).bind(chunk + 1).execute(tx).await?;
                }
                Ok(true)
            });
            if !entered? {
                return Ok(false);
            }
            first = next;
        }
        Ok(true)
    }
}
