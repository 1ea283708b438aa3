//! Promise: an issuer moves from a file to a server with all that it acknowledged, and its municipalities see
//! no difference; a move that breaks off anywhere leaves nothing there, and no issuer starts on half of it.

use std::{process::Stdio, time::Duration};

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, postgres::PgConnectOptions};
use todoke::{
    runtime::blocking,
    store::throwaway::{Care, Throwaway},
};

use super::{
    super::system::{Dev, Folder, Running, Said, Signal, eventually, signal},
    events, imported,
};

const DATABASE: &str = "todoke";

/// A server with an empty database.
pub(crate) async fn server() -> Throwaway {
    let started = blocking(|| Throwaway::start(Care::Durable)).await;
    let server = started.unwrap_or_else(|trouble| panic!("{trouble}"));
    server.create(DATABASE).await.expect("it is made");
    server
}

async fn sql(server: &Throwaway, sql: &str) -> Result<sqlx::postgres::PgQueryResult, sqlx::Error> {
    let options = PgConnectOptions::new_without_pgpass().socket(server.folder()).port(5432);
    let mut connection = PgConnection::connect_with(&options.username("todoke").database(DATABASE))
        .await
        .expect("it is there");
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await
}

fn sides(url: &str) -> [String; 4] {
    ["--from", "sqlite:dev/issuer.db", "--to", url].map(str::to_owned)
}

async fn copy(folder: &Folder, url: &str) -> Said {
    folder.todoke(&["store", "copy"], &sides(url)).await
}

async fn verify(folder: &Folder, url: &str) -> Said {
    let args = ["report", "verify-store", "--database", url, "--kek", "dev/pki/kek.key"];
    let keys = ["--receipt-key", "dev/pki/receipt.key", "--ca", "dev/pki/ca.pem"];
    folder.todoke(&[&args[..], &keys].concat(), &[]).await
}

/// What the ward is told of its batches.
async fn status(folder: &Folder) -> Vec<Value> {
    let said = folder.todoke(&["status"], &folder.as_ward()).await;
    let batches = events(&said, "batch");
    assert!(said.code == Some(0) && !batches.is_empty(), "{}", said.all());
    batches
}

#[tokio::test]
async fn an_issuer_that_moved_to_a_server_has_every_batch_and_receipt_and_goes_on() {
    let folder = Folder::new();
    let mut dev = Dev::start(&folder, &["--relays", "1"]).await;
    for (file, records, seed) in [("a.csv", "300", "1"), ("b.csv", "400", "2"), ("c.csv", "100", "3")] {
        folder.sample_with(file, records, &["--seed", seed]).await;
    }
    let said = folder.todoke(&["import", "a.csv"], &folder.as_ward()).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    let cut = ["import", "b.csv", "--chunk-records", "64", "--stop-after-records", "128"];
    let said = folder.todoke(&cut, &folder.as_ward()).await;
    assert_eq!(said.code, Some(75), "{}", said.all());
    let (before, ordered, receipt) =
        (status(&folder).await, folder.ordered().await, folder.read("a.csv.receipt"));
    let server = server().await;
    let url = server.url(DATABASE);
    let said = copy(&folder, &url).await;
    assert_eq!(said.code, Some(1), "its issuer runs: {}", said.all());
    assert!(said.stdout.contains("stop it first"), "{}", said.all());
    assert_eq!(dev.stop().await, Some(0));

    let said = copy(&folder, &url).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    let tables = events(&said, "table");
    assert_eq!((&said.result()["different"], tables.len()), (&serde_json::json!([]), 31), "{}", said.all());
    let orders = tables.iter().find(|one| one["table"] == "card_order").expect("it is copied");
    assert_eq!((&orders["from"]["rows"], &orders["from"]), (&300.into(), &orders["to"]));
    assert_eq!(verify(&folder, &url).await.code, Some(0));
    let said = folder.todoke(&["store", "compare"], &sides(&url)).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    let said = copy(&folder, &url).await;
    assert!(said.code == Some(1) && said.stdout.contains("has rows in"), "{}", said.all());

    let mut dev = Dev::start(&folder, &["--relays", "1", "--database", &url]).await;
    assert_eq!(status(&folder).await, before);
    assert_eq!(folder.ordered().await, ordered);
    let said = folder.todoke(&["import", "a.csv"], &folder.as_ward()).await;
    assert_eq!((said.code, &said.result()["again"]), (Some(0), &true.into()), "{}", said.all());
    assert_eq!(folder.read("a.csv.receipt"), receipt, "byte for byte");
    for args in [["resume", "b.csv"], ["import", "c.csv"]] {
        let said = folder.todoke(&args, &folder.as_ward()).await;
        assert_eq!(said.code, Some(0), "{}", said.all());
    }
    assert_eq!(folder.ordered().await.len(), 800);
    assert_eq!(dev.stop().await, Some(0));
    let whole = verify(&folder, &url).await;
    assert_eq!(whole.code, Some(0), "{}", whole.all());
    let said = folder.todoke(&["store", "compare"], &sides(&url)).await;
    let different = said.result()["different"].clone();
    assert!(said.code == Some(4) && different.to_string().contains("\"batch\""), "{}", said.all());
}

