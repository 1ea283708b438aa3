//! Promise: an envelope goes from the press to a stocktake by commands alone, each party with its own
//! certificate, and whoever does what is not his, or says it wrongly, hears what to do.

use serde_json::{Value, json};

use super::system::Imported;

const WARD: &str = "municipality/131229";
const PRESS: &str = "producer/press-1";
const POST: &str = "postal/office-1";
const OF_WARD: [&str; 2] = ["--municipality", "131229"];
const OFFICE: [&str; 2] = ["--office", "亀有"];

impl Imported {
    /// The state of an envelope after what is done to it.
    async fn is(&self, state: &str, who: &str, words: &[&str], more: &[&str]) {
        let result = self.done(who, words, more).await;
        assert_eq!(result["state"], state, "{words:?}: {result}");
    }

    /// An envelope with one card.
    async fn produce(&self, mail: &str, order: usize) {
        let evidence = ["--order-id", &self.orders[order], "--weight-mg", "21950:22000:900"];
        self.is("INSERTED", PRESS, &["produced", mail], &[&OF_WARD[..], &evidence].concat()).await;
    }

    /// Counts what stands in a list.
    async fn count(&self, list: &str) -> (Option<i32>, Value) {
        std::fs::write(self.folder.path("shelf.txt"), list).expect("the folder is writable");
        let said = self.said(WARD, &["stocktake", "shelf.txt"], &OFFICE).await;
        (said.code, said.result())
    }
}

#[tokio::test]
async fn an_envelope_goes_from_the_press_to_a_stocktake_by_commands() {
    let mut world = Imported::start("mail").await;
    let cards = ["--order-id", &world.orders[0], "--order-id", &world.orders[1], "--scanned-cards", "2"];
    let printed = ["--at", "2020-11-20T09:30:00+09:00"];
    let more = [&OF_WARD[..], &cards, &printed].concat();
    let made = world.done(PRESS, &["produced", "E-1"], &more).await;
    assert_eq!(made["state"], "INSERTED");
    let kept = world.said(WARD, &["show", "E-1"], &[]).await;
    assert!(kept.stdout.contains("2 cards scanned"), "its owner is shown: {}", kept.all());
    assert_eq!(made["state_time"], "2020-11-20T00:30:00.000Z");
    let later = [&OF_WARD[..], &["--at", "2020-11-21T00:00:00Z"]].concat();
    world.is("POSTED", POST, &["posted", "E-1"], &later).await;
    let later = [&OF_WARD[..], &["--at", "2020-11-22T00:00:00Z"]].concat();
    world.is("RETURNED", POST, &["returned", "E-1"], &later).await;
    let later = ["--office", "亀有", "--at", "2020-11-23T00:00:00Z"];
    world.is("STORED", WARD, &["store", "E-1"], &later).await;
    let listed = world.said(WARD, &["list", "--state", "STORED", "--older-than", "30d"], &OFFICE).await;
    assert_eq!(listed.result()["mail_items"], 1, "{}", listed.all());
    assert!(listed.stdout.contains("\"mail_item_id\":\"E-1\""), "{}", listed.all());
    let listed = world.done(WARD, &["list", "--state", "STORED", "--office", "四つ木"], &[]).await;
    assert_eq!(listed["mail_items"], 0);
    // What lies there is counted, what does not is missing until it is found, what should not is named.
    let (code, found) = world.count("E-1\n\nE-9\n").await;
    assert_eq!((code, &found["counted"], &found["surplus"]), (Some(4), &json!(1), &json!(1)), "{found}");
    let (code, found) = world.count("E-9\n").await;
    assert_eq!((code, &found["missing"]), (Some(4), &json!(1)), "{found}");
    let said = world.piped(WARD, &["stocktake", "-", "--office", "亀有"], "E-1\n").await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    assert!(said.stdout.contains("found again  E-1"), "{}", said.all());
    assert!(said.stderr.contains("to send the same again: --request-id "), "{}", said.all());
    let said = world.piped(WARD, &["show", "E-1", "--history"], "").await;
    assert!(said.stdout.contains("office               亀有"), "{}", said.all());
    assert!(said.stdout.contains("FIND_AGAIN            municipality/131229"), "{}", said.all());
    // Two clerks, and nothing before its time.
    world.is("STORED", WARD, &["propose-disposal", "E-1"], &["--clerk", "sato"]).await;
    world.refused(WARD, (&["confirm-disposal", "E-1"], &["--clerk", "sato"]), "ITEM_STATE").await;
    world.is("DISPOSED", WARD, &["confirm-disposal", "E-1"], &["--clerk", "tanaka"]).await;
    assert_eq!(world.dev.stop().await, Some(0));
}

