//! An envelope and its history as the API has them.

use crate::{
    domain::{
        identity::{Identity, Role},
        item::{ItemId, ItemKey, ItemKind},
        life::mail::MailState,
        municipality::MunicipalityCode,
    },
    store::{EventRow, ItemRow},
    wire::{convert::timestamp, fault::Fault, pb},
};

use super::{
    super::lists,
    event::Evidence,
    life::{Happened, Life, details, unreadable},
};

/// Returns an envelope as it stands.
pub(super) fn mail_item(row: ItemRow) -> Result<pb::MailItem, Fault> {
    let state: MailState = row.state.parse().map_err(|_| unreadable())?;
    let details = details(&row)?;
    Ok(pb::MailItem {
        municipality_code: row.key.municipality.to_string(),
        mail_item_id: row.key.id.to_string(),
        state: pb_state(state).into(),
        state_time: Some(timestamp(row.since_ms)),
        order_ids: details.order_ids,
        office: row.office,
        insertion_evidence: details.evidence.map(evidence),
        disposal_proposed_by: details.proposed_by.unwrap_or_default(),
        counted_time: details.counted_ms.map(timestamp),
        event_count: row.events,
        out_of_place_count: details.out_of_place,
    })
}

/// What of an envelope its caller may see: press and post where it is, its owner all.
pub(super) fn shown_to(caller: &Identity, item: pb::MailItem) -> pb::MailItem {
    if caller.role() == Role::Municipality {
        return item;
    }
    pb::MailItem {
        municipality_code: item.municipality_code,
        mail_item_id: item.mail_item_id,
        state: item.state,
        state_time: item.state_time,
        ..pb::MailItem::default()
    }
}

/// Returns a history in the order of recording.
pub(super) fn events(rows: &[EventRow]) -> Result<Vec<pb::MailEvent>, Fault> {
    let life = Life::of(rows).map_err(|_| unreadable())?;
    let event = |(row, happened): (&EventRow, &Happened)| pb::MailEvent {
        position: row.position,
        event: happened.event.word().to_owned(),
        occurred_time: Some(timestamp(row.occurred_ms)),
        record_time: Some(timestamp(row.recorded_ms)),
        actor: row.actor.clone(),
        request_id: row.request_id.clone(),
        out_of_place: life.out_of_place(happened).unwrap_or_default(),
    };
    Ok(rows.iter().zip(life.happened()).map(event).collect())
}

fn evidence(evidence: Evidence) -> pb::InsertionEvidence {
    use pb::insertion_evidence::Kind;
    let kind = match evidence {
        Evidence::ScannedCards(cards) => Kind::ScannedCards(cards),
        Evidence::Weight { measured_mg, expected_mg, tolerance_mg } => {
            Kind::Weight(pb::Weight { measured_mg, expected_mg, tolerance_mg })
        }
    };
    pb::InsertionEvidence { kind: Some(kind) }
}

/// Reads what shows that the cards are inside; no evidence at all is none.
pub(super) fn read_evidence(evidence: Option<pb::InsertionEvidence>) -> Option<Evidence> {
    use pb::insertion_evidence::Kind;
    Some(match evidence?.kind? {
        Kind::ScannedCards(cards) => Evidence::ScannedCards(cards),
        Kind::Weight(pb::Weight { measured_mg, expected_mg, tolerance_mg }) => {
            Evidence::Weight { measured_mg, expected_mg, tolerance_mg }
        }
    })
}

/// The state as the API has it.
fn pb_state(state: MailState) -> pb::MailState {
    match state {
        MailState::Ordered => pb::MailState::Ordered,
        MailState::Printed => pb::MailState::Printed,
        MailState::Inserted => pb::MailState::Inserted,
        MailState::Posted => pb::MailState::Posted,
        MailState::Delivered => pb::MailState::Delivered,
        MailState::Returned => pb::MailState::Returned,
        MailState::Stored => pb::MailState::Stored,
        MailState::HandedOut => pb::MailState::HandedOut,
        MailState::Redelivering => pb::MailState::Redelivering,
        MailState::Disposed => pb::MailState::Disposed,
        MailState::Missing => pb::MailState::Missing,
        MailState::Voided => pb::MailState::Voided,
        MailState::EmptyEnvelopeClaimed => pb::MailState::EmptyEnvelopeClaimed,
    }
}

/// Reads the state that a list is asked for; `None`: all.
pub(super) fn read_state(state: i32) -> Result<Option<MailState>, Fault> {
    lists::read_state(state, MailState::ALL, pb_state)
}

/// The key of an envelope.
pub(super) fn key(municipality: MunicipalityCode, id: ItemId) -> ItemKey {
    ItemKey { municipality, kind: ItemKind::Mail, id }
}
