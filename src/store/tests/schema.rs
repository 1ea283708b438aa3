//! Promise: every text of SQL fits the schema, every table is laid out by municipality, and no call of the
//! hot path reads a whole table.

use sqlx::{Column as _, Executor as _, SqlSafeStr as _, Statement as _};

use super::*;
use crate::store::{Pool, statement};

/// Tables whose primary key does not begin with the municipality.
const GLOBAL: [(&str, &str); 8] = [
    ("_sqlx_migrations", "the migrations' own ledger"),
    ("heartbeat", "a row a task of the whole system"),
    ("pool_controller", "one row: who decides about relays"),
    ("pool_decision", "the ledger of the pool, which is no municipality's"),
    ("pool_order", "orders of operators about relays"),
    ("pool_state", "one row: the state of all relays"),
    ("restore", "a row each time that the whole file was restored"),
    ("wrapped_secret", "a handful of secrets of the whole issuer"),
];

#[tokio::test]
async fn every_statement_fits_the_schema() {
    let case = Case::sqlite().await;
    let Pool::Sqlite { write, .. } = &case.store.pool;
    let mut seen = 0;
    for one in statement::all() {
        let prepared = write.prepare(one.sql.into_sql_str()).await;
        let prepared = prepared.unwrap_or_else(|error| panic!("{}: {error}", one.name));
        let parameters = match prepared.parameters() {
            Some(sqlx::Either::Left(named)) => named.len(),
            Some(sqlx::Either::Right(count)) => count,
            None => 0,
        };
        let highest = (1..=20).rev().find(|n| one.sql.contains(&format!("${n}"))).unwrap_or(0);
        assert_eq!(parameters, highest, "{}: a number is left out", one.name);
        for column in prepared.columns() {
            let name = column.name();
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{}: {name} has no name",
                one.name
            );
        }
        seen += 1;
    }
    assert!(seen >= 50, "the registry is not whole: {seen}");
}

#[tokio::test]
async fn every_primary_key_begins_with_the_municipality() {
    let case = Case::sqlite().await;
    let Pool::Sqlite { read, .. } = &case.store.pool;
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
            .fetch_all(read)
            .await
            .expect("reads");
    assert!(tables.len() >= 12, "{tables:?}");
    for table in &tables {
        let key: Vec<String> =
            sqlx::query_scalar("SELECT name FROM pragma_table_info($1) WHERE pk > 0 ORDER BY pk")
                .bind(table)
                .fetch_all(read)
                .await
                .expect("reads");
        let global = GLOBAL.iter().any(|(name, _)| name == table);
        let by_municipality = key.first().is_some_and(|column| column == "municipality_code");
        assert!(by_municipality != global, "{table}: {key:?}");
    }
    for (table, why) in GLOBAL {
        assert!(tables.iter().any(|name| name == table), "{table} ({why}) is gone: take it off the list");
    }
}

#[tokio::test]
async fn every_table_is_strict() {
    let case = Case::sqlite().await;
    let Pool::Sqlite { read, .. } = &case.store.pool;
    let loose: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND strict = 0
            AND name NOT IN ('_sqlx_migrations', 'sqlite_schema', 'sqlite_sequence')",
    )
    .fetch_all(read)
    .await
    .expect("reads");
    assert_eq!(loose, Vec::<String>::new());
}

/// Statements that may read a whole table or index, with the reason.
const SCANS: [(&str, &str); 17] = [
    ("heartbeat::COUNT_BEATS", "a row a task"),
    ("restore::IN_FORCE", "ends at the last row of a few"),
    ("ledger::LIST", "the index of what is open, and of each the index of its chunks"),
    ("lost::LOST_OF_ALL", "what is lost, which is what is asked for"),
    ("lost::STANDINGS", "the sweeper's list of all municipalities, after a restore only"),
    ("sweep::PULL_BACK", "what is open or has work, when the clock was set back"),
    ("inspect::ANNOUNCED", "adds up what every batch announced, for the progress of verify-store"),
    ("inspect::COUNT", "counts every batch, for the progress of verify-store"),
    ("inspect::LOST", "verify-store reads everything: that is what it is for"),
    ("inspect::POOL", "so it does of the relay pool, a row at a time"),
    ("keys::HEADS", "counts every batch, once when a process starts"),
    ("sqlite::", "about the file, when it is opened"),
    ("sweep::COUNT_HOLES", "the sweeper's count over all municipalities, in one index"),
    ("batches::HOLES", "the numbered rows of one municipality"),
    ("cards::BY_PERSON", "sorts the few cards of one person"),
    ("orders::INDEX_PERSONS", "sorts the persons of some chunks"),
    ("work::CANDIDATES", "the index of what is due"),
];

#[tokio::test]
async fn no_statement_reads_a_whole_table() {
    let case = Case::sqlite().await;
    let Pool::Sqlite { write, .. } = &case.store.pool;
    let mut needed = std::collections::BTreeSet::new();
    for one in statement::all() {
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", one.sql));
        let plan: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(explain).fetch_all(write).await.expect("it explains");
        let allowed = SCANS.iter().find(|(name, _)| one.name.contains(name)).copied();
        for (_, _, _, step) in &plan {
            let costly = step.starts_with("SCAN") || step.contains("USE TEMP B-TREE FOR ORDER BY");
            assert!(!costly || allowed.is_some(), "{}: {plan:#?}", one.name);
            needed.extend(allowed.filter(|_| costly));
        }
    }
    let stale: Vec<_> = SCANS.iter().filter(|scan| !needed.contains(scan)).collect();
    assert!(stale.is_empty(), "these read no whole table any more, take them off the list: {stale:#?}");
}

#[tokio::test]
async fn counts_that_do_not_add_up_cannot_be_written() {
    let case = Case::sqlite().await;
    case.open(1, 10).await;
    let Pool::Sqlite { write, .. } = &case.store.pool;
    for (change, constraint) in [
        ("stored = 1", "every_record_is_counted_once"),
        ("missing = 11, stored = -1", "stored"),
        ("state = 'SEALED'", "only_a_whole_batch_is_sealed"),
        ("missing = 0, stored = 10, finished_ms = 1, state = 'ACCEPTED'", "only_a_decided_batch_is_accepted"),
        ("missing = 0, accepted = 10, state = 'DISCREPANT'", "an_end_has_its_time"),
        (
            "missing = 0, accepted = 10, finished_ms = 1, state = 'ACCEPTED'",
            "only_what_can_be_found_is_accepted",
        ),
        ("chunks_worked = 4", "chunks_worked"),
    ] {
        let change = sqlx::AssertSqlSafe(format!("UPDATE batch SET {change}"));
        let error = sqlx::query(change).execute(write).await.expect_err("it is refused").to_string();
        assert!(error.contains(constraint), "{constraint}: {error}");
    }
}
