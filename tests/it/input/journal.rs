//! Promise: a journal that was damaged is never misread: its last line was being written and is dropped, any
//! other line is named, and without the journal the batch is found again; each way ends with one receipt.

use super::{Town, assert_says};

async fn cut(town: &Town, command: &str) {
    let words = [command, "cards.csv", "--chunk-records", "16", "--stop-after-records", "64"];
    let said = town.run(&words).await;
    assert_says("cut", &said, 75, &["Next: `todoke resume cards.csv`"]);
}

#[tokio::test]
async fn a_damaged_journal_is_named_by_line_and_the_way_on_that_it_says_leads_to_the_receipt() {
    let town = Town::start().await;
    // A digit of what each line says: without its checksum, the line would be as good as before.
    let figures = [("1", "records 300"), ("2", "\"uploader_epoch\":1"), ("3", "\"uploader_epoch\":2")];
    for (line, (seed, figure)) in figures.into_iter().enumerate() {
        town.folder.sample_with("cards.csv", "300", &["--seed", seed]).await;
        cut(&town, "import").await;
        cut(&town, "resume").await;
        let journal = town.folder.read("cards.csv.todoke-journal");
        let lines: Vec<&[u8]> = journal.split_inclusive(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len(), 3, "begun, opened, opened: {}", String::from_utf8_lossy(&journal));
        let begin: usize = lines[..line].iter().map(|line| line.len()).sum();
        let mut damaged = journal.clone();
        let at = journal[begin..].windows(figure.len()).position(|here| here == figure.as_bytes());
        damaged[begin + at.expect("the line says it") + figure.len() - 1] ^= 1;
        town.write("cards.csv.todoke-journal", &damaged);
        if line == 2 {
            town.receipted(&["resume", "cards.csv"]).await;
        } else {
            let words = format!("line {}: the journal is damaged. Move it away", line + 1);
            for command in ["resume", "import"] {
                let said = town.run(&[command, "cards.csv"]).await;
                assert_says("damaged", &said, 1, &["cards.csv.todoke-journal", &words]);
            }
            town.remove("cards.csv.todoke-journal");
            town.receipted(&["resume", "cards.csv", "--chunk-records", "16"]).await;
        }
        for file in ["cards.csv.todoke-journal", "cards.csv.receipt"] {
            town.remove(file);
        }
    }
    let batches = town.batches().await;
    assert_eq!(batches.len(), 3, "one batch a file, whatever the journal said: {batches:?}");
    assert!(batches.iter().all(|batch| batch["state"] == "ACCEPTED" && batch["accepted"] == 300));
    town.stop().await;
}

#[tokio::test]
async fn another_files_journal_or_receipt_in_place_of_ones_own_is_noticed() {
    let town = Town::start().await;
    for (file, seed) in [("one.csv", "1"), ("two.csv", "2"), ("cards.csv", "3")] {
        town.folder.sample_with(file, "100", &["--seed", seed]).await;
    }
    for file in ["one.csv", "two.csv"] {
        town.receipted(&["import", file]).await;
    }
    let own = town.folder.read("one.csv.receipt");
    town.write("one.csv.receipt", town.folder.read("two.csv.receipt"));
    let said = town.run(&["reconcile", "one.csv", "two.csv"]).await;
    let way_on = "one.csv.receipt is not the receipt of its batch: `todoke resume one.csv`";
    assert_says("another's receipt", &said, 1, &[way_on]);
    town.receipted(&["resume", "one.csv"]).await;
    assert_eq!(town.folder.read("one.csv.receipt"), own, "byte for byte");

    cut(&town, "import").await;
    let half = town.folder.read("cards.csv.todoke-journal");
    town.write("cards.csv.todoke-journal", town.folder.read("one.csv.todoke-journal"));
    let said = town.run(&["status", "cards.csv"]).await;
    assert_says("another's journal", &said, 0, &["cards.csv is not what", "was begun with"]);
    let said = town.run(&["resume", "cards.csv"]).await;
    let words = ["the batch of its journal has ended", "was begun with other content"];
    assert_says("another's journal", &said, 1, &words);
    town.write("cards.csv.todoke-journal", &half);
    town.receipted(&["resume", "cards.csv"]).await;
    let batches = town.batches().await;
    assert_eq!(batches.len(), 3, "one a file: {batches:?}");
    town.stop().await;
}
