//! Promise: every text of SQL fits the schema, which is the same on both databases, and no call of the hot
//! path reads a whole table. How the tables are laid out by municipality is in `layout`.

use sqlx::{Column as _, Executor as _, SqlSafeStr as _, Statement as _};

use super::*;
use crate::store::statement;

/// A statement as a database sees it: how many parameters it has, and the names of its columns.
type Seen = BTreeMap<&'static str, (usize, Vec<String>)>;

/// Prepares every statement that this database has.
async fn prepared<C>(conn: &mut C, sql: impl Fn(&statement::Statement) -> Option<&'static str>) -> Seen
where
    C: sqlx::Connection,
    for<'c> &'c mut C: sqlx::Executor<'c, Database = C::Database>,
    for<'s> usize: sqlx::ColumnIndex<<C::Database as sqlx::Database>::Row>,
{
    let mut seen = Seen::new();
    for one in statement::all() {
        let Some(text) = sql(&one) else { continue };
        let prepared = conn.prepare(text.into_sql_str()).await;
        let prepared = prepared.unwrap_or_else(|error| panic!("{}: {error}", one.name));
        let parameters = match prepared.parameters() {
            Some(sqlx::Either::Left(named)) => named.len(),
            Some(sqlx::Either::Right(count)) => count,
            None => 0,
        };
        let highest = (1..=20).rev().find(|n| text.contains(&format!("${n}"))).unwrap_or(0);
        assert_eq!(parameters, highest, "{}: a number is left out", one.name);
        let columns: Vec<_> = prepared.columns().iter().map(|column| column.name().to_owned()).collect();
        for name in &columns {
            let named = name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            assert!(named, "{}: {name} has no name", one.name);
        }
        seen.insert(one.name, (parameters, columns));
    }
    seen
}

#[tokio::test]
async fn every_statement_fits_the_schema_and_is_the_same_on_both_databases() {
    let (file, server) = (Case::sqlite().await, Case::postgres().await);
    let mut write = file.file().1.acquire().await.expect("it is free");
    let Pool::Postgres(server) = &server.store.pool else { panic!("it is a server") };
    let mut connection = server.acquire().await.expect("it is there");
    let on_file = prepared(&mut *write, |one| one.sqlite).await;
    let on_server = prepared(&mut *connection, |one| one.postgres).await;
    assert!(on_file.len() >= 50 && on_server.len() >= 50, "the registry is not whole");
    for (name, seen) in &on_file {
        assert!(on_server.get(name).is_none_or(|other| other == seen), "{name}: {seen:?}, {on_server:?}");
    }
}

/// Table, column, and whether it may be without a value.
type Columns = std::collections::BTreeSet<(String, String, bool)>;

#[tokio::test]
async fn both_databases_have_the_same_migrations_tables_and_columns() {
    let (file, server) = (Case::sqlite().await, Case::postgres().await);
    let of_file: Vec<(String, String, i64, i64)> = sqlx::query_as(
        "SELECT t.name, c.name, c.\"notnull\", c.pk FROM sqlite_schema AS t, pragma_table_info(t.name) AS c
        WHERE t.type = 'table' AND t.name <> '_sqlx_migrations'",
    )
    .fetch_all(file.file().0)
    .await
    .expect("reads");
    let may = |(table, column, given, key)| (table, column, given == 0 && key == 0);
    let of_file: Columns = of_file.into_iter().map(may).collect();
    let Pool::Postgres(server) = &server.store.pool else { panic!("it is a server") };
    let mut connection = server.acquire().await.expect("it is there");
    let of_server: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT table_name::text, column_name::text, is_nullable::text FROM information_schema.columns
        WHERE table_schema = current_schema() AND table_name <> '_sqlx_migrations'",
    )
    .fetch_all(&mut *connection)
    .await
    .expect("reads");
    let of_server: Columns =
        of_server.into_iter().map(|(table, column, may)| (table, column, may == "YES")).collect();
    let only: Vec<_> = of_file.symmetric_difference(&of_server).collect();
    assert!(of_file.len() >= 100 && only.is_empty(), "only one of them has {only:#?}");
    let numbers = |of: &sqlx::migrate::Migrator| of.iter().map(|one| one.version).collect::<Vec<_>>();
    assert_eq!(numbers(&crate::store::sqlite::MIGRATOR), numbers(&crate::store::postgres::MIGRATOR));
}

#[tokio::test]
async fn texts_on_a_server_are_ordered_by_their_bytes() {
    let case = Case::postgres().await;
    let Pool::Postgres(server) = &case.store.pool else { panic!("it is a server") };
    let mut connection = server.acquire().await.expect("it is there");
    let others: Vec<String> = sqlx::query_scalar(
        "SELECT table_name || '.' || column_name FROM information_schema.columns
        WHERE table_schema = current_schema() AND table_name <> '_sqlx_migrations' AND data_type = 'text'
            AND collation_name IS DISTINCT FROM 'C'",
    )
    .fetch_all(&mut *connection)
    .await
    .expect("reads");
    assert_eq!(others, Vec::<String>::new());
}

