//! How an application, its suspicions and its events are shown, for people and for programs.

use prost_types::Timestamp;
use serde_json::{Value, json};

use crate::{
    domain::date,
    wire::{convert::millis, pb},
};

/// A time of the wire in UTC; empty if there is none.
pub(super) fn time(time: Option<&Timestamp>) -> String {
    time.map(|time| date::utc(millis(time))).unwrap_or_default()
}

/// The name of the state of an application.
pub(super) fn state(item: &pb::Application) -> &'static str {
    let name = item.state().as_str_name();
    name.strip_prefix("APPLICATION_STATE_").unwrap_or(name)
}

/// A suspicion as `review --no-swap` takes it.
fn suspicion(one: &pb::Suspicion) -> String {
    match one.other_application_number.as_str() {
        "" => one.kind.clone(),
        other => format!("{}:{other}", one.kind),
    }
}

pub(super) fn fields(item: &pb::Application) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("application_number", item.application_number.clone()),
        ("municipality_code", item.municipality_code.clone()),
        ("state", state(item).to_owned()),
        ("state_time", time(item.state_time.as_ref())),
        ("receive_time", time(item.receive_time.as_ref())),
        ("order_id", item.order_id.clone()),
        ("photo_reference", item.photo_reference.clone()),
        ("documents", item.documents.join(" ")),
        ("defect", item.defect.clone()),
        ("rejected_because", item.rejected_because.clone()),
        ("card_id", item.card_id.clone()),
        ("event_count", item.event_count.to_string()),
    ];
    let said = |one: &pb::Suspicion| {
        let confirmed = if one.confirmed { "  confirmed to be none" } else { "" };
        ("suspicion", format!("{}{confirmed}", suspicion(one)))
    };
    fields.extend(item.suspicions.iter().map(said));
    fields
}

/// An application for programs.
pub(super) fn item_json(item: &pb::Application) -> Value {
    let suspicions: Vec<Value> = item
        .suspicions
        .iter()
        .map(|one| {
            json!({
                "kind": one.kind,
                "other_application_number": one.other_application_number,
                "confirmed": one.confirmed,
            })
        })
        .collect();
    json!({
        "municipality_code": item.municipality_code,
        "application_number": item.application_number,
        "state": state(item),
        "state_time": time(item.state_time.as_ref()),
        "receive_time": time(item.receive_time.as_ref()),
        "order_id": item.order_id,
        "photo_reference": item.photo_reference,
        "documents": item.documents,
        "defect": item.defect,
        "rejected_because": item.rejected_because,
        "card_id": item.card_id,
        "suspicions": suspicions,
        "event_count": item.event_count,
    })
}

pub(super) fn event_json(event: &pb::ApplicationEvent) -> Value {
    json!({
        "position": event.position,
        "kind": event.event,
        "occurred_time": time(event.occurred_time.as_ref()),
        "record_time": time(event.record_time.as_ref()),
        "actor": event.actor,
        "request_id": event.request_id,
    })
}

pub(super) fn event_line(event: &pb::ApplicationEvent) -> String {
    let pb::ApplicationEvent { position, event: what, actor, occurred_time, .. } = event;
    let at = time(occurred_time.as_ref());
    format!("{position:>4}  {at}  {what:20}  {actor}")
}

/// Where an application stands after a change.
pub(super) fn stands(item: &pb::Application) -> String {
    let since = time(item.state_time.as_ref());
    format!("{} is {} since {since}", item.application_number, state(item))
}
