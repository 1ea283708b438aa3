//! `todoke card …`: shows cards of accepted batches, personal data only when a purpose is stated, and
//! says what an office does with each, from its arrival to its end.

mod activation;
mod acts;
mod arrive;
mod get;
mod holder;
mod item;
mod list;
mod several;

use clap::{Args, Subcommand};

use super::municipal::fail;

const GET_EXAMPLE: &str = "Examples:\n  todoke card get --order-id K-17 --purpose inquiry \\\n    \
                           --endpoints dev/endpoints.json --as municipality/131229\n  \
                           todoke card show K-17 --history \\\n    \
                           --endpoints dev/endpoints.json --as municipality/131229";

/// Looks at card orders, and says what becomes of each card.
///
/// What changes something is sent under a request id and a time, which are shown first: with both, the same
/// command may be sent again, and does nothing twice.
///
/// Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 64 bad configuration, 75 try again later.
#[derive(Debug, Clone, Args)]
#[command(after_help = GET_EXAMPLE)]
pub struct CardArgs {
    #[command(subcommand)]
    command: CardCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum CardCommand {
    /// Shows one card
    #[command(after_help = GET_EXAMPLE, visible_alias = "show")]
    Get(get::GetArgs),
    /// Lists cards, without personal data
    #[command(after_help = "Examples:\n  \
        todoke card list --limit 20 --endpoints dev/endpoints.json --as municipality/131229\n  \
        todoke card list --state ARRIVED --office 亀有 --older-than 7d \\\n    \
        --endpoints dev/endpoints.json --as municipality/131229")]
    List(list::ListArgs),
    /// Cards have arrived at an office
    #[command(after_help = "Example:\n  todoke card arrive K-17 K-18 --office 亀有 \\\n    \
                            --endpoints dev/endpoints.json --as municipality/131229")]
    Arrive(arrive::ArriveArgs),
    /// A card is set up for its holder, or its chip failed its self-test
    #[command(after_help = "Example:\n  todoke card pre-issue K-17 --self-test PASS \\\n    \
                            --endpoints dev/endpoints.json --as municipality/131229")]
    PreIssue(acts::PreIssueArgs),
    /// The holder is asked to come
    #[command(after_help = "Example:\n  todoke card notify K-17 \\\n    \
                            --endpoints dev/endpoints.json --as municipality/131229")]
    Notify(acts::ActArgs),
    /// A terminal begins to hand a card over
    #[command(after_help = "Example:\n  todoke card begin K-17 --terminal T-1 --document PASSPORT \\\n    \
                            --session 0192f0c1-2345-7abc-8def-0123456789ab \\\n    \
                            --endpoints dev/endpoints.json --as municipality/131229")]
    Begin(activation::BeginArgs),
    /// The chip has said, and signed, that it is committed
    #[command(after_help = "Example:\n  todoke card confirm K-17 --chip-signature HEX \\\n    \
                            --session 0192f0c1-2345-7abc-8def-0123456789ab \\\n    \
                            --endpoints dev/endpoints.json --as municipality/131229")]
    Confirm(activation::ConfirmArgs),
    /// Asks which step of an activation comes next
    #[command(
        after_help = "Example:\n  todoke card query K-17 --chip-state BLANK --chip-signature HEX \\\n    \
                            --endpoints dev/endpoints.json --as municipality/131229"
    )]
    Query(activation::QueryArgs),
    /// Gives an activation up
    #[command(after_help = "Example:\n  todoke card give-up K-17 --reason 'no PIN chosen' \\\n    \
                            --session 0192f0c1-2345-7abc-8def-0123456789ab \\\n    \
                            --endpoints dev/endpoints.json --as municipality/131229")]
    GiveUp(activation::GiveUpArgs),
    /// Suspends a card at once: its holder has lost it
    #[command(after_help = "Examples:\n  \
        todoke card suspend K-17 --reason lost --endpoints dev/endpoints.json --as municipality/131229\n  \
        todoke card suspend K-17 --reason lost --municipality 131229 \\\n    \
        --endpoints dev/endpoints.json --as operator/night")]
    Suspend(acts::SuspendArgs),
    /// The holder has it again
    #[command(after_help = "Example:\n  todoke card resume K-17 \\\n    \
                            --endpoints dev/endpoints.json --as municipality/131229")]
    Resume(acts::ActArgs),
    /// A card is not to be used any more, and never will be
    #[command(after_help = "Example:\n  todoke card revoke K-17 --reason stolen \\\n    \
                            --endpoints dev/endpoints.json --as municipality/131229")]
    Revoke(acts::ReasonArgs),
    /// The holder gives a card back
    #[command(after_help = "Example:\n  todoke card surrender K-17 \\\n    \
                            --endpoints dev/endpoints.json --as municipality/131229")]
    Surrender(acts::SurrenderArgs),
    /// Destroys a card that is not with its holder
    #[command(after_help = "Example:\n  todoke card scrap K-17 --reason 'wrong photograph' \\\n    \
                            --endpoints dev/endpoints.json --as municipality/131229")]
    Scrap(acts::ReasonArgs),
    /// Orders a new card for one that was made in vain
    #[command(after_help = "Example:\n  todoke card remake K-17 \\\n    \
                            --endpoints dev/endpoints.json --as municipality/131229")]
    Remake(acts::ActArgs),
    /// Something happened to a holder: a move, a death, a suspicion of fraud or its end
    #[command(after_help = "Example:\n  todoke card holder MOVED --order-id K-17 \\\n    \
                            --endpoints dev/endpoints.json --as municipality/131229")]
    Holder(holder::HolderArgs),
    /// Puts the reading of a name right; reads it from standard input
    #[command(after_help = "Example:\n  todoke card correct-reading K-17 --source DECLARED \\\n    \
                            --endpoints dev/endpoints.json --as municipality/131229 < reading.txt")]
    CorrectReading(holder::CorrectArgs),
}

/// Runs the command and returns its exit code.
///
/// # Errors
/// None of its own: everything that goes wrong is shown and has its exit code.
pub async fn run(args: CardArgs) -> Result<u8, super::Error> {
    use CardCommand as Do;
    let (done, output) = match &args.command {
        Do::Get(args) => (get::run(args).await, args.asking.output),
        Do::List(args) => (list::run(args).await, args.asking.output),
        Do::Arrive(args) => (arrive::run(args).await, args.giving.output()),
        Do::PreIssue(args) => (acts::pre_issue(args).await, args.giving.output()),
        Do::Notify(args) => (acts::notify(args).await, args.giving.output()),
        Do::Begin(args) => (activation::begin(args).await, args.giving.output()),
        Do::Confirm(args) => (activation::confirm(args).await, args.giving.output()),
        Do::Query(args) => (activation::query(args).await, args.asking.output),
        Do::GiveUp(args) => (activation::give_up(args).await, args.giving.output()),
        Do::Suspend(args) => (acts::suspend(args).await, args.giving.output()),
        Do::Resume(args) => (acts::resume(args).await, args.giving.output()),
        Do::Revoke(args) => (acts::revoke(args).await, args.giving.output()),
        Do::Surrender(args) => (acts::surrender(args).await, args.giving.output()),
        Do::Scrap(args) => (acts::scrap(args).await, args.giving.output()),
        Do::Remake(args) => (acts::remake(args).await, args.giving.output()),
        Do::Holder(args) => (holder::run(args).await, args.giving.output()),
        Do::CorrectReading(args) => (holder::correct(args).await, args.giving.output()),
    };
    Ok(done.unwrap_or_else(|error| fail(&error, output)))
}
