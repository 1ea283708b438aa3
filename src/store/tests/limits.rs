//! Promise: what the store does side by side stays within its limits; one above waits for its turn, is told
//! so if that takes too long, and is not lost.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use futures_util::future::{join, join_all};
use sqlx::SqliteConnection;

use super::*;
use crate::store::Changed;

/// Has the database itself note of each commit how many chunks it stored.
async fn noted(connection: &mut SqliteConnection) -> Arc<Mutex<Vec<usize>>> {
    let (commits, inserted) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
    let mut database = connection.lock_handle().await.expect("it lives");
    database.set_update_hook({
        let inserted = Arc::clone(&inserted);
        move |change| {
            inserted.fetch_add(usize::from(change.table == "chunk"), SeqCst);
        }
    });
    database.set_commit_hook({
        let commits = Arc::clone(&commits);
        move || {
            commits.lock().expect("nobody panicked").push(inserted.swap(0, SeqCst));
            true // it may commit
        }
    });
    commits
}

/// Sends these chunks at once while the one connection that writes is held, lets it go when all of them wait,
/// and returns how many were stored by each commit.
async fn commits(case: &Case, row: &BatchRow, numbers: std::ops::Range<u32>) -> Vec<usize> {
    let (_, write) = case.file();
    let mut held = write.acquire().await.expect("it is free");
    let commits = noted(&mut held).await;
    let puts = join_all(numbers.map(|number| put(&case.store, row, number)));
    let (puts, ()) = join(puts, async { drop(held) }).await;
    assert!(puts.iter().all(|put| matches!(put, Ok(PutChunk::Stored))), "{puts:?}");
    commits.lock().expect("nobody panicked").clone()
}

#[tokio::test]
async fn as_many_chunks_share_a_commit_as_the_limit_says_and_the_next_one_has_another() {
    let case = Case::sqlite().await.reopened(|options| options.group_chunks_max = 3).await;
    let row = case.open(1, 80).await;
    // The first has its turn before the others are there.
    assert_eq!(commits(&case, &row, 0..4).await, [1, 3], "at the limit");
    assert_eq!(commits(&case, &row, 4..9).await, [1, 3, 1], "one above");
    assert_eq!(case.row(1).await.chunks_stored, 9);
}

/// Changes these cards at once while the one connection that writes is held, lets it go when all of them
/// wait, and returns how many commits it took.
async fn changed(case: &Case, cards: &[&str], turn: &str) -> usize {
    let (_, write) = case.file();
    let mut held = write.acquire().await.expect("it is free");
    let commits = noted(&mut held).await;
    let changes = (0..).zip(cards).map(|(n, card)| items::count(&case.store, card, format!("{turn}-{n}")));
    let (done, ()) = join(join_all(changes), async { drop(held) }).await;
    assert!(done.iter().all(|one| matches!(one, Changed::Done(_))), "{done:?}");
    commits.lock().expect("nobody panicked").len()
}

#[tokio::test]
async fn as_many_changes_share_a_commit_as_the_limit_says_and_of_one_card_none() {
    let case = Case::sqlite().await.reopened(|options| options.group_changes_max = 3).await;
    // The first has its turn before the others are there.
    assert_eq!(changed(&case, &["K-0", "K-1", "K-2", "K-3"], "a").await, 2, "at the limit");
    assert_eq!(changed(&case, &["K-0", "K-1", "K-2", "K-3", "K-4"], "b").await, 3, "one above");
    assert_eq!(changed(&case, &["K-0", "K-1", "K-1", "K-2"], "c").await, 3, "one card twice");
}

/// Two may read at once, and one more is told when no place becomes free.
async fn two_read_at_once(store: &Store) {
    let Pool::Sqlite { read, .. } = &store.pool else { panic!("it is a file") };
    let first = read.acquire().await.expect("nobody reads");
    store.batch(ward(), id(1)).await.expect("at the limit").expect("it is there");
    let second = read.acquire().await.expect("at the limit, and kept");
    tokio::time::pause();
    let refused = store.batch(ward(), id(1)).await.expect_err("one above");
    tokio::time::resume();
    assert!(matches!(refused, Error::NoConnection), "{refused}");
    let waits = store.batch(ward(), id(1));
    let (read, ()) = join(waits, async { drop(first) }).await;
    read.expect("it waited for a place").expect("it is there");
    drop(second);
}

#[tokio::test]
async fn as_many_read_at_once_as_the_limit_says_and_the_next_one_waits_for_a_place() {
    let case = Case::sqlite().await.reopened(|options| options.readers_max = 2).await;
    case.open(1, 4).await;
    two_read_at_once(&case.store).await;
    let beside = StoreOptions { readers_max: 2, ..options(case.path()) };
    two_read_at_once(&Store::open_to_read(&beside).await.expect("it opens")).await;
}
