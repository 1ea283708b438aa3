//! Promise: what is mended in an accepted batch takes nothing from another one, and each place is told at
//! which it was done.

use super::*;

contract!(no_order_id_is_taken_from_another_batch_that_stands, |case| {
    case.accepted(1, &orders("K", 4)).await;
    let row = case.accepted(2, &orders("L", 4)).await;
    // Batch 3 is not decided, batch 4 was given up.
    case.sealed(3, 4).await;
    case.store(&case.claim(3).await, 0, orders("M", 4)).await;
    case.sealed(4, 4).await;
    case.store(&case.claim(4).await, 0, orders("N", 4)).await;
    case.store.abort(ward(), id(4), b"text", b"signature", "wrong", NOW).await.expect("the store answers");
    let mends = [order(0, "K-0"), order(1, "L-1"), order(2, "M-2"), order(3, "N-3")];
    let mends = mends.map(|order| (order, "it is gone".to_owned()));
    let mended = case.store.mend_orders(&row, &mends, NOW).await.expect("the store answers");
    assert_eq!(mended.into_iter().collect::<Vec<_>>(), [1, 3]);
    let card = async |order_id| case.store.card_by_order_id(ward(), order_id).await.expect("reads");
    let place = |card: Option<crate::store::CardRow>| card.map(|card| (card.batch_id, card.index));
    assert_eq!(place(card("K-0").await), Some((id(1), 0)), "it stays where it was");
    assert_eq!(place(card("L-1").await), Some((id(2), 1)));
    assert_eq!(place(card("M-2").await), None, "its batch may still be accepted");
    assert_eq!(place(card("N-3").await), Some((id(2), 3)), "nobody holds it any more");
    assert_eq!(case.store.orders_page(ward(), id(2), 1, 0, 9).await.expect("reads").len(), 4);
    let again = case.store.mend_orders(&BatchRow { attempt: 2, ..row }, &mends, NOW).await;
    assert!(again.expect("the store answers").is_empty(), "it is not accepted in that attempt");
});
