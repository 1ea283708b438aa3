//! Promise: an operator finds every flipped bit of what is stored, puts it right from what is whole, changes
//! the key and moves to another database without losing any of it.

mod beside;
mod copy;
mod file;
mod keys;
mod other_keys;
mod repair;
mod replay;
mod roles;
mod rotation;
mod sealed;
mod server;

use std::time::Duration;

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{
    issuance::beside::flipped,
    system::{Dev, Folder, Said},
};

/// Records of a small file, in chunks of 64.
const RECORDS: &str = "300";

async fn beside(folder: &Folder) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(folder.path("dev/issuer.db")).foreign_keys(false);
    let options = options.pragma("ignore_check_constraints", "ON").busy_timeout(Duration::from_secs(10));
    SqliteConnection::connect_with(&options).await.expect("it opens")
}

/// Changes the file as a disk would.
async fn damage(folder: &Folder, sql: &str) {
    let mut connection = beside(folder).await;
    let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.expect("it runs");
    assert!(done.rows_affected() > 0, "nothing was damaged by {sql}");
    connection.close().await.expect("it closes");
}

async fn count(folder: &Folder, sql: &str) -> i64 {
    let mut connection = beside(folder).await;
    let count = sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut connection).await;
    connection.close().await.expect("it closes");
    count.expect("it counts")
}

async fn verify(folder: &Folder, more: &[&str]) -> Said {
    verify_at(folder, "sqlite:dev/issuer.db", more).await
}

async fn verify_at(folder: &Folder, database: &str, more: &[&str]) -> Said {
    let args = ["report", "verify-store", "--database", database, "--kek", "dev/pki/kek.key"];
    let keys = ["--receipt-key", "dev/pki/receipt.key", "--ca", "dev/pki/ca.pem"];
    folder.todoke(&[&args[..], &keys, more].concat(), &[]).await
}

fn events(said: &Said, event: &str) -> Vec<Value> {
    let lines = said.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines.filter(|value| value["event"] == event).collect()
}

/// Imports a file of which one record is rejected, and stops the system.
async fn imported(folder: &Folder) {
    imported_into(folder, &[]).await;
}

/// The same, with these flags of the system.
async fn imported_into(folder: &Folder, more: &[&str]) {
    let mut dev = Dev::start(folder, &[&["--relays", "1"], more].concat()).await;
    let args = ["sample", "--municipality", "131229", "--records", RECORDS, "--out", "cards.csv"];
    let said = folder.todoke(&[&args[..], &["--wrong-check-digit", "1"]].concat(), &[]).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    let said = folder.todoke(&IMPORT, &folder.as_ward()).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    assert_eq!(dev.stop().await, Some(0));
}

/// Imports another file of the same municipality, which is whole, and stops the system.
async fn another_imported(folder: &Folder) {
    let mut dev = Dev::start(folder, &["--relays", "1"]).await;
    let args =
        ["sample", "--municipality", "131229", "--records", "100", "--seed", "9", "--out", "other.csv"];
    assert_eq!(folder.todoke(&args, &[]).await.code, Some(0));
    let said = folder.todoke(&["import", "other.csv", "--chunk-records", "64"], &folder.as_ward()).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    assert_eq!(dev.stop().await, Some(0));
}

const IMPORT: [&str; 6] = ["import", "cards.csv", "--chunk-records", "64", "--policy", "accept-valid:9"];

/// The ids of the batches, the first of them first.
async fn batch_ids(folder: &Folder) -> Vec<String> {
    let mut connection = beside(folder).await;
    let ids: Vec<Vec<u8>> = sqlx::query_scalar("SELECT batch_id FROM batch ORDER BY sequence")
        .fetch_all(&mut connection)
        .await
        .expect("it reads");
    connection.close().await.expect("it closes");
    ids.iter().map(|id| uuid::Uuid::from_slice(id).expect("an id").to_string()).collect()
}

