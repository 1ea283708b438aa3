//! Promise: whoever has the pool's record makes every decision again, also of an issuer that was killed; a
//! record that was changed is refused or told, and one that was cut off is read up to there.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};

use super::{
    operators::{by, of, pool, said, until},
    system::{Dev, Folder, Said, killed, signal},
};

/// How long anything is waited for: a lease lives 15 s.
const LONG: Duration = Duration::from_secs(60);

/// Waits until a decision of this kind was made about a unit.
async fn decided(folder: &Folder, unit: &str, kind: &str) {
    let begun = Instant::now();
    loop {
        let lines = said(folder, &["decisions", unit]).await;
        if of(&lines, "decision").iter().any(|one| one["kind"] == kind) {
            return;
        }
        assert!(begun.elapsed() < LONG, "waited for {kind} of {unit}: {lines:?}");
        sleep(Duration::from_millis(500)).await;
    }
}

/// The decisions of the database, oldest first, as they were made.
async fn in_the_database(folder: &Folder) -> Vec<Value> {
    let lines = said(folder, &["decisions", "--limit", "10000"]).await;
    of(&lines, "decision").into_iter().rev().map(|one| one["record"].clone()).collect()
}

/// The decisions of an exported record.
fn in_the_record(folder: &Folder, file: &str) -> Vec<Value> {
    let text = String::from_utf8(folder.read(file)).expect("UTF-8");
    let line = |line: &str| serde_json::from_str::<Value>(line).expect("each line is JSON");
    text.lines().map(line).filter_map(|mut line| Some(line.get_mut("decision")?.take())).collect()
}

/// Exports what was recorded, until all that the database has is in it, and returns the file.
async fn exported(folder: &Folder, name: &str) -> String {
    let begun = Instant::now();
    for n in 0.. {
        let file = format!("{name}-{n}.jsonl");
        let kept = in_the_database(folder).await;
        let lines = said(folder, &["export", &file]).await;
        assert_eq!(lines.last().expect("a result")["outcome"], "exported", "{lines:?}");
        let recorded = in_the_record(folder, &file);
        if recorded.len() >= kept.len() {
            assert_eq!(recorded[..kept.len()], kept, "the record has the decisions of the database");
            return file;
        }
        assert!(begun.elapsed() < LONG, "{} of {} decisions are on record", recorded.len(), kept.len());
    }
    unreachable!("it ends or fails");
}

async fn replayed(folder: &Folder, ledger: &str) -> Said {
    folder.todoke(&["pool", "replay", ledger], &[]).await
}

/// Makes a record's decisions again, all of them.
async fn is_the_same_again(folder: &Folder, file: &str) {
    let said = replayed(folder, file).await;
    let result = said.result();
    assert_eq!((said.code, &result["outcome"]), (Some(0), &"same".into()), "{}", said.all());
    assert_eq!(result["decisions"], in_the_record(folder, file).len(), "{}", said.all());
    assert_eq!(result["cut_off"], Value::Array(Vec::new()), "{}", said.all());
}

#[tokio::test]
async fn every_decision_is_made_again_from_the_record_also_of_an_issuer_that_was_killed() {
    let folder = Folder::new();
    let mut dev = Dev::start(&folder, &["--relays", "3"]).await;
    until(&folder, &["relay-1", "relay-2", "relay-3"], "HEALTHY").await;
    said(&folder, &["drain", "relay-3", "--reason", "disk"]).await;
    let stopped = folder.endpoints()["relays"][1]["pid"].as_u64().expect("a pid");
    let stopped = u32::try_from(stopped).expect("small");
    signal(Signal::STOP, stopped);
    decided(&folder, "relay-2", "evict").await;
    signal(Signal::CONT, stopped);
    let before = exported(&folder, "before").await;
    is_the_same_again(&folder, &before).await;

    killed(&folder.endpoints()["issuers"][0]["pid"]);
    dev.until("ready", "issuer-1").await;
    said(&folder, &["undrain", "relay-3"]).await;
    let after = exported(&folder, "after").await;
    is_the_same_again(&folder, &after).await;
    let text = String::from_utf8(folder.read(&after)).expect("UTF-8");
    assert!(text.matches("{\"start\":").count() > 1, "the next process began a file");
    assert!(text.contains("\"restored\":true"), "and its judge knew what the one before it did");
    is_analysed(&folder, &after).await;
    is_asked_for_rightly(&folder, &after).await;
    is_told_what_was_changed(&folder, &text).await;
    assert_eq!(dev.stop().await, Some(0));
    let all = replayed(&folder, "dev/issuer.db-pool-ledger").await;
    assert_eq!((all.code, &all.result()["outcome"]), (Some(0), &"same".into()), "{}", all.all());
    assert!(all.result()["files"].as_u64() > Some(1), "{}", all.all());
}

async fn is_analysed(folder: &Folder, file: &str) {
    let said = folder.todoke(&["pool", "analyse", file], &[]).await;
    let result = said.result();
    assert_eq!((said.code, &result["files_that_differ"]), (Some(0), &0.into()), "{}", said.all());
    assert_eq!(result["decisions"], in_the_record(folder, file).len(), "{}", said.all());
    assert!(result["seconds"].as_u64() > Some(15), "{}", said.all());
    let unit = &result["units"]["relay-2"];
    assert_eq!((&unit["evictions"], &result["units"]["relay-1"]["evictions"]), (&1.into(), &0.into()));
    assert!(unit["probes"]["calls"].as_u64() > Some(5), "{}", said.all());
}

