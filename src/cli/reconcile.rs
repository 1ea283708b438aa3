//! `todoke reconcile FILE…`: holds journals against the issuer's own list and says what to do next; changes
//! nothing.

use std::path::{Path, PathBuf};

use clap::Args;

use super::municipal::{Connect, Output, fail, journal_path, say, say_json};
use crate::{
    client::{
        error::Error,
        finish::state_name,
        journal::{self, Standing},
        plan::{self, receipt_path_for},
        session::Session,
    },
    domain::batch_id::BatchId,
    runtime::exit,
    wire::{fault::Reason, pb},
};

/// Compares what was begun here with what the issuer has.
///
/// Exit codes: 0 every file has its receipt and nothing else is open, 1 something is, or failed, 75 try again
/// later.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Example: todoke reconcile *.csv --endpoints dev/endpoints.json --as municipality/131229"
)]
pub struct ReconcileArgs {
    /// Record files, each with its journal beside it
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) connect: Connect,
    /// How results are shown
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

struct Line {
    file: PathBuf,
    batch_id: Option<BatchId>,
    here: &'static str,
    there: String,
    next: String,
    closed: bool,
}

/// Runs the command and returns its exit code: 0 only if every file has its receipt and nothing else is open.
///
/// # Errors
/// None of its own: everything that goes wrong is shown and has its exit code.
pub async fn run(args: ReconcileArgs) -> Result<u8, super::Error> {
    Ok(match work(&args).await {
        Ok(true) => exit::DONE,
        Ok(false) => exit::FAILED,
        Err(error) => fail(&error, args.output),
    })
}

async fn work(args: &ReconcileArgs) -> Result<bool, Error> {
    let session = args.connect.quiet_session()?;
    let mut lines = Vec::new();
    for file in &args.files {
        lines.push(compare(&session, file).await?);
    }
    let list = session.all_batches().await?;
    let known: Vec<String> =
        lines.iter().filter_map(|line| line.batch_id).map(|batch_id| batch_id.to_string()).collect();
    let is_open = |batch: &&pb::Batch| {
        let over = ["ACCEPTED", "ACCEPTED_WITH_REJECTS", "ABORTED"];
        !over.contains(&state_name(batch).as_str()) && !known.contains(&batch.batch_id)
    };
    let others: Vec<&pb::Batch> = list.batches.iter().filter(is_open).collect();
    show(args.output, &lines, &others, &list.sequence_holes);
    Ok(lines.iter().all(|line| line.closed) && others.is_empty() && list.sequence_holes.is_empty())
}

async fn compare(session: &Session, file: &Path) -> Result<Line, Error> {
    let entries = journal::Journal::peek(&journal_path(file, None))?.unwrap_or_default();
    let name = file.display();
    let Some(begun) = journal::begun(&entries) else {
        let next = match file.exists() {
            true => format!(
                "`todoke resume {name}` looks for it among the last batches; `todoke import {name}` if new"
            ),
            false => "neither the file nor its journal is there: check the name and the folder".to_owned(),
        };
        return Ok(Line {
            file: file.to_owned(),
            batch_id: None,
            here: "no journal",
            there: "unknown".to_owned(),
            next,
            closed: false,
        });
    };
    let batch_id = plan::manifest_of(begun)?.batch_id;
    let standing = journal::standing(&entries);
    let there = match session.get_batch(batch_id).await {
        Ok(batch) => state_name(&batch),
        Err(error) if error.fault.as_ref().is_some_and(|fault| fault.reason == Reason::NotFound) => {
            "NOT THERE".to_owned()
        }
        Err(error) => return Err(error.into()),
    };
    let (next, closed) = advice(file, batch_id, standing, &there);
    let here = match standing {
        Standing::Open => "begun",
        Standing::Receipted => "receipt",
        Standing::Ended => "ended",
    };
    Ok(Line { file: file.to_owned(), batch_id: Some(batch_id), here, there, next, closed })
}

fn advice(file: &Path, batch_id: BatchId, standing: Standing, there: &str) -> (String, bool) {
    let (name, receipt) = (file.display(), receipt_path_for(file));
    let accepted = matches!(there, "ACCEPTED" | "ACCEPTED_WITH_REJECTS");
    match (standing, there) {
        (Standing::Receipted, _) if accepted && receipt.exists() => {
            ("nothing: both sides agree".to_owned(), true)
        }
        (Standing::Receipted, _) if accepted => {
            (format!("`todoke resume {name}` fetches the receipt again"), false)
        }
        (Standing::Receipted, _) => (
            format!(
                "ALARM: there is a receipt for batch {batch_id}, the issuer says {there}. Tell its operator"
            ),
            false,
        ),
        (Standing::Ended, "ABORTED" | "NOT THERE") => {
            (format!("`todoke import {name}` makes a new batch"), false)
        }
        (_, "DISCREPANT") => {
            (format!("`todoke status --batch {batch_id}` says why; then abort or repair"), false)
        }
        (_, "ABORTED") => (format!("`todoke import {name}` makes a new batch"), false),
        (Standing::Ended, _) => {
            (format!("`todoke status --batch {batch_id}`: the two sides disagree"), false)
        }
        (Standing::Open, _) => (format!("`todoke resume {name}`"), false),
    }
}

fn show(output: Output, lines: &[Line], others: &[&pb::Batch], holes: &[u64]) {
    if output == Output::Json {
        for line in lines {
            say_json(&serde_json::json!({
                "event": "file", "file": line.file, "batch_id": line.batch_id.map(|id| id.to_string()),
                "here": line.here, "there": line.there, "closed": line.closed, "next": line.next,
            }));
        }
        let others: Vec<&str> = others.iter().map(|batch| batch.batch_id.as_str()).collect();
        say_json(
            &serde_json::json!({"event": "result", "other_open_batches": others, "sequence_holes": holes}),
        );
        return;
    }
    say("HERE        THERE                  FILE: NEXT");
    for line in lines {
        say(&format!("{:10}  {:21}  {}: {}", line.here, line.there, line.file.display(), line.next));
    }
    for batch in others {
        say(&format!(
            "-           {:21}  batch {}, sequence {}: open at the issuer, and not of these files",
            state_name(batch),
            batch.batch_id,
            batch.sequence
        ));
    }
    if !holes.is_empty() {
        let holes: Vec<String> = holes.iter().map(ToString::to_string).collect();
        say(&format!("HOLES in the sequence: {}: batches that never came", holes.join(", ")));
    }
}
