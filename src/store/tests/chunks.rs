//! Promise: a chunk is stored once, with its counts, whoever sends it how often and with whom.

use super::*;

contract!(the_checks_come_in_the_order_duplicate_sealed_fenced, |case| {
    let old = case.open(1, 10).await;
    assert_eq!(case.put(&old, 0).await, PutChunk::Stored);
    let new = case.open(1, 10).await;
    assert_eq!(case.put(&old, 0).await, PutChunk::Duplicate, "from anybody");
    assert_eq!(case.put(&old, 1).await, PutChunk::Fenced);
    let early = BatchRow { uploader_epoch: 99, ..new.clone() };
    assert_eq!(case.put(&early, 1).await, PutChunk::Fenced, "nor an epoch that was never given");
    assert_eq!(case.put(&new, 2).await, PutChunk::Stored);
    assert_eq!(case.put(&new, 1).await, PutChunk::Stored);
    case.store.mark_sealed(ward(), id(1), NOW).await.expect("the store answers");
    assert_eq!(case.put(&old, 1).await, PutChunk::Duplicate, "even after the seal");
    let other = put_root(&case.store, &new, 1, root(77)).await.expect("the store answers");
    assert_eq!(other, PutChunk::Damaged);
    let outside = BatchRow { batch_id: id(9), ..new.clone() };
    assert_eq!(case.put(&outside, 0).await, PutChunk::NotFound);
    let foreign = BatchRow { municipality: other_ward(), ..new };
    assert_eq!(case.put(&foreign, 0).await, PutChunk::NotFound, "another's looks like none");
});

contract!(a_sealed_batch_takes_no_chunk_that_it_has_not, |case| {
    let row = case.open(1, 10).await;
    case.put(&row, 0).await;
    case.store.abort(ward(), id(1), b"text", b"signature", "wrong", NOW).await.expect("the store answers");
    assert_eq!(case.put(&row, 1).await, PutChunk::Sealed);
    let old = BatchRow { uploader_epoch: 9, ..row };
    assert_eq!(case.put(&old, 1).await, PutChunk::Sealed, "sealed before fenced");
});

contract!(counts_ledger_and_districts_move_with_each_chunk, |case| {
    let row = case.open(1, 10).await;
    for (number, missing, stored) in [(2, 8, 2), (0, 4, 6), (1, 0, 10)] {
        assert_eq!(case.put(&row, number).await, PutChunk::Stored);
        assert_eq!(case.put(&row, number).await, PutChunk::Duplicate);
        let now = case.row(1).await;
        assert_eq!((now.counts.missing, now.counts.stored, now.counts.sum()), (missing, stored, Some(10)));
        assert_eq!((now.state, now.progress_ms), (BatchState::Receiving, NOW + 1));
    }
    assert_eq!(case.row(1).await.chunks_stored, 3);
    let districts = case.store.stored_per_district(ward(), id(1)).await.expect("reads");
    assert_eq!(districts, BTreeMap::from([("白鳥".to_owned(), 6), ("亀有".to_owned(), 4)]));
    let chunk = case.store.chunk_payload(ward(), id(1), 2).await.expect("reads").expect("it is there");
    assert_eq!((chunk.root, chunk.records, chunk.sealed.as_slice()), (root(2), 2, b"sealed 2".as_slice()));
    assert_eq!(case.store.chunk_payload(ward(), id(1), 3).await.expect("reads"), None);
});

contract!(what_is_durable_is_told_as_ranges, |case| {
    let row = case.open(1, 40).await;
    for number in [7, 0, 1, 3] {
        case.put(&row, number).await;
    }
    let durable = case.store.durable_chunks(ward(), id(1)).await.expect("reads");
    assert_eq!(durable.iter().collect::<Vec<_>>(), [(0, 1), (3, 3), (7, 7)]);
    assert!(case.store.durable_chunks(other_ward(), id(1)).await.expect("reads").is_empty());
});

contract!(a_chunk_that_does_not_fit_the_batch_is_refused_whole, |case| {
    let row = case.open(1, 3).await;
    let large = BatchRow { record_count: 4, ..row.clone() };
    let error = put(&case.store, &large, 0).await.expect_err("four records of three");
    assert!(!error.is_transient() && !error.may_have_applied(), "{error}");
    assert_eq!(case.row(1).await, row);
    assert!(case.store.durable_chunks(ward(), id(1)).await.expect("reads").is_empty());
    assert!(case.store.stored_per_district(ward(), id(1)).await.expect("reads").is_empty());
    assert_eq!(case.put(&row, 0).await, PutChunk::Stored, "the right one is taken");
});

contract!(many_streams_store_each_chunk_once, |case| {
    let row = case.open(1, 80).await;
    let puts = (0..160u32).map(|n| put(&case.store, &row, n % 20));
    let outcomes = futures_util::future::join_all(puts).await;
    let stored = outcomes.iter().filter(|o| matches!(o, Ok(PutChunk::Stored))).count();
    let duplicate = outcomes.iter().filter(|o| matches!(o, Ok(PutChunk::Duplicate))).count();
    assert_eq!((stored, duplicate), (20, 140));
    let now = case.row(1).await;
    assert_eq!((now.chunks_stored, now.counts.stored, now.counts.missing), (20, 80, 0));
    let districts = case.store.stored_per_district(ward(), id(1)).await.expect("reads");
    assert_eq!(districts.values().sum::<u64>(), 80);
});

contract!(one_bad_chunk_in_a_group_spoils_no_other, |case| {
    let row = case.open(1, 80).await;
    let small = case.open(2, 3).await;
    let large = BatchRow { record_count: 4, ..small };
    let good = futures_util::future::join_all((0..20).map(|n| put(&case.store, &row, n)));
    let bad = futures_util::future::join_all((0..5).map(|_| put(&case.store, &large, 0)));
    let (good, bad) = tokio::join!(good, bad);
    assert!(good.iter().all(|o| matches!(o, Ok(PutChunk::Stored))), "{good:?}");
    assert!(bad.iter().all(Result::is_err), "{bad:?}");
    assert_eq!(case.row(1).await.counts.stored, 80);
    assert_eq!(case.row(2).await.counts.missing, 3);
});

contract!(a_conflict_is_remembered_with_the_first_time, |case| {
    case.open(1, 10).await;
    assert!(case.store.record_conflict(ward(), id(1), 2, NOW + 5).await.expect("the store answers"));
    assert!(case.store.record_conflict(ward(), id(1), 2, NOW + 9).await.expect("the store answers"));
    assert!(case.store.record_conflict(ward(), id(1), 0, NOW + 9).await.expect("the store answers"));
    assert_eq!(case.row(1).await.conflict_ms, Some(NOW + 5));
    assert!(!case.store.record_conflict(ward(), id(2), 0, NOW).await.expect("the store answers"));
});

contract!(nobody_waits_for_a_connection_once_for_each_chunk_of_a_group, |case| {
    let acquire_max = std::time::Duration::from_millis(500);
    let case =
        case.reopened(|options| (options.acquire_max, options.connections_max) = (acquire_max, 1)).await;
    let row = case.open(1, 80).await;
    let held = case.held().await;
    let begun = std::time::Instant::now();
    let puts = futures_util::future::join_all((0..10).map(|n| put(&case.store, &row, n))).await;
    assert!(puts.iter().all(|put| matches!(put, Err(Error::NoConnection))), "{puts:?}");
    let waited = begun.elapsed();
    assert!(waited < acquire_max * 5, "the first one's wait and the group's: {waited:?}");
    drop(held);
    assert_eq!(case.put(&row, 0).await, PutChunk::Stored);
});
