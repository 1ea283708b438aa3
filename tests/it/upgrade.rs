//! Promise: what the first version of this program has written, a database, keys and a journal, is gone on
//! with by this one, and nothing of it is lost; and what its client sent is taken as it was then.
//!
//! `tests/data/v1` was written by that version: an accepted batch with one reject, and one that was cut after
//! its first chunk, with its file and journal.

use std::{fs, path::Path, time::Duration};

use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use todoke::{
    domain::{batch_id::BatchId, digest::Digest, manifest::Manifest, note, receipt::Receipt},
    vault::{Aad, Purpose, Vault},
};

use super::{
    issuance::harness::{Batch, Issuer},
    system::{Dev, Folder},
};

fn golden(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/v1").join(name)
}

/// Makes the database of the first version.
async fn database(path: &Path) -> SqliteConnection {
    let sql = fs::read_to_string(golden("store.sql")).expect("it is there");
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let options = options.busy_timeout(Duration::from_secs(10));
    let mut connection = SqliteConnection::connect_with(&options).await.expect("it opens");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect("it is written");
    connection
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
    database(&folder.path("dev/issuer.db")).await.close().await.expect("it closes");
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
    assert!(
        older.stdout.contains("run `todoke migrate --database URL` of this version, or start its issuer"),
        "{}",
        older.all()
    );

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

/// Id, wrapped key, manifest, roots and receipt.
type Row = (Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>);

/// The accepted batch as the client of that version sent it, manifest and chunks byte for byte out of the
/// database of then, with its receipt.
async fn sent_then() -> (Batch, Receipt) {
    let folder = Folder::new();
    let mut connection = database(&folder.path("v1.db")).await;
    let batch = "SELECT batch_id, wrapped_key, manifest, chunk_roots, receipt FROM batch
        JOIN manifest USING (municipality_code, batch_id) JOIN receipt USING (municipality_code, batch_id)";
    let batch = sqlx::query_as(batch).fetch_one(&mut connection).await.expect("one was accepted");
    let (id, wrapped_key, bytes, roots, receipt): Row = batch;
    let chunks = "SELECT chunk_number, sealed FROM chunk WHERE batch_id = $1 ORDER BY chunk_number";
    let chunks = sqlx::query_as(chunks).bind(id).fetch_all(&mut connection).await;
    let chunks: Vec<(u32, Vec<u8>)> = chunks.expect("its chunks");
    let manifest = Manifest::parse(&bytes).expect("it is read as it was written");
    let (municipality, batch): (_, BatchId) = (manifest.municipality, manifest.batch_id);
    let vault = Vault::open(&golden("kek.key"), &golden("receipt.key")).expect("its keys");
    let key = vault.unwrap(municipality, batch, &wrapped_key).expect("its key");
    let opened = |(number, sealed): &(u32, Vec<u8>)| {
        let aad = Aad { municipality, batch, index: u64::from(*number), purpose: Purpose::Chunk };
        key.open(&aad, sealed).expect("it opens").to_vec()
    };
    let payloads = chunks.iter().map(opened).collect();
    let roots = roots.chunks(32).map(|root| Digest::from_slice(root).expect("32 bytes")).collect();
    let receipt = note::open(&receipt, &vault.verifier_key()).expect("its signature holds");
    let receipt = Receipt::parse(receipt).expect("it is read as it was written");
    (Batch { manifest, bytes, payloads, roots, leaves: Vec::new() }, receipt)
}

#[tokio::test]
async fn what_a_client_of_the_first_version_sent_ends_here_with_the_receipt_of_then_but_for_its_time() {
    let (sent, then) = sent_then().await;
    let issuer = Issuer::start(|_| {}).await;
    // Only its certificate is of today.
    let ward = issuer.party(&format!("municipality/{}", sent.manifest.municipality)).await;
    ward.import(&sent).await;
    let receipt = ward.receipt(sent.manifest.batch_id).await.expect("it is accepted");
    let receipt = note::open(&receipt, &issuer.verifier).expect("its signature holds");
    let receipt = Receipt::parse(receipt).expect("canonical");
    assert_eq!(Receipt { committed_ms: then.committed_ms, ..receipt }, then);
}
