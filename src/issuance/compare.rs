//! A receipt that we signed and do not have proves that this database forgot its batch; nobody else's word
//! does.

use std::{fs, path::PathBuf};

use crate::{
    domain::{digest::Digest, municipality::MunicipalityCode, note, receipt::Receipt},
    store::{Held, Kept, LostBatch, Standing},
    telemetry::names,
    wire::{
        fault::{Fault, Reason},
        pb,
    },
};

use super::core::{Core, store_fault};

/// Why a former public receipt key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "{}: {what}. Give a receipt.pub as it was published: one line, NAME+KEYID+BASE64 (key \
     issuance.former_receipt_keys)",
    path.display()
)]
pub struct FormerKeyError {
    /// The file.
    path: PathBuf,
    /// What is wrong with it.
    what: String,
}

/// Reads the public receipt keys of before.
pub(crate) fn former_keys(paths: &[PathBuf]) -> Result<Vec<note::VerifierKey>, FormerKeyError> {
    let read = |path: &PathBuf| {
        let wrong = |what: String| FormerKeyError { path: path.clone(), what };
        let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        text.trim().parse().map_err(|error: note::NoteError| wrong(error.to_string()))
    };
    paths.iter().map(read).collect()
}

/// Most receipts of one call.
const RECEIPTS_MAX: usize = 1000;
/// Most lost batches that an answer names.
pub(crate) const LOST_MAX: u32 = 1000;

/// Compares a municipality's receipts with what is here.
pub(crate) async fn compare(
    core: &Core,
    caller: MunicipalityCode,
    request: &pb::CompareReceiptsRequest,
) -> Result<pb::CompareReceiptsResponse, Fault> {
    if request.receipts.len() > RECEIPTS_MAX {
        let words = format!("at most {RECEIPTS_MAX} receipts a call: send the others in further calls");
        return Err(Fault::new(Reason::LimitExceeded, words).violation("receipts", "too many"));
    }
    let opened: Result<Vec<(Receipt, Digest)>, Fault> =
        request.receipts.iter().enumerate().map(|(at, bytes)| read(core, caller, at, bytes)).collect();
    let opened = opened?;
    let held: Vec<Held<'_>> = opened
        .iter()
        .zip(&request.receipts)
        .map(|((receipt, digest), note)| Held { receipt, digest: *digest, note })
        .collect();
    let now_ms = core.clock.now_ms();
    let compared = core.store.compare_receipts(caller, &held, request.whole, now_ms).await;
    let compared = compared.map_err(store_fault)?;
    if compared.marked {
        tracing::error!(municipality.code = %caller,
            "{caller} holds a receipt of ours that is not here: this database is older than what was \
             acknowledged, and every municipality must compare its receipts now");
    }
    for ((receipt, _), kept) in opened.iter().zip(&compared.kept) {
        let id = receipt.batch_id;
        match kept {
            Kept::Known => {}
            Kept::Lost => tracing::warn!(municipality.code = %caller, batch.id = %id,
                "batch {id} of {caller}, sequence {}, is lost and must come again", receipt.sequence),
            Kept::Different => tracing::error!(municipality.code = %caller, batch.id = %id,
                "{caller} holds another receipt for batch {id} than the one that is here: a human must look"),
        }
    }
    if compared.done {
        core.work.notify_waiters();
    }
    let lost = core.store.lost_of(caller, LOST_MAX).await.map_err(store_fault)?;
    Ok(pb::CompareReceiptsResponse {
        receipts: opened
            .iter()
            .zip(&compared.kept)
            .map(|((receipt, _), kept)| pb::ComparedReceipt {
                batch_id: receipt.batch_id.to_string(),
                sequence: receipt.sequence,
                standing: standing(*kept).into(),
            })
            .collect(),
        lost_batches: lost.iter().map(lost_batch).collect(),
        missing_digests: compared.missing.iter().map(|digest| digest.as_bytes().to_vec()).collect(),
        reconcile_first: !compared.done,
    })
}

/// Opens one receipt: signed by us, in canonical form, without contradiction, and of the caller.
fn read(core: &Core, caller: MunicipalityCode, at: usize, bytes: &[u8]) -> Result<(Receipt, Digest), Fault> {
    let invalid = |words: String| {
        Fault::new(Reason::ReceiptInvalid, format!("receipt {at} of the call: {words}"))
            .violation(format!("receipts[{at}]"), words)
    };
    let own = note::open(bytes, &core.vault.verifier_key());
    let former = || core.former_keys.iter().find_map(|key| note::open(bytes, key).ok());
    let text = own.or_else(|error| former().ok_or(error)).map_err(|error| invalid(error.to_string()))?;
    let receipt = Receipt::parse(text).map_err(|fault| invalid(format!("it is no receipt: {fault}")))?;
    if receipt.municipality != caller {
        let words = format!("receipt {at} of the call is not of {caller}: send your own only");
        return Err(Fault::new(Reason::OtherMunicipality, words));
    }
    match receipt.faults().first() {
        Some(fault) => Err(invalid(format!("it contradicts itself: {fault}"))),
        None => Ok((receipt, Digest::of(text.as_bytes()))),
    }
}

fn standing(kept: Kept) -> pb::ReceiptStanding {
    match kept {
        Kept::Known => pb::ReceiptStanding::Known,
        Kept::Lost => pb::ReceiptStanding::Lost,
        Kept::Different => pb::ReceiptStanding::Different,
    }
}

/// Returns a lost batch as its owner sees it.
pub(crate) fn lost_batch(lost: &LostBatch) -> pb::LostBatch {
    pb::LostBatch {
        batch_id: lost.batch_id.to_string(),
        sequence: lost.sequence,
        record_count: lost.record_count,
        receipt_digest: lost.digest.as_bytes().to_vec(),
    }
}

/// Shows how many of these municipalities are how far.
pub(crate) fn progress(standings: impl Iterator<Item = Standing>) {
    let (mut waiting, mut compared, mut released) = (0_u32, 0_u32, 0_u32);
    for standing in standings {
        match standing {
            Standing::Waiting => waiting += 1,
            Standing::Compared => compared += 1,
            Standing::Released => released += 1,
        }
    }
    for (name, count) in [("waiting", waiting), ("compared", compared), ("released", released)] {
        metrics::gauge!(names::RESTORE_MUNICIPALITIES, names::STANDING => name).set(count);
    }
}
