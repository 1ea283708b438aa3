//! Promise: what the operator decides after a restore is kept, and ends what it decides about.

use super::*;

use crate::store::{Cause, Standing};

/// Notes that batch `n` was lost, as a comparison of its receipt does.
async fn lost(case: &Case, n: u32) {
    let of: Result<(), Error> = in_tx!(case.store, "a_test", |tx| {
        let query = sqlx::query(
            "INSERT INTO lost_batch (municipality_code, batch_id, sequence, record_count, manifest_digest,
                told_ms, digest, receipt)
            VALUES ($1, $2, $3, 4, $4, 1, $4, $5)",
        );
        let query = query.bind(ward().to_string()).bind(id(n).uuid()).bind(i64::from(n));
        query.bind([0_u8; 32].as_slice()).bind([0_u8].as_slice()).execute(tx).await?;
        Ok(())
    });
    of.expect("it is written");
}

async fn marked(case: &Case) {
    case.store.mark_restored(Cause::Operator, "a test", NOW).await.expect("the store answers");
}

async fn released(case: &Case, note: &str) {
    assert!(case.store.release(ward(), note, NOW + 1).await.expect("the store answers"));
}

contract!(a_release_keeps_its_reason_whether_or_not_there_was_a_comparison, |case| {
    assert!(!case.store.release(ward(), "nothing to decide", NOW).await.expect("the store answers"));
    marked(&case).await;
    let compared = case.store.compare_receipts(ward(), &[], true, NOW).await.expect("the store answers");
    assert!(compared.done);
    let stands = async || {
        let mut all = case.store.comparisons(10).await.expect("reads");
        let one = all.pop().expect("it is known");
        (one.standing, one.note)
    };
    assert_eq!(stands().await, (Standing::Compared, String::new()));
    released(&case, "its files are lost").await;
    assert_eq!(stands().await, (Standing::Released, "its files are lost".to_owned()));
    case.store.compare_receipts(ward(), &[], true, NOW).await.expect("the store answers");
    assert_eq!(stands().await.0, Standing::Released, "a comparison takes no decision back");
    released(&case, "it says so itself").await;
    assert_eq!(stands().await.1, "it says so itself");
});

contract!(what_is_given_up_is_no_hole_and_its_number_is_nobody_elses, |case| {
    for n in [2, 6] {
        case.open(n, 4).await;
    }
    for n in [1, 4, 5, 8] {
        lost(&case, n).await;
    }
    let holes = async || {
        let holes = case.store.municipalities_with_holes(10).await.expect("reads");
        let numbers = case.store.sequence_holes(ward(), 10).await.expect("reads");
        (holes.iter().map(|holes| (holes.count, holes.highest)).collect::<Vec<_>>(), numbers)
    };
    assert_eq!(holes().await, (vec![(4, 5)], vec![1, 3, 4, 5]));
    marked(&case).await;
    released(&case, "its files are lost").await;
    assert_eq!(holes().await, (vec![(1, 3)], vec![3]), "that one never had a receipt");
    let other = Manifest { sequence: 4, ..manifest(ward(), 40, 4) };
    assert_eq!(open_as(&case.store, &other).await, Opened::SequenceReused);
    case.open(3, 4).await;
    assert_eq!(holes().await, (vec![], vec![]));
    let far = Manifest { sequence: 9, ..manifest(ward(), 9, 4) };
    open_as(&case.store, &far).await;
    assert_eq!(holes().await, (vec![(1, 7)], vec![7]), "8 is given up, and 7 is not");
});

contract!(what_is_given_up_may_come_again_with_another_receipt, |case| {
    let of = async |n| case.store.lost_receipt(ward(), id(n)).await.expect("reads");
    case.sealed(1, 4).await;
    lost(&case, 1).await;
    assert_eq!(of(1).await, Some(vec![0]));
    let note = b"another receipt";
    let digest = Digest::of(note);
    let acceptance =
        Acceptance { state: BatchState::Accepted, receipt: note, receipt_digest: digest, now_ms: NOW };
    let claim = case.claim(1).await;
    case.work_off(&claim, &orders("K", 4)).await;
    assert!(case.store.start_reconciling(&claim, NOW).await.expect("the store answers"));
    assert!(!case.store.accept(&claim, &acceptance).await.expect("the store answers"), "it is promised");
    marked(&case).await;
    released(&case, "it comes out otherwise").await;
    assert_eq!(of(1).await, None);
    assert!(case.store.accept(&claim, &acceptance).await.expect("the store answers"));
});
