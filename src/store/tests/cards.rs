//! Promise: a card order is seen by its own municipality once its batch is accepted, and never before.

use super::*;
use crate::store::CardRow;

async fn list(
    case: &Case,
    after: Option<(BatchId, u64)>,
    batch: Option<u32>,
    count: u32,
) -> Vec<(BatchId, u64)> {
    let cards = case.store.list_cards(ward(), after, batch.map(id), count).await.expect("reads");
    cards.iter().map(|card| (card.batch_id, card.index)).collect()
}

contract!(an_order_is_hidden_until_its_batch_is_accepted, |case| {
    case.sealed(1, 4).await;
    let claim = case.claim(1).await;
    case.work_off(&claim, &orders("K", 4)).await;
    let person = Digest::of(b"K-2").0;
    assert_eq!(case.store.card_by_order_id(ward(), "K-2").await.expect("reads"), None);
    assert_eq!(case.store.cards_by_person(ward(), &person, 9).await.expect("reads"), []);
    assert_eq!(list(&case, None, None, 9).await, []);
    case.accept(&claim).await;
    let card = case.store.card_by_order_id(ward(), "K-1").await.expect("reads").expect("it is seen");
    assert_eq!(
        card,
        CardRow {
            municipality: ward(),
            order_id: "K-1".to_owned(),
            batch_id: id(1),
            index: 1,
            kind: "NOTIFICATION_CARD".to_owned(),
            district: "白鳥".to_owned(),
            protected: true,
            accommodations: "BRAILLE".to_owned(),
            ordered_ms: NOW,
            sealed: b"sealed K-1".to_vec(),
        }
    );
    let found = case.store.cards_by_person(ward(), &person, 9).await.expect("reads");
    assert_eq!(found.iter().map(|card| card.index).collect::<Vec<_>>(), [2]);
    assert_eq!(list(&case, None, None, 9).await.len(), 4);
    assert_eq!(case.store.card_by_order_id(other_ward(), "K-1").await.expect("reads"), None);
    assert_eq!(case.store.cards_by_person(other_ward(), &person, 9).await.expect("reads"), []);
    assert_eq!(case.store.list_cards(other_ward(), None, None, 9).await.expect("reads"), []);
});

contract!(a_person_is_found_by_the_whole_index_and_not_by_its_beginning, |case| {
    let person = Digest::of(b"a person").0;
    let mut alike = person;
    alike[31] ^= 1;
    let mut all = orders("K", 4);
    all[0].person_index = Some(person);
    all[1].person_index = Some(alike);
    all[2].person_index = None;
    all[3].person_index = Some(person);
    case.accepted(1, &all).await;
    let found = async |index| {
        let cards = case.store.cards_by_person(ward(), &index, 9).await.expect("reads");
        cards.iter().map(|card| card.index).collect::<Vec<_>>()
    };
    assert_eq!(found(person).await, [3, 0]);
    assert_eq!(found(alike).await, [1]);
    let newest = case.store.cards_by_person(ward(), &person, 1).await.expect("reads");
    assert_eq!(newest.iter().map(|card| card.index).collect::<Vec<_>>(), [3]);
    assert_eq!(found([0; 32]).await, Vec::<u64>::new());
});

contract!(every_person_is_found_however_many_chunks_are_entered_together, |case| {
    let mut all = orders("K", 42);
    for order in &mut all {
        order.person_index = (order.index != 9).then(|| Digest::of(order.order_id.as_bytes()).0);
    }
    case.sealed(1, 42).await;
    let case = case.reopened(|options| options.persons_together = 12).await;
    let mut claim = case.claim(1).await;
    for (number, chunk) in (0..).zip(all[..20].chunks(4)) {
        case.store(&claim, number, chunk.to_vec()).await;
    }
    assert_eq!(case.row(1).await.chunks_indexed, 3, "two wait");
    // Another issuer with other options goes on.
    case.store.release_work(&claim, NOW, "a test").await.expect("the store answers");
    let case = case.reopened(|options| options.persons_together = 16).await;
    claim = case.claim(1).await;
    for (number, chunk) in (5..).zip(all[20..].chunks(4)) {
        case.store(&claim, number, chunk.to_vec()).await;
        let indexed = case.row(1).await.chunks_indexed;
        assert_eq!(indexed, [3, 7, 7, 7, 7, 11][number as usize - 5], "after chunk {number}");
    }
    case.accept(&claim).await;
    for order in &all {
        let person = Digest::of(order.order_id.as_bytes()).0;
        let found = case.store.cards_by_person(ward(), &person, 9).await.expect("reads");
        let found: Vec<_> = found.iter().map(|card| card.index).collect();
        let expected = if order.index == 9 { vec![] } else { vec![order.index] };
        assert_eq!(found, expected, "record {}", order.index);
    }
});

contract!(an_earlier_attempts_orders_are_never_seen, |case| {
    case.sealed(1, 4).await;
    let claim = case.claim(1).await;
    case.work_off(&claim, &orders("OLD", 4)).await;
    case.store.reject_batch(&claim, "it does not add up", NOW).await.expect("the store answers");
    let fingerprint = Digest::of(b"one");
    case.store.begin_repair(ward(), id(1), "r-1", &fingerprint, NOW).await.expect("the store answers");
    let claim = case.claim(1).await;
    case.work_off(&claim, &orders("NEW", 4)).await;
    case.accept(&claim).await;
    assert_eq!(case.store.card_by_order_id(ward(), "OLD-1").await.expect("reads"), None);
    let person = Digest::of(b"OLD-2").0;
    assert_eq!(case.store.cards_by_person(ward(), &person, 9).await.expect("reads"), []);
    assert_eq!(list(&case, None, None, 9).await.len(), 4);
    assert!(case.store.card_by_order_id(ward(), "NEW-1").await.expect("reads").is_some());
});

contract!(cards_are_listed_page_by_page_over_all_batches, |case| {
    case.accepted(2, &orders("B", 3)).await;
    case.accepted(1, &orders("A", 5)).await;
    case.open(3, 4).await;
    case.accepted(4, &orders("A", 5)).await; // nothing but duplicates
    case.accepted(5, &[]).await;
    case.accepted(6, &orders("C", 2)).await;
    let mut expected: Vec<(BatchId, u64)> = (0..5).map(|index| (id(1), index)).collect();
    expected.extend((0..3).map(|index| (id(2), index)));
    expected.extend((0..2).map(|index| (id(6), index)));
    for size in [1, 2, 3, 4, 7, 10, 50] {
        let (mut found, mut after) = (Vec::<(BatchId, u64)>::new(), None);
        loop {
            let page = list(&case, after, None, size).await;
            assert!(page.len() <= size as usize);
            found.extend(&page);
            let Some(last) = page.last() else { break };
            after = Some(*last);
        }
        assert_eq!(found, expected, "in pages of {size}");
    }
    assert_eq!(list(&case, None, Some(2), 2).await, [(id(2), 0), (id(2), 1)]);
    assert_eq!(list(&case, Some((id(2), 1)), Some(2), 2).await, [(id(2), 2)]);
    assert_eq!(list(&case, Some((id(1), 4)), Some(2), 9).await.len(), 3);
    assert_eq!(list(&case, Some((id(6), 0)), Some(2), 9).await, []);
    assert_eq!(list(&case, None, Some(3), 9).await, []);
});
