//! Promise: cards are ordered, made, sent and called back by commands alone, each party with its own
//! certificate, and of a list with a wrong line nothing is sent.

use serde_json::{Value, json};

use super::system::{Imported, Said};

const WARD: &str = "municipality/131229";
const PRESS: &str = "producer/press-1";
const OPERATOR: &str = "operator/alice";
const OF_WARD: [&str; 2] = ["--municipality", "131229"];
/// A point of P-256: the base point (SEC 2, version 2.0, 2.4.2).
const KEY: &str = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
                   4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";

/// A system with an accepted batch of the ward, all of which is to be made.
async fn to_be_made() -> Imported {
    let all_cards = |text: String| text.replace("NOTIFICATION_CARD", "INDIVIDUAL_NUMBER_CARD");
    Imported::start_with("production", all_cards).await
}

impl Imported {
    fn write(&self, name: &str, lines: &[String]) {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(self.folder.path(name), text).expect("the folder is writable");
    }
}

/// The ids of the orders that a pull gave.
fn pulled(said: &Said) -> Vec<String> {
    let lines = said.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let orders = lines.filter(|line| line["event"] == "order");
    orders.map(|order| order["card_id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn cards_are_made_and_sent_by_commands_and_of_a_list_with_a_wrong_line_nothing_is_sent() {
    let mut world = to_be_made().await;
    let blank = [&OF_WARD[..], &["--producer", "press-1", "--cards", "10"]].concat();
    let share = world.done(OPERATOR, &["allocate", "L-1"], &blank).await;
    assert_eq!((&share["allocated"], &share["remaining"]), (&json!(10), &json!(10)));
    let said = world.said(PRESS, &["pull", "L-1", "--limit", "4"], &OF_WARD).await;
    let cards = pulled(&said);
    assert_eq!((said.code, cards.len()), (Some(0), 4), "{}", said.all());
    let request = said.result()["request_id"].as_str().expect("it is said").to_owned();
    let same = [&OF_WARD[..], &["--request-id", &request]].concat();
    let again = world.said(PRESS, &["pull", "L-1", "--limit", "4"], &same).await;
    assert_eq!(pulled(&again), cards, "the same request has the same orders");
    // One line is wrong: nothing is sent.
    let header = "card_id,result,chip_key,self_test,unmet".to_owned();
    let good = format!("{},OK,{KEY},PASS,", cards[0]);
    let bad = format!("{},NOK,,the print is smeared,", cards[1]);
    world.write("shift.csv", &[header.clone(), good.clone(), bad.clone(), "葛飾,OK,,PASS,".to_owned()]);
    let report = [&OF_WARD[..], &["--file", "shift.csv"]].concat();
    let words = world.refused(PRESS, (&["report", "L-1"], &report), "shift.csv, line 4").await;
    assert!(!words.contains("葛飾"), "{words}");
    // One that the issuer does not know: nothing is recorded.
    world.write("shift.csv", &[header.clone(), good.clone(), bad.clone(), "X-1,NOK,,smeared,".to_owned()]);
    let words = world.refused(PRESS, (&["report", "L-1"], &report), "ITEM_STATE").await;
    assert!(words.contains("cards[2].card_id"), "{words}");
    world.write("shift.csv", &[header, good, bad]);
    let done = world.done(PRESS, &["report", "L-1"], &report).await;
    assert_eq!((&done["reported"], &done["remade"], &done["scrapped"]), (&json!(2), &json!(1), &json!(1)));
    let [id, at] = ["request_id", "at"].map(|name| done[name].as_str().expect("a text").to_owned());
    let same = [&report[..], &["--request-id", &id, "--at", &at]].concat();
    assert_eq!(world.done(PRESS, &["report", "L-1"], &same).await, done, "the same does nothing more");
    world.write("box.txt", &cards[..1]);
    let shipment = [&OF_WARD[..], &["--shipment", "S-1"]].concat();
    let sent = world.done(PRESS, &["ship", "L-1", "--file", "box.txt"], &shipment).await;
    assert_eq!((&sent["shipped"], &sent["in_transit"]), (&json!(1), &json!(1)));
    let lost = [&shipment[..], &["--why", "the van burnt"]].concat();
    let lost = world.done(PRESS, &["lost", "L-1", &cards[0]], &lost).await;
    assert_eq!(lost["lost"], json!(1));
    world.refused(PRESS, (&["ship", "L-1", &cards[2]], &shipment), "ITEM_STATE").await;
    let recalled = world.done(OPERATOR, &["recall", "L-1"], &["--reason", "faulty chips"]).await;
    assert_eq!((&recalled["recalled"], &recalled["orders_waiting"]), (&json!(1), &json!(2)));
    let lot = world.done(OPERATOR, &["lot", "L-1"], &[]).await;
    assert_eq!((&lot["state"], &lot["differences"]), (&json!("RECALLED"), &json!(0)), "{lot}");
    let ages = world.done(WARD, &["ages"], &[]).await;
    assert_eq!(ages["stages"], json!(1), "orders that wait: {ages}");
    world.refused(WARD, (&["recall", "L-1"], &["--reason", "x"]), "WRONG_ROLE").await;
    assert_eq!(world.dev.stop().await, Some(0));
}
