//! `todoke mail list`: the envelopes of a municipality, all or those in one state, the longest in it first.

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
        municipal::{self, Output, many, now_ms, say, say_event, say_result, warn},
    },
    client::{calls::Weight, error::Error, party::Party},
    domain::life::mail::MailState,
    runtime::exit,
    wire::{convert::timestamp, pb},
};

/// Envelopes that an issuer gives at once.
const PAGE_MAX: u32 = 1000;

/// Which envelopes are listed.
#[derive(Debug, Clone, Args)]
pub(super) struct ListArgs {
    /// Only those in this state
    #[arg(long, value_name = "STATE", value_parser = states())]
    state: Option<pb::MailState>,
    /// Only those that this office keeps, or did last
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    office: String,
    /// Only those that are in the state for so long at least
    #[arg(long, value_name = "TIME", value_parser = municipal::duration, requires = "state")]
    older_than: Option<Duration>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[command(flatten)]
    pub(super) asking: Asker,
}

fn states() -> impl TypedValueParser<Value = pb::MailState> {
    let known = MailState::ALL.iter().map(|state| state.as_str());
    PossibleValuesParser::new(known).map(|name| {
        pb::MailState::from_str_name(&format!("MAIL_STATE_{name}"))
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
        let message = pb::ListMailItemsRequest {
            page_size: left.min(PAGE_MAX),
            page_token,
            state: args.state.unwrap_or_default().into(),
            office: args.office.clone(),
            state_by_time: by,
        };
        let page = party
            .ask("ListMailItems", Weight::Light, &message, |attempt, request| async move {
                attempt.mail().list_mail_items(request).await
            })
            .await?;
        for item in &page.mail_items {
            match args.asking.output {
                Output::Json => say_event("mail_item", item_json(item)),
                Output::Text => say(&line(item)),
            }
        }
        left = left.saturating_sub(u32::try_from(page.mail_items.len()).unwrap_or(left));
        page_token = page.next_page_token;
        if page_token.is_empty() || page.mail_items.is_empty() {
            break;
        }
    }
    let more = left == 0 && !page_token.is_empty();
    if args.asking.output == Output::Json {
        return Ok(say_result(exit::DONE, json!({"mail_items": args.limit - left, "more": more})));
    }
    if left == args.limit {
        warn("no such envelopes: the press reports each one first, and without --state all are listed");
    } else if more {
        warn(&format!("there are more than these {}: pass a larger --limit", args.limit));
    }
    Ok(exit::DONE)
}

fn line(item: &pb::MailItem) -> String {
    let cards = many(item.order_ids.len() as u64, "card");
    let (id, since) = (&item.mail_item_id, time(item.state_time.as_ref()));
    format!("{id:24}  {:22}  {since}  {cards:>9}  {}", state(item), item.office)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_of_an_envelope_can_be_asked_for() {
        for state in MailState::ALL {
            let known = pb::MailState::from_str_name(&format!("MAIL_STATE_{state}"));
            assert!(known.is_some(), "{state}");
        }
    }
}
