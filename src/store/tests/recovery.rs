//! Promise: a transaction that the database ended by itself, and a row that somebody damaged, cost nobody
//! else anything.

use super::*;

use crate::store::Cause;

/// Runs SQL on the one connection that writes to the file, beside the store.
async fn raw(case: &Case, sql: &'static str) {
    case.raw(sql, "").await;
}

/// Has the transaction end under the store's hands, as SQLite does by itself when the disk is full.
async fn ended_by_itself(case: &Case, then: Result<(), Error>) -> Error {
    let then = std::sync::Mutex::new(Some(then));
    let ended: Result<(), Error> = in_tx!(case.store, "ended_by_itself", |tx| {
        sqlx::query("ROLLBACK").execute(&mut *tx).await?;
        then.lock().expect("nobody panics").take().expect("it runs once")
    });
    ended.expect_err("nothing is left to commit")
}

contract!(after_a_commit_that_failed_the_store_goes_on_by_itself, |case| {
    let ended = ended_by_itself(&case, Ok(())).await;
    assert!(matches!(ended, Error::OutcomeUnknown { .. }), "{ended}");
    case.sealed(1, 8).await;
    if let Place::File { path, .. } = &case.place {
        let second = Store::open(&options(path)).await;
        assert!(matches!(second, Err(Error::InUse { .. })), "others are still kept out: {second:?}");
    }
});

contract!(after_a_statement_that_ended_its_transaction_the_store_goes_on_by_itself, |case| {
    let ended = ended_by_itself(&case, Err(Error::Full)).await;
    assert!(matches!(ended, Error::Full), "{ended}");
    case.sealed(1, 8).await;
    assert!(case.store.write_heartbeat("sweeper", NOW).await.is_ok());
});

#[tokio::test]
async fn a_full_disk_is_told_and_once_there_is_space_the_store_goes_on() {
    let case = Case::sqlite().await;
    raw(&case, "PRAGMA max_page_count = 1").await; // SQLite takes the present size instead
    let full = async {
        for n in 1..1000 {
            let manifest = manifest(ward(), n, 8);
            let bytes = vec![b'x'; 100_000];
            let new = NewBatch {
                open_max: 100,
                ahead_max: u64::MAX,
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
}

contract!(a_damaged_row_hides_no_other, |case| {
    for n in 1..=5 {
        case.sealed(n, 4).await;
    }
    case.raw(
        "PRAGMA ignore_check_constraints = ON;
        UPDATE batch SET state = 'SEALDE' WHERE sequence = 2;
        UPDATE batch SET manifest_digest = x'00' WHERE sequence = 4;
        UPDATE batch SET state = CAST(x'ff' AS TEXT) WHERE sequence = 5",
        "ALTER TABLE batch DROP CONSTRAINT batch_state_check, DROP CONSTRAINT batch_manifest_digest_check;
        UPDATE batch SET state = 'SEALDE' WHERE sequence IN (2, 5);
        UPDATE batch SET manifest_digest = '\\x00' WHERE sequence = 4",
    )
    .await;
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = case.store.open_batches(after, 2).await.expect("reads");
        found.extend(page.rows.iter().map(|row| row.sequence));
        let Some(next) = page.next else { break };
        after = Some(next);
    }
    assert_eq!(found, [1, 3]);
});

contract!(work_that_cannot_be_claimed_can_be_put_off_but_not_taken_from_its_holder, |case| {
    case.sealed(1, 4).await;
    let key = WorkKey { municipality: ward(), batch_id: id(1) };
    case.store.postpone_work(&key, NOW, NOW + 10, "unreadable").await.expect("the store answers");
    assert_eq!(case.store.work_candidates(NOW + 9, 5).await.expect("reads"), []);
    assert_eq!(case.store.work_candidates(NOW + 10, 5).await.expect("reads"), [key]);
    let claim = case.store.claim_work(&key, "worker", NOW + 10, 1000).await.expect("the store answers");
    case.store.postpone_work(&key, NOW + 10, NOW + 99, "unreadable").await.expect("the store answers");
    let kept = case.store.renew_work(&claim.expect("it is free"), NOW + 11, 1000).await;
    assert!(kept.expect("the store answers"), "the lease stands");
});

#[tokio::test]
async fn a_key_that_is_none_hides_no_other_in_any_list() {
    let case = Case::sqlite().await;
    for n in [2, 3, 4] {
        case.sealed(n, 4).await;
    }
    case.store.mark_restored(Cause::Operator, "a test", NOW).await.expect("the store answers");
    case.store.release(ward(), "a test", NOW).await.expect("the store answers");
    raw(&case, "PRAGMA ignore_check_constraints = ON").await;
    raw(&case, "PRAGMA foreign_keys = OFF").await;
    raw(
        &case,
        "INSERT INTO lost_batch (municipality_code, batch_id, sequence, record_count, manifest_digest,
            told_ms, digest, receipt)
        SELECT code, b.batch_id, 9, 4, zeroblob(32), 1, zeroblob(32), x''
        FROM batch AS b, (SELECT '131229' AS code UNION SELECT '13122x' UNION SELECT CAST(x'ff' AS TEXT))
        WHERE b.sequence = 2",
    )
    .await;
    let of = |n: u32| format!("WHERE batch_id = (SELECT batch_id FROM batch WHERE sequence = {n})");
    let code = "municipality_code = CAST(x'ff' AS TEXT)";
    for damage in [format!("batch_id = x'00' {}", of(3)), format!("{code} {}", of(4))] {
        let (_, write) = case.file();
        let sql = sqlx::AssertSqlSafe(format!("UPDATE work SET {damage}"));
        assert_eq!(sqlx::query(sql).execute(write).await.expect("it runs").rows_affected(), 1);
    }
    let due = case.store.work_candidates(NOW, 10).await.expect("reads");
    assert_eq!(due, [WorkKey { municipality: ward(), batch_id: id(2) }]);
    raw(&case, "UPDATE batch SET municipality_code = CAST(x'ff' AS TEXT) WHERE sequence = 3").await;
    raw(&case, "UPDATE batch SET municipality_code = '13122x' WHERE sequence = 4").await;
    let holes = case.store.municipalities_with_holes(10).await.expect("reads");
    assert_eq!(holes.iter().map(|holes| holes.municipality).collect::<Vec<_>>(), [ward()]);
    let opened = case.store.opened_since(0).await.expect("reads");
    assert_eq!(opened.into_keys().collect::<Vec<_>>(), [ward()]);
    let compared = case.store.comparisons(10).await.expect("reads");
    assert_eq!(compared.iter().map(|one| one.municipality).collect::<Vec<_>>(), [ward()]);
    let lost = case.store.lost_batches(10).await.expect("reads");
    assert_eq!(
        lost.iter().map(|one| (one.municipality, one.batch_id)).collect::<Vec<_>>(),
        [(ward(), id(2))]
    );
}

contract!(a_read_of_several_statements_sees_nothing_that_comes_between_them, |case| {
    let count = "SELECT COUNT(*) FROM batch";
    let seen: Result<(i64, i64), Error> = on_snapshot!(case.store, "a_test", |conn| {
        let before = sqlx::query_scalar(count).fetch_one(&mut *conn).await?;
        case.open(1, 4).await;
        Ok((before, sqlx::query_scalar(count).fetch_one(conn).await?))
    });
    assert_eq!(seen.expect("it reads"), (0, 0));
    let after: Result<i64, Error> =
        on_snapshot!(case.store, "a_test", |conn| Ok(sqlx::query_scalar(count).fetch_one(conn).await?));
    assert_eq!(after.expect("it reads"), 1, "the next one does");
});
