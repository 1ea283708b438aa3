//! `todoke report replay`: reads what happened to everything with a life again, and names what does not
//! stand as its history says; with `--repair` makes it stand so.

use clap::Args;

use super::{
    Error,
    municipal::{Output, many, say, say_event, say_result},
};
use crate::{
    issuance::{self, Different, Replayed},
    runtime::exit,
    store::{Store, StoreOptions},
};

/// Which database is read.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  todoke report replay --database sqlite:issuer.db
  todoke report replay --database sqlite:issuer.db --repair    # with the issuer stopped

Without --repair nothing is written, and an issuer may run beside it.
Exit codes: 0 everything stands as its history says (or does now), 4 something does not and was
named, 1 it could not be looked at, 64 bad URL, 75 try again.")]
pub(super) struct ReplayArgs {
    /// The database, for example sqlite:issuer.db
    #[arg(long, value_name = "URL")]
    database: String,
    /// Makes what differs stand as its history says
    #[arg(long)]
    repair: bool,
    /// How results are shown
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(super) output: Output,
}

/// Runs the command and returns its exit code.
pub(super) async fn run(args: ReplayArgs) -> Result<u8, Error> {
    let options = StoreOptions { url: args.database, ..StoreOptions::default() };
    let store = match args.repair {
        true => Store::open_existing(&options).await,
        false => Store::open_to_read(&options).await,
    };
    let store = store
        .map_err(|error| Error::held(error, "stop it to repair, or leave --repair away to look only"))?;
    let output = args.output;
    let mut tell = |different: &Different| show(different, output);
    let replayed = issuance::replay(&store, args.repair, &mut tell).await;
    store.close().await;
    Ok(ended(&replayed?, output))
}

fn show(different: &Different, output: Output) {
    if output == Output::Json {
        return say_event("different", different);
    }
    let Different { municipality, kind, item_id, what, repaired } = different;
    let word = if *repaired { "REPAIRED" } else { "DIFFERENT" };
    say(&format!("{word} {kind} {item_id} of {municipality}: {what}"));
}

fn ended(replayed: &Replayed, output: Output) -> u8 {
    let code = if replayed.different == replayed.repaired { exit::DONE } else { exit::TOTALS };
    if output == Output::Json {
        return say_result(code, replayed);
    }
    let Replayed { items, events, different, repaired } = replayed;
    let read = (many(*items, "item"), many(*events, "event"));
    let found = match (different, repaired) {
        (0, _) => "all of them stand as these say: OK".to_owned(),
        (found, repaired) => format!("{} differed, {repaired} put right", many(*found, "item")),
    };
    say(&format!("{} with {} of history were read again; {found}", read.0, read.1));
    code
}
