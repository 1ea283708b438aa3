//! A commit that is answered is durable on the server that could be written to, and on its synchronous
//! standby if it has one, with all that was read in it; whatever is in doubt is said to be.
//!
//! `url` is what can be asked for, `hosts` which server is asked, `purpose` what for, `opened` what is used,
//! `codes` and `notices` what answers mean, `bulk` how many rows are moved.
//!
//! Transactions are READ COMMITTED and take the rows that they decide about first (`store::locks`), so that
//! two of them about one batch come one after the other, as all do on SQLite.

mod bulk;
pub(in crate::store) mod codes;
mod copied;
mod hosts;
mod items;
mod notices;
mod opened;
mod purpose;
mod refusal;
mod url;

use std::{sync::Arc, time::Duration};

use sqlx::{
    Connection as _, PgConnection, PgPool, Postgres, Row as _, SqlSafeStr as _, Transaction,
    pool::PoolConnection, postgres::PgPoolOptions,
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    Error, StoreOptions,
    transact::{Engine, uncommitted},
};

use hosts::Hosts;
pub(super) use opened::MIGRATOR;
pub(super) use purpose::Purpose;
use purpose::Right;
pub use refusal::Refusal;
pub(crate) use url::Url;

statements! {
    SESSION = { postgres: "
        SELECT NOT pg_is_in_recovery() AS writable,
            current_setting('synchronous_commit') AS synchronous_commit" };
    ONLY_READ = { postgres: "SET default_transaction_read_only = on" };
    // A transaction begins with its first statement, and so does the time of a statement that is alone. To be
    // sent as text: a prepared one takes the time twice.
    IS_ALONE = { postgres: "SELECT now() = statement_timestamp() AS alone" };
    // What has written nothing waits for no standby, though it may have found what this machine alone has
    // since it was started again: so each transaction writes one record of WAL that nobody reads.
    TO_COMMIT = { postgres: "
        SELECT CAST(pg_logical_emit_message(true, 'todoke', '') AS TEXT) AS written" };
}

/// A connection that nobody used for so long is asked whether it is still there.
const IDLE_MAX: Duration = Duration::from_secs(1);
/// Longest wait for a connection to say that it is there.
const PING_MAX: Duration = Duration::from_secs(5);
/// How often somebody who waits for a connection looks whether the host is still the one.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Shortest time between two rounds over all hosts.
const ROUND_EVERY: Duration = Duration::from_millis(200);

/// A database of PostgreSQL. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pool: PgPool,
    hosts: Arc<Hosts>,
    acquire_max: Duration,
    answer_max: Duration,
}

impl Server {
    /// Opens the database, and does what this purpose asks for.
    pub(super) async fn open(url: &Url, options: &StoreOptions, purpose: Purpose) -> Result<Self, Error> {
        let hosts = Arc::new(Hosts::new(url, options, purpose)?);
        let pool = pool(&hosts, options, purpose);
        hosts.seek(&pool).await?;
        opened::check(&hosts, &url.shown(), purpose).await?;
        let (acquire_max, answer_max) = (options.acquire_max, options.answer_max);
        Ok(Self { pool, hosts, acquire_max, answer_max })
    }

    /// Refuses if an issuer is connected now.
    pub(super) async fn nobody(&self, conn: &mut PgConnection, url: &Url) -> Result<(), Error> {
        match opened::issuers(conn).await? {
            0 => Ok(()),
            sessions => Err(Refusal::InUse { database: url.shown(), sessions }.into()),
        }
    }

    pub(super) async fn close(&self) {
        let _ = timeout(PING_MAX, self.pool.close()).await; // who is not there any more says no farewell
    }

    /// A connection to the server that can be written to.
    pub(super) async fn acquire(&self) -> Result<PoolConnection<Postgres>, Error> {
        let begun = Instant::now();
        loop {
            let error = match self.acquired().await {
                Ok(Some(connection)) => return Ok(connection),
                Ok(None) => continue, // the host is another one
                Err(error) => error,
            };
            if !matches!(error, Error::Away(_)) || begun.elapsed() >= self.acquire_max {
                return Err(error);
            }
            self.hosts.doubt();
            sleep(ROUND_EVERY).await;
        }
    }

    /// The same; `None` if it turned out meanwhile that it has to be another host's.
    async fn acquired(&self) -> Result<Option<PoolConnection<Postgres>>, Error> {
        if self.hosts.is_doubted() {
            self.hosts.seek(&self.pool).await?;
        }
        let moved = async {
            loop {
                sleep(LOOK_EVERY).await;
                // Where no host can be written to, whoever waits is told by the pool or by its own patience.
                if self.hosts.seek(&self.pool).await.unwrap_or(false) {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            connection = self.pool.acquire() => Ok(Some(connection?)),
            () = moved => Ok(None),
        }
    }

    /// Begins a transaction; a connection that was lost while nobody used it is replaced by another.
    async fn begun(&self, begin: &'static str) -> Result<Transaction<'static, Postgres>, Error> {
        let begun = Instant::now();
        loop {
            let connection = self.acquire().await?;
            let tx = Transaction::begin(connection, Some(begin.into_sql_str()));
            let error = match timeout(self.answer_max, tx).await {
                Ok(Ok(tx)) => return Ok(tx),
                Ok(Err(error)) => Error::from(error),
                Err(_) => Error::silent(self.answer_max),
            };
            if !matches!(error, Error::Away(_)) || begun.elapsed() >= self.acquire_max {
                return Err(error);
            }
            self.hosts.doubt();
        }
    }
}

#[async_trait::async_trait]
impl Engine<Postgres> for Server {
    async fn reader(&self) -> Result<PoolConnection<Postgres>, Error> {
        self.acquire().await
    }

    async fn snapshot(&self) -> Result<Transaction<'static, Postgres>, Error> {
        self.begun("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await
    }

    async fn begin(&self) -> Result<Transaction<'static, Postgres>, Error> {
        self.begun("BEGIN ISOLATION LEVEL READ COMMITTED").await
    }

    /// COMMIT has no time-out at the server, which ends that of a statement before its transaction
    /// (`finish_xact_command` in PostgreSQL's postgres.c). Here the wait has an end, after which nothing is
    /// claimed.
    async fn commit(&self, name: &'static str, mut tx: Transaction<'static, Postgres>) -> Result<(), Error> {
        // This also fails if a statement of the body has, where COMMIT alone would silently roll back.
        let ready = timeout(self.answer_max, sqlx::raw_sql(TO_COMMIT).execute(&mut *tx)).await;
        ready.map_err(|_| Error::silent(self.answer_max))??;
        uncommitted(name);
        let (answer, warned) = notices::heard(timeout(self.answer_max, tx.commit())).await;
        let unknown = |words: String| Error::OutcomeUnknown { name, source: words.into() };
        match answer {
            Err(_) => Err(unknown(format!("no answer came in {} s", self.answer_max.as_secs()))),
            Ok(Err(error)) => Err(Error::of_commit(name, error)),
            Ok(Ok(())) if !warned.is_empty() => Err(unknown(format!("it was answered with: {warned}"))),
            Ok(Ok(())) => Ok(()),
        }
    }

    fn patience(&self) -> Option<Duration> {
        Some(self.answer_max)
    }

    fn failed(&self, error: &Error) {
        match error {
            Error::Away(_) | Error::OutcomeUnknown { .. } => self.hosts.doubt(),
            _ => {}
        }
    }
}

/// Looks which schema a database has; 0: it is empty.
pub(super) async fn schema(url: &Url, options: &StoreOptions) -> Result<i64, Error> {
    let hosts = Arc::new(Hosts::new(url, options, Purpose::Look)?);
    let pool = pool(&hosts, options, Purpose::Look);
    hosts.seek(&pool).await?;
    let found = opened::found(&hosts, &url.shown()).await;
    pool.close().await;
    found
}

/// Connections are made when they are needed, to the host that is asked at that time.
fn pool(hosts: &Arc<Hosts>, options: &StoreOptions, purpose: Purpose) -> PgPool {
    let (current, new) = (Arc::clone(hosts), Arc::clone(hosts));
    let released = Arc::clone(hosts);
    PgPoolOptions::new()
        .max_connections(options.connections_max.max(1))
        .acquire_timeout(options.acquire_max)
        .test_before_acquire(false)
        .before_acquire(move |connection, meta| {
            let is_current = current.is_current(meta.age);
            Box::pin(async move {
                if is_current && meta.idle_for > IDLE_MAX {
                    is_there(connection).await?;
                }
                Ok(is_current)
            })
        })
        .after_connect(move |connection, _| {
            let hosts = Arc::clone(&new);
            Box::pin(async move { begun_session(connection, &hosts, purpose).await })
        })
        .after_release(move |connection, meta| {
            let is_current = released.is_current(meta.age);
            Box::pin(async move { Ok(is_current && is_clean(connection).await?) })
        })
        .connect_lazy_with(hosts.options())
}

/// Returns whether a connection can carry the next transaction; the pool replaces it by a new one if not.
///
/// A statement that somebody left is waited for, and then given up with its connection. Whoever left in the
/// very moment of BEGIN has begun a transaction of which the driver knows nothing, and which it does not roll
/// back.
async fn is_clean(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let alone = sqlx::raw_sql(IS_ALONE).fetch_one(connection);
    timeout(PING_MAX, alone).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))?.try_get("alone")
}

async fn is_there(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    timeout(PING_MAX, connection.ping()).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// A connection to a standby, or to a server on which a commit is not durable, is used for nothing.
async fn begun_session(
    connection: &mut PgConnection,
    hosts: &Hosts,
    purpose: Purpose,
) -> Result<(), sqlx::Error> {
    let query = sqlx::query_as(SESSION);
    let (writable, synchronous_commit): (bool, String) = query.fetch_one(&mut *connection).await?;
    let refused = |words: String| {
        hosts.doubt();
        Err(sqlx::Error::Io(std::io::Error::other(words)))
    };
    if !writable {
        return refused("the server became a standby".to_owned());
    }
    if opened::is_asynchronous(&synchronous_commit) {
        return refused(format!("synchronous_commit is {synchronous_commit} now"));
    }
    if !purpose.has(Right::Write) {
        sqlx::query(ONLY_READ).execute(connection).await?;
    }
    Ok(())
}
