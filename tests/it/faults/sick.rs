//! Promise: one relay that is sick or lies keeps no sender from a receipt while another relay is well, and
//! holds none longer than its patience.

use std::sync::atomic::{AtomicU32, Ordering};

use todoke::wire::{
    fault::{Fault, Reason},
    pb,
};
use tonic::Status;

use super::{
    liar::{Malice, Through},
    world::{World, locked},
};

/// Flips a bit of every chunk.
struct Flips;

impl Malice for Flips {
    fn chunk(&self, mut chunk: pb::Chunk, through: &mut Through) {
        let mut payload = chunk.payload.to_vec();
        let middle = payload.len() / 2;
        payload[middle] ^= 1;
        chunk.payload = payload.into();
        through.on.push(chunk);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_damages_every_chunk_is_left_for_one_that_does_not() {
    let mut world = World::new().await;
    let liar = world.liar(Flips).await;
    world.relay().await;
    let ended = world.import(&[]).await;
    assert!(!locked(&liar.record).chunks.is_empty(), "it was given chunks: {}", ended.said.all());
    world.is_done(&ended).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_that_the_only_relay_damages_are_refused_by_name() {
    let mut world = World::new().await;
    world.liar(Flips).await;
    let ended = world.import(&[]).await;
    ended.is(1, "refused");
    assert_eq!(ended.result["reason"], "CHUNK_DIGEST_MISMATCH", "{}", ended.said.all());
    world.is_flagged(&ended).await;
}

/// Says with each acknowledgement that the first chunk is another than was announced.
struct Condemns;

impl Malice for Condemns {
    fn ack(&self, mut ack: pb::UploadChunksResponse) -> Option<pb::UploadChunksResponse> {
        let reason = Reason::ChunkContentConflict.as_str().to_owned();
        ack.faults.push(pb::ChunkFault { chunk_number: 0, reason, message: "another".to_owned() });
        Some(ack)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_the_only_relay_condemns_is_refused_by_name_and_goes_over_another() {
    let mut world = World::new().await;
    world.liar(Condemns).await;
    let ended = world.import(&[]).await;
    ended.is(1, "refused");
    assert_eq!(ended.result["reason"], "CHUNK_CONTENT_CONFLICT", "{}", ended.said.all());
    world.relay().await;
    let resumed = world.run("resume", "cards.csv", &[]).await;
    world.is_done(&resumed).await;
}

/// Says of every upload that the batch is sealed already.
struct Seals;

impl Malice for Seals {
    fn refuses(&self, method: &str) -> Option<Status> {
        let sealed = Fault::new(Reason::BatchSealed, "it takes no more chunks");
        (method == "UploadChunks").then(|| sealed.into())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_says_sealed_of_an_open_batch_is_found_out() {
    let mut world = World::new().await;
    world.liar(Seals).await;
    let ended = world.import(&[]).await;
    ended.is(3, "gaps");
    world.relay().await;
    let resumed = world.run("resume", "cards.csv", &[]).await;
    world.is_done(&resumed).await;
}

/// Shows every batch as one that is worked off, now in one state and now in the other, again and again.
#[derive(Default)]
struct Drags(AtomicU32);

impl Malice for Drags {
    fn batch(&self, batch: &mut pb::Batch) {
        let open = [pb::BatchState::Announced, pb::BatchState::Receiving];
        if !open.contains(&batch.state()) {
            let states = [pb::BatchState::Importing, pb::BatchState::Reconciling];
            let turn = self.0.fetch_add(1, Ordering::Relaxed) as usize;
            batch.set_state(states[turn % states.len()]);
        }
    }

    fn repeats(&self) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_shows_the_same_batch_for_ever_is_heard_no_longer_than_patience_lasts() {
    let mut world = World::new().await;
    world.liar(Drags::default()).await;
    let ended = world.import(&["--patience", "3s"]).await;
    ended.is(75, "try_again");
    world.relay().await;
    let resumed = world.run("resume", "cards.csv", &[]).await;
    world.is_done(&resumed).await;
}
