//! `todoke config check` and `config print`: everything that is wrong with a configuration at once, or
//! what is in force and where each value was said; neither starts anything.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{
    Error,
    municipal::{Output, say, say_json, warn},
};
use crate::{
    config::{self, Effective, IssuerConfig, Problems, RelayConfig, Role, Sources},
    runtime::exit,
};

/// Checks or shows the configuration of a role.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  todoke config check --role issuer --config issuer.toml\n  \
                        todoke config print --role issuer --config issuer.toml")]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum ConfigCommand {
    /// Says everything that is wrong, all at once
    Check(OfRole),
    /// Shows every effective value and where it was said; passwords are hidden
    Print(OfRole),
}

#[derive(Debug, Clone, Args)]
struct OfRole {
    /// Whose configuration
    #[arg(long, value_enum)]
    role: RoleName,
    /// The TOML file; TODOKE_* variables count too, as they do when the role starts
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How results are shown
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RoleName {
    Issuer,
    Relay,
}

/// Runs the command and returns its exit code: 64 if anything is wrong.
///
/// # Errors
/// None of its own: problems are shown.
pub fn run(args: &ConfigArgs) -> Result<u8, Error> {
    let (of, print) = match &args.command {
        ConfigCommand::Check(of) => (of, false),
        ConfigCommand::Print(of) => (of, true),
    };
    let effective = match of.role {
        RoleName::Issuer => effective::<IssuerConfig>(of),
        RoleName::Relay => effective::<RelayConfig>(of),
    };
    Ok(match effective {
        Ok(values) => show(of, print, &values),
        Err(problems) => refuse(of.output, &problems),
    })
}

fn effective<T: Role>(of: &OfRole) -> Result<Vec<Effective>, Problems> {
    let sources = Sources::of_process(of.config.clone(), Vec::new());
    config::load::<T>(&sources).map(|loaded| loaded.effective())
}

fn show(of: &OfRole, print: bool, values: &[Effective]) -> u8 {
    match (of.output, print) {
        (Output::Text, true) => values.iter().for_each(|value| say(&config::line(value))),
        (Output::Text, false) => {
            let told = values.iter().filter(|value| value.origin != "default").count();
            say(&format!("OK: {} keys, {told} of them set", values.len()));
        }
        (Output::Json, true) => values.iter().for_each(say_json),
        (Output::Json, false) => {
            say_json(&serde_json::json!({"event": "result", "exit_code": exit::DONE, "problems": []}));
        }
    }
    exit::DONE
}

fn refuse(output: Output, problems: &Problems) -> u8 {
    match output {
        Output::Text => warn(&format!("error: {problems}")),
        Output::Json => say_json(&serde_json::json!({
            "event": "result", "exit_code": exit::CONFIG, "problems": problems.0,
        })),
    }
    exit::CONFIG
}
