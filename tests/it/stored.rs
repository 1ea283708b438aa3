//! Promise: an operator finds every flipped bit of what is stored, puts it right from what is whole, and
//! changes the key in the middle of a batch without losing any of it.

mod repair;

use std::{process::Stdio, time::Duration};

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
    let args = ["report", "verify-store", "--database", "sqlite:dev/issuer.db", "--kek", "dev/pki/kek.key"];
    let keys = ["--receipt-key", "dev/pki/receipt.key", "--ca", "dev/pki/ca.pem"];
    folder.todoke(&[&args[..], &keys, more].concat(), &[]).await
}

fn events(said: &Said, event: &str) -> Vec<Value> {
    let lines = said.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines.filter(|value| value["event"] == event).collect()
}

/// Imports a file whose third record is rejected, and stops the system.
async fn imported(folder: &Folder) {
    let mut dev = Dev::start(folder, &["--relays", "1"]).await;
    let args = ["sample", "--municipality", "131229", "--records", RECORDS, "--out", "cards.csv"];
    let said = folder.todoke(&[&args[..], &["--wrong-check-digit", "1"]].concat(), &[]).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    let said = folder.todoke(&IMPORT, &folder.as_ward()).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    assert_eq!(dev.stop().await, Some(0));
}

const IMPORT: [&str; 6] = ["import", "cards.csv", "--chunk-records", "64", "--policy", "accept-valid:9"];

/// How something is damaged, and where it is to be found: table, chunk, record.
type Case = (String, &'static str, Option<i64>, Option<i64>);

fn row(table: &str, column: &str, at: &str) -> String {
    format!("UPDATE {table} SET {column} = {} WHERE {at}", flipped(column))
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
        ("DELETE FROM chunk WHERE chunk_number = 2".to_owned(), "chunk", Some(2), None),
        (row("manifest", "manifest", "true"), "manifest", None, None),
        (row("manifest", "chunk_roots", "true"), "manifest", None, None),
        (row("manifest", "signature", "true"), "manifest", None, None),
        (row("manifest", "certificate_chain", "true"), "manifest", None, None),
        (row("receipt", "receipt", "true"), "receipt", None, None),
        (row("receipt", "digest", "true"), "receipt", None, None),
        (row("batch", "manifest_digest", "true"), "batch", None, None),
        (row("batch", "wrapped_key", "true"), "batch", None, None),
        ("UPDATE batch SET accepted = accepted - 1, rejected = rejected + 1".to_owned(), "batch", None, None),
        (
            "UPDATE batch_district SET stored_records = stored_records + 1".to_owned(),
            "batch_district",
            None,
            None,
        ),
        ("UPDATE batch SET state = 'ACCEPTEE'".to_owned(), "batch", None, None),
    ]
}

