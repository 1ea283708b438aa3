//! Promise: imports that meet the deaths of their database's primary end by themselves, with each record
//! once and the receipt that they keep, although an issuer may make no table; without synchronous replication
//! a receipt is lost, and said to be.

use super::cluster::Cluster;
use crate::system::{Dev, Folder, Running};

/// Records of a file; all files together are not more than `card list` shows.
const RECORDS: &str = "1600";

#[tokio::test]
async fn imports_end_by_themselves_while_the_primary_of_their_database_dies_five_times() {
    let (cluster, folder) = (Cluster::up(&[]), Folder::new());
    let (owner, database) = (cluster.url("owner"), cluster.url("database"));
    let refused = folder.todoke(&["migrate", "--database", &database], &[]).await;
    assert_eq!(refused.code, Some(1), "an issuer makes no tables: {}", refused.all());
    let said = folder.todoke(&["migrate", "--database", &owner], &[]).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    let mut dev = Dev::start(&folder, &["--relays", "2", "--database", &database]).await;
    let other = [&folder.as_ward()[..3], &["municipality/011002".to_owned()]].concat();
    let files: Vec<String> = (0..5).map(|time| format!("{time}.csv")).collect();
    for (time, file) in files.iter().enumerate() {
        folder.sample_with(file, RECORDS, &["--seed", &time.to_string()]).await;
        cluster.is_whole();
        let args = ["import", file, "--chunk-records", "8"];
        let mut import = Running::start(&folder, &args, &folder.as_ward());
        import.until("uploading").await;
        if time % 2 == 0 {
            // No commit is answered from here on, so it is in the middle when the primary dies.
            cluster.hold_standbys_back();
        }
        let dead = cluster.kill_primary();
        let said = folder.todoke(&["import", "--nothing-today", &format!("small-{file}")], &other).await;
        assert_eq!(said.code, Some(0), "a small write: {}", said.all());
        let said = import.end().await;
        assert_eq!(said.code, Some(0), "{}", said.all());
        folder.is_proved(file, &folder.path("dev/pki/receipt.pub")).await;
        cluster.start(&dead);
    }
    let mut expected: Vec<String> = files.iter().flat_map(|file| folder.order_ids(file)).collect();
    expected.sort();
    assert_eq!(folder.ordered().await, expected, "each record is one card");
    for file in &files {
        let receipt = folder.read(&format!("{file}.receipt"));
        let said = folder.todoke(&["import", file], &folder.as_ward()).await;
        assert_eq!((said.code, &said.result()["again"]), (Some(0), &true.into()), "{}", said.all());
        assert_eq!(folder.read(&format!("{file}.receipt")), receipt, "{file}: the receipt that it had");
    }
    let keys = ["--kek", "dev/pki/kek.key", "--receipt-key", "dev/pki/receipt.key", "--ca", "dev/pki/ca.pem"];
    let verify = [&["report", "verify-store", "--database", &owner], &keys[..]].concat();
    let said = folder.todoke(&verify, &[]).await;
    assert_eq!(said.code, Some(0), "everything is whole: {}", said.all());
    let said = folder.todoke(&[&verify[..], &["--repair"]].concat(), &[]).await;
    assert_eq!(said.code, Some(1), "the owner sees the issuers of another role: {}", said.all());
    assert!(said.stdout.contains("stop it to repair"), "{}", said.all());
    assert_eq!(dev.stop().await, Some(0));
}

#[tokio::test]
async fn without_synchronous_replication_a_receipt_is_lost_with_the_primary_that_gave_it() {
    let (cluster, folder) = (Cluster::up(&["--no-synchronous"]), Folder::new());
    let said = folder.todoke(&["migrate", "--database", &cluster.url("owner")], &[]).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    let mut dev = Dev::start(&folder, &["--relays", "1", "--database", &cluster.url("database")]).await;
    for (file, seed) in [("kept.csv", "1"), ("lost.csv", "2")] {
        folder.sample_with(file, "100", &["--seed", seed]).await;
        if file == "lost.csv" {
            cluster.is_whole();
            cluster.hold_standbys_back();
        }
        let said = folder.todoke(&["import", file], &folder.as_ward()).await;
        assert_eq!(said.code, Some(0), "{}", said.all());
        folder.is_proved(file, &folder.path("dev/pki/receipt.pub")).await;
    }
    cluster.kill_primary();
    let other = [&folder.as_ward()[..3], &["municipality/011002".to_owned()]].concat();
    let said = folder.todoke(&["import", "--nothing-today", "small.csv"], &other).await;
    assert_eq!(said.code, Some(0), "another is primary: {}", said.all());
    let said = folder.todoke(&["reconcile", "--all", "kept.csv", "lost.csv"], &folder.as_ward()).await;
    let lost = said.result()["lost_batches"].clone();
    assert_eq!((said.code, &lost[0]["sequence"]), (Some(1), &2.into()), "nobody lost it: {}", said.all());
    assert_eq!(folder.ordered().await, folder.order_ids("kept.csv"), "what the standbys had is there");
    assert_eq!(dev.stop().await, Some(0));
}
