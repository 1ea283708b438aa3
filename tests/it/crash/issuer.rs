//! Promise: an issuer that is killed anywhere on a batch's way has what it acknowledged, and once only.

use serde_json::Value;

use super::{
    super::system::{Signal, signal},
    harness::{CHUNK_RECORDS, Scene, number, told},
};

/// What the issuer may say of the batch when it is back and its client is gone.
#[derive(Clone, Copy)]
enum Stands {
    /// Nothing of it came.
    Opened,
    /// So many chunks came, from the least to the most; some were acknowledged, and not all came.
    Chunks(u64, u64),
    /// All came; it is not sealed.
    Whole,
    /// It goes on with it by itself.
    Sealed,
}

impl Stands {
    fn check(self, batch: &Value, told: u64) {
        let state = batch["state"].as_str().expect("a state");
        let missing = number(&batch["missing"]);
        let stored = number(&batch["records"]) - missing;
        assert!(stored >= told, "{told} records were acknowledged: {batch}");
        let chunks = stored / CHUNK_RECORDS;
        let fits = match self {
            Self::Opened => state == "ANNOUNCED" && stored == 0,
            Self::Chunks(least, most) => {
                assert!(told > 0, "the window was full before, and some of it is acknowledged");
                state == "RECEIVING" && missing > 0 && (least..=most).contains(&chunks)
            }
            Self::Whole => state == "RECEIVING" && missing == 0,
            Self::Sealed => {
                ["SEALED", "IMPORTING", "RECONCILING", "ACCEPTED"].contains(&state) && missing == 0
            }
        };
        assert!(fits, "{batch}");
    }
}

/// Kills the issuer at a point twice: once with its client, which resumes, and once alone.
async fn killed(at: &str, stands: Stands) {
    let mut scene = Scene::start_at(Some(at), &[]).await;
    let client = scene.import("cards.csv", &[], &[]);
    let pid = scene.once().await;
    assert_eq!(scene.folder.endpoints()["issuers"][0]["pid"], pid, "it is the issuer that dies");
    let told = client.killed().await;
    scene.is_back("issuer-1").await;
    stands.check(&scene.status().await, told);
    assert!(!scene.there("cards.csv.receipt"));
    scene.resumes().await;
    scene.has_the_cards_of(&["cards.csv"]).await;

    scene.sample("more.csv", 2).await;
    scene.again();
    let client = scene.import("more.csv", &["--ack-timeout", "1s"], &[]);
    scene.once().await;
    scene.is_back("issuer-1").await;
    let (code, result, heard) = client.ends().await;
    assert_eq!(code, Some(0), "a patient client needs nobody's help: {heard:?}");
    scene.is_done("more.csv", &result).await;
    scene.has_the_cards_of(&["cards.csv", "more.csv"]).await;
    scene.over().await;
}

#[tokio::test]
async fn killed_after_the_commit_of_an_opened_batch_and_before_its_reply() {
    killed("batch-opened", Stands::Opened).await;
}

#[tokio::test]
async fn killed_inside_the_transaction_of_a_chunk() {
    killed("chunk-half-stored:8", Stands::Chunks(2, 7)).await;
}

#[tokio::test]
async fn killed_after_the_commit_of_a_chunk_and_before_its_acknowledgement() {
    killed("chunk-stored:8", Stands::Chunks(8, 13)).await;
}

#[tokio::test]
async fn killed_while_a_seal_reads_the_batch_again() {
    killed("seal-reading:6", Stands::Whole).await;
}

#[tokio::test]
async fn killed_after_the_commit_of_a_seal_and_before_its_reply() {
    killed("batch-sealed", Stands::Sealed).await;
}

#[tokio::test]
async fn killed_inside_the_transaction_that_makes_orders_of_a_chunk() {
    killed("chunk-half-exploded:4", Stands::Sealed).await;
}

#[tokio::test]
async fn killed_between_the_orders_of_two_chunks() {
    killed("chunk-exploded:4", Stands::Sealed).await;
}

#[tokio::test]
async fn killed_while_everything_is_added_up_for_the_acceptance() {
    killed("reconcile-reading:6", Stands::Sealed).await;
}

#[tokio::test]
async fn killed_inside_the_transaction_of_the_acceptance() {
    killed("half-accepted", Stands::Sealed).await;
}

#[tokio::test]
async fn killed_after_the_commit_of_the_acceptance_and_before_anybody_has_the_receipt() {
    killed("batch-accepted", Stands::Sealed).await;
}

/// The COMMIT of some chunks is never sent, while everything else of the issuer goes on: what it says
/// meanwhile must be true of what is left when it is killed. Chunks share transactions: of fourteen, and six
/// of them on their way at most, the first has one to six, and the second not the last.
#[tokio::test]
async fn nothing_is_acknowledged_before_its_commit_is_sent() {
    let mut scene = Scene::start_at(Some("chunk-uncommitted:2=hang"), &[]).await;
    let client = scene.import("cards.csv", &["--ack-timeout", "1s"], &[]);
    let pid = scene.once().await;
    client.hears(&["relay_left", "sealing"]).await;
    signal(Signal::KILL, pid);
    let before = told(&client.heard());
    let after = client.killed().await;
    assert!(before > 0, "the chunks before were acknowledged");
    assert_eq!(before, after);
    scene.is_back("issuer-1").await;
    Stands::Chunks(1, 6).check(&scene.status().await, before);
    scene.resumes().await;
    scene.has_the_cards_of(&["cards.csv"]).await;
    scene.over().await;
}
