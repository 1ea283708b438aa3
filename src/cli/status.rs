//! `todoke status [FILE]`: what the issuer says about a batch or the last ones, with flags, gaps and holes.

use std::path::PathBuf;

use clap::Args;

use super::{
    ending::gap_lines,
    municipal::{self, Asking, Output, fail, journal_path, many, say, say_event, say_result, warn},
    notices,
};
use crate::{
    client::{
        error::Error,
        finish::state_name,
        journal,
        outcome::{Gaps, is_damaged},
        plan,
        session::Session,
    },
    domain::batch_id::BatchId,
    runtime::exit,
    wire::pb,
};

/// Shows one batch, or the last hundred.
///
/// That one is ACCEPTED is proved by its receipt, which is fetched and looked at; in the list of all it has a
/// mark, as it is what a relay says.
///
/// Exit codes: 0 shown, whatever the state is, 1 failed, or accepted without a receipt, 75 try again later.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    todoke status cards.csv --endpoints dev/endpoints.json --as municipality/131229\n  \
    todoke status --endpoints dev/endpoints.json --as municipality/131229")]
pub struct StatusArgs {
    /// A record file whose journal names the batch
    pub file: Option<PathBuf>,
    /// A batch by its id
    #[arg(long, value_name = "ID", conflicts_with = "file", value_parser = municipal::batch_id)]
    pub batch: Option<BatchId>,
    /// Where the journal is [default: FILE.todoke-journal]
    #[arg(long, value_name = "FILE", requires = "file")]
    pub journal: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) connect: Asking,
    /// How results are shown
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Runs the command and returns its exit code.
///
/// # Errors
/// None of its own: everything that goes wrong is shown and has its exit code.
pub async fn run(args: StatusArgs) -> Result<u8, super::Error> {
    Ok(match work(&args).await {
        Ok(()) => exit::DONE,
        Err(error) => fail(&error, args.output),
    })
}

async fn work(args: &StatusArgs) -> Result<(), Error> {
    let batch_id = match (&args.file, args.batch) {
        (Some(file), _) => Some(batch_of(file, args.journal.as_ref())?),
        (None, batch_id) => batch_id,
    };
    let session = args.connect.session(args.output)?;
    let show = async |session: &Session| match batch_id {
        Some(batch_id) => one(session, batch_id, args.output).await,
        None => all(session, args.output).await,
    };
    session.over(show).await
}

/// The batch that a file's journal names.
pub(crate) fn batch_of(file: &std::path::Path, told: Option<&PathBuf>) -> Result<BatchId, Error> {
    let path = journal_path(file, told);
    let entries = journal::Journal::peek(&path)?.unwrap_or_default();
    let begun = journal::begun(&entries).ok_or_else(|| {
        Error::Usage(format!(
            "{}: no batch was begun with this file here. Check the name, pass --batch ID, or \
             `todoke reconcile {}`",
            path.display(),
            file.display()
        ))
    })?;
    // A file that is not here any more says nothing.
    if begun.is_of(file).is_ok_and(|same| !same) {
        let (file, path) = (file.display(), path.display());
        warn(&format!(
            "{file} is not what {path} was begun with: it was changed, or the journal is another's"
        ));
    }
    Ok(plan::manifest_of(begun)?.batch_id)
}

async fn one(session: &Session, batch_id: BatchId, output: Output) -> Result<(), Error> {
    let batch = session.get_batch(batch_id).await?;
    // A relay may say what it likes.
    let proof = match is_accepted(&batch) {
        true => Some(proves(session, batch_id, &batch).await),
        false => None,
    };
    let is_proved = matches!(proof, Some(Ok(())));
    let proof = proof.unwrap_or(Ok(()));
    let gaps = Gaps::from(session.list_gaps(batch_id).await?);
    if output == Output::Json {
        let mut value = json(&batch, is_proved);
        value["gaps"] = serde_json::to_value(&gaps).unwrap_or_default();
        say_event("batch", value);
        proof?;
        say_result(exit::DONE, serde_json::json!({"batch_id": batch.batch_id}));
        return Ok(());
    }
    say(HEADER);
    say(&row(&batch, is_proved));
    if proof.is_err() {
        say("* so a relay says, and no receipt proves it:");
    }
    proof?;
    batch.flags.iter().for_each(|flag| say(&format!("  {}: {}", flag.name, flag.detail)));
    if !batch.discrepancy.is_empty() {
        say(&format!("  {}", batch.discrepancy));
    }
    let (id, discrepant) = (&batch.batch_id, state_name(&batch) == "DISCREPANT");
    if discrepant && is_damaged(&batch) {
        say(&format!(
            "  Next: `todoke repair --batch {id} --reason …`, then `todoke resume FILE` sends again what was \
             damaged: {}, counted as quarantined until then",
            many(gaps.missing_records, "record")
        ));
        gap_lines(&gaps).iter().skip(1).for_each(|line| say(line));
        return Ok(());
    }
    if discrepant {
        say(&format!("  Next: `todoke rejects --batch {id}` names the records; then abort or repair"));
    }
    gap_lines(&gaps).iter().for_each(|line| say(line));
    Ok(())
}

