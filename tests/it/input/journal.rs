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
    for (seed, line) in [("1", 0), ("2", 1), ("3", 2)] {
        let args =
            ["sample", "--municipality", "131229", "--records", "300", "--seed", seed, "--out", "cards.csv"];
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_todoke"));
        command.args(args);
        assert_eq!(town.said(command).await.code, Some(0));
        cut(&town, "import").await;
        cut(&town, "resume").await;
        let journal = town.folder.read("cards.csv.todoke-journal");
        let lines: Vec<&[u8]> = journal.split_inclusive(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len(), 3, "begun, opened, opened: {}", String::from_utf8_lossy(&journal));
        let begin: usize = lines[..line].iter().map(|line| line.len()).sum();
        let mut damaged = journal.clone();
        damaged[begin + 30] ^= 1;
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
