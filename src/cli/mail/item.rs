//! How an envelope and its events are shown, for people and for programs.

use prost_types::Timestamp;
use serde_json::{Value, json};

use crate::{
    cli::municipal::many,
    domain::date,
    wire::{
        convert::millis,
        pb::{self, insertion_evidence::Kind},
    },
};

/// A time of the wire in UTC; empty if there is none.
pub(super) fn time(time: Option<&Timestamp>) -> String {
    time.map(|time| date::utc(millis(time))).unwrap_or_default()
}

/// The name of the state of an envelope.
pub(super) fn state(item: &pb::MailItem) -> &'static str {
    let name = item.state().as_str_name();
    name.strip_prefix("MAIL_STATE_").unwrap_or(name)
}

/// What shows that the cards are inside.
fn evidence(item: &pb::MailItem) -> String {
    match item.insertion_evidence.and_then(|evidence| evidence.kind) {
        None => String::new(),
        Some(Kind::ScannedCards(cards)) => format!("{} scanned", many(cards.into(), "card")),
        Some(Kind::Weight(pb::Weight { measured_mg, expected_mg, tolerance_mg })) => {
            format!("weighs {measured_mg} mg of {expected_mg} mg, give or take {tolerance_mg} mg")
        }
    }
}

pub(super) fn fields(item: &pb::MailItem) -> Vec<(&'static str, String)> {
    let count = |count: u32| if count == 0 { String::new() } else { count.to_string() };
    vec![
        ("mail_item_id", item.mail_item_id.clone()),
        ("municipality_code", item.municipality_code.clone()),
        ("state", state(item).to_owned()),
        ("state_time", time(item.state_time.as_ref())),
        ("order_ids", item.order_ids.join(" ")),
        ("office", item.office.clone()),
        ("insertion_evidence", evidence(item)),
        ("disposal_proposed_by", item.disposal_proposed_by.clone()),
        ("counted_time", time(item.counted_time.as_ref())),
        ("event_count", count(item.event_count)),
        ("out_of_place_count", count(item.out_of_place_count)),
    ]
}

/// An envelope for programs.
pub(super) fn item_json(item: &pb::MailItem) -> Value {
    json!({
        "municipality_code": item.municipality_code,
        "mail_item_id": item.mail_item_id,
        "state": state(item),
        "state_time": time(item.state_time.as_ref()),
        "order_ids": item.order_ids,
        "office": item.office,
        "insertion_evidence": evidence(item),
        "disposal_proposed_by": item.disposal_proposed_by,
        "counted_time": time(item.counted_time.as_ref()),
        "event_count": item.event_count,
        "out_of_place_count": item.out_of_place_count,
    })
}

pub(super) fn event_json(event: &pb::MailEvent) -> Value {
    json!({
        "position": event.position,
        "kind": event.event,
        "occurred_time": time(event.occurred_time.as_ref()),
        "record_time": time(event.record_time.as_ref()),
        "actor": event.actor,
        "request_id": event.request_id,
        "out_of_place": event.out_of_place,
    })
}

pub(super) fn event_line(event: &pb::MailEvent) -> String {
    let pb::MailEvent { position, event: what, actor, out_of_place, occurred_time, .. } = event;
    let at = time(occurred_time.as_ref());
    let line = format!("{position:>4}  {at}  {what:20}  {actor}");
    if out_of_place.is_empty() { line } else { format!("{line}  out of place: {out_of_place}") }
}

/// Where an envelope stands after a change, with what does not fit.
pub(super) fn stands(item: &pb::MailItem) -> String {
    let id = &item.mail_item_id;
    let since = time(item.state_time.as_ref());
    let line = format!("{id} is {} since {since}", state(item));
    match item.out_of_place_count {
        0 => line,
        count => {
            let events = many(count.into(), "event");
            format!("{line}; out of place: {events}, which `todoke mail show {id} --history` names")
        }
    }
}
