//! Promise: `todoke migrate` says in its exit code whether a database is up to date, changes one only when
//! asked to, and prints the SQL that it would run.

use std::path::Path;

use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use super::run;

/// Makes a database as the programs of a schema left it, of what is printed.
async fn database(path: &Path, url: &str, schema: i64) {
    let (code, printed, errors) =
        run(&["migrate", "--print", "--all", "--database", url, "--output", "json"]);
    assert_eq!(code, 0, "{errors}");
    assert!(!path.exists(), "to print makes nothing");
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options).await.expect("it opens");
    for line in printed.lines() {
        let step: serde_json::Value = serde_json::from_str(line).expect("JSON");
        if step["event"] == "step" && step["version"].as_i64().expect("a number") <= schema {
            let sql = step["sql"].as_str().expect("text").to_owned();
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect("it runs");
        }
    }
    connection.close().await.expect("it closes");
}

#[tokio::test]
async fn a_database_is_checked_printed_and_brought_up_to_date() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("issuer.db");
    let url = format!("sqlite:{}", path.display());
    database(&path, &url, 5).await;
    let (code, said, _) = run(&["migrate", "--check", "--database", &url]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("schema 5, this program knows 10: run `todoke migrate`"), "{said}");
    let (code, said, _) = run(&["migrate", "--print", "--database", &url]);
    assert_eq!(code, 0);
    assert!(said.contains("CREATE TABLE schema_version") && !said.contains("CREATE TABLE batch"), "{said}");
    assert_eq!(run(&["migrate", "--check", "--database", &url]).0, 1, "to print changes nothing");
    let (code, said, errors) = run(&["migrate", "--database", &url]);
    assert_eq!((code, said.as_str()), (0, STEPS), "{errors}");
    let (code, said, _) = run(&["migrate", "--check", "--database", &url, "--output", "json"]);
    assert_eq!(code, 0);
    assert!(said.contains("\"found\":10,\"known\":10,\"up_to_date\":true"), "{said}");
    let (code, said, _) = run(&["migrate", "--database", &url]);
    assert_eq!(code, 0);
    assert!(said.contains("nothing was to be done"), "{said}");
}

const STEPS: &str = "step 6: schema version\nstep 7: lease\nstep 8: issuers\nstep 9: item\n\
    step 10: link\nthe database was brought from schema 5 to 10\n";

#[test]
fn what_spreads_the_tables_is_printed_and_what_does_not_fit_together_is_wrong_usage() {
    let (code, said, _) = run(&["migrate", "--print", "--distributed", "citus"]);
    assert_eq!(code, 0);
    let first = "create_distributed_table('batch', 'municipality_code', colocate_with => 'none');";
    let second = "create_distributed_table('manifest', 'municipality_code', colocate_with => 'batch');";
    assert!(said.find(first) < said.find(second) && said.contains(first), "{said}");
    assert!(said.contains("SELECT create_reference_table('restore');"), "{said}");
    for words in [
        &["migrate"][..],
        &["migrate", "--distributed", "citus"],
        &["migrate", "--check", "--print", "--database", "sqlite:a"],
        &["migrate", "--all", "--database", "sqlite:a"],
    ] {
        assert_eq!(run(words).0, 2, "{words:?}");
    }
    assert_eq!(run(&["migrate", "--check", "--database", "issuer.db"]).0, 64, "it has no scheme");
    assert_eq!(run(&["migrate", "--database", "sqlite:no/such/issuer.db"]).0, 1, "and none is made");
}
