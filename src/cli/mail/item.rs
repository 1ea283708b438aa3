//! How an envelope and its events are shown, for people and for programs.

use serde_json::{Value, json};

use crate::{
    cli::{
        lives::{Event, Item, Remark, time, word},
        municipal::many,
    },
    wire::pb::{self, insertion_evidence::Kind},
};

/// The name of the state of an envelope.
pub(super) fn state(item: &pb::MailItem) -> &'static str {
    word(item.state().as_str_name(), "MAIL_STATE_")
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

impl Item for pb::MailItem {
    const NAME: &'static str = "mail_item";
    const EVENT: &'static str = "mail_event";
    const COLUMNS: usize = 20;
    type Event = pb::MailEvent;

    fn fields(&self) -> Vec<(&'static str, String)> {
        let count = |count: u32| if count == 0 { String::new() } else { count.to_string() };
        vec![
            ("mail_item_id", self.mail_item_id.clone()),
            ("municipality_code", self.municipality_code.clone()),
            ("state", state(self).to_owned()),
            ("state_time", time(self.state_time.as_ref())),
            ("order_ids", self.order_ids.join(" ")),
            ("office", self.office.clone()),
            ("insertion_evidence", evidence(self)),
            ("disposal_proposed_by", self.disposal_proposed_by.clone()),
            ("counted_time", time(self.counted_time.as_ref())),
            ("event_count", count(self.event_count)),
            ("out_of_place_count", count(self.out_of_place_count)),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "municipality_code": self.municipality_code,
            "mail_item_id": self.mail_item_id,
            "state": state(self),
            "state_time": time(self.state_time.as_ref()),
            "order_ids": self.order_ids,
            "office": self.office,
            "insertion_evidence": evidence(self),
            "disposal_proposed_by": self.disposal_proposed_by,
            "counted_time": time(self.counted_time.as_ref()),
            "event_count": self.event_count,
            "out_of_place_count": self.out_of_place_count,
        })
    }

    /// With what does not fit.
    fn stands(&self) -> String {
        let id = &self.mail_item_id;
        let since = time(self.state_time.as_ref());
        let line = format!("{id} is {} since {since}", state(self));
        match self.out_of_place_count {
            0 => line,
            count => {
                let events = many(count.into(), "event");
                format!("{line}; out of place: {events}, which `todoke mail show {id} --history` names")
            }
        }
    }

    fn event(event: &pb::MailEvent) -> Event<'_> {
        Event {
            position: event.position,
            kind: &event.event,
            occurred: event.occurred_time.as_ref(),
            recorded: event.record_time.as_ref(),
            actor: &event.actor,
            request_id: &event.request_id,
            remark: Some(Remark {
                name: "out_of_place",
                before: "out of place: ",
                words: &event.out_of_place,
            }),
        }
    }
}
