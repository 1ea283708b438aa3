//! `todoke config check` and `config print`: everything that is wrong with a configuration at once, and
//! every value with where it was said, even of one that is not complete; neither starts anything.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{
    Error,
    municipal::{Output, say, say_json, say_result, warn},
};
use crate::{
    config::{self, Effective, IssuerConfig, Problems, RelayConfig, Sources, Survey},
    runtime::exit,
};

/// Checks or shows the configuration of a role.
///
/// Neither starts anything. Exit codes: 0 nothing is wrong, 64 something is.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  todoke config check --role issuer --config issuer.toml\n  \
                        todoke config print --role relay")]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum ConfigCommand {
    /// Says everything that is wrong, all at once
    #[command(after_help = "Example: todoke config check --role issuer --config issuer.toml")]
    Check(OfRole),
    /// Shows every key, its value and where it was said, then what is wrong; passwords are hidden
    ///
    /// The values are TOML and go to standard output, what is wrong goes to standard error.
    #[command(after_help = "Examples:\n  todoke config print --role issuer --config issuer.toml\n  \
                            todoke config print --role relay 2>/dev/null > relay.toml")]
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
    let sources = Sources::of_process(of.config.clone(), Vec::new());
    let Survey { values, problems } = match of.role {
        RoleName::Issuer => config::survey::<IssuerConfig>(&sources),
        RoleName::Relay => config::survey::<RelayConfig>(&sources),
    };
    if print {
        show(&values, of.output);
    }
    Ok(match (problems.is_empty(), of.output) {
        (true, Output::Text) if print => exit::DONE,
        (true, _) => approve(&values, of.output),
        (false, _) => refuse(of.output, &Problems(problems)),
    })
}

fn show(values: &[Effective], output: Output) {
    match output {
        Output::Text => values.iter().for_each(|value| say(&config::line(value))),
        Output::Json => values.iter().for_each(say_json),
    }
}

fn approve(values: &[Effective], output: Output) -> u8 {
    match output {
        Output::Text => {
            let told = values.iter().filter(|value| value.origin != "default").count();
            say(&format!("OK: {} keys, {told} of them set", values.len()));
        }
        Output::Json => {
            say_result(exit::DONE, serde_json::json!({"problems": []}));
        }
    }
    exit::DONE
}

fn refuse(output: Output, problems: &Problems) -> u8 {
    if output == Output::Json {
        return say_result(exit::CONFIG, serde_json::json!({"problems": problems.0}));
    }
    warn(&format!("error: {problems}"));
    exit::CONFIG
}
