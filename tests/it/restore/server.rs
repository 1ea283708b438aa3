//! Promise: a database of a server is put back to a moment with a base backup and the archived log, as
//! deploy/README.md has it, and what it has forgotten since comes again once.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};
use todoke::{
    runtime::blocking,
    store::throwaway::{Care, Extra, Throwaway},
};

use super::{super::system::eventually, Dev, Folder, import, samples, what_it_forgot_comes_again};

const DATABASE: &str = "todoke";
const README: &str = include_str!("../../../deploy/README.md");
/// Where everything lies that the text speaks of.
const PLACE: &str = "/backup";
/// The moment that it is put back to there.
const MOMENT: &str = "2026-11-27 09:00:00+09";

/// The lines of a block of the text of this kind in which these words stand.
fn block(kind: &str, words: &str) -> String {
    let begin = format!("```{kind}\n");
    let blocks = README.split(&begin).skip(1).filter_map(|rest| rest.split("```").next());
    let mut found = blocks.filter(|block| block.contains(words));
    let one = found.next().unwrap_or_else(|| panic!("no {kind} has {words}"));
    assert!(found.next().is_none(), "two have {words}");
    one.to_owned()
}

/// The same, about this folder.
fn settings(words: &str, folder: &Path) -> String {
    block("ini", words).replace(PLACE, &folder.display().to_string())
}

/// Runs the line of the text that begins with this program.
async fn run(program: &str, folder: &Path, url: &str) {
    let text = block("bash", "pg_basebackup");
    let line = text.lines().find(|line| line.starts_with(program)).expect("it is there");
    let line = line.replace(PLACE, &folder.display().to_string()).replace("$BACKUP_URL", url);
    // Debian has some of the programs where nobody looks for them.
    let line = format!("PATH=$PATH:$(echo /usr/lib/postgresql/*/bin | tr ' ' :); {line}");
    let output =
        tokio::process::Command::new("/bin/sh").args(["-ec", &line]).output().await.expect("it runs");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

async fn asked(server: &Throwaway, sql: &'static str) -> String {
    let options = PgConnectOptions::new_without_pgpass().socket(server.folder()).port(5432);
    let options = options.username("todoke").database(DATABASE);
    let mut connection = PgConnection::connect_with(&options).await.expect("it is there");
    sqlx::query_scalar(sql).fetch_one(&mut connection).await.expect("it answers")
}

/// Waits until the server has read the log up to its moment, and can be written to. It takes callers before.
async fn at_its_moment(server: &Throwaway) {
    let read = async { while asked(server, "SELECT CAST(pg_is_in_recovery() AS TEXT)").await == "true" {} };
    tokio::time::timeout(Duration::from_secs(60), read).await.expect("it comes to its moment");
}

#[tokio::test]
async fn a_server_is_put_back_to_a_moment_and_what_it_forgot_comes_again_once() {
    let folder = Folder::new();
    let backup = folder.path("backup");
    fs::create_dir_all(backup.join("wal")).expect("it is ours");
    // The server's user is to get in.
    for (path, mode) in [(folder.path(""), 0o711), (backup.clone(), 0o711), (backup.join("wal"), 0o777)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    }
    let archived = settings("archive_command", &backup);
    let server = blocking(move || Throwaway::start_with(Care::Durable, archived.as_str())).await;
    let server = server.unwrap_or_else(|trouble| panic!("{trouble}"));
    server.create(DATABASE).await.expect("it is made");
    let url = server.url(DATABASE);
    let mut dev = Dev::start(&folder, &["--relays", "2", "--database", &url]).await;
    samples(&folder).await;
    for program in ["pg_basebackup", "pg_verifybackup"] {
        run(program, &backup, &url).await;
    }
    assert_eq!(import(&folder, "a.csv").await.code, Some(0));
    let moment = asked(&server, "SELECT CAST(clock_timestamp() AS TEXT)").await;
    let said = import(&folder, "b.csv").await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    let (before, receipt) = (folder.ordered().await, folder.read("b.csv.receipt"));
    assert_eq!(dev.stop().await, Some(0));
    let last = asked(&server, "SELECT pg_walfile_name(pg_switch_wal())").await;
    eventually("the log to be archived", || backup.join("wal").join(&last).exists()).await;
    blocking(move || drop(server)).await; // with its disk

    let back = settings("restore_command", &backup).replace(MOMENT, &moment);
    assert!(back.contains(&moment), "{back}");
    let base = backup.join("base");
    let restored = move || {
        let extra = Extra { settings: &back, files: &[("recovery.signal", "")] };
        Throwaway::start_copy(&base, Care::Durable, extra)
    };
    let server = blocking(restored).await.unwrap_or_else(|trouble| panic!("{trouble}"));
    at_its_moment(&server).await;
    let url = server.url(DATABASE);
    let batches = asked(&server, "SELECT CAST(COUNT(*) AS TEXT) FROM batch").await;
    assert_eq!(batches, "1", "that of b.csv came later");
    let marked = ["--database", &url, "--reason", "disk lost"].map(str::to_owned);
    assert_eq!(folder.todoke(&["restore", "mark"], &marked).await.code, Some(0));
    let mut dev = Dev::start(&folder, &["--relays", "2", "--database", &url]).await;
    what_it_forgot_comes_again(&folder, &url, &receipt, &before).await;
    assert_eq!(dev.stop().await, Some(0));
}
