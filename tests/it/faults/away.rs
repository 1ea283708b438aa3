//! Promise: relays that drain, die or are all away for a while cost time and no record; if they stay away,
//! the sender ends with what is known, and the next run goes on from there.

use std::time::Duration;

use todoke::runtime::Tasks;

use super::world::{Ended, RECORDS, World};
use crate::system::{Dev, Folder, Running, Signal, pids, signal};

async fn stopped(tasks: &Tasks) {
    tasks.hard().cancel();
    tasks.join(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_relays_away_for_a_while_only_make_the_sender_wait() {
    let mut world = World::new().await;
    let (address, tasks) = world.relay_at(([127, 0, 0, 1], 0).into()).await;
    stopped(&tasks).await;
    // The run begins with nobody there, and meets the relay when it comes back.
    let args = ["import", "cards.csv", "--chunk-records", "4", "--patience", "30s"];
    let mut running = Running::start(&world.folder, &args, &world.folder.as_ward());
    running.until("scanned").await;
    assert!(running.hears_nothing_for(Duration::from_secs(2)).await, "it waits and does not give up");
    world.relay_at(address).await;
    let ended = Ended::of(running.end().await);
    world.is_done(&ended).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn relays_that_stay_away_end_the_run_with_what_is_known_and_the_journal_goes_on() {
    let mut world = World::new().await;
    let (address, tasks) = world.relay_at(([127, 0, 0, 1], 0).into()).await;
    // A run that stops half-way, so that there is something to know.
    let ended = world.import(&["--stop-after-records", "32"]).await;
    ended.is(75, "try_again");
    ended.names_what_is_missing(RECORDS / 2);
    stopped(&tasks).await;
    let ended = world.run("resume", "cards.csv", &["--patience", "2s"]).await;
    ended.is(75, "try_again");
    assert!(ended.result["why"].as_str().is_some_and(|why| why.contains("OpenBatch failed")));
    ended.names_what_is_missing(RECORDS);
    assert_eq!(world.rows("chunk").await, 8, "what was acknowledged is there");
    world.is_flagged(&ended).await;
    world.relay_at(address).await;
    let ended = world.run("resume", "cards.csv", &[]).await;
    world.is_done(&ended).await;
}

/// Records of a file that takes a while.
const MANY: &str = "2400";

/// Stops one relay of two real ones by this signal while chunks flow over both.
async fn mid_stream(how: Signal) -> (Folder, String) {
    let folder = Folder::new();
    let mut dev = Dev::start(&folder, &["--relays", "2", "--no-restart"]).await;
    folder.sample("many.csv", MANY).await;
    let args = ["import", "many.csv", "--chunk-records", "8"];
    let mut running = Running::start(&folder, &args, &folder.as_ward());
    let both = |line: &serde_json::Value| line["relays"].as_array().is_some_and(|relays| relays.len() == 2);
    let event = running.next_where("chunks over both relays", both).await;
    assert!(event["durable_records"].as_u64() < event["records"].as_u64(), "it is in the middle: {event}");
    signal(how, pids(&folder.endpoints())[0]);
    let said = running.end().await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    folder.is_proved("many.csv", &folder.path("dev/pki/receipt.pub")).await;
    let ordered = folder.ordered().await;
    assert_eq!(ordered, folder.order_ids("many.csv"), "each record is one card");
    assert_eq!(dev.stop().await, Some(0));
    (folder, said.stdout)
}

#[tokio::test]
async fn a_relay_that_is_killed_in_the_middle_of_a_stream_is_left_and_nothing_is_lost() {
    let (_folder, told) = mid_stream(Signal::KILL).await;
    assert!(told.contains("\"event\":\"relay_left\",\"relay\":\"relay-1\""), "{told}");
}

#[tokio::test]
async fn a_relay_that_is_drained_in_the_middle_of_a_stream_loses_nothing() {
    let (folder, told) = mid_stream(Signal::TERM).await;
    let left = told.lines().find(|line| line.contains("relay_left") && line.contains("relay-1"));
    assert_eq!(left, None, "what it had begun it carried to its end");
    let log = String::from_utf8(folder.read("dev/logs/relay-1.log")).expect("UTF-8");
    assert!(log.contains("every task is done"), "it ended in order: {log}");
}

/// Kills both relays for good once an import has told of `event`, and returns how it ended.
async fn both_killed_at(event: &str) -> Ended {
    let folder = Folder::new();
    let mut dev = Dev::start(&folder, &["--relays", "2", "--no-restart"]).await;
    folder.sample("many.csv", "10000").await;
    let args = ["import", "many.csv", "--chunk-records", "64", "--patience", "2s"];
    let mut running = Running::start(&folder, &args, &folder.as_ward());
    running.until(event).await;
    pids(&folder.endpoints())[..2].iter().for_each(|relay| signal(Signal::KILL, *relay));
    let ended = Ended::of(running.end().await);
    ended.is(75, "try_again");
    assert_eq!(dev.stop().await, Some(0));
    ended
}

#[tokio::test]
async fn what_was_acknowledged_is_not_missing_when_nobody_is_left_to_ask() {
    let ended = both_killed_at("uploading").await;
    let last = ended.events("uploading").pop().cloned().expect("it told of some");
    let number = |field: &str| last[field].as_u64().expect("a number");
    let durable = number("durable_records");
    assert!(0 < durable && durable < number("records"), "{last}");
    ended.names_what_is_missing(number("records") - durable);
    both_killed_at("sealing").await.names_what_is_missing(0);
}

/// Frames that are acknowledged one by one on one stream.
const FRAMES: u64 = 100_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_small_acknowledgements_come_over_one_stream_of_a_real_relay() {
    use crate::issuance::harness::{batch, records};
    use todoke::{domain::manifest::Policy, wire::pb};
    let mut world = World::with(|options| options.ack_chunks_max = 1).await;
    let (address, _tasks) = world.relay_at(([127, 0, 0, 1], 0).into()).await;
    let mut ward = world.through(address);
    let sent = batch(world.ward.code(), 1, Policy::AllOrNothing, &records("K", 4));
    let epoch = world.ward.open(&sent).await.expect("it opens").uploader_epoch;
    let frame = |frame| pb::UploadChunksRequest { frame: Some(frame) };
    let start = frame(pb::upload_chunks_request::Frame::Start(sent.start(epoch)));
    // The cheapest frame that is acknowledged: its chunk is stored already.
    let chunk = frame(pb::upload_chunks_request::Frame::Chunk(sent.chunk(0)));
    let chunks = (0..FRAMES).map(move |_| chunk.clone());
    let frames = tokio_stream::iter(std::iter::once(start).chain(chunks));
    let mut acks = ward.upload_chunks(frames).await.expect("it begins").into_inner();
    let (mut count, mut last) = (0u64, None);
    while let Some(ack) = acks.message().await.expect("the stream lives on") {
        (count, last) = (count + 1, Some(ack));
    }
    assert!(count > FRAMES - 100, "{count} acknowledgements");
    assert_eq!(last.map(|ack| (ack.duplicates, ack.missing_count)), Some((FRAMES - 1, 0)));
    assert_eq!(world.rows("chunk").await, 1);
}
