//! Promise: wherever a caller, a process or the power goes away, what was answered is there and nothing is
//! half there.

use std::{future::poll_fn, path::Path, pin::pin, task::Poll};

use super::*;

/// Drops `future` when it has had to wait `waits` times; `None` if it was dropped.
pub(super) async fn dropped_after<T>(waits: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = waits;
    poll_fn(move |context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

/// Runs what is begun to its end, and returns what is left.
async fn settled(case: &Case, n: u32) -> (BatchRow, u64, usize) {
    case.store.write_heartbeat("a test", NOW).await.expect("the one that writes is free");
    case.calm().await;
    let durable = case.store.durable_chunks(ward(), id(n)).await.expect("reads").len();
    (case.row(n).await, durable, case.dispositions(n).await.len())
}

/// When a caller goes: while it is kept from going on, then after so many waits, early and late, again and
/// again, and at last not at all. How much is done between two waits depends on what else the machine does.
fn patience() -> impl Iterator<Item = Option<usize>> {
    [None; KEPT].into_iter().chain((0..12).cycle().take(48).chain([usize::MAX]).map(Some))
}

/// So many callers go while they are kept.
const KEPT: usize = 4;

/// Drops `future` when it cannot go on: on a file because it has no turn to write, on a server in the middle
/// of its transaction, by this lock of somebody else's.
async fn dropped_while_kept<T>(case: &Case, lock: &'static str, future: impl Future<Output = T>) {
    let Place::Server(place) = &case.place else {
        let held = case.held().await;
        assert!(dropped_after(0, future).await.is_none(), "it had no turn");
        return drop(held);
    };
    let mut other = server::beside(place, template::DATABASE).await;
    let mut looks = server::beside(place, template::DATABASE).await;
    server::run(&mut other, lock).await;
    let waits = "SELECT COUNT(*) FROM pg_locks WHERE NOT granted";
    let waited_for = async {
        while 0 == sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut looks).await.expect("it reads") {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = future => panic!("nothing kept it"),
        () = waited_for => {}
    }
    server::run(&mut other, "ROLLBACK").await;
}

contract!(a_chunk_whose_sender_goes_is_there_whole_or_not_at_all, |case| {
    let row = case.open(1, 4000).await;
    let (mut number, mut gone) = (0, 0usize);
    for waits in patience() {
        let before = settled(&case, 1).await.1;
        let put = put(&case.store, &row, number);
        let put = if let Some(waits) = waits {
            dropped_after(waits, put).await
        } else {
            dropped_while_kept(&case, "BEGIN; LOCK TABLE chunk IN EXCLUSIVE MODE", put).await;
            None
        };
        let (now, durable, _) = settled(&case, 1).await;
        let stored = durable - before;
        assert_eq!((u64::from(now.chunks_stored), now.counts.stored), (durable, durable * u64::from(CHUNK)));
        let districts = case.store.stored_per_district(ward(), id(1)).await.expect("reads");
        assert_eq!(districts.values().sum::<u64>(), now.counts.stored);
        match put {
            Some(put) => assert_eq!((put.expect("the store answers"), stored), (PutChunk::Stored, 1)),
            None => gone += usize::from(stored == 0),
        }
        number += u32::from(stored == 1);
    }
    assert!(gone >= KEPT, "{gone} were dropped in time");
});

contract!(a_chunk_of_orders_whose_worker_goes_is_there_whole_or_not_at_all, |case| {
    case.sealed(1, 400).await;
    let claim = case.claim(1).await;
    let all = orders("K", 400);
    let (mut number, mut gone) = (0, 0usize);
    for waits in patience() {
        let at = number as usize * 4;
        let stored =
            case.store.store_orders(&claim, number..number + 1, all[at..at + 4].to_vec(), Vec::new(), NOW);
        let stored = if let Some(waits) = waits {
            dropped_after(waits, stored).await
        } else {
            dropped_while_kept(&case, "BEGIN; LOCK TABLE card_order IN EXCLUSIVE MODE", stored).await;
            None
        };
        let (now, _, lines) = settled(&case, 1).await;
        assert_eq!(now.counts.accepted, lines as u64);
        assert_eq!(now.counts.accepted, u64::from(now.chunks_worked) * 4);
        match stored {
            Some(stored) => {
                assert_eq!(
                    (stored.expect("the store answers"), now.chunks_worked),
                    (done(4, 0, 0), number + 1)
                );
            }
            None => gone += usize::from(now.chunks_worked == number),
        }
        number = now.chunks_worked;
    }
    assert!(gone >= KEPT, "{gone} were dropped in time");
});

contract!(many_orders_whose_worker_goes_are_there_whole_or_not_at_all, |case| {
    const MANY: u64 = 1500;
    case.large(1, MANY).await;
    let claim = case.claim(1).await;
    let mut all = orders("K", MANY);
    all.iter_mut().for_each(|order| order.sealed = vec![7; 2000]); // more than is sent without a wait
    let stored = || case.store.store_orders(&claim, 0..1, all.clone(), Vec::new(), NOW);
    for lock in [
        "BEGIN; LOCK TABLE order_key IN EXCLUSIVE MODE",
        "BEGIN; LOCK TABLE card_order IN EXCLUSIVE MODE",
        "BEGIN; LOCK TABLE card_person IN EXCLUSIVE MODE",
    ] {
        dropped_while_kept(&case, lock, stored()).await;
        let (now, _, lines) = settled(&case, 1).await;
        assert_eq!((now.chunks_worked, lines), (0, 0), "{lock}");
    }
    let mut gone = 0;
    for waits in 0..40 {
        let answer = dropped_after(waits, stored()).await;
        let (now, _, lines) = settled(&case, 1).await;
        assert_eq!(lines as u64, u64::from(now.chunks_worked) * MANY, "after {waits} waits");
        if answer.is_some() || now.chunks_worked == 1 {
            break;
        }
        gone += 1;
    }
    assert!(gone >= 3, "{gone} were dropped in time");
    assert_eq!(stored().await.expect("the store answers"), done(MANY, 0, 0));
    case.accept(&claim).await;
});

contract!(nobody_waits_for_a_sender_that_is_gone, |case| {
    let row = case.open(1, 4000).await;
    for waits in 0..24u32 {
        let number = |n: u32| waits * 8 + n;
        // While the first commits, the others queue behind the one that goes: its turn comes next, with all
        // of them in its group.
        let first = put(&case.store, &row, number(0));
        let gone = dropped_after(waits as usize, put(&case.store, &row, number(1)));
        let others = futures_util::future::join_all((2..8).map(|n| put(&case.store, &row, number(n))));
        let (first, _, others) = tokio::join!(first, gone, others);
        assert!(matches!(first, Ok(PutChunk::Stored)), "{waits}: {first:?}");
        // If it went while COMMIT was under way, theirs were stored with its own: either all or none.
        let duplicates = others.iter().filter(|o| matches!(o, Ok(PutChunk::Duplicate))).count();
        let stored = others.iter().filter(|o| matches!(o, Ok(PutChunk::Stored))).count();
        assert!(stored == others.len() || duplicates == others.len(), "{waits}: {others:?}");
        let durable = case.store.durable_chunks(ward(), id(1)).await.expect("reads");
        assert!((2..8).all(|n| durable.contains(number(n).into())), "{waits}: {durable:?}");
        let counted = u64::from(case.row(1).await.chunks_stored);
        assert_eq!(counted, durable.len(), "{waits}: each counts once");
    }
});

/// Copies the files as they are on the disk: what a process that is killed now leaves. The last `torn` bytes
/// of the log are cut off, as by a power cut in the middle of a write.
fn killed(path: &Path, copy: &Path, torn: u64) {
    let log = |path: &Path| PathBuf::from(format!("{}-wal", path.display()));
    std::fs::copy(path, copy).expect("it is there");
    let length = std::fs::copy(log(path), log(copy)).expect("it is there");
    let file = std::fs::File::options().write(true).open(log(copy)).expect("it is there");
    file.set_len(length.saturating_sub(torn)).expect("it is cut");
}

async fn reopened(case: &Case, torn: u64) -> (TempDir, Store) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let copy = dir.path().join("copy.db");
    killed(case.path(), &copy, torn);
    let options = StoreOptions { quick_check: true, ..options(&copy) };
    (dir, Store::open(&options).await.expect("it opens"))
}

#[tokio::test]
async fn what_was_answered_outlives_a_killed_process() {
    let case = Case::sqlite().await;
    let row = case.open(1, 8).await;
    for number in 0..2 {
        case.put(&row, number).await;
        let (_dir, after) = reopened(&case, 0).await;
        assert_eq!(after.batch(ward(), id(1)).await.expect("reads"), Some(case.row(1).await));
        assert_eq!(after.durable_chunks(ward(), id(1)).await.expect("reads").len(), u64::from(number) + 1);
    }
    case.store.mark_sealed(ward(), id(1), NOW).await.expect("the store answers");
    let claim = case.claim(1).await;
    let all = orders("K", 8);
    case.store(&claim, 0, all[..4].to_vec()).await;
    let (_dir, after) = reopened(&case, 0).await;
    let key = WorkKey { municipality: ward(), batch_id: id(1) };
    let over = after.claim_work(&key, "another", NOW + 1000, 1000).await.expect("the store answers");
    let over = over.expect("the lease is over");
    assert_eq!(over.next_chunk, 1, "it goes on where the last commit was");
    let stored = after.store_orders(&over, 1..2, all[4..].to_vec(), Vec::new(), NOW).await;
    assert_eq!(stored.expect("the store answers"), done(4, 0, 0));
}

#[tokio::test]
async fn a_torn_write_takes_at_most_what_was_not_answered() {
    let case = Case::sqlite().await;
    let row = case.open(1, 400).await;
    let mut lengths =
        vec![std::fs::metadata(format!("{}-wal", case.path().display())).expect("it is there").len()];
    for number in 0..5 {
        case.put(&row, number).await;
        lengths.push(std::fs::metadata(format!("{}-wal", case.path().display())).expect("it is there").len());
    }
    let whole = lengths[5];
    for cut in (1..whole - lengths[1]).step_by(1777) {
        let left = whole - cut;
        let (_dir, after) = reopened(&case, cut).await;
        let now = after.batch(ward(), id(1)).await.expect("reads").expect("it is there");
        let answered = lengths.iter().filter(|length| **length <= left).count() - 1;
        assert_eq!(now.chunks_stored as usize, answered, "{cut} bytes cut");
        assert_eq!(now.counts.stored, u64::from(now.chunks_stored) * 4);
        assert_eq!(now.counts.sum(), Some(400));
        let durable = after.durable_chunks(ward(), id(1)).await.expect("reads").len();
        assert_eq!(durable, u64::from(now.chunks_stored));
    }
}

#[tokio::test]
async fn a_full_disk_changes_nothing_and_is_over_when_there_is_room() {
    let case = Case::sqlite().await;
    let (_, write) = case.file();
    case.sealed(1, 400).await;
    let claim = case.claim(1).await;
    let all = orders("K", 400);
    let (mut number, mut refused) = (0, 0);
    // A little more room each time, so that it ends at each write once.
    for room in 0..60 {
        let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(write).await.expect("reads");
        let limit = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {}", pages + room % 4));
        sqlx::query(limit).execute(write).await.expect("it is set");
        let before = case.row(1).await;
        let mut chunk = all[number as usize * 4..number as usize * 4 + 4].to_vec();
        chunk.iter_mut().for_each(|order| order.sealed = vec![7; 9000]);
        match case.store.store_orders(&claim, number..number + 1, chunk, Vec::new(), NOW).await {
            Ok(stored) => {
                assert_eq!(stored, done(4, 0, 0));
                number += 1;
            }
            Err(error) => {
                assert!(matches!(error, Error::Full), "{error}");
                assert!(error.is_transient() && !error.may_have_applied());
                assert_eq!(case.row(1).await, before);
                refused += 1;
            }
        }
    }
    assert!(refused >= 15, "{refused} were refused");
    sqlx::query("PRAGMA max_page_count = 1000000").execute(write).await.expect("it is set");
    let rest = all[number as usize * 4..].to_vec();
    for (at, chunk) in (number..).zip(rest.chunks(4)) {
        assert_eq!(case.store(&claim, at, chunk.to_vec()).await, done(4, 0, 0));
    }
    case.accept(&claim).await;
}

#[tokio::test]
async fn a_store_call_inside_a_transaction_fails_at_once() {
    let case = Case::sqlite().await;
    let store = case.store.clone();
    #[expect(clippy::disallowed_methods, reason = "to see the panic of a task")]
    let nested = tokio::spawn(async move {
        let inner = store.clone();
        in_tx!(store, "outer", |_tx| inner.write_heartbeat("inner", NOW).await)
    });
    let panic = nested.await.expect_err("it would wait for ever").into_panic();
    let text = panic.downcast::<String>().expect("a text");
    assert_eq!(*text, "store call `write_heartbeat` inside the transaction `outer`");
    case.store.write_heartbeat("after", NOW).await.expect("the connection is given back");
}
