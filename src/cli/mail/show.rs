//! `todoke mail show`: one envelope, with what was recorded of it.

use clap::Args;
use serde_json::json;

use super::item::{event_json, event_line, fields, item_json};
use crate::{
    cli::{
        giving::Asker,
        municipal::{Output, say, say_event, say_result},
    },
    client::{calls::Weight, error::Error, party::Party},
    domain::{item::ItemId, municipality::MunicipalityCode},
    runtime::exit,
    wire::pb,
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
            .ask("GetMailItem", Weight::Light, &message, |attempt, request| async move {
                attempt.mail().get_mail_item(request).await
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
