//! Promise: a transaction that SQLite ended by itself, and a row that somebody damaged, cost nobody else
//! anything.

use super::*;

use crate::store::Pool;

/// Runs SQL on the one connection that writes, beside the store.
async fn raw(case: &Case, sql: &'static str) {
    let Pool::Sqlite { write, .. } = &case.store.pool;
    sqlx::query(sql).execute(write).await.expect("it runs");
}

/// Has the transaction end under the store's hands, as SQLite does by itself when the disk is full.
async fn ended_by_sqlite(case: &Case, then: Result<(), Error>) -> Error {
    let then = std::sync::Mutex::new(Some(then));
    let ended: Result<(), Error> = in_tx!(case.store, "ended_by_sqlite", |tx| {
        sqlx::query("ROLLBACK").execute(&mut *tx).await?;
        then.lock().expect("nobody panics").take().expect("it runs once")
    });
    ended.expect_err("nothing is left to commit")
}

contract!(after_a_commit_that_failed_the_store_goes_on_by_itself, |case| {
    let ended = ended_by_sqlite(&case, Ok(())).await;
    assert!(matches!(ended, Error::OutcomeUnknown { .. }), "{ended}");
    case.sealed(1, 8).await;
    let second = Store::open(&options(&case.path)).await;
    assert!(matches!(second, Err(Error::InUse { .. })), "others are still kept out: {second:?}");
});

contract!(after_a_statement_that_ended_its_transaction_the_store_goes_on_by_itself, |case| {
    let ended = ended_by_sqlite(&case, Err(Error::Full)).await;
    assert!(matches!(ended, Error::Full), "{ended}");
    case.sealed(1, 8).await;
    assert!(case.store.write_heartbeat("sweeper", NOW).await.is_ok());
});

contract!(a_full_disk_is_told_and_once_there_is_space_the_store_goes_on, |case| {
    raw(&case, "PRAGMA max_page_count = 1").await; // SQLite takes the present size instead
    let full = async {
        for n in 1..1000 {
            let manifest = manifest(ward(), n, 8);
            let bytes = vec![b'x'; 100_000];
            let new = NewBatch {
                manifest: &manifest,
                manifest_bytes: &bytes,
                signature: b"signature",
                certificate_chain: &[],
                chunk_roots: &[root(0), root(1)],
                wrapped_key: Vec::new(),
                now_ms: NOW,
            };
            if let Err(error) = case.store.open_batch(&new).await {
                return error;
            }
        }
        panic!("it is never full")
    };
    let full = full.await;
    assert!(matches!(full, Error::Full), "{full}");
    raw(&case, "PRAGMA max_page_count = 1000000").await;
    case.sealed(2000, 8).await;
});
