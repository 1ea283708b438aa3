//! Promise: a file is opened only if it is ours, sound, known and not in use, and is durable from then on.

use std::time::Duration;

use sqlx::ConnectOptions as _;

use super::*;

async fn refused(options: &StoreOptions) -> Error {
    Store::open(options).await.expect_err("it is refused")
}

/// Runs statements on a file that nobody has open.
async fn change(path: &std::path::Path, text: &'static str) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut connection = options.connect().await.expect("it opens");
    sqlx::raw_sql(text).execute(&mut connection).await.expect("it runs");
    sqlx::Connection::close(connection).await.expect("it closes");
}

#[tokio::test]
async fn every_commit_is_on_the_disk_before_it_is_answered() {
    let case = Case::sqlite().await;
    let (read, write) = case.file();
    let value = async |pool: &sqlx::SqlitePool, pragma: &'static str| -> String {
        let text = sqlx::AssertSqlSafe(format!("SELECT CAST({pragma} AS TEXT) FROM pragma_{pragma}"));
        sqlx::query_scalar(text).fetch_one(pool).await.expect("reads")
    };
    assert_eq!(value(write, "synchronous").await, "2", "FULL");
    for pool in [read, write] {
        assert_eq!(value(pool, "journal_mode").await, "wal");
        assert_eq!(value(pool, "foreign_keys").await, "1");
    }
    let pages: i64 = sqlx::query_scalar("PRAGMA wal_autocheckpoint").fetch_one(write).await.expect("reads");
    assert_eq!(pages, 20_000);
    assert_eq!(value(write, "cache_size").await, "-65536");
    let known = crate::store::sqlite::MIGRATOR.iter().map(|m| m.version).max().expect("there is one");
    assert_eq!(value(write, "user_version").await, known.to_string(), "the last migration says its number");
}

#[tokio::test]
async fn a_file_has_one_process_and_is_free_when_that_is_gone() {
    let case = Case::sqlite().await;
    let error = refused(&options(case.path())).await;
    let text = error.to_string();
    assert!(matches!(error, Error::InUse { .. }), "{text}");
    assert!(text.contains("store.db-lock") && text.contains("stop that process"), "{text}");
    let dotted = case.path().parent().expect("a folder").join(".").join("store.db");
    assert!(matches!(refused(&options(&dotted)).await, Error::InUse { .. }), "by any name");
    case.open(1, 4).await;
    let (path, row) = (case.path().to_owned(), case.row(1).await);
    let Case { store, place: _place, .. } = case;
    store.close().await;
    assert!(matches!(store.batch(ward(), id(1)).await, Err(Error::Closed)));
    drop(store);
    let again = Store::open(&options(&path)).await.expect("it is free");
    assert_eq!(again.batch(ward(), id(1)).await.expect("reads"), Some(row));
}

#[tokio::test]
async fn a_newer_a_foreign_and_a_damaged_file_are_refused_and_left_alone() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let newer = dir.path().join("newer.db");
    Store::open(&options(&newer)).await.expect("it opens").close().await;
    change(&newer, "PRAGMA user_version = 999").await;
    let error = refused(&options(&newer)).await;
    assert!(matches!(error, Error::NewerSchema { found: 999, known: 1.. }), "{error}");
    assert!(error.to_string().contains("run the newer program"), "{error}");

    let foreign = dir.path().join("foreign.db");
    change(&foreign, "CREATE TABLE mine (n INTEGER); PRAGMA application_id = 7").await;
    assert!(matches!(refused(&options(&foreign)).await, Error::Foreign { found: 7, .. }));
    let unnamed = dir.path().join("unnamed.db");
    change(&unnamed, "CREATE TABLE mine (n INTEGER)").await;
    assert!(matches!(refused(&options(&unnamed)).await, Error::Foreign { found: 0, .. }));

    let text = dir.path().join("text.db");
    std::fs::write(&text, "this is no database, however long it is".repeat(200)).expect("it is written");
    assert!(matches!(refused(&options(&text)).await, Error::Open { .. }));
}

