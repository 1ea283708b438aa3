//! The issuer ends as a killed one does, and another begins on its database.

use std::{cell::Cell, collections::BTreeSet};

use todoke::{
    domain::batch::BatchState,
    wire::pb::{self, upload_chunks_request::Frame},
};

use super::{Run, WARDS, steps::numbers};
use crate::issuance::harness::{Party, id, state};

/// Seen when a crash came after chunks of that very upload were acknowledged.
pub(super) const ACKNOWLEDGED: &str = "acknowledged, then crashed";

impl Run {
    pub(super) async fn crash(&mut self) {
        self.history.push("crash".to_owned());
        let issuer = self.issuer.take().expect("it runs").crashed(super::options).await;
        for (party, code) in self.parties.iter_mut().zip(WARDS) {
            party.channel = issuer.party_again(&format!("municipality/{code}")).channel;
        }
        self.issuer = Some(issuer);
        for known in self.wards.iter_mut().flat_map(|ward| ward.batches.values_mut()) {
            known.orphan = known.in_work;
        }
    }

    /// Crashes somewhere in an upload: what was acknowledged must be there, and nothing that was not sent.
    pub(super) async fn crash_while_sending(&mut self, w: usize, n: u32) {
        let known = &self.wards[w].batches[&n];
        let (before, open, all) = (known.durable.clone(), known.open(), known.chunks());
        let acks = self.random.below(3);
        let after = self.random.below(if acks == 0 { 400 } else { 20 });
        self.history.push(format!(
            "crash in an upload {after} turns after {acks} acknowledgements (municipality {w}, batch {n})"
        ));
        let hard = self.issuer().tasks.hard();
        let (heard, over) = (Cell::new(0), Cell::new(false));
        let cut = async {
            while heard.get() < acks && !over.get() {
                tokio::task::yield_now().await;
            }
            for _ in 0..after {
                tokio::task::yield_now().await;
            }
            hard.cancel();
        };
        let frames = known.sent.chunks().into_iter().map(Frame::Chunk);
        let frames: Vec<Frame> =
            std::iter::once(Frame::Start(known.sent.start(known.epoch))).chain(frames).collect();
        let sending = async {
            let acknowledged = acknowledged(&self.parties[w], frames, &heard).await;
            over.set(true);
            acknowledged
        };
        let (acknowledged, ()) = tokio::join!(sending, cut);
        let acknowledged = acknowledged.unwrap_or_else(|| before.clone());
        if acknowledged.len() > before.len() {
            self.seen.insert(ACKNOWLEDGED);
        }
        self.crash().await;
        let now_ms = self.now_ms();
        let opened = self.parties[w].open(&self.wards[w].batches[&n].sent).await.expect("the same");
        let durable: BTreeSet<u32> = numbers(&opened.durable_chunks).into_iter().collect();
        assert!(durable.is_superset(&acknowledged), "{durable:?} lacks some of {acknowledged:?}");
        assert!(durable.is_superset(&before) && durable.iter().all(|number| *number < all));
        assert!(open || durable == before, "it took chunks although it was closed");
        let known = self.known(w, n);
        known.epoch += 1;
        assert_eq!(opened.uploader_epoch, known.epoch);
        if durable != before {
            (known.state, known.progress_ms, known.durable) = (BatchState::Receiving, now_ms, durable);
        }
    }

    /// Waits until everything of this municipality that was handed to the workers is worked off.
    pub(super) async fn settle(&mut self, w: usize) {
        let waiting: Vec<u32> =
            self.wards[w].batches.iter().filter(|(_, known)| known.in_work).map(|(n, _)| *n).collect();
        assert!(waiting.len() < 2, "one after the other, so that it is known who is first");
        for n in waiting {
            if self.wards[w].batches[&n].orphan {
                self.history.push("a lease runs out".to_owned());
                self.issuer().clock.advance(10_001);
            }
            let finished = self.parties[w].finished(id(n)).await;
            self.wards[w].work_off(n);
            let now_ms = self.now_ms();
            let known = self.known(w, n);
            assert_eq!(state(&finished), known.state, "{}", finished.discrepancy);
            let finished_ms = finished.finish_time.as_ref().map(super::compare::ms).expect("it has ended");
            assert!(known.progress_ms <= finished_ms && finished_ms <= now_ms, "{finished_ms}");
            known.finished_ms = Some(finished_ms);
        }
    }
}

/// Sends frames until the issuer answers no more; returns what the last acknowledgement said.
async fn acknowledged(party: &Party, frames: Vec<Frame>, heard: &Cell<u64>) -> Option<BTreeSet<u32>> {
    let frames = frames.into_iter().map(|frame| pb::UploadChunksRequest { frame: Some(frame) });
    let frames = tokio_stream::iter(frames.collect::<Vec<_>>());
    let mut acks = party.batches().upload_chunks(frames).await.ok()?.into_inner();
    let mut last = None;
    while let Ok(Some(ack)) = acks.message().await {
        last = Some(numbers(&ack.durable_chunks).into_iter().collect());
        heard.set(heard.get() + 1);
    }
    last
}
