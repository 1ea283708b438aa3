//! What a method answers with `Ok` is committed and survives a crash; an error has changed nothing, unless
//! it says that it may have.
//!
//! [`Store`] is the only door to the database. Its methods are what the issuer wants to do, in the domain's
//! own types; each writes in one transaction or reads one state of the database, and doing it again under the
//! same key changes nothing more. Behind it: `macros` is the seam between one text and several databases,
//! `transact` the loop around a transaction, `locks` what keeps two of them apart, `turns` who goes first,
//! `sqlite` how a file is opened and `postgres` how a server's database is; then a file a concern. SQL stands
//! beside the method that runs it.

#[macro_use]
mod macros;

mod batches;
mod bulk;
mod cards;
mod chunks;
mod columns;
mod copy;
mod copy_back;
mod ends;
mod error;
mod group;
mod heartbeat;
mod inspect;
mod items;
mod key_check;
mod keys;
mod layout;
mod lease;
mod ledger;
mod locks;
mod lost;
mod mend;
mod migrate;
mod options;
mod orders;
mod pages;
mod persons;
mod pool;
mod postgres;
mod quarantine;
mod restore;
mod rows;
mod sqlite;
mod statement;
mod sweep;
pub mod throwaway;
mod transact;
mod turns;
mod work;

use std::{fs::File, path::PathBuf, sync::Arc, time::Duration};

use sqlx::SqlitePool;

pub use copy::{Progress, TableTotals, TellProgress, Total, compare, copy};
pub use error::{Error, Source};
pub use inspect::{RawKey, RawOrder, RawReceipt, ReceiptBefore, Snapshot};
pub use items::{Asked, Changed, Decided, EVENTS_MAX, EventRow, Found, ItemRow, Known, WITH_MAX, WhichItems};
pub use key_check::{KeyCheck, KeyName, NotedKey};
pub use keys::KeyOf;
pub use layout::citus;
pub use ledger::Miscounted;
pub use lost::{Compared, LostBatch, Standing};
pub use mend::WholeChunk;
pub use migrate::{Schema, Step, steps};
use options::Named;
pub use options::StoreOptions;
pub use postgres::Refusal;
use postgres::{Purpose, Url};
pub use quarantine::Damage;
pub use restore::{Cause, Comparison, Held, Kept, Restore};
pub use rows::{
    Abort, Acceptance, BatchRow, CardRow, Claim, Forgotten, Holes, ManifestRow, NewBatch, NewChunk, NewOrder,
    OpenAfter, OpenPage, Opened, OrderRow, PutChunk, Repair, Stored, StoredChunk, WorkKey, WrappedKey,
};
use turns::Rank;
pub use turns::before_others;

/// The database. Cheap to clone; closed when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Store {
    pool: Pool,
    chunks: Arc<group::Group<chunks::OwnedChunk>>,
    items: Arc<group::Group<items::Change>>,
    /// Beside a file only: of a server nothing outlives the server.
    witness: Option<Arc<heartbeat::Witness>>,
    turns: Arc<turns::Turns>,
    persons_together: u64,
    slow_min: Duration,
}

/// The databases there are.
#[derive(Debug, Clone)]
enum Pool {
    /// One file: one connection writes, several read. The lock keeps other processes out; whoever only reads
    /// needs none.
    Sqlite { read: SqlitePool, write: SqlitePool, _lock: Option<Arc<File>> },
    /// A database of a server, which any number of issuers may share: what only one of them may do is decided
    /// by rows.
    Postgres(postgres::Server),
}

impl Store {
    /// Opens the database, which is made if it is not there (a server's only its tables), and brings its
    /// schema up to date: for the issuer alone. A file has one issuer; a server's database may have several.
    ///
    /// # Errors
    /// Every [`Error`] that says what to do before starting again: another process has the file, it is of a
    /// newer program or of another one, it is damaged, or it cannot be opened.
    pub async fn open(options: &StoreOptions) -> Result<Self, Error> {
        match options.named().map_err(Error::Url)? {
            Named::File(file) => Ok(Self::over_file(sqlite::open(file, options).await?, options)),
            Named::Server(url) => Self::over_server(&url, options, Purpose::Issue).await,
        }
    }

