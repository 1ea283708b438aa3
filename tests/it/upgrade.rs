//! Promise: what the first version of this program has written, a database, keys and a journal, is gone on
//! with by this one, and nothing of it is lost.
//!
//! `tests/data/v1` was written by that version: an accepted batch with one reject, and one that was cut after
//! its first chunk, with its file and journal.

use std::{fs, path::Path, time::Duration};

use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use super::system::{Dev, Folder};

fn golden(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/v1").join(name)
}

/// Puts what the first version has left behind into a folder of its own.
async fn left_behind(folder: &Folder) {
    let mut dev = Dev::start(folder, &["--relays", "1"]).await;
    assert_eq!(dev.stop().await, Some(0));
    for name in ["issuer.db", "issuer.db-witness", "issuer.db-wal", "issuer.db-shm"] {
        let _ = fs::remove_file(folder.path("dev").join(name)); // some are there, after an ordered stop
    }
    for (from, to) in [
        ("kek.key", "dev/pki/kek.key"),
        ("receipt.key", "dev/pki/receipt.key"),
        ("receipt.pub", "dev/pki/receipt.pub"),
        ("open.csv", "open.csv"),
        ("open.csv.todoke-journal", "open.csv.todoke-journal"),
    ] {
        fs::copy(golden(from), folder.path(to)).expect("it is copied");
    }
    let sql = fs::read_to_string(golden("store.sql")).expect("it is there");
    let options = SqliteConnectOptions::new().filename(folder.path("dev/issuer.db")).create_if_missing(true);
    let options = options.busy_timeout(Duration::from_secs(10));
    let mut connection = SqliteConnection::connect_with(&options).await.expect("it opens");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect("it is written");
    connection.close().await.expect("it closes");
    // The former CA signed the manifests; the new one signs whoever calls now.
    let both = [folder.read("dev/pki/ca.pem"), fs::read(golden("ca.pem")).expect("it is there")].concat();
    fs::write(folder.path("both.pem"), both).expect("it is written");
}

const VERIFY: [&str; 10] = [
    "report",
    "verify-store",
    "--database",
    "sqlite:dev/issuer.db",
    "--kek",
    "dev/pki/kek.key",
    "--receipt-key",
    "dev/pki/receipt.key",
    "--ca",
    "both.pem",
];

#[tokio::test]
async fn a_database_and_a_journal_of_the_first_version_are_gone_on_with() {
    let folder = Folder::new();
    left_behind(&folder).await;
    let older = folder.todoke(&VERIFY, &[]).await;
    assert_eq!(older.code, Some(1), "whoever only looks changes no schema: {}", older.all());
    assert!(older.stdout.contains("start `todoke issuer` of this version once"), "{}", older.all());

    let mut dev = Dev::start(&folder, &["--relays", "1"]).await;
    let said = folder.todoke(&["resume", "open.csv"], &folder.as_ward()).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    let sent = "\"durable_records\":4,\"records\":12";
    assert!(said.stdout.contains(sent), "what was durable is not sent again: {}", said.stdout);
    assert_eq!(dev.stop().await, Some(0));
    let clean = folder.todoke(&VERIFY, &[]).await;
    assert_eq!(clean.code, Some(0), "both batches are whole: {}", clean.all());
    assert!(clean.stdout.contains("\"batches\":2"), "{}", clean.stdout);
}
