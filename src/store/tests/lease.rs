//! Promise: at most one process holds a lease, and whoever takes it over does so under a later epoch.

use super::*;

const LEASE_MS: i64 = 10_000;

async fn take(case: &Case, owner: &str, held: u64, now_ms: i64) -> Option<u64> {
    case.store.take_lease("sweeper", owner, held, now_ms, LEASE_MS).await.expect("a transaction")
}

#[tokio::test]
async fn of_two_issuers_at_a_server_one_holds_a_lease_until_it_is_over_or_given_back() {
    let case = Case::postgres().await;
    assert_eq!(take(&case, "issuer-1", 0, NOW).await, Some(1));
    assert_eq!(take(&case, "issuer-2", 0, NOW + LEASE_MS - 1).await, None, "it is held");
    assert_eq!(take(&case, "issuer-1", 0, NOW + 1_000).await, None, "started anew it is another");
    assert_eq!(take(&case, "issuer-1", 1, NOW + 3_000).await, Some(1), "it is renewed");
    assert_eq!(take(&case, "issuer-2", 0, NOW + 3_000 + LEASE_MS).await, Some(2), "at its end it is free");
    assert_eq!(take(&case, "issuer-1", 1, NOW + 3_000 + LEASE_MS).await, None, "the old one has lost it");
    case.store.give_up_lease("sweeper", "issuer-1", 1, NOW).await.expect("a transaction");
    assert_eq!(take(&case, "issuer-1", 1, NOW + 14_000).await, None, "it had nothing to give");
    case.store.give_up_lease("sweeper", "issuer-2", 2, NOW + 14_000).await.expect("a transaction");
    assert_eq!(take(&case, "issuer-1", 1, NOW + 14_000).await, Some(3), "given back it is free at once");
    assert_eq!(take(&case, "issuer-1", 3, NOW + 30_000).await, Some(4), "who was late begins anew");
    let other = case.store.take_lease("another", "issuer-2", 0, NOW, LEASE_MS).await;
    assert_eq!(other.expect("a transaction"), Some(1), "each task has its own");
}

#[tokio::test]
async fn a_lease_of_before_the_clock_was_set_back_holds_nobody_up() {
    let case = Case::postgres().await;
    assert_eq!(take(&case, "issuer-1", 0, NOW + 3_600_000).await, Some(1));
    assert_eq!(take(&case, "issuer-2", 0, NOW).await, Some(2));
    assert_eq!(take(&case, "issuer-3", 0, NOW - 30_000).await, None, "clocks may differ");
}

#[tokio::test]
async fn beside_a_file_whoever_held_a_lease_before_is_gone() {
    let case = Case::sqlite().await;
    assert_eq!(take(&case, "issuer-1", 0, NOW).await, Some(1));
    assert_eq!(take(&case, "issuer-1", 0, NOW).await, Some(2), "another process under the same name");
    assert_eq!(take(&case, "issuer-1", 2, NOW).await, Some(2));
}