#[tokio::test]
async fn every_table_is_strict() {
    let case = Case::sqlite().await;
    let (read, _) = case.file();
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
const SCANS: [(&str, &str); 21] = [
    ("catalogue::", "about the tables themselves, when they are copied"),
    ("replay::WITHOUT_HISTORY", "report replay reads everything: that is what it is for"),
    ("heartbeat::COUNT_BEATS", "a row a task"),
    ("restore::IN_FORCE", "ends at the last row of a few"),
    ("restore::WAITS", "the same"),
    ("ledger::LIST", "the index of what is open, and of each the index of its chunks"),
    ("lost::LOST_OF_ALL", "what is lost, which is what is asked for"),
    ("lost::STANDINGS", "the sweeper's list of all municipalities, after a restore only"),
    ("sweep::AHEAD", "what is open or has work, when the clock was set back"),
    ("texts::ANNOUNCED", "adds up what every batch announced, for the progress of verify-store"),
    ("texts::COUNT", "counts every batch, for the progress of verify-store"),
    ("texts::LOST", "verify-store reads everything: that is what it is for"),
    ("texts::POOL", "so it does of the relay pool, a row at a time"),
    ("keys::HEADS", "counts every batch, once when a process starts"),
    ("store::sqlite::", "about the file, when it is opened"),
    ("items::sqlite::HISTORIES", "sorts what happened to the items of a group"),
    ("sweep::COUNT_HOLES", "the sweeper's count over all municipalities, in one index"),
    ("batches::HOLES", "the numbered rows of one municipality"),
    ("cards::BY_PERSON", "sorts the few cards of one person"),
    ("bulk::ENTER_PERSONS", "sorts the persons of some chunks"),
    ("work::CANDIDATES", "the index of what is due"),
];

/// Whether a step of a plan goes through every row that a table of records has of a municipality.
fn is_all_of_a_municipality(step: &str) -> bool {
    let of_records =
        ["card_order", "order_key", "card_person", "SEARCH p USING PRIMARY KEY", "chunk", "disposition"];
    step.ends_with("(municipality_code=?)") && of_records.iter().any(|table| step.contains(table))
}

#[tokio::test]
async fn no_statement_reads_a_whole_table() {
    let case = Case::sqlite().await;
    let (_, write) = case.file();
    let (mut needed, mut reads_all_of_one) = (std::collections::BTreeSet::new(), Vec::new());
    for one in statement::all() {
        let Some(sql) = one.sqlite else { continue };
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let plan: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(explain).fetch_all(write).await.expect("it explains");
        let allowed = SCANS.iter().find(|(name, _)| one.name.contains(name)).copied();
        for (_, _, _, step) in &plan {
            let is_of_parameters = step.starts_with("SCAN json_each VIRTUAL TABLE");
            let costly = step.starts_with("SCAN") && !is_of_parameters;
            let costly = costly || step.contains("USE TEMP B-TREE FOR ORDER BY");
            assert!(!costly || allowed.is_some(), "{}: {plan:#?}", one.name);
            needed.extend(allowed.filter(|_| costly));
        }
        let all_of_one = plan.iter().filter(|(_, _, _, step)| is_all_of_a_municipality(step));
        reads_all_of_one.extend(all_of_one.map(|(_, _, _, step)| format!("{}: {step}", one.name)));
    }
    assert_eq!(reads_all_of_one, Vec::<String>::new(), "and no look-up all that a municipality ever had");
    let stale: Vec<_> = SCANS.iter().filter(|scan| !needed.contains(scan)).collect();
    assert!(stale.is_empty(), "these read no whole table any more, take them off the list: {stale:#?}");
}

contract!(counts_that_do_not_add_up_cannot_be_written, |case| {
    case.open(1, 10).await;
    for (change, constraint) in [
        ("UPDATE batch SET stored = 1", "every_record_is_counted_once"),
        ("UPDATE batch SET missing = 11, stored = -1", "stored"),
        ("UPDATE batch SET state = 'SEALED'", "only_a_whole_batch_is_sealed"),
        (
            "UPDATE batch SET missing = 0, stored = 10, finished_ms = 1, state = 'ACCEPTED',
                chunks_worked = 3, chunks_indexed = 3",
            "only_a_decided_batch_is_accepted",
        ),
        ("UPDATE batch SET missing = 0, accepted = 10, state = 'DISCREPANT'", "an_end_has_its_time"),
        (
            "UPDATE batch SET missing = 0, accepted = 10, finished_ms = 1, state = 'ACCEPTED'",
            "only_what_can_be_found_is_accepted",
        ),
        ("UPDATE batch SET chunks_worked = 4", "chunks_worked"),
    ] {
        let error = case.try_raw(change, change).await.expect_err("it is refused").to_string();
        assert!(error.contains(constraint), "{constraint}: {error}");
    }
});
