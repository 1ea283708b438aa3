//! `todoke mail list`: the envelopes of a municipality, all or those in one state, the longest in it first.

use std::time::Duration;

use clap::{Args, builder::TypedValueParser};

use super::item::state;
use crate::{
    cli::{
        giving::Asker,
        lives::{
            list::{list, since},
            time, words,
        },
        municipal::{self, many},
    },
    client::{calls::Weight, error::Error},
    domain::life::mail::MailState,
    wire::pb,
};

/// What people hear where there is none.
const NOTHING: &str =
    "no such envelopes: the press reports each one first, and without --state all are listed";

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
    words(known, "MAIL_STATE_", pb::MailState::from_str_name)
}

pub(super) async fn run(args: &ListArgs) -> Result<u8, Error> {
    let shown = args.asking.party()?.over(async |party| {
        let by = since(args.older_than);
        let page = async |page_size, page_token| {
            let message = pb::ListMailItemsRequest {
                page_size,
                page_token,
                state: args.state.unwrap_or_default().into(),
                office: args.office.clone(),
                state_by_time: by,
            };
            let page = party.ask("ListMailItems", Weight::Light, &message, |attempt, request| async move {
                attempt.mail().list_mail_items(request).await
            });
            page.await.map(|page| (page.mail_items, page.next_page_token))
        };
        list((args.limit, args.asking.output), page, line, NOTHING).await
    });
    shown.await
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
