//! Promise: how a card stands follows from its history, whichever of shipment and arrival is told first.

use super::*;

fn id() -> ItemId {
    "K-1".parse().expect("an id")
}

fn ordered() -> Event {
    Event::Order {
        order_id: "K-1".to_owned(),
        application: None,
        instead_of: None,
        person: Digest::of(b"somebody").to_string(),
        photo: None,
    }
}

fn made() -> Vec<Event> {
    let lease = Event::Lease { producer: "press".to_owned(), lot: "L-1".to_owned(), until_ms: 99 };
    let last_day = Some("2036-04-01".to_owned());
    let personalise = Event::Personalise { chip_key: "00".to_owned(), last_day, unmet: Vec::new() };
    vec![ordered(), lease, personalise, Event::PassQc]
}

/// The life that is read back when these were recorded in this order, each at its own time.
fn recorded(events: &[(i64, Event)]) -> Life {
    let row = |(at, (occurred_ms, event)): (usize, &(i64, Event))| EventRow {
        position: u32::try_from(at + 1).expect("few"),
        occurred_ms: *occurred_ms,
        recorded_ms: 1000,
        actor: "somebody".to_owned(),
        request_id: format!("r-{at}"),
        event: event.text(),
    };
    let rows: Vec<EventRow> = events.iter().enumerate().map(row).collect();
    Life::of(&rows).expect("it is readable")
}

#[test]
fn shipment_and_arrival_lead_to_the_same_in_either_order() {
    let (ship, arrive) =
        (Event::Ship { shipment: "S-1".to_owned() }, Event::Arrive { office: "区役所".to_owned() });
    let made: Vec<_> = made().into_iter().map(|event| (1, event)).collect();
    let in_order = [made.clone(), vec![(2, ship.clone()), (3, arrive.clone())]].concat();
    let late = [made.clone(), vec![(3, arrive.clone()), (2, ship.clone())]].concat();
    let (in_order, late) = (recorded(&in_order), recorded(&late));
    assert_eq!((in_order.state, in_order.since_ms), (CardState::Arrived, 3));
    assert_eq!((late.state, late.since_ms, &late.details), (CardState::Arrived, 3, &in_order.details));
    let twice = late.then(&id(), std::slice::from_ref(&ship), 4);
    assert_eq!(twice.expect_err("it was said already").reason, Reason::ItemState);
    let early = recorded(&made[..3]).then(&id(), &[arrive], 3);
    assert_eq!(early.expect_err("nobody has found it good").reason, Reason::ItemState);
}

#[test]
fn every_event_is_read_back_and_has_a_word() {
    for event in made().into_iter().chain([
        Event::BeginActivation {
            session: uuid::Uuid::nil().to_string(),
            terminal: "T-1".to_owned(),
            documents: vec!["PASSPORT".to_owned()],
            other_may_be_active: false,
        },
        Event::Expire { on: "2036-04-02".to_owned(), last_day: "2036-04-01".to_owned() },
        Event::Recall { lot: "L-1".to_owned(), why: "chips".to_owned() },
        Event::Unlease { lot: "L-1".to_owned(), why: "over".to_owned() },
        Event::ClearFraud { why: "found".to_owned() },
    ]) {
        let text = event.text();
        let word = text.split('"').nth(3).expect("the event's word").to_owned();
        assert_eq!(Event::read(&text).expect("readable"), event);
        assert_eq!(event.word(), word, "the word in the API is the stored one");
    }
}

#[test]
fn whoever_ends_a_card_while_it_is_being_activated_gives_the_activation_up() {
    let session = uuid::Uuid::from_u128(7);
    let mut events: Vec<_> = made().into_iter().map(|event| (1, event)).collect();
    events.extend([
        (2, Event::Ship { shipment: "S".to_owned() }),
        (3, Event::Arrive { office: "o".to_owned() }),
        (4, Event::PreIssue),
        (5, Event::Notify),
    ]);
    let begin = Event::BeginActivation {
        session: session.to_string(),
        terminal: "T-1".to_owned(),
        documents: Vec::new(),
        other_may_be_active: false,
    };
    events.push((6, begin));
    let open = recorded(&events);
    assert_eq!(open.intent(SessionId(session)).map(|one| one.state()), Some(IntentState::Begun));
    let hold = open.hold().expect("of a person");
    assert_eq!(open.decided(&[], 6).expect("stored").take, [hold]);
    let recall = Event::Recall { lot: "L-1".to_owned(), why: "chips".to_owned() };
    let ended = open.then(&id(), std::slice::from_ref(&recall), 7).expect("a lot can always be recalled");
    assert_eq!(ended.intent(SessionId(session)).map(|one| one.state()), Some(IntentState::Aborted));
    let decided = ended.decided(&[recall], 7).expect("stored");
    assert_eq!((decided.state.as_str(), decided.leave), ("RECALLED", vec![hold]));
    assert_eq!(decided.unlink, [Link::of_day(Date::parse("2036-04-01").expect("a day"))]);
}

#[test]
fn a_recalled_card_is_met_on_its_way_once() {
    let recall = Event::Recall { lot: "L-1".to_owned(), why: "chips".to_owned() };
    let mut events: Vec<_> = made().into_iter().map(|event| (1, event)).collect();
    events.extend([(2, Event::Ship { shipment: "S-1".to_owned() }), (3, recall)]);
    let recalled = recorded(&events);
    let arrive = Event::Arrive { office: "区役所".to_owned() };
    let lose = Event::LoseInTransit { why: "gone".to_owned() };
    let find = Event::FindAgain { office: "区役所".to_owned(), remade: false };
    let takes = |events: &[Event]| recalled.clone().then(&id(), events, 4).ok().map(|after| after.state);
    let still = Some(CardState::Recalled);
    for fits in [vec![arrive.clone()], vec![lose.clone()], vec![lose.clone(), find.clone()]] {
        assert_eq!(takes(&fits), still, "{fits:?}");
        for again in [&arrive, &lose, &find] {
            let lost = matches!(fits[..], [Event::LoseInTransit { .. }]);
            let expected = if lost && *again == find { still } else { None };
            assert_eq!(takes(&[&fits[..], std::slice::from_ref(again)].concat()), expected, "{again:?}");
        }
    }
    assert_eq!(takes(&[find]), None, "it was not lost");
}
