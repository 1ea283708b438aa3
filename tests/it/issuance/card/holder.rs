//! Promise: what happens to a holder changes every card and open application of the person in one step, and
//! nobody else's.

use super::*;

const NUMBER_1: &str = "8d7ef96f-134a-4fd8-978b-afb9415ddc6f";

/// Cards of the person of K-0 and K-1 at every stage: K-0 is active, K-1 is at the producer, and one for an
/// application is at the counter.
async fn person() -> World {
    let world = World::start().await;
    world.active("K-0").await;
    world.made("K-1").await;
    let person = world.person("K-0");
    world.making.application(NUMBER_1, "K-0", person).await;
    let made = Made {
        id: "8d7ef96f-134a-4fd8-978b-000000000001",
        order_id: "K-0",
        person,
        application: Some("8d7ef96f-134a-4fd8-978b-000000000001"),
        last_day: LAST_DAY,
        then: to_the_counter(),
        state: "NOTIFIED",
    };
    world.making.card(&made).await;
    world.notified("K-2").await; // somebody else's
    world
}

fn states(answer: &pb::RecordHolderEventResponse) -> Vec<(&str, pb::CardState)> {
    let mut states: Vec<_> = answer.cards.iter().map(|card| (card.card_id.as_str(), card.state())).collect();
    states.sort_by_key(|(id, _)| *id);
    states
}

const BY_APPLICATION: &str = "8d7ef96f-134a-4fd8-978b-000000000001";

on_both!(who_moves_keeps_the_active_card_and_all_that_is_in_flight_ends, async {
    let world = person().await;
    let moved = world.happened("h-1", "K-1", pb::HolderEvent::Moved).await.expect("by any order");
    let expected = [
        (BY_APPLICATION, pb::CardState::Recalled),
        ("K-0", pb::CardState::Active),
        ("K-1", pb::CardState::Recalled),
    ];
    assert_eq!(states(&moved), expected);
    assert_eq!(moved.application_numbers, [NUMBER_1]);
    assert_eq!(world.making.application_state(NUMBER_1).await, "VOIDED_MOVED");
    assert_eq!(world.happened("h-1", "K-1", pb::HolderEvent::Moved).await, Ok(moved), "again");
    assert_eq!(world.state("K-2").await, pb::CardState::Notified, "nobody else's");
    let reused = world.happened("h-1", "K-1", pb::HolderEvent::Died).await.expect_err("another");
    assert_eq!(reused.reason, Reason::RequestIdReused);
    // The person can apply again: nothing live is held.
    world.making.application("8d7ef96f-134a-4fd8-978b-000000000009", "K-0", world.person("K-0")).await;
    world.replayed().await;
});

on_both!(who_dies_has_no_card_any_more_and_one_that_was_never_made_is_none, async {
    let world = person().await;
    let (id, order) = ("x-1", "K-1");
    act!(world, scrap_card, ScrapCardRequest, id, order, reason: "bad".to_owned()).expect("scrapped");
    let remade = act!(world, remake_card, RemakeCardRequest, "m-1", "K-1").expect("another is to be made");
    assert_eq!(remade.remade_card_id, "K-1~2");
    let died = world.happened("h-1", "K-0", pb::HolderEvent::Died).await.expect("known");
    let expected = [
        (BY_APPLICATION, pb::CardState::Recalled),
        ("K-0", pb::CardState::Revoked),
        ("K-1~2", pb::CardState::Scrapped),
    ];
    assert_eq!(states(&died), expected);
    assert_eq!(world.making.application_state(NUMBER_1).await, "VOIDED_DIED");
    let nothing = world.happened("h-2", "K-0", pb::HolderEvent::Died).await.expect_err("nothing is open");
    assert_eq!(nothing.reason, Reason::ItemState);
});

