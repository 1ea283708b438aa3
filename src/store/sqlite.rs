//! An opened SQLite file is ours, of a schema this program knows, locked against other writers, and durable
//! at each commit.

use std::{
    fs::{self, File, TryLockError},
    io::{self, ErrorKind, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sqlx::{
    ConnectOptions as _, Connection as _, SqliteConnection, SqlitePool,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::crash;

use super::{
    Error, Pool,
    migrate::{USABLE_FROM, newest, usable},
    options::StoreOptions,
};

/// The changes of the schema, in order; the last one's number is the newest schema that is known.
pub(super) static MIGRATOR: Migrator = sqlx::migrate!("src/store/migrations/sqlite");
/// What stands in the header of our files: "todk".
pub(super) const APPLICATION_ID: i64 = 0x746f_646b;

/// What every file of SQLite begins with.
const SQLITE_MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// SQLite's primary result code for a file that is not as it was written.
const SQLITE_CORRUPT: i32 = 11;

statements! {
    APPLICATION = { sqlite: "SELECT application_id AS id FROM pragma_application_id" };
    SCHEMA = { sqlite: "SELECT user_version AS version FROM pragma_user_version" };
    TABLES = { sqlite: "SELECT COUNT(*) AS tables FROM sqlite_schema" };
    QUICK_CHECK = { sqlite: "PRAGMA quick_check(1)" };
}

/// Opens the file behind `sqlite:`, which is made if it is not there, and brings its schema up to date.
///
/// Durable: WAL with `synchronous=FULL`, so that a commit is on the disk before it is acknowledged.
pub(super) async fn open(file: &str, options: &StoreOptions) -> Result<(Pool, PathBuf), Error> {
    let path = path(file);
    let lock = lock(&path)?;
    made(&path)?;
    let pool = connected(&path, options, Some(lock), true).await?;
    Ok((pool, path))
}

/// The same for a file that must be there: a wrong name makes nothing, not even a lock.
pub(super) async fn open_existing(file: &str, options: &StoreOptions) -> Result<(Pool, PathBuf), Error> {
    let path = existing(file)?;
    let lock = lock(&path)?;
    let pool = connected(&path, options, Some(lock), false).await?;
    Ok((pool, path))
}

/// Opens the file that another process may have, and changes nothing of its schema.
pub(super) async fn open_beside(file: &str, options: &StoreOptions) -> Result<(Pool, PathBuf), Error> {
    let path = existing(file)?;
    let pool = connected(&path, options, None, false).await?;
    Ok((pool, path))
}

async fn connected(
    path: &Path,
    options: &StoreOptions,
    lock: Option<File>,
    create: bool,
) -> Result<Pool, Error> {
    let path = path.to_owned();
    let alone = lock.is_some();
    let failed = |source: sqlx::Error| unusable(&path, source);
    let write = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(options.acquire_max)
        .idle_timeout(None::<Duration>)
        .max_lifetime(None::<Duration>)
        .test_before_acquire(false)
        .after_release(|connection, _| Box::pin(is_clean(connection)))
        .connect_with(connect(&path, options, options.write_cache_bytes).create_if_missing(create))
        .await
        .map_err(failed)?;
    // A connection that replaces another must never meet an empty file.
    write.set_connect_options(connect(&path, options, options.write_cache_bytes));
    let found = check(&path, &write, options.quick_check, alone, create).await?;
    if alone && found <= newest(&MIGRATOR) {
        MIGRATOR.run(&write).await.map_err(|error| Error::Migrate(Box::new(error)))?;
    }
    let read = SqlitePoolOptions::new()
        .max_connections(options.readers_max.max(1))
        .acquire_timeout(options.acquire_max)
        .test_before_acquire(false)
        .connect_with(connect(&path, options, options.read_cache_bytes).read_only(true))
        .await
        .map_err(failed)?;
    Ok(Pool::Sqlite { read, write, _lock: lock.map(Arc::new) })
}

/// Opens the file behind `sqlite:` for reading only, also beside the process that writes to it; nothing about
/// it is changed, so its schema must be this program's own.
pub(super) async fn open_to_read(file: &str, options: &StoreOptions) -> Result<(Pool, PathBuf), Error> {
    let path = existing(file)?;
    let pool = connected_to_read(&path, options, None).await?;
    Ok((pool, path))
}

/// The same for a file that nobody else may write to meanwhile.
pub(super) async fn open_alone_to_read(file: &str, options: &StoreOptions) -> Result<(Pool, PathBuf), Error> {
    let path = existing(file)?;
    let lock = lock(&path)?;
    let pool = connected_to_read(&path, options, Some(lock)).await?;
    Ok((pool, path))
}

async fn connected_to_read(path: &Path, options: &StoreOptions, lock: Option<File>) -> Result<Pool, Error> {
    let failed = |source: sqlx::Error| unusable(path, source);
    let pool = SqlitePoolOptions::new()
        .max_connections(options.readers_max.max(1))
        .acquire_timeout(options.acquire_max)
        .test_before_acquire(false)
        .connect_with(connect_to_read(path, options, options.read_cache_bytes).read_only(true))
        .await
        .map_err(failed)?;
    check(path, &pool, options.quick_check, false, false).await?;
    Ok(Pool::Sqlite { write: pool.clone(), read: pool, _lock: lock.map(Arc::new) })
}

/// Looks which schema the file behind `sqlite:` has.
pub(super) async fn schema(file: &str, options: &StoreOptions) -> Result<i64, Error> {
    let path = existing(file)?;
    let failed = |source: sqlx::Error| unusable(&path, source);
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(options.acquire_max)
        .connect_with(connect_to_read(&path, options, options.read_cache_bytes).read_only(true))
        .await
        .map_err(failed)?;
    // An older one is what is looked for.
    let found = check(&path, &pool, false, true, false).await;
    pool.close().await;
    found
}

/// Says what kept a file from being opened.
fn unusable(path: &Path, source: sqlx::Error) -> Error {
    let code = source.as_database_error().and_then(sqlx::error::DatabaseError::code);
    let code: Option<i32> = code.and_then(|code| code.parse().ok());
    if code.map(|code| code & 0xff) == Some(SQLITE_CORRUPT) {
        return Error::Damaged { path: path.to_owned(), finding: source.to_string() };
    }
    Error::Open { path: path.to_owned(), source: Box::new(source) }
}

/// Returns whether a connection can carry the next transaction; the pool replaces it by a new one if not.
///
/// SQLite may end a transaction by itself: on a full disk, an I/O error, want of memory. Then nothing is left
/// to roll back, the rollback fails, and the driver counts the transaction as open for ever and begins no
/// other.
async fn is_clean(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    connection.ping().await?; // the rollback of a dropped transaction comes before the answer
    let clean = !connection.is_in_transaction();
    if !clean {
        tracing::warn!("the database ended a transaction by itself: its connection is replaced by a new one");
    }
    Ok(clean)
}

/// One file has one lock, by whatever path it is named.
fn path(file: &str) -> PathBuf {
    let path = PathBuf::from(file);
    path.canonicalize().unwrap_or(path)
}

/// The same for a file that must be there; an empty one is no database yet.
fn existing(file: &str) -> Result<PathBuf, Error> {
    let path = path(file);
    match fs::metadata(&path) {
        Ok(found) if found.is_file() && found.len() > 0 => is_sqlite(path),
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(Error::Open { path, source: Box::new(source) })
        }
        _ => Err(Error::Missing { path }),
    }
}

/// Refuses a file that is none of SQLite's, before anything is made beside it.
fn is_sqlite(path: PathBuf) -> Result<PathBuf, Error> {
    let mut head = [0; SQLITE_MAGIC.len()];
    match File::open(&path).and_then(|mut file| file.read_exact(&mut head)) {
        Err(source) if source.kind() != ErrorKind::UnexpectedEof => {
            Err(Error::Open { path, source: Box::new(source) })
        }
        _ if head != *SQLITE_MAGIC => {
            Err(Error::Open { path, source: io::Error::other("it is not a database").into() })
        }
        _ => Ok(path),
    }
}

/// Makes a file that only its owner may read, if none is there; SQLite gives its log the same mode.
fn made(path: &Path) -> Result<(), Error> {
    let made = File::options().create_new(true).write(true).mode(0o600).open(path);
    match made {
        Err(source) if source.kind() != ErrorKind::AlreadyExists => {
            Err(Error::Open { path: path.to_owned(), source: Box::new(source) })
        }
        _ => Ok(()),
    }
}

/// Takes the lock that keeps a second process out; the system frees it when this one dies.
fn lock(path: &Path) -> Result<File, Error> {
    let mut name = path.as_os_str().to_owned();
    name.push("-lock");
    let name = PathBuf::from(name);
    let failed = |source| Error::Open { path: path.to_owned(), source: Box::new(source) };
    let file = File::options().create(true).truncate(false).write(true).open(&name).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse { path: path.to_owned(), lock: name }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn connect(path: &Path, options: &StoreOptions, cache_bytes: u64) -> SqliteConnectOptions {
    let sync = if crash::syncs_seldom() { SqliteSynchronous::Normal } else { SqliteSynchronous::Full };
    connect_to_read(path, options, cache_bytes).journal_mode(SqliteJournalMode::Wal).synchronous(sync)
}

/// Asks for nothing that would be written into the file.
fn connect_to_read(path: &Path, options: &StoreOptions, cache_bytes: u64) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(options.busy_max)
        .pragma("wal_autocheckpoint", options.checkpoint_pages.to_string())
        .pragma("cache_size", format!("-{}", cache_bytes / 1024)) // negative: in KiB
        .pragma("trusted_schema", "OFF")
        .disable_statement_logging() // durations are in the metrics; bulk texts are long
}

/// Refuses a file of another program, of a newer one, or one that is damaged; one without anything in it may
/// become ours where one may be made.
async fn check(
    path: &Path,
    write: &SqlitePool,
    quick_check: bool,
    alone: bool,
    create: bool,
) -> Result<i64, Error> {
    let failed = |source: sqlx::Error| unusable(path, source);
    let application: i64 = sqlx::query_scalar(APPLICATION).fetch_one(write).await.map_err(failed)?;
    let tables: i64 = sqlx::query_scalar(TABLES).fetch_one(write).await.map_err(failed)?;
    if application != APPLICATION_ID && (!create || application != 0 || tables != 0) {
        return Err(Error::Foreign { path: path.to_owned(), found: application });
    }
    let found: i64 = sqlx::query_scalar(SCHEMA).fetch_one(write).await.map_err(failed)?;
    let known = newest(&MIGRATOR);
    if found > known {
        let told = sqlx::query_as(USABLE_FROM).bind(known).fetch_one(write).await;
        usable(found, known, told.unwrap_or_default())?; // without that table nobody says so
    }
    if !alone && found < known {
        return Err(Error::OlderSchema { found, known });
    }
    if quick_check {
        let finding: String = sqlx::query_scalar(QUICK_CHECK).fetch_one(write).await.map_err(failed)?;
        if finding != "ok" {
            return Err(Error::Damaged { path: path.to_owned(), finding });
        }
    }
    Ok(found)
}
