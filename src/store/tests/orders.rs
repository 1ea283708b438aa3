//! Promise: an order id stands for one record of a municipality for ever, across chunks, attempts and
//! batches, and a record is never counted as a duplicate of an order that may still vanish.

use DispositionKind::{Accepted, Duplicate, Rejected};

use super::*;
use crate::domain::validation::{ORDER_ID_HELD, ORDER_ID_REUSED};

contract!(orders_are_stored_once_and_answered_the_same, |case| {
    case.sealed(1, 6).await;
    let claim = case.claim(1).await;
    let all = orders("K", 6);
    assert_eq!(case.store(&claim, 0, all[..4].to_vec()).await, done(4, 0, 0));
    assert_eq!(case.store(&claim, 0, all[..4].to_vec()).await, done(4, 0, 0), "as it was, and not again");
    assert_eq!(case.row(1).await.counts, Counts { stored: 2, accepted: 4, ..Counts::default() });
    assert_eq!(case.row(1).await.chunks_worked, 1);
    assert_eq!(case.store(&claim, 1, all[4..].to_vec()).await, done(2, 0, 0));
    let rows = case.store.orders_page(ward(), id(1), 1, 3, 2).await.expect("reads");
    assert_eq!(rows.iter().map(|row| row.index).collect::<Vec<_>>(), [3, 4]);
    assert_eq!((rows[0].order_id.as_str(), rows[0].leaf), ("K-3", Digest::of(b"K-3")));
    assert_eq!(rows[0].sealed, b"sealed K-3");
});

contract!(chunks_that_are_stored_together_are_answered_together_and_the_same, |case| {
    case.sealed(1, 14).await;
    let claim = case.claim(1).await;
    let all = [orders("K", 6), vec![order(6, "K-1"), order_of(7, "K-2", "other")]].concat();
    let together = async |numbers, orders: &[NewOrder]| {
        case.store.store_orders(&claim, numbers, orders.to_vec(), Vec::new(), NOW).await
    };
    assert_eq!(together(0..2, &all).await.expect("the store answers"), done(6, 1, 1));
    assert_eq!(case.row(1).await.chunks_worked, 2);
    let stored = case.row(1).await;
    assert_eq!(together(0..2, &all).await.expect("the store answers"), done(6, 1, 1), "as they were");
    assert_eq!(together(1..2, &all[4..]).await.expect("the store answers"), done(2, 1, 1), "one of them");
    for numbers in [1..3, 2..4, 3..4] {
        let refused = together(numbers.clone(), &all[..4]).await;
        assert!(matches!(refused, Err(Error::Corrupt(_))), "{numbers:?}: {refused:?}");
    }
    assert_eq!(case.row(1).await, stored);
});

contract!(a_chunk_out_of_turn_or_of_another_size_is_refused_whole, |case| {
    case.sealed(1, 8).await;
    let claim = case.claim(1).await;
    let before = case.row(1).await;
    for (number, count) in [(1, 4), (0, 3), (0, 5)] {
        let stored =
            case.store.store_orders(&claim, number..number + 1, orders("K", count), Vec::new(), NOW).await;
        assert!(matches!(stored, Err(Error::Corrupt(_))), "{stored:?}");
    }
    assert_eq!(case.row(1).await, before);
    assert_eq!(case.dispositions(1).await, []);
    assert_eq!(case.store(&claim, 0, orders("K", 4)).await, done(4, 0, 0));
});

