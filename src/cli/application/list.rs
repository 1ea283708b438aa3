//! `todoke application list`: the applications of a municipality, all or those in one state, the longest in
//! it first.

use std::time::Duration;

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use serde_json::json;

use super::item::{item_json, state, time};
use crate::{
    cli::{
        giving::Asker,
        municipal::{self, Output, now_ms, say, say_event, say_result, warn},
    },
    client::{calls::Weight, error::Error, party::Party},
    domain::{life::application::ApplicationState, municipality::MunicipalityCode},
    runtime::exit,
    wire::{convert::timestamp, pb},
};

/// Applications that an issuer gives at once.
const PAGE_MAX: u32 = 1000;

/// Which applications are listed.
#[derive(Debug, Clone, Args)]
pub(super) struct ListArgs {
    /// Whose applications; a municipality sees its own and leaves it out
    #[arg(long, value_name = "CODE")]
    municipality: Option<MunicipalityCode>,
    /// Only those in this state
    #[arg(long, value_name = "STATE", value_parser = states())]
    state: Option<pb::ApplicationState>,
    /// Only those that are in the state for so long at least
    #[arg(long, value_name = "TIME", value_parser = municipal::duration, requires = "state")]
    older_than: Option<Duration>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[command(flatten)]
    pub(super) asking: Asker,
}

fn states() -> impl TypedValueParser<Value = pb::ApplicationState> {
    let known = ApplicationState::ALL.iter().map(|state| state.as_str());
    PossibleValuesParser::new(known).map(|name| {
        pb::ApplicationState::from_str_name(&format!("APPLICATION_STATE_{name}"))
            .expect("the wire has every state, by test")
    })
}

pub(super) async fn run(args: &ListArgs) -> Result<u8, Error> {
    args.asking.party()?.over(async |party| list(party, args).await).await
}

async fn list(party: &Party, args: &ListArgs) -> Result<u8, Error> {
    let by = args.older_than.map(|span| i64::try_from(span.as_millis()).unwrap_or(i64::MAX));
    let by = by.map(|span_ms| timestamp(now_ms().saturating_sub(span_ms)));
    let (mut left, mut page_token) = (args.limit, String::new());
    while left > 0 {
        let message = pb::ListApplicationsRequest {
            municipality_code: args.municipality.as_ref().map(ToString::to_string).unwrap_or_default(),
            page_size: left.min(PAGE_MAX),
            page_token,
            state: args.state.unwrap_or_default().into(),
            state_by_time: by,
        };
        let page = party
            .ask("ListApplications", Weight::Light, &message, |attempt, request| async move {
                attempt.applications().list_applications(request).await
            })
            .await?;
        for item in &page.applications {
            match args.asking.output {
                Output::Json => say_event("application", item_json(item)),
                Output::Text => say(&line(item)),
            }
        }
        left = left.saturating_sub(u32::try_from(page.applications.len()).unwrap_or(left));
        page_token = page.next_page_token;
        if page_token.is_empty() || page.applications.is_empty() {
            break;
        }
    }
    let more = left == 0 && !page_token.is_empty();
    if args.asking.output == Output::Json {
        return Ok(say_result(exit::DONE, json!({"applications": args.limit - left, "more": more})));
    }
    if left == args.limit {
        warn("no such applications: without --state all are listed");
    } else if more {
        warn(&format!("there are more than these {}: pass a larger --limit", args.limit));
    }
    Ok(exit::DONE)
}

fn line(item: &pb::Application) -> String {
    let since = time(item.state_time.as_ref());
    format!("{}  {:18}  {since}  {}", item.application_number, state(item), item.order_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_of_an_application_can_be_asked_for() {
        for state in ApplicationState::ALL {
            let known = pb::ApplicationState::from_str_name(&format!("APPLICATION_STATE_{state}"));
            assert!(known.is_some(), "{state}");
        }
    }
}
