//! Promise: a list of cards longer than one call takes is sent and shown whole, and one that is refused in a
//! later part goes on from there.

use serde_json::{Value, json};

use super::system::{Dev, Folder, Said};

const PRESS: &str = "producer/press-1";
const OPERATOR: &str = "operator/alice";
const OF_WARD: [&str; 2] = ["--municipality", "131229"];
/// More than the 1,000 of one page, and the 500 of one part twice.
const CARDS: usize = 1_010;

async fn say(folder: &Folder, who: &str, words: &[&str]) -> Said {
    let [endpoints, file, of, _] = folder.as_ward();
    folder.todoke(words, &[endpoints, file, of, who.to_owned()]).await
}

async fn done(folder: &Folder, who: &str, words: &[&str]) -> Value {
    let said = say(folder, who, words).await;
    assert_eq!(said.code, Some(0), "{words:?}: {}", said.all());
    said.result()
}

/// The values of a field in the events of this name.
fn all(said: &Said, event: &str, field: &str) -> Vec<String> {
    let lines = said.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of = lines.filter(|line| line["event"] == event);
    of.map(|line| line[field].as_str().expect("a text").to_owned()).collect()
}

/// A system whose press has all cards of the ward.
async fn pulled(folder: &Folder) -> (Dev, Vec<String>) {
    let dev = Dev::start(folder, &["--relays", "2"]).await;
    folder.sample("cards.csv", &CARDS.to_string()).await;
    let text = String::from_utf8(folder.read("cards.csv")).expect("UTF-8");
    let text = text.replace("NOTIFICATION_CARD", "INDIVIDUAL_NUMBER_CARD");
    std::fs::write(folder.path("cards.csv"), text).expect("the folder is writable");
    done(folder, "municipality/131229", &["import", "cards.csv"]).await;
    let blank = ["production", "allocate", "L-1", "--producer", "press-1", "--cards", "2000"];
    done(folder, OPERATOR, &[&blank[..], &OF_WARD].concat()).await;
    let mut cards = Vec::new();
    loop {
        let pull = ["production", "pull", "L-1", "--limit", "500"];
        let said = say(folder, PRESS, &[&pull[..], &OF_WARD].concat()).await;
        assert_eq!(said.code, Some(0), "{}", said.all());
        let part = all(&said, "order", "card_id");
        if part.is_empty() {
            return (dev, cards);
        }
        cards.extend(part);
    }
}

#[tokio::test]
async fn a_list_of_more_than_a_thousand_cards_is_reported_and_shown_whole() {
    let folder = Folder::new();
    let (mut dev, cards) = pulled(&folder).await;
    assert_eq!(cards.len(), CARDS);
    let line = |id: &String| format!("{id},NOK,,the print is smeared,\n");
    let write = |ids: &[String]| {
        let lines: String = ids.iter().map(line).collect();
        let text = format!("card_id,result,chip_key,self_test,unmet\n{lines}");
        std::fs::write(folder.path("shift.csv"), text).expect("the folder is writable");
    };
    let (id, at) = (["--request-id", "night-1"], ["--at", "2020-11-20T09:30:00+09:00"]);
    let report = ["production", "report", "L-1", "--file", "shift.csv"];
    let report = [&report[..], &OF_WARD, &id, &at].concat();
    // One of the second part is nobody's: the first part is recorded, and nothing of the second.
    let mut wrong = cards.clone();
    wrong[700] = "X-1".to_owned();
    write(&wrong);
    let said = say(&folder, PRESS, &report).await;
    let error = said.result()["error"].as_str().unwrap_or_default().to_owned();
    assert!(said.code == Some(1) && error.contains("cards[200].card_id"), "{}", said.all());
    let lot = done(&folder, OPERATOR, &["production", "lot", "L-1"]).await;
    assert_eq!((&lot["scrapped"], &lot["differences"]), (&json!(500), &json!(0)), "{lot}");
    // The same list, put right, goes on from there, and is the same however often it is sent.
    write(&cards);
    for _ in 0..2 {
        let said = say(&folder, PRESS, &report).await;
        assert_eq!(said.code, Some(0), "{}", said.all());
        let result = said.result();
        assert_eq!((&result["reported"], &result["scrapped"]), (&json!(CARDS), &json!(CARDS)), "{result}");
        assert_eq!(all(&said, "remade", "card_id").len(), CARDS);
    }
    let ward = "municipality/131229";
    let said = say(&folder, ward, &["card", "list", "--lot", "L-1", "--limit", "5000"]).await;
    let mut shown = all(&said, "card", "card_id");
    assert_eq!(
        (said.result()["cards"].as_u64(), &said.result()["more"]),
        (Some(CARDS as u64), &json!(false))
    );
    shown.sort();
    let mut own = cards.clone();
    own.sort();
    assert_eq!(shown, own, "each once");
    let said = say(&folder, ward, &["card", "list", "--state", "SCRAPPED", "--limit", "1005"]).await;
    assert_eq!((&said.result()["cards"], &said.result()["more"]), (&json!(1_005), &json!(true)));
    assert_eq!(dev.stop().await, Some(0));
}
