//! `todoke pool …`: operators see which relays are in use and why, and give orders about them; they ask the
//! issuers themselves, and no relay; what is offline is in `pool_offline`.

mod absolve;
mod asking;
mod decisions;
mod drill;
mod explain;
mod export;
mod list;
mod orders;
mod pause_probes;
mod register;
mod show;
mod view;
mod watch;

use clap::{Args, Subcommand};

use super::{
    municipal::fail,
    pool_offline::{AnalyseArgs, ReplayArgs},
};
use crate::runtime::exit;

/// Says which relays are in use and why, and gives orders about them.
///
/// Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 64 bad configuration, 75 try again later.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    todoke pool list --endpoints dev/endpoints.json --as operator/alice\n  \
    todoke pool explain relay-2 --endpoints dev/endpoints.json --as operator/alice")]
pub struct PoolArgs {
    #[command(subcommand)]
    command: PoolCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum PoolCommand {
    List(list::ListArgs),
    Explain(explain::ExplainArgs),
    Watch(watch::WatchArgs),
    Decisions(decisions::DecisionsArgs),
    View(view::ViewArgs),
    Drain(orders::DrainArgs),
    Undrain(orders::UndrainArgs),
    SignOff(orders::SignOffArgs),
    Override(orders::OverrideArgs),
    Register(Box<register::RegisterArgs>),
    Unregister(orders::UnregisterArgs),
    PauseProbes(pause_probes::PauseProbesArgs),
    Absolve(absolve::AbsolveArgs),
    Drill(drill::DrillArgs),
    Export(export::ExportArgs),
    Replay(ReplayArgs),
    Analyse(AnalyseArgs),
}

/// Runs the command and returns its exit code.
///
/// # Errors
/// None of its own: everything that goes wrong is shown and has its exit code.
pub async fn run(args: PoolArgs) -> Result<u8, super::Error> {
    let (done, output) = match &args.command {
        PoolCommand::Replay(args) => return args.clone().run().await,
        PoolCommand::Analyse(args) => return args.clone().run().await,
        PoolCommand::Export(args) => return Ok(export::run(args).await),
        PoolCommand::List(args) => (list::run(args).await, args.asking.output),
        PoolCommand::Explain(args) => (explain::run(args).await, args.asking.output),
        PoolCommand::Watch(args) => (watch::run(args).await, args.asking.output),
        PoolCommand::Decisions(args) => (decisions::run(args).await, args.asking.output),
        PoolCommand::View(args) => (view::run(args).await, args.asking.output),
        PoolCommand::Drain(args) => (args.run().await, args.order.giving.asking.output),
        PoolCommand::Undrain(args) => (args.run().await, args.order.giving.asking.output),
        PoolCommand::SignOff(args) => (args.run().await, args.order.giving.asking.output),
        PoolCommand::Override(args) => (args.run().await, args.order.giving.asking.output),
        PoolCommand::Register(args) => (args.run().await, args.order.giving.asking.output),
        PoolCommand::Unregister(args) => (args.run().await, args.order.giving.asking.output),
        PoolCommand::PauseProbes(args) => (args.run().await, args.order.giving.asking.output),
        PoolCommand::Absolve(args) => (args.run().await, args.giving.asking.output),
        PoolCommand::Drill(args) => (args.run().await, args.order.giving.asking.output),
    };
    Ok(done.map_or_else(|error| fail(&error, output), |()| exit::DONE))
}
