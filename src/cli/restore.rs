//! `todoke restore mark|status|release`: what an operator says and decides when a backup took the place of
//! the database, also while the issuer runs.

use clap::{Args, Subcommand};

use super::{
    Error,
    municipal::{Output, now_ms, say, say_event, say_result},
};
use crate::{
    domain::municipality::MunicipalityCode,
    runtime::exit,
    store::{self, Cause, Standing, Store, StoreOptions},
};

/// Most municipalities and lost batches that are shown; there are 1,741 municipalities.
const SHOWN_MAX: u32 = 5000;

/// Marks a database as restored from a backup, and sees it through.
///
/// From then on nothing new is taken from a municipality (it is told RECONCILE_FIRST) until it has compared
/// its receipts (`todoke reconcile --all FILES`), or was released.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
                        todoke restore mark --database sqlite:issuer.db --reason 'disk lost'\n  \
                        todoke restore status --database sqlite:issuer.db\n  \
                        todoke restore release 131229 --database sqlite:issuer.db --reason 'files lost'")]
pub struct RestoreArgs {
    #[command(subcommand)]
    command: RestoreCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum RestoreCommand {
    /// Says that this database is a backup, older than what was acknowledged
    Mark(MarkArgs),
    /// Shows how far each municipality is, and what is lost
    Status(StatusArgs),
    /// Takes new batches from one municipality again that cannot compare its receipts or send what it lost,
    /// and gives up what it lost
    Release(ReleaseArgs),
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "Example: todoke restore mark --database sqlite:issuer.db --reason 'disk lost'")]
struct MarkArgs {
    #[command(flatten)]
    of: Database,
    /// What happened, for those who look later
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "Example: todoke restore status --database sqlite:issuer.db")]
struct StatusArgs {
    #[command(flatten)]
    of: Database,
}

#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Example: todoke restore release 131229 --database sqlite:issuer.db --reason 'files lost'"
)]
struct ReleaseArgs {
    /// Its six-digit code
    municipality: MunicipalityCode,
    #[command(flatten)]
    of: Database,
    /// Why: it is kept in the database
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
}

#[derive(Debug, Clone, Args)]
struct Database {
    /// The issuer's database, for example sqlite:issuer.db
    #[arg(long, value_name = "URL")]
    database: String,
    /// How results are shown
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    match text.chars().count() {
        1..=500 if !text.chars().any(char::is_control) => Ok(text.to_owned()),
        _ => Err("say it in 1 to 500 characters, on one line".to_owned()),
    }
}

impl Database {
    /// Opens it alone, or beside the issuer that has it.
    async fn open(&self) -> Result<Store, store::Error> {
        let options = StoreOptions { url: self.database.clone(), ..StoreOptions::default() };
        match Store::open_existing(&options).await {
            Err(error) if error.in_use().is_some() => Store::open_beside(&options).await,
            opened => opened,
        }
    }
}

impl RestoreArgs {
    pub(super) fn output(&self) -> Output {
        match &self.command {
            RestoreCommand::Mark(args) => args.of.output,
            RestoreCommand::Status(args) => args.of.output,
            RestoreCommand::Release(args) => args.of.output,
        }
    }
}

/// Runs the command and returns its exit code: `status` 0 only if nothing is waiting and nothing is lost.
///
/// # Errors
/// What the store says.
pub async fn run(args: RestoreArgs) -> Result<u8, Error> {
    match &args.command {
        RestoreCommand::Mark(mark) => {
            let store = mark.of.open().await?;
            let id = store.mark_restored(Cause::Operator, &mark.reason, now_ms()).await?;
            store.close().await;
            let words = format!(
                "restore {id} is in force: nothing new is taken from a municipality (RECONCILE_FIRST) until \
                 it has run `todoke reconcile --all FILES`, or was released"
            );
            Ok(told(mark.of.output, serde_json::json!({"restore": id}), &words))
        }
        RestoreCommand::Status(status) => show(&status.of).await,
        RestoreCommand::Release(args) => release(args).await,
    }
}

async fn release(args: &ReleaseArgs) -> Result<u8, Error> {
    let store = args.of.open().await?;
    let code = args.municipality;
    let lost = store.lost_of(code, SHOWN_MAX).await?.len();
    let known = lost > 0 || !store.list_batches(code, None, 1).await?.is_empty();
    let done = store.release(code, &args.reason, now_ms()).await?;
    store.close().await;
    if !done {
        return Err(Error::Usage("no restore is in force: nothing has to be released".to_owned()));
    }
    let what = match (lost, known) {
        (0, true) => "nothing was known to be lost".to_owned(),
        (0, false) => "this database knows no batch of it: if the code is a wrong one, release the right \
                       one, too"
            .to_owned(),
        (lost, _) => format!("what it lost is given up, {lost} of its batches"),
    };
    let json = serde_json::json!({"released": code.to_string(), "given_up": lost, "known": known});
    Ok(told(args.of.output, json, &format!("{code} is released: it is told RECONCILE_FIRST no more; {what}")))
}

fn told(output: Output, json: serde_json::Value, words: &str) -> u8 {
    if output == Output::Json {
        return say_result(exit::DONE, json);
    }
    say(words);
    exit::DONE
}

async fn show(of: &Database) -> Result<u8, Error> {
    let store = of.open().await?;
    let restore = store.restored().await?;
    let compared = store.comparisons(SHOWN_MAX).await?;
    let lost = store.lost_batches(SHOWN_MAX).await?;
    store.close().await;
    let waiting = compared.iter().filter(|one| one.standing == Standing::Waiting).count();
    let code = if waiting == 0 && lost.is_empty() { exit::DONE } else { exit::FAILED };
    let word = |standing| match standing {
        Standing::Waiting => "waiting",
        Standing::Compared => "compared",
        Standing::Released => "released",
    };
    if of.output == Output::Json {
        for one in &compared {
            let value = serde_json::json!({
                "municipality": one.municipality.to_string(), "standing": word(one.standing),
                "note": one.note,
            });
            say_event("municipality", value);
        }
        for one in &lost {
            let value = serde_json::json!({
                "municipality": one.municipality.to_string(), "batch_id": one.batch_id.to_string(),
                "sequence": one.sequence, "records": one.record_count,
            });
            say_event("lost", value);
        }
        let restore = restore.as_ref().map(|one| one.id);
        let value = serde_json::json!({"waiting": waiting, "lost": lost.len(), "restore": restore});
        return Ok(say_result(code, value));
    }
    let Some(restore) = restore else {
        say("this database was never restored, as far as it knows");
        return Ok(code);
    };
    say(&format!("restore {} ({}): {}", restore.id, restore.cause, restore.note));
    for one in &compared {
        say(&format!("{}  {:8}  {}", one.municipality, word(one.standing), one.note));
    }
    for one in &lost {
        say(&format!(
            "{}  LOST      batch {}, sequence {}, {} records: to be sent again",
            one.municipality, one.batch_id, one.sequence, one.record_count
        ));
    }
    say(&format!("{waiting} waiting, {} lost", lost.len()));
    Ok(code)
}
