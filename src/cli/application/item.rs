//! How an application, its suspicions and its events are shown, for people and for programs.

use serde_json::{Value, json};

use crate::{
    cli::lives::{Event, Item, time, word},
    wire::pb,
};

/// The name of the state of an application.
pub(super) fn state(item: &pb::Application) -> &'static str {
    word(item.state().as_str_name(), "APPLICATION_STATE_")
}

/// A suspicion as `review --no-swap` takes it.
fn suspicion(one: &pb::Suspicion) -> String {
    match one.other_application_number.as_str() {
        "" => one.kind.clone(),
        other => format!("{}:{other}", one.kind),
    }
}

impl Item for pb::Application {
    const NAME: &'static str = "application";
    const EVENT: &'static str = "application_event";
    const COLUMNS: usize = 20;
    type Event = pb::ApplicationEvent;

    fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("application_number", self.application_number.clone()),
            ("municipality_code", self.municipality_code.clone()),
            ("state", state(self).to_owned()),
            ("state_time", time(self.state_time.as_ref())),
            ("receive_time", time(self.receive_time.as_ref())),
            ("order_id", self.order_id.clone()),
            ("photo_reference", self.photo_reference.clone()),
            ("documents", self.documents.join(" ")),
            ("defect", self.defect.clone()),
            ("rejected_because", self.rejected_because.clone()),
            ("card_id", self.card_id.clone()),
            ("event_count", self.event_count.to_string()),
        ];
        let said = |one: &pb::Suspicion| {
            let confirmed = if one.confirmed { "  confirmed to be none" } else { "" };
            ("suspicion", format!("{}{confirmed}", suspicion(one)))
        };
        fields.extend(self.suspicions.iter().map(said));
        fields
    }

    fn json(&self) -> Value {
        let suspicion = |one: &pb::Suspicion| {
            json!({
                "kind": one.kind,
                "other_application_number": one.other_application_number,
                "confirmed": one.confirmed,
            })
        };
        json!({
            "municipality_code": self.municipality_code,
            "application_number": self.application_number,
            "state": state(self),
            "state_time": time(self.state_time.as_ref()),
            "receive_time": time(self.receive_time.as_ref()),
            "order_id": self.order_id,
            "photo_reference": self.photo_reference,
            "documents": self.documents,
            "defect": self.defect,
            "rejected_because": self.rejected_because,
            "card_id": self.card_id,
            "suspicions": self.suspicions.iter().map(suspicion).collect::<Vec<Value>>(),
            "event_count": self.event_count,
        })
    }

    fn stands(&self) -> String {
        let since = time(self.state_time.as_ref());
        format!("{} is {} since {since}", self.application_number, state(self))
    }

    /// That somebody has to look at it before a card is made.
    fn warning(&self) -> Option<String> {
        let number = &self.application_number;
        self.suspicions.iter().any(|one| !one.confirmed).then(|| {
            format!(
                "HOUSEHOLD_SWAP_SUSPECTED: no card is made before each reason is confirmed to be none\n\
                 (`todoke application show {number}` names them)"
            )
        })
    }

    fn event(event: &pb::ApplicationEvent) -> Event<'_> {
        Event {
            position: event.position,
            kind: &event.event,
            occurred: event.occurred_time.as_ref(),
            recorded: event.record_time.as_ref(),
            actor: &event.actor,
            request_id: &event.request_id,
            remark: None,
        }
    }
}
