//! The ends of a run: a receipt that was verified and written, or words for what is missing.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::timeout;

use super::{
    calls::{Attempt, CallError, Weight},
    error::Error,
    events::Event,
    flow::Run,
    held,
    journal::Entry,
    outcome::{Gaps, Outcome, is_damaged},
    receipts::{self, ReceiptFault},
    rejects::Listing,
    scan::{districts_of, places_of},
};
use crate::{
    crash::{self, Point},
    domain::{manifest::Policy, note::NoteError, receipt::Receipt},
    runtime,
    wire::{
        fault::{Fault, Reason},
        pb,
    },
};

/// How long the issuer is asked what is missing.
const ASKING_MAX: Duration = Duration::from_secs(5);

/// Fetches the receipt, checks it against the manifest and the file's own totals, and writes it.
///
/// # Errors
/// [`Error::Receipt`] if it is not believed: then nothing is written and nothing is done.
pub(crate) async fn receive(run: &mut Run<'_>, again: bool) -> Result<Outcome, Error> {
    let batch_id = run.manifest.batch_id;
    let believe = |note: &[u8]| {
        let (receipt, digest) = receipts::open(note, &run.session.receipt_key)?;
        receipts::check_manifest(&receipt, &run.manifest)?;
        receipts::check_totals(&receipt, &run.scan.totals)?;
        Ok((receipt, digest))
    };
    let (note, (receipt, digest)) = match run.session.get_believed_receipt(batch_id, believe).await {
        Ok(believed) => believed,
        // Somebody said that the batch was accepted, and the issuer has no receipt for it.
        Err(Error::Call(error)) if error.is(Reason::ReceiptNotReady) => {
            return Ok(run.try_again(error.to_string()).await);
        }
        // Where one relay alone could say so, it may have changed it; where two do, the issuer did.
        Err(Error::Receipt(ReceiptFault::Signature(
            source @ (NoteError::Malformed | NoteError::BadSignature),
        ))) if run.session.caller.picker().all_count() == 1 => {
            return Err(Error::Unconfirmed(format!("the receipt of batch {batch_id}: {source}")));
        }
        Err(Error::Receipt(source @ ReceiptFault::Signature(_))) => return Err(run.other_key(source)),
        Err(error) => return Err(error),
    };
    crash::point(Point::ReceiptCame);
    let path = &run.options.receipt;
    held::set_aside(path, &receipt).map_err(|source| Error::Write { path: path.clone(), source })?;
    receipts::write_whole(path, &note).map_err(|source| Error::Write { path: path.clone(), source })?;
    crash::point(Point::ReceiptWritten);
    run.journal.append(Entry::Receipt { digest: digest.to_string() })?;
    let path = path.display().to_string();
    // All is done: from here on it is only shown which records were not accepted.
    run.session.interruption.receipted();
    (run.session.tell)(&Event::Receipt { path: path.clone(), digest: digest.to_string() });
    let counts = &receipt.counts;
    let whole = counts.accepted == receipt.declared.records;
    let listing = if whole {
        Listing::default()
    } else {
        tokio::select! {
            biased;
            listing = run.listing(Some(&receipt)) => listing,
            () = run.session.interruption.asked() => Listing::interrupted(),
        }
    };
    Ok(Outcome::Receipted {
        batch_id: batch_id.to_string(),
        sequence: receipt.sequence,
        receipt: path,
        digest: digest.to_string(),
        records: receipt.declared.records,
        accepted: counts.accepted,
        rejected: counts.rejected,
        duplicate: counts.duplicate,
        again,
        listing,
    })
}

