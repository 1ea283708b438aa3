//! A transaction either commits whole or leaves nothing; it is tried again only when the database was busy.

use std::{
    pin::Pin,
    time::{Duration, Instant},
};

use sqlx::{Database, Sqlite, SqlitePool, Transaction, pool::PoolConnection};

use crate::{
    crash::{self, Point},
    runtime::outside,
    telemetry::names,
};

use super::{
    Error, Store,
    turns::{Rank, Turns},
};

/// How often a transaction is tried at most.
const ATTEMPTS_MAX: u32 = 5;

/// What the body of `in_tx!` gives back: its transaction, still open, and its result.
pub(crate) type Ran<'a, DB, T> =
    Pin<Box<dyn Future<Output = (Transaction<'static, DB>, Result<T, Error>)> + Send + 'a>>;

/// How a transaction or a read waits, and when it is slow.
pub(crate) struct How<'a> {
    turns: &'a Turns,
    rank: Rank,
    slow_min: Duration,
}

impl Store {
    /// How what has this rank is done.
    pub(super) fn how(&self, rank: Rank) -> How<'_> {
        How { turns: &self.turns, rank, slow_min: self.slow_min }
    }

    /// How is done what goes first only where it is asked to.
    pub(super) fn as_asked(&self) -> How<'_> {
        self.how(Rank::AsAsked)
    }
}

tokio::task_local! {
    /// Set while the body of a transaction runs. A call of the store from in there would wait for ever for
    /// the one connection that writes, or would not see what this transaction has not committed.
    static IN_TX: &'static str;
}

fn assert_not_in_tx(name: &str) {
    let _ = IN_TX.try_with(|outer| panic!("store call `{name}` inside the transaction `{outer}`"));
}

/// How connections are had and transactions are begun and ended, which each database does in its own way.
#[async_trait::async_trait]
pub(crate) trait Engine<DB: Database>: Sync {
    /// A connection for one statement that reads.
    async fn reader(&self) -> Result<PoolConnection<DB>, Error>;

    /// A transaction that only reads, of the database as it is at its first statement.
    async fn snapshot(&self) -> Result<Transaction<'static, DB>, Error>;

    /// A transaction that writes.
    async fn begin(&self) -> Result<Transaction<'static, DB>, Error>;

    /// Commits. `Ok` if it is known to be durable.
    async fn commit(&self, name: &'static str, tx: Transaction<'static, DB>) -> Result<(), Error>;

    /// Longest wait for what is asked on one connection; `None` where nothing can be lost on the way.
    fn patience(&self) -> Option<Duration>;

    /// Hears of a failure.
    fn failed(&self, error: &Error);
}

/// Where a test can kill the process: the body is done, and COMMIT not sent.
pub(super) fn uncommitted(name: &str) {
    if name.starts_with("put_chunk") {
        crash::point(Point::ChunkUncommitted);
    }
}

/// The pool of the one connection that writes, or that of the connections that read.
#[async_trait::async_trait]
impl Engine<Sqlite> for SqlitePool {
    async fn reader(&self) -> Result<PoolConnection<Sqlite>, Error> {
        Ok(self.acquire().await?)
    }

    async fn snapshot(&self) -> Result<Transaction<'static, Sqlite>, Error> {
        Ok(self.begin_with("BEGIN").await?)
    }

    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, Error> {
        Ok(self.begin_with("BEGIN IMMEDIATE").await?)
    }

    async fn commit(&self, name: &'static str, tx: Transaction<'static, Sqlite>) -> Result<(), Error> {
        uncommitted(name);
        tx.commit().await.map_err(|error| Error::of_commit(name, error))
    }

    fn patience(&self) -> Option<Duration> {
        None
    }

    fn failed(&self, _: &Error) {}
}

/// Waits for an answer, and gives it up if it does not come within an engine's patience.
///
/// No function: the compiler would not see that its future can go to another thread.
macro_rules! within {
    ($engine:expr, $answer:expr) => {
        match $engine.patience() {
            Some(longest) => match tokio::time::timeout(longest, $answer).await {
                Ok(answer) => Ok(answer),
                Err(_) => Err(Error::silent(longest)),
            },
            None => Ok($answer.await),
        }
    };
}

/// The loop behind `in_tx!`: begin, body, commit or roll back; again while the database is busy.
///
/// If the future is dropped before COMMIT was sent, nothing is left.
pub(crate) async fn run_tx<'a, DB: Database, T: Send>(
    engine: &dyn Engine<DB>,
    name: &'static str,
    how: &How<'_>,
    body: &mut (dyn FnMut(Transaction<'static, DB>) -> Ran<'a, DB, T> + Send),
) -> Result<T, Error> {
    assert_not_in_tx(name);
    let started = Instant::now();
    let mut attempt = 1;
    loop {
        let result = outside(once(engine, name, how, body)).await;
        if attempt < ATTEMPTS_MAX && matches!(&result, Err(Error::Busy | Error::Overtaken)) {
            metrics::counter!(names::STORE_RETRIES, names::STATEMENT => name).increment(1);
            tokio::time::sleep(Duration::from_millis(5 << attempt)).await;
            attempt += 1;
            continue;
        }
        measure(name, started, how.slow_min, &result);
        return result.inspect_err(|error| engine.failed(error));
    }
}

async fn once<'a, DB: Database, T: Send>(
    engine: &dyn Engine<DB>,
    name: &'static str,
    how: &How<'_>,
    body: &mut (dyn FnMut(Transaction<'static, DB>) -> Ran<'a, DB, T> + Send),
) -> Result<T, Error> {
    let _turn = how.turns.to_write(how.rank).await?;
    let tx = engine.begin().await?;
    let ran = IN_TX.scope(name, body(tx));
    let (tx, result) = within!(engine, ran)?;
    match result {
        Ok(value) => {
            engine.commit(name, tx).await?;
            Ok(value)
        }
        Err(error) => {
            let _ = within!(engine, tx.rollback()); // the first error is the one worth telling
            Err(error)
        }
    }
}

/// What is behind `on_read!` and `on_snapshot!`.
pub(crate) async fn run_read<DB: Database, T: Send>(
    engine: &dyn Engine<DB>,
    name: &'static str,
    how: &How<'_>,
    body: Pin<Box<dyn Future<Output = Result<T, Error>> + Send + '_>>,
) -> Result<T, Error> {
    assert_not_in_tx(name);
    let started = Instant::now();
    let in_turn = async {
        let _turn = how.turns.to_read().await?;
        within!(engine, body).flatten()
    };
    let result = outside(in_turn).await;
    measure(name, started, how.slow_min, &result);
    result.inspect_err(|error| engine.failed(error))
}

/// Counts how long it took; what was slow is in the log by its name, and no value of it.
fn measure<T>(name: &'static str, started: Instant, slow_min: Duration, result: &Result<T, Error>) {
    let outcome = result.as_ref().map_or_else(Error::outcome, |_| "ok");
    let elapsed = started.elapsed();
    metrics::histogram!(names::STORE_SECONDS, names::STATEMENT => name, names::OUTCOME => outcome)
        .record(elapsed.as_secs_f64());
    if elapsed >= slow_min {
        metrics::counter!(names::STORE_SLOW, names::STATEMENT => name).increment(1);
        let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(
            statement = name,
            elapsed_ms = ms,
            outcome,
            "slow: `{name}` took {ms} ms with its waits for the database, and ended with: {outcome}"
        );
    }
}
