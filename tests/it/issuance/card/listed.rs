//! Promise: cards are found by order, by card and by person, and listed by state, office, age and lot;
//! personal data is shown for a purpose alone, with the reading that is right now.

use super::*;

on_both!(cards_are_listed_as_they_stand_and_by_where_they_are, async {
    let world = World::start().await;
    for order_id in ["K-2", "K-3", "K-4"] {
        world.made(order_id).await;
    }
    world.arrive("r-1", &["K-2", "K-3"]).await.expect("there");
    let list = async |request: pb::ListCardsRequest| {
        let page = world.ward.cards().list_cards(request).await.expect("a page").into_inner();
        let cards: Vec<_> = page.cards.into_iter().map(|card| (card.card_id.clone(), card.state())).collect();
        (cards, page.next_page_token)
    };
    let (all, next) = list(pb::ListCardsRequest::default()).await;
    assert_eq!((all.len(), next.as_str()), (10, ""));
    let there: Vec<_> = all.iter().filter(|(_, state)| *state == pb::CardState::Arrived).collect();
    assert_eq!((there.len(), all[4].1, all[9].1), (2, pb::CardState::QcPassed, pb::CardState::Ordered));
    let arrived = pb::ListCardsRequest {
        state: pb::CardState::Arrived.into(),
        office: OFFICE.to_owned(),
        page_size: 1,
        ..Default::default()
    };
    let (first, next) = list(arrived.clone()).await;
    let (second, last) = list(pb::ListCardsRequest { page_token: next, ..arrived.clone() }).await;
    assert_eq!((first[0].0.as_str(), second[0].0.as_str()), ("K-2", "K-3"));
    let (none, _) = list(pb::ListCardsRequest { page_token: last, ..arrived.clone() }).await;
    assert_eq!(none, []);
    let elsewhere = pb::ListCardsRequest { office: "四つ木".to_owned(), ..arrived.clone() };
    assert_eq!(list(elsewhere).await.0, []);
    let old = pb::ListCardsRequest { state_by_time: world.at(0), ..arrived.clone() };
    assert_eq!(list(old).await.0, [], "none is there so long");
    let of_lot = pb::ListCardsRequest { lot_id: LOT.to_owned(), page_size: 2, ..Default::default() };
    let (first, next) = list(of_lot.clone()).await;
    let (second, last) = list(pb::ListCardsRequest { page_token: next, ..of_lot.clone() }).await;
    assert_eq!((first.len(), second.len(), last.as_str()), (2, 1, ""));
    let batch_id = id(1).to_string();
    let by_batch = pb::ListCardsRequest { batch_id: batch_id.clone(), ..Default::default() };
    assert_eq!(list(by_batch).await.0.len(), 10);
    let bad = [
        pb::ListCardsRequest { page_size: 1001, ..Default::default() },
        pb::ListCardsRequest { state: 99, ..Default::default() },
        pb::ListCardsRequest { office: OFFICE.to_owned(), ..Default::default() },
        pb::ListCardsRequest { office: "\0".to_owned(), ..arrived.clone() },
        pb::ListCardsRequest { state_by_time: world.at(1), ..Default::default() },
        pb::ListCardsRequest { batch_id: batch_id.clone(), ..arrived.clone() },
        pb::ListCardsRequest { batch_id, ..of_lot.clone() },
        pb::ListCardsRequest { lot_id: LOT.to_owned(), ..arrived.clone() },
        pb::ListCardsRequest { lot_id: "L 1".to_owned(), ..Default::default() },
    ];
    for request in bad {
        let refused = world.ward.cards().list_cards(request.clone()).await.map_err(fault);
        assert_eq!(refused.expect_err("refused").reason, Reason::FieldInvalid, "{request:?}");
    }
    for request in [arrived, of_lot] {
        let request = pb::ListCardsRequest { page_token: "x".to_owned(), ..request };
        let refused = world.ward.cards().list_cards(request).await.map_err(fault).expect_err("no token");
        assert_eq!(refused.reason, Reason::PageTokenInvalid);
    }
});

on_both!(a_card_is_shown_with_the_reading_that_is_right_now, async {
    let world = World::start().await;
    world.notified("K-0").await;
    let get = async |key: Key, purpose: pb::Purpose| {
        let request = pb::GetCardRequest { key: Some(key), purpose: purpose.into(), with_history: false };
        let got = world.ward.cards().get_card(request).await.map_err(fault)?;
        Ok::<_, Fault>(got.into_inner())
    };
    let by_order = || Key::OrderId("K-0".to_owned());
    let plain = get(by_order(), pb::Purpose::Unspecified).await.expect("its own");
    let card = plain.card.expect("it");
    assert_eq!((card.state(), card.personal_data, plain.events.len()), (pb::CardState::Notified, None, 0));
    let correct = |reading: &str, source: &str| pb::CorrectReadingRequest {
        request_id: "q-1".to_owned(),
        order_id: "K-0".to_owned(),
        reading: reading.to_owned(),
        reading_source: source.to_owned(),
        occurred_time: world.at(1),
    };
    for bad in [correct("", "DECLARED"), correct("ヨシダ", "GUESSED")] {
        let refused = world.ward.cards().correct_reading(bad).await.map_err(fault).expect_err("refused");
        assert_eq!(refused.reason, Reason::FieldInvalid);
    }
    for _ in 0..2 {
        let corrected = world.ward.cards().correct_reading(correct("ヨシダ", "DECLARED")).await;
        assert_eq!(corrected.expect("put right").into_inner().correction_count, 1);
    }
    let keys = [by_order(), Key::CardId("K-0".to_owned()), Key::IndividualNumber(NUMBER.to_owned())];
    for key in keys {
        // The newest order of the person is K-1: it is another card, with no other reading.
        let newest = matches!(key, Key::IndividualNumber(_));
        let shown = get(key, pb::Purpose::Counter).await.expect("for a purpose").card.expect("it");
        let person = shown.personal_data.expect("for a purpose");
        assert_eq!(person.individual_number, NUMBER);
        if newest {
            assert_eq!((shown.card_id.as_str(), person.reading.as_str()), ("K-1", ""));
        } else {
            assert_eq!((person.reading.as_str(), person.reading_source.as_str()), ("ヨシダ", "DECLARED"));
        }
    }
    assert_eq!(
        get(Key::CardId("K-99".to_owned()), pb::Purpose::Unspecified).await.expect_err("none").reason,
        Reason::NotFound
    );
    let vague = pb::GetCardRequest { key: None, ..Default::default() };
    let vague = world.ward.cards().get_card(vague).await.map_err(fault).expect_err("which");
    assert_eq!(vague.reason, Reason::FieldInvalid);
});
