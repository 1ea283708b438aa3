//! Promise: only a whole and decided batch ends well, with its receipt; every other end is its owner's word.

use super::*;
use crate::store::{Abort, Repair};

async fn abort(case: &Case, n: u32) -> Abort {
    let aborted = case.store.abort(ward(), id(n), b"text", b"signature", "a reason", NOW + 3).await;
    aborted.expect("the store answers")
}

async fn repair(case: &Case, n: u32, request: &str, fingerprint: &[u8]) -> Repair {
    let fingerprint = Digest::of(fingerprint);
    let begun = case.store.begin_repair(ward(), id(n), request, &fingerprint, NOW).await;
    begun.expect("the store answers")
}

contract!(a_seal_needs_every_record, |case| {
    let row = case.open(1, 8).await;
    assert!(!case.store.mark_sealed(ward(), id(1), NOW).await.expect("the store answers"));
    case.put(&row, 0).await;
    assert!(!case.store.mark_sealed(ward(), id(1), NOW).await.expect("the store answers"));
    assert_eq!(case.store.work_candidates(NOW, 9).await.expect("reads"), []);
    case.put(&row, 1).await;
    assert!(case.store.mark_sealed(ward(), id(1), NOW).await.expect("the store answers"));
    assert!(!case.store.mark_sealed(ward(), id(1), NOW + 9).await.expect("the store answers"), "once");
    assert_eq!(case.row(1).await.sealed_ms, Some(NOW));
    assert_eq!(case.store.work_candidates(NOW, 9).await.expect("reads").len(), 1);
    assert!(!case.store.mark_sealed(ward(), id(2), NOW).await.expect("the store answers"), "no such batch");
});

contract!(a_batch_of_nothing_goes_all_the_way, |case| {
    let row = case.accepted(1, &[]).await;
    assert_eq!((row.state, row.record_count), (BatchState::Accepted, 0));
});

contract!(acceptance_and_receipt_are_one, |case| {
    case.sealed(1, 4).await;
    let claim = case.claim(1).await;
    case.work_off(&claim, &orders("K", 4)).await;
    assert_eq!(case.store.receipt(ward(), id(1)).await.expect("reads"), None);
    assert_eq!(case.store.last_receipt(ward()).await.expect("reads"), None);
    case.accept(&claim).await;
    let row = case.row(1).await;
    assert_eq!((row.state, row.finished_ms), (BatchState::Accepted, Some(NOW)));
    let note = format!("receipt of {}", id(1)).into_bytes();
    for _ in 0..3 {
        assert_eq!(case.store.receipt(ward(), id(1)).await.expect("reads").as_ref(), Some(&note));
    }
    assert_eq!(case.store.receipt(other_ward(), id(1)).await.expect("reads"), None);
    case.accepted(3, &orders("L", 4)).await;
    case.open(4, 4).await;
    let last = case.store.last_receipt(ward()).await.expect("reads").expect("two have one");
    assert_eq!(last, (3, Digest::of(format!("receipt of {}", id(3)).as_bytes())));
    assert_eq!(case.store.work_candidates(NOW + 9999, 9).await.expect("reads"), []);
});

contract!(an_undecided_batch_is_not_accepted, |case| {
    case.sealed(1, 4).await;
    let claim = case.claim(1).await;
    let acceptance = |state| Acceptance {
        state,
        receipt: b"a receipt",
        receipt_digest: Digest::of(b"a receipt"),
        now_ms: NOW,
    };
    let early = case.store.accept(&claim, &acceptance(BatchState::Accepted)).await;
    assert!(matches!(early, Err(Error::Corrupt(_))), "{early:?}");
    case.work_off(&claim, &orders("K", 4)).await;
    case.store.start_reconciling(&claim, NOW).await.expect("the store answers");
    let wrong = case.store.accept(&claim, &acceptance(BatchState::Aborted)).await;
    assert!(matches!(wrong, Err(Error::Corrupt(_))), "{wrong:?}");
    assert_eq!(case.store.receipt(ward(), id(1)).await.expect("reads"), None);
    assert_eq!(case.row(1).await.state, BatchState::Reconciling);
});

