//! Promise: with `--output json` the last line says how it ended and with which exit code, also when it
//! failed or was interrupted.

use serde_json::{Value, json};

use super::run;
use crate::system::{Folder, Running, Signal, signal};

#[test]
fn whatever_fails_ends_with_a_result_that_names_its_exit_code() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    std::fs::write(path("some"), "").expect("the folder is writable");
    let (here, gone, database) = (path(""), path("gone/x"), format!("sqlite:{}", path("gone.db")));
    let whose = ["--endpoints", &gone, "--as", "municipality/131229"];
    let keys = ["--kek", &gone, "--receipt-key", &gone, "--ca", &gone, "--database", &database];
    for (words, more, code) in [
        (&["import", "--nothing-today", &gone][..], &whose[..], 1),
        (&["import", &path("gone.csv")], &whose, 64),
        (&["status"], &whose, 64),
        (&["reconcile", "--all"], &whose, 64),
        (&["card", "list"], &whose, 64),
        (&["application", "list"], &whose, 64),
        (&["application", "restore", "N-1"], &whose, 64),
        (&["mail", "list"], &whose, 64),
        (&["mail", "hand-over", "E-1"], &whose, 64),
        (&["mail", "stocktake", "--office", "x", &gone], &whose, 1),
        (&["report", "verify-store"], &keys, 64),
        (&["vault", "status"], &["--database", &database], 1),
        (&["restore", "status"], &["--database", &database], 1),
        (&["restore", "mark", "--reason", "x"], &["--database", "postgres:x"], 64),
        (&["sample", "--municipality", "131229", "--out", &gone], &[], 1),
        (&["dev", "--dir", &gone, "--issuers", "2"], &[], 2),
        (&["demo", "--keep", &here], &[], 2),
        (&["pki", "show", &gone], &[], 1),
        (&["config", "print", "--role", "relay"], &[], 64),
    ] {
        let (ended, said, errors) = run(&[words, more, &["--output", "json"]].concat());
        let last = said.lines().last().unwrap_or_default();
        let result: Value =
            serde_json::from_str(last).unwrap_or_else(|_| panic!("{words:?}: {said}{errors}"));
        assert_eq!((&result["event"], &result["exit_code"]), (&json!("result"), &json!(code)), "{result}");
        assert_eq!((ended, errors.as_str()), (code, ""), "{words:?}");
    }
}

#[test]
fn there_is_one_result_however_many_files_cannot_be_shown() {
    let (ended, said, errors) = run(&["pki", "show", "gone-1.pem", "gone-2.pem", "--output", "json"]);
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let events: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap_or_default()).collect();
    assert_eq!((events.as_slice(), errors.as_str()), (&["file", "file", "result"][..], ""), "{said}");
    assert!(lines[0]["error"].as_str().is_some_and(|words| words.contains("gone-1.pem")), "{said}");
    assert_eq!((ended, &lines[2]["exit_code"]), (1, &json!(1)), "{said}");
}

/// A ward with its certificate and a relay where nobody is.
async fn with_nobody_there() -> Folder {
    let folder = Folder::new();
    for words in
        [&["pki", "init", "--dir", "pki"][..], &["pki", "issue", "municipality/131229", "--dir", "pki"]]
    {
        let said = folder.todoke(words, &[]).await;
        assert_eq!(said.code, Some(0), "{}", said.all());
    }
    let endpoints = json!({
        "server_name": "todoke.internal", "ca": "pki/ca.pem", "receipt_key": "pki/receipt.pub",
        "relays": [{"id": "relay-1", "address": "127.0.0.1:9"}],
        "clients": {"municipality/131229": {"cert": "pki/131229.pem", "key": "pki/131229.key"}},
    });
    std::fs::write(folder.path("endpoints.json"), endpoints.to_string()).expect("the folder is writable");
    folder
}

#[tokio::test]
async fn who_asks_hears_that_nobody_answers_and_waits_as_long_as_he_says() {
    let folder = with_nobody_there().await;
    for (patience, tells) in [("1s", false), ("15s", true)] {
        let words = ["status", "--as", "municipality/131229", "--patience", patience];
        let begun = std::time::Instant::now();
        let output = folder.command(&words).output().await.expect("it runs");
        assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(75), "{errors}");
        let still = "still trying: ListBatches: relay-1";
        assert_eq!(errors.contains(still), tells, "{patience}: {errors}");
    }
}

#[tokio::test]
async fn a_proof_that_is_asked_for_without_a_journal_names_what_helps() {
    let folder = with_nobody_there().await;
    folder.sample("cards.csv", "20").await;
    let ward = ["--as", "municipality/131229"];
    let words = ["prove", "cards.csv", "--order-id", "K-1", "--from-server", "--patience", "1s"];
    let output = folder.command(&[&words[..], &ward].concat()).output().await.expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("leave out --from-server") && !errors.contains("--batch"), "{errors}");
}

#[tokio::test]
async fn the_layout_of_the_readme_is_enough_for_the_commands_below_it() {
    let folder = with_nobody_there().await;
    let readme = include_str!("../../../README.md");
    let (_, layout) = readme.split_once("```text\nfield,").expect("it shows a layout");
    let layout = format!("field,{}", layout.split("```").next().expect("it ends"));
    std::fs::write(folder.path("layout.csv"), layout).expect("the folder is writable");
    let fixed = ["--layout", "layout.csv", "--encoding", "cp932"];
    for (words, code) in [
        (&["sample", "--municipality", "131229", "--out", "cards.txt"][..], 0),
        (&["import", "cards.txt", "--as", "municipality/131229", "--patience", "1s"], 75),
    ] {
        let output = folder.command(&[words, &fixed].concat()).output().await.expect("it runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {errors}");
    }
}

#[tokio::test]
async fn a_run_that_is_interrupted_says_so_and_what_to_do_next() {
    let folder = with_nobody_there().await;
    folder.sample("cards.csv", "20").await;
    let words = ["import", "cards.csv", "--as", "municipality/131229"];
    let mut import = Running::start(&folder, &words, &[]);
    import.until("waiting").await;
    signal(Signal::TERM, import.pid());
    let said = import.end().await;
    let result: Value = serde_json::from_str(said.stdout.lines().last().expect("a line")).expect("JSON");
    assert_eq!((said.code, &result["exit_code"]), (Some(75), &json!(75)), "{}", said.all());
    assert_eq!(result["outcome"], "interrupted");
    assert!(
        result["error"].as_str().is_some_and(|words| words.contains("`todoke resume cards.csv`")),
        "{result}"
    );
}
