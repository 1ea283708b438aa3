//! A municipality with its batches: what every command about them needs, checked before the first call.

use std::{path::PathBuf, str::FromStr};

use super::{
    calls::{Attempt, CallError, CallOptions, Caller, Weight},
    endpoints::Endpoints,
    error::Error,
    events::Tell,
    interruption::Interruption,
    party::{KEEP_MAX, Party},
    receipts::{self, ReceiptFault},
    signer::Signer,
    view::Following,
};
use crate::{
    domain::{
        batch_id::BatchId,
        digest::Digest,
        identity::{Identity, Role},
        manifest::Manifest,
        municipality::MunicipalityCode,
        note::VerifierKey,
        receipt::Receipt,
    },
    wire::pb,
};

/// Batches asked for at a time.
pub(super) const PAGE: u32 = 100;

/// Everything a command needs to talk to the system as one municipality.
pub struct Session {
    /// Makes the calls.
    pub caller: Caller,
    /// Signs for the municipality.
    pub signer: Signer,
    /// The municipality.
    pub municipality: MunicipalityCode,
    /// What `--as` said.
    pub caller_name: String,
    /// The issuer's public key.
    pub receipt_key: VerifierKey,
    /// Where that key was read.
    pub receipt_key_file: PathBuf,
    /// Who listens.
    pub tell: Tell,
    /// Between the run that it is for and whoever may interrupt that.
    pub interruption: Interruption,
    /// Follows the pool's view until the session ends.
    pub(super) following: Following,
}

