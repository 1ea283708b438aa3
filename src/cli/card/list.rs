//! `todoke card list`: cards by batch, or those in one state or of one lot, without personal data.

use std::time::Duration;

use clap::{Args, builder::TypedValueParser};

use super::item::{kind_name, state};
use crate::{
    cli::{
        giving::Asker,
        lives::{
            list::{list, since},
            time, words,
        },
        municipal,
    },
    client::error::Error,
    domain::{batch_id::BatchId, item::ItemId, life::card::CardState},
    wire::pb,
};

/// What people hear where there is none.
const NOTHING: &str =
    "no such cards: only accepted batches have some, and `todoke status` shows how batches stand";

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
    pub(super) asking: Asker,
}

fn states() -> impl TypedValueParser<Value = pb::CardState> {
    let known = CardState::ALL.iter().map(|state| state.as_str());
    words(known, "CARD_STATE_", pb::CardState::from_str_name)
}

pub(super) async fn run(args: &ListArgs) -> Result<u8, Error> {
    let shown = args.asking.session()?.over(async |session| {
        let by = since(args.older_than);
        let page = async |page_size, page_token| {
            let message = pb::ListCardsRequest {
                page_size,
                page_token,
                batch_id: args.batch.map(|id| id.to_string()).unwrap_or_default(),
                state: args.state.unwrap_or_default().into(),
                office: args.office.clone().unwrap_or_default(),
                state_by_time: by,
                lot_id: args.lot.as_ref().map(ToString::to_string).unwrap_or_default(),
            };
            session.list_cards(message).await.map(|page| (page.cards, page.next_page_token))
        };
        let by_state = args.state.is_some() || args.lot.is_some();
        list((args.limit, args.asking.output), page, |card| line(card, by_state), NOTHING).await
    });
    shown.await
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
