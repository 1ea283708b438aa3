//! `todoke mail show`: one envelope, with what was recorded of it; and how all these commands show one.

use clap::Args;
use prost_types::Timestamp;
use serde_json::{Value, json};

use super::giving::Asker;
use crate::{
    cli::municipal::{Output, many, say, say_event, say_result},
    client::{calls::Weight, error::Error, party::Party},
    domain::{date, item::ItemId, municipality::MunicipalityCode},
    runtime::exit,
    wire::{
        convert::millis,
        pb::{self, insertion_evidence::Kind},
    },
};

/// Which envelope is shown.
#[derive(Debug, Clone, Args)]
pub(super) struct ShowArgs {
    /// The code on the envelope
    #[arg(value_name = "ID")]
    id: ItemId,
    /// Whose envelope it is; a municipality sees its own and leaves it out
    #[arg(long, value_name = "CODE")]
    municipality: Option<MunicipalityCode>,
    /// Shows all that was recorded of it, too
    #[arg(long)]
    history: bool,
    #[command(flatten)]
    pub(super) asking: Asker,
}

pub(super) async fn run(args: &ShowArgs) -> Result<u8, Error> {
    let message = pb::GetMailItemRequest {
        municipality_code: args.municipality.as_ref().map(ToString::to_string).unwrap_or_default(),
        mail_item_id: args.id.to_string(),
        with_history: args.history,
    };
    let get = async |party: &Party| {
        party
            .mail("GetMailItem", Weight::Light, &message, |mut mail, request| async move {
                mail.get_mail_item(request).await
            })
            .await
    };
    let pb::GetMailItemResponse { mail_item, events } = args.asking.party()?.over(get).await?;
    let item = mail_item.unwrap_or_default();
    if args.asking.output == Output::Json {
        say_event("mail_item", item_json(&item));
        events.iter().for_each(|event| say_event("mail_event", event_json(event)));
        return Ok(say_result(exit::DONE, json!({"mail_items": 1, "mail_events": events.len()})));
    }
    for (name, value) in fields(&item) {
        if !value.is_empty() {
            say(&format!("{name:20} {value}"));
        }
    }
    events.iter().for_each(|event| say(&event_line(event)));
    Ok(exit::DONE)
}

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

fn fields(item: &pb::MailItem) -> Vec<(&'static str, String)> {
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

fn event_json(event: &pb::MailEvent) -> Value {
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

fn event_line(event: &pb::MailEvent) -> String {
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
