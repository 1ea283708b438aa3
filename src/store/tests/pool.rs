//! Promise: at most one controller writes, a decision that was kept stays as it is, and an order is kept with
//! its decisions or not at all.

use crate::pool::keeper::{Keeper as _, KeptDecision, KeptOrder, Step};

use super::*;

const LEASE_MS: i64 = 10_000;

fn a_decision(unit: &str, record: &str) -> KeptDecision {
    let (unit, kind, record) = (unit.to_owned(), "evict".to_owned(), record.to_owned());
    KeptDecision { number: 0, epoch: 0, decided_ms: NOW, unit, kind, record }
}

/// The first epoch that is given then.
const FIRST: u64 = 1_700_000_000;

fn a_write<'a>(epoch: u64, state: &'a str, decisions: &'a [KeptDecision]) -> Step<'a> {
    Step { owner: "issuer-1", epoch, now_ms: NOW, state, decisions, order: None }
}

contract!(one_controller_holds_the_lease_and_a_later_one_has_a_higher_epoch, |case| {
    let take = |owner, held, now_ms| {
        let store = case.store.clone();
        async move { store.take(owner, held, now_ms, LEASE_MS).await.expect("a transaction") }
    };
    let at = |ms: i64| u64::try_from((NOW + ms) / 1000).expect("after 1970");
    assert_eq!(take("issuer-1", 0, NOW).await, Some(at(0)), "epochs follow the clock");
    assert_eq!(take("issuer-2", 0, NOW + LEASE_MS - 1).await, None, "it is held");
    assert_eq!(take("issuer-1", at(0), NOW + 3_000).await, Some(at(0)), "it is renewed");
    assert_eq!(take("issuer-1", 0, NOW + 4_000).await, None, "started anew it is another");
    let second = at(3_000 + LEASE_MS);
    assert_eq!(take("issuer-2", 0, NOW + 3_000 + LEASE_MS).await, Some(second), "at its end it is free");
    assert_eq!(take("issuer-1", at(0), NOW + 3_000 + LEASE_MS).await, None, "the old one is fenced");
    case.store.give_up("issuer-1", at(0), NOW).await.expect("a transaction");
    assert_eq!(take("issuer-1", at(0), NOW + 3_000 + LEASE_MS).await, None, "it had nothing to give");
    case.store.give_up("issuer-2", second, NOW + 14_000).await.expect("a transaction");
    assert_eq!(
        take("issuer-1", at(0), NOW + 14_000).await,
        Some(at(14_000)),
        "given back it is free at once"
    );
    let held = case.store.holder().await.expect("a read").expect("a row");
    let third = ("issuer-1", at(14_000), NOW + 14_000 + LEASE_MS);
    assert_eq!((held.owner.as_str(), held.epoch, held.until_ms), third);
    let late = NOW + 14_000 + LEASE_MS;
    assert_eq!(take("issuer-1", held.epoch, late - 1).await, Some(held.epoch), "it renews in time");
    let late = take("issuer-1", held.epoch, late - 1 + LEASE_MS).await.expect("it is free");
    assert!(late > held.epoch, "who was late begins anew");
    case.store.give_up("issuer-1", late, NOW).await.expect("a transaction");
    assert_eq!(take("issuer-1", 0, NOW).await, Some(late + 1), "a clock that was set back makes none lower");
});

contract!(only_the_holder_writes_and_all_of_a_step_or_nothing, |case| {
    let store = &case.store;
    let one = [a_decision("relay-2", "{\"n\":1}")];
    assert_eq!(store.keep(&a_write(FIRST, "{}", &one)).await.expect("a transaction"), None, "no lease");
    assert_eq!(store.take("issuer-1", 0, NOW, LEASE_MS).await.expect("a transaction"), Some(FIRST));
    assert_eq!(store.keep(&a_write(FIRST + 1, "{}", &one)).await.expect("a transaction"), None, "not yet");
    let late = Step { now_ms: NOW + LEASE_MS, ..a_write(FIRST, "{}", &one) };
    assert_eq!(store.keep(&late).await.expect("a transaction"), None, "at its end");
    assert_eq!(store.kept().await.expect("a read"), None, "nothing was kept");
    let two = [a_decision("relay-2", "{\"n\":1}"), a_decision("", "{\"n\":2}")];
    assert_eq!(store.keep(&a_write(FIRST, "{\"s\":1}", &two)).await.expect("a transaction"), Some(2));
    assert_eq!(store.keep(&a_write(FIRST, "{\"s\":2}", &one)).await.expect("a transaction"), Some(3));
    assert_eq!(store.kept().await.expect("a read").expect("a state").state, "{\"s\":2}");
    let numbers = |rows: Vec<KeptDecision>| rows.iter().map(|row| row.number).collect::<Vec<_>>();
    assert_eq!(numbers(store.before(u64::MAX, 2, None).await.expect("a read")), [3, 2]);
    assert_eq!(numbers(store.before(3, 9, Some("relay-2")).await.expect("a read")), [1]);
    assert_eq!(numbers(store.before(9, 9, Some("")).await.expect("a read")), [2]);
    assert_eq!(numbers(store.after(1, 9).await.expect("a read")), [2, 3]);
});

contract!(an_order_is_kept_with_its_decisions_and_once, |case| {
    let store = &case.store;
    store.take("issuer-1", 0, NOW, LEASE_MS).await.expect("a transaction");
    let order = KeptOrder {
        request_id: "r-1".to_owned(),
        digest: Digest::of(b"drain relay-2"),
        operator: "operator/alice".to_owned(),
        ordered_ms: NOW,
        answer: vec![1, 2, 3],
    };
    let decisions = [a_decision("relay-2", "{}")];
    let write = Step { order: Some(&order), ..a_write(FIRST, "{\"s\":1}", &decisions) };
    assert_eq!(store.keep(&write).await.expect("a transaction"), Some(1));
    assert_eq!(store.order("r-1").await.expect("a read"), Some(order.clone()));
    let again = Step { state: "{\"s\":2}", ..write };
    store.keep(&again).await.expect_err("the id stands already");
    assert_eq!(store.kept().await.expect("a read").expect("a state").state, "{\"s\":1}");
    assert_eq!(store.after(0, 9).await.expect("a read").len(), 1);
});

contract!(a_decision_that_was_kept_is_neither_changed_nor_removed, |case| {
    case.store.take("issuer-1", 0, NOW, LEASE_MS).await.expect("a transaction");
    case.store.keep(&a_write(FIRST, "{}", &[a_decision("relay-2", "{}")])).await.expect("a transaction");
    for sql in ["DELETE FROM pool_decision", "UPDATE pool_decision SET unit = 'relay-3'"] {
        let refused = case.try_raw(sql, sql).await.expect_err("it is refused");
        assert!(refused.to_string().contains("only ever added"), "{refused}");
    }
});
