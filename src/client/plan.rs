//! Which batch a file is: the one in its journal, one that the issuer has already, or a new one. The answer
//! is in the journal, on the disk, before anything is sent on the strength of it.

use std::path::{Path, PathBuf};

use super::{
    error::Error,
    events::Event,
    flow::first_pass,
    held,
    journal::{self, Begun, Entry, Journal, Standing},
    reader::ReadOptions,
    scan::Scan,
    session::Session,
};
use crate::{
    domain::{
        batch_id::BatchId,
        digest::Digest,
        manifest::{BatchKind, CHUNK_RECORDS, Manifest, Policy},
    },
    runtime,
    wire::{fault::Reason, pb},
};

/// How many of the last batches are compared with a file that has no journal.
pub const COMPARED_BATCHES: usize = 20;

/// What a new batch is to be.
#[derive(Debug, Clone)]
pub struct NewBatch {
    /// Its id, a UUID version 7, made by the caller.
    pub batch_id: BatchId,
    /// Its sequence; the next one when `None`.
    pub sequence: Option<u64>,
    /// How many rejects are accepted.
    pub policy: Policy,
    /// When it should be sealed at the latest, ms since the Unix epoch.
    pub seal_by_ms: i64,
    /// Whether its user said so: then it is also said if it does not apply.
    pub seal_by_told: bool,
}

/// The file, as far as the plan needs it.
pub(crate) struct Known<'a> {
    pub(crate) file: &'a Path,
    pub(crate) read: &'a ReadOptions,
    pub(crate) scan: &'a Scan,
}

/// Returns the manifest of the batch that the file is, with its journal; `new` is `None` for `resume`, which
/// never begins a batch.
///
/// # Errors
/// [`Error`]; in particular when the file is no longer what its unfinished batch announced.
pub(crate) async fn plan(
    session: &Session,
    known: &Known<'_>,
    journal: Journal,
    new: Option<&NewBatch>,
    policy: Policy,
) -> Result<(Manifest, Journal), Error> {
    let mut journal = journal;
    let nil = known.scan.totals.records == 0 && new.is_some();
    if let Some(begun) = journal::begun(journal.entries()) {
        let same = begun.fingerprint == known.scan.fingerprint;
        let manifest = manifest_of(begun)?;
        match (journal::standing(journal.entries()), same) {
            (Standing::Open, false) => {
                let Some(reason) = given_up(session, &manifest).await? else {
                    return Err(changed(known.file, &manifest));
                };
                journal.append(Entry::Ended { reason })?;
                journal = journal.start_over(&manifest.sequence.to_string())?;
            }
            // Its batch has met what it could, so what is missing needs another one.
            (Standing::Receipted, true) if nil && is_of(session, begun) && is_due(session).await? => {
                journal = journal.start_over(&manifest.sequence.to_string())?;
            }
            (Standing::Open | Standing::Receipted, true) => {
                check_caller(session, known.file, begun)?;
                check_told(session, &manifest, new)?;
                return Ok((manifest, journal));
            }
            (Standing::Receipted, false) | (Standing::Ended, _) if new.is_none() => {
                return Err(ended(known.file, same));
            }
            (Standing::Receipted, false) | (Standing::Ended, _) => {
                journal = journal.start_over(&manifest.sequence.to_string())?;
            }
        }
    }
    let manifest = choose(session, known, new, policy).await?;
    journal.append(Entry::Begun(Begun {
        caller: session.caller_name.clone(),
        manifest: manifest.to_text(),
        fingerprint: known.scan.fingerprint.clone(),
        encoding: known.read.encoding,
        accept_missing_newline: known.read.accept_missing_newline,
        layout: known.read.layout.clone(),
    }))?;
    (session.tell)(&Event::Journalled {
        batch_id: manifest.batch_id.to_string(),
        sequence: manifest.sequence,
    });
    Ok((manifest, journal))
}

// The batch that a file without an open journal is: one of the last ones, or a new one.
async fn choose(
    session: &Session,
    known: &Known<'_>,
    new: Option<&NewBatch>,
    policy: Policy,
) -> Result<Manifest, Error> {
    let list = session.agreed_batches().await?;
    match (earlier(session, known.scan, new, policy, &list).await?, new) {
        (Some(found), new) => {
            check_told(session, &found, new)?;
            Ok(found)
        }
        (None, Some(new)) => build(session, known, new, &list).await,
        (None, None) => Err(Error::Conflict(format!(
            "{}: there is no journal, and none of the last batches is this file. Run `todoke import`",
            known.file.display()
        ))),
    }
}

