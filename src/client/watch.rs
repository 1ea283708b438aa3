//! Waits until a sealed batch has ended: over any relay, through breaks, and not longer than the issuer gets
//! on with it. A relay that only repeats itself is no reason to wait.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use super::{calls::CallError, events::Event, finish::state_name, flow::state_of, session::Session};
use crate::{
    domain::{batch_id::BatchId, manifest::Manifest},
    wire::pb::{self, batch_service_client::BatchServiceClient},
};

/// A watch that tells of no progress for so long is left, and the batch is asked for over another relay.
const SILENCE: Duration = Duration::from_secs(5);
/// The pause after a watch that broke, so that a dead system is not asked in a loop.
const PAUSE: Duration = Duration::from_millis(200);

/// How the wait ended.
pub(crate) enum Watched {
    /// The batch will not change by itself any more.
    Final(Box<pb::Batch>),
    /// The issuer has not got on with it, or cannot be reached.
    NotYet(String),
}

struct Progress {
    batch: pb::Batch,
    at: Instant,
    /// Which states were seen, and the most chunks that were worked off: both have an end, so that nobody can
    /// make us wait for ever.
    states: BTreeSet<pb::BatchState>,
    worked: u32,
    chunks: u32,
}

/// Waits for the end of a batch.
///
/// # Errors
/// [`CallError`] if the issuer refuses to show it.
pub(crate) async fn watch(
    session: &Session,
    manifest: &Manifest,
    batch: pb::Batch,
    no_progress: Duration,
) -> Result<Watched, CallError> {
    let (states, chunks) = (BTreeSet::from([state_of(&batch)]), manifest.chunk_count());
    let mut progress = Progress { batch, at: Instant::now(), states, worked: 0, chunks };
    let mut avoid = Vec::new();
    loop {
        if is_over(&progress.batch) {
            return Ok(Watched::Final(Box::new(progress.batch)));
        }
        if progress.at.elapsed() > no_progress {
            let state = state_name(&progress.batch);
            return Ok(Watched::NotYet(format!("the batch has stood at {state} for {no_progress:?}")));
        }
        listen(session, manifest.batch_id, &mut progress, no_progress, &mut avoid).await;
        if is_over(&progress.batch) {
            continue;
        }
        match session.get_batch(manifest.batch_id).await {
            Ok(batch) => progress.hear(session, batch),
            Err(error) if error.transient => {
                (session.tell)(&Event::Waiting { why: error.to_string() });
            }
            Err(error) => return Err(error),
        }
        sleep(PAUSE).await;
    }
}

// Listens to one watch until it ends, breaks or tells of no progress; the next is another relay's.
async fn listen(
    session: &Session,
    batch_id: BatchId,
    progress: &mut Progress,
    no_progress: Duration,
    avoid: &mut Vec<usize>,
) {
    let begun = Instant::now();
    let picked = session.caller.picker().pick(avoid, begun);
    *avoid = vec![picked.index()];
    let mut client = BatchServiceClient::new(session.caller.channel(&picked));
    let request = pb::WatchBatchRequest { batch_id: batch_id.to_string() };
    let Ok(Ok(answers)) = timeout(SILENCE, client.watch_batch(request)).await else {
        picked.failed(Instant::now());
        return;
    };
    let mut answers = answers.into_inner();
    // Silence here is not a fault of the relay: a batch may have nothing to say for a while.
    while !is_over(&progress.batch) {
        let silence = SILENCE.saturating_sub(progress.at.max(begun).elapsed());
        let left = silence.min(no_progress.saturating_sub(progress.at.elapsed()));
        if left.is_zero() {
            return;
        }
        let Ok(Ok(Some(answer))) = timeout(left, answers.message()).await else { return };
        progress.hear(session, answer.batch.unwrap_or_default());
    }
}

impl Progress {
    fn hear(&mut self, session: &Session, batch: pb::Batch) {
        if batch.batch_id.is_empty() {
            return;
        }
        let worked = batch.chunks_worked.min(self.chunks);
        if self.states.insert(state_of(&batch)) || worked > self.worked {
            self.at = Instant::now();
        }
        self.worked = self.worked.max(worked);
        let counts = batch.counts.unwrap_or_default();
        (session.tell)(&Event::Working {
            state: state_name(&batch),
            worked_records: counts.accepted + counts.rejected + counts.duplicate + counts.quarantined,
            records: batch.record_count,
            flags: batch.flags.iter().map(|flag| flag.name.clone()).collect(),
        });
        self.batch = batch;
    }
}

fn is_over(batch: &pb::Batch) -> bool {
    use pb::BatchState::{Aborted, Accepted, AcceptedWithRejects, Discrepant};
    matches!(state_of(batch), Accepted | AcceptedWithRejects | Aborted | Discrepant)
}
