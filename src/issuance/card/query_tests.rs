//! Promise: whatever was lost, the same question of a terminal has the same answer.

use uuid::Uuid;

use super::*;
use crate::issuance::card::event::Event;

fn session(n: u128) -> SessionId {
    SessionId(Uuid::from_u128(n))
}

fn ordered() -> Life {
    let order = Event::Order {
        order_id: "K-1".to_owned(),
        application: None,
        instead_of: None,
        person: crate::domain::digest::Digest::of(b"somebody").to_string(),
        photo: None,
    };
    Life::of(&[]).expect("nothing").then(&"K-1".parse().expect("an id"), &[order], 1).expect("it begins")
}

/// A card whose activations stand so; the last of them was begun last.
fn with(intents: &[(u128, IntentState)]) -> Life {
    let mut life = ordered();
    life.intents = intents.iter().map(|(n, state)| (session(*n), *state)).collect();
    life.details.session = intents.last().map(|(n, _)| session(*n).to_string());
    life
}

fn step(life: &Life, chip: Chip) -> Step {
    next(life, chip).expect("readable").1
}

#[test]
fn the_open_activation_decides_then_that_of_the_chip_then_the_last() {
    use IntentState::{Aborted, Begun, Confirmed};
    let fresh = ordered();
    assert_eq!(step(&fresh, Chip::Blank), Step::BeginAnew);
    let open = with(&[(1, Aborted), (2, Begun)]);
    assert_eq!(step(&open, Chip::Blank), Step::PrepareChip);
    assert_eq!(step(&open, Chip::Prepared(session(2))), Step::CommitChip);
    assert_eq!(step(&open, Chip::Committed(session(2))), Step::Confirm);
    assert_eq!(step(&open, Chip::Committed(session(1))), Step::ResetChip(session(1)));
    let given_up = with(&[(1, Aborted), (2, Aborted)]);
    assert_eq!(step(&given_up, Chip::Committed(session(1))), Step::ResetChip(session(1)));
    assert_eq!(step(&given_up, Chip::Blank), Step::BeginAnew);
    let done = with(&[(1, Aborted), (2, Confirmed)]);
    assert_eq!(step(&done, Chip::Committed(session(2))), Step::Done);
    assert_eq!(step(&done, Chip::Blank), Step::Stop, "the server has a proof that this chip denies");
    assert_eq!(step(&done, Chip::Prepared(session(2))), Step::Stop);
}

#[test]
fn what_the_server_has_forgotten_is_reset_from_a_new_activation() {
    use IntentState::{Aborted, Begun};
    for chip in [Chip::Prepared(session(9)), Chip::Committed(session(9))] {
        assert_eq!(step(&ordered(), chip), Step::BeginAnew);
        assert_eq!(step(&with(&[(1, Aborted)]), chip), Step::BeginAnew, "and nobody asks in a circle");
        assert_eq!(step(&with(&[(1, Begun)]), chip), Step::ResetChip(session(9)));
    }
}

#[test]
fn a_session_that_is_confirmed_is_never_reset() {
    let odd = with(&[(1, IntentState::Confirmed), (2, IntentState::Begun)]);
    assert_eq!(step(&odd, Chip::Committed(session(1))), Step::Stop);
}
