//! An application and its history as the API has them.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::{
    domain::{
        item::{ItemId, ItemKey, ItemKind},
        life::application::ApplicationState,
        municipality::MunicipalityCode,
    },
    store::{EventRow, ItemRow},
    wire::{
        convert::timestamp,
        fault::{Fault, Reason},
        pb,
    },
};

use super::{
    super::{core::Core, deadline::Deadline, lists},
    event::{Doubt, Event},
    life::{self, unreadable},
    suspects::suspects,
};

/// Returns an application as it stands, with what looks like a swap at this moment.
pub(super) async fn shown(core: &Core, row: ItemRow, deadline: Deadline) -> Result<pb::Application, Fault> {
    let details = life::details(&row)?;
    let found = suspects(core, row.key.municipality, &row.key.id, &details, deadline).await?;
    let suspicions = found.iter().map(|one| suspicion(*one, details.confirmed.contains(one)));
    Ok(pb::Application { suspicions: suspicions.collect(), ..application(&row)? })
}

/// Returns an application as it stands; suspicions are not looked for.
pub(super) fn application(row: &ItemRow) -> Result<pb::Application, Fault> {
    let state: ApplicationState = row.state.parse().map_err(|_| unreadable())?;
    let details = life::details(row)?;
    Ok(pb::Application {
        municipality_code: row.key.municipality.to_string(),
        application_number: row.key.id.to_string(),
        state: pb_state(state).into(),
        state_time: Some(timestamp(row.since_ms)),
        receive_time: Some(timestamp(details.received_ms)),
        order_id: details.order_id,
        photo_reference: details.photo,
        documents: details.documents,
        defect: details.defect.unwrap_or_default(),
        rejected_because: details.rejected.unwrap_or_default(),
        card_id: details.card_id.unwrap_or_default(),
        suspicions: Vec::new(),
        event_count: row.events,
    })
}

/// Returns a history in the order of recording.
pub(super) fn events(rows: &[EventRow]) -> Result<Vec<pb::ApplicationEvent>, Fault> {
    let event = |row: &EventRow| {
        let event = Event::read(&row.event).map_err(|_| unreadable())?;
        Ok(pb::ApplicationEvent {
            position: row.position,
            event: event.word().to_owned(),
            occurred_time: Some(timestamp(row.occurred_ms)),
            record_time: Some(timestamp(row.recorded_ms)),
            actor: row.actor.clone(),
            request_id: row.request_id.clone(),
        })
    };
    rows.iter().map(event).collect()
}

fn suspicion(doubt: Doubt, confirmed: bool) -> pb::Suspicion {
    let (kind, other) = doubt.words();
    let other = other.as_ref().map(ToString::to_string).unwrap_or_default();
    pb::Suspicion { kind: kind.to_owned(), other_application_number: other, confirmed }
}

/// Reads the suspicions that somebody says are none.
pub(super) fn read_suspicions(named: &[pb::Suspicion]) -> Result<BTreeSet<Doubt>, Fault> {
    let read = |one: &pb::Suspicion| {
        let other = || one.other_application_number.parse::<Uuid>().ok();
        match (one.kind.as_str(), one.other_application_number.as_str()) {
            ("SAME_SESSION", _) => other().map(Doubt::SameSession),
            ("WITHIN_AN_HOUR", _) => other().map(Doubt::WithinAnHour),
            ("AGE_OF_PHOTO", "") => Some(Doubt::AgeOfPhoto),
            ("SEX_OF_PHOTO", "") => Some(Doubt::SexOfPhoto),
            _ => None,
        }
    };
    let wrong = |at: usize| {
        let field = format!("no_swap.suspicions[{at}]");
        let words = "must be one of those that GetApplication has, with its other application";
        Fault::new(Reason::FieldInvalid, format!("{field} {words}")).violation(field, words)
    };
    named.iter().enumerate().map(|(at, one)| read(one).ok_or_else(|| wrong(at))).collect()
}

/// The state as the API has it.
fn pb_state(state: ApplicationState) -> pb::ApplicationState {
    match state {
        ApplicationState::Received => pb::ApplicationState::Received,
        ApplicationState::Defective => pb::ApplicationState::Defective,
        ApplicationState::Resubmitted => pb::ApplicationState::Resubmitted,
        ApplicationState::IdentityChecked => pb::ApplicationState::IdentityChecked,
        ApplicationState::Approved => pb::ApplicationState::Approved,
        ApplicationState::InProduction => pb::ApplicationState::InProduction,
        ApplicationState::WithCard => pb::ApplicationState::WithCard,
        ApplicationState::Rejected => pb::ApplicationState::Rejected,
        ApplicationState::VoidedMoved => pb::ApplicationState::VoidedMoved,
        ApplicationState::VoidedDied => pb::ApplicationState::VoidedDied,
        ApplicationState::VoidedMixedUp => pb::ApplicationState::VoidedMixedUp,
        ApplicationState::VoidedWithdrawn => pb::ApplicationState::VoidedWithdrawn,
        ApplicationState::VoidedFraud => pb::ApplicationState::VoidedFraud,
    }
}

/// Reads the state that a list is asked for; `None`: all.
pub(super) fn read_state(state: i32) -> Result<Option<ApplicationState>, Fault> {
    lists::read_state(state, ApplicationState::ALL, pb_state)
}

/// The key of an application.
pub(super) fn key(municipality: MunicipalityCode, id: ItemId) -> ItemKey {
    ItemKey { municipality, kind: ItemKind::Application, id }
}