#[tokio::test]
async fn what_the_household_and_the_post_do_is_said_by_commands_and_retention_only_grows() {
    let mut world = Imported::start("mail").await;
    world.produce("E-2", 0).await;
    world.is("DELIVERED", POST, &["delivered", "E-2"], &OF_WARD).await;
    world.is("EMPTY_ENVELOPE_CLAIMED", WARD, &["empty", "E-2"], &[]).await;
    world.produce("E-3", 1).await;
    for (state, act) in [("REDELIVERING", "redeliver"), ("HANDED_OUT", "hand-over")] {
        world.is("RETURNED", POST, &["returned", "E-3"], &OF_WARD).await;
        world.is("STORED", WARD, &["store", "E-3"], &OFFICE).await;
        world.is(state, WARD, &[act, "E-3"], &[]).await;
    }
    let said = world.said(WARD, &["show", "E-3", "--history"], &[]).await;
    let events: Vec<Value> = said.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let kinds: Vec<_> = events.iter().filter_map(|event| event["kind"].as_str()).collect();
    assert_eq!(kinds, ["INSERT", "RETURN", "STORE", "REQUEST_REDELIVERY", "RETURN", "STORE", "HAND_OVER"]);
    assert_eq!(said.result()["mail_events"], 7, "{}", said.all());
    let retention = world.done(WARD, &["retention"], &[]).await;
    assert_eq!((&retention["until"], &retention["version"]), (&json!("2016-03-31"), &json!(1)));
    let extended = world.done(WARD, &["retention", "--extend", "9998-12-31"], &["--request-id", "r-1"]).await;
    assert_eq!((&extended["until"], &extended["version"]), (&json!("9998-12-31"), &json!(2)));
    let again = world.done(WARD, &["retention", "--extend", "9998-12-31"], &["--request-id", "r-1"]).await;
    assert_eq!(again, extended, "the same request does nothing more");
    world.refused(WARD, (&["retention", "--extend", "2026-12-31"], &[]), "9998-12-31").await;
    assert_eq!(world.dev.stop().await, Some(0));
}

#[tokio::test]
async fn what_is_wrong_is_refused_with_what_to_do_and_the_same_request_does_nothing_twice() {
    let mut world = Imported::start("mail").await;
    world.produce("E-1", 0).await;
    let again = ["--order-id", &world.orders[1]];
    let produced = [&OF_WARD[..], &again].concat();
    world.refused(WARD, (&["produced", "E-2"], &produced), "WRONG_ROLE").await;
    world.refused(POST, (&["list"], &[]), "use a certificate of a municipality").await;
    world.refused("operator/alice", (&["show", "E-1"], &OF_WARD), "WRONG_ROLE").await;
    world.refused(WARD, (&["hand-over", "E-9"], &[]), "NOT_FOUND").await;
    world.refused("municipality/011002", (&["show", "E-1"], &[]), "NOT_FOUND").await;
    world.refused(POST, (&["show", "E-1"], &[]), "municipality_code is missing").await;
    world.refused(WARD, (&["hand-over", "E-1"], &[]), "ITEM_STATE").await;
    world.refused(PRESS, (&["produced", "E-1"], &produced), "with other cards").await;
    // The same request is the one with the same id and time.
    let posted = world.done(POST, &["posted", "E-1"], &OF_WARD).await;
    let [id, at] = ["request_id", "at"].map(|name| posted[name].as_str().expect("a text").to_owned());
    let same = [&OF_WARD[..], &["--request-id", &id, "--at", &at]].concat();
    assert_eq!(world.done(POST, &["posted", "E-1"], &same).await, posted);
    let other = [&OF_WARD[..], &["--request-id", &id]].concat();
    world.refused(POST, (&["posted", "E-1"], &other), "REQUEST_ID_REUSED").await;
    // Of a list with a wrong line nothing is sent.
    let (code, refused) = world.count("E-1\n葛飾 太郎\n").await;
    let words = refused["error"].as_str().unwrap_or_default();
    assert!(code == Some(1) && words.contains("shelf.txt, line 2: ") && !words.contains("葛飾"), "{refused}");
    let (code, refused) = world.count("\n").await;
    assert!(code == Some(1) && refused["error"].to_string().contains("--nothing-there"), "{refused}");
    let said = world.said(WARD, &["stocktake", "shelf.txt", "--nothing-there"], &OFFICE).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    let said = world.piped(POST, &["posted", "E-1", "--as", "nobody"], "").await;
    assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{}", said.all());
    assert_eq!(world.dev.stop().await, Some(0));
}
