//! Promise: a client that is killed anywhere asks for the same batch again, and one that never comes back is
//! missed by the issuer itself.

use super::{
    super::{issuance::harness::Party, system::eventually},
    harness::{CHUNK_RECORDS, Client, RECORDS, Scene, last, number},
};

/// Waits until the client has died at its point.
async fn died(client: Client) -> u64 {
    let (code, _, heard) = client.ends().await;
    assert_eq!(code, None, "it was killed: {heard:?}");
    super::harness::told(&heard)
}

#[tokio::test]
async fn killed_before_the_first_send_it_has_promised_nothing_and_begins_the_same_batch() {
    let scene = Scene::start(&[]).await;
    died(scene.import_at("client-begun", &[])).await;
    let said = scene.about("status").await;
    assert!(said.code == Some(1) && said.all().contains("no batch"), "{}", said.all());
    let said = scene.about("reconcile").await;
    assert!(said.code == Some(1) && said.stdout.contains("NOT THERE"), "{}", said.all());
    let said = scene.folder.todoke(&["status"], &scene.folder.as_ward()).await;
    assert_eq!(last(&said)["last_sequence"], 0, "no sequence is used up: {}", said.all());
    scene.resumes().await;
    scene.has_the_cards_of(&["cards.csv"]).await;
    let said = scene.folder.todoke(&["status"], &scene.folder.as_ward()).await;
    assert_eq!(last(&said)["last_sequence"], 1, "{}", said.all());
    scene.over().await;
}

#[tokio::test]
async fn killed_in_the_middle_of_its_upload_it_sends_only_what_is_missing() {
    let scene = Scene::start(&[]).await;
    let told = died(scene.import_at("chunk-acknowledged:2", &[])).await;
    assert!(0 < told && told < RECORDS, "{told}");
    let batch = scene.status().await;
    assert_eq!(batch["state"], "RECEIVING", "{batch}");
    let durable = RECORDS - number(&batch["missing"]);
    assert!(durable >= told, "{batch}");
    assert_eq!(scene.resumes().await, durable, "it hears what is there");
    let chunks = [scene.chunks("stored").await, scene.chunks("duplicate").await];
    assert_eq!(chunks, [RECORDS / CHUNK_RECORDS, 0], "and sends the rest, nothing again");
    scene.has_the_cards_of(&["cards.csv"]).await;
    scene.over().await;
}

#[tokio::test]
async fn killed_with_the_receipt_in_its_hands_it_gets_the_same_bytes_again() {
    let scene = Scene::start(&[]).await;
    died(scene.import_at("receipt-came", &[])).await;
    assert!(!scene.there("cards.csv.receipt"));
    let batch = scene.status().await;
    assert_eq!(batch["state"], "ACCEPTED");
    let relay = scene.folder.endpoints()["relays"][0]["address"].clone();
    let relay = relay.as_str().expect("an address");
    let ward = Party::at(&scene.folder.path("dev/pki"), "municipality/131229", relay);
    let id = batch["batch_id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
    let first = ward.receipt(id).await.expect("it is accepted");
    let said = scene.about("reconcile").await;
    assert!(said.code == Some(1) && said.stdout.contains("todoke resume"), "not done here: {}", said.all());
    scene.resumes().await;
    assert_eq!(scene.folder.read("cards.csv.receipt"), first, "byte for byte");
    scene.has_the_cards_of(&["cards.csv"]).await;
    scene.over().await;
}

#[tokio::test]
async fn killed_before_its_journal_knows_of_the_receipt_it_ends_with_the_same_one() {
    let scene = Scene::start(&[]).await;
    died(scene.import_at("receipt-written", &[])).await;
    let written = scene.folder.read("cards.csv.receipt");
    let said = scene.about("reconcile").await;
    assert!(said.code == Some(1) && said.stdout.contains("todoke resume"), "not done here: {}", said.all());
    scene.resumes().await;
    assert_eq!(scene.folder.read("cards.csv.receipt"), written);
    scene.has_the_cards_of(&["cards.csv"]).await;
    scene.over().await;
}

#[tokio::test]
async fn one_that_never_comes_back_is_missed_by_the_issuer_itself_within_two_minutes() {
    let patience = todoke::issuance::Options::default();
    assert!(patience.stall_after + patience.sweep_every < std::time::Duration::from_secs(120));
    let short = [("TODOKE_ISSUANCE__STALL_AFTER", "2s"), ("TODOKE_ISSUANCE__SWEEP_EVERY", "100ms")];
    let scene = Scene::start(&short).await;
    died(scene.import_at("chunk-acknowledged:2", &["--seal-by", "4s"])).await;
    let before = scene.log("issuer-1").len();
    let since = || scene.log("issuer-1").split_off(before);
    let logged = |words: &str| since().contains(words);
    eventually("the issuer to miss it", || logged("stalled at 131229")).await;
    eventually("the issuer to hold it to its promise", || logged("overdue at 131229")).await;
    let batch = scene.status().await;
    let flags: Vec<&str> =
        batch["flags"].as_array().expect("a list").iter().filter_map(|flag| flag["name"].as_str()).collect();
    assert_eq!(
        (batch["state"].as_str(), flags.as_slice()),
        (Some("RECEIVING"), ["stalled", "overdue"].as_slice())
    );
    let said = scene.about("reconcile").await;
    assert_eq!(said.code, Some(1), "nobody says that it is done: {}", said.all());
    scene.resumes().await;
    eventually("the issuer to say that it is over", || logged("stalled of 131229 is over")).await;
    eventually("the issuer to say that this is over", || logged("overdue of 131229 is over")).await;
    let log = since();
    let (while_away, _) = log.split_once("stalled of 131229 is over").expect("it was just there");
    assert_eq!(while_away.matches("stalled at 131229").count(), 1, "told once");
    scene.over().await;
}
