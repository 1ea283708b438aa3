//! `todoke reconcile FILE…`: holds journals and receipts against what the issuer has, and says what to do
//! next; nothing is sent again by it.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{
    municipal::{Asking, Output, fail, journal_path, say, say_event, say_result},
    notices,
};
use crate::{
    client::{
        error::Error,
        finish::state_name,
        held::{self, Held},
        journal::{self, Standing},
        plan::{self, receipt_path_for},
        session::Session,
    },
    domain::batch_id::BatchId,
    runtime::exit,
    wire::{fault::Reason, pb},
};

/// Compares what was begun here, and the receipts that came, with what the issuer has.
///
/// After the issuer's database was restored from a backup, nothing new is taken until this was run over every
/// file that has a receipt, with --all.
///
/// Exit codes: 0 every file has its receipt and nothing else is open, 1 something is, or failed, 75 try again
/// later.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Example: todoke reconcile *.csv --endpoints dev/endpoints.json --as municipality/131229"
)]
pub struct ReconcileArgs {
    /// Record files, each with its journal beside it
    #[arg(required_unless_present = "all")]
    pub files: Vec<PathBuf>,
    /// Says that these files have every receipt that this municipality holds; none, if no file is given
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub(crate) connect: Asking,
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
    Ok(work(&args).await.unwrap_or_else(|error| fail(&error, args.output)))
}

async fn work(args: &ReconcileArgs) -> Result<u8, Error> {
    let session = args.connect.session(args.output)?;
    session.over(async |session| look(session, args).await).await
}

async fn look(session: &Session, args: &ReconcileArgs) -> Result<u8, Error> {
    let receipts = receipts_of(session, &args.files)?;
    let compared = compare_receipts(session, receipts.held, args.all).await?;
    let list = session.all_batches().await?;
    let is_lost = |id: BatchId| list.lost_batches.iter().any(|lost| lost.batch_id.parse().ok() == Some(id));
    let mut lines = Vec::new();
    for file in &args.files {
        lines.push(compare(session, file, &is_lost).await?);
    }
    let known: Vec<String> =
        lines.iter().filter_map(|line| line.batch_id).map(|batch_id| batch_id.to_string()).collect();
    let is_open = |batch: &&pb::Batch| {
        let over = ["ACCEPTED", "ACCEPTED_WITH_REJECTS", "ABORTED"];
        !over.contains(&state_name(batch).as_str()) && !known.contains(&batch.batch_id)
    };
    let others: Vec<&pb::Batch> = list.batches.iter().filter(is_open).collect();
    let mut alarms = receipts.not_believed;
    alarms.extend(compared);
    let closed = lines.iter().all(|line| line.closed);
    let agreed = closed && others.is_empty() && alarms.is_empty() && notices::is_quiet(&list);
    let code = if agreed { exit::DONE } else { exit::FAILED };
    show(args.output, code, &lines, &others, &list, &alarms);
    Ok(code)
}

/// Every receipt that lies beside the files, each once.
fn receipts_of(session: &Session, files: &[PathBuf]) -> Result<held::Beside, Error> {
    let mut all = held::Beside::default();
    for file in files {
        let beside = held::beside(file, &session.receipt_key, session.municipality);
        let beside = beside.map_err(|error| Error::Conflict(format!("{}: {error}", file.display())))?;
        all.held.extend(beside.held);
        all.not_believed.extend(beside.not_believed);
    }
    all.held.sort_by_key(|held| (held.receipt.sequence, held.digest));
    all.held.dedup_by_key(|held| held.digest);
    Ok(all)
}

/// Most bytes of receipts, and most receipts, of one call.
const PAGE_BYTES: usize = 4 << 20;
const PAGE_RECEIPTS: usize = 500;