/// Starts an issuer on this database, which does not come far.
async fn started_on(folder: &Folder, url: &str) -> (Option<i32>, String) {
    let pki = |name: &str| folder.path("dev/pki").join(name).display().to_string();
    let mut command = folder.command(&["issuer", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]);
    command.args(["--database", url, "--cert", &pki("issuer-1.pem"), "--key", &pki("issuer-1.key")]);
    command.args(["--ca", &pki("ca.pem"), "--receipt-key", &pki("receipt.key"), "--kek", &pki("kek.key")]);
    command.env("TODOKE_STORE__LOCK_MAX", "200ms");
    let output = tokio::time::timeout(Duration::from_secs(60), command.stdin(Stdio::null()).output()).await;
    let output = output.expect("it ends").expect("it runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test]
async fn a_copy_that_is_killed_leaves_nothing_and_meanwhile_no_issuer_starts() {
    let folder = Folder::new();
    imported(&folder).await;
    let server = server().await;
    let url = server.url(DATABASE);
    let once = folder.path("once");
    let crash = |at: &str| {
        let once = once.display().to_string();
        [("TEST_TODOKE_CRASH_AT", at.to_owned()), ("TEST_TODOKE_CRASH_ONCE", once)]
    };
    for pass in [1, 5, 9] {
        let [at, file] = crash(&format!("copy-page:{pass}"));
        let mut command = folder.command(&["store", "copy"]);
        command.args(sides(&url)).env(at.0, at.1).env(file.0, file.1);
        let output = tokio::time::timeout(Duration::from_secs(60), command.output()).await;
        let output = output.expect("it ends").expect("it runs");
        assert_eq!(output.status.code(), None, "it is killed at page {pass}");
        std::fs::remove_file(&once).expect("it came to its point");
    }
    let [at, file] = crash("copy-page:7=stop");
    let variables = [(at.0, at.1.as_str()), (file.0, file.1.as_str())];
    let copy = Running::start_in(&folder, &["store", "copy"], &sides(&url), &variables);
    eventually("it stands still in the middle", || once.exists()).await;
    let (code, words) = started_on(&folder, &url).await;
    assert_eq!(code, Some(75), "{words}");
    assert!(words.contains("kept the database locked"), "{words}");
    signal(Signal::CONT, copy.pid());
    let said = copy.end().await;
    assert_eq!(said.code, Some(0), "the three that were killed have left nothing: {}", said.all());
    assert_eq!(verify(&folder, &url).await.code, Some(0));
    let mut dev = Dev::start(&folder, &["--relays", "1", "--database", &url]).await;
    let said = folder.todoke(&["import", "cards.csv"], &folder.as_ward()).await;
    assert_eq!(said.result()["again"], true, "{}", said.all());
    assert_eq!(dev.stop().await, Some(0));
}

#[tokio::test]
async fn a_copy_that_comes_out_otherwise_is_named_by_table_and_not_kept() {
    let folder = Folder::new();
    imported(&folder).await;
    let server = server().await;
    let url = server.url(DATABASE);
    let said = folder.todoke(&["migrate", "--database", &url], &[]).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    let in_the_way = "CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN NEW.sealed := substr(NEW.sealed, 2); RETURN NEW; END $$;
        CREATE TRIGGER cut BEFORE INSERT ON chunk FOR EACH ROW EXECUTE FUNCTION cut()";
    sql(&server, in_the_way).await.expect("it runs");
    let said = copy(&folder, &url).await;
    assert_eq!((said.code, &said.result()["different"]), (Some(4), &serde_json::json!(["chunk"])));
    let output = folder.command(&["store", "copy"]).args(sides(&url)).output().await.expect("it runs");
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(words.contains("TOTALS DIFFER: 1 of 31 tables: chunk"), "{words}");
    assert!(words.contains("Nothing was kept in the database. Next:"), "{words}");
    sql(&server, "DROP FUNCTION cut CASCADE").await.expect("it runs");
    let said = copy(&folder, &url).await;
    assert_eq!(said.code, Some(0), "nothing was kept of those before: {}", said.all());
    let wrong = |from: &str, to: &str| ["--from", from, "--to", to].map(str::to_owned);
    for (sides, code, words) in [
        (wrong(&url, &url), 2, "only a file is copied"),
        (wrong("sqlite:dev/issuer.db", "sqlite:b.db"), 2, "postgres://USER@HOST/DATABASE"),
        (wrong("issuer.db", &url), 64, "has no scheme"),
        (wrong("sqlite:gone.db", &url), 1, "there is no database"),
    ] {
        let said = folder.todoke(&["store", "copy"], &sides).await;
        assert!(said.code == Some(code) && said.stdout.contains(words), "{}", said.all());
    }
}
