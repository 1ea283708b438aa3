//! Waits until a sealed batch has ended: over any relay, through breaks, and not longer than the issuer gets
//! on with it.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::{calls::CallError, events::Event, finish::state_name, flow::state_of, session::Session};
use crate::{
    domain::batch_id::BatchId,
    wire::pb::{self, batch_service_client::BatchServiceClient},
};

/// A watch that says nothing for so long is left, and the batch is asked for over another relay.
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
}

/// Waits for the end of a batch.
///
/// # Errors
/// [`CallError`] if the issuer refuses to show it.
pub(crate) async fn watch(
    session: &Session,
    batch_id: BatchId,
    batch: pb::Batch,
    no_progress: Duration,
) -> Result<Watched, CallError> {
    let mut progress = Progress { batch, at: Instant::now() };
    let mut avoid = Vec::new();
    loop {
        if is_over(&progress.batch) {
            return Ok(Watched::Final(Box::new(progress.batch)));
        }
        if progress.at.elapsed() > no_progress {
            let state = state_name(&progress.batch);
            return Ok(Watched::NotYet(format!("the batch has stood at {state} for {no_progress:?}")));
        }
        listen(session, batch_id, &mut progress, &mut avoid).await;
        if is_over(&progress.batch) {
            continue;
        }
        match session.get_batch(batch_id).await {
            Ok(batch) => progress.hear(session, batch),
            Err(error) if error.transient => {
                (session.tell)(&Event::Waiting { why: error.to_string() });
            }
            Err(error) => return Err(error),
        }
        sleep(PAUSE).await;
    }
}

// Listens to one watch until it ends, breaks or falls silent.
async fn listen(session: &Session, batch_id: BatchId, progress: &mut Progress, avoid: &mut Vec<usize>) {
    let picked = session.caller.picker().pick(avoid, Instant::now());
    let mut client = BatchServiceClient::new(session.caller.channel(&picked));
    let request = pb::WatchBatchRequest { batch_id: batch_id.to_string() };
    let Ok(Ok(answers)) = timeout(SILENCE, client.watch_batch(request)).await else {
        picked.failed(Instant::now());
        *avoid = vec![picked.index()];
        return;
    };
    let mut answers = answers.into_inner();
    // Silence here is not a fault of the relay: a batch may have nothing to say for a while.
    while let Ok(Ok(Some(answer))) = timeout(SILENCE, answers.message()).await {
        progress.hear(session, answer.batch.unwrap_or_default());
        if is_over(&progress.batch) {
            return;
        }
    }
}

impl Progress {
    fn hear(&mut self, session: &Session, batch: pb::Batch) {
        if batch.batch_id.is_empty() {
            return;
        }
        let changed = batch.state != self.batch.state
            || batch.chunks_worked != self.batch.chunks_worked
            || batch.counts != self.batch.counts;
        if changed {
            self.at = Instant::now();
        }
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
