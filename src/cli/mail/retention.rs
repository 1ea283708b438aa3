//! `todoke mail retention`: until when a municipality keeps what came back.

use clap::Args;
use serde_json::json;

use crate::{
    cli::{
        giving::{Asker, say_id},
        municipal::{Output, say, say_result},
    },
    client::{calls::Weight, error::Error, party::Party},
    domain::{date::Date, item::ItemId},
    runtime::exit,
    wire::pb,
};

/// Which retention is in force, or the day until which it is extended.
#[derive(Debug, Clone, Args)]
pub(super) struct RetentionArgs {
    /// The last day on which everything is kept; later than the one that is in force
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    extend: Option<Date>,
    /// The key that makes the request idempotent: pass the same one to send it again [default: a fresh one,
    /// which is shown]
    #[arg(long, value_name = "ID", requires = "extend")]
    request_id: Option<ItemId>,
    #[command(flatten)]
    pub(super) asking: Asker,
}

fn day(text: &str) -> Result<Date, String> {
    Date::parse(text).ok_or_else(|| "must be a day that exists, such as 2026-12-31".to_owned())
}

pub(super) async fn run(args: &RetentionArgs) -> Result<u8, Error> {
    let party = args.asking.party()?;
    let (version, until, request_id) = match args.extend {
        None => party.over(async |party| get(party).await).await?,
        Some(until) => {
            let request_id = say_id(args.request_id.as_ref(), args.asking.output);
            party.over(async |party| extend(party, until, request_id).await).await?
        }
    };
    if args.asking.output == Output::Json {
        let value = json!({"version": version, "until": until, "request_id": request_id});
        return Ok(say_result(exit::DONE, value));
    }
    say(&format!("what came back is kept until {until} (version {version})"));
    Ok(exit::DONE)
}

/// Version, last day and the id of the request that extended it.
type InForce = (u32, String, Option<String>);

async fn get(party: &Party) -> Result<InForce, Error> {
    let message = pb::GetRetentionRequest {};
    let answer = party
        .ask("GetRetention", Weight::Light, &message, |attempt, request| async move {
            attempt.mail().get_retention(request).await
        })
        .await?;
    Ok((answer.version, answer.until, None))
}

async fn extend(party: &Party, until: Date, request_id: String) -> Result<InForce, Error> {
    let message = pb::ExtendRetentionRequest { request_id: request_id.clone(), until: until.to_string() };
    let answer = party
        .ask("ExtendRetention", Weight::Light, &message, |attempt, request| async move {
            attempt.mail().extend_retention(request).await
        })
        .await?;
    Ok((answer.version, answer.until, Some(request_id)))
}
