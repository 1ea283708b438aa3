//! Promise: what several issuers do at one database at the same moment comes out as if one had done it after
//! the other.

use futures_util::future::join_all;

use super::*;
use crate::{
    pool::keeper::{Keeper as _, KeptDecision, Step},
    store::Repair,
};

/// Two issuers at one server, each of which does every second thing.
struct Two {
    case: Case,
    second: Store,
}

impl Two {
    async fn start() -> Self {
        let case = Case::postgres().await;
        let second = Store::open(&case.options).await.expect("issuers may share it");
        Self { case, second }
    }

    fn of(&self, n: u32) -> &Store {
        if n.is_multiple_of(2) { &self.case.store } else { &self.second }
    }

    /// Opens a batch as the one whose turn it is, with a limit to how many are open.
    async fn open(&self, turn: u32, n: u32, open_max: u32) -> Opened {
        let manifest = manifest(ward(), n, 4);
        let bytes = manifest.to_text().into_bytes();
        let new = NewBatch {
            open_max,
            ahead_max: u64::MAX,
            manifest: &manifest,
            manifest_bytes: &bytes,
            signature: b"signature",
            certificate_chain: &[],
            chunk_roots: &[root(0)],
            wrapped_key: b"wrapped".to_vec(),
            now_ms: NOW,
        };
        self.of(turn).open_batch(&new).await.expect("the store answers")
    }
}

fn created(opened: &[Opened]) -> usize {
    opened.iter().filter(|one| matches!(one, Opened::Created(_))).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_created_once_and_no_more_are_open_than_may_be() {
    let two = Two::start().await;
    let same = join_all((0..8).map(|turn| two.open(turn, 1, 5))).await;
    assert_eq!(created(&same), 1, "{same:?}");
    assert!(same.iter().all(|one| matches!(one, Opened::Created(_) | Opened::Again(_))), "{same:?}");
    assert_eq!(two.case.row(1).await.uploader_epoch, 8, "each fenced the one before");
    let many = join_all((2..20).map(|n| two.open(n, n, 5))).await;
    assert_eq!(created(&many), 4, "{many:?}");
    assert!(many.iter().all(|one| matches!(one, Opened::Created(_) | Opened::TooManyOpen)), "{many:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_that_were_freed_are_taken_over_once() {
    let two = Two::start().await;
    two.case.sealed(1, 40).await;
    two.case.work_off(&two.case.claim(1).await, &orders("K", 40)).await;
    two.case.store.abort(ward(), id(1), b"text", b"signature", "wrong", NOW).await.expect("it is given up");
    let mut claims = Vec::new();
    for n in 2..6 {
        two.case.sealed(n, 40).await;
        claims.push(two.case.claim(n).await);
    }
    let all = orders("K", 40);
    let accepted = join_all((0..).zip(&claims).map(|(turn, claim)| {
        let (store, all) = (two.of(turn).clone(), &all);
        async move {
            let mut accepted = 0;
            for (number, chunk) in (0..).zip(all.chunks(CHUNK as usize)) {
                let done =
                    store.store_orders(claim, number..number + 1, chunk.to_vec(), Vec::new(), NOW).await;
                match done.expect("the store answers") {
                    Stored::Done { accepted: some, .. } => accepted += some,
                    lost @ Stored::LeaseLost => panic!("{lost:?}"),
                }
            }
            accepted
        }
    }));
    let accepted = accepted.await;
    assert_eq!(accepted.iter().sum::<u64>(), 40, "each id stands for one record: {accepted:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repair_begins_once_and_a_batch_is_sealed_once() {
    let two = Two::start().await;
    let row = two.case.open(1, 4).await;
    let seals = join_all((0..8).map(|turn| two.of(turn).mark_sealed(ward(), id(1), NOW))).await;
    assert!(seals.iter().all(|sealed| matches!(sealed, Ok(false))), "something is missing: {seals:?}");
    two.case.put(&row, 0).await;
    let seals = join_all((0..8).map(|turn| two.of(turn).mark_sealed(ward(), id(1), NOW))).await;
    assert_eq!(seals.iter().filter(|sealed| matches!(sealed, Ok(true))).count(), 1, "{seals:?}");
    assert!(seals.iter().all(Result::is_ok), "{seals:?}");
    let claim = two.case.claim(1).await;
    assert!(two.case.store.reject_batch(&claim, "a test", NOW).await.expect("the store answers"));
    let fingerprint = Digest::of(b"one");
    let repairs = (0..8).map(|turn| two.of(turn).begin_repair(ward(), id(1), "r-1", &fingerprint, NOW));
    let repairs = join_all(repairs).await;
    assert_eq!(repairs.iter().filter(|one| matches!(one, Ok(Repair::Started))).count(), 1, "{repairs:?}");
    assert_eq!(repairs.iter().filter(|one| matches!(one, Ok(Repair::Again))).count(), 7, "{repairs:?}");
    assert_eq!(two.case.row(1).await.attempt, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_of_the_pool_get_one_number_each_and_a_restore_is_marked_one_by_one() {
    let two = Two::start().await;
    let epoch =
        two.case.store.take("issuer-1", 0, NOW, 10_000).await.expect("a transaction").expect("it is free");
    let decision = |n: u32| KeptDecision {
        number: 0,
        epoch: 0,
        decided_ms: NOW,
        unit: format!("relay-{n}"),
        kind: "evict".to_owned(),
        record: "{}".to_owned(),
    };
    let (two, decision) = (&two, &decision);
    let kept = join_all((0..12).map(|turn| async move {
        let decisions = [decision(turn)];
        let step =
            Step { owner: "issuer-1", epoch, now_ms: NOW, state: "{}", decisions: &decisions, order: None };
        two.of(turn).keep(&step).await
    }));
    let mut numbers: Vec<u64> =
        kept.await.into_iter().map(|number| number.expect("a transaction").expect("it holds")).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=12).collect::<Vec<_>>());
    let cause = crate::store::Cause::Operator;
    let marks = join_all((0..4).map(|turn| two.of(turn).mark_restored(cause, "a test", NOW))).await;
    let mut marks: Vec<u64> = marks.into_iter().map(|id| id.expect("a transaction")).collect();
    marks.sort_unstable();
    assert_eq!(marks, [1, 2, 3, 4]);
}
