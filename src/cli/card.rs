//! `todoke card get|list`: shows card orders of accepted batches; personal data only when a purpose is
//! stated.

use std::io::{BufRead as _, Read as _};

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::municipal::{self, Asking, Output, fail, say, say_event, say_result, warn};
use crate::{
    client::{error::Error, session::Session},
    domain::batch_id::BatchId,
    runtime::exit,
    wire::pb::{self, get_card_request::Key},
};

const GET_EXAMPLE: &str = "Example:\n  todoke card get --order-id K-17 --purpose inquiry \\\n    \
                           --endpoints dev/endpoints.json --as municipality/131229";

/// Looks at card orders.
#[derive(Debug, Clone, Args)]
#[command(after_help = GET_EXAMPLE)]
pub struct CardArgs {
    #[command(subcommand)]
    command: CardCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum CardCommand {
    /// Shows one card order
    #[command(after_help = GET_EXAMPLE)]
    Get(GetArgs),
    /// Lists card orders, without personal data
    #[command(after_help = "Example:\n  todoke card list --limit 20 --endpoints dev/endpoints.json --as \
                            municipality/131229")]
    List(ListArgs),
}

#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("key").required(true).args(["order_id", "individual_number"]))]
struct GetArgs {
    /// The municipality's own key
    #[arg(long, value_name = "ID")]
    order_id: Option<String>,
    /// Reads a 12-digit individual number from standard input, so that it stands in no process list
    #[arg(long, requires = "purpose")]
    individual_number: bool,
    /// Why personal data is read; without it none is shown
    #[arg(long, value_enum)]
    purpose: Option<Purpose>,
    #[command(flatten)]
    connect: Asking,
    /// How results are shown
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Args)]
struct ListArgs {
    /// Only of this batch
    #[arg(long, value_name = "ID", value_parser = municipal::batch_id)]
    batch: Option<BatchId>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[command(flatten)]
    connect: Asking,
    /// How results are shown
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Purpose {
    Counter,
    Inquiry,
    Correction,
}

/// Runs the command and returns its exit code.
///
/// # Errors
/// None of its own: everything that goes wrong is shown and has its exit code.
pub async fn run(args: CardArgs) -> Result<u8, super::Error> {
    let (result, output) = match &args.command {
        CardCommand::Get(get_args) => (get(get_args).await, get_args.output),
        CardCommand::List(list_args) => (list(list_args).await, list_args.output),
    };
    Ok(match result {
        Ok(()) => exit::DONE,
        Err(error) => fail(&error, output),
    })
}

async fn get(args: &GetArgs) -> Result<(), Error> {
    let key = match &args.order_id {
        Some(order_id) => Key::OrderId(order_id.clone()),
        None => Key::IndividualNumber(from_input()?),
    };
    let purpose = match args.purpose {
        None => pb::Purpose::Unspecified,
        Some(Purpose::Counter) => pb::Purpose::Counter,
        Some(Purpose::Inquiry) => pb::Purpose::Inquiry,
        Some(Purpose::Correction) => pb::Purpose::Correction,
    };
    let session = args.connect.session(args.output)?;
    let card = session.over(async |session| session.get_card(key, purpose).await).await?;
    if args.output == Output::Json {
        say_event("card", json(&card));
        say_result(exit::DONE, serde_json::json!({"cards": 1}));
        return Ok(());
    }
    for (name, value) in fields(&card) {
        if !value.is_empty() {
            say(&format!("{name:18} {value}"));
        }
    }
    Ok(())
}

fn from_input() -> Result<String, Error> {
    const LINE_BYTES_MAX: u64 = 64; // 12 digits, and whatever stands around them
    let mut line = String::new();
    let read = std::io::stdin().lock().take(LINE_BYTES_MAX).read_line(&mut line);
    read.map_err(|error| Error::Usage(format!("standard input cannot be read: {error}")))?;
    Ok(line.trim().to_owned())
}

async fn list(args: &ListArgs) -> Result<(), Error> {
    let session = args.connect.session(args.output)?;
    session.over(async |session| list_over(session, args).await).await
}

async fn list_over(session: &Session, args: &ListArgs) -> Result<(), Error> {
    let mut left = args.limit;
    let mut token = String::new();
    while left > 0 {
        let page = session.list_cards(args.batch, left.min(1000), &token).await?;
        for card in &page.cards {
            match args.output {
                Output::Json => say_event("card", json(card)),
                Output::Text => say(&format!(
                    "{}  {:>8}  {:24}  {:24}  {}",
                    card.batch_id,
                    card.index,
                    card.order_id,
                    kind_name(card),
                    card.district
                )),
            }
        }
        left = left.saturating_sub(u32::try_from(page.cards.len()).unwrap_or(left));
        token = page.next_page_token;
        if token.is_empty() || page.cards.is_empty() {
            break;
        }
    }
    if args.output == Output::Json {
        let more = left == 0 && !token.is_empty();
        say_result(exit::DONE, serde_json::json!({"cards": args.limit - left, "more": more}));
    } else if left == args.limit {
        warn("no card orders: only accepted batches have some, and `todoke status` shows how batches stand");
    } else if !token.is_empty() {
        warn(&format!("there are more than these {}: pass a larger --limit", args.limit));
    }
    Ok(())
}

fn kind_name(card: &pb::Card) -> &'static str {
    let name = card.kind().as_str_name();
    name.strip_prefix("CARD_KIND_").unwrap_or(name)
}

fn fields(card: &pb::Card) -> Vec<(&'static str, String)> {
    let state = card.state().as_str_name();
    let person = card.personal_data.clone().unwrap_or_default();
    vec![
        ("order_id", card.order_id.clone()),
        ("batch_id", card.batch_id.clone()),
        ("index", card.index.to_string()),
        ("kind", kind_name(card).to_owned()),
        ("state", state.strip_prefix("CARD_STATE_").unwrap_or(state).to_owned()),
        ("district", card.district.clone()),
        ("protected", if card.protected { "1".to_owned() } else { String::new() }),
        ("accommodations", card.accommodations.join(";")),
        ("name_flags", card.name_flags.join(" ")),
        ("name", person.name),
        ("substitute_name", person.substitute_name),
        ("reading", person.reading),
        ("reading_source", person.reading_source),
        ("birth_date", person.birth_date),
        ("sex", person.sex),
        ("address", person.address),
        ("delivery_address", person.delivery_address),
        ("individual_number", person.individual_number),
    ]
}

fn json(card: &pb::Card) -> serde_json::Value {
    let filled = fields(card).into_iter().filter(|(_, value)| !value.is_empty());
    filled.map(|(name, value)| (name.to_owned(), serde_json::Value::String(value))).collect()
}
