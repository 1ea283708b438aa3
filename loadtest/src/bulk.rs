//! SQLite's own bulk insert: the fastest way to make the same records durable, with nothing of ours around
//! it.
//!
//! One table, its key and the record's bytes, multi-row prepared inserts, WAL and `synchronous=FULL`, a
//! commit for as many rows as a chunk of ours has.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use sqlx::{
    AssertSqlSafe, Connection as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use todoke::{
    client::reader::{ReadOptions, RecordReader},
    domain::record::Field,
};

use crate::failure::Failure;

/// Rows of one INSERT: beyond some hundred, more gain nothing.
const ROWS_PER_INSERT: usize = 512;
/// Rows of one transaction: a chunk's.
const ROWS_PER_COMMIT: usize = 4096;

const TABLE: &str = "CREATE TABLE records (municipality_code TEXT NOT NULL, batch_id BLOB NOT NULL, \
                     record_index INTEGER NOT NULL, order_id TEXT NOT NULL, record BLOB NOT NULL, \
                     PRIMARY KEY (municipality_code, batch_id, record_index)) WITHOUT ROWID";

/// One record: its order id and its canonical bytes.
pub(crate) type Row = (String, Vec<u8>);

/// Reads a record file as `todoke import` does.
pub(crate) fn read(file: &Path) -> Result<Vec<Row>, Failure> {
    let unreadable = Failure::while_doing::<String>(file.display());
    let rows = || -> Result<Vec<Row>, String> {
        let mut reader =
            RecordReader::open(file, &ReadOptions::default()).map_err(|fault| fault.to_string())?;
        let mut rows = Vec::new();
        while let Some((record, canonical)) = reader.next_record().map_err(|fault| fault.to_string())? {
            rows.push((record.text(Field::OrderId).to_owned(), canonical.to_vec()));
        }
        Ok(rows)
    };
    rows().map_err(unreadable)
}

/// Inserts all rows into a new database in `folder` and returns how long it took until the last was durable.
pub(crate) async fn insert(folder: &Path, rows: &[Row]) -> Result<Duration, Failure> {
    let options = SqliteConnectOptions::new()
        .filename(folder.join("bulk.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", "20000");
    let mut database = SqliteConnection::connect_with(&options).await?;
    sqlx::query(TABLE).execute(&mut database).await?;

    let started = Instant::now();
    for (chunk, rows) in rows.chunks(ROWS_PER_COMMIT).enumerate() {
        let mut transaction = database.begin_with("BEGIN IMMEDIATE").await?;
        for (part, rows) in rows.chunks(ROWS_PER_INSERT).enumerate() {
            let first = chunk * ROWS_PER_COMMIT + part * ROWS_PER_INSERT;
            let mut insert = sqlx::query(AssertSqlSafe(statement(rows.len())));
            for (offset, (order_id, record)) in rows.iter().enumerate() {
                let index = i64::try_from(first + offset).map_err(Failure::while_doing("record index"))?;
                insert = insert.bind("131229").bind(&[7_u8; 16][..]).bind(index).bind(order_id).bind(record);
            }
            insert.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
    }
    let took = started.elapsed();

    let stored: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM records").fetch_one(&mut database).await?;
    database.close().await?;
    if usize::try_from(stored) != Ok(rows.len()) {
        return Err(Failure::new(format!("the bulk insert stored {stored} of {} records", rows.len())));
    }
    Ok(took)
}

fn statement(rows: usize) -> String {
    let values = vec!["(?, ?, ?, ?, ?)"; rows].join(", ");
    format!(
        "INSERT INTO records (municipality_code, batch_id, record_index, order_id, record) VALUES {values}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_row_is_stored_whatever_is_left_over_at_the_end() {
        let rows: Vec<Row> = (0..ROWS_PER_COMMIT + ROWS_PER_INSERT + 3)
            .map(|n| (format!("K-{n}"), vec![u8::try_from(n % 251).expect("small"); 300]))
            .collect();
        let folder = tempfile::tempdir().expect("a folder");
        insert(folder.path(), &rows).await.expect("it counts the rows itself");
    }
}
