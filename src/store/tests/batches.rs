//! Promise: an id and a sequence stand for one manifest for ever, and every list is whole.

use super::*;
use crate::store::Holes;

contract!(opening_again_changes_the_epoch_and_nothing_else, |case| {
    let first = case.open(1, 10).await;
    assert_eq!((first.state, first.attempt, first.uploader_epoch), (BatchState::Announced, 1, 1));
    assert_eq!((first.chunk_count, first.counts.missing, first.counts.sum()), (3, 10, Some(10)));
    let Opened::Again(again) = open(&case.store, ward(), 1, 10).await else { panic!("it was there") };
    assert_eq!(again, BatchRow { uploader_epoch: 2, ..first });
    let stored = case.store.manifest(ward(), id(1)).await.expect("reads").expect("it is there");
    assert_eq!(stored.bytes, manifest(ward(), 1, 10).to_text().into_bytes());
    assert_eq!(stored.chunk_roots, [root(0), root(1), root(2)]);
    assert_eq!(stored.certificate_chain, [b"own".to_vec(), b"authority".to_vec()]);
    assert_eq!(stored.signature, b"signature");
});

contract!(other_content_under_an_id_or_a_sequence_is_refused_and_leaves_nothing, |case| {
    let first = case.open(1, 10).await;
    assert_eq!(open(&case.store, ward(), 1, 11).await, Opened::IdReused);
    let doubled = Manifest { sequence: 1, ..manifest(ward(), 2, 10) };
    assert_eq!(open_as(&case.store, &doubled).await, Opened::SequenceReused);
    assert_eq!(case.store.batch(ward(), id(2)).await.expect("reads"), None);
    assert_eq!(case.row(1).await, first, "the one that was there is as it was");
    let theirs = open(&case.store, other_ward(), 1, 11).await;
    assert!(matches!(theirs, Opened::Created(_)), "another municipality has its own ids and sequence");
});

contract!(an_aborted_batch_keeps_its_id_and_its_sequence, |case| {
    case.open(1, 10).await;
    case.store.abort(ward(), id(1), b"text", b"signature", "wrong", NOW).await.expect("the store answers");
    assert_eq!(open(&case.store, ward(), 1, 11).await, Opened::IdReused);
    let doubled = Manifest { sequence: 1, ..manifest(ward(), 2, 10) };
    assert_eq!(open_as(&case.store, &doubled).await, Opened::SequenceReused);
});

contract!(batches_are_listed_newest_first_page_by_page, |case| {
    for n in [3, 1, 2] {
        case.open(n, 4).await;
    }
    open(&case.store, other_ward(), 9, 4).await;
    let sequences = async |before, count| {
        let rows = case.store.list_batches(ward(), before, count).await.expect("reads");
        rows.iter().map(|row| row.sequence).collect::<Vec<_>>()
    };
    assert_eq!(sequences(None, 2).await, [3, 2]);
    assert_eq!(sequences(Some(2), 2).await, [1]);
    assert_eq!(sequences(Some(u64::MAX), 9).await, [3, 2, 1]);
    assert_eq!(sequences(Some(1), 9).await, Vec::<u64>::new());
});

fn holes(count: u64, highest: u64) -> Holes {
    Holes { municipality: ward(), count, highest }
}

contract!(holes_in_the_sequence_are_named_up_to_a_limit, |case| {
    assert_eq!(case.store.sequence_holes(ward(), 10).await.expect("reads"), Vec::<u64>::new());
    for n in [2, 3, 7] {
        case.open(n, 4).await;
    }
    open(&case.store, other_ward(), 1, 4).await;
    assert_eq!(case.store.sequence_holes(ward(), 10).await.expect("reads"), [1, 4, 5, 6]);
    assert_eq!(case.store.sequence_holes(ward(), 2).await.expect("reads"), [1, 4]);
    assert_eq!(case.store.municipalities_with_holes(10).await.expect("reads"), [holes(4, 6)]);
    assert_eq!(case.store.municipalities_with_holes(0).await.expect("reads"), []);
    case.open(6, 4).await;
    assert_eq!(case.store.municipalities_with_holes(10).await.expect("reads"), [holes(3, 5)]);
    case.open(9, 4).await;
    assert_eq!(case.store.municipalities_with_holes(10).await.expect("reads"), [holes(4, 8)]);
    let far = Manifest { sequence: i64::MAX.unsigned_abs(), ..manifest(ward(), 10, 0) };
    open_as(&case.store, &far).await;
    assert_eq!(case.store.sequence_holes(ward(), 5).await.expect("reads"), [1, 4, 5, 8, 10]);
});

contract!(what_has_not_ended_is_found_in_pages_over_all_municipalities, |case| {
    for n in 1..=3 {
        case.open(n, 4).await;
    }
    open(&case.store, other_ward(), 5, 4).await;
    case.accepted(4, &orders("K", 4)).await;
    case.store.abort(ward(), id(2), b"text", b"signature", "wrong", NOW).await.expect("the store answers");
    case.sealed(6, 4).await;
    let claim = case.claim(6).await;
    case.store.reject_batch(&claim, "it does not add up", NOW).await.expect("the store answers");
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = case.store.open_batches(after, 2).await.expect("reads");
        found.extend(page.rows.iter().map(|row| (row.municipality, row.batch_id)));
        let Some(next) = page.next else { break };
        after = Some(next);
    }
    assert_eq!(found, [(other_ward(), id(5)), (ward(), id(1)), (ward(), id(3)), (ward(), id(6))]);
});

contract!(a_heartbeat_is_the_last_one, |case| {
    assert_eq!(case.store.heartbeat("sweeper").await.expect("reads"), None);
    case.store.write_heartbeat("sweeper", 1).await.expect("the store answers");
    case.store.write_heartbeat("sweeper", 7).await.expect("the store answers");
    assert_eq!(case.store.heartbeat("sweeper").await.expect("reads"), Some(7));
});
