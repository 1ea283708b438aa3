//! `todoke demo`: plays the incident of 2015 and everything that has been built against it, with real
//! processes, and ends with exit code 0 only if every check held.

mod audit;
mod cast;
mod command;
mod cut;
mod deaths;
mod extract;
mod life;
mod loads;
mod narrator;
mod pool;
mod proofs;
mod stage;
mod theatre;
mod trouble;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use futures_util::future::join;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::pool::Scenario;
use self::{cast::Cast, narrator::Narrator, stage::Stage, theatre::Theatre, trouble::Trouble};
use super::{
    dev,
    municipal::{Output, fail_with, interrupted, say, say_result},
};
use crate::runtime::{self, Tasks, exit};

/// Plays the incident story with an issuer and four relays, and checks every figure of it.
///
/// Each is a process of its own on loopback. A second such system, in which a relay hangs, runs beside the
/// first. It needs about a minute, leaves nothing running, and ends with 0 only if every check held,
/// otherwise with 1. A scenario is a story of the relay pool alone, or of cards (life).
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  todoke demo --keep demo\n  \
                        todoke verify demo/files/clean.csv.receipt --file demo/files/clean.csv \\\n    \
                        --key demo/system/pki/receipt.pub\n  \
                        todoke demo --scenario january\n  \
                        todoke demo --database postgres")]
pub struct DemoArgs {
    /// Plays this story of the pool in place of the whole one
    #[arg(long, value_enum, value_name = "NAME")]
    pub scenario: Option<Scenario>,
    /// What the issuers keep everything in
    #[arg(long, value_enum, value_name = "KIND", default_value_t = Database::Sqlite)]
    pub database: Database,
    /// Keeps everything in this new folder, to look at it afterwards; otherwise it is removed unless a
    /// check failed
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// How the story is told
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// What a demonstration keeps everything in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Database {
    /// A file for each system
    Sqlite,
    /// A throw-away PostgreSQL, with a database for each system; it is gone at the end, with --keep too
    Postgres,
}

/// Runs the command and returns its exit code.
///
/// # Errors
/// None of its own: everything that goes wrong is shown and has its exit code.
pub async fn run(args: DemoArgs) -> Result<u8, super::Error> {
    let begun = Instant::now();
    let tasks = Tasks::new();
    runtime::signals(&tasks);
    let mut folder = match Folder::make(args.keep.as_deref()) {
        Ok(folder) => folder,
        Err(words) => {
            return Ok(fail_with(exit::USAGE, &words, args.output));
        }
    };
    let server = match args.database {
        Database::Sqlite => None,
        Database::Postgres => match dev::throwaway().await {
            Ok(server) => Some(Arc::new(server)),
            Err(error) => return Ok(fail_with(exit::FAILED, &error, args.output)),
        },
    };
    let mut tale = Narrator::new(args.output);
    let theatre = Theatre::new(&folder.path, tasks.soft(), server);
    let played = match args.scenario {
        Some(scenario) => Box::pin(pool::play(scenario, &theatre, &mut tale)).await,
        None => Box::pin(play(&theatre, &mut tale, begun)).await,
    };
    match played {
        Err(interrupt @ Trouble::Interrupted) => {
            return Ok(interrupted(exit::FAILED, &interrupt.to_string(), args.output));
        }
        Err(trouble) => tale.broke_off(&trouble),
        Ok(()) => (),
    }
    tale.table();
    let (checks, failed) = (tale.checks.len(), tale.failed());
    let code = if failed == 0 { exit::DONE } else { exit::FAILED };
    if failed > 0 {
        folder.keep();
    }
    let seconds = begun.elapsed().as_secs_f64();
    let logs = folder.logs();
    if args.output == Output::Json {
        let seconds = (seconds * 10.0).round() / 10.0;
        let value = json!({"checks": checks, "failed": failed, "seconds": seconds, "logs": logs});
        return Ok(say_result(code, value));
    }
    say("");
    say(&format!("{} of {checks} checks hold, after {seconds:.1} s.", checks - failed));
    if !logs.is_empty() {
        let logs: Vec<String> = logs.iter().map(|path| path.display().to_string()).collect();
        say(&format!("The logs are in {}.", logs.join(" and ")));
    }
    Ok(code)
}

/// Where the second system lies, inside the story's folder.
const SECOND: &str = "second";

