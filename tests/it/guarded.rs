//! Promise: no command that lists or shows cards, envelopes or lots, nor the issuer's figures or log, shows
//! an address that a protection measure hides, but the owner's `card get` for a purpose.

use super::system::{Dev, Folder, Said, http};

const WARD: &str = "municipality/131229";
const PRESS: &str = "producer/press-1";
const ADDRESS: &str = "鸞鳳坂九丁目八番地";
const DELIVERY: &str = "瑪瑙荘三〇三号室";
/// Of somebody without such a measure.
const OPEN: &str = "海鼠坂一丁目二番地";
const HEADER: &str =
    "order_id,kind,household_id,district,name,birth_date,sex,address,delivery_address,protected";

async fn say(folder: &Folder, who: &str, words: &[&str], output: &str) -> Said {
    let [endpoints, file, of, _] = folder.as_ward();
    let mut command = folder.command(words);
    command.args([endpoints, file, of, who.to_owned()]).args(["--output", output]);
    let output = command.output().await.expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// Fails if a text shows the protected addresses.
fn hides(what: &str, text: &str) {
    assert!(!text.contains(ADDRESS) && !text.contains(DELIVERY), "{what}: {text}");
}

/// What every party can look at once a card is ordered, an envelope has come back and a lot is there.
const LOOKS: [(&str, &[&str]); 12] = [
    (WARD, &["card", "list"]),
    (WARD, &["card", "list", "--lot", "L-1"]),
    (WARD, &["card", "get", "--order-id", "C-1", "--history"]),
    (WARD, &["mail", "list"]),
    (WARD, &["mail", "show", "E-1", "--history"]),
    (WARD, &["application", "list"]),
    (WARD, &["production", "ages"]),
    (WARD, &["status"]),
    (PRESS, &["production", "pull", "L-1", "--municipality", "131229", "--request-id", "p-1"]),
    (PRESS, &["production", "lot", "L-1"]),
    (PRESS, &["mail", "show", "E-1", "--municipality", "131229"]),
    ("operator/alice", &["production", "lot", "L-1"]),
];

#[tokio::test]
async fn no_command_shows_a_protected_address_but_its_owners_for_a_purpose() {
    let folder = Folder::new();
    let mut dev = Dev::start(&folder, &["--relays", "2"]).await;
    let rows = format!(
        "{HEADER}\nC-1,INDIVIDUAL_NUMBER_CARD,H-1,白鳥,葛飾 花子,1980-02-29,2,{ADDRESS},{DELIVERY},1\n\
         C-2,INDIVIDUAL_NUMBER_CARD,H-2,白鳥,葛飾 太郎,1981-02-28,1,{OPEN},,0\n"
    );
    std::fs::write(folder.path("cards.csv"), rows).expect("the folder is writable");
    std::fs::write(folder.path("shelf.txt"), "E-1\n").expect("the folder is writable");
    let allocate = ["production", "allocate", "L-1", "--producer", "press-1", "--cards", "9"];
    let produced =
        ["mail", "produced", "E-1", "--order-id", "C-1", "--order-id", "C-2", "--scanned-cards", "2"];
    let of_ward = ["--municipality", "131229"];
    let (allocate, produced) = ([&allocate[..], &of_ward].concat(), [&produced[..], &of_ward].concat());
    let acts: [(&str, &[&str]); 5] = [
        (WARD, &["import", "cards.csv"]),
        ("operator/alice", &allocate),
        (PRESS, &produced),
        (WARD, &["mail", "store", "E-1", "--office", "亀有"]),
        (WARD, &["mail", "stocktake", "shelf.txt", "--office", "亀有"]),
    ];
    for (who, words) in acts {
        let said = say(&folder, who, words, "json").await;
        assert_eq!(said.code, Some(0), "{words:?}: {}", said.all());
        hides(&format!("{words:?}"), &said.all());
    }
    for output in ["json", "text"] {
        for (who, words) in LOOKS {
            let said = say(&folder, who, words, output).await;
            assert_eq!(said.code, Some(0), "{words:?}: {}", said.all());
            hides(&format!("{words:?} of {who}"), &said.all());
            let shows = words.contains(&"pull") && output == "json";
            assert_eq!(said.stdout.contains(OPEN), shows, "what is not hidden: {words:?}: {}", said.all());
        }
        let own =
            say(&folder, WARD, &["card", "get", "--order-id", "C-1", "--purpose", "counter"], output).await;
        assert!(own.stdout.contains(ADDRESS) && own.stdout.contains(DELIVERY), "{}", own.all());
    }
    let issuer = &folder.endpoints()["issuers"][0];
    let ops = issuer["ops"].as_str().and_then(|ops| ops.parse().ok()).expect("an ops port");
    let figures = http(ops, "/metrics").await;
    assert!(figures.contains("todoke_"), "{figures}");
    hides("/metrics", &figures);
    assert_eq!(dev.stop().await, Some(0));
    let log = String::from_utf8_lossy(&folder.read("dev/logs/issuer-1.log")).into_owned();
    assert!(!log.is_empty(), "it logs");
    hides("the log", &log);
}
