//! Promise: with nothing but the commands and the files of a municipality, what a restored backup has
//! forgotten is found, sent again, and has the receipt that it had.

mod server;

use super::system::{Dev, Folder, Said};

async fn import(folder: &Folder, file: &str) -> Said {
    folder.todoke(&["import", file], &folder.as_ward()).await
}

async fn samples(folder: &Folder) {
    for (file, records, seed) in [("a.csv", "200", "1"), ("b.csv", "300", "2"), ("c.csv", "100", "3")] {
        folder.sample_with(file, records, &["--seed", seed]).await;
    }
}

/// A system whose backup of after `a.csv` took the place of its database after `b.csv`, with the receipt of
/// `b.csv` and the order ids of before.
async fn restored(folder: &Folder) -> (Dev, Vec<u8>, Vec<String>) {
    let mut dev = Dev::start(folder, &["--relays", "2"]).await;
    samples(folder).await;
    assert_eq!(import(folder, "a.csv").await.code, Some(0));
    assert_eq!(dev.stop().await, Some(0));
    std::fs::copy(folder.path("dev/issuer.db"), folder.path("backup.db")).expect("one file is all of it");
    let mut dev = Dev::start(folder, &["--relays", "2"]).await;
    let said = import(folder, "b.csv").await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    let (before, receipt) = (folder.ordered().await, folder.read("b.csv.receipt"));
    assert_eq!(dev.stop().await, Some(0));

    std::fs::copy(folder.path("backup.db"), folder.path("dev/issuer.db")).expect("it is put in place");
    // As on another machine: nothing beside the file tells that it is an older one.
    std::fs::remove_file(folder.path("dev/issuer.db-witness")).expect("it was written");
    let dev = Dev::start(folder, &["--relays", "2"]).await;
    (dev, receipt, before)
}

/// Sees a database that has forgotten the batch of `b.csv` through to where both sides agree again.
async fn what_it_forgot_comes_again(folder: &Folder, database: &str, receipt: &[u8], before: &[String]) {
    // The receipt of b.csv lies beside c.csv, and is named as the one before.
    let said = import(folder, "c.csv").await;
    assert_eq!((said.code, &said.result()["reason"]), (Some(1), &"RECONCILE_FIRST".into()), "{}", said.all());
    assert!(said.all().contains("`todoke reconcile --all FILES`"), "that is what helps: {}", said.all());
    let remedy = said.result()["remedy"].clone();
    assert!(remedy.as_str().is_some_and(|remedy| remedy.contains("reconcile --all FILES")), "{remedy}");
    // The receipt of one file proves it; that it is the only one nobody has said.
    let said = folder.todoke(&["reconcile", "b.csv"], &folder.as_ward()).await;
    assert_eq!((said.code, &said.result()["reconcile_first"]), (Some(1), &true.into()), "{}", said.all());
    let said = folder.todoke(&["status"], &folder.as_ward()).await;
    assert_eq!(said.result()["reconcile_first"], true, "{}", said.all());
    let at_the_issuer = ["restore", "status", "--database", database];
    let said = folder.todoke(&at_the_issuer, &[]).await;
    assert_eq!((said.code, &said.result()["waiting"]), (Some(1), &1.into()), "beside it: {}", said.all());
    let reconcile = ["reconcile", "--all", "a.csv", "b.csv"];
    let said = folder.todoke(&reconcile, &folder.as_ward()).await;
    assert_eq!((said.code, &said.result()["reconcile_first"]), (Some(1), &false.into()), "{}", said.all());
    assert_eq!(said.result()["lost_batches"][0]["sequence"], 2, "{}", said.all());
    assert!(said.stdout.contains("`todoke resume b.csv` sends it again"), "{}", said.all());

    let said = folder.todoke(&["resume", "b.csv"], &folder.as_ward()).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    assert_eq!(folder.read("b.csv.receipt"), receipt, "the receipt that it had, byte for byte");
    assert_eq!(folder.ordered().await, before, "each card once");
    folder.is_proved("b.csv", &folder.path("dev/pki/receipt.pub")).await;
    let said = folder.todoke(&reconcile, &folder.as_ward()).await;
    assert_eq!(said.code, Some(0), "both sides agree: {}", said.all());
    let said = folder.todoke(&at_the_issuer, &[]).await;
    assert_eq!((said.code, &said.result()["lost"]), (Some(0), &0.into()), "{}", said.all());

    let said = import(folder, "c.csv").await;
    assert_eq!((said.code, &said.result()["sequence"]), (Some(0), &3.into()), "{}", said.all());
}

