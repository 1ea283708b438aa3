//! What a method answers with `Ok` is committed and survives a crash; an error has changed nothing, unless
//! it says that it may have.
//!
//! [`Store`] is the only door to the database. Its methods are what the issuer wants to do, in the domain's
//! own types; each is one transaction, and doing it again under the same key changes nothing more. Behind it:
//! `macros` is the seam between one text and several databases, `transact` the loop around a transaction,
//! `sqlite` how a file is opened; then a file a concern. SQL stands beside the method that runs it.

#[macro_use]
mod macros;

mod batches;
mod bulk;
mod cards;
mod chunks;
mod columns;
mod ends;
mod error;
mod group;
mod options;
mod orders;
mod pages;
mod rows;
mod sqlite;
mod statement;
mod sweep;
mod transact;
mod work;

use std::{fs::File, sync::Arc};

use sqlx::SqlitePool;

pub use error::{Error, Source};
pub use options::StoreOptions;
pub use orders::{ORDER_ID_HELD, ORDER_ID_REUSED};
pub use rows::{
    Abort, Acceptance, BatchRow, CardRow, Claim, Holes, ManifestRow, NewBatch, NewChunk, NewOrder, OpenAfter,
    OpenPage, Opened, OrderRow, PutChunk, Repair, Stored, StoredChunk, WorkKey, WrappedKey,
};

/// The database. Cheap to clone; closed when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Store {
    pool: Pool,
    group: Arc<group::Group>,
    persons_together: u64,
}

/// The databases there are.
#[derive(Debug, Clone)]
enum Pool {
    /// One file: one connection writes, several read. The lock keeps other processes out.
    Sqlite { read: SqlitePool, write: SqlitePool, _lock: Arc<File> },
}

impl Store {
    /// Opens the database and brings its schema up to date.
    ///
    /// # Errors
    /// Every [`Error`] that says what to do before starting again: another process has the file, it is of a
    /// newer program or of another one, it is damaged, or it cannot be opened.
    pub async fn open(options: &StoreOptions) -> Result<Self, Error> {
        let pool = match options.url.split_once(':') {
            Some(("sqlite", file)) => sqlite::open(file, options).await?,
            Some(_) => return Err(Error::Url("this build opens no other kind of database")),
            None => return Err(Error::Url("it has no scheme")),
        };
        let group = Arc::new(group::Group::new(options.group_chunks_max));
        Ok(Self { pool, group, persons_together: u64::from(options.persons_together) })
    }

    /// Waits for what is being done, and closes every connection.
    pub async fn close(&self) {
        match &self.pool {
            Pool::Sqlite { read, write, .. } => {
                read.close().await;
                write.close().await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
