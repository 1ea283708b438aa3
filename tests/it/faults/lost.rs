//! Promise: chunks and acknowledgements that are lost, changed, doubled, reordered, late or sent again by
//! somebody else change nothing of what the receipt says: every record once, as announced.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
};

use todoke::wire::{fault::Reason, pb};

use super::{
    liar::{Malice, Through},
    world::{CHUNKS, RECORDS, World, locked},
};
use crate::issuance::harness::fault;

const LAST: u32 = CHUNKS as u32 - 1;

/// Drops a chunk: always, or the first few times.
struct Drops {
    number: u32,
    times: AtomicU32,
}

impl Drops {
    fn new(number: u32, times: u32) -> Self {
        Self { number, times: AtomicU32::new(times) }
    }
}

impl Malice for Drops {
    fn chunk(&self, chunk: pb::Chunk, through: &mut Through) {
        let dropped = chunk.chunk_number == self.number
            && self.times.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok();
        if !dropped {
            through.on.push(chunk);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_always_drops_the_last_chunk_leaves_a_named_gap_and_a_flag() {
    let mut world = World::new().await;
    world.liar(Drops::new(LAST, u32::MAX)).await;
    let ended = world.import(&["--patience", "3s"]).await;
    ended.is(75, "try_again");
    ended.names_what_is_missing(RECORDS / CHUNKS);
    assert_eq!(ended.result["gaps"]["ranges"], serde_json::json!([[RECORDS - 4, RECORDS - 1]]));
    assert_eq!(world.rows("chunk").await, CHUNKS - 1, "what was acknowledged is there");
    world.is_flagged(&ended).await;
    world.relay().await;
    let ended = world.run("resume", "cards.csv", &[]).await;
    world.is_done(&ended).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_last_chunk_that_was_lost_once_is_sent_again() {
    let mut world = World::new().await;
    world.liar(Drops::new(LAST, 1)).await;
    let ended = world.import(&[]).await;
    assert!(ended.told("relay_left"), "its silence was noticed: {}", ended.said.all());
    world.is_done(&ended).await;
}

/// Passes no acknowledgement on, at the first streams.
struct Mute(AtomicUsize);

impl Malice for Mute {
    fn ack(&self, ack: pb::UploadChunksResponse) -> Option<pb::UploadChunksResponse> {
        let mute = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok();
        (!mute).then_some(ack)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledgements_that_are_lost_while_data_flows_cost_only_time() {
    let mut world = World::new().await;
    let liar = world.liar(Mute(AtomicUsize::new(6))).await;
    let ended = world.import(&[]).await;
    assert!(ended.told("relay_left"), "{}", ended.said.all());
    assert!(locked(&liar.record).chunks.len() > 16, "chunks were sent twice");
    world.is_done(&ended).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_hears_no_acknowledgement_at_all_gives_up_and_the_next_begins_behind_what_came() {
    let mut world = World::new().await;
    let mute = world.liar(Mute(AtomicUsize::new(usize::MAX))).await;
    let ended = world.import(&["--patience", "3s"]).await;
    ended.is(75, "try_again");
    let came = 4 * world.rows("chunk").await;
    assert!(came > 0, "it was stored, and nobody heard of it");
    ended.names_what_is_missing(RECORDS - came);
    assert!(!world.folder.path("cards.csv.receipt").exists());
    locked(&mute.record).chunks.clear();
    let honest = world.liar(Nothing).await;
    let ended = world.run("resume", "cards.csv", &[]).await;
    assert_eq!(ended.events("opened")[0]["durable_records"], came, "{}", ended.said.all());
    for liar in [mute, honest] {
        let chunks = &locked(&liar.record).chunks;
        let again = chunks.iter().any(|chunk| u64::from(chunk.chunk_number) < came / 4);
        assert!(!again, "what is durable is not sent again");
    }
    world.is_done(&ended).await;
}

/// Flips a bit of the payload of a chunk as often as it is told.
struct Flips(AtomicU32);

impl Malice for Flips {
    fn chunk(&self, mut chunk: pb::Chunk, through: &mut Through) {
        let left = &self.0;
        if chunk.chunk_number == 3
            && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok()
        {
            let mut payload = chunk.payload.to_vec();
            let at = payload.len() / 2;
            payload[at] ^= 4;
            chunk.payload = payload.into();
        }
        through.on.push(chunk);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_was_changed_on_the_way_is_never_stored_and_sent_again() {
    let mut world = World::new().await;
    world.liar(Flips(AtomicU32::new(2))).await;
    let ended = world.import(&[]).await;
    assert_eq!(world.rows("quarantine").await, 0, "nothing had to be set aside");
    assert_eq!(ended.events("sealing").len(), 1, "the seal found nothing missing: {}", ended.said.all());
    world.is_done(&ended).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_is_changed_each_time_stops_the_sender_by_name() {
    let mut world = World::new().await;
    world.liar(Flips(AtomicU32::new(u32::MAX))).await;
    let ended = world.import(&[]).await;
    ended.is(1, "refused");
    assert_eq!(ended.result["reason"], "CHUNK_DIGEST_MISMATCH");
    world.is_flagged(&ended).await;
}

/// So often a chunk comes.
const TIMES: usize = 1_000;

/// Passes one chunk on many times, and keeps back that it is durable until the issuer has counted them all.
#[derive(Clone, Default)]
struct Repeats(Arc<AtomicU64>);

impl Malice for Repeats {
    fn chunk(&self, chunk: pb::Chunk, through: &mut Through) {
        let times = if chunk.chunk_number == 5 { TIMES } else { 1 };
        through.on.extend(std::iter::repeat_n(chunk, times));
    }

    fn ack(&self, ack: pb::UploadChunksResponse) -> Option<pb::UploadChunksResponse> {
        let known = self.0.fetch_max(ack.duplicates, Ordering::Relaxed).max(ack.duplicates);
        let early = ack.durable_chunks.iter().any(|range| (range.first..=range.last).contains(&5));
        (!early || known >= TIMES as u64 - 1).then_some(ack)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_comes_a_thousand_times_over_each_relay_is_stored_once() {
    let mut world = World::new().await;
    let repeats = Repeats::default();
    let liar = world.liar(repeats.clone()).await;
    let ended = world.import(&["--ack-timeout", "60s", "--streams", "1"]).await;
    assert_eq!(repeats.0.load(Ordering::Relaxed), TIMES as u64 - 1, "each but the first was known");
    world.is_done(&ended).await;
    let chunk = locked(&liar.record).chunks.iter().find(|chunk| chunk.chunk_number == 5).cloned();
    let chunks = vec![chunk.expect("it was sent"); TIMES];
    let other = world.liar(Nothing).await;
    locked(&other.record).start = locked(&liar.record).start.clone();
    let acks = other.replay("municipality/131229", chunks).await.expect("taken");
    assert_eq!(acks.last().map(|ack| ack.duplicates), Some(TIMES as u64), "and here every one");
    world.is_done(&ended).await;
}

/// Passes chunks on in the opposite order, four at a time.
#[derive(Default)]
struct Reverses(Mutex<Vec<pb::Chunk>>);

impl Malice for Reverses {
    fn chunk(&self, chunk: pb::Chunk, through: &mut Through) {
        let mut held = locked(&self.0);
        held.push(chunk);
        if held.len() == 4 {
            through.on.extend(held.drain(..).rev());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_in_another_order_are_the_same_batch() {
    let mut world = World::new().await;
    let liar = world.liar(Reverses::default()).await;
    let ended = world.import(&["--streams", "1"]).await;
    assert!(!ended.told("relay_left"), "nothing was late: {}", ended.said.all());
    assert_eq!(locked(&liar.record).chunks.len() as u64, CHUNKS);
    world.is_done(&ended).await;
}

/// Keeps one chunk back, the first time it comes.
#[derive(Clone, Default)]
struct Keeps(Arc<Mutex<Option<pb::Chunk>>>);

impl Malice for Keeps {
    fn chunk(&self, chunk: pb::Chunk, through: &mut Through) {
        let mut kept = locked(&self.0);
        if chunk.chunk_number == 9 && kept.is_none() {
            *kept = Some(chunk);
        } else {
            through.on.push(chunk);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_arrives_after_the_seal_changes_nothing() {
    let mut world = World::new().await;
    let keeps = Keeps::default();
    let liar = world.liar(keeps.clone()).await;
    let ended = world.import(&[]).await;
    world.is_done(&ended).await;
    let before = world.folder.read("cards.csv.receipt");
    let late = locked(&keeps.0).take().expect("it was kept back");
    let acks = liar.replay("municipality/131229", vec![late]).await.expect("taken");
    assert_eq!(acks.last().map(|ack| ack.duplicates), Some(1), "it is known already: {acks:?}");
    world.is_done(&ended).await;
    assert_eq!(world.ward.receipt(ended.batch_id()).await.expect("the receipt"), before);
}

/// Passes everything on.
struct Nothing;

impl Malice for Nothing {}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_stream_that_is_played_again_later_changes_nothing() {
    let mut world = World::new().await;
    let liar = world.liar(Nothing).await;
    let ended = world.import(&[]).await;
    world.is_done(&ended).await;
    let before = world.folder.read("cards.csv.receipt");
    let (opens, chunks) = {
        let record = locked(&liar.record);
        (record.opens.clone(), record.chunks.clone())
    };
    for open in opens {
        let mut request = tonic::Request::new(open);
        request.metadata_mut().insert("todoke-caller", "municipality/131229".parse().expect("ascii"));
        let opened = liar.issuer().open_batch(request).await.expect("it is the same batch").into_inner();
        assert!(!opened.created);
    }
    let acks = liar.replay("municipality/131229", chunks).await.expect("taken");
    assert_eq!(acks.last().map(|ack| (ack.duplicates, ack.missing_count)), Some((CHUNKS, 0)));
    world.is_done(&ended).await;
    assert_eq!(world.ward.receipt(ended.batch_id()).await.expect("the receipt"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_played_as_another_municipality_is_refused_as_if_there_were_no_batch() {
    let mut world = World::new().await;
    let liar = world.liar(Nothing).await;
    let ended = world.import(&[]).await;
    let open = locked(&liar.record).opens[0].clone();
    let chunks = locked(&liar.record).chunks.clone();
    let mut request = tonic::Request::new(open);
    request.metadata_mut().insert("todoke-caller", "municipality/011002".parse().expect("ascii"));
    let refused = fault(liar.issuer().open_batch(request).await.expect_err("not its own"));
    assert_eq!(refused.reason, Reason::OtherMunicipality);
    let refused = fault(liar.replay("municipality/011002", chunks).await.expect_err("none of its own"));
    assert_eq!(refused.reason, Reason::NotFound);
    world.is_done(&ended).await;
}

/// Reads the first frames of its first streams and then no more.
struct Slow {
    streams: AtomicUsize,
    frames: usize,
}

impl Malice for Slow {
    fn reads(&self, frames: usize) -> bool {
        if frames < self.frames {
            return true;
        }
        self.streams.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_err()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_stops_reading_is_left_for_another() {
    let mut world = World::new().await;
    world.liar(Slow { streams: AtomicUsize::new(usize::MAX), frames: 3 }).await;
    world.relay().await;
    let ended = world.import(&[]).await;
    assert!(ended.told("relay_left"), "{}", ended.said.all());
    world.is_done(&ended).await;
}