impl Run<'_> {
    pub(crate) async fn seal(&self) -> Result<pb::Batch, CallError> {
        let message = pb::SealBatchRequest {
            batch_id: self.manifest.batch_id.to_string(),
            manifest_digest: self.digest.0.to_vec(),
        };
        let send = |attempt: Attempt| {
            let request = attempt.request(message.clone());
            async move { attempt.batches().seal_batch(request).await }
        };
        Ok(self.session.caller.call("SealBatch", Weight::Heavy, send).await?.batch.unwrap_or_default())
    }

    pub(crate) fn refused(&self, fault: &Fault) -> Outcome {
        Outcome::Refused {
            batch_id: self.manifest.batch_id.to_string(),
            reason: fault.reason.as_str().to_owned(),
            message: fault.whole_message(),
            remedy: flag_of(fault).map_or_else(
                || fault.reason.remedy().to_owned(),
                |flag| format!("Run `todoke import` with another {flag}: the message says what is taken"),
            ),
        }
    }

    /// The end of a run whose seal found other totals; the issuer has the batch for discrepant then.
    pub(crate) async fn totals_differ(&self, fault: &Fault) -> Result<Outcome, Error> {
        if let Some(instead) = self.unconfirmed(pb::BatchState::Discrepant).await? {
            return Ok(instead);
        }
        let mut differences = vec![fault.whole_message()];
        differences.extend(fault.metadata.iter().map(|(key, value)| format!("{key}: {value}")));
        differences.retain(|text| !text.is_empty());
        Ok(Outcome::TotalsDiffer { batch_id: Some(self.manifest.batch_id.to_string()), differences })
    }

    /// The end of a run that can go on later.
    pub(crate) async fn try_again(&self, why: String) -> Outcome {
        let gaps = self.gaps().await;
        Outcome::TryAgain { batch_id: self.manifest.batch_id.to_string(), why, gaps }
    }

    // What the run ends with instead if only one relay says that its batch came to this end.
    async fn unconfirmed(&self, end: pb::BatchState) -> Result<Option<Outcome>, Error> {
        let why = match self.session.is_confirmed(self.manifest.batch_id, end).await {
            Ok(true) => return Ok(None),
            Ok(false) => format!("a relay says that the batch is {}, and no other confirms it", name(end)),
            Err(error) if error.transient => error.to_string(),
            Err(error) => return Err(error.into()),
        };
        Ok(Some(self.try_again(why).await))
    }

    /// What is missing, by the issuer; if it cannot be asked, by the file and what is known to be durable.
    pub(crate) async fn gaps(&self) -> Gaps {
        // Only to say more: whoever waited long enough for the outcome does not wait long for this.
        let asked = self.session.list_gaps(self.manifest.batch_id);
        if let Ok(Ok(gaps)) = timeout(ASKING_MAX.min(self.options.no_progress), asked).await {
            return gaps.into();
        }
        self.gaps_by_file().await
    }

    /// What of the file nobody has said is durable.
    pub(crate) async fn gaps_by_file(&self) -> Gaps {
        let missing = self.scan.missing_records(&self.durable);
        let (path, read, wanted) = (self.file.to_owned(), self.read.clone(), missing.clone());
        let counted = runtime::blocking(move || districts_of(&path, &read, &wanted)).await;
        let districts = counted.unwrap_or_default();
        Gaps {
            missing_records: missing.len(),
            ranges: missing.iter().collect(),
            districts: districts.into_iter().collect(),
            confirmed: false,
        }
    }

    fn other_key(&self, source: ReceiptFault) -> Error {
        Error::OtherKey {
            batch_id: self.manifest.batch_id.to_string(),
            key: self.session.receipt_key_file.clone(),
            file: self.file.to_owned(),
            source: Box::new(source),
        }
    }

    // A policy stands in the manifest, so one that is told later changes nothing.
    fn why(&self, batch: &pb::Batch) -> String {
        let (told, announced) = (self.options.policy, self.manifest.policy);
        let ignored = matches!(told, Policy::AcceptValid { .. }) && told != announced;
        if !ignored || super::flow::state_of(batch) == pb::BatchState::Aborted {
            return batch.discrepancy.clone();
        }
        format!(
            "{}. The --policy of this run does not apply, as the batch was announced with {}: `todoke abort \
             --batch {} --reason …`, then import with the policy",
            batch.discrepancy,
            match announced {
                Policy::AllOrNothing => "all-or-nothing".to_owned(),
                Policy::AcceptValid { max_rejects } => format!("accept-valid:{max_rejects}"),
            },
            batch.batch_id
        )
    }

    /// The end of a run whose batch ended without receipt, if that is confirmed.
    pub(crate) async fn without_receipt(&mut self, batch: &pb::Batch) -> Result<Outcome, Error> {
        let state = super::flow::state_of(batch);
        if let Some(instead) = self.unconfirmed(state).await? {
            return Ok(instead);
        }
        if state == pb::BatchState::Aborted {
            self.journal.append(Entry::Ended { reason: "ABORTED".to_owned() })?;
        }
        Ok(Outcome::NotAccepted {
            batch_id: self.manifest.batch_id.to_string(),
            state: state_name(batch),
            why: self.why(batch),
            damaged: is_damaged(batch),
            listing: self.listing(None).await,
        })
    }

    // Only shown, so a file that can no longer be read changes no outcome.
    async fn listing(&self, receipt: Option<&Receipt>) -> Listing {
        let mut listing = Listing::of(self.session, self.manifest.batch_id, receipt).await;
        let wanted: BTreeMap<u64, String> =
            listing.not_accepted.iter().map(|one| (one.index, one.field.clone())).collect();
        if wanted.is_empty() {
            return listing;
        }
        let (path, read) = (self.file.to_owned(), self.read.clone());
        let mut places =
            runtime::blocking(move || places_of(&path, &read, &wanted)).await.unwrap_or_default();
        for one in &mut listing.not_accepted {
            (one.line, one.place) = places.remove(&one.index).unwrap_or_default();
        }
        listing
    }
}

/// The state in the words of the design, such as `ACCEPTED`.
#[must_use]
pub fn state_name(batch: &pb::Batch) -> String {
    name(super::flow::state_of(batch)).to_owned()
}

fn name(state: pb::BatchState) -> &'static str {
    let name = state.as_str_name();
    name.strip_prefix("BATCH_STATE_").unwrap_or(name)
}

// The flag of `todoke import` that a refused line of the manifest was made from.
fn flag_of(fault: &Fault) -> Option<&'static str> {
    let flags = [("manifest.seal-by", "--seal-by"), ("manifest.sequence", "--sequence")];
    let of = |(line, flag)| fault.violations.iter().any(|(field, _)| field == line).then_some(flag);
    flags.into_iter().find_map(of)
}
