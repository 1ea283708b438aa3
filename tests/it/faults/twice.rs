//! Promise: two senders at once, with the same content or with other, end with every record once and each
//! sender knowing which it was.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::sync::watch;

use super::{
    liar::Malice,
    world::{CHUNKS, Ended, RECORDS, World, locked},
};
use crate::system::{Running, Signal, eventually, signal};

const ARGS: [&str; 6] = ["--chunk-records", "4", "--patience", "20s", "--streams", "1"];

async fn both(world: &World, command: &str, files: [&str; 2]) -> [Ended; 2] {
    let start = |file| {
        let args: Vec<&str> = [command, file].into_iter().chain(ARGS).collect();
        Running::start(&world.folder, &args, &world.folder.as_ward())
    };
    let [first, second] = files.map(start);
    let (first, second) = tokio::join!(first.end(), second.end());
    [Ended::of(first), Ended::of(second)]
}

/// One batch in the hands of two machines: the same file with the same journal, in two places.
async fn two_machines(world: &World) {
    let begun = world.import(&["--stop-after-records", "16"]).await;
    begun.is(75, "try_again");
    for name in ["cards.csv", "cards.csv.todoke-journal"] {
        let other = name.replace("cards", "other");
        std::fs::copy(world.folder.path(name), world.folder.path(&other)).expect("a copy");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_machines_with_the_same_batch_at_once_store_it_once_whoever_of_them_is_fenced() {
    let mut world = World::new().await;
    world.relay().await;
    world.relay().await;
    two_machines(&world).await;
    let ended = both(&world, "resume", ["cards.csv", "other.csv"]).await;
    for ended in &ended {
        let fenced = ended.said.code == Some(1) && ended.result["reason"] == "UPLOADER_FENCED";
        assert!(ended.said.code == Some(0) || fenced, "{}", ended.said.all());
        assert_eq!(ended.batch_id(), world.batch(ended).await.batch_id.parse().expect("an id"));
    }
    assert!(ended.iter().any(|ended| ended.said.code == Some(0)), "the later one is never fenced");
    // Whoever was fenced asks again, as it was told, and holds the same receipt.
    for file in ["cards.csv", "other.csv"] {
        let ended = world.run("resume", file, &[]).await;
        assert_eq!(ended.said.code, Some(0), "{}", ended.said.all());
    }
    assert_eq!(world.folder.read("cards.csv.receipt"), world.folder.read("other.csv.receipt"));
    assert_eq!(world.rows("batch").await, 1);
    assert_eq!((world.rows("chunk").await, world.rows("card_order").await), (CHUNKS, RECORDS));
}

/// Holds the first chunk that comes once it was told to, until it is told to go on.
#[derive(Clone, Default)]
struct Holds(Arc<Mutex<Option<watch::Receiver<bool>>>>);

impl Malice for Holds {
    fn gate(&self) -> Option<watch::Receiver<bool>> {
        locked(&self.0).take()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_batch_another_one_has_taken_over_is_told_so_and_stores_nothing_more() {
    let mut world = World::new().await;
    let holds = Holds::default();
    world.liar(holds.clone()).await;
    two_machines(&world).await;
    let (go_on, gate) = watch::channel(false);
    *locked(&holds.0) = Some(gate);
    let args = [&["resume", "cards.csv", "--ack-timeout", "60s"][..], &ARGS].concat();
    let first = Running::start(&world.folder, &args, &world.folder.as_ward());
    eventually("its first chunk to be held", || locked(&holds.0).is_none()).await;
    let second = world.run("resume", "other.csv", &["--stop-after-records", "16"]).await;
    second.is(75, "try_again");
    let chunks = world.rows("chunk").await;
    assert!((5..CHUNKS).contains(&chunks), "the second has sent some of them: {chunks}");
    go_on.send_replace(true);
    let first = Ended::of(first.end().await);
    first.is(1, "refused");
    assert_eq!(first.result["reason"], "UPLOADER_FENCED", "{}", first.said.all());
    assert_eq!(world.rows("chunk").await, chunks, "nothing of the first came after that");
    for file in ["other.csv", "cards.csv"] {
        world.run("resume", file, &[]).await.is(0, "receipted");
    }
    world.is_done(&world.import(&[]).await).await;
    assert_eq!(world.folder.read("cards.csv.receipt"), world.folder.read("other.csv.receipt"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_on_one_file_are_one_run_and_one_that_is_told_to_wait() {
    let mut world = World::new().await;
    world.relay().await;
    let once = world.folder.path("once").display().to_string();
    let stops = [("TEST_TODOKE_CRASH_AT", "client-begun=stop"), ("TEST_TODOKE_CRASH_ONCE", &once)];
    let args = ["import", "cards.csv", "--chunk-records", "4"];
    let first = Running::start_in(&world.folder, &args, &world.folder.as_ward(), &stops);
    let state = || std::fs::read_to_string(format!("/proc/{}/stat", first.pid())).unwrap_or_default();
    eventually("the first to stand still with its journal", || state().contains(") T ")).await;
    let second = world.import(&[]).await;
    assert_eq!(world.rows("batch").await, 0, "neither has sent anything");
    signal(Signal::CONT, first.pid());
    assert_eq!(second.said.code, Some(75), "{}", second.said.all());
    let words = "another todoke process holds this journal. Wait for it";
    assert!(second.said.all().contains(words), "{}", second.said.all());
    world.is_done(&Ended::of(first.end().await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_content_sent_as_two_batches_at_once_makes_every_record_once() {
    let mut world = World::new().await;
    world.relay().await;
    std::fs::copy(world.folder.path("cards.csv"), world.folder.path("other.csv")).expect("a copy");
    let first = both(&world, "import", ["cards.csv", "other.csv"]).await;
    // Both may have taken the same sequence, or the later one found the batch of the other and went on
    // with it; whoever was refused begins anew.
    for ended in &first {
        let reasons = [Value::from("SEQUENCE_REUSED"), Value::from("UPLOADER_FENCED")];
        let refused = ended.said.code == Some(1) && reasons.contains(&ended.result["reason"]);
        // Or it met orders that the other batch held and had not decided on yet: each is named, and a repair
        // finds them decided.
        let held = ended.said.code == Some(1) && ended.result["not_accepted"][0]["code"] == "ORDER_ID_HELD";
        assert!(ended.said.code == Some(0) || refused || held, "{}", ended.said.all());
        if held {
            let id = ended.batch_id().to_string();
            let args = ["repair", "--batch", &id, "--reason", "the other batch is decided by now"];
            let said = world.folder.todoke(&args, &world.folder.as_ward()).await;
            assert_eq!(said.code, Some(0), "{}", said.all());
        }
    }
    for file in ["cards.csv", "other.csv"] {
        let ended = world.run("import", file, &[]).await;
        assert_eq!(ended.said.code, Some(0), "{}", ended.said.all());
    }
    let orders = "SELECT count(*), count(DISTINCT order_id) FROM card_order AS made
        JOIN batch USING (municipality_code, batch_id)
        WHERE made.attempt = batch.attempt AND state LIKE 'ACCEPTED%'";
    let orders: Vec<(i64, i64)> = world.issuer.read(orders).await;
    assert_eq!(orders, [(64, 64)], "each order once, whatever the number of batches");
    let accepted = world.issuer.number("SELECT sum(accepted) FROM batch".to_owned()).await;
    assert_eq!(accepted, RECORDS, "and each record accepted once");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_content_at_once_makes_two_batches_that_are_both_whole() {
    let mut world = World::new().await;
    world.relay().await;
    let text = std::fs::read_to_string(world.folder.path("cards.csv")).expect("the sample");
    let mut other = String::new();
    for (at, line) in text.lines().enumerate() {
        let prefix = if at == 0 { "" } else { "X" };
        other.push_str(&format!("{prefix}{line}\n"));
    }
    assert!(text.starts_with("order_id,"), "the first column is changed: {text:.60}");
    std::fs::write(world.folder.path("other.csv"), other).expect("writable");
    let ended = both(&world, "import", ["cards.csv", "other.csv"]).await;
    let codes: Vec<Option<i32>> = ended.iter().map(|ended| ended.said.code).collect();
    assert!(codes.contains(&Some(0)), "one has the sequence: {codes:?}");
    for (ended, file) in ended.iter().zip(["cards.csv", "other.csv"]) {
        if ended.said.code != Some(0) {
            assert_eq!(ended.result["reason"], Value::from("SEQUENCE_REUSED"), "{}", ended.said.all());
            world.run("import", file, &[]).await.is(0, "receipted");
        }
    }
    assert_eq!(world.rows("card_order").await, 2 * RECORDS);
    assert_eq!(world.rows("receipt").await, 2);
}