impl Session {
    /// Does what [`Party::connect`] does, for a municipality.
    ///
    /// # Errors
    /// [`Error`] for anything that is wrong in a file, and for a caller that is no municipality.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn connect(
        endpoints: &Endpoints,
        caller_name: &str,
        options: CallOptions,
        seed: u64,
        tell: Tell,
    ) -> Result<Self, Error> {
        let municipality = municipality(caller_name)?;
        let party = Party::connect(endpoints, caller_name, options, seed, tell.clone())?;
        let Party { caller, signer, receipt_key, following } = party;
        Ok(Self {
            caller,
            signer,
            municipality,
            caller_name: caller_name.to_owned(),
            receipt_key,
            receipt_key_file: endpoints.receipt_key.clone(),
            tell,
            interruption: Interruption::default(),
            following,
        })
    }

    /// Does `work` over it, and ends it.
    pub async fn over<T>(self, work: impl AsyncFnOnce(&Self) -> T) -> T {
        let done = work(&self).await;
        self.end().await;
        done
    }

    /// Ends it: a view of the pool that is on its way is kept for the next start, for which at most a second
    /// is waited. Where a relay says that there is none, no other is waited for.
    pub async fn end(self) {
        self.following.end(KEEP_MAX).await;
    }

    /// Opens the batch of this manifest, or the same one again.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn open_batch(
        &self,
        manifest: &Manifest,
        chunk_roots: &[Digest],
    ) -> Result<pb::OpenBatchResponse, CallError> {
        let bytes = manifest.to_text().into_bytes();
        let message = pb::OpenBatchRequest {
            signature: self.signer.sign(&bytes),
            manifest: bytes,
            certificate_chain: self.signer.chain(),
            chunk_roots: chunk_roots.iter().map(|root| root.0.to_vec()).collect(),
        };
        let send = |attempt: Attempt| {
            let request = attempt.request(message.clone());
            async move { attempt.batches().open_batch(request).await }
        };
        self.caller.call("OpenBatch", Weight::Heavy, send).await
    }

    /// Returns the batch as the issuer sees it.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn get_batch(&self, batch_id: BatchId) -> Result<pb::Batch, CallError> {
        let message = pb::GetBatchRequest { batch_id: batch_id.to_string() };
        let send = |attempt: Attempt| {
            let request = attempt.request(message.clone());
            async move { attempt.batches().get_batch(request).await }
        };
        Ok(self.caller.call("GetBatch", Weight::Light, send).await?.batch.unwrap_or_default())
    }

    /// Returns one page of the municipality's batches, newest first.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn list_batches(&self, page_token: &str) -> Result<pb::ListBatchesResponse, CallError> {
        let message = pb::ListBatchesRequest { page_size: PAGE, page_token: page_token.to_owned() };
        let send = |attempt: Attempt| {
            let request = attempt.request(message.clone());
            async move { attempt.batches().list_batches(request).await }
        };
        self.caller.call("ListBatches", Weight::Light, send).await
    }

    /// Holds receipts against the issuer's database; `whole` says that the caller has no others.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn compare_receipts(
        &self,
        receipts: Vec<Vec<u8>>,
        whole: bool,
    ) -> Result<pb::CompareReceiptsResponse, CallError> {
        let message = pb::CompareReceiptsRequest { receipts, whole };
        let send = |attempt: Attempt| {
            let request = attempt.request(message.clone());
            async move { attempt.batches().compare_receipts(request).await }
        };
        self.caller.call("CompareReceipts", Weight::Heavy, send).await
    }

    /// Returns the receipt's bytes with what `believe` made of them. A relay whose receipt is not believed
    /// is left for another, until each that answers was asked; it lied if another one gave the receipt.
    ///
    /// # Errors
    /// [`Error::Receipt`] if no relay gave one to believe, [`Error::Call`] if none gave any.
    pub async fn get_believed_receipt<T>(
        &self,
        batch_id: BatchId,
        believe: impl Fn(&[u8]) -> Result<T, ReceiptFault>,
    ) -> Result<(Vec<u8>, T), Error> {
        let message = pb::GetReceiptRequest { batch_id: batch_id.to_string() };
        let send = |attempt: Attempt| {
            let request = attempt.request(message.clone());
            async move { attempt.batches().get_receipt(request).await }
        };
        let mut asked = Vec::new();
        loop {
            let heard = self.caller.call_beside(&asked, "GetReceipt", Weight::Light, send).await;
            let (answer, relay) = heard?;
            match believe(&answer.receipt) {
                Ok(believed) => {
                    asked.iter().for_each(|liar| self.caller.picker().distrust(*liar));
                    return Ok((answer.receipt, believed));
                }
                // The file or the key may be another, or the issuer erred: then all of them say so.
                Err(fault) if asked.contains(&relay) => return Err(fault.into()),
                Err(fault) => {
                    tracing::warn!(%fault, "a receipt that came over relay {relay} is not believed");
                    asked.push(relay);
                    if asked.len() >= self.caller.picker().all_count() {
                        return Err(fault.into());
                    }
                }
            }
        }
    }

    /// Returns a batch's receipt, believed by its signature alone.
    ///
    /// # Errors
    /// As for [`Session::get_believed_receipt`].
    pub async fn receipt(&self, batch_id: BatchId) -> Result<(Receipt, Digest), Error> {
        let believe = |note: &[u8]| receipts::open_of(batch_id, note, &self.receipt_key);
        self.get_believed_receipt(batch_id, believe).await.map(|(_, believed)| believed)
    }

    /// Returns the first page of what is missing, with the districts.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn list_gaps(&self, batch_id: BatchId) -> Result<pb::ListGapsResponse, CallError> {
        let message = pb::ListGapsRequest { batch_id: batch_id.to_string(), ..Default::default() };
        let send = |attempt: Attempt| {
            let request = attempt.request(message.clone());
            async move { attempt.batches().list_gaps(request).await }
        };
        self.caller.call("ListGaps", Weight::Light, send).await
    }

    /// Returns one page of the records that were not accepted, at most `limit`.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn not_accepted(
        &self,
        batch_id: BatchId,
        limit: u32,
        page_token: &str,
    ) -> Result<pb::ListDispositionsResponse, CallError> {
        let message = pb::ListDispositionsRequest {
            batch_id: batch_id.to_string(),
            page_size: limit,
            page_token: page_token.to_owned(),
            only_not_accepted: true,
        };
        let send = |attempt: Attempt| {
            let request = attempt.request(message.clone());
            async move { attempt.batches().list_dispositions(request).await }
        };
        self.caller.call("ListDispositions", Weight::Light, send).await
    }
}

fn municipality(caller_name: &str) -> Result<MunicipalityCode, Error> {
    let usage = |what: String| Error::Usage(format!("--as {caller_name}: {what}"));
    let identity = Identity::from_str(caller_name).map_err(|error| usage(error.to_string()))?;
    if identity.role() != Role::Municipality {
        return Err(usage("only a municipality has batches; pass --as municipality/CODE".to_owned()));
    }
    MunicipalityCode::from_str(identity.name()).map_err(|error| usage(error.to_string()))
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