/// Who may, whereto, and what is said of an issuer that does not answer.
async fn is_asked_for_rightly(folder: &Folder, there: &str) {
    let before = folder.read(there);
    let refused = pool(folder, "operator/alice", &["export", there]).await;
    let words = refused.result()["error"].to_string();
    assert!(refused.code == Some(1) && words.contains("move it away"), "{}", refused.all());
    assert!(folder.read(there) == before, "what was there stays");
    let refused = pool(folder, "municipality/131229", &["export", "mine.jsonl"]).await;
    assert!(refused.code == Some(1) && refused.stdout.contains("WRONG_ROLE"), "{}", refused.all());
    let starts = |text: &[u8]| String::from_utf8_lossy(text).matches("{\"start\":").count();
    for turn in 0.. {
        let last = format!("last-{turn}.jsonl");
        let auditor = pool(folder, "auditor/a", &["export", &last, "--last", "1s"]).await;
        assert_eq!(auditor.code, Some(0), "{}", auditor.all());
        if starts(&folder.read(&last)) < starts(&before) {
            break; // only what begins with the last start, once that is over a second ago
        }
        assert!(turn < 50, "there are no more starts than {}", starts(&before));
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }

    let mut endpoints = folder.endpoints();
    let issuers = endpoints["issuers"].as_array_mut().expect("a list");
    let mut gone = issuers[0].clone();
    (gone["id"], gone["address"]) = ("issuer-2".into(), "127.0.0.1:9".into());
    issuers.push(gone);
    std::fs::write(folder.path("dev/two.json"), endpoints.to_string()).expect("it is written");
    let mut flags = by(folder, "operator/alice");
    flags[1] = folder.path("dev/two.json").display().to_string();
    let words = ["pool", "export", "some.jsonl", "--patience", "1s"];
    let part = folder.todoke(&words, &flags).await;
    assert_eq!((part.code, &part.result()["outcome"]), (Some(75), &"incomplete".into()), "{}", part.all());
    assert!(part.stdout.contains("\"issuer\":\"issuer-2\""), "it is named: {}", part.all());
    is_the_same_again(folder, "some.jsonl").await;
    assert!(!folder.path("mine.jsonl").exists(), "nothing is left of what was refused");
}

/// The same lines with their checks made anew, as somebody would who wants to be believed.
fn forged(text: &str) -> String {
    let (mut forged, mut group, mut check) = (String::new(), String::new(), [0_u8; 32]);
    for line in text.split_inclusive('\n') {
        if line.starts_with("{\"start\":") {
            check = [0; 32];
        }
        if !line.starts_with("{\"check\":") {
            group.push_str(line);
            continue;
        }
        let lines = Sha256::digest(group.as_bytes());
        check = Sha256::digest([&check[..], &lines[..]].concat()).into();
        let digits = hex::encode(check);
        forged += &format!("{group}{{\"check\":\"{digits}\"}}\n");
        group.clear();
    }
    forged
}

async fn is_told_what_was_changed(folder: &Folder, right: &str) {
    assert_eq!(forged(right), right, "the checks are as they are described");
    let place = |what: &str| right.lines().position(|line| line.contains(what)).expect("it is there") + 1;
    let write = |text: &str| std::fs::write(folder.path("changed.jsonl"), text).expect("it is written");

    // A number on which no decision hangs.
    write(&right.replacen("\"class\":\"probe\",\"n\":1,", "\"class\":\"probe\",\"n\":2,", 1));
    let said = replayed(folder, "changed.jsonl").await;
    let error = said.result()["error"].to_string();
    let lines = format!("lines {} to ", place("\"class\":\"probe\",\"n\":1,"));
    assert!(said.code == Some(2) && error.contains(&lines), "{lines}: {}", said.all());
    assert!(error.contains("changed.jsonl") && error.contains("todoke pool export"), "{error}");
    let analysed = folder.todoke(&["pool", "analyse", "changed.jsonl"], &[]).await;
    assert_eq!(analysed.code, Some(2), "{}", analysed.all());

    // A decision, first as it stands, then by somebody who makes the checks anew.
    let changed = right.replacen("did not renew its lease", "was not renewed by us", 1);
    write(&changed);
    let said = replayed(folder, "changed.jsonl").await;
    assert!(said.code == Some(2) && said.stdout.contains("lines "), "{}", said.all());
    write(&forged(&changed));
    let said = replayed(folder, "changed.jsonl").await;
    let (result, line) = (said.result(), place("did not renew its lease"));
    assert_eq!((said.code, &result["outcome"]), (Some(1), &"differs".into()), "{}", said.all());
    assert_eq!(result["difference"]["line"], line, "{}", said.all());

    // Killed while it wrote that line.
    let at = right.find("did not renew its lease").expect("it is there");
    write(&right[..at]);
    let said = replayed(folder, "changed.jsonl").await;
    let result = said.result();
    assert_eq!((said.code, &result["outcome"]), (Some(0), &"same".into()), "{}", said.all());
    let read = result["cut_off"][0]["after_line"].as_u64().expect("where it was cut off");
    assert!((line as u64 - 3..line as u64).contains(&read), "{line}: {}", said.all());
}