// Plays the whole story. Its last part takes longer than all the others together, since the pool needs some
// 50 s to be sure of a relay: it is begun first, on a system of its own, and told when its turn has come.
async fn play(theatre: &Theatre, tale: &mut Narrator, begun: Instant) -> Result<(), Trouble> {
    tale.say("An issuer and four relays are started as processes on loopback, with a PKI of their own;");
    tale.say("and the same once more for (h), which is played beside all the others and told last.");
    let (mut aside, turn) = tale.aside();
    aside.step('h', "relay-2 hangs, and looks well");
    let (second, stands) = (theatre.beside(SECOND), CancellationToken::new());
    let starts = stands.clone().drop_guard();
    let cast = Cast::quiet();
    let beside = Box::pin(second.play(&cast, async |stage| {
        drop(starts);
        let at = loads::seconds(begun.elapsed());
        aside.say(&format!("(begun beside the parts above at +{at}, on a system of its own)"));
        pool::hang(stage, &mut aside).await
    }));
    let above = async {
        // One system after the other: two at once would both take twice as long to start.
        stands.cancelled().await;
        let told = theatre.play(&cast, async |stage| story(stage, tale).await).await;
        match told {
            Ok(()) => turn.come(),
            Err(_) => second.close(),
        }
        told
    };
    let (above, beside) = join(Box::pin(above), beside).await;
    above?;
    tale.after(aside);
    beside
}

async fn story(stage: &Stage, tale: &mut Narrator) -> Result<(), Trouble> {
    tale.step('a', "A clean load");
    let first = loads::clean(stage, tale).await?;
    tale.step('b', "The load of 2015: the extract lacks a district");
    loads::of_2015(stage, tale).await?;
    tale.step('c', "An upload that is cut at 58 %");
    cut::cut(stage, tale).await?;
    tale.step('d', "The issuer is killed while it works the records off");
    deaths::of_the_issuer(stage, tale).await?;
    tale.step('e', "relay-2 is killed in the middle of an upload");
    deaths::of_a_relay(stage, tale).await?;
    tale.step('f', "The same file again");
    proofs::again(stage, tale, &first).await?;
    tale.step('g', "Receipt and proof, without any server");
    proofs::offline(stage, tale, &first).await
}

/// Where the story is played.
struct Folder {
    path: PathBuf,
    temporary: Option<tempfile::TempDir>,
}

impl Folder {
    fn make(keep: Option<&Path>) -> Result<Self, String> {
        let Some(path) = keep else {
            let temporary = tempfile::Builder::new().prefix("todoke-demo-").tempdir();
            let temporary =
                temporary.map_err(|error| format!("no temporary folder: {error}. Pass --keep DIR"))?;
            return Ok(Self { path: temporary.path().to_owned(), temporary: Some(temporary) });
        };
        let words = |what: String| format!("--keep {}: {what}. Pass a new folder", path.display());
        std::fs::create_dir_all(path).map_err(|error| words(error.to_string()))?;
        // What an earlier story left would be counted as this one's.
        if std::fs::read_dir(path).map_err(|error| words(error.to_string()))?.next().is_some() {
            return Err(words("there is something in it".to_owned()));
        }
        let path = std::fs::canonicalize(path).map_err(|error| words(error.to_string()))?;
        if path.to_str().is_none() {
            return Err(words("its name is no UTF-8".to_owned()));
        }
        Ok(Self { path, temporary: None })
    }

    fn keep(&mut self) {
        if let Some(temporary) = self.temporary.take() {
            self.path = temporary.keep();
        }
    }

    fn kept(&self) -> Option<&Path> {
        self.temporary.is_none().then_some(self.path.as_path())
    }

    /// The logs that are kept: of the system, and of the second one if there was one.
    fn logs(&self) -> Vec<PathBuf> {
        let folders = self.kept().into_iter().flat_map(|path| [path.to_owned(), path.join(SECOND)]);
        folders.map(|folder| folder.join("system/logs")).filter(|logs| logs.exists()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_something_in_it_is_refused_and_a_temporary_one_is_removed_unless_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        let new = dir.path().join("new");
        assert!(Folder::make(Some(&new)).expect("it is made").kept().is_some());
        std::fs::write(new.join("x"), "x").expect("it is written");
        let words = Folder::make(Some(&new)).err().expect("it is not empty");
        assert!(words.contains("there is something in it"), "{words}");
        let path = Folder::make(None).expect("a temporary one").path;
        assert!(!path.exists(), "it is gone with the folder");
        let mut folder = Folder::make(None).expect("a temporary one");
        folder.keep();
        let path = folder.path.clone();
        drop(folder);
        assert!(path.exists());
        std::fs::remove_dir(path).expect("it is empty");
    }
}
