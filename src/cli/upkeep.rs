//! `todoke abort` and `todoke repair`: a person's decision about a batch that did not end by itself, with a
//! reason.

use clap::Args;

use super::municipal::{self, Asking, Output, fail, new_batch_id, say, say_result};
use crate::{
    client::{error::Error, finish::state_name, session::Session},
    domain::batch_id::BatchId,
    runtime::exit,
    wire::pb,
};

/// Gives a batch up for good and frees its order ids; signed with the municipality's key.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  todoke abort --batch ID --reason 'wrong extract' \\\n    \
                        --endpoints dev/endpoints.json --as municipality/131229")]
pub struct AbortArgs {
    #[command(flatten)]
    decision: Decision,
}

/// Has a discrepant batch worked off again from its stored chunks, as a new attempt; if chunks of it were
/// damaged and set aside, it is RECEIVING, and `todoke resume FILE` sends them again.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  todoke repair --batch ID --reason 'disk replaced' \\\n    \
                        --endpoints dev/endpoints.json --as municipality/131229")]
pub struct RepairArgs {
    #[command(flatten)]
    decision: Decision,
    /// The key that makes the request idempotent: pass the same one to ask again
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
}

#[derive(Debug, Clone, Args)]
struct Decision {
    /// The batch, by the id that `todoke status` shows
    #[arg(long, value_name = "ID", value_parser = municipal::batch_id)]
    batch: BatchId,
    /// Why, in one line; it is kept
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    connect: Asking,
    /// How results are shown
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// Runs `abort` and returns its exit code.
///
/// # Errors
/// None of its own: everything that goes wrong is shown and has its exit code.
pub async fn abort(args: AbortArgs) -> Result<u8, super::Error> {
    let Decision { batch, reason, connect, output } = &args.decision;
    let abort = async |session: &Session| Ok(session.abort(*batch, reason).await?);
    Ok(show(over(connect, *output, abort).await, *output))
}

/// Runs `repair` and returns its exit code.
///
/// # Errors
/// None of its own: everything that goes wrong is shown and has its exit code.
pub async fn repair(args: RepairArgs) -> Result<u8, super::Error> {
    let Decision { batch, reason, connect, output } = &args.decision;
    let request_id = args.request_id.clone().unwrap_or_else(|| new_batch_id().to_string());
    let repair = async |session: &Session| Ok(session.repair(*batch, &request_id, reason).await?);
    Ok(show(over(connect, *output, repair).await, *output))
}

async fn over(
    connect: &Asking,
    output: Output,
    work: impl AsyncFnOnce(&Session) -> Result<pb::Batch, Error>,
) -> Result<pb::Batch, Error> {
    connect.session(output)?.over(work).await
}

fn show(result: Result<pb::Batch, Error>, output: Output) -> u8 {
    let batch = match result {
        Ok(batch) => batch,
        Err(error) => return fail(&error, output),
    };
    let state = state_name(&batch);
    if output == Output::Json {
        return say_result(exit::DONE, serde_json::json!({"batch_id": batch.batch_id, "state": state}));
    }
    say(&format!("batch {} is now {state}", batch.batch_id));
    exit::DONE
}
