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
/// Most batches of one list: more than a municipality opens in fifty years at five a day.
const BATCHES_MAX: usize = 100_000;

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

    /// Whether two relays, or the only one there is, say that a number is another batch's than this one.
    ///
    /// # Errors
    /// [`CallError`] if no relay shows the batches.
    pub(crate) async fn is_taken(&self, batch_id: BatchId, sequence: u64) -> Result<bool, CallError> {
        let (id, mut page_token) = (batch_id.to_string(), String::new());
        for _ in 0..BATCHES_MAX / super::session::PAGE as usize {
            let message =
                pb::ListBatchesRequest { page_size: super::session::PAGE, page_token: page_token.clone() };
            let send = |attempt: Attempt| {
                let request = attempt.request(message.clone());
                async move { attempt.batches().list_batches(request).await }
            };
            // Whose the number is, or where to look on, which is further down.
            let said = |list: &pb::ListBatchesResponse| {
                let of = list.batches.iter().find(|batch| batch.sequence <= sequence);
                (of.map(|batch| (batch.sequence, batch.batch_id.clone())), list.next_page_token.clone())
            };
            let Heard::Alike(list) = self.hear("ListBatches", send, said).await? else { return Ok(false) };
            match said(&list) {
                (Some((number, other)), _) => return Ok(number == sequence && other != id),
                (None, next) if next.is_empty() => return Ok(false),
                (None, next) => page_token = next,
            }
        }
        Ok(false)
    }

    /// Returns the first page of the municipality's batches, on which two relays agree as far as the next
    /// batch depends on it. If only one answers, it is believed: the issuer refuses what is far off.
    ///
    /// # Errors
    /// [`Error::Call`], or [`Error::Unconfirmed`] if the relays do not agree.
    pub(crate) async fn agreed_batches(&self) -> Result<pb::ListBatchesResponse, Error> {
        self.agreed_page("", lasting).await
    }

    /// Returns every batch of the municipality's own, newest first, in one list with all that needs
    /// somebody's eyes; two relays agree on that and on what is open, or only one answers.
    ///
    /// # Errors
    /// As for [`Session::agreed_batches`]; also for pages that do not go on downwards, which might never end.
    pub(crate) async fn all_batches(&self) -> Result<pb::ListBatchesResponse, Error> {
        let mut all = self.agreed_page("", alarming).await?;
        while !all.next_page_token.is_empty() {
            let page = self.agreed_page(&all.next_page_token, alarming).await?;
            if !goes_on(&all.batches, &page) {
                return Err(Error::Unconfirmed("the list of batches does not come to its end".to_owned()));
            }
            all.batches.extend(page.batches);
            all.next_page_token = page.next_page_token;
        }
        Ok(all)
    }

    // Returns a page of batches of which two relays give the same `gist`; if only one answers, it is
    // believed.
    async fn agreed_page(
        &self,
        page_token: &str,
        gist: impl Fn(&pb::ListBatchesResponse) -> pb::ListBatchesResponse,
    ) -> Result<pb::ListBatchesResponse, Error> {
        let (page_size, page_token) = (super::session::PAGE, page_token.to_owned());
        let message = pb::ListBatchesRequest { page_size, page_token };
        let send = |attempt: Attempt| {
            let request = attempt.request(message.clone());
            async move { attempt.batches().list_batches(request).await }
        };
        for _ in 0..TURNS {
            match self.hear("ListBatches", send, &gist).await? {
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
        expected_batches: missing(list),
        ..Default::default()
    }
}

fn missing(list: &pb::ListBatchesResponse) -> Vec<pb::ExpectedBatch> {
    list.expected_batches.iter().filter(|expected| expected.missing).cloned().collect()
}

// What of a list somebody has to look at, and which of its batches are open.
fn alarming(list: &pb::ListBatchesResponse) -> pb::ListBatchesResponse {
    let open = list.batches.iter().filter(|batch| !is_over(batch));
    pb::ListBatchesResponse {
        batches: open
            .map(|batch| pb::Batch { batch_id: batch.batch_id.clone(), ..Default::default() })
            .collect(),
        next_page_token: list.next_page_token.clone(),
        sequence_holes: list.sequence_holes.clone(),
        reconcile_first: list.reconcile_first,
        lost_batches: list.lost_batches.clone(),
        expected_batches: missing(list),
        ..Default::default()
    }
}

fn is_over(batch: &pb::Batch) -> bool {
    use pb::BatchState::{Aborted, Accepted, AcceptedWithRejects};
    matches!(state_of(batch), Accepted | AcceptedWithRejects | Aborted)
}

// Whether a page follows the batches before it, of which the newest come first: what one relay alone says
// might otherwise go round in a circle.
fn goes_on(before: &[pb::Batch], page: &pb::ListBatchesResponse) -> bool {
    let oldest = before.last().map_or(u64::MAX, |batch| batch.sequence);
    match page.batches.first() {
        Some(next) => next.sequence < oldest && before.len() + page.batches.len() <= BATCHES_MAX,
        None => page.next_page_token.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_comes_to_its_end() {
        let batch = |sequence| pb::Batch { sequence, ..Default::default() };
        let page = |batches: Vec<pb::Batch>, token: &str| pb::ListBatchesResponse {
            batches,
            next_page_token: token.to_owned(),
            ..Default::default()
        };
        let before = [batch(9), batch(8)];
        assert!(goes_on(&before, &page(vec![batch(7)], "more")));
        assert!(goes_on(&before, &page(Vec::new(), "")), "the page before was full, and was the last");
        assert!(!goes_on(&before, &page(Vec::new(), "more")));
        assert!(!goes_on(&before, &page(vec![batch(8)], "more")), "it came before");
        let many = vec![batch(8); BATCHES_MAX - 1];
        assert!(goes_on(&many, &page(vec![batch(7)], "more")));
        assert!(!goes_on(&many, &page(vec![batch(7), batch(6)], "more")));
    }
}