async fn all(session: &Session, output: Output) -> Result<(), Error> {
    let list = session.list_batches("").await?;
    if output == Output::Json {
        list.batches.iter().for_each(|batch| say_event("batch", json(batch, false)));
        let mut value = notices::json(&list);
        value["last_sequence"] = list.last_sequence.into();
        value["older_batches_left_out"] = (!list.next_page_token.is_empty()).into();
        say_result(exit::DONE, value);
        return Ok(());
    }
    if is_new(&list) {
        say("no batches yet: `todoke import FILE` makes the first");
    } else if !list.batches.is_empty() {
        say(HEADER);
    }
    list.batches.iter().for_each(|batch| say(&row(batch, false)));
    if list.batches.iter().any(is_accepted) {
        say("* so a relay says: `todoke status --batch ID` or `todoke reconcile FILES` looks at the receipt");
    }
    if !list.next_page_token.is_empty() {
        say("older batches are not shown: `todoke reconcile FILES` looks at all of them");
    }
    notices::of(&list).iter().for_each(|line| say(line));
    Ok(())
}

/// Whether there never was a batch; an issuer that was restored may only have forgotten them.
fn is_new(list: &pb::ListBatchesResponse) -> bool {
    list.last_sequence == 0 && list.batches.is_empty() && !list.reconcile_first
}

const HEADER: &str = concat!(
    "SEQUENCE  BATCH                                 STATE                ",
    "   RECORDS   MISSING  ACCEPTED  REJECTED  FLAGS"
);

fn is_accepted(batch: &pb::Batch) -> bool {
    matches!(state_name(batch).as_str(), "ACCEPTED" | "ACCEPTED_WITH_REJECTS")
}

/// Looks whether the batch's receipt says what a relay says of the batch.
async fn proves(session: &Session, batch_id: BatchId, said: &pb::Batch) -> Result<(), Error> {
    let (receipt, _) = session.receipt(batch_id).await?;
    let counts = said.counts.unwrap_or_default();
    let same = said.batch_id == receipt.batch_id.to_string()
        && said.sequence == receipt.sequence
        && said.attempt == receipt.attempt
        && state_name(said) == receipt.outcome.to_string()
        && said.record_count == receipt.declared.records
        && (counts.missing, counts.accepted) == (0, receipt.counts.accepted)
        && (counts.rejected, counts.duplicate) == (receipt.counts.rejected, receipt.counts.duplicate);
    let words = "what a relay says of this batch is not what its receipt says: ask again, and if it stays so \
                 tell the operator of the issuer";
    if same { Ok(()) } else { Err(Error::Conflict(words.to_owned())) }
}

/// A batch as a line; one that is accepted has a mark unless its receipt was seen.
fn row(batch: &pb::Batch, is_proved: bool) -> String {
    let counts = batch.counts.unwrap_or_default();
    let flags: Vec<&str> = batch.flags.iter().map(|flag| flag.name.as_str()).collect();
    format!(
        "{:>8}  {:36}  {:21} {:>9} {:>9} {:>9} {:>9}  {}",
        batch.sequence,
        batch.batch_id,
        state_name(batch) + if is_accepted(batch) && !is_proved { "*" } else { "" },
        batch.record_count,
        counts.missing,
        counts.accepted,
        counts.rejected,
        flags.join(" ")
    )
}

/// A batch for programs; `proved`: its receipt was seen.
fn json(batch: &pb::Batch, is_proved: bool) -> serde_json::Value {
    let counts = batch.counts.unwrap_or_default();
    let flags: Vec<serde_json::Value> = batch
        .flags
        .iter()
        .map(|flag| serde_json::json!({"name": flag.name, "detail": flag.detail}))
        .collect();
    serde_json::json!({
        "batch_id": batch.batch_id,
        "sequence": batch.sequence,
        "state": state_name(batch),
        "proved": is_proved,
        "attempt": batch.attempt,
        "records": batch.record_count,
        "missing": counts.missing,
        "stored": counts.stored,
        "accepted": counts.accepted,
        "rejected": counts.rejected,
        "duplicate": counts.duplicate,
        "quarantined": counts.quarantined,
        "flags": flags,
        "discrepancy": batch.discrepancy,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_to_make_the_first_batch_by_an_issuer_that_forgot_those_before() {
        let new = pb::ListBatchesResponse::default();
        assert!(is_new(&new));
        assert!(
            !is_new(&pb::ListBatchesResponse { reconcile_first: true, ..new.clone() }),
            "not compared yet"
        );
        assert!(!is_new(&pb::ListBatchesResponse { last_sequence: 2, ..new }), "compared, and lost");
    }
}
