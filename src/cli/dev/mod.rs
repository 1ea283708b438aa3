//! `todoke dev --dir DIR`: a whole system on loopback, left running for whoever wants to play with it.

mod board;
mod layout;
mod node;
mod notice;
mod parties;
mod plan;
mod probe;
mod supervisor;
mod system;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use serde_json::json;

use super::municipal::{Output, duration, fail_with, say, say_json, say_lines, say_result, warn};
use crate::{
    client::error::remedy_of,
    runtime::{self, Tasks, blocking, exit},
    store::throwaway::{Care, Throwaway, Trouble},
};

pub(crate) use self::{
    layout::Layout,
    node::how,
    notice::{Notice, Tell},
    parties::CALLERS,
    probe::{get, sum},
    system::{Options, System},
};

/// Runs issuer and relays on loopback, with a throw-away PKI, and keeps them alive.
///
/// A process that dies is started again after a second. Ctrl-C stops everything in order, a second one at
/// once. The folder can be used again: PKI, database and ports stay. Several issuers share one server's
/// database, and every relay knows them all.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example: todoke dev --dir dev, then in another shell\n  \
                        todoke import cards.csv --endpoints dev/endpoints.json --as municipality/131229")]
pub struct DevArgs {
    /// Where everything of the system lies; made if it is not there
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// How many relays
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub relays: u16,
    /// How many issuers; more than one need a server: --database postgres
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=8))]
    pub issuers: u16,
    /// The database: sqlite for DIR/issuer.db, or sqlite:FILE; postgres for a throw-away server, gone with
    /// all that is in it when this ends, or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "URL", default_value = "sqlite")]
    pub database: String,
    /// Leaves a process dead when it dies
    #[arg(long)]
    pub no_restart: bool,
    /// How long calls in flight get when the system stops
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub drain: Duration,
    /// How results are shown
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Why there is no system; each text ends with what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DevError {
    /// The folder, or a file in it, cannot be used.
    #[error("{}: {source}. {}, or pass another --dir", dir.display(), remedy_of(source))]
    Folder { dir: PathBuf, source: std::io::Error },
    /// It has files of somebody else.
    #[error("{}: it has files that are not of `todoke dev`; pass an empty or a new --dir", dir.display())]
    NotOurs { dir: PathBuf },
    /// Another process has it.
    #[error(
        "{}: another `todoke dev` uses this folder, process {pid}. Stop it, or pass another --dir",
        dir.display()
    )]
    InUse { dir: PathBuf, pid: String },
    /// The PKI cannot be made or read.
    #[error("{}: {what}. Remove the folder to have the PKI made anew", dir.display())]
    Pki { dir: PathBuf, what: String },
    /// Nobody knows where this very program is.
    #[error("the todoke program does not find itself: {0}. Start it by its path")]
    Program(std::io::Error),
    /// There is no throw-away server.
    #[error("{0}")]
    Database(#[from] Trouble),
    /// A process did not become ready.
    #[error("{0}")]
    Launch(#[from] node::LaunchError),
}

/// Runs until it is told to stop.
///
/// # Errors
/// None of its own: everything that goes wrong is shown and has its exit code.
pub async fn run(args: DevArgs) -> Result<u8, super::Error> {
    let chosen = match chosen(&args) {
        Ok(chosen) => chosen,
        Err(words) => {
            return Ok(fail_with(exit::USAGE, &words, args.output));
        }
    };
    let tasks = Tasks::new();
    runtime::signals(&tasks);
    let tell = teller(args.output);
    let work = async {
        let layout = Layout::make(&args.dir)?;
        let (database, server) = match chosen {
            Chosen::Url(url) => (url, None),
            Chosen::OwnFile => (format!("sqlite:{}", layout.database().display()), None),
            Chosen::OwnServer => {
                let server = throwaway().await?;
                server.create(DATABASE).await?;
                (server.url(DATABASE), Some(server))
            }
        };
        let options = Options {
            relays: args.relays,
            issuers: args.issuers,
            database,
            restart: !args.no_restart,
            drain: args.drain,
            flags: Vec::new(),
            issuer_flags: Vec::new(),
            relay_flags: BTreeMap::new(),
        };
        Ok((System::start(layout, &options, tell).await?, server))
    };
    // A signal during the start drops what was started, which kills it.
    let Some(started) = tasks.soft().run_until_cancelled(work).await else { return Ok(stopped(args.output)) };
    let (system, server) = match started {
        Ok(started) => started,
        Err(error) => {
            let in_use = matches!(error, DevError::InUse { .. });
            let code = if in_use { exit::TRY_AGAIN } else { exit::FAILED };
            return Ok(fail_with(code, &error, args.output));
        }
    };
    if args.output == Output::Text {
        hint(&system);
    }
    tasks.soft().cancelled_owned().await;
    tokio::select! {
        () = system.stop() => (),
        () = tasks.hard().cancelled_owned() => {
            system.kill_all();
            system.stop().await;
        }
    }
    blocking(move || drop(server)).await;
    Ok(stopped(args.output))
}

// The last line, which programs go by.
fn stopped(output: Output) -> u8 {
    if output == Output::Json { say_result(exit::DONE, json!({"outcome": "stopped"})) } else { exit::DONE }
}

/// The name of the database in a throw-away server.
const DATABASE: &str = "todoke";

/// Starts a server that is gone with all that is in it when it is dropped.
///
/// # Errors
/// [`DevError::Database`], which says what to install.
pub(crate) async fn throwaway() -> Result<Throwaway, DevError> {
    Ok(blocking(|| Throwaway::start(Care::Durable)).await?)
}

/// Which database was chosen.
#[derive(Debug, PartialEq, Eq)]
enum Chosen {
    /// The file in the folder.
    OwnFile,
    /// A throw-away server.
    OwnServer,
    /// This one.
    Url(String),
}

fn chosen(args: &DevArgs) -> Result<Chosen, String> {
    let scheme = args.database.split(':').next().unwrap_or_default();
    if args.issuers > 1 && scheme == "sqlite" {
        return Err(format!(
            "--issuers {}: a file takes one issuer; pass --database postgres, or leave the flag out",
            args.issuers
        ));
    }
    match args.database.split_once(':') {
        None if args.database == "sqlite" => Ok(Chosen::OwnFile),
        None if args.database == "postgres" => Ok(Chosen::OwnServer),
        Some(("sqlite", "")) => {
            let words = "--database sqlite: names no file: sqlite alone is DIR/issuer.db, or sqlite:FILE";
            Err(words.to_owned())
        }
        Some(("sqlite" | "postgres" | "postgresql", _)) => Ok(Chosen::Url(args.database.clone())),
        _ => Err(format!(
            "--database {scheme}: it is sqlite, sqlite:FILE, postgres, or postgres://USER@HOST/DATABASE"
        )),
    }
}

fn teller(output: Output) -> Tell {
    Arc::new(move |notice: &Notice| match (output, notice) {
        (Output::Json, _) => say_json(notice),
        (Output::Text, _) if notice.is_bad() => warn(&notice.to_string()),
        (Output::Text, _) => say_lines(&notice.to_string()),
    })
}

fn hint(system: &System) {
    let endpoints = system.layout().endpoints();
    let to = format!("--endpoints {} --as municipality/131229", endpoints.display());
    say("Ctrl-C stops it. Meanwhile, in another shell:");
    say("  todoke sample --municipality 131229 --records 5000 --seed 7 --out cards.csv");
    say(&format!("  todoke import cards.csv {to}"));
    say(&format!("  todoke status {to}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: DevArgs,
    }

    fn args(more: &[&str]) -> DevArgs {
        use clap::Parser as _;
        Line::parse_from(["todoke", "--dir", "d"].iter().chain(more)).args
    }

    #[test]
    fn the_database_is_one_of_its_own_or_the_one_that_is_named_or_refused_without_showing_a_password() {
        assert_eq!(chosen(&args(&[])), Ok(Chosen::OwnFile));
        assert_eq!(chosen(&args(&["--database", "postgres"])), Ok(Chosen::OwnServer));
        for url in ["sqlite:/tmp/a.db", "postgres://u@h/d", "postgresql://u@h/d"] {
            assert_eq!(chosen(&args(&["--database", url])), Ok(Chosen::Url(url.to_owned())));
        }
        let words = chosen(&args(&["--database", "mysql://u:secret@h/d"])).expect_err("no such one");
        assert!(words.contains("mysql") && words.contains("sqlite:FILE"), "{words}");
        assert!(!words.contains("secret"), "{words}");
        let words = chosen(&args(&["--database", "sqlite:"])).expect_err("which file?");
        assert!(words.contains("names no file"), "{words}");
    }

    #[test]
    fn several_issuers_need_a_server() {
        for database in ["sqlite", "sqlite:a.db"] {
            let words = chosen(&args(&["--issuers", "2", "--database", database])).expect_err("one process");
            assert!(words.contains("takes one issuer; pass --database postgres"), "{words}");
        }
        assert_eq!(chosen(&args(&["--issuers", "2", "--database", "postgres"])), Ok(Chosen::OwnServer));
    }
}
