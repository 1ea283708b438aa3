//! `todoke production …`: blank cards are allocated, orders pulled, cards reported and sent, lots called
//! back, and everybody sees what is theirs.

mod keyed;
mod lots;
mod pull;
mod report;
mod share;
mod ship;

use clap::{Args, Subcommand};

use super::municipal::fail;

/// Keeps blank cards and what is made of them; for operators, producers and municipalities.
///
/// What changes something is sent under a request id, which is shown first: with the same one the command
/// may be sent again, and does nothing twice.
///
/// Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 4 a sum does not close, 64 bad configuration,
/// 75 try again later.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    todoke production allocate L-1 --municipality 131229 --producer press-1 --cards 1000 \\\n    \
    --endpoints dev/endpoints.json --as operator/alice\n  \
    todoke production pull L-1 --municipality 131229 --limit 100 --output json \\\n    \
    --endpoints dev/endpoints.json --as producer/press-1")]
pub struct ProductionArgs {
    #[command(subcommand)]
    command: ProductionCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum ProductionCommand {
    /// Gives a producer blank cards of a lot for the orders of a municipality
    #[command(after_help = "Example:\n  \
        todoke production allocate L-1 --municipality 131229 --producer press-1 --cards 1000 \\\n    \
        --endpoints dev/endpoints.json --as operator/alice")]
    Allocate(lots::AllocateArgs),
    /// A producer gets orders that wait, for a time
    #[command(after_help = "Example:\n  \
        todoke production pull L-1 --municipality 131229 --limit 100 --lease 24h --output json \\\n    \
        --endpoints dev/endpoints.json --as producer/press-1")]
    Pull(pull::PullArgs),
    /// A producer says what came out of its orders; what is bad waits to be made anew
    #[command(after_help = "Example:\n  \
        todoke production report L-1 --municipality 131229 --file shift.csv \\\n    \
        --endpoints dev/endpoints.json --as producer/press-1\n\
        A line of the file is K-17,OK,04ab…,PASS, or K-18,NOK,,the print is smeared,")]
    Report(report::ReportArgs),
    /// A producer says which good cards went to the municipality
    #[command(after_help = "Example:\n  \
        todoke production ship L-1 --municipality 131229 --shipment S-1 --file box.txt \\\n    \
        --endpoints dev/endpoints.json --as producer/press-1")]
    Ship(ship::CardsArgs),
    /// A producer says which cards of a shipment did not arrive
    #[command(after_help = "Example:\n  \
        todoke production lost L-1 K-17 --municipality 131229 --shipment S-1 --why \"the van burnt\" \\\n    \
        --endpoints dev/endpoints.json --as producer/press-1")]
    Lost(ship::LostArgs),
    /// An operator calls a lot back: no card is made of it any more, and each card of it is recalled
    #[command(after_help = "Example:\n  todoke production recall L-1 --reason \"faulty chips\" \\\n    \
                            --endpoints dev/endpoints.json --as operator/alice")]
    Recall(lots::RecallArgs),
    /// Shows a lot by municipalities, with its cards counted one by one
    #[command(after_help = "Example:\n  todoke production lot L-1 \\\n    \
                            --endpoints dev/endpoints.json --as operator/alice")]
    Lot(lots::LotArgs),
    /// Shows how long cards took, and how long what is not done has been waiting
    #[command(after_help = "Examples:\n  \
        todoke production ages --endpoints dev/endpoints.json --as municipality/131229\n  \
        todoke production ages --municipality 131229 --as auditor/a")]
    Ages(lots::AgesArgs),
}

/// Runs the command and returns its exit code.
///
/// # Errors
/// None of its own: everything that goes wrong is shown and has its exit code.
pub async fn run(args: ProductionArgs) -> Result<u8, super::Error> {
    use ProductionCommand as Do;
    let (done, output) = match &args.command {
        Do::Allocate(args) => (lots::allocate(args).await, args.keyed.output()),
        Do::Pull(args) => (pull::run(args).await, args.keyed.output()),
        Do::Report(args) => (report::run(args).await, args.giving.output()),
        Do::Ship(args) => (ship::ship(args).await, args.giving.output()),
        Do::Lost(args) => (ship::lost(args).await, args.cards.giving.output()),
        Do::Recall(args) => (lots::recall(args).await, args.keyed.output()),
        Do::Lot(args) => (lots::lot(args).await, args.asking.output),
        Do::Ages(args) => (lots::ages(args).await, args.asking.output),
    };
    Ok(done.unwrap_or_else(|error| fail(&error, output)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_of_production_says_who_says_what() {
        let mut command = ProductionArgs::augment_args(clap::Command::new("production"));
        insta::assert_snapshot!(command.render_long_help());
    }
}