/// Sends the receipts, and returns what a human must look at. The last call says whether these were all.
async fn compare_receipts(session: &Session, held: Vec<Held>, all: bool) -> Result<Vec<String>, Error> {
    let mut words = Vec::new();
    let mut rest = held.into_iter().peekable();
    loop {
        let (mut page, mut bytes) = (Vec::new(), 0);
        while let Some(next) = rest.next_if(|next| {
            page.is_empty() || (page.len() < PAGE_RECEIPTS && bytes + next.note.len() <= PAGE_BYTES)
        }) {
            bytes += next.note.len();
            page.push(next.note);
        }
        let last = rest.peek().is_none();
        let answer = match session.compare_receipts(page, all && last).await {
            Ok(answer) => answer,
            // An issuer of before this call has no restore to compare with.
            Err(error) if error.status.code() == tonic::Code::Unimplemented => return Ok(words),
            Err(error) => return Err(error.into()),
        };
        for one in answer.receipts.iter().filter(|one| one.standing() == pb::ReceiptStanding::Different) {
            words.push(format!(
                "ALARM: the issuer has another receipt for batch {}, sequence {}. Tell its operator",
                one.batch_id, one.sequence
            ));
        }
        if last {
            words.extend(answer.missing_digests.iter().map(|digest| {
                format!(
                    "A RECEIPT IS NOT HERE: another one names {} as the one before. Add its file, or \
                     tell the operator of the issuer",
                    hex::encode(digest)
                )
            }));
            return Ok(words);
        }
    }
}

async fn compare(session: &Session, file: &Path, is_lost: &impl Fn(BatchId) -> bool) -> Result<Line, Error> {
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
    let (next, closed) = match is_lost(batch_id) {
        true => {
            (format!("`todoke resume {name}` sends it again: the issuer was restored and lost it"), false)
        }
        false => {
            let beside = held::beside(file, &session.receipt_key, session.municipality);
            let beside = beside.map_err(|error| Error::Conflict(format!("{}: {error}", file.display())))?;
            let is_held = beside.held.iter().any(|held| held.receipt.batch_id == batch_id);
            advice(file, batch_id, standing, (&there, is_held))
        }
    };
    let here = match standing {
        Standing::Open => "begun",
        Standing::Receipted => "receipt",
        Standing::Ended => "ended",
    };
    Ok(Line { file: file.to_owned(), batch_id: Some(batch_id), here, there, next, closed })
}

/// What is to be done next, and whether nothing is; `is_held`: the batch's receipt lies beside the file.
fn advice(
    file: &Path,
    batch_id: BatchId,
    standing: Standing,
    (there, is_held): (&str, bool),
) -> (String, bool) {
    let (name, receipt) = (file.display(), receipt_path_for(file));
    let accepted = matches!(there, "ACCEPTED" | "ACCEPTED_WITH_REJECTS");
    match (standing, there) {
        (Standing::Receipted, _) if accepted && is_held => ("nothing: both sides agree".to_owned(), true),
        (Standing::Receipted, _) if accepted && receipt.exists() => {
            let receipt = receipt.display();
            (format!("{receipt} is not the receipt of its batch: `todoke resume {name}` fetches that"), false)
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

fn show(
    output: Output,
    code: u8,
    lines: &[Line],
    others: &[&pb::Batch],
    list: &pb::ListBatchesResponse,
    alarms: &[String],
) {
    if output == Output::Json {
        for line in lines {
            let value = serde_json::json!({
                "file": line.file, "batch_id": line.batch_id.map(|id| id.to_string()), "here": line.here,
                "there": line.there, "closed": line.closed, "next": line.next,
            });
            say_event("file", value);
        }
        let others: Vec<&str> = others.iter().map(|batch| batch.batch_id.as_str()).collect();
        let mut value = notices::json(list);
        value["other_open_batches"] = others.into();
        value["alarms"] = alarms.into();
        say_result(code, value);
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
    alarms.iter().for_each(|line| say(line));
    notices::of(list).iter().for_each(|line| say(line));
}