#[tokio::test]
async fn only_who_may_make_a_database_makes_one_of_a_file_without_tables() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("bare.db");
    let error = Store::open_existing(&options(&path)).await.expect_err("it is not there");
    assert!(matches!(error, Error::Missing { .. }) && !error.is_transient(), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).expect("it is readable").count(), 0, "not even a lock is made");
    change(&path, "PRAGMA user_version = 1").await;
    let all = [
        Store::open_existing(&options(&path)).await,
        Store::open_beside(&options(&path)).await,
        Store::open_to_read(&options(&path)).await,
    ];
    for opened in all {
        let error = opened.expect_err("nothing says that it is ours");
        assert!(matches!(error, Error::Foreign { found: 0, .. }), "{error}");
    }
    Store::open(&options(&path)).await.expect("it is made ours").close().await;
    Store::open_existing(&options(&path)).await.expect("now it is there").close().await;
}

#[tokio::test]
async fn damage_is_found_when_asked_for() {
    let case = Case::sqlite().await;
    let row = case.open(1, 400).await;
    for number in 0..100 {
        case.put(&row, number).await;
    }
    let path = case.path().to_owned();
    let Case { store, place: _place, .. } = case;
    store.close().await;
    drop(store);
    let mut bytes = std::fs::read(&path).expect("it is there");
    let middle = bytes.len() / 4096 / 2 * 4096;
    bytes[middle..middle + 4096].fill(0xff);
    std::fs::write(&path, bytes).expect("it is written");
    let checked = StoreOptions { quick_check: true, ..options(&path) };
    let error = refused(&checked).await;
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains("restore a backup"), "{error}");
}

#[tokio::test]
async fn a_url_that_names_no_file_is_refused_without_being_repeated() {
    let servers =
        ["postgres:user:secret@host/db", "postgres://:secret@host/db", "mysql://user:secret@host/db"];
    let files = ["", "issuer.db", "sqlite:", "sqlite::memory:", "sqlite:a?b"];
    for url in servers.into_iter().chain(files) {
        let error = refused(&StoreOptions { url: url.to_owned(), ..StoreOptions::default() }).await;
        assert!(matches!(error, Error::Url(_)), "{url}: {error}");
        assert!(!error.to_string().contains("secret"));
    }
    let nowhere = std::path::Path::new("/no/such/folder/store.db");
    let error = refused(&options(nowhere)).await;
    assert!(error.to_string().contains("check that its folder exists"), "{error}");
}

#[tokio::test]
async fn a_lock_held_by_a_tool_is_waited_for_and_then_told() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("store.db");
    let short = StoreOptions { busy_max: Duration::from_millis(1), ..options(&path) };
    let store = Store::open(&short).await.expect("it opens");
    let tool = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut tool = tool.connect().await.expect("it opens");
    let held = sqlx::Connection::begin_with(&mut tool, "BEGIN IMMEDIATE").await.expect("it locks");
    let started = tokio::time::Instant::now();
    let error = store.write_heartbeat("a test", NOW).await.expect_err("it is held");
    assert!(
        started.elapsed() >= Duration::from_millis(150),
        "five tries, with longer and longer waits between"
    );
    assert!(matches!(error, Error::Busy) && error.is_transient() && !error.may_have_applied(), "{error}");
    let (written, ()) = tokio::join!(store.write_heartbeat("a test", NOW), async {
        tokio::task::yield_now().await;
        held.rollback().await.expect("it lets go");
    });
    written.expect("it was waited for");
}

#[tokio::test]
async fn who_waits_too_long_for_a_turn_is_told_so() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("store.db");
    let hasty = StoreOptions { acquire_max: Duration::from_secs(1), ..options(&path) };
    let store = Store::open(&hasty).await.expect("it opens");
    let Pool::Sqlite { write, .. } = &store.pool else { panic!("it is a file") };
    let held = write.acquire().await.expect("it is free");
    let error = store.write_heartbeat("a test", NOW).await.expect_err("it is held");
    assert!(matches!(error, Error::NoConnection) && error.is_transient(), "{error}");
    drop(held);
}

#[tokio::test]
async fn a_database_is_made_for_its_owner_only_and_one_that_is_there_keeps_its_mode() {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("issuer.db");
    let options = StoreOptions { url: format!("sqlite:{}", path.display()), ..StoreOptions::default() };
    let mode = |name: &str| fs::metadata(dir.path().join(name)).expect("it is there").permissions().mode();
    let store = Store::open(&options).await.expect("it is made");
    for name in ["issuer.db", "issuer.db-wal", "issuer.db-shm"] {
        assert_eq!(mode(name) & 0o777, 0o600, "{name}");
    }
    store.close().await;
    drop(store);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("it is changed");
    let _store = Store::open(&options).await.expect("it opens");
    assert_eq!(mode("issuer.db") & 0o777, 0o640, "who shares it with a group may go on");
}
