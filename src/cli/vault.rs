//! `todoke vault rotate` and `vault status`: another key-encryption key takes the place of the one in use,
//! and which key opens what; the data itself is not touched.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{
    Error,
    municipal::{Output, many, say, say_event, say_result, warn},
    progress::bar,
};
use crate::{
    issuance::{self, Rotated},
    runtime::exit,
    store::{Store, StoreOptions},
    vault::{KekId, Rotation},
};

/// Replaces the key-encryption key, or says which one is in use.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  (umask 077; openssl rand -hex 32 > new.key)
  todoke vault rotate --database sqlite:issuer.db --kek kek.key --new-kek new.key
  todoke vault status --database sqlite:issuer.db

Exit codes: 0 done, 1 failed, in use, or most batches are under another key than --kek (nothing was
changed), 4 some keys open under neither key, 64 a key file is wrong.")]
pub struct VaultArgs {
    #[command(subcommand)]
    command: VaultCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum VaultCommand {
    /// Wraps every data key by a new key; the issuer must be stopped, and starts with the new one
    Rotate(RotateArgs),
    /// Says how many batches are under which key; also while an issuer runs
    Status(StatusArgs),
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Example: todoke vault rotate --database sqlite:issuer.db --kek kek.key --new-kek new.key

It may be killed at any moment: the same command goes on. The issuer does not start on a rotation
that is not finished.")]
struct RotateArgs {
    /// The database, for example sqlite:issuer.db
    #[arg(long, value_name = "URL")]
    database: String,
    /// The key-encryption key in use: 32 bytes in hex
    #[arg(long, value_name = "FILE")]
    kek: PathBuf,
    /// The one that takes its place: 32 bytes in hex
    #[arg(long, value_name = "FILE")]
    new_kek: PathBuf,
    /// How results are shown
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "Example: todoke vault status --database sqlite:issuer.db")]
struct StatusArgs {
    /// The database, for example sqlite:issuer.db
    #[arg(long, value_name = "URL")]
    database: String,
    /// How results are shown
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

impl VaultArgs {
    pub(super) fn output(&self) -> Output {
        match &self.command {
            VaultCommand::Rotate(args) => args.output,
            VaultCommand::Status(args) => args.output,
        }
    }
}

/// Runs the command and returns its exit code.
///
/// # Errors
/// What kept it from being done.
pub async fn run(args: VaultArgs) -> Result<u8, Error> {
    match args.command {
        VaultCommand::Rotate(args) => rotate(args).await,
        VaultCommand::Status(args) => status(args).await,
    }
}

async fn rotate(args: RotateArgs) -> Result<u8, Error> {
    let keys = Rotation::open(&args.kek, &args.new_kek)?;
    let store = Store::open_existing(&StoreOptions { url: args.database, ..StoreOptions::default() }).await;
    let store =
        store.map_err(|error| Error::held(error, "stop it, rotate, and start it with the new key"))?;
    let total = issuance::keks(&store).await?.values().sum();
    let template = "wrapping [{wide_bar}] {human_pos}/{human_len} keys, {eta} left";
    let bar = bar(template, total, args.output);
    let rotated = issuance::rotate(&store, &keys, &mut |seen| bar.set_position(seen)).await;
    bar.finish_and_clear();
    store.close().await;
    let rotated = rotated?;
    Ok(show(&rotated, &keys, args.output))
}

fn show(rotated: &Rotated, keys: &Rotation, output: Output) -> u8 {
    let code = if rotated.lost.is_empty() { exit::DONE } else { exit::TOTALS };
    let (old, new) = (keys.old_id(), keys.new_id());
    if output == Output::Json {
        let lost = rotated.lost.iter().map(|key| {
            serde_json::json!({
                "municipality": key.municipality.to_string(), "batch_id": key.batch_id.to_string(),
            })
        });
        let value = serde_json::json!({
            "old": old.to_string(), "new": new.to_string(), "wrapped": rotated.again,
            "already": rotated.already, "lost": lost.collect::<Vec<_>>(),
        });
        return say_result(code, value);
    }
    let nothing = rotated.again == 0 && rotated.already > 0 && rotated.lost.is_empty();
    if nothing {
        say(&format!(
            "no key was wrapped: all {} are under {new} already, and none is under {old}",
            rotated.already
        ));
    } else {
        say(&format!("{} keys were wrapped by {new}, {} were already", rotated.again, rotated.already));
    }
    for key in &rotated.lost {
        say(&format!(
            "DAMAGE batch {} {}: its data key opens neither under {old} nor under {new}. Repair: restore \
             the row from a backup, or, if `todoke vault status` names a third key that you have, rotate \
             again with that one as --kek",
            key.municipality, key.batch_id
        ));
    }
    if nothing {
        say(&format!(
            "If {new} is the key that was to be given up, the files are exchanged: run it again with that \
             one as --kek"
        ));
    }
    say(&format!(
        "Next: start the issuer with the new file (key vault.kek). Keep {old} as long as there are backups \
         that were made under it"
    ));
    code
}

async fn status(args: StatusArgs) -> Result<u8, Error> {
    let store = Store::open_to_read(&StoreOptions { url: args.database, ..StoreOptions::default() }).await?;
    let counts = issuance::keks(&store).await?;
    let unfinished = issuance::unfinished(&store).await?;
    store.close().await;
    let name = |id: &Option<KekId>| id.map_or_else(|| "none".to_owned(), |id| id.to_string());
    for (id, batches) in &counts {
        match args.output {
            Output::Text => {
                let are = if *batches == 1 { "is" } else { "are" };
                say(&format!("{} {are} under key-encryption key {}", many(*batches, "batch"), name(id)));
            }
            Output::Json => say_event("kek", serde_json::json!({"id": name(id), "batches": batches})),
        }
    }
    if args.output == Output::Json {
        let to = unfinished.map(|id| id.to_string());
        say_result(exit::DONE, serde_json::json!({"unfinished_to": to}));
    } else if let Some(to) = unfinished {
        warn(&format!("a rotation to {to} is not finished: run the same `todoke vault rotate` again"));
    }
    Ok(exit::DONE)
}
