//! Promise: a process that stood still for longer than its lease changes nothing that is no longer its own;
//! what nobody took meanwhile it brings to its end.
//!
//! Inside a transaction it holds the database's one lock for writing, so that nobody can take anything;
//! between two of them somebody does.

use std::time::{Duration, Instant};

use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{
    super::system::{Signal, eventually, signal},
    harness::{CHUNK_RECORDS, Client, Scene, TOGETHER},
};

/// An issuer that stands still at a point, and a client that has lost patience with the relays.
struct Stopped {
    scene: Scene,
    client: Client,
    pid: u32,
}

impl Stopped {
    /// Stops the issuer at a point until its leases are over.
    async fn at(at: &str) -> Self {
        let scene = Scene::start_at(Some(at), &[]).await;
        let client = scene.import("cards.csv", &["--ack-timeout", "1s"], &[]);
        let (pid, since) = (scene.once().await, Instant::now());
        let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        eventually("the issuer to stand still", || state().contains(") T ")).await;
        eventually("its lease to be over", || since.elapsed() > Duration::from_millis(1500)).await;
        Self { scene, client, pid }
    }

    fn goes_on(&self) {
        signal(Signal::CONT, self.pid);
    }

    async fn comes_to_its_end(self) {
        let Self { scene, client, pid } = self;
        let (code, result, heard) = client.ends().await;
        assert_eq!(code, Some(0), "{heard:?}");
        scene.is_done("cards.csv", &result).await;
        scene.has_the_cards_of(&["cards.csv"]).await;
        assert_eq!(scene.folder.endpoints()["issuers"][0]["pid"], pid, "it never died");
        scene.over().await;
    }
}

#[tokio::test]
async fn an_issuer_stopped_inside_the_transaction_of_a_chunk_brings_it_to_its_end() {
    let stopped = Stopped::at("chunk-half-stored:4=stop").await;
    stopped.goes_on();
    stopped.comes_to_its_end().await;
}

/// Where another issuer takes the batch of one that is stopped, for longer than anybody waits here, and never
/// works on it; and the lease that it has of it.
async fn taken_from(at: &str) -> (Stopped, SqliteConnection, (i64, String, i64)) {
    // Whoever is stopped while it writes what it decides of the pool keeps the database's lock: then anew.
    for _ in 0..5 {
        let stopped = Stopped::at(at).await;
        let options = SqliteConnectOptions::new().filename(stopped.scene.folder.path("dev/issuer.db"));
        let options = options.busy_timeout(Duration::from_secs(2));
        let mut beside = SqliteConnection::connect_with(&options).await.expect("it opens");
        let taken = "UPDATE work SET epoch = epoch + 1, holder = 'issuer-2', due_ms = due_ms + 3600000
            RETURNING epoch, holder, due_ms";
        match sqlx::query_as(taken).fetch_one(&mut beside).await {
            Ok(taken) => {
                sqlx::query("PRAGMA busy_timeout = 10000").execute(&mut beside).await.expect("it is set");
                return (stopped, beside, taken);
            }
            Err(error) => {
                assert!(error.to_string().contains("locked"), "it is in somebody's hands: {error}");
                beside.close().await.expect("it closes");
                stopped.goes_on();
                stopped.comes_to_its_end().await;
            }
        }
    }
    panic!("five times it was stopped while it wrote");
}

#[tokio::test]
async fn an_issuer_stopped_between_the_orders_of_two_chunks_leaves_the_rest_to_who_took_it() {
    let (stopped, mut beside, taken) = taken_from("chunk-exploded:4=stop").await;
    stopped.goes_on();
    let lost = || stopped.scene.log("issuer-1").contains("went to another worker");
    eventually("it to see that the batch is no longer its own", lost).await;
    let orders = "SELECT COUNT(*) FROM card_order";
    let orders: i64 = sqlx::query_scalar(orders).fetch_one(&mut beside).await.expect("a count");
    assert_eq!(
        u64::try_from(orders).ok(),
        Some(4 * TOGETHER * CHUNK_RECORDS),
        "nothing after the fourth time"
    );
    let lease: (i64, String, i64) = sqlx::query_as("SELECT epoch, holder, due_ms FROM work")
        .fetch_one(&mut beside)
        .await
        .expect("it is in the other's hands");
    assert_eq!(lease, taken, "and nothing of the lease");
    sqlx::query("UPDATE work SET holder = NULL, due_ms = 0").execute(&mut beside).await.expect("it runs");
    beside.close().await.expect("it closes");
    stopped.comes_to_its_end().await;
}

#[tokio::test]
async fn an_issuer_stopped_inside_the_transaction_of_the_acceptance_brings_it_to_its_end() {
    let stopped = Stopped::at("half-accepted=stop").await;
    stopped.goes_on();
    stopped.comes_to_its_end().await;
}