on_both!(a_suspicion_of_fraud_stops_every_card_until_it_is_cleared, async {
    let world = person().await;
    let suspected = world.happened("h-1", "K-0", pb::HolderEvent::FraudSuspected).await.expect("at once");
    let expected = [
        (BY_APPLICATION, pb::CardState::Recalled),
        ("K-0", pb::CardState::Suspended),
        ("K-1", pb::CardState::Recalled),
    ];
    assert_eq!(states(&suspected), expected);
    assert!(suspected.cards.iter().all(|card| card.fraud_suspected));
    assert_eq!(suspected.application_numbers, [NUMBER_1]);
    assert_eq!(world.making.application_state(NUMBER_1).await, "VOIDED_FRAUD");
    let refused = act!(world, resume_card, ResumeCardRequest, "u-1", "K-0").expect_err("not now");
    assert!(refused.reason == Reason::ItemState && refused.message.contains("fraud"), "{refused:?}");
    let cleared = world.happened("h-2", "K-1", pb::HolderEvent::FraudCleared).await.expect("it was none");
    assert!(cleared.cards.len() == 3 && cleared.cards.iter().all(|card| !card.fraud_suspected));
    act!(world, resume_card, ResumeCardRequest, "u-1", "K-0").expect("now");
    let again = world.happened("h-3", "K-1", pb::HolderEvent::FraudCleared).await.expect_err("none stands");
    assert_eq!(again.reason, Reason::ItemState);
});

on_both!(what_is_said_of_a_holder_is_known_and_has_its_reason, async {
    let world = World::start().await;
    let request = pb::RecordHolderEventRequest {
        request_id: "h-1".to_owned(),
        order_id: "K-2".to_owned(),
        event: pb::HolderEvent::FraudSuspected.into(),
        reason: String::new(),
        occurred_time: world.at(1),
    };
    let refused = async |request: pb::RecordHolderEventRequest| {
        world.ward.cards().record_holder_event(request).await.map_err(fault).expect_err("refused").reason
    };
    assert_eq!(refused(request.clone()).await, Reason::ReasonRequired);
    let of = |event: i32| pb::RecordHolderEventRequest { event, ..request.clone() };
    assert_eq!(refused(of(0)).await, Reason::FieldInvalid);
    assert_eq!(refused(of(99)).await, Reason::FieldInvalid);
    let reason = "a call".to_owned();
    let cleared = pb::RecordHolderEventRequest { reason, ..of(pb::HolderEvent::FraudCleared.into()) };
    assert_eq!(refused(cleared.clone()).await, Reason::ItemState, "nothing is suspected");
    let unknown = pb::RecordHolderEventRequest { order_id: "K-99".to_owned(), ..cleared };
    assert_eq!(refused(unknown).await, Reason::NotFound);
});

on_both!(an_order_that_nobody_was_given_ends_with_its_holder, async {
    let world = World::start().await;
    world.active("K-0").await;
    let died = world.happened("h-1", "K-0", pb::HolderEvent::Died).await.expect("known");
    assert_eq!(states(&died), [("K-0", pb::CardState::Revoked), ("K-1", pb::CardState::Scrapped)]);
    assert_eq!(world.happened("h-1", "K-0", pb::HolderEvent::Died).await, Ok(died), "again");
    // And where there is nothing else.
    let moved = world.happened("h-2", "K-3", pb::HolderEvent::Moved).await.expect("it is only ordered");
    assert_eq!(states(&moved), [("K-3", pb::CardState::Scrapped)]);
    let suspected = world.happened("h-3", "K-4", pb::HolderEvent::FraudSuspected).await.expect("noted");
    assert_eq!(states(&suspected), [("K-4", pb::CardState::Scrapped)]);
    let remake = async |id: &str| act!(world, remake_card, RemakeCardRequest, id, "K-4");
    assert_eq!(remake("m-1").await.expect_err("the suspicion stands").reason, Reason::ItemState);
    world.happened("h-4", "K-4", pb::HolderEvent::FraudCleared).await.expect("it was none");
    assert_eq!(remake("m-1").await.expect("now").remade_card_id, "K-4~2");
    let none = world.happened("h-5", "K-3", pb::HolderEvent::Died).await.expect_err("nothing is left");
    assert_eq!(none.reason, Reason::ItemState);
    world.replayed().await;
});
