//! How a card and its events are shown, for people and for programs.

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

/// The name of the state of a card.
pub(super) fn state(card: &pb::Card) -> &'static str {
    let name = card.state().as_str_name();
    name.strip_prefix("CARD_STATE_").unwrap_or(name)
}

/// What it is ordered for.
pub(super) fn kind_name(card: &pb::Card) -> &'static str {
    let name = card.kind().as_str_name();
    name.strip_prefix("CARD_KIND_").unwrap_or(name)
}

pub(super) fn fields(card: &pb::Card) -> Vec<(&'static str, String)> {
    let person = card.personal_data.clone().unwrap_or_default();
    let flag = |is: bool| if is { "1".to_owned() } else { String::new() };
    let count = |count: u32| if count == 0 { String::new() } else { count.to_string() };
    vec![
        ("order_id", card.order_id.clone()),
        ("batch_id", card.batch_id.clone()),
        ("index", card.index.to_string()),
        ("kind", kind_name(card).to_owned()),
        ("state", state(card).to_owned()),
        ("district", card.district.clone()),
        ("protected", flag(card.protected)),
        ("accommodations", card.accommodations.join(";")),
        ("name_flags", card.name_flags.join(" ")),
        ("card_id", card.card_id.clone()),
        ("state_time", time(card.state_time.as_ref())),
        ("office", card.office.clone()),
        ("lot_id", card.lot_id.clone()),
        ("application", card.application_number.clone()),
        ("instead_of", card.instead_of.clone()),
        ("remade_as", card.remade_as.clone()),
        ("last_day", card.last_day.clone()),
        ("session_id", card.session_id.clone()),
        ("fraud_suspected", flag(card.fraud_suspected)),
        ("unmet", card.unmet_accommodations.join(";")),
        ("event_count", count(card.event_count)),
        ("name", person.name),
        ("substitute_name", person.substitute_name),
        ("reading", person.reading),
        ("reading_source", person.reading_source),
        ("birth_date", person.birth_date),
        ("sex", person.sex),
        ("address", person.address),
        ("delivery_address", person.delivery_address),
        ("individual_number", person.individual_number),
    ]
}

/// A card for programs.
pub(super) fn card_json(card: &pb::Card) -> Value {
    let filled = fields(card).into_iter().filter(|(_, value)| !value.is_empty());
    filled.map(|(name, value)| (name.to_owned(), Value::String(value))).collect()
}

pub(super) fn event_json(event: &pb::CardEvent) -> Value {
    json!({
        "position": event.position,
        "kind": event.event,
        "occurred_time": time(event.occurred_time.as_ref()),
        "record_time": time(event.record_time.as_ref()),
        "actor": event.actor,
        "request_id": event.request_id,
        "why": event.why,
    })
}

pub(super) fn event_line(event: &pb::CardEvent) -> String {
    let pb::CardEvent { position, event: what, actor, why, occurred_time, .. } = event;
    let at = time(occurred_time.as_ref());
    let line = format!("{position:>4}  {at}  {what:20}  {actor}");
    if why.is_empty() { line } else { format!("{line}  {why}") }
}

/// Where a card stands after a change.
pub(super) fn stands(card: &pb::Card) -> String {
    let (id, state, since) = (&card.card_id, state(card), time(card.state_time.as_ref()));
    format!("{id} is {state} since {since}")
}
