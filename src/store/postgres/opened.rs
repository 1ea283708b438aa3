//! A database of a server is used only if it is ours, of a schema this program knows, in UTF-8, and durable
//! at each commit.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection, migrate::Migrator};
use tokio::time::{Instant, sleep, timeout};

use super::{Purpose, Refusal, Right, hosts::Hosts};
use crate::store::{
    Error,
    migrate::{USABLE_FROM, is_forbidden, leaves_behind, newest, usable},
};

/// The changes of the schema, in order; the last one's number is the newest schema that is known.
pub(in crate::store) static MIGRATOR: Migrator = sqlx::migrate!("src/store/migrations/postgres");

/// The oldest version that has all that is used.
const VERSION_MIN: i32 = 130_000;
/// Longest time for which a session that was closed may still be listed.
const CLOSED_MAX: Duration = Duration::from_secs(1);
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Longest wait for others that are about to change the schema.
const TURN_MAX: Duration = Duration::from_secs(10);
/// How often it is looked whether they have: seldom, as each look is a session that they wait for.
const TURN_EVERY: Duration = Duration::from_millis(500);
/// The number of the turn among the advisory locks of the database: "todoke" in ASCII.
const TURN: i64 = 0x746f_646f_6b65;

statements! {
    SETTINGS = { postgres: "
        SELECT current_setting('server_version_num') AS version, current_setting('server_version') AS shown,
            current_setting('server_encoding') AS encoding,
            current_setting('synchronous_commit') AS synchronous_commit,
            current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes" };
    // What an extension has made, as that of a distributed engine does, is no other program's.
    TABLES = { postgres: "
        SELECT COUNT(*) AS tables, COUNT(*) FILTER (WHERE c.relname = '_sqlx_migrations') AS ledgers
        FROM pg_class AS c
        WHERE c.relnamespace = CAST(current_schema() AS REGNAMESPACE)
            AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
            AND NOT EXISTS (SELECT 1 FROM pg_depend AS d
                WHERE d.classid = CAST('pg_class' AS REGCLASS) AND d.objid = c.oid AND d.deptype = 'e')" };
    SCHEMA = { postgres: "SELECT MAX(version) AS version FROM _sqlx_migrations WHERE success" };
    FIRST = { postgres: "SELECT checksum FROM _sqlx_migrations WHERE version = $1" };
    // Everybody sees how the sessions of others are called, though not what they do.
    ISSUERS = { postgres: "
        SELECT COUNT(*) AS sessions FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = $1 AND pid <> pg_backend_pid()" };
    // Until this connection is closed.
    TAKE_TURN = { postgres: "SELECT pg_try_advisory_lock($1) AS taken" };
    NO_TIMEOUTS = { postgres: "SET statement_timeout = 0" };
}

#[derive(Debug, sqlx::FromRow)]
struct Settings {
    version: String,
    shown: String,
    encoding: String,
    synchronous_commit: String,
    fsync: String,
    full_page_writes: String,
}

/// Looks which schema the database has; 0: it is empty.
pub(super) async fn found(hosts: &Hosts, database: &str) -> Result<i64, Error> {
    let mut connection = hosts.connected().await?;
    let found = heard(hosts.answer_max(), schema(&mut connection, database)).await;
    let _ = connection.close().await; // it has answered
    found
}

/// Looks at the database, and brings its schema up to date where that may be done.
///
/// Of issuers that start together none may be connected while one takes a step that leaves others behind: so
/// one has its turn, and the others are away until it is over.
pub(super) async fn check(hosts: &Hosts, database: &str, purpose: Purpose) -> Result<(), Error> {
    let begun = Instant::now();
    loop {
        let mut connection = hosts.connected().await?;
        let waits = begun.elapsed() < TURN_MAX;
        let longest = hosts.answer_max();
        let checked = checked(&mut connection, database, (purpose, waits), longest).await;
        let _ = connection.close().await; // what was to be done is done
        if checked? {
            return Ok(());
        }
        sleep(TURN_EVERY).await;
    }
}

/// Returns whether all is done; if not, it is another's turn.
async fn checked(
    conn: &mut PgConnection,
    database: &str,
    (purpose, waits): (Purpose, bool),
    longest: Duration,
) -> Result<bool, Error> {
    let found = heard(longest, schema(conn, database)).await?;
    let known = newest(&MIGRATOR);
    if found == 0 && !purpose.has(Right::Make) {
        return Err(Refusal::Empty { database: database.to_owned() }.into());
    }
    if !purpose.has(Right::Migrate) && found < known {
        return Err(Error::OlderSchema { found, known });
    }
    let migrates = purpose.has(Right::Migrate) && found < known;
    let leaves_behind = migrates && leaves_behind(&MIGRATOR, found);
    if leaves_behind && waits && !heard(longest, take_turn(conn)).await? {
        return Ok(false);
    }
    if purpose.has(Right::Alone) || leaves_behind {
        heard(longest + CLOSED_MAX, alone(conn, database, purpose)).await?;
    }
    if migrates {
        // A change of the schema takes as long as it takes. Of several that start at once one makes it: the
        // driver holds an advisory lock meanwhile.
        sqlx::query(NO_TIMEOUTS).execute(&mut *conn).await?;
        MIGRATOR.run_direct(None, conn, false).await.map_err(|error| match is_forbidden(&error) {
            true => Refusal::MayNotMigrate { database: database.to_owned(), found, known }.into(),
            false => Error::Migrate(Box::new(error)),
        })?;
    }
    Ok(true)
}

/// Waits for an answer, and gives it up after this time: a server that says nothing would hold a start up for
/// ever.
async fn heard<T>(longest: Duration, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(longest, answer).await.map_err(|_| Error::silent(longest))?
}

/// Whether it is this connection's turn to change the schema; until it is closed.
async fn take_turn(conn: &mut PgConnection) -> Result<bool, Error> {
    Ok(sqlx::query_scalar(TAKE_TURN).bind(TURN).fetch_one(conn).await?)
}

/// Looks which schema there is; 0: there is nothing.
async fn schema(conn: &mut PgConnection, database: &str) -> Result<i64, Error> {
    set(conn, database).await?;
    let (tables, ledgers): (i64, i64) = sqlx::query_as(TABLES).fetch_one(&mut *conn).await?;
    // Who makes the tables at this moment has the ledger first, and all of a change with its row.
    let ours = if ledgers == 0 { None } else { is_ours(conn).await? };
    if ours == Some(false) || ours.is_none() && tables > ledgers {
        return Err(Refusal::Foreign { database: database.to_owned() }.into());
    }
    let found: Option<i64> = match ledgers {
        0 => None,
        _ => sqlx::query_scalar(SCHEMA).fetch_one(&mut *conn).await?,
    };
    let (found, known) = (found.unwrap_or_default(), newest(&MIGRATOR));
    if found > known {
        let told = sqlx::query_as(USABLE_FROM).bind(known).fetch_one(conn).await;
        usable(found, known, told.unwrap_or_default())?; // without that table nobody says so
    }
    Ok(found)
}

/// Refuses if an issuer is connected. A session that was just closed is listed for a moment longer, and an
/// issuer that takes the same steps at this moment leaves nobody behind.
async fn alone(conn: &mut PgConnection, database: &str, purpose: Purpose) -> Result<(), Error> {
    let begun = Instant::now();
    loop {
        if !purpose.has(Right::Alone) {
            let found: Option<i64> = sqlx::query_scalar(SCHEMA).fetch_one(&mut *conn).await?;
            if !leaves_behind(&MIGRATOR, found.unwrap_or_default()) {
                return Ok(());
            }
        }
        let sessions = issuers(conn).await?;
        if sessions == 0 {
            return Ok(());
        }
        if begun.elapsed() >= CLOSED_MAX {
            return Err(Refusal::InUse { database: database.to_owned(), sessions }.into());
        }
        sleep(LOOK_EVERY).await;
    }
}

/// How many sessions issuers have.
pub(super) async fn issuers(conn: &mut PgConnection) -> Result<i64, Error> {
    Ok(sqlx::query_scalar(ISSUERS).bind(Purpose::Issue.session()).fetch_one(conn).await?)
}

/// Refuses what a commit, or a name, would not be safe with.
async fn set(conn: &mut PgConnection, database: &str) -> Result<(), Error> {
    let settings: Settings = sqlx::query_as(SETTINGS).fetch_one(conn).await?;
    let database = database.to_owned();
    if settings.version.parse().is_ok_and(|version: i32| version < VERSION_MIN) {
        return Err(Refusal::Version { database, version: settings.shown }.into());
    }
    if settings.encoding != "UTF8" {
        return Err(Refusal::Encoding { database, encoding: settings.encoding }.into());
    }
    if is_asynchronous(&settings.synchronous_commit) {
        return Err(Refusal::Asynchronous { database, setting: settings.synchronous_commit }.into());
    }
    if settings.fsync != "on" || settings.full_page_writes != "on" {
        tracing::warn!(
            "the server of {database} has fsync = {} and full_page_writes = {}: a power cut destroys it",
            settings.fsync,
            settings.full_page_writes
        );
    }
    Ok(())
}

/// Whether a commit is answered before it is on a disk, or before a synchronous standby has it.
pub(super) fn is_asynchronous(synchronous_commit: &str) -> bool {
    matches!(synchronous_commit, "off" | "local")
}

/// Whether the first change of the schema was ours; `None` if there was none yet.
async fn is_ours(conn: &mut PgConnection) -> Result<Option<bool>, Error> {
    let Some(first) = MIGRATOR.iter().next() else { return Ok(None) };
    let checksum: Option<Vec<u8>> =
        sqlx::query_scalar(FIRST).bind(first.version).fetch_optional(conn).await?;
    Ok(checksum.map(|checksum| checksum == *first.checksum))
}
