//! `todoke application …`: forms are issued, and what an office does with an application that came back is
//! said by one command each.

mod acts;
mod forms;
mod item;
mod list;
mod photo;
mod review;
mod show;

use clap::{Args, Subcommand};

use super::municipal::fail;

/// Keeps the life of every application, from its form to its card; for offices, and for the press that prints
/// forms.
///
/// An application ID and a birth date are never given as flags: they are read from standard input, so that
/// they stand in no process list. What changes something is sent under a request id and a time, which are
/// shown first: with both, the same command may be sent again, and does nothing twice.
///
/// Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 64 bad configuration, 75 try again later.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    todoke application form K-17 --endpoints dev/endpoints.json --as municipality/131229\n  \
    todoke application submit --photo P-1 --endpoints dev/endpoints.json \\\n    \
    --as municipality/131229 < form.txt")]
pub struct ApplicationArgs {
    #[command(subcommand)]
    command: ApplicationCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum ApplicationCommand {
    /// Returns the application ID for a person's form; the same one each time
    #[command(after_help = "Examples:\n  \
        todoke application form K-17 --endpoints dev/endpoints.json --as municipality/131229\n  \
        todoke application form K-17 --municipality 131229 --as producer/press-1")]
    Form(forms::FormArgs),
    /// Takes an application that was made with a form
    #[command(after_help = "Example:\n  \
        todoke application submit --photo P-1 --ages 30-45 --sex 2 \\\n    \
        --endpoints dev/endpoints.json --as municipality/131229 < form.txt\n\
        The file has the application ID and the birth date as YYYY-MM-DD, and nothing else.")]
    Submit(forms::SubmitArgs),
    /// Says what an office finds: a defect, that it is approved or rejected, or that a swap is none
    #[command(after_help = "Examples:\n  \
        todoke application review NUMBER --approve \\\n    \
        --endpoints dev/endpoints.json --as municipality/131229\n  \
        todoke application review NUMBER --no-swap AGE_OF_PHOTO \\\n    \
        --no-swap SAME_SESSION:OTHER_NUMBER --clerk sato --as municipality/131229")]
    Review(review::ReviewArgs),
    /// Says by which documents somebody proved who applies
    #[command(after_help = "Example:\n  todoke application identity NUMBER --document PASSPORT \\\n    \
                            --endpoints dev/endpoints.json --as municipality/131229")]
    Identity(acts::IdentityArgs),
    /// Takes a defective application that was sent again
    #[command(after_help = "Example:\n  todoke application resubmit NUMBER --photo P-2 \\\n    \
                            --endpoints dev/endpoints.json --as municipality/131229")]
    Resubmit(acts::ResubmitArgs),
    /// Voids an application; the person can apply again, and a card that is under way is ended with it
    #[command(after_help = "Example:\n  todoke application void NUMBER --reason MIXED_UP \\\n    \
                            --endpoints dev/endpoints.json --as municipality/131229")]
    Void(acts::VoidArgs),
    /// Takes back that an application is void as mixed up or withdrawn
    #[command(after_help = "Example:\n  todoke application restore NUMBER \\\n    \
                            --endpoints dev/endpoints.json --as municipality/131229")]
    Restore(acts::RestoreArgs),
    /// Shows one application, and what looks like a swap at this moment
    #[command(after_help = "Examples:\n  \
        todoke application show NUMBER --history --endpoints dev/endpoints.json \\\n    \
        --as municipality/131229\n  \
        todoke application show NUMBER --municipality 131229 --as auditor/a")]
    Show(show::ShowArgs),
    /// Lists the applications of a municipality
    #[command(after_help = "Example:\n  todoke application list --state RECEIVED --older-than 7d \\\n    \
                            --limit 20 --endpoints dev/endpoints.json --as municipality/131229")]
    List(list::ListArgs),
}

/// Runs the command and returns its exit code.
///
/// # Errors
/// None of its own: everything that goes wrong is shown and has its exit code.
pub async fn run(args: ApplicationArgs) -> Result<u8, super::Error> {
    use ApplicationCommand as Do;
    let (done, output) = match &args.command {
        Do::Form(args) => (forms::form(args).await, args.giving.output()),
        Do::Submit(args) => (forms::submit(args).await, args.giving.output()),
        Do::Review(args) => (review::run(args).await, args.giving.output()),
        Do::Identity(args) => (acts::identity(args).await, args.giving.output()),
        Do::Resubmit(args) => (acts::resubmit(args).await, args.giving.output()),
        Do::Void(args) => (acts::void(args).await, args.giving.output()),
        Do::Restore(args) => (acts::restore(args).await, args.giving.output()),
        Do::Show(args) => (show::run(args).await, args.asking.output),
        Do::List(args) => (list::run(args).await, args.asking.output),
    };
    Ok(done.unwrap_or_else(|error| fail(&error, output)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_of_applications_says_who_says_what() {
        let mut command = ApplicationArgs::augment_args(clap::Command::new("application"));
        insta::assert_snapshot!(command.render_long_help());
    }
}
