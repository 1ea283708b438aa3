//! How a card and its events are shown, for people and for programs.

use serde_json::Value;

use crate::{
    cli::lives::{Event, Item, Remark, time, word},
    wire::pb,
};

/// The name of the state of a card.
pub(super) fn state(card: &pb::Card) -> &'static str {
    word(card.state().as_str_name(), "CARD_STATE_")
}

/// What it is ordered for.
pub(super) fn kind_name(card: &pb::Card) -> &'static str {
    word(card.kind().as_str_name(), "CARD_KIND_")
}

impl Item for pb::Card {
    const NAME: &'static str = "card";
    const EVENT: &'static str = "card_event";
    const COLUMNS: usize = 18;
    type Event = pb::CardEvent;

    fn fields(&self) -> Vec<(&'static str, String)> {
        let person = self.personal_data.clone().unwrap_or_default();
        let flag = |is: bool| if is { "1".to_owned() } else { String::new() };
        let count = |count: u32| if count == 0 { String::new() } else { count.to_string() };
        vec![
            ("order_id", self.order_id.clone()),
            ("batch_id", self.batch_id.clone()),
            ("index", self.index.to_string()),
            ("kind", kind_name(self).to_owned()),
            ("state", state(self).to_owned()),
            ("district", self.district.clone()),
            ("protected", flag(self.protected)),
            ("accommodations", self.accommodations.join(";")),
            ("name_flags", self.name_flags.join(" ")),
            ("card_id", self.card_id.clone()),
            ("state_time", time(self.state_time.as_ref())),
            ("office", self.office.clone()),
            ("lot_id", self.lot_id.clone()),
            ("application", self.application_number.clone()),
            ("instead_of", self.instead_of.clone()),
            ("remade_as", self.remade_as.clone()),
            ("last_day", self.last_day.clone()),
            ("session_id", self.session_id.clone()),
            ("fraud_suspected", flag(self.fraud_suspected)),
            ("unmet", self.unmet_accommodations.join(";")),
            ("event_count", count(self.event_count)),
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

    /// What is empty is left out.
    fn json(&self) -> Value {
        let filled = self.fields().into_iter().filter(|(_, value)| !value.is_empty());
        filled.map(|(name, value)| (name.to_owned(), Value::String(value))).collect()
    }

    fn stands(&self) -> String {
        let (id, state, since) = (&self.card_id, state(self), time(self.state_time.as_ref()));
        format!("{id} is {state} since {since}")
    }

    fn event(event: &pb::CardEvent) -> Event<'_> {
        Event {
            position: event.position,
            kind: &event.event,
            occurred: event.occurred_time.as_ref(),
            recorded: event.record_time.as_ref(),
            actor: &event.actor,
            request_id: &event.request_id,
            remark: Some(Remark { name: "why", before: "", words: &event.why }),
        }
    }
}
