//! A transaction either commits whole or leaves nothing; it is tried again only when the database was busy.

use std::{
    pin::Pin,
    time::{Duration, Instant},
};

use sqlx::{Database, Transaction};

use crate::{
    crash::{self, Point},
    runtime::outside,
    telemetry::names,
};

use super::Error;

/// How often a transaction is tried at most.
const ATTEMPTS_MAX: u32 = 5;

/// What the body of `in_tx!` gives back: its transaction, still open, and its result.
pub(crate) type Ran<'a, DB, T> =
    Pin<Box<dyn Future<Output = (Transaction<'static, DB>, Result<T, Error>)> + Send + 'a>>;

tokio::task_local! {
    /// Set while the body of a transaction runs. A call of the store from in there would wait for ever for
    /// the one connection that writes, or would not see what this transaction has not committed.
    static IN_TX: &'static str;
}

fn assert_not_in_tx(name: &str) {
    let _ = IN_TX.try_with(|outer| panic!("store call `{name}` inside the transaction `{outer}`"));
}

/// The loop behind `in_tx!`: begin, body, commit or roll back; again while the database is busy.
///
/// If the future is dropped before COMMIT was sent, nothing is left.
pub(crate) async fn run_tx<'a, DB: Database, T: Send>(
    pool: &sqlx::Pool<DB>,
    begin: &'static str,
    name: &'static str,
    body: &mut (dyn FnMut(Transaction<'static, DB>) -> Ran<'a, DB, T> + Send),
) -> Result<T, Error> {
    assert_not_in_tx(name);
    let started = Instant::now();
    let mut attempt = 1;
    loop {
        let result = outside(once(pool, begin, name, body)).await;
        if attempt < ATTEMPTS_MAX && matches!(&result, Err(Error::Busy)) {
            metrics::counter!(names::STORE_RETRIES, names::STATEMENT => name).increment(1);
            tokio::time::sleep(Duration::from_millis(5 << attempt)).await;
            attempt += 1;
            continue;
        }
        measure(name, started, &result);
        return result;
    }
}

async fn once<'a, DB: Database, T: Send>(
    pool: &sqlx::Pool<DB>,
    begin: &'static str,
    name: &'static str,
    body: &mut (dyn FnMut(Transaction<'static, DB>) -> Ran<'a, DB, T> + Send),
) -> Result<T, Error> {
    let tx = pool.begin_with(begin).await?;
    let (tx, result) = IN_TX.scope(name, body(tx)).await;
    match result {
        Ok(value) => match commit(name, tx).await {
            Ok(()) => Ok(value),
            Err(error) => Err(Error::of_commit(name, error)),
        },
        Err(error) => {
            tx.rollback().await.ok(); // the first error is the one worth telling
            Err(error)
        }
    }
}

async fn commit<DB: Database>(name: &str, tx: Transaction<'static, DB>) -> Result<(), sqlx::Error> {
    if name.starts_with("put_chunk") {
        crash::point(Point::ChunkUncommitted);
    }
    tx.commit().await
}

/// What is behind `on_read!`.
pub(crate) async fn run_read<T: Send>(
    name: &'static str,
    body: Pin<Box<dyn Future<Output = Result<T, Error>> + Send + '_>>,
) -> Result<T, Error> {
    assert_not_in_tx(name);
    let started = Instant::now();
    let result = outside(body).await;
    measure(name, started, &result);
    result
}

fn measure<T>(name: &'static str, started: Instant, result: &Result<T, Error>) {
    let outcome = result.as_ref().map_or_else(Error::outcome, |_| "ok");
    metrics::histogram!(names::STORE_SECONDS, names::STATEMENT => name, names::OUTCOME => outcome)
        .record(started.elapsed().as_secs_f64());
}
