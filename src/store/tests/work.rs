//! Promise: one worker has a batch, and whoever lost it can change nothing.

use super::*;

fn key(n: u32) -> WorkKey {
    WorkKey { municipality: ward(), batch_id: id(n) }
}

contract!(of_many_claimers_one_wins, |case| {
    for n in 1..=4 {
        case.sealed(n, 4).await;
    }
    let found = case.store.work_candidates(NOW, 10).await.expect("reads");
    assert_eq!(found.len(), 4);
    let claims = (0..8).flat_map(|_| (1..=4).map(|n| case.store.claim_work_of(n)));
    let claims = futures_util::future::join_all(claims).await;
    let mut won: Vec<_> = claims.into_iter().flatten().map(|claim| claim.key.batch_id).collect();
    won.sort_unstable();
    assert_eq!(won, [id(1), id(2), id(3), id(4)], "each has one owner");
    assert_eq!(case.store.work_candidates(NOW + 999, 10).await.expect("reads"), []);
    assert_eq!(case.store.work_candidates(NOW + 1000, 2).await.expect("reads").len(), 2, "leases end");
});

impl Store {
    async fn claim_work_of(&self, n: u32) -> Option<Claim> {
        self.claim_work(&key(n), "worker", NOW, 1000).await.expect("the store answers")
    }
}

contract!(a_claim_starts_the_import_and_shows_as_a_lease, |case| {
    let row = case.sealed(1, 10).await;
    assert_eq!((row.state, row.sealed_ms, row.lease_until_ms), (BatchState::Sealed, Some(NOW), None));
    let claim = case.claim(1).await;
    assert_eq!((claim.attempt, claim.next_chunk, claim.tries), (1, 0, 0));
    let row = case.row(1).await;
    assert_eq!((row.state, row.lease_until_ms), (BatchState::Importing, Some(NOW + 1000)));
    assert!(case.store.renew_work(&claim, NOW + 500, 1000).await.expect("the store answers"));
    assert_eq!(case.row(1).await.lease_until_ms, Some(NOW + 1500));
    assert!(case.store.release_work(&claim, NOW + 700, "a test").await.expect("the store answers"));
    assert_eq!(case.row(1).await.lease_until_ms, None);
    assert_eq!(case.store.claim_work(&key(1), "w", NOW + 699, 1000).await.expect("the store answers"), None);
    let again = case.store.claim_work(&key(1), "w", NOW + 700, 1000).await.expect("the store answers");
    assert_eq!(again.expect("it is due").tries, 1, "it has not moved since");
});

contract!(a_stale_worker_changes_nothing, |case| {
    case.sealed(1, 4).await;
    let stale = case.claim(1).await;
    let late = case.store.claim_work(&key(1), "other", NOW + 1000, 1000).await.expect("the store answers");
    let live = late.expect("the lease is over");
    assert_eq!(live.epoch, stale.epoch + 1);
    let before = case.row(1).await;
    refused(&case.store, &stale).await;
    assert_eq!(case.row(1).await, before);
    assert_eq!(case.store(&live, 0, orders("K", 4)).await, done(4, 0, 0));
    refused(&case.store, &stale).await;
    case.accept(&live).await;
    refused(&case.store, &live).await;
    assert_eq!(case.row(1).await.state, BatchState::Accepted);
});

/// Every change that a claim allows is refused.
async fn refused(store: &Store, claim: &Claim) {
    let note = b"a receipt";
    let acceptance = Acceptance {
        state: BatchState::Accepted,
        receipt: note,
        receipt_digest: Digest::of(note),
        now_ms: NOW,
    };
    assert!(!store.renew_work(claim, NOW, 9).await.expect("the store answers"));
    assert!(!store.release_work(claim, NOW, "late").await.expect("the store answers"));
    let stored = store.store_orders(claim, 0..1, orders("S", 4), Vec::new(), NOW).await;
    assert_eq!(stored.expect("the store answers"), Stored::LeaseLost);
    assert!(!store.start_reconciling(claim, NOW).await.expect("the store answers"));
    assert!(!store.accept(claim, &acceptance).await.expect("the store answers"));
    assert!(!store.reject_batch(claim, "late", NOW).await.expect("the store answers"));
}

contract!(a_released_claim_is_over, |case| {
    case.sealed(1, 4).await;
    let claim = case.claim(1).await;
    assert!(case.store.release_work(&claim, NOW, "the issuer stopped").await.expect("the store answers"));
    refused(&case.store, &claim).await;
});

contract!(an_earlier_attempts_claim_is_over, |case| {
    case.sealed(1, 4).await;
    let old = case.claim(1).await;
    case.store.reject_batch(&old, "it does not add up", NOW).await.expect("the store answers");
    let fingerprint = Digest::of(b"one");
    case.store.begin_repair(ward(), id(1), "r-1", &fingerprint, NOW).await.expect("the store answers");
    let new = case.claim(1).await;
    assert_eq!((new.attempt, new.epoch), (2, old.epoch), "epochs begin anew with each attempt");
    refused(&case.store, &old).await;
    assert_eq!(case.store(&new, 0, orders("K", 4)).await, done(4, 0, 0));
});

contract!(work_that_moves_has_not_been_tried, |case| {
    case.sealed(1, 8).await;
    for tries in 0..3 {
        let claim = case.claim(1).await;
        assert_eq!(claim.tries, tries);
        case.store.release_work(&claim, NOW, "the store failed").await.expect("the store answers");
    }
    let claim = case.claim(1).await;
    case.store(&claim, 0, orders("K", 4)).await;
    case.store.release_work(&claim, NOW, "the store failed").await.expect("the store answers");
    let claim = case.claim(1).await;
    assert_eq!((claim.tries, claim.next_chunk), (0, 1), "it goes on where the last commit was");
});

contract!(reconciling_waits_for_the_last_chunk, |case| {
    case.sealed(1, 8).await;
    let claim = case.claim(1).await;
    case.store(&claim, 0, orders("K", 4)).await;
    let early = case.store.start_reconciling(&claim, NOW).await.expect_err("a chunk is left");
    assert!(matches!(early, Error::Corrupt(_)), "{early}");
    let rest: Vec<_> = orders("K", 8).split_off(4);
    case.store(&claim, 1, rest).await;
    assert!(case.store.start_reconciling(&claim, NOW).await.expect("the store answers"));
    let over = case.store.claim_work(&key(1), "other", NOW + 1000, 1000).await.expect("the store answers");
    assert_eq!(case.row(1).await.state, BatchState::Reconciling, "another worker goes on from there");
    assert!(case.store.start_reconciling(&over.expect("due"), NOW).await.expect("the store answers"));
});
