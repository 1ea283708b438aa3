//! `todoke pool decisions`: what was decided about the pool, newest first, each with its reason.

use clap::Args;
use serde_json::json;

use super::{
    asking::Asking,
    show::{DECISION, decision_json, decision_row, table},
};
use crate::{
    cli::municipal::{Output, say, say_event, say_result, warn},
    client::error::Error,
    pool::evidence::UnitId,
    runtime::exit,
    wire::pb,
};

/// Decisions that an issuer gives at once.
const PAGE_MAX: u32 = 500;

/// Lists what was decided, newest first.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    todoke pool decisions --endpoints dev/endpoints.json --as operator/alice\n  \
    todoke pool decisions relay-2 --limit 5 --endpoints dev/endpoints.json --as auditor/a")]
pub(super) struct DecisionsArgs {
    /// Only of this unit
    #[arg(value_name = "UNIT")]
    unit: Option<UnitId>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[command(flatten)]
    pub(super) asking: Asking,
}

pub(super) async fn run(args: &DecisionsArgs) -> Result<(), Error> {
    let issuers = args.asking.issuers()?;
    let unit = args.unit.as_ref().map(ToString::to_string).unwrap_or_default();
    let (mut left, mut page_token, mut rows) = (args.limit, String::new(), Vec::new());
    while left > 0 {
        let page_size = i32::try_from(left.min(PAGE_MAX)).expect("it is small");
        let message = pb::ListDecisionsRequest { unit: unit.clone(), page_size, page_token };
        let page =
            issuers
                .ask("ListDecisions", &message, |mut pool, request| async move {
                    pool.list_decisions(request).await
                })
                .await?;
        for decision in &page.decisions {
            match args.asking.output {
                Output::Json => say_event("decision", decision_json(decision)),
                Output::Text => rows.push(decision_row(decision)),
            }
        }
        left = left.saturating_sub(u32::try_from(page.decisions.len()).unwrap_or(left));
        page_token = page.next_page_token;
        if page_token.is_empty() || page.decisions.is_empty() {
            break;
        }
    }
    let more = left == 0 && !page_token.is_empty();
    if args.asking.output == Output::Json {
        say_result(exit::DONE, json!({"decisions": args.limit - left, "more": more}));
        return Ok(());
    }
    if rows.is_empty() {
        warn("nothing was decided yet");
    } else {
        table(&DECISION, &rows).iter().for_each(|line| say(line));
    }
    if more {
        warn(&format!("there are more than these {}: pass a larger --limit", args.limit));
    }
    Ok(())
}
