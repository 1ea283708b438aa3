//! Promise: an operator changes the key in the middle of a batch without losing any of it, and a change that
//! breaks off anywhere is finished by the next.

use std::{process::Stdio, time::Duration};

use sqlx::Connection as _;

use super::{
    super::system::{Dev, Folder},
    RECORDS, beside, count, damage, events, imported, verify,
};

pub(super) fn rotate(old: &str, new: &str) -> [String; 6] {
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
    assert!(stale.stdout.contains("after a rotation the new one"), "what to do: {}", stale.all());
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
async fn a_rotation_that_is_killed_before_any_page_is_finished_by_the_next_and_no_issuer_starts_between() {
    let folder = Folder::new();
    imported(&folder).await;
    std::fs::copy(folder.path("dev/pki/kek.key"), folder.path("old.key")).expect("it is copied");
    std::fs::write(folder.path("new.key"), "5a1b".repeat(16)).expect("it is written");
    fill(&folder, MANY).await;
    let once = folder.path("once");
    // Before the first page nothing is done but that it has begun; before the last, everything but the end.
    for (page, under_it) in [(1, 0), (2, 500), (3, 1000), (4, 1200)] {
        let mut command = folder.command(&["vault", "rotate"]);
        command.args(rotate("old.key", "new.key")).stdout(Stdio::null()).stderr(Stdio::null());
        command.env("TEST_TODOKE_CRASH_AT", format!("rotation-page:{page}"));
        command.env("TEST_TODOKE_CRASH_ONCE", &once);
        let status = tokio::time::timeout(Duration::from_secs(60), command.status()).await.expect("it ends");
        assert_eq!(status.expect("it runs").code(), None, "it is killed before page {page}");
        std::fs::remove_file(&once).expect("it came to its point");
        assert_eq!(under_new(&folder).await, under_it, "page {page}");
        let (code, words) = started_with(&folder, "new.key").await;
        assert_eq!(code, Some(1), "{words}");
        assert!(words.contains("todoke vault rotate"), "{words}");
        let other = folder.todoke(&["vault", "rotate"], &rotate("new.key", "old.key")).await;
        assert_eq!(other.code, Some(1), "{}", other.all());
        assert!(other.stdout.contains("was begun and not finished"), "{}", other.all());
    }
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

/// Batches beside the one that was imported: three pages of keys in all.
const MANY: u32 = 1199;

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
