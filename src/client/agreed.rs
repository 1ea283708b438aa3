//! What no signature proves counts when two relays say it alike: one of them alone could have made it up.

use tonic::{Response, Status};

use super::{
    calls::{Attempt, CallError, Weight},
    error::Error,
    flow::state_of,
    plan::COMPARED_BATCHES,
    session::Session,
};
use crate::{domain::batch_id::BatchId, wire::pb};

/// How often relays are asked anew that do not agree: what they tell may have changed in between.
const TURNS: usize = 3;

/// What came of asking one relay after the other.
enum Heard<T> {
    /// Two say it alike, or there is only one.
    Alike(T),
    /// One says it, and no other answers.
    Once(T),
    /// Each says something else.
    Unlike,
}

impl Session {
    /// Whether two relays say that a batch is in this state. Every end but a receipt has to be confirmed so
    /// before anything is done on the strength of it.
    ///
    /// # Errors
    /// [`CallError`] if no relay shows the batch.
    pub(crate) async fn is_confirmed(
        &self,
        batch_id: BatchId,
        state: pb::BatchState,
    ) -> Result<bool, CallError> {
        let message = pb::GetBatchRequest { batch_id: batch_id.to_string() };
        let send = |attempt: Attempt| {
            let request = attempt.request(message.clone());
            async move { attempt.batches().get_batch(request).await }
        };
        let said = |answer: &pb::GetBatchResponse| answer.batch.as_ref().map(state_of);
        match self.hear("GetBatch", send, said).await? {
            Heard::Alike(answer) => Ok(said(&answer) == Some(state)),
            Heard::Once(_) | Heard::Unlike => Ok(false),
        }
    }

    /// Returns the first page of the municipality's batches, on which two relays agree as far as the next
    /// batch depends on it. If only one answers, it is believed: the issuer refuses what is far off.
    ///
    /// # Errors
    /// [`Error::Call`], or [`Error::Unconfirmed`] if the relays do not agree.
    pub(crate) async fn agreed_batches(&self) -> Result<pb::ListBatchesResponse, Error> {
        let message = pb::ListBatchesRequest { page_size: super::session::PAGE, ..Default::default() };
        let send = |attempt: Attempt| {
            let request = attempt.request(message.clone());
            async move { attempt.batches().list_batches(request).await }
        };
        for _ in 0..TURNS {
            match self.hear("ListBatches", send, lasting).await? {
                Heard::Alike(list) | Heard::Once(list) => return Ok(list),
                Heard::Unlike => (),
            }
        }
        Err(Error::Unconfirmed("the relays do not say the same of this municipality's batches".to_owned()))
    }

    // Asks relays until two say the same; `gist` is what has to be the same.
    async fn hear<T, F, Fut, G: PartialEq>(
        &self,
        method: &'static str,
        send: F,
        gist: impl Fn(&T) -> G,
    ) -> Result<Heard<T>, CallError>
    where
        F: Fn(Attempt) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let count = self.caller.picker().relay_count();
        let mut said: Vec<T> = Vec::new();
        let mut asked = Vec::new();
        while asked.len() < count {
            let (answer, relay) = match self.caller.call_beside(&asked, method, Weight::Light, &send).await {
                Ok(heard) => heard,
                Err(error) if asked.is_empty() => return Err(error),
                Err(_) => break,
            };
            if asked.contains(&relay) {
                break;
            }
            if count == 1 || said.iter().any(|before| gist(before) == gist(&answer)) {
                return Ok(Heard::Alike(answer));
            }
            asked.push(relay);
            said.push(answer);
        }
        Ok(if said.len() == 1 { said.pop().map_or(Heard::Unlike, Heard::Once) } else { Heard::Unlike })
    }
}

// What of a list no work on the batches changes: which there are, what the next one follows, and what is due
// and did not come.
fn lasting(list: &pb::ListBatchesResponse) -> pb::ListBatchesResponse {
    let aborted = i32::from(pb::BatchState::Aborted);
    let batches = list.batches.iter().take(COMPARED_BATCHES).map(|batch| pb::Batch {
        batch_id: batch.batch_id.clone(),
        sequence: batch.sequence,
        state: if batch.state == aborted { aborted } else { 0 },
        record_count: batch.record_count,
        chunk_records: batch.chunk_records,
        manifest_digest: batch.manifest_digest.clone(),
        seal_by_time: batch.seal_by_time,
        ..Default::default()
    });
    pb::ListBatchesResponse {
        batches: batches.collect(),
        last_sequence: list.last_sequence,
        last_receipt_digest: list.last_receipt_digest.clone(),
        last_receipt_sequence: list.last_receipt_sequence,
        expected_batches: list.expected_batches.iter().filter(|expected| expected.missing).cloned().collect(),
        ..Default::default()
    }
}
