//! The command line: each sub-command is one file with its flags and its `run`; wiring happens here and
//! nowhere else, and every run ends with one of the exit codes of [`crate::runtime::exit`].

mod addresses;
pub mod application;
pub mod card;
pub mod completions;
pub mod config;
pub mod demo;
pub mod dev;
mod ending;
mod error;
pub(crate) mod giving;
mod help;
pub mod import;
pub mod issuer;
mod lives;
pub mod mail;
pub mod migrate;
pub mod municipal;
mod nothing;
mod notices;
mod parts;
pub mod pki;
pub mod pool;
pub mod pool_offline;
mod process;
pub mod production;
mod progress;
pub mod prove;
pub mod reconcile;
pub mod rejects;
pub mod relay;
mod replay;
pub mod report;
pub mod restore;
pub mod resume;
pub mod sample;
pub mod status;
pub mod store;
pub mod upkeep;
pub mod vault;
pub mod verify;

use std::{ffi::OsString, panic, process::ExitCode};

use clap::{FromArgMatches as _, Parser, Subcommand};

use crate::runtime::{self, exit};
pub use crate::telemetry::LogFormat;
pub use error::Error;
use municipal::{Output, fail_with, warn};

/// Hands over batches of card records so that none is lost without somebody being told.
#[derive(Debug, Parser)]
#[command(name = "todoke", version, max_term_width = 100)]
struct Todoke {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Import(import::ImportArgs),
    Resume(resume::ResumeArgs),
    Status(status::StatusArgs),
    Rejects(rejects::RejectsArgs),
    Reconcile(reconcile::ReconcileArgs),
    Prove(prove::ProveArgs),
    Verify(verify::VerifyArgs),
    Card(Box<card::CardArgs>),
    Application(Box<application::ApplicationArgs>),
    Mail(Box<mail::MailArgs>),
    Production(Box<production::ProductionArgs>),
    Relay(Box<relay::RelayArgs>),
    Abort(upkeep::AbortArgs),
    Repair(upkeep::RepairArgs),
    Issuer(Box<issuer::IssuerArgs>),
    Config(config::ConfigArgs),
    Migrate(migrate::MigrateArgs),
    Pki(pki::PkiArgs),
    Pool(Box<pool::PoolArgs>),
    Restore(restore::RestoreArgs),
    Store(store::StoreArgs),
    Vault(vault::VaultArgs),
    Report(report::ReportArgs),
    Demo(demo::DemoArgs),
    Dev(dev::DevArgs),
    Sample(sample::SampleArgs),
    Completions(completions::CompletionsArgs),
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    panic::set_hook(Box::new(report_bug));
    crate::config::give_back_at_once();
    if let Err(error) = runtime::forbid_core_dumps() {
        warn(&format!("warning: core dumps cannot be forbidden, and one would hold keys: {error}"));
    }
    if let Err(words) = crate::crash::arm() {
        warn(&format!("error: {words}"));
        return ExitCode::from(exit::CONFIG);
    }
    let command = match parse(std::env::args_os()) {
        Ok(command) => command,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { exit::USAGE } else { exit::DONE });
        }
    };
    let output = command.output();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return ended(Err(Error::Runtime(error)), output),
    };
    let result = runtime.block_on(run(command));
    // Whatever still reads a file or a terminal in a thread of its own must not hold the process.
    runtime.shutdown_background();
    ended(result, output)
}

fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command, clap::Error> {
    let matches = help::command::<Todoke>().try_get_matches_from(words)?;
    Todoke::from_arg_matches(&matches).map(|todoke| todoke.command)
}

async fn run(command: Command) -> Result<u8, Error> {
    match command {
        Command::Import(args) => Box::pin(import::run(args)).await,
        Command::Resume(args) => Box::pin(resume::run(args)).await,
        Command::Status(args) => Box::pin(status::run(args)).await,
        Command::Rejects(args) => Box::pin(rejects::run(args)).await,
        Command::Reconcile(args) => Box::pin(reconcile::run(args)).await,
        Command::Prove(args) => Box::pin(prove::run(args)).await,
        Command::Verify(args) => verify::run(args).await,
        Command::Card(args) => Box::pin(card::run(*args)).await,
        Command::Application(args) => Box::pin(application::run(*args)).await,
        Command::Mail(args) => Box::pin(mail::run(*args)).await,
        Command::Production(args) => Box::pin(production::run(*args)).await,
        Command::Relay(args) => Box::pin(relay::run(*args)).await,
        Command::Abort(args) => Box::pin(upkeep::abort(args)).await,
        Command::Repair(args) => Box::pin(upkeep::repair(args)).await,
        Command::Issuer(args) => Box::pin(issuer::run(*args)).await,
        Command::Config(args) => config::run(&args),
        Command::Migrate(args) => Box::pin(migrate::run(args)).await,
        Command::Pki(args) => pki::run(&args),
        Command::Pool(args) => Box::pin(pool::run(*args)).await,
        Command::Restore(args) => Box::pin(restore::run(args)).await,
        Command::Store(args) => Box::pin(store::run(args)).await,
        Command::Report(args) => Box::pin(report::run(args)).await,
        Command::Vault(args) => Box::pin(vault::run(args)).await,
        Command::Demo(args) => Box::pin(demo::run(args)).await,
        Command::Dev(args) => Box::pin(dev::run(args)).await,
        Command::Sample(args) => sample::run(&args),
        Command::Completions(args) => completions::run(&args, &help::command::<Todoke>()),
    }
}

impl Command {
    /// How an error is shown that the command does not show by itself.
    fn output(&self) -> Output {
        match self {
            Command::Migrate(args) => args.output,
            Command::Restore(args) => args.output(),
            Command::Store(args) => args.output(),
            Command::Report(args) => args.output(),
            Command::Vault(args) => args.output(),
            Command::Sample(args) => args.output,
            _ => Output::Text,
        }
    }
}

fn ended(result: Result<u8, Error>, output: Output) -> ExitCode {
    ExitCode::from(result.unwrap_or_else(|error| fail_with(error.exit_code(), &error, output)))
}

/// Says where a panic was, and what it says only if that is a fixed text: one that was put together may
/// quote personal data.
fn report_bug(info: &panic::PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let words = info.payload().downcast_ref::<&'static str>().copied().unwrap_or_default();
    warn(&format!(
        "todoke {} met a bug of its own at {place}: {words}\nNothing that was acknowledged is lost. Please \
         report this with the command that was run",
        env!("CARGO_PKG_VERSION")
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_flags_that_fit_together() {
        help::command::<Todoke>().debug_assert();
    }

    #[test]
    fn every_command_is_in_the_help_once_and_says_how_it_is_used() {
        let command = help::command::<Todoke>();
        for sub in command.get_subcommands() {
            let name = sub.get_name();
            assert_eq!(help::groups_of(name), 1, "{name} is not in exactly one group of the help");
            says_how_it_is_used(name, sub);
            for below in sub.get_subcommands() {
                says_how_it_is_used(&format!("{name} {}", below.get_name()), below);
            }
        }
    }

    fn says_how_it_is_used(name: &str, command: &clap::Command) {
        assert!(command.get_about().is_some(), "{name} has no description");
        let example = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(example.contains(&format!("todoke {name}")), "{name} has no example");
        let longest = example.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(100), "an example of {name} would be broken into lines that do not run");
    }

    #[test]
    fn the_help_is_grouped() {
        insta::assert_snapshot!(help::command::<Todoke>().render_help());
    }
}