contract!(rejects_stand_beside_the_orders, |case| {
    case.sealed(1, 4).await;
    let claim = case.claim(1).await;
    let reject = Disposition {
        index: 2,
        order_id: "K-2".to_owned(),
        kind: Rejected,
        code: Some("SEX_INVALID".to_owned()),
        field: Some("sex".to_owned()),
        duplicate_of: None,
    };
    let mut rest = orders("K", 4);
    rest.remove(2);
    let stored = case.store.store_orders(&claim, 0..1, rest.clone(), vec![reject.clone()], NOW).await;
    assert_eq!(stored.expect("the store answers"), done(3, 0, 1));
    let again = case.store.store_orders(&claim, 0..1, rest, vec![reject.clone()], NOW).await;
    assert_eq!(again.expect("the store answers"), done(3, 0, 1));
    let all = case.dispositions(1).await;
    assert_eq!(all.iter().map(|d| d.index).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(all[2], reject);
    let page = async |from, count, only| {
        let page = case.store.dispositions_page(ward(), id(1), 1, from, count, only).await.expect("reads");
        page.iter().map(|d| d.index).collect::<Vec<_>>()
    };
    assert_eq!(page(1, 2, false).await, [1, 2]);
    assert_eq!(page(3, 9, false).await, [3]);
    assert_eq!(page(0, 9, true).await, [2]);
    assert_eq!(page(3, 9, true).await, Vec::<u64>::new());
    assert_eq!(page(u64::MAX, 9, false).await, Vec::<u64>::new());
});

contract!(the_second_of_one_batch_is_a_duplicate_or_reused, |case| {
    case.sealed(1, 8).await;
    let claim = case.claim(1).await;
    let first = vec![order(0, "A"), order(1, "B"), order(2, "A"), order_of(3, "B", "other")];
    assert_eq!(case.store(&claim, 0, first).await, done(2, 1, 1));
    let second = vec![order_of(4, "A", "other"), order(5, "B"), order(6, "C"), order(7, "C")];
    assert_eq!(case.store(&claim, 1, second).await, done(1, 2, 1));
    let all = case.dispositions(1).await;
    let own = |index| Some((id(1), index));
    assert_eq!(
        brief(&all),
        [
            (0, Accepted, None, None),
            (1, Accepted, None, None),
            (2, Duplicate, None, own(0)),
            (3, Rejected, Some(ORDER_ID_REUSED), own(1)),
            (4, Rejected, Some(ORDER_ID_REUSED), own(0)),
            (5, Duplicate, None, own(1)),
            (6, Accepted, None, None),
            (7, Duplicate, None, own(6)),
        ]
    );
    assert_eq!(all[3].field.as_deref(), Some("order_id"));
    let counts = Counts { accepted: 3, duplicate: 3, rejected: 2, ..Counts::default() };
    assert_eq!(case.row(1).await.counts, counts);
});

contract!(what_an_accepted_batch_brought_is_a_duplicate_or_reused, |case| {
    case.accepted(1, &orders("K", 4)).await;
    case.sealed(2, 4).await;
    let claim = case.claim(2).await;
    let mixed = vec![order(0, "K-3"), order_of(1, "K-0", "other"), order(2, "L"), order(3, "K-3")];
    assert_eq!(case.store(&claim, 0, mixed).await, done(1, 2, 1));
    assert_eq!(
        brief(&case.dispositions(2).await),
        [
            (0, Duplicate, None, Some((id(1), 3))),
            (1, Rejected, Some(ORDER_ID_REUSED), Some((id(1), 0))),
            (2, Accepted, None, None),
            (3, Duplicate, None, Some((id(1), 3))),
        ]
    );
});

contract!(what_an_undecided_batch_holds_is_no_duplicate, |case| {
    case.sealed(1, 4).await;
    let first = case.claim(1).await;
    case.store(&first, 0, orders("K", 4)).await;
    case.sealed(2, 4).await;
    let second = case.claim(2).await;
    assert_eq!(case.store(&second, 0, orders("K", 4)).await, done(0, 0, 4), "it may still be given up");
    let all = case.dispositions(2).await;
    assert_eq!(brief(&all)[1], (1, Rejected, Some(ORDER_ID_HELD), Some((id(1), 1))));
    // Once the first is decided, a repair of the second comes out right.
    case.store.reject_batch(&second, "held", NOW).await.expect("the store answers");
    case.accept(&first).await;
    let fingerprint = Digest::of(b"one");
    case.store.begin_repair(ward(), id(2), "r-1", &fingerprint, NOW).await.expect("the store answers");
    let second = case.claim(2).await;
    assert_eq!(case.store(&second, 0, orders("K", 4)).await, done(0, 4, 0));
});

contract!(an_aborted_batch_frees_its_ids, |case| {
    case.sealed(1, 4).await;
    let claim = case.claim(1).await;
    case.store(&claim, 0, orders("K", 4)).await;
    case.store.abort(ward(), id(1), b"text", b"signature", "wrong", NOW).await.expect("the store answers");
    case.sealed(2, 4).await;
    let claim = case.claim(2).await;
    let mixed = vec![order(0, "K-1"), order_of(1, "K-0", "other"), order(2, "K-1"), order(3, "L")];
    assert_eq!(case.store(&claim, 0, mixed).await, done(3, 1, 0));
    assert_eq!(brief(&case.dispositions(2).await)[2], (2, Duplicate, None, Some((id(2), 0))));
    case.accept(&claim).await;
    let card = case.store.card_by_order_id(ward(), "K-1").await.expect("reads").expect("it is there");
    assert_eq!((card.batch_id, card.index), (id(2), 0));
    assert_eq!(case.store.card_by_order_id(ward(), "K-3").await.expect("reads"), None);
});

contract!(an_attempt_takes_over_what_the_one_before_took, |case| {
    case.sealed(1, 4).await;
    let claim = case.claim(1).await;
    case.store(&claim, 0, orders("K", 4)).await;
    case.store.reject_batch(&claim, "it does not add up", NOW).await.expect("the store answers");
    let fingerprint = Digest::of(b"one");
    case.store.begin_repair(ward(), id(1), "r-1", &fingerprint, NOW).await.expect("the store answers");
    let claim = case.claim(1).await;
    // This time one record is rejected, and so its id is free.
    let mut rest = orders("K", 4);
    let gone = rest.remove(2);
    let reject = Disposition {
        index: 2,
        order_id: gone.order_id,
        kind: Rejected,
        code: Some("SEX_INVALID".to_owned()),
        field: None,
        duplicate_of: None,
    };
    let stored = case.store.store_orders(&claim, 0..1, rest, vec![reject], NOW).await;
    assert_eq!(stored.expect("the store answers"), done(3, 0, 1));
    assert_eq!(
        case.store.orders_page(ward(), id(1), 1, 0, 9).await.expect("reads").len(),
        4,
        "nothing is lost"
    );
    case.accept(&claim).await;
    case.sealed(2, 4).await;
    let claim = case.claim(2).await;
    assert_eq!(case.store(&claim, 0, orders("K", 4)).await, done(1, 3, 0), "the rejected one may come again");
});

contract!(another_municipality_has_its_own_ids, |case| {
    case.accepted(1, &orders("K", 4)).await;
    // Under another batch id: under the same one, a store that mixes them up would take ours for theirs.
    let Opened::Created(theirs) = open(&case.store, other_ward(), 2, 4).await else { panic!("it is new") };
    put(&case.store, &theirs, 0).await.expect("the store answers");
    case.store.mark_sealed(other_ward(), id(2), NOW).await.expect("the store answers");
    let key = WorkKey { municipality: other_ward(), batch_id: id(2) };
    let claim = case.store.claim_work(&key, "worker", NOW, 1000).await.expect("the store answers");
    let claim = claim.expect("it is free");
    assert_eq!(case.store(&claim, 0, orders("K", 4)).await, done(4, 0, 0));
});

contract!(duplicates_are_found_across_every_group_of_a_large_chunk, |case| {
    const MANY: u64 = 1300; // three groups, the last one ragged
    case.large(1, MANY).await;
    let claim = case.claim(1).await;
    let mut all = orders("K", MANY);
    for (at, of) in [(511, 0), (512, 511), (700, 3), (1023, 1022), (1299, 1)] {
        all[at] = order(at as u64, &format!("K-{of}"));
    }
    // K-511 itself was replaced, so that 512 is the first to bring it.
    assert_eq!(case.store(&claim, 0, all).await, done(MANY - 4, 4, 0));
    let page = case.store.dispositions_page(ward(), id(1), 1, 0, 9, true).await.expect("reads");
    let of: Vec<_> = page.iter().map(|d| (d.index, d.duplicate_of.expect("a duplicate").1)).collect();
    assert_eq!(of, [(511, 0), (700, 3), (1023, 1022), (1299, 1)]);
});

contract!(many_ids_are_taken_together_and_where_one_is_held_each_is_told_of, |case| {
    const MANY: u64 = 1300;
    case.large(1, MANY).await;
    let first = case.claim(1).await;
    assert_eq!(case.store(&first, 0, orders("K", MANY)).await, done(MANY, 0, 0));
    case.accept(&first).await;
    case.large(2, MANY).await;
    let second = case.claim(2).await;
    let mut all = orders("L", MANY);
    all[700] = order(700, "K-3");
    all[1299] = order_of(1299, "K-4", "other");
    assert_eq!(case.store(&second, 0, all).await, done(MANY - 2, 1, 1));
    let page = case.store.dispositions_page(ward(), id(2), 1, 0, 9, true).await.expect("reads");
    let of: Vec<_> = page.iter().map(|d| (d.index, d.duplicate_of)).collect();
    assert_eq!(of, [(700, Some((id(1), 3))), (1299, Some((id(1), 4)))]);
    case.accept(&second).await;
});