    /// Opens a database that must be there, and brings its schema up to date: for an operator's commands,
    /// which may be given a wrong name.
    ///
    /// # Errors
    /// As for [`Store::open`], and [`Error::Missing`]; then nothing was made.
    pub async fn open_existing(options: &StoreOptions) -> Result<Self, Error> {
        match options.named().map_err(Error::Url)? {
            Named::File(file) => Ok(Self::over_file(sqlite::open_existing(file, options).await?, options)),
            Named::Server(url) => Self::over_server(&url, options, Purpose::Mend).await,
        }
    }

    /// Opens a database beside the issuer that has it, for the few things an operator may decide meanwhile.
    ///
    /// # Errors
    /// As for [`Store::open_existing`], but for the lock, and for a schema that is not this program's.
    pub async fn open_beside(options: &StoreOptions) -> Result<Self, Error> {
        match options.named().map_err(Error::Url)? {
            Named::File(file) => Ok(Self::over_file(sqlite::open_beside(file, options).await?, options)),
            Named::Server(url) => Self::over_server(&url, options, Purpose::Decide).await,
        }
    }

    /// Opens the database to look at it, also while an issuer runs. Whatever would write to it fails.
    ///
    /// # Errors
    /// As for [`Store::open_beside`].
    pub async fn open_to_read(options: &StoreOptions) -> Result<Self, Error> {
        match options.named().map_err(Error::Url)? {
            Named::File(file) => Ok(Self::over_file(sqlite::open_to_read(file, options).await?, options)),
            Named::Server(url) => Self::over_server(&url, options, Purpose::Look).await,
        }
    }

    fn over_file((pool, path): (Pool, PathBuf), options: &StoreOptions) -> Self {
        Self::over(pool, Some(Arc::new(heartbeat::Witness::of(&path))), options)
    }

    async fn over_server(url: &Url, options: &StoreOptions, purpose: Purpose) -> Result<Self, Error> {
        let server = postgres::Server::open(url, options, purpose).await?;
        Ok(Self::over(Pool::Postgres(server), None, options))
    }

    fn over(pool: Pool, witness: Option<Arc<heartbeat::Witness>>, options: &StoreOptions) -> Self {
        sweep::none_unreadable();
        let (readers, connections, wait_max) =
            (options.readers_max, options.connections_max, options.acquire_max);
        let turns = match &pool {
            Pool::Sqlite { .. } => turns::Turns::of_file(readers, wait_max),
            Pool::Postgres(_) => turns::Turns::of_server(connections, wait_max),
        };
        Self {
            pool,
            turns: Arc::new(turns),
            chunks: Arc::new(group::Group::new(options.group_chunks_max)),
            items: Arc::new(group::Group::new(options.group_changes_max)),
            witness,
            persons_together: u64::from(options.persons_together),
            slow_min: options.slow_min,
        }
    }

    /// Notes it if this file is older than the one that was last in its place; returns whether it is.
    ///
    /// Of a server's database nothing stands beside it that could tell: that it was restored is said by the
    /// operator, or shown by the first receipt that is not in it.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn notice_restore(&self, now_ms: i64) -> Result<bool, Error> {
        let Some(witness) = &self.witness else { return Ok(false) };
        let (had, seen) = (self.heartbeats().await?, witness.seen());
        if had >= seen {
            return Ok(false);
        }
        let note = format!("{had} heartbeats are in the database, and {seen} were seen beside it");
        self.mark_restored(Cause::Witness, &note, now_ms).await?;
        self.witnessed(had).await; // so that it is noted once
        Ok(true)
    }

    /// Whether changes of items come of which each would wait for a long transaction: then imports are to do
    /// less in each.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        self.turns.is_pressed()
    }

    /// Waits for what is being done, and closes every connection.
    pub async fn close(&self) {
        match &self.pool {
            Pool::Sqlite { read, write, .. } => {
                read.close().await;
                write.close().await;
            }
            Pool::Postgres(server) => server.close().await,
        }
    }
}

#[cfg(test)]
mod tests;
