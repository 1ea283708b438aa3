//! `todoke application show`: one application, what looks like a swap at this moment, and what was recorded.

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

/// Which application is shown.
#[derive(Debug, Clone, Args)]
pub(super) struct ShowArgs {
    /// The number of the application
    #[arg(value_name = "NUMBER")]
    number: ItemId,
    /// Whose application it is; a municipality sees its own and leaves it out
    #[arg(long, value_name = "CODE")]
    municipality: Option<MunicipalityCode>,
    /// Shows all that was recorded of it, too
    #[arg(long)]
    history: bool,
    #[command(flatten)]
    pub(super) asking: Asker,
}

pub(super) async fn run(args: &ShowArgs) -> Result<u8, Error> {
    let message = pb::GetApplicationRequest {
        municipality_code: args.municipality.as_ref().map(ToString::to_string).unwrap_or_default(),
        application_number: args.number.to_string(),
        with_history: args.history,
    };
    let get = async |party: &Party| {
        party
            .ask("GetApplication", Weight::Light, &message, |attempt, request| async move {
                attempt.applications().get_application(request).await
            })
            .await
    };
    let pb::GetApplicationResponse { application, events } = args.asking.party()?.over(get).await?;
    let item = application.unwrap_or_default();
    if args.asking.output == Output::Json {
        say_event("application", item_json(&item));
        events.iter().for_each(|event| say_event("application_event", event_json(event)));
        let counts = json!({"applications": 1, "application_events": events.len()});
        return Ok(say_result(exit::DONE, counts));
    }
    for (name, value) in fields(&item) {
        if !value.is_empty() {
            say(&format!("{name:20} {value}"));
        }
    }
    events.iter().for_each(|event| say(&event_line(event)));
    Ok(exit::DONE)
}