#[tokio::test]
async fn a_restored_backup_is_noticed_and_what_it_forgot_comes_again_once() {
    let folder = Folder::new();
    let (mut dev, receipt, before) = restored(&folder).await;
    let database = format!("sqlite:{}", folder.path("dev/issuer.db").display());
    what_it_forgot_comes_again(&folder, &database, &receipt, &before).await;
    assert_eq!(dev.stop().await, Some(0));
}

#[tokio::test]
async fn nothing_today_said_twice_is_one_batch_and_tomorrow_another() {
    let folder = Folder::new();
    let mut dev = Dev::start(&folder, &["--relays", "1"]).await;
    let nothing = ["import", "--nothing-today"];
    let said = folder.todoke(&nothing, &folder.as_ward()).await;
    assert_eq!((said.code, &said.result()["records"]), (Some(0), &0.into()), "{}", said.all());
    let (first, again) = (said.result(), folder.todoke(&nothing, &folder.as_ward()).await.result());
    assert_eq!(
        (&again["batch_id"], &again["again"]),
        (&first["batch_id"], &true.into()),
        "said twice is once"
    );
    let other = [&folder.as_ward()[..3], &["municipality/011002".to_owned()]].concat();
    let said = folder.todoke(&nothing, &other).await;
    let words = said.result()["error"].as_str().unwrap_or_default().to_owned();
    assert!(said.code == Some(1) && words.contains("for municipality/011002, name another FILE"), "{words}");
    let said = folder.todoke(&["import", "--nothing-today", "sapporo.csv"], &other).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    // Each day has a file of its own, which by itself bears its date.
    let tomorrow = ["import", "--nothing-today", "tomorrow.csv"];
    let said = folder.todoke(&tomorrow, &folder.as_ward()).await;
    let next = said.result();
    let its = (said.code, &next["sequence"], &next["records"], &next["again"]);
    assert_eq!(its, (Some(0), &2.into(), &0.into(), &false.into()), "{}", said.all());
    assert_ne!(next["batch_id"], first["batch_id"], "another day is another batch: {}", said.all());
    assert_eq!(dev.stop().await, Some(0));
}

#[tokio::test]
async fn a_release_says_what_it_gave_up_and_whether_the_municipality_is_known_here() {
    let folder = Folder::new();
    let mut dev = Dev::start(&folder, &["--relays", "1"]).await;
    folder.sample("a.csv", "100").await;
    assert_eq!(import(&folder, "a.csv").await.code, Some(0));
    assert_eq!(dev.stop().await, Some(0));
    let of = ["--database", "sqlite:dev/issuer.db", "--reason", "a test"].map(str::to_owned);
    assert_eq!(folder.todoke(&["restore", "mark"], &of).await.code, Some(0));
    for (code, known, words) in
        [("131229", true, "nothing was known to be lost"), ("131237", false, "knows no batch of it")]
    {
        let said = folder.todoke(&["restore", "release", code], &of).await;
        let (result, is) = (said.result(), serde_json::Value::from(known));
        assert_eq!((said.code, &result["known"], &result["given_up"]), (Some(0), &is, &0.into()), "{code}");
        let output = folder.command(&["restore", "release", code]).args(&of).output();
        let output = tokio::time::timeout(std::time::Duration::from_secs(60), output).await;
        let said = output.expect("it ends").expect("it runs").stdout;
        assert!(String::from_utf8_lossy(&said).contains(words), "{code}: {}", String::from_utf8_lossy(&said));
    }
}
