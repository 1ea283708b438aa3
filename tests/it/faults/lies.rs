//! Promise: what a relay says by itself makes no batch complete: the sender believes only the issuer's
//! signature over its own totals, and whatever is short of that is flagged by the issuer.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use todoke::{
    domain::ranges::Ranges,
    wire::{
        fault::{Fault, Reason},
        pb,
    },
};
use tonic::Status;

use super::{
    liar::{Malice, Through},
    world::{Ended, RECORDS, World, locked},
};

/// Acknowledges every chunk and passes none on.
#[derive(Default)]
struct Acknowledges {
    said: Mutex<Ranges>,
}

impl Acknowledges {
    fn keep(&self, chunk: &pb::Chunk, through: &mut Through) {
        let mut said = locked(&self.said);
        said.insert(u64::from(chunk.chunk_number));
        let small = |n: u64| u32::try_from(n).expect("a chunk's number");
        let durable = said.iter().map(|(a, b)| pb::ChunkRange { first: small(a), last: small(b) });
        through
            .back
            .push(pb::UploadChunksResponse { durable_chunks: durable.collect(), ..Default::default() });
    }
}

impl Malice for Acknowledges {
    fn chunk(&self, chunk: pb::Chunk, through: &mut Through) {
        self.keep(&chunk, through);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_acknowledges_by_itself_completes_nothing() {
    let mut world = World::new().await;
    world.liar(Acknowledges::default()).await;
    let ended = world.import(&[]).await;
    ended.is(3, "gaps");
    ended.names_what_is_missing(RECORDS);
    assert_eq!(world.rows("chunk").await, 0);
    world.is_flagged(&ended).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_acknowledges_by_itself_is_found_out_and_another_carries_the_batch() {
    let mut world = World::new().await;
    let liar = world.liar(Acknowledges::default()).await;
    world.relay().await;
    let ended = world.import(&[]).await;
    assert!(!locked(&liar.record).chunks.is_empty(), "it was given chunks");
    world.is_done(&ended).await;
}

/// The same, and says that the batch is accepted.
#[derive(Default)]
struct Accepts(Acknowledges);

fn accepted(batch: &mut pb::Batch) {
    batch.state = pb::BatchState::Accepted.into();
    let counts = pb::BatchCounts { accepted: batch.record_count, ..Default::default() };
    batch.counts = Some(counts);
}

impl Malice for Accepts {
    fn chunk(&self, chunk: pb::Chunk, through: &mut Through) {
        self.0.keep(&chunk, through);
    }

    fn seal(&self, batch: &pb::Batch) -> Option<pb::Batch> {
        let mut batch = batch.clone();
        accepted(&mut batch);
        Some(batch)
    }

    fn batch(&self, batch: &mut pb::Batch) {
        accepted(batch);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_says_accepted_for_the_issuer_is_believed_by_nobody() {
    let mut world = World::new().await;
    world.liar(Accepts::default()).await;
    let ended = world.import(&[]).await;
    ended.is(3, "gaps");
    ended.names_what_is_missing(RECORDS);
    world.is_flagged(&ended).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_a_relay_makes_up_is_called_unproved_and_fails_where_its_receipt_is_looked_at() {
    let mut world = World::new().await;
    world.liar(Accepts::default()).await;
    world.import(&[]).await.is(3, "gaps");
    let status = async |words: &[&str]| world.folder.todoke(words, &world.folder.as_ward()).await;
    let said = status(&["status", "cards.csv"]).await;
    assert_eq!(said.code, Some(1), "{}", said.all());
    let made_up = said.all().contains("\"ACCEPTED\"") && said.all().contains("\"proved\":false");
    assert!(made_up && !said.all().contains("\"proved\":true"), "{}", said.all());
}

/// Says, once it is told to, that one record more was rejected than was.
#[derive(Default, Clone)]
struct Shifts(Arc<std::sync::atomic::AtomicBool>);

impl Malice for Shifts {
    fn batch(&self, batch: &mut pb::Batch) {
        let counts = batch.counts.as_mut().filter(|_| self.0.load(Ordering::Relaxed));
        if let Some(counts) = counts {
            (counts.accepted, counts.rejected) = (counts.accepted - 1, counts.rejected + 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_that_are_not_the_receipts_are_not_called_proved() {
    let mut world = World::new().await;
    let shifts = Shifts::default();
    world.liar(shifts.clone()).await;
    assert_eq!(world.import(&[]).await.said.code, Some(0));
    for (lies, code) in [(false, 0), (true, 1)] {
        shifts.0.store(lies, Ordering::Relaxed);
        let said = world.folder.todoke(&["status", "cards.csv"], &world.folder.as_ward()).await;
        assert_eq!(said.code, Some(code), "{}", said.all());
        assert_eq!(said.all().contains("\"proved\":true"), !lies, "{}", said.all());
    }
}

/// Says of a batch that is sealed and worked off that it is accepted already, and counts how often.
#[derive(Default, Clone)]
struct Hurries(Arc<AtomicUsize>);

impl Malice for Hurries {
    fn batch(&self, batch: &mut pb::Batch) {
        use pb::BatchState::{Importing, Reconciling, Sealed};
        if [Sealed, Importing, Reconciling].contains(&batch.state()) {
            self.0.fetch_add(1, Ordering::Relaxed);
            accepted(batch);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seal_that_is_made_to_say_accepted_ends_with_the_true_receipt_or_none() {
    let mut world = World::new().await;
    let hurries = Hurries::default();
    world.liar(hurries.clone()).await;
    let ended = world.import(&[]).await;
    assert!(hurries.0.load(Ordering::Relaxed) > 0, "it lied: {}", ended.said.all());
    if ended.said.code == Some(0) {
        return world.is_done(&ended).await;
    }
    ended.is(75, "try_again");
    assert!(!world.folder.path("cards.csv.receipt").exists());
    // Until then it lies to the next run, too.
    world.ward.finished(ended.batch_id()).await;
    let resumed = world.run("resume", "cards.csv", &[]).await;
    world.is_done(&resumed).await;
}

/// Answers with what it was given instead of each other receipt. Of several such relays the one that is asked
/// first does it, and the others are honest.
#[derive(Default, Clone)]
struct Swaps {
    given: Arc<Mutex<Vec<u8>>>,
    by: Arc<Mutex<Option<usize>>>,
    me: usize,
}

impl Malice for Swaps {
    fn receipt(&self, receipt: &mut Vec<u8>) {
        let given = locked(&self.given);
        if !given.is_empty() && *given != *receipt && *locked(&self.by).get_or_insert(self.me) == self.me {
            given.clone_into(receipt);
        }
    }
}

/// Two batches over so many relays, of which one swaps the second's receipt for the first's.
async fn swapped(relays: usize) -> (World, Ended) {
    let mut world = World::new().await;
    let swaps = Swaps::default();
    for me in 0..relays {
        world.liar(Swaps { me, ..swaps.clone() }).await;
    }
    let text = "order_id,kind,household_id,district,name,birth_date,sex,address\n\
        FIRST-1,NOTIFICATION_CARD,H-1,白鳥一丁目,葛飾,1980-01-02,2,白鳥一丁目1番\n";
    std::fs::write(world.folder.path("first.csv"), text).expect("writable");
    let first = world.run("import", "first.csv", &[]).await;
    first.is(0, "receipted");
    *locked(&swaps.given) = world.folder.read("first.csv.receipt");
    let ended = world.import(&[]).await;
    assert!(locked(&swaps.by).is_some(), "one was swapped: {}", ended.said.all());
    (world, ended)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receipt_of_another_batch_is_no_receipt() {
    let (world, ended) = swapped(1).await;
    assert_eq!(ended.said.code, Some(1), "{}", ended.said.all());
    assert!(ended.said.stdout.contains("the receipt is for another batch"), "{}", ended.said.all());
    assert!(!world.folder.path("cards.csv.receipt").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receipt_of_another_batch_is_asked_for_again_over_another_relay() {
    let (world, ended) = swapped(2).await;
    ended.is(0, "receipted");
    world.is_proved("cards.csv").await;
}

/// Flips a bit of the receipt, of the manifest, or of nothing.
#[derive(Default)]
struct Flips {
    receipt: Option<usize>,
    manifest: Option<usize>,
}

impl Malice for Flips {
    fn receipt(&self, receipt: &mut Vec<u8>) {
        if let Some(at) = self.receipt {
            let at = at % receipt.len();
            receipt[at] ^= 1;
        }
    }

    fn open(&self, request: &mut pb::OpenBatchRequest) {
        if let Some(at) = self.manifest {
            let at = at % request.manifest.len();
            request.manifest[at] ^= 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_with_a_flipped_bit_is_written_nowhere_and_the_next_run_gets_the_true_one() {
    for at in [0, 40, 333, usize::MAX] {
        let mut world = World::new().await;
        world.liar(Flips { receipt: Some(at), ..Flips::default() }).await;
        let ended = world.import(&[]).await;
        assert_eq!(ended.said.code, Some(75), "{}", ended.said.all());
        assert!(!world.folder.path("cards.csv.receipt").exists());
        world.relay().await;
        let ended = world.run("resume", "cards.csv", &[]).await;
        world.is_done(&ended).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_with_a_flipped_bit_opens_nothing_and_another_relay_carries_it_whole() {
    for at in [0, 25, 120, usize::MAX] {
        let mut world = World::new().await;
        let liar = world.liar(Flips { manifest: Some(at), ..Flips::default() }).await;
        let ended = world.import(&[]).await;
        assert_eq!(ended.said.code, Some(1), "{}", ended.said.all());
        assert!(!locked(&liar.record).opens.is_empty());
        assert_eq!(world.rows("batch").await, 0, "nothing was opened");
        world.relay().await;
        let ended = world.import(&[]).await;
        world.is_done(&ended).await;
    }
}

/// Says of every batch that there is none, in one call.
struct Denies(&'static str);

impl Malice for Denies {
    fn refuses(&self, method: &str) -> Option<Status> {
        (method == self.0).then(|| Fault::new(Reason::NotFound, "there is no such batch").into())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_denies_a_batch_stops_the_sender_and_loses_nothing() {
    for method in ["UploadChunks", "SealBatch", "GetReceipt"] {
        let mut world = World::new().await;
        world.liar(Denies(method)).await;
        let ended = world.import(&[]).await;
        assert_eq!(ended.said.code, Some(1), "{method}: {}", ended.said.all());
        assert!(ended.said.stdout.contains("NOT_FOUND"), "{method}: {}", ended.said.all());
        assert!(!world.folder.path("cards.csv.receipt").exists());
        world.relay().await;
        let ended = world.run("resume", "cards.csv", &[]).await;
        world.is_done(&ended).await;
    }
}

/// Keeps back what was rejected, or says it twice.
#[derive(Clone, Copy)]
enum Lists {
    Less,
    Twice,
}

impl Malice for Lists {
    fn dispositions(&self, page: &mut pb::ListDispositionsResponse) {
        match self {
            Lists::Less => page.dispositions.retain(|one| one.kind() != pb::DispositionKind::Rejected),
            Lists::Twice => page.dispositions.extend(page.dispositions.clone()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_rejects_that_is_not_the_receipts_is_called_so() {
    for lists in [Lists::Less, Lists::Twice] {
        let mut world = World::new().await;
        world.liar(lists).await;
        let text = "order_id,kind,household_id,district,name,birth_date,sex,address\n\
            X-1,NOTIFICATION_CARD,H-1,白鳥一丁目,葛飾,1980-01-02,2,白鳥一丁目1番\n\
            X-2,NOTIFICATION_CARD,H-1,白鳥一丁目,葛飾,1980-01-02,7,白鳥一丁目1番\n";
        std::fs::write(world.folder.path("x.csv"), text).expect("writable");
        let ended = world.run("import", "x.csv", &["--policy", "accept-valid:1"]).await;
        ended.is(0, "receipted");
        let why = ended.result["listing_broke"].as_str().unwrap_or_default();
        assert!(why.contains("the list of what was not accepted"), "{}", ended.said.all());
        let batch = ended.batch_id().to_string();
        for of in [&["x.csv"][..], &["--batch", &batch], &["x.csv", "--out", "rejects.csv"]] {
            let args = [&["rejects"], of].concat();
            let said = world.folder.todoke(&args, &world.folder.as_ward()).await;
            assert_eq!(said.code, Some(75), "{}", said.all());
            assert!(said.all().contains("the list of what was not accepted"), "{}", said.all());
        }
        assert!(!world.folder.path("rejects.csv").exists());
    }
}