contract!(a_batch_that_does_not_add_up_says_why, |case| {
    let row = case.open(1, 4).await;
    let mark = async || {
        let marked = case.store.mark_discrepant(ward(), id(1), "hash_total", NOW + 2).await;
        marked.expect("the store answers")
    };
    assert!(!mark().await, "not while something is missing");
    case.put(&row, 0).await;
    assert!(mark().await && !mark().await);
    let row = case.row(1).await;
    assert_eq!((row.state, row.finished_ms), (BatchState::Discrepant, Some(NOW + 2)));
    assert_eq!(row.discrepancy.as_deref(), Some("hash_total"));
    case.sealed(2, 4).await;
    let sealed = case.store.mark_discrepant(ward(), id(2), "late", NOW).await.expect("the store answers");
    assert!(!sealed, "what is sealed belongs to its worker");
});

contract!(an_abort_is_kept_with_its_statement_and_done_once, |case| {
    case.open(1, 4).await;
    assert_eq!(abort(&case, 1).await, Abort::Done);
    assert_eq!(abort(&case, 1).await, Abort::Again);
    let row = case.row(1).await;
    assert_eq!((row.state, row.discrepancy.as_deref()), (BatchState::Aborted, Some("a reason")));
    assert_eq!((row.finished_ms, row.counts.missing), (Some(NOW + 3), 4));
    case.accepted(2, &orders("K", 4)).await;
    assert_eq!(abort(&case, 2).await, Abort::WrongState);
    assert_eq!(abort(&case, 3).await, Abort::NotFound);
});

contract!(an_abort_takes_the_work_away, |case| {
    case.sealed(1, 4).await;
    let claim = case.claim(1).await;
    assert_eq!(abort(&case, 1).await, Abort::Done);
    assert_eq!(case.store(&claim, 0, orders("K", 4)).await, Stored::LeaseLost);
    assert_eq!(case.store.work_candidates(NOW + 9999, 9).await.expect("reads"), []);
});

contract!(a_repair_begins_one_attempt_for_one_request, |case| {
    case.sealed(1, 4).await;
    assert_eq!(repair(&case, 1, "r-1", b"one").await, Repair::WrongState);
    let claim = case.claim(1).await;
    case.work_off(&claim, &orders("K", 4)).await;
    assert!(case.store.reject_batch(&claim, "it does not add up", NOW).await.expect("the store answers"));
    assert_eq!(case.row(1).await.discrepancy.as_deref(), Some("it does not add up"));
    assert_eq!(repair(&case, 1, "r-1", b"one").await, Repair::Started, "a refused request used up no id");
    let row = case.row(1).await;
    assert_eq!((row.state, row.attempt, row.chunks_worked), (BatchState::Repairing, 2, 0));
    assert_eq!(row.counts, Counts { stored: 4, ..Counts::default() });
    assert_eq!((row.discrepancy, row.sealed_ms), (None, Some(NOW)));
    assert_eq!(row.finished_ms, Some(NOW), "when it was found stays known");
    assert_eq!(repair(&case, 1, "r-1", b"one").await, Repair::Again);
    assert_eq!(repair(&case, 1, "r-1", b"two").await, Repair::Reused);
    assert_eq!(repair(&case, 1, "r-2", b"one").await, Repair::WrongState, "it is being repaired");
    assert_eq!(repair(&case, 9, "r-3", b"one").await, Repair::NotFound);
    let claim = case.claim(1).await;
    case.work_off(&claim, &orders("K", 4)).await;
    case.accept(&claim).await;
    assert_eq!(repair(&case, 1, "r-1", b"one").await, Repair::Again, "even now");
    assert_eq!(repair(&case, 1, "r-4", b"one").await, Repair::WrongState);
});

contract!(a_batch_is_not_tried_for_ever, |case| {
    case.sealed(1, 4).await;
    for attempt in 1..=100 {
        let claim = case.claim(1).await;
        case.store.reject_batch(&claim, "again", NOW).await.expect("the store answers");
        let begun = repair(&case, 1, &format!("r-{attempt}"), b"one").await;
        assert_eq!(begun, if attempt < 100 { Repair::Started } else { Repair::WrongState });
    }
});
