//! `loadtest`: measures todoke against its peers on this machine, in interleaved slices, and says how sure
//! the figures are. Everything stays on loopback, is bounded in time and count, and ends by itself.

mod batches;
mod blanks;
mod bulk;
mod calls;
mod copy;
mod counter;
mod echo;
mod failure;
mod figures;
mod filled;
mod generator;
mod import;
mod imported;
mod judgement;
mod lookups;
mod memory;
mod mutations;
mod operator;
mod peers;
mod process;
mod raw;
mod server;
mod sick;
mod side;
mod system;
mod targets;
mod terminals;
mod timed;
mod ways;
mod well;

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use failure::Failure;
use figures::Report;

/// Measures todoke against its peers, on loopback only.
///
/// The machine's speed drifts, so that only ratios of slices of one run mean anything: each cycle measures
/// every side once, in turning order, and the table shows medians and quartiles of the ratios of a cycle.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n  \
    cargo build --workspace --profile dist && target/dist/loadtest import\n  \
    target/dist/loadtest import --records 50000 --cycles 3 --output json\n  \
    target/dist/loadtest import --database postgres --issuers 2 --files 4\n  \
    target/dist/loadtest memory\n  \
    target/dist/loadtest calls\n  \
    target/dist/loadtest calls --slice 4 --cycles 11 --without-haproxy\n  \
    target/dist/loadtest judgement --cycles 20\n  \
    target/dist/loadtest sick-unit --fault hang --fault fail:0.3\n  \
    target/dist/loadtest well --seconds 21600\n  \
    target/dist/loadtest look-ups --rows 100000 --rows 1000000\n  \
    target/dist/loadtest mutations\n  \
    target/dist/loadtest counter --visits activation\n  \
    target/dist/loadtest counter --database postgres --rate 500")]
struct Arguments {
    #[command(subcommand)]
    scenario: Scenario,
    /// The todoke program to measure [default: the one beside this program]
    #[arg(long, value_name = "FILE", global = true)]
    todoke: Option<PathBuf>,
    /// How the figures are shown
    #[arg(long, value_enum, default_value_t = Output::Text, global = true)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A table for people.
    Text,
    /// One JSON object.
    Json,
}

#[derive(Debug, Subcommand)]
enum Scenario {
    /// Record files from `todoke import` to the verified receipt, against the database's own bulk load
    Import(import::ImportArgs),
    /// The peak memory of client, relays and issuer at a small and at a large import, against its goals
    Memory(memory::MemoryArgs),
    /// Unary calls direct, through the relay, and through HAProxy
    Calls(calls::CallsArgs),
    /// What the pool's judgement costs on the way of a call: a relay as a unit of a pool, and one of none
    Judgement(judgement::JudgementArgs),
    /// One sick unit of four that looks well: what its callers see, and how soon it is found
    SickUnit(sick::SickArgs),
    /// A pool in which all is well: nobody may be evicted; and what its probes cost
    Well(well::WellArgs),
    /// Look-ups of cards in databases of 100,000 to 10,000,000
    LookUps(lookups::LookUpArgs),
    /// Small durable changes by 64 callers: a transaction each, and grouped
    Mutations(mutations::MutationArgs),
    /// Calls of the counter, alone and beside an import of a million records and lists of all cards
    Counter(counter::CounterArgs),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let todoke = match &arguments.todoke {
        Some(todoke) => todoke.clone(),
        None => std::env::current_exe()?.with_file_name("todoke"),
    };
    if !todoke.is_file() {
        return Err(Failure::new(format!(
            "{}: no such program. Build it beside this one (cargo build --workspace), or pass --todoke",
            todoke.display()
        )));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        tokio::select! {
            biased; // so that a signal is heard before anything is started
            heard = interrupted() => Err(heard?),
            report = measured(&arguments.scenario, &todoke) => report,
        }
    })?;
    let mut out = io::stdout().lock();
    match arguments.output {
        Output::Text => write!(out, "{report}")?,
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
    }
    Ok(())
}

async fn measured(scenario: &Scenario, todoke: &Path) -> Result<Report, Failure> {
    match scenario {
        Scenario::Import(args) => import::run(args, todoke).await,
        Scenario::Memory(args) => memory::run(args, todoke).await,
        Scenario::Calls(args) => calls::run(args, todoke).await,
        Scenario::Judgement(args) => judgement::run(args, todoke).await,
        Scenario::SickUnit(args) => sick::run(args, todoke).await,
        Scenario::Well(args) => well::run(args, todoke).await,
        Scenario::LookUps(args) => lookups::run(args).await,
        Scenario::Mutations(args) => mutations::run(args).await,
        Scenario::Counter(args) => counter::run(args, todoke).await,
    }
}

/// Waits for Ctrl-C or SIGTERM; what was started ends with what holds it.
async fn interrupted() -> io::Result<Failure> {
    let (mut int, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = int.recv() => (),
        _ = term.recv() => (),
    }
    Ok(Failure::new("interrupted"))
}

/// Says on standard error how far the run is: standard output is for the figures.
fn progress(words: &str) {
    let _ = writeln!(io::stderr(), "{words}");
}
