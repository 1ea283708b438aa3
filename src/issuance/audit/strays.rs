//! No row stands beside a batch that nothing of it leads to.

use super::{
    FILE_REPAIR, Finding, Look,
    batch::{Subject, finding},
};
use crate::store;

impl Look<'_> {
    /// Tells of chunks outside the batch's grid, and of what became of records in an attempt that never was.
    pub(super) async fn strays(&mut self, on: &Subject) -> Result<(), store::Error> {
        let row = &on.row;
        match self.at.stray_chunks(row).await {
            Ok(numbers) => {
                for number in numbers {
                    let what =
                        format!("its number is {number}, and the batch has {} chunks", row.chunk_count);
                    let repair = delete(on, "chunk", &format!("chunk_number = {number}"));
                    let found = finding(row, "chunk", what, &repair);
                    self.told(&Finding { chunk: u32::try_from(number).ok(), ..found });
                }
            }
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => self.told(&finding(row, "chunk", error.to_string(), FILE_REPAIR)),
        }
        match self.at.stray_entries(row).await {
            Ok(strays) => {
                for (table, attempt, count) in strays {
                    let what =
                        format!("{count} rows are of attempt {attempt}, and the batch is at {}", row.attempt);
                    let repair = match on.proof {
                        Some(_) => delete(on, table, &format!("attempt = {attempt}")),
                        None => {
                            "either they were altered or the attempt of the batch's row: compare both with a \
                                 backup, and restore what was"
                                .to_owned()
                        }
                    };
                    self.told(&finding(row, table, what, &repair));
                }
            }
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => self.told(&finding(row, "card_order", error.to_string(), FILE_REPAIR)),
        }
        Ok(())
    }
}

/// What rids a table of rows that nobody reads. Last of all, as one of them may have been another row, and
/// that one is then told, too.
fn delete(on: &Subject, table: &str, rows: &str) -> String {
    let (municipality, id) = (on.row.municipality, on.row.batch_id.uuid().simple());
    format!(
        "nobody reads it. Put right what else is found of the batch; then stop the issuer, and `DELETE FROM \
         {table} WHERE municipality_code = '{municipality}' AND batch_id = x'{id}' AND {rows}`"
    )
}
