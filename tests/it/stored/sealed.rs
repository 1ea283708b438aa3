//! Promise: what was damaged after the seal is repaired and sent again; nobody is told to mend a file that is
//! whole.

use super::{Folder, batch_ids, count, damage, flipped};
use crate::system::{Dev, Said};

async fn in_words(folder: &Folder, args: &[&str]) -> Said {
    let output = folder.command(args).args(folder.as_ward()).output();
    let output = tokio::time::timeout(std::time::Duration::from_secs(60), output).await;
    let output = output.expect("it ends").expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

#[tokio::test]
async fn a_chunk_damaged_after_the_seal_is_repaired_and_sent_again_and_the_file_is_left_alone() {
    let folder = Folder::new();
    let once = folder.path("once").display().to_string();
    let dies = [("TEST_TODOKE_CRASH_AT", "batch-sealed"), ("TEST_TODOKE_CRASH_ONCE", &once)];
    let mut dev = Dev::start_in(&folder, &["--relays", "1", "--no-restart"], &dies).await;
    folder.sample("cards.csv", "300").await;
    let import = ["import", "cards.csv", "--chunk-records", "64", "--patience", "1s"];
    let said = folder.todoke(&import, &folder.as_ward()).await;
    assert_eq!(said.code, Some(75), "the issuer died: {}", said.all());
    dev.stop().await;
    assert_eq!(count(&folder, "SELECT COUNT(*) FROM batch WHERE state = 'SEALED'").await, 1);
    damage(&folder, &format!("UPDATE chunk SET sealed = {} WHERE chunk_number = 2", flipped("sealed"))).await;
    let mut dev = Dev::start(&folder, &["--relays", "1"]).await;
    let said = in_words(&folder, &import[..4]).await;
    assert_eq!(said.code, Some(1), "{}", said.all());
    let next = said.stdout.lines().find(|line| line.contains("Next:")).expect("what to do");
    assert!(next.contains("todoke repair") && next.contains("`todoke resume cards.csv`"), "{}", said.all());
    assert!(!next.contains("mend") && !next.contains("abort"), "the file is whole: {}", said.all());
    let said = in_words(&folder, &["status", "cards.csv"]).await;
    assert!(said.stdout.contains("sends again what was damaged: 64 records"), "{}", said.all());
    assert!(!said.stdout.contains("rejects") && !said.stdout.contains("missing: 64"), "{}", said.all());
    let ids = batch_ids(&folder).await;
    let said = in_words(&folder, &["repair", "--batch", &ids[0], "--reason", "a disk"]).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    let said = in_words(&folder, &["resume", "cards.csv"]).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    assert_eq!(dev.stop().await, Some(0));
}
