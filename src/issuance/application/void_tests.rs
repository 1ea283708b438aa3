//! Promise: whatever becomes of an application, no card of it stays on its way, and the lot's sum closes.

use std::collections::BTreeMap;

use super::*;
use crate::{
    domain::{digest::Digest, item::HoldKind},
    store::{EventRow, ItemRow, Known},
};

fn key(kind: ItemKind, id: &str) -> ItemKey {
    ItemKey { municipality: "131229".parse().expect("a municipality"), kind, id: id.parse().expect("an id") }
}

/// An item of which these events were recorded.
fn known(events: Vec<String>) -> Known {
    let row = |(at, event): (usize, String)| EventRow {
        position: u32::try_from(at).expect("few") + 1,
        occurred_ms: 1,
        recorded_ms: 1,
        actor: "producer/press-1".to_owned(),
        request_id: "r-1".to_owned(),
        event,
    };
    Known { item: None::<ItemRow>, history: events.into_iter().enumerate().map(row).collect() }
}

fn order() -> CardEvent {
    CardEvent::Order {
        order_id: "K-1".to_owned(),
        application: Some("A".to_owned()),
        instead_of: None,
        person: Digest([7; 32]).to_string(),
        photo: Some("P-1".to_owned()),
    }
}

fn lease() -> CardEvent {
    CardEvent::Lease { producer: "press-1".to_owned(), lot: "L-1".to_owned(), until_ms: 9 }
}

fn made() -> Vec<CardEvent> {
    let personalise = CardEvent::Personalise {
        chip_key: "04".to_owned(),
        last_day: Some("2030-01-01".to_owned()),
        unmet: vec![],
    };
    vec![order(), lease(), personalise, CardEvent::PassQc]
}

/// The states of card and share, and the share's figures, after an application is void.
fn ended(events: &[CardEvent], reason: VoidReason) -> (Option<String>, Option<lot::Details>) {
    let has_lot = events.iter().any(|event| matches!(event, CardEvent::Lease { .. }));
    let making = Making {
        card: key(ItemKind::Card, "A"),
        share: has_lot.then(|| key(ItemKind::Lot, "L-1")),
        hold: Hold { kind: HoldKind::ActiveCard, of: [7; 32] },
    };
    let share = [r#"{"event":"ALLOCATE","cards":5,"producer":"press-1"}"#, r#"{"event":"PULL","cards":2}"#];
    let with = BTreeMap::from([
        (making.card.clone(), known(events.iter().map(CardEvent::text).collect())),
        (key(ItemKind::Lot, "L-1"), known(share.map(str::to_owned).to_vec())),
    ]);
    let found = Found { item: None, history: Vec::new(), held: BTreeMap::new(), with };
    let ended = making.end(&found, reason, 5).expect("it is decided");
    let state = |kind| ended.iter().find(|(key, _)| key.kind == kind).map(|(_, one)| one);
    let figures = state(ItemKind::Lot).map(|one| serde_json::from_str(&one.details).expect("its own"));
    (state(ItemKind::Card).map(|one| one.state.clone()), figures)
}

#[test]
fn a_card_on_its_way_is_scrapped_or_recalled_for_whatever_reason_its_application_is_void() {
    for reason in VoidReason::ALL {
        let is = |events: &[CardEvent]| ended(events, *reason).0;
        assert_eq!(is(&[order()]).as_deref(), Some("SCRAPPED"), "{reason}: nobody has begun");
        assert_eq!(is(&[order(), lease()]).as_deref(), Some("SCRAPPED"), "{reason}");
        assert_eq!(is(&made()).as_deref(), Some("RECALLED"), "{reason}");
        let scrapped = [&made()[..], &[CardEvent::Scrap { why: "bent".to_owned() }]].concat();
        assert_eq!(is(&scrapped), None, "{reason}: it has ended already");
    }
}

#[test]
fn an_active_card_of_a_mix_up_is_recalled_too_and_so_is_one_that_was_lost() {
    let ship = CardEvent::Ship { shipment: "S-1".to_owned() };
    let lost = [&made()[..], &[ship.clone(), CardEvent::LoseInTransit { why: "gone".to_owned() }]].concat();
    assert_eq!(ended(&lost, VoidReason::MixedUp).0.as_deref(), Some("RECALLED"));
    let session = "0192f0c1-2345-7abc-8def-000000000001".to_owned();
    let active = [
        &made()[..],
        &[
            ship,
            CardEvent::Arrive { office: "亀有".to_owned() },
            CardEvent::PreIssue,
            CardEvent::Notify,
            CardEvent::BeginActivation {
                session: session.clone(),
                terminal: "T-1".to_owned(),
                documents: vec!["PASSPORT".to_owned()],
                other_may_be_active: false,
            },
            CardEvent::ConfirmActivation { session, signature: String::new(), other_may_be_active: false },
        ],
    ]
    .concat();
    assert_eq!(ended(&active, VoidReason::MixedUp).0.as_deref(), Some("RECALLED"));
}

#[test]
fn the_blank_card_of_an_order_that_was_leased_is_given_back_and_no_other_is() {
    let figures = |events: &[CardEvent]| ended(events, VoidReason::Withdrawn).1;
    let share = figures(&[order(), lease()]).expect("it is changed");
    assert_eq!((share.allocated, share.consumed, share.scrapped, share.remaining), (5, 1, 0, 4));
    assert_eq!(figures(&[order()]), None, "none was taken");
    assert_eq!(figures(&made()), None, "it is a card, which is to be destroyed");
}

#[test]
fn a_card_that_went_to_another_lot_meanwhile_is_not_decided_on() {
    let making = Making {
        card: key(ItemKind::Card, "A"),
        share: None,
        hold: Hold { kind: HoldKind::ActiveCard, of: [7; 32] },
    };
    let events = [order(), lease()].map(|event| event.text());
    let with = BTreeMap::from([(making.card.clone(), known(events.to_vec()))]);
    let found = Found { item: None, history: Vec::new(), held: BTreeMap::new(), with };
    let refused = making.end(&found, VoidReason::MixedUp, 5).expect_err("a producer has it now");
    assert!(refused.reason.safe_to_retry(), "{refused:?}: the same request finds it so");
}
