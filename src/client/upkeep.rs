//! What a municipality asks about its batches and cards besides importing: proofs, repairs, giving up,
//! looking up.

use super::{
    calls::{Attempt, CallError, Weight},
    error::Error,
    proof::Proof,
    session::Session,
};
use crate::{
    domain::{abort::Statement, batch_id::BatchId, digest::Digest},
    wire::pb::{self, get_card_request::Key, get_inclusion_proof_request::Record},
};

impl Session {
    /// Asks the issuer for the inclusion proof of one order.
    ///
    /// # Errors
    /// [`Error::Call`], or [`Error::Conflict`] for an answer that is no proof.
    pub async fn prove(&self, batch_id: BatchId, order_id: &str) -> Result<Proof, Error> {
        let message = pb::GetInclusionProofRequest {
            batch_id: batch_id.to_string(),
            record: Some(Record::OrderId(order_id.to_owned())),
        };
        let send = |attempt: Attempt| {
            let request = attempt.request(message.clone());
            async move { attempt.batches().get_inclusion_proof(request).await }
        };
        let answer = self.caller.call("GetInclusionProof", Weight::Heavy, send).await?;
        let leaf = Digest::from_slice(&answer.leaf_hash);
        let path: Option<Vec<Digest>> = answer.path.iter().map(|hash| Digest::from_slice(hash)).collect();
        let (Some(leaf), Some(path)) = (leaf, path) else {
            return Err(Error::Conflict(
                "the issuer's answer holds hashes that are not 32 bytes long".to_owned(),
            ));
        };
        Ok(Proof { batch_id: Some(batch_id), index: answer.index, records: answer.record_count, leaf, path })
    }

    /// Has a discrepant batch worked off again from its stored chunks.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn repair(
        &self,
        batch_id: BatchId,
        request_id: &str,
        reason: &str,
    ) -> Result<pb::Batch, CallError> {
        let message = pb::RepairBatchRequest {
            batch_id: batch_id.to_string(),
            request_id: request_id.to_owned(),
            reason: reason.to_owned(),
        };
        let send = |attempt: Attempt| {
            let request = attempt.request(message.clone());
            async move { attempt.batches().repair_batch(request).await }
        };
        Ok(self.caller.call("RepairBatch", Weight::Light, send).await?.batch.unwrap_or_default())
    }

    /// Gives a batch up for good, with a statement signed by the municipality.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn abort(&self, batch_id: BatchId, reason: &str) -> Result<pb::Batch, CallError> {
        let statement =
            Statement { municipality: self.municipality, batch_id, reason: reason.to_owned() }.to_text();
        let message = pb::AbortBatchRequest {
            signature: self.signer.sign(statement.as_bytes()),
            statement: statement.into_bytes(),
            certificate_chain: self.signer.chain(),
        };
        let send = |attempt: Attempt| {
            let request = attempt.request(message.clone());
            async move { attempt.batches().abort_batch(request).await }
        };
        Ok(self.caller.call("AbortBatch", Weight::Light, send).await?.batch.unwrap_or_default())
    }

    /// Returns one card; personal data only with a purpose.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn get_card(&self, key: Key, purpose: pb::Purpose) -> Result<pb::Card, CallError> {
        let purpose = purpose.into();
        let message = pb::GetCardRequest { key: Some(key), purpose, with_history: false };
        Ok(self.show_card(message).await?.card.unwrap_or_default())
    }

    /// Answers a question about one card.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn show_card(&self, message: pb::GetCardRequest) -> Result<pb::GetCardResponse, CallError> {
        let send = |attempt: Attempt| {
            let request = attempt.request(message.clone());
            async move { attempt.cards().get_card(request).await }
        };
        self.caller.call("GetCard", Weight::Light, send).await
    }

    /// Returns one page of cards.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn list_cards(
        &self,
        message: pb::ListCardsRequest,
    ) -> Result<pb::ListCardsResponse, CallError> {
        let send = |attempt: Attempt| {
            let request = attempt.request(message.clone());
            async move { attempt.cards().list_cards(request).await }
        };
        self.caller.call("ListCards", Weight::Light, send).await
    }
}
