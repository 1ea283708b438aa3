//! `todoke card get`: one card, with what was recorded of it, and its person if a purpose is stated.

use std::io::{BufRead as _, Read as _};

use clap::{ArgGroup, Args, ValueEnum};

use crate::{
    cli::{giving::Asker, lives::show::show},
    client::error::Error,
    domain::item::ItemId,
    wire::pb::{self, get_card_request::Key},
};

/// Which card is shown.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("key").required(true).args(["order_id", "card_id", "individual_number"]))]
pub(super) struct GetArgs {
    /// The name of a card: its order's, or another that an application or a remake brought
    #[arg(value_name = "CARD")]
    card_id: Option<ItemId>,
    /// The municipality's own key of the order
    #[arg(long, value_name = "ID")]
    order_id: Option<String>,
    /// Reads a 12-digit individual number from standard input, so that it stands in no process list
    #[arg(long, requires = "purpose")]
    individual_number: bool,
    /// Why personal data is read; without it none is shown
    #[arg(long, value_enum)]
    purpose: Option<Purpose>,
    /// Shows all that was recorded of it, too
    #[arg(long)]
    history: bool,
    #[command(flatten)]
    pub(super) asking: Asker,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Purpose {
    Counter,
    Inquiry,
    Correction,
}

pub(super) async fn run(args: &GetArgs) -> Result<u8, Error> {
    let key = match (&args.order_id, &args.card_id) {
        (Some(order_id), _) => Key::OrderId(order_id.clone()),
        (None, Some(card_id)) => Key::CardId(card_id.to_string()),
        (None, None) => Key::IndividualNumber(from_input()?),
    };
    let purpose = match args.purpose {
        None => pb::Purpose::Unspecified,
        Some(Purpose::Counter) => pb::Purpose::Counter,
        Some(Purpose::Inquiry) => pb::Purpose::Inquiry,
        Some(Purpose::Correction) => pb::Purpose::Correction,
    };
    let session = args.asking.session()?;
    let message = pb::GetCardRequest { key: Some(key), purpose: purpose.into(), with_history: args.history };
    let shown = session.over(async |session| session.show_card(message).await).await?;
    Ok(show(args.asking.output, shown.card, &shown.events))
}

fn from_input() -> Result<String, Error> {
    const LINE_BYTES_MAX: u64 = 64; // 12 digits, and whatever stands around them
    let mut line = String::new();
    let read = std::io::stdin().lock().take(LINE_BYTES_MAX).read_line(&mut line);
    read.map_err(|error| Error::Usage(format!("standard input cannot be read: {error}")))?;
    Ok(line.trim().to_owned())
}
