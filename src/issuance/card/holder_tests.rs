//! Promise: what came to a person while it was looked at what the person has is not left out of what happened
//! to them.

use super::*;
use crate::store::Known;

fn row(kind: ItemKind, id: &str, events: u32) -> ItemRow {
    let municipality = "131229".parse().expect("Katsushika");
    ItemRow {
        key: ItemKey { municipality, kind, id: id.parse().expect("an id") },
        state: "ACTIVE".to_owned(),
        since_ms: 1,
        events,
        office: String::new(),
        cards: 1,
        details: String::new(),
    }
}

/// What is committed when it is decided: a card, which the request stands under, and an application.
fn found(card: u32, application: u32, live: &str) -> Found {
    let known = |item| Known { item: Some(item), history: Vec::new() };
    let other = row(ItemKind::Application, "A-1", application);
    let hold = Hold { kind: HoldKind::LiveApplication, of: [1; 32] };
    Found {
        item: Some(row(ItemKind::Card, "K-1", card)),
        history: Vec::new(),
        held: BTreeMap::from([(hold, live.parse().expect("an id"))]),
        with: BTreeMap::from([(other.key.clone(), known(other))]),
    }
}

#[test]
fn a_person_is_as_it_was_only_if_nothing_of_theirs_has_changed() {
    let items = [row(ItemKind::Card, "K-1", 5), row(ItemKind::Application, "A-1", 3)];
    let is_as_it_was = |found: &Found| is_as_it_was(found, &items[0].key, &items);
    assert!(is_as_it_was(&found(5, 3, "A-1")));
    assert!(!is_as_it_was(&found(6, 3, "A-1")), "the card has changed");
    assert!(!is_as_it_was(&found(5, 4, "A-1")), "a card is made for the application");
    assert!(!is_as_it_was(&found(5, 3, "A-2")), "something else is applied for");
    let mut gone = found(5, 3, "A-1");
    gone.with.clear();
    assert!(!is_as_it_was(&gone));
}