/// Reads the file again in the chunks of the batch that it was found to be; `None` if they are the same.
///
/// # Errors
/// [`Error`]; also if the file was changed meanwhile.
pub(crate) async fn cut_up_as(
    manifest: &Manifest,
    session: &Session,
    known: &Known<'_>,
    journal: &Path,
) -> Result<Option<Scan>, Error> {
    if manifest.chunk_records == known.scan.chunk_records {
        return Ok(None);
    }
    let scan = first_pass(session, known.file, known.read, manifest.chunk_records, journal).await?;
    let same = scan.fingerprint == known.scan.fingerprint;
    if same { Ok(Some(scan)) } else { Err(changed(known.file, manifest)) }
}

/// The manifest in a journal.
pub fn manifest_of(begun: &Begun) -> Result<Manifest, Error> {
    Manifest::parse(begun.manifest.as_bytes()).map_err(|fault| {
        Error::Conflict(format!(
            "the journal's manifest cannot be read: {fault}. Move the journal away and resume"
        ))
    })
}

// Why the batch of a journal is no batch any more; `None` while it is one.
pub(super) async fn given_up(session: &Session, manifest: &Manifest) -> Result<Option<String>, Error> {
    match session.is_confirmed(manifest.batch_id, pb::BatchState::Aborted).await {
        Ok(aborted) => Ok(aborted.then(|| "ABORTED".to_owned())),
        Err(error) if error.fault.as_ref().is_some_and(|fault| fault.reason == Reason::NotFound) => {
            Ok(Some("NEVER_OPENED".to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}

/// That there is nothing to resume; `same`: the file is what the batch was begun with.
fn ended(file: &Path, same: bool) -> Error {
    let other = match same {
        true => "",
        false => ", and was begun with other content: the journal may be another file's",
    };
    Error::Conflict(format!(
        "{}: the batch of its journal has ended, nothing of it is left to resume{other}. Run `todoke import`",
        file.display()
    ))
}

fn changed(file: &Path, manifest: &Manifest) -> Error {
    Error::Conflict(format!(
        "{} was changed since batch {} was begun with it. Put the announced content back and run \
         `todoke resume`, or give the batch up with `todoke abort --batch {}` and import again",
        file.display(),
        manifest.batch_id,
        manifest.batch_id
    ))
}

// Whether the issuer expects a batch of this municipality that did not come.
async fn is_due(session: &Session) -> Result<bool, Error> {
    Ok(session.agreed_batches().await?.expected_batches.iter().any(|expected| expected.missing))
}

fn is_of(session: &Session, begun: &Begun) -> bool {
    begun.caller == session.caller_name
}

fn check_caller(session: &Session, file: &Path, begun: &Begun) -> Result<(), Error> {
    if is_of(session, begun) {
        return Ok(());
    }
    Err(Error::Conflict(format!(
        "{}: its batch was begun --as {}. To go on with that one, pass the same; for {}, name another FILE: \
         each municipality needs one of its own",
        file.display(),
        begun.caller,
        session.caller_name
    )))
}

// A batch keeps the sequence that it was announced with, and the moment by which it is to be sealed. The same
// command again has the same sequence and another moment, so only the sequence is refused.
fn check_told(session: &Session, manifest: &Manifest, new: Option<&NewBatch>) -> Result<(), Error> {
    let Manifest { batch_id, sequence, seal_by_ms, .. } = manifest;
    if new.is_some_and(|new| new.seal_by_told) {
        (session.tell)(&Event::SealByKept { batch_id: batch_id.to_string(), seal_by_ms: *seal_by_ms });
    }
    match new.and_then(|new| new.sequence) {
        Some(told) if told != *sequence => Err(Error::Conflict(format!(
            "this file is batch {batch_id} with sequence {sequence} already, so --sequence {told} does not \
             apply: leave it out"
        ))),
        _ => Ok(()),
    }
}

// Looks for the file among the last batches. Nothing today and nothing yesterday are two batches of the same
// content, so one without records is another one each time.
async fn earlier(
    session: &Session,
    scan: &Scan,
    new: Option<&NewBatch>,
    policy: Policy,
    list: &pb::ListBatchesResponse,
) -> Result<Option<Manifest>, Error> {
    if scan.totals.records == 0 && new.is_some() {
        return Ok(None);
    }
    find(session, scan, policy, list).await
}

// Makes the manifest of a new batch that follows the last one: by the issuer, or by a receipt that lies here
// and is of a later batch. Then the issuer has forgotten it, and says so when it meets its digest.
async fn build(
    session: &Session,
    known: &Known<'_>,
    new: &NewBatch,
    list: &pb::ListBatchesResponse,
) -> Result<Manifest, Error> {
    let scan = known.scan;
    let theirs =
        Digest::from_slice(&list.last_receipt_digest).map(|digest| (list.last_receipt_sequence, digest));
    let (file, key, municipality) =
        (known.file.to_owned(), session.receipt_key.clone(), session.municipality);
    let ours = runtime::blocking(move || held::last_beside(&file, &key, municipality)).await;
    let told = list.last_receipt_sequence > 0 || theirs.is_none(); // an older issuer tells the digest only
    let forgotten = ours.filter(|(sequence, _)| told && *sequence > list.last_receipt_sequence);
    let after = forgotten.map_or(list.last_sequence, |(sequence, _)| sequence.max(list.last_sequence));
    let next = new.sequence.or(after.checked_add(1)).ok_or_else(|| {
        Error::Unconfirmed(format!("the last sequence is said to be {after}, and no number follows"))
    })?;
    Ok(Manifest {
        municipality: session.municipality,
        batch_id: new.batch_id,
        sequence: next,
        previous_receipt: forgotten.or(theirs).map(|(_, digest)| digest),
        kind: BatchKind::CardOrders,
        policy: new.policy,
        chunk_records: scan.chunk_records,
        totals: scan.totals.clone(),
        seal_by_ms: new.seal_by_ms,
    })
}

// Looks for the file among the last batches: an accepted one by its receipt, an open one by its manifest,
// made again from the file and what the issuer knows.
async fn find(
    session: &Session,
    scan: &Scan,
    policy: Policy,
    list: &pb::ListBatchesResponse,
) -> Result<Option<Manifest>, Error> {
    let mut receipts_before: Vec<Option<Digest>> = vec![None];
    // Oldest first, so that the receipts that a manifest can name are known when it is met.
    for batch in list.batches.iter().take(COMPARED_BATCHES).rev() {
        let receipt = receipt_of(session, batch).await?;
        if batch.record_count == scan.totals.records && batch.state != i32::from(pb::BatchState::Aborted) {
            let named = receipt.as_ref().map(|(receipt, _)| receipt.previous_receipt);
            let candidates = named.map_or_else(|| receipts_before.clone(), |previous| vec![previous]);
            let manifest = rebuild(session, scan, batch, &candidates, policy);
            if manifest.is_some() {
                return Ok(manifest);
            }
        }
        if let Some((_, digest)) = receipt {
            receipts_before.push(Some(digest));
        }
    }
    Ok(None)
}

async fn receipt_of(
    session: &Session,
    batch: &pb::Batch,
) -> Result<Option<(crate::domain::receipt::Receipt, Digest)>, Error> {
    let accepted = [pb::BatchState::Accepted, pb::BatchState::AcceptedWithRejects].map(i32::from);
    let Some(batch_id) = batch.batch_id.parse::<BatchId>().ok().filter(|_| accepted.contains(&batch.state))
    else {
        return Ok(None);
    };
    match session.receipt(batch_id).await {
        Ok(believed) => Ok(Some(believed)),
        // It may be signed by an earlier key: then the batch is known by its manifest or not at all.
        Err(Error::Receipt(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

// The digest decides: a manifest made again is right, or is not taken.
fn rebuild(
    session: &Session,
    scan: &Scan,
    batch: &pb::Batch,
    receipts_before: &[Option<Digest>],
    policy: Policy,
) -> Option<Manifest> {
    // The totals say what the file is, however it was cut up.
    let chunk_records = batch.chunk_records;
    if !chunk_records.is_power_of_two() || !CHUNK_RECORDS.contains(&chunk_records) {
        return None;
    }
    let seal_by_ms = crate::wire::convert::millis(batch.seal_by_time.as_ref()?);
    let digest = Digest::from_slice(&batch.manifest_digest)?;
    let policies = [policy, Policy::AllOrNothing];
    let tries = receipts_before.iter().flat_map(|previous| policies.map(|policy| (*previous, policy)));
    for (previous_receipt, policy) in tries {
        let manifest = Manifest {
            municipality: session.municipality,
            batch_id: batch.batch_id.parse().ok()?,
            sequence: batch.sequence,
            previous_receipt,
            kind: BatchKind::CardOrders,
            policy,
            chunk_records,
            totals: scan.totals.clone(),
            seal_by_ms,
        };
        if Digest::of(manifest.to_text().as_bytes()) == digest {
            return Some(manifest);
        }
    }
    None
}

/// Where the results of a file go, unless told otherwise.
#[must_use]
pub fn receipt_path_for(file: &Path) -> PathBuf {
    journal::with_suffix(file, ".receipt")
}