/// How something is damaged, and where it is to be found: table, chunk, record.
type Case = (String, &'static str, Option<i64>, Option<i64>);

/// The first of two batches: what is done to rows is done to its rows.
const FIRST: &str = "batch_id = (SELECT batch_id FROM batch WHERE sequence = 1)";

fn row(table: &str, column: &str, at: &str) -> String {
    format!("UPDATE {table} SET {column} = {} WHERE {at} AND {FIRST}", flipped(column))
}

/// The names of all persons of the file.
fn persons(folder: &Folder) -> Vec<String> {
    let text = String::from_utf8(folder.read("cards.csv")).expect("UTF-8");
    let mut lines = text.lines();
    let header = lines.next().expect("a header").split(',').position(|column| column == "name");
    let at = header.expect("a column of names");
    let names: Vec<String> = lines.filter_map(|line| line.split(',').nth(at).map(str::to_owned)).collect();
    assert!(names.len() >= 300, "the file was read");
    names
}

fn of_batches() -> Vec<Case> {
    vec![
        (row("chunk", "sealed", "chunk_number = 2"), "chunk", Some(2), None),
        (row("chunk", "root", "chunk_number = 2"), "chunk", Some(2), None),
        (format!("DELETE FROM chunk WHERE chunk_number = 2 AND {FIRST}"), "chunk", Some(2), None),
        (row("manifest", "manifest", "true"), "manifest", None, None),
        (row("manifest", "chunk_roots", "true"), "manifest", None, None),
        (row("manifest", "signature", "true"), "manifest", None, None),
        (row("manifest", "certificate_chain", "true"), "manifest", None, None),
        (row("receipt", "receipt", "true"), "receipt", None, None),
        (row("receipt", "digest", "true"), "receipt", None, None),
        (row("batch", "manifest_digest", "true"), "batch", None, None),
        (row("batch", "wrapped_key", "true"), "batch", None, None),
        (
            format!("UPDATE batch SET accepted = accepted - 1, rejected = rejected + 1 WHERE {FIRST}"),
            "batch",
            None,
            None,
        ),
        (
            format!("UPDATE batch_district SET stored_records = stored_records + 1 WHERE {FIRST}"),
            "batch_district",
            None,
            None,
        ),
        (format!("UPDATE batch SET state = 'ACCEPTEE' WHERE {FIRST}"), "batch", None, None),
        // No sum over all batches may end the look at the others.
        (format!("UPDATE batch SET chunk_count = -70000 WHERE {FIRST}"), "batch", None, None),
        (format!("UPDATE batch SET chunk_count = 9223372036854775807 WHERE {FIRST}"), "batch", None, None),
        (format!("UPDATE batch SET finished_ms = finished_ms + 1 WHERE {FIRST}"), "batch", None, None),
    ]
}

async fn of_records(folder: &Folder) -> Vec<Case> {
    let reject: i64 = count(folder, "SELECT record_index FROM disposition").await;
    let order = if reject == 70 { 71 } else { 70 };
    let at = format!("record_index = {order} AND {FIRST}");
    let person = "SELECT MIN(record_index) FROM card_order WHERE person_index IS NOT NULL";
    let person = count(folder, &format!("{person} AND {FIRST}")).await;
    let numbered = format!("record_index = {person}");
    vec![
        (row("card_order", "sealed", &at), "card_order", Some(1), Some(order)),
        (row("card_order", "leaf", &at), "card_order", Some(1), Some(order)),
        (row("card_order", "person_index", &numbered), "card_order", Some(person / 64), Some(person)),
        (format!("UPDATE card_order SET kind = 'X' WHERE {at}"), "card_order", Some(1), Some(order)),
        (format!("UPDATE card_order SET district = 'X' WHERE {at}"), "card_order", Some(1), Some(order)),
        (format!("UPDATE card_order SET order_id = 'X' WHERE {at}"), "card_order", Some(1), Some(order)),
        (
            format!("UPDATE card_order SET protected = 1 - protected WHERE {at}"),
            "card_order",
            Some(1),
            Some(order),
        ),
        (format!("UPDATE card_order SET attempt = 9 WHERE {at}"), "card_order", Some(1), Some(order)),
        (format!("DELETE FROM order_key WHERE {at}"), "card_order", Some(1), Some(order)),
        ("UPDATE disposition SET order_id = 'X'".to_owned(), "disposition", Some(reject / 64), Some(reject)),
        ("DELETE FROM disposition".to_owned(), "disposition", Some(reject / 64), Some(reject)),
        // It is missing in its batch, and a stranger under the other municipality.
        (format!("UPDATE card_order SET municipality_code = '011002' WHERE {at}"), "card_order", None, None),
    ]
}

#[tokio::test]
async fn every_flipped_bit_is_named_by_table_batch_and_place_and_nothing_of_a_person() {
    let folder = Folder::new();
    imported(&folder).await;
    another_imported(&folder).await;
    let [id, whole_id] = batch_ids(&folder).await.try_into().expect("two batches");
    let clean = verify(&folder, &[]).await;
    assert_eq!(clean.code, Some(0), "{}", clean.all());
    let result = &events(&clean, "result")[0];
    assert_eq!(
        (&result["batches"], &result["chunks"], &result["records"]),
        (&2.into(), &7.into(), &400.into())
    );
    let whole = folder.read("dev/issuer.db");
    let cases = [of_batches(), of_records(&folder).await].concat();
    for (sql, table, chunk, record) in cases {
        std::fs::write(folder.path("dev/issuer.db"), &whole).expect("it is written");
        damage(&folder, &sql).await;
        let said = verify(&folder, &[]).await;
        assert_eq!(said.code, Some(4), "{sql}\n{}", said.all());
        let found = events(&said, "finding");
        let place = (&Value::from(table), &Value::from(chunk), &Value::from(record));
        let named = |f: &&Value| (&f["table"], &f["chunk"], &f["record"]) == place;
        let there = found.iter().find(named).unwrap_or_else(|| panic!("{sql}: {found:#?}"));
        assert_eq!(there["batch_id"], *id, "{sql}");
        assert!(
            found.iter().all(|one| one["batch_id"] != *whole_id),
            "{sql}: the other is whole: {found:#?}"
        );
        assert!(!persons(&folder).iter().any(|name| said.stdout.contains(name)), "{sql}: a person is named");
        for one in &found {
            assert!(!one["repair"].as_str().unwrap_or_default().is_empty(), "{sql}: what is to be done");
        }
    }
}

#[tokio::test]
async fn what_is_damaged_in_an_accepted_batch_is_made_again_from_what_is_whole() {
    let folder = Folder::new();
    imported(&folder).await;
    let reject = count(&folder, "SELECT record_index / 64 FROM disposition").await;
    let whole = (0..5).find(|number| *number != reject).expect("one of five");
    let receipt = folder.read("cards.csv.receipt");
    damage(&folder, &format!("UPDATE chunk SET sealed = {} WHERE chunk_number = {whole}", flipped("sealed")))
        .await;
    damage(&folder, &format!("UPDATE receipt SET receipt = {}", flipped("receipt"))).await;
    let other = (whole + 1..5).find(|number| *number != reject).expect("another") * 64;
    let order = format!("record_index = {}", other + 3);
    damage(&folder, &format!("UPDATE card_order SET sealed = {} WHERE {order}", flipped("sealed"))).await;
    damage(&folder, &format!("DELETE FROM card_order WHERE record_index = {}", other + 4)).await;
    let before = folder.read("dev/issuer.db");
    assert_eq!(verify(&folder, &[]).await.code, Some(4));
    assert_eq!(folder.read("dev/issuer.db"), before, "looking changes nothing");
    let said = verify(&folder, &["--repair"]).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    let found = events(&said, "finding");
    assert!(found.len() >= 4 && found.iter().all(|one| one["repaired"] == true), "{found:#?}");
    let clean = verify(&folder, &[]).await;
    assert_eq!(clean.code, Some(0), "{}", clean.all());
    let kept = "SELECT COUNT(*) FROM quarantine WHERE (kind = 'ORDER' AND place IN";
    let kept =
        count(&folder, &format!("{kept} ({}, {})) OR kind IN ('CHUNK', 'RECEIPT')", other + 3, other + 4))
            .await;
    assert_eq!(kept, 4, "what was damaged is kept, each with its line");
    let mut dev = Dev::start(&folder, &["--relays", "1"]).await;
    std::fs::remove_file(folder.path("cards.csv.receipt")).expect("it is there");
    let said = folder.todoke(&IMPORT, &folder.as_ward()).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    assert_eq!(folder.read("cards.csv.receipt"), receipt, "byte for byte");
    assert_eq!(dev.stop().await, Some(0));
}

#[tokio::test]
async fn a_chunk_that_only_its_sender_still_has_is_set_aside_and_sent_again() {
    let folder = Folder::new();
    imported(&folder).await;
    let reject = count(&folder, "SELECT record_index / 64 FROM disposition").await;
    damage(
        &folder,
        &format!("UPDATE chunk SET sealed = {} WHERE chunk_number = {reject}", flipped("sealed")),
    )
    .await;
    let said = verify(&folder, &["--repair"]).await;
    assert_eq!(said.code, Some(4), "its records cannot be made of anything here: {}", said.all());
    let found = events(&said, "finding");
    assert_eq!((found.len(), &found[0]["chunk"]), (1, &reject.into()), "{found:#?}");
    let (what, next) = (found[0]["what"].to_string(), found[0]["repair"].to_string());
    assert!(what.contains("it is set aside now"), "{what}");
    assert!(next.contains("todoke resume FILE") && !next.contains("--repair"), "what is left to do: {next}");
    assert_eq!(count(&folder, "SELECT COUNT(*) FROM chunk").await, 4);
    let mut dev = Dev::start(&folder, &["--relays", "1"]).await;
    let status = folder.todoke(&["status", "cards.csv"], &folder.as_ward()).await;
    assert!(status.stdout.contains("damaged"), "{}", status.all());
    let beside = verify(&folder, &["--repair"]).await;
    assert_eq!(beside.code, Some(1), "{}", beside.all());
    assert!(beside.stdout.contains("stop it to repair"), "{}", beside.all());
    let gone = verify(&folder, &["--municipality", "131229"]).await;
    assert_eq!(gone.code, Some(4), "an issuer may run while it is looked at: {}", gone.all());
    let said = folder.todoke(&["resume", "cards.csv"], &folder.as_ward()).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    let clean = verify(&folder, &[]).await;
    assert_eq!(clean.code, Some(0), "{}", clean.all());
    assert_eq!(dev.stop().await, Some(0));
}