async fn of_records(folder: &Folder) -> Vec<Case> {
    let reject: i64 = count(folder, "SELECT record_index FROM disposition").await;
    let order = if reject == 70 { 71 } else { 70 };
    let at = format!("record_index = {order}");
    let person = "SELECT MIN(record_index) FROM card_order WHERE person_index IS NOT NULL";
    let person = count(folder, person).await;
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
    let clean = verify(&folder, &[]).await;
    assert_eq!(clean.code, Some(0), "{}", clean.all());
    let result = &events(&clean, "result")[0];
    assert_eq!(
        (&result["batches"], &result["chunks"], &result["records"]),
        (&1.into(), &5.into(), &300.into())
    );
    let whole = folder.read("dev/issuer.db");
    let cases = [of_batches(), of_records(&folder).await].concat();
    for (sql, table, chunk, record) in cases {
        std::fs::write(folder.path("dev/issuer.db"), &whole).expect("it is written");
        damage(&folder, &sql).await;
        let said = verify(&folder, &[]).await;
        assert_eq!(said.code, Some(4), "{sql}\n{}", said.all());
        let found = events(&said, "finding");
        let named = |f: &Value| {
            f["table"] == table && f["chunk"] == Value::from(chunk) && f["record"] == Value::from(record)
        };
        assert!(found.iter().any(named), "{sql}: {found:#?}");
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

fn rotate(old: &str, new: &str) -> [String; 6] {
    ["--database", "sqlite:dev/issuer.db", "--kek", old, "--new-kek", new].map(str::to_owned)
}

fn use_key(folder: &Folder, name: &str) {
    std::fs::copy(folder.path(name), folder.path("dev/pki/kek.key")).expect("it is copied");
}

#[tokio::test]
async fn the_key_is_changed_in_the_middle_of_a_batch_and_every_record_is_accepted_once() {
    let folder = Folder::new();
    let mut dev = Dev::start(&folder, &["--relays", "1"]).await;
    folder.sample("before.csv", "100").await;
    let said = folder.todoke(&["import", "before.csv"], &folder.as_ward()).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    let args =
        ["sample", "--municipality", "131229", "--records", RECORDS, "--seed", "8", "--out", "cards.csv"];
    assert_eq!(folder.todoke(&args, &[]).await.code, Some(0));
    let args = ["import", "cards.csv", "--chunk-records", "64", "--stop-after-records", "128"];
    let cut = folder.todoke(&args, &folder.as_ward()).await;
    assert_eq!(cut.code, Some(75), "{}", cut.all());
    std::fs::copy(folder.path("dev/pki/kek.key"), folder.path("old.key")).expect("it is copied");
    std::fs::write(folder.path("new.key"), "5a1b".repeat(16)).expect("it is written");
    let running = folder.todoke(&["vault", "rotate"], &rotate("old.key", "new.key")).await;
    assert_eq!(running.code, Some(1), "{}", running.all());
    assert!(running.stdout.contains("stop it, rotate"), "{}", running.all());
    assert_eq!(dev.stop().await, Some(0));
    let indexes = "SELECT COUNT(*) FROM card_order WHERE person_index IN (SELECT person_index FROM kept)";
    damage(&folder, "CREATE TABLE kept AS SELECT person_index FROM card_order; UPDATE batch SET attempt = 1")
        .await;

    let wrong = folder.todoke(&["vault", "rotate"], &rotate("new.key", "other.key")).await;
    assert_eq!(wrong.code, Some(64), "there is no such file: {}", wrong.all());
    std::fs::write(folder.path("other.key"), "77aa".repeat(16)).expect("it is written");
    let wrong = folder.todoke(&["vault", "rotate"], &rotate("other.key", "new.key")).await;
    assert_eq!(wrong.code, Some(1), "{}", wrong.all());
    assert!(wrong.stdout.contains("Nothing was changed"), "{}", wrong.all());
    let said = folder.todoke(&["vault", "rotate"], &rotate("old.key", "new.key")).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    assert_eq!(events(&said, "result")[0]["wrapped"], 2);
    let again = folder.todoke(&["vault", "rotate"], &rotate("old.key", "new.key")).await;
    assert_eq!(events(&again, "result")[0]["already"], 2, "{}", again.all());

    let stale = verify(&folder, &[]).await;
    assert_eq!(stale.code, Some(64), "the old key opens nothing any more: {}", stale.all());
    assert!(stale.stdout.contains("another key-encryption key"), "{}", stale.all());
    let (code, words) = started_with(&folder, "old.key").await;
    assert_eq!(code, Some(64), "{words}");
    assert!(words.contains("another key-encryption key"), "{words}");
    use_key(&folder, "new.key");
    let mut dev = Dev::start(&folder, &["--relays", "1"]).await;
    let said = folder.todoke(&["resume", "cards.csv"], &folder.as_ward()).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    let said = folder.todoke(&["import", "before.csv"], &folder.as_ward()).await;
    assert_eq!(said.code, Some(0), "what was there before is there: {}", said.all());
    let clean = verify(&folder, &[]).await;
    assert_eq!(clean.code, Some(0), "persons are found under their old indexes: {}", clean.all());
    assert_eq!(count(&folder, "SELECT COUNT(*) FROM card_order").await, 400);
    assert!(count(&folder, indexes).await > 0, "the indexes stay");
    assert_eq!(dev.stop().await, Some(0));
}

/// Starts an issuer with this key, which does not come far.
async fn started_with(folder: &Folder, kek: &str) -> (Option<i32>, String) {
    let pki = |name: &str| folder.path("dev/pki").join(name).display().to_string();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_todoke"));
    command.args(["issuer", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--database"]);
    command.arg(format!("sqlite:{}", folder.path("dev/issuer.db").display()));
    command.args(["--cert", &pki("issuer-1.pem"), "--key", &pki("issuer-1.key"), "--ca", &pki("ca.pem")]);
    command.args(["--receipt-key", &pki("receipt.key"), "--kek"]).arg(folder.path(kek));
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output =
        tokio::time::timeout(Duration::from_secs(60), output).await.expect("it ends").expect("it runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test]
async fn a_rotation_that_is_killed_at_any_moment_is_finished_by_the_next_and_no_issuer_starts_between() {
    let folder = Folder::new();
    imported(&folder).await;
    std::fs::copy(folder.path("dev/pki/kek.key"), folder.path("old.key")).expect("it is copied");
    std::fs::write(folder.path("new.key"), "5a1b".repeat(16)).expect("it is written");
    fill(&folder, MANY).await;
    let mut between = 0;
    for pages in 0..6 {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_todoke"));
        command.current_dir(folder.path("")).args(["vault", "rotate"]).args(rotate("old.key", "new.key"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("it runs");
        // It dies as soon as so many keys are under the new one, in whatever it does by then.
        while under_new(&folder).await < pages * 500 && child.try_wait().expect("its status").is_none() {}
        child.kill().await.expect("it is killed");
        if count(&folder, "SELECT COUNT(*) FROM wrapped_secret WHERE name = 'rotation'").await == 1 {
            between += 1;
            let (code, words) = started_with(&folder, "new.key").await;
            assert_eq!(code, Some(1), "{words}");
            assert!(words.contains("todoke vault rotate"), "{words}");
            let other = folder.todoke(&["vault", "rotate"], &rotate("new.key", "old.key")).await;
            assert_eq!(other.code, Some(1), "{}", other.all());
            assert!(other.stdout.contains("was begun and not finished"), "{}", other.all());
        }
    }
    assert!(between > 2, "most deaths came in the middle: {between}");
    let said = folder.todoke(&["vault", "rotate"], &rotate("old.key", "new.key")).await;
    assert_eq!(said.code, Some(0), "every key opens: {}", said.all());
    let status = folder.todoke(&["vault", "status", "--database", "sqlite:dev/issuer.db"], &[]).await;
    let keks = events(&status, "kek");
    assert_eq!((keks.len(), &keks[0]["batches"]), (1, &(MANY + 1).into()), "{}", status.all());
    damage(&folder, "DELETE FROM batch WHERE sequence > 1").await;
    use_key(&folder, "new.key");
    let clean = verify(&folder, &[]).await;
    assert_eq!(clean.code, Some(0), "{}", clean.all());
}

/// Batches beside the one that was imported.
const MANY: u32 = 5000;

/// How many keys are not under the key that most began with.
async fn under_new(folder: &Folder) -> i64 {
    let first = "(SELECT substr(wrapped_key, 1, 9) FROM kept)";
    count(folder, &format!("SELECT COUNT(*) FROM batch WHERE substr(wrapped_key, 1, 9) <> {first}")).await
}

/// Adds batches that were given up, each with a key of its own.
async fn fill(folder: &Folder, many: u32) {
    let pki = folder.path("dev/pki");
    let vault = todoke::vault::Vault::open(&pki.join("kek.key"), &pki.join("receipt.key")).expect("a vault");
    let ward = "131229".parse().expect("right");
    let mut connection = beside(folder).await;
    let mut tx = connection.begin().await.expect("it begins");
    for n in 2..many + 2 {
        let id: todoke::domain::batch_id::BatchId =
            format!("0192f0c1-2345-7abc-8def-{n:012x}").parse().expect("version 7");
        let (_, wrapped) = vault.new_data_key(ward, id).expect("a key");
        sqlx::query(
            "INSERT INTO batch (municipality_code, batch_id, sequence, state, attempt, record_count,
                chunk_records, chunk_count, manifest_digest, wrapped_key, uploader_epoch, missing, opened_ms,
                progress_ms, seal_by_ms, finished_ms)
            SELECT municipality_code, $1, $2, 'ABORTED', 1, 0, 4, 0, manifest_digest, $3, 1, 0, 1, 1, 1, 1
            FROM batch WHERE sequence = 1",
        )
        .bind(id.uuid())
        .bind(n)
        .bind(wrapped)
        .execute(&mut *tx)
        .await
        .expect("it is added");
    }
    sqlx::query("CREATE TABLE kept AS SELECT wrapped_key FROM batch WHERE sequence = 1")
        .execute(&mut *tx)
        .await
        .expect("it is kept");
    tx.commit().await.expect("it is written");
}
