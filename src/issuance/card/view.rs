//! A card and its history as the API has them: what its order says for whom, and what became of it.

use crate::{
    domain::{
        life::{activation::IntentState, card::CardState},
        record::{Field, Record},
    },
    store::{CardRow, EventRow, ItemRow},
    wire::{convert::timestamp, fault::Fault, pb},
};

use super::{
    super::lists,
    event::Event,
    life::{details, unreadable},
};

/// Returns a card as it stands; without an item nobody has been given its order yet.
pub(super) fn card(order: &CardRow, item: Option<&ItemRow>) -> Result<pb::Card, Fault> {
    let ordered = pb::Card {
        municipality_code: order.municipality.to_string(),
        order_id: order.order_id.clone(),
        batch_id: order.batch_id.to_string(),
        index: order.index,
        kind: kind(&order.kind).into(),
        state: pb::CardState::Ordered.into(),
        district: order.district.clone(),
        protected: order.protected,
        accommodations: words(&order.accommodations),
        order_time: Some(timestamp(order.ordered_ms)),
        card_id: order.order_id.clone(),
        state_time: Some(timestamp(order.ordered_ms)),
        ..pb::Card::default()
    };
    let Some(item) = item else { return Ok(ordered) };
    let kept = details(item)?;
    let kind = match kept.application {
        Some(_) => pb::CardKind::IndividualNumberCard, // the order says for whom, and is of another card
        None => ordered.kind(),
    };
    Ok(pb::Card {
        kind: kind.into(),
        state: pb_state(state(item)?).into(),
        card_id: item.key.id.to_string(),
        state_time: Some(timestamp(item.since_ms)),
        office: item.office.clone(),
        lot_id: kept.lot.unwrap_or_default(),
        application_number: kept.application.unwrap_or_default(),
        instead_of: kept.instead_of.unwrap_or_default(),
        remade_as: kept.remade_as.unwrap_or_default(),
        last_day: kept.last_day.unwrap_or_default(),
        session_id: kept.session.unwrap_or_default(),
        fraud_suspected: kept.fraud_suspected,
        unmet_accommodations: kept.unmet,
        event_count: item.events,
        ..ordered
    })
}

/// The state of a card that is stored.
pub(super) fn state(item: &ItemRow) -> Result<CardState, Fault> {
    item.state.parse().map_err(|_| unreadable())
}

fn kind(word: &str) -> pb::CardKind {
    match word {
        "NOTIFICATION_CARD" => pb::CardKind::NotificationCard,
        "INDIVIDUAL_NUMBER_CARD" => pb::CardKind::IndividualNumberCard,
        _ => pb::CardKind::Unspecified,
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(';').filter(|one| !one.is_empty()).map(str::to_owned).collect()
}

/// What a record says of its person, with the reading that is right now and where it comes from.
pub(super) fn personal(record: &Record, corrected: Option<(String, String)>) -> pb::PersonalData {
    let text = |field: Field| record.text(field).to_owned();
    let (reading, reading_source) =
        corrected.unwrap_or_else(|| (text(Field::Reading), text(Field::ReadingSource)));
    pb::PersonalData {
        name: text(Field::Name),
        substitute_name: text(Field::SubstituteName),
        reading,
        reading_source,
        birth_date: text(Field::BirthDate),
        sex: text(Field::Sex),
        address: text(Field::Address),
        delivery_address: text(Field::DeliveryAddress),
        individual_number: text(Field::IndividualNumber),
    }
}

/// Returns a history in the order of recording.
pub(super) fn events(rows: &[EventRow]) -> Result<Vec<pb::CardEvent>, Fault> {
    let event = |row: &EventRow| {
        let event = Event::read(&row.event).map_err(|_| unreadable())?;
        Ok(pb::CardEvent {
            position: row.position,
            event: event.word().to_owned(),
            occurred_time: Some(timestamp(row.occurred_ms)),
            record_time: Some(timestamp(row.recorded_ms)),
            actor: row.actor.clone(),
            request_id: row.request_id.clone(),
            why: event.why().to_owned(),
        })
    };
    rows.iter().map(event).collect()
}

/// The state as the API has it.
fn pb_state(state: CardState) -> pb::CardState {
    match state {
        CardState::Ordered => pb::CardState::Ordered,
        CardState::Personalised => pb::CardState::Personalised,
        CardState::QcPassed => pb::CardState::QcPassed,
        CardState::Shipped => pb::CardState::Shipped,
        CardState::Arrived => pb::CardState::Arrived,
        CardState::PreIssued => pb::CardState::PreIssued,
        CardState::Notified => pb::CardState::Notified,
        CardState::Activating => pb::CardState::Activating,
        CardState::Active => pb::CardState::Active,
        CardState::Suspended => pb::CardState::Suspended,
        CardState::Revoked => pb::CardState::Revoked,
        CardState::Expired => pb::CardState::Expired,
        CardState::Surrendered => pb::CardState::Surrendered,
        CardState::Scrapped => pb::CardState::Scrapped,
        CardState::LostInTransit => pb::CardState::LostInTransit,
        CardState::Recalled => pb::CardState::Recalled,
    }
}

/// Reads the state that a list is asked for; `None`: all.
pub(super) fn read_state(state: i32) -> Result<Option<CardState>, Fault> {
    lists::read_state(state, CardState::ALL, pb_state)
}

/// The state of an activation as the API has it.
pub(super) fn pb_intent(state: IntentState) -> pb::ActivationState {
    match state {
        IntentState::Begun => pb::ActivationState::Begun,
        IntentState::Confirmed => pb::ActivationState::Confirmed,
        IntentState::Aborted => pb::ActivationState::Aborted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_own_name_in_the_api() {
        for state in CardState::ALL {
            let name = pb_state(*state).as_str_name();
            assert_eq!(name.strip_prefix("CARD_STATE_"), Some(state.as_str()));
            assert_eq!(read_state(pb_state(*state).into()), Ok(Some(*state)));
        }
        for state in IntentState::ALL {
            let name = pb_intent(*state).as_str_name();
            assert_eq!(name.strip_prefix("ACTIVATION_STATE_"), Some(state.as_str()));
        }
        assert_eq!(read_state(0), Ok(None));
        assert!(read_state(99).is_err());
    }
}
