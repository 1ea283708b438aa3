//! `todoke resume FILE`: goes on with the batch that was begun with a file and sends only what is not
//! durable.

use std::path::PathBuf;

use clap::Args;

use super::{
    import::{RunArgs, drive},
    municipal::{Connect, fail},
};

/// Goes on with a file's batch from what is durable; needs the journal, or finds the batch again without it.
///
/// Exit codes: 0 proved, 1 failed, 3 gaps left, 4 totals disagree, 75 try again later.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Example: todoke resume cards.csv --endpoints dev/endpoints.json --as municipality/131229"
)]
pub struct ResumeArgs {
    /// The record file that was begun
    pub file: PathBuf,
    #[command(flatten)]
    pub(crate) connect: Connect,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// Runs the command and returns its exit code.
///
/// # Errors
/// None of its own: everything that goes wrong is shown and has its exit code.
pub async fn run(args: ResumeArgs) -> Result<u8, super::Error> {
    let options = match args.run.options(&args.file) {
        Ok(options) => options,
        Err(error) => return Ok(fail(&error, args.run.output)),
    };
    Ok(drive(&args.connect, &args.file, &options, &args.run).await)
}
