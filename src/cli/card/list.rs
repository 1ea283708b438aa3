//! `todoke card list`: cards by batch, or those in one state or of one lot, without personal data.

use std::time::Duration;

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};

use super::item::{card_json, kind_name, state, time};
use crate::{
    cli::municipal::{self, Asking, Output, now_ms, say, say_event, say_result, warn},
    client::{error::Error, session::Session},
    domain::{batch_id::BatchId, item::ItemId, life::card::CardState},
    runtime::exit,
    wire::{convert::timestamp, pb},
};

/// Which cards are listed.
#[derive(Debug, Clone, Args)]
pub(super) struct ListArgs {
    /// Only of this batch
    #[arg(long, value_name = "ID", value_parser = municipal::batch_id)]
    batch: Option<BatchId>,
    /// Only those in this state that a producer has been given, the longest in it first
    #[arg(long, value_name = "STATE", value_parser = states(), conflicts_with_all = ["batch", "lot"])]
    state: Option<pb::CardState>,
    /// Only those at this office
    #[arg(long, value_name = "NAME", requires = "state")]
    office: Option<String>,
    /// Only those that are in the state for so long at least
    #[arg(long, value_name = "TIME", value_parser = municipal::duration, requires = "state")]
    older_than: Option<Duration>,
    /// Only those of this lot
    #[arg(long, value_name = "ID", conflicts_with = "batch")]
    lot: Option<ItemId>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[command(flatten)]
    connect: Asking,
    /// How results are shown
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(super) output: Output,
}

fn states() -> impl TypedValueParser<Value = pb::CardState> {
    let known = CardState::ALL.iter().map(|state| state.as_str());
    PossibleValuesParser::new(known).map(|name| {
        pb::CardState::from_str_name(&format!("CARD_STATE_{name}"))
            .expect("the wire has every state, by test")
    })
}

pub(super) async fn run(args: &ListArgs) -> Result<u8, Error> {
    let session = args.connect.session(args.output)?;
    session.over(async |session| list(session, args).await).await
}

async fn list(session: &Session, args: &ListArgs) -> Result<u8, Error> {
    let by = args.older_than.map(|span| i64::try_from(span.as_millis()).unwrap_or(i64::MAX));
    let by = by.map(|span_ms| timestamp(now_ms().saturating_sub(span_ms)));
    let (mut left, mut token, mut shown) = (args.limit, String::new(), 0_u32);
    while left > 0 {
        let message = pb::ListCardsRequest {
            page_size: left.min(1000),
            page_token: token,
            batch_id: args.batch.map(|id| id.to_string()).unwrap_or_default(),
            state: args.state.unwrap_or_default().into(),
            office: args.office.clone().unwrap_or_default(),
            state_by_time: by,
            lot_id: args.lot.as_ref().map(ToString::to_string).unwrap_or_default(),
        };
        let page = session.list_cards(message).await?;
        for card in &page.cards {
            match args.output {
                Output::Json => say_event("card", card_json(card)),
                Output::Text => say(&line(card, args.state.is_some() || args.lot.is_some())),
            }
        }
        let count = u32::try_from(page.cards.len()).unwrap_or(left);
        left = left.saturating_sub(count);
        shown += count;
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let more = left == 0 && !token.is_empty();
    if args.output == Output::Json {
        return Ok(say_result(exit::DONE, serde_json::json!({"cards": shown, "more": more})));
    }
    if shown == 0 {
        warn("no such cards: only accepted batches have some, and `todoke status` shows how batches stand");
    } else if more {
        warn(&format!("there are more than these {}: pass a larger --limit", args.limit));
    }
    Ok(exit::DONE)
}

/// A card by its batch, or by where it stands.
fn line(card: &pb::Card, by_state: bool) -> String {
    if by_state {
        let (id, since) = (&card.card_id, time(card.state_time.as_ref()));
        return format!("{id:24}  {:16}  {since}  {}", state(card), card.office);
    }
    let pb::Card { batch_id, index, order_id, district, .. } = card;
    format!("{batch_id}  {index:>8}  {order_id:24}  {:24}  {district}", kind_name(card))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_of_a_card_can_be_asked_for() {
        for state in CardState::ALL {
            assert!(pb::CardState::from_str_name(&format!("CARD_STATE_{state}")).is_some(), "{state}");
        }
    }
}
