//! Promise: a change of an item waits for one transaction of those that can wait, however many wait, and then
//! transactions of imports are short for a while.

use std::sync::{Arc, Mutex};

use futures_util::future::{join, join_all};
use sqlx::SqliteConnection;

use super::*;
use crate::store::{Changed, before_others};

/// Has the database itself note of each commit which table was changed last in it.
async fn noted(connection: &mut SqliteConnection) -> Arc<Mutex<Vec<String>>> {
    let (commits, last) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(String::new())));
    let mut database = connection.lock_handle().await.expect("it lives");
    database.set_update_hook({
        let last = Arc::clone(&last);
        move |change| change.table.clone_into(&mut last.lock().expect("nobody panicked"))
    });
    database.set_commit_hook({
        let commits = Arc::clone(&commits);
        move || {
            let table = std::mem::take(&mut *last.lock().expect("nobody panicked"));
            commits.lock().expect("nobody panicked").push(table);
            true // it may commit
        }
    });
    commits
}

#[tokio::test]
async fn a_change_comes_after_one_of_those_that_can_wait_though_more_were_there_before() {
    let case = Case::sqlite().await;
    case.open(1, 80).await;
    let (_, write) = case.file();
    let mut held = write.acquire().await.expect("it is free");
    let commits = noted(&mut held).await;
    let conflict = |number| case.store.record_conflict(ward(), id(1), number, NOW);
    let conflicts = join_all((0..5).map(conflict));
    let change = items::count(&case.store, "K-1", "r-1".to_owned());
    let all = join(conflicts, change);
    let ((conflicts, change), ()) = join(all, async { drop(held) }).await;
    assert!(conflicts.iter().all(|one| matches!(one, Ok(true))), "{conflicts:?}");
    assert!(matches!(change, Changed::Done(_)), "{change:?}");
    let commits = commits.lock().expect("nobody panicked").clone();
    // The hook is not called for tables without a rowid, as those of items are.
    let at = commits.iter().position(|table| table != "batch");
    assert_eq!((commits.len(), at), (6, Some(1)), "{commits:?}");
}

#[tokio::test]
async fn what_is_done_before_others_waits_for_none_of_those_that_wait_to_read() {
    let case = Case::sqlite().await.reopened(|options| options.readers_max = 2).await;
    case.open(1, 4).await;
    let _turn = case.store.turns.to_read().await.expect("it is free");
    let (store, number) = (&case.store, id(1));
    tokio::time::pause();
    let refused = store.batch(ward(), number).await.expect_err("the turn is taken");
    assert!(matches!(refused, Error::NoConnection), "{refused}");
    tokio::time::resume();
    before_others(store.batch(ward(), number)).await.expect("a connection is left").expect("it is there");
}

#[tokio::test]
async fn what_is_committed_is_copied_back_while_changes_come() {
    let case = Case::sqlite().await;
    let len = || std::fs::metadata(case.path()).expect("it is there").len();
    let before = len();
    let copied = async {
        items::count(&case.store, "K-1", "r-1".to_owned()).await;
        while len() == before {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = case.store.copy_back() => panic!("it goes on for ever"),
        () = copied => {}
    }
}

/// Works a batch off as an import does while changes come before each transaction, up to its last chunk.
async fn pressed(case: &Case, claim: &Claim, orders: &[NewOrder]) {
    let chunks: Vec<_> = (0..).zip(orders.chunks(CHUNK as usize)).collect();
    for (number, chunk) in &chunks {
        items::count(&case.store, "K-1", format!("r-{number}")).await;
        let stored = case.store(claim, *number, chunk.to_vec()).await;
        assert!(matches!(stored, Stored::Done { .. }), "{stored:?}");
        let last = *number as usize + 1 == chunks.len();
        let stale = Claim { epoch: claim.epoch + 1, ..claim.clone() };
        assert!(!case.store.enter_next_persons(&stale).await.expect("a transaction"), "another's claim");
        let indexed = case.row(1).await.chunks_indexed;
        assert_eq!(indexed, if last { number + 1 } else { *number }, "put off but for the last");
        let entered = case.store.enter_next_persons(claim).await;
        assert_eq!(entered.expect("a transaction"), !last);
        assert!(!case.store.enter_next_persons(claim).await.expect("a transaction"), "nothing is left");
    }
}

#[tokio::test]
async fn while_changes_press_persons_are_entered_few_at_a_time_and_all_of_them() {
    let case = Case::sqlite().await;
    let orders = orders("K", 40);
    case.sealed(1, orders.len() as u64).await;
    let claim = case.claim(1).await;
    pressed(&case, &claim, &orders).await;
    case.accept(&claim).await;
    for order in &orders {
        let Some(person) = &order.person_index else { continue };
        let found = case.store.cards_by_person(ward(), person, 100).await.expect("reads");
        assert!(found.iter().any(|card| card.order_id == order.order_id), "{}", order.order_id);
    }
}

contract!(changes_press_who_would_hold_them_up, |case| {
    let is_file = matches!(case.store.pool, Pool::Sqlite { .. });
    assert!(!case.store.is_pressed());
    items::count(&case.store, "K-1", "r-1".to_owned()).await;
    assert_eq!(case.store.is_pressed(), is_file, "at a server they go beside");
    // Whatever is done in one transaction, all is done in the end.
    let row = case.accepted(1, &orders("K", 40)).await;
    let found = case.store.card_by_order_id(row.municipality, "K-7").await.expect("reads");
    assert!(found.is_some(), "it was accepted");
});
