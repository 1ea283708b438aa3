//! `todoke mail …`: press and post say what became of an envelope, an office says what it does with it, and
//! both see where it stands.

mod acts;
mod item;
mod list;
mod retention;
mod scans;
mod show;
mod stocktake;

use clap::{Args, Subcommand};

use super::municipal::fail;

/// Keeps the life of every envelope; for the press, the post and the offices of a municipality.
///
/// What changes something is sent under a request id and a time, which are shown first: with both, the same
/// command may be sent again, and does nothing twice.
///
/// Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 4 a stocktake does not fit, 64 bad configuration,
/// 75 try again later.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    todoke mail produced E-1 --municipality 131229 --order-id K-17 --scanned-cards 1 \\\n    \
    --endpoints dev/endpoints.json --as producer/press-1\n  \
    todoke mail show E-1 --history --endpoints dev/endpoints.json --as municipality/131229")]
pub struct MailArgs {
    #[command(subcommand)]
    command: MailCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum MailCommand {
    /// The press says that an envelope is printed, and what shows that its cards are inside
    #[command(after_help = "Examples:\n  \
        todoke mail produced E-1 --municipality 131229 --order-id K-17 --order-id K-18 \\\n    \
        --scanned-cards 2 --endpoints dev/endpoints.json --as producer/press-1\n  \
        todoke mail produced E-2 --municipality 131229 --order-id K-19 \\\n    \
        --weight-mg 21950:22000:900 --endpoints dev/endpoints.json --as producer/press-1")]
    Produced(scans::ProducedArgs),
    /// Press or post says that the post took it
    #[command(after_help = "Example:\n  todoke mail posted E-1 --municipality 131229 \\\n    \
                            --endpoints dev/endpoints.json --as postal/office-1")]
    Posted(scans::ScanArgs),
    /// The post says that it delivered it
    #[command(after_help = "Example:\n  todoke mail delivered E-1 --municipality 131229 \\\n    \
                            --endpoints dev/endpoints.json --as postal/office-1")]
    Delivered(scans::ScanArgs),
    /// The post says that it brought it back to the municipality
    #[command(after_help = "Example:\n  todoke mail returned E-1 --municipality 131229 \\\n    \
                            --at 2026-11-20T09:30:00+09:00 --endpoints dev/endpoints.json \\\n    \
                            --as postal/office-1")]
    Returned(scans::ScanArgs),
    /// An office puts away what came back
    #[command(after_help = "Example:\n  todoke mail store E-1 --office 亀有 \\\n    \
                            --endpoints dev/endpoints.json --as municipality/131229")]
    Store(acts::StoreArgs),
    /// An office gives it to the household
    #[command(after_help = "Example:\n  todoke mail hand-over E-1 \\\n    \
                            --endpoints dev/endpoints.json --as municipality/131229")]
    HandOver(acts::ActArgs),
    /// An office gives it to the post once more
    #[command(after_help = "Example:\n  todoke mail redeliver E-1 \\\n    \
                            --endpoints dev/endpoints.json --as municipality/131229")]
    Redeliver(acts::ActArgs),
    /// The first of two clerks wants it destroyed
    #[command(after_help = "Example:\n  todoke mail propose-disposal E-1 --clerk sato \\\n    \
                            --endpoints dev/endpoints.json --as municipality/131229")]
    ProposeDisposal(acts::DisposalArgs),
    /// The second clerk agrees, and it is destroyed
    #[command(after_help = "Example:\n  todoke mail confirm-disposal E-1 --clerk tanaka \\\n    \
                            --endpoints dev/endpoints.json --as municipality/131229")]
    ConfirmDisposal(acts::DisposalArgs),
    /// The household says that no card was inside
    #[command(after_help = "Example:\n  todoke mail empty E-1 \\\n    \
                            --endpoints dev/endpoints.json --as municipality/131229")]
    Empty(acts::ActArgs),
    /// An envelope is not to be sent: its cards may be in another one
    #[command(after_help = "Example:\n  todoke mail void E-1 \\\n    \
                            --endpoints dev/endpoints.json --as municipality/131229")]
    Void(acts::ActArgs),
    /// Holds what lies in an office against what should; says what is missing and what is beyond it
    #[command(after_help = "Examples:\n  \
        todoke mail stocktake --office 亀有 shelf.txt \\\n    \
        --endpoints dev/endpoints.json --as municipality/131229\n  \
        todoke mail stocktake --office 亀有 - --as municipality/131229 < shelf.txt")]
    Stocktake(stocktake::StocktakeArgs),
    /// Says until when what came back is kept, or makes it longer
    #[command(after_help = "Examples:\n  \
        todoke mail retention --endpoints dev/endpoints.json --as municipality/131229\n  \
        todoke mail retention --extend 2026-12-31 --endpoints dev/endpoints.json \\\n    \
        --as municipality/131229")]
    Retention(retention::RetentionArgs),
    /// Shows one envelope
    #[command(after_help = "Examples:\n  \
        todoke mail show E-1 --history --endpoints dev/endpoints.json --as municipality/131229\n  \
        todoke mail show E-1 --municipality 131229 --as postal/office-1")]
    Show(show::ShowArgs),
    /// Lists the envelopes of a municipality
    #[command(
        after_help = "Example:\n  todoke mail list --state STORED --office 亀有 --older-than 30d \\\n    \
                            --limit 20 --endpoints dev/endpoints.json --as municipality/131229"
    )]
    List(list::ListArgs),
}

/// Runs the command and returns its exit code.
///
/// # Errors
/// None of its own: everything that goes wrong is shown and has its exit code.
pub async fn run(args: MailArgs) -> Result<u8, super::Error> {
    use MailCommand as Do;
    let (done, output) = match &args.command {
        Do::Produced(args) => (scans::produced(args).await, args.giving.output()),
        Do::Posted(args) => (scans::posted(args).await, args.giving.output()),
        Do::Delivered(args) => (scans::delivered(args).await, args.giving.output()),
        Do::Returned(args) => (scans::returned(args).await, args.giving.output()),
        Do::Store(args) => (acts::store(args).await, args.giving.output()),
        Do::HandOver(args) => (acts::hand_over(args).await, args.giving.output()),
        Do::Redeliver(args) => (acts::redeliver(args).await, args.giving.output()),
        Do::ProposeDisposal(args) => (acts::propose_disposal(args).await, args.giving.output()),
        Do::ConfirmDisposal(args) => (acts::confirm_disposal(args).await, args.giving.output()),
        Do::Empty(args) => (acts::empty(args).await, args.giving.output()),
        Do::Void(args) => (acts::void(args).await, args.giving.output()),
        Do::Stocktake(args) => (stocktake::run(args).await, args.giving.output()),
        Do::Retention(args) => (retention::run(args).await, args.asking.output),
        Do::Show(args) => (show::run(args).await, args.asking.output),
        Do::List(args) => (list::run(args).await, args.asking.output),
    };
    Ok(done.unwrap_or_else(|error| fail(&error, output)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_of_mail_says_who_says_what() {
        let mut command = MailArgs::augment_args(clap::Command::new("mail"));
        insta::assert_snapshot!(command.render_long_help());
    }
}
