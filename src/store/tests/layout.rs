//! Promise: the database can be spread over many machines by municipality: every key begins with it, no
//! foreign key crosses it, and every statement about one says which.

use std::collections::BTreeSet;

use super::{filters::loose, *};
use crate::store::{
    bulk::BUILT,
    layout::{BY, GLOBAL, SPREAD, citus},
    statement,
};

/// A primary key or another that is unique.
type Unique = (String, Vec<String>);
/// A foreign key: from which table and columns, and to which.
type Foreign = (String, Vec<String>, String, Vec<String>);

/// The driver's own ledger of the steps, which stays where they are taken.
const LEDGER: &str = "_sqlx_migrations";

async fn of_file(case: &Case) -> (BTreeSet<String>, Vec<Unique>, Vec<Foreign>) {
    let (read, _) = case.file();
    let tables: Vec<String> = sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'table'")
        .fetch_all(read)
        .await
        .expect("reads");
    let unique: Vec<(String, String)> = sqlx::query_as(
        "SELECT t.name, (SELECT group_concat(name, ',') FROM (SELECT name FROM pragma_table_info(t.name)
            WHERE pk > 0 ORDER BY pk))
        FROM sqlite_schema AS t WHERE t.type = 'table'
        UNION ALL SELECT t.name, (SELECT group_concat(name, ',') FROM (SELECT c.name
            FROM pragma_index_info(i.name) AS c ORDER BY c.seqno))
        FROM sqlite_schema AS t, pragma_index_list(t.name) AS i WHERE t.type = 'table' AND i.\"unique\" = 1",
    )
    .fetch_all(read)
    .await
    .expect("reads");
    let foreign: Vec<(String, String, String, String)> = sqlx::query_as(
        "SELECT name, columns, other, others FROM (SELECT t.name, f.id, f.\"table\" AS other,
            group_concat(f.\"from\", ',') AS columns, group_concat(f.\"to\", ',') AS others
        FROM sqlite_schema AS t, pragma_foreign_key_list(t.name) AS f WHERE t.type = 'table'
        GROUP BY t.name, f.id, f.\"table\")",
    )
    .fetch_all(read)
    .await
    .expect("reads");
    read_out(tables, unique, foreign)
}

async fn of_server(case: &Case) -> (BTreeSet<String>, Vec<Unique>, Vec<Foreign>) {
    let Pool::Postgres(server) = &case.store.pool else { panic!("it is a server") };
    let mut connection = server.acquire().await.expect("it is there");
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()")
            .fetch_all(&mut *connection)
            .await
            .expect("reads");
    let unique: Vec<(String, String)> = sqlx::query_as(
        "SELECT c.relname::text, (SELECT string_agg(a.attname, ',' ORDER BY k.place)
            FROM unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (number, place)
            JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.number)
        FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid
        WHERE i.indisunique AND c.relnamespace = current_schema()::regnamespace",
    )
    .fetch_all(&mut *connection)
    .await
    .expect("reads");
    let foreign: Vec<(String, String, String, String)> = sqlx::query_as(
        "SELECT c.conrelid::regclass::text, (SELECT string_agg(a.attname, ',' ORDER BY k.place)
            FROM unnest(c.conkey) WITH ORDINALITY AS k (number, place)
            JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.number),
            c.confrelid::regclass::text, (SELECT string_agg(a.attname, ',' ORDER BY k.place)
            FROM unnest(c.confkey) WITH ORDINALITY AS k (number, place)
            JOIN pg_attribute AS a ON a.attrelid = c.confrelid AND a.attnum = k.number)
        FROM pg_constraint AS c WHERE c.contype = 'f' AND c.connamespace = current_schema()::regnamespace",
    )
    .fetch_all(&mut *connection)
    .await
    .expect("reads");
    read_out(tables, unique, foreign)
}

fn read_out(
    tables: Vec<String>,
    unique: Vec<(String, String)>,
    foreign: Vec<(String, String, String, String)>,
) -> (BTreeSet<String>, Vec<Unique>, Vec<Foreign>) {
    let list = |text: String| text.split(',').map(str::to_owned).collect::<Vec<_>>();
    let unique = unique.into_iter().filter(|(table, _)| table != LEDGER);
    let tables = tables.into_iter().filter(|table| table != LEDGER).collect();
    let foreign = foreign.into_iter().map(|(table, from, other, to)| (table, list(from), other, list(to)));
    (tables, unique.map(|(table, columns)| (table, list(columns))).collect(), foreign.collect())
}

contract!(every_key_begins_with_the_municipality_and_no_foreign_key_crosses_it, |case| {
    let (tables, unique, foreign) = match &case.place {
        Place::File { .. } => of_file(&case).await,
        Place::Server(_) => of_server(&case).await,
    };
    let named = GLOBAL.iter().map(|(table, _)| *table).chain(SPREAD);
    let all: BTreeSet<String> = named.clone().map(str::to_owned).collect();
    assert_eq!(all.len(), named.count(), "a table is named twice in store::layout");
    assert_eq!(tables, all, "on the left what the database has, on the right what store::layout names");
    for (table, columns) in &unique {
        let global = GLOBAL.iter().any(|(name, _)| name == table);
        let by_municipality = columns.first().is_some_and(|column| column == BY);
        assert!(by_municipality != global, "{table} has a key of {columns:?}");
    }
    for table in SPREAD {
        assert!(unique.iter().any(|(name, _)| name == table), "{table} has no key");
    }
    assert!(foreign.len() >= 10, "{foreign:?}");
    for (table, columns, other, others) in &foreign {
        let at = |columns: &[String]| columns.iter().position(|column| column == BY);
        assert!(
            at(columns).is_some() && at(columns) == at(others),
            "{table} {columns:?}, {other} {others:?}"
        );
        let order = |name: &str| SPREAD.iter().position(|table| *table == name);
        assert!(order(other) < order(table), "{table} refers to {other}, which is to be spread before it");
    }
});

/// Statements about all municipalities, with the reason. Each only reads: a distributed engine asks all.
const OVER_ALL: [(&str, &str); 21] = [
    ("links::ENDED", "what ended on a day, wherever it is; each is then changed under its municipality"),
    ("links::WHERE_LINKED", "in which municipalities a lot is, when it is called back"),
    ("replay::HISTORIES_FROM", "report replay reads every history: that is what it is for"),
    ("replay::WITHOUT_HISTORY", "so it looks for what has none"),
    ("texts::ANNOUNCED", "adds up what every batch announced, for the progress of verify-store"),
    ("texts::BATCHES", "verify-store reads everything: that is what it is for"),
    ("texts::LOST_CHUNKS", "so it looks for what belongs to no batch"),
    ("texts::LOST_MANIFESTS", "so it looks for what belongs to no batch"),
    ("texts::LOST_ORDERS", "so it looks for what belongs to no batch"),
    ("texts::LOST_RECEIPTS", "so it looks for what belongs to no batch"),
    ("keys::HEADS", "counts every batch by its key, once when a process starts"),
    ("keys::KEYS", "the data keys of all, page by page, when the key over them is replaced"),
    ("ledger::LIST", "the sweeper's look for counts that are wrong"),
    ("lost::LOST_OF_ALL", "the operator asks for what is lost of all"),
    ("lost::STANDINGS", "the operator asks how far each municipality is, after a restore"),
    ("sweep::AHEAD", "whose times lie ahead of a clock that was set back"),
    ("sweep::COUNT_HOLES", "the sweeper's look for holes in sequences"),
    ("sweep::LIST_DAMAGED", "the sweeper's round over what is damaged"),
    ("sweep::LIST_OPEN", "the sweeper's round over what is open"),
    ("sweep::OPENED_SINCE", "the calendar of expected batches, when it is read"),
    ("work::CANDIDATES", "candidates of work, each then claimed under its municipality"),
];

#[test]
fn every_statement_about_a_municipality_says_which() {
    let registered = statement::all().flat_map(|one| {
        let name = one.name;
        [one.sqlite, one.postgres].into_iter().flatten().map(move |text| (name, text))
    });
    let (mut seen, mut needed) = (0, BTreeSet::<&(&str, &str)>::new());
    for (name, text) in registered.chain(BUILT) {
        let loose = loose(text, &SPREAD);
        let allowed = OVER_ALL.iter().find(|(excepted, _)| name.ends_with(excepted));
        assert!(
            loose.is_empty() || allowed.is_some(),
            "{name} does not say of which municipality: {loose:?}"
        );
        assert!(!loose.iter().any(|one| one.writes), "{name} writes or locks over all: {loose:?}");
        needed.extend(allowed.filter(|_| !loose.is_empty()));
        seen += 1;
    }
    assert!(seen >= 200, "the registry is not whole: {seen}");
    let stale: Vec<_> = OVER_ALL.iter().filter(|one| !needed.contains(one)).collect();
    assert!(stale.is_empty(), "these say of which municipality, take them off the list: {stale:#?}");
}

/// The store's own files and their texts.
fn sources(folder: &Path) -> Vec<(String, String)> {
    let entries =
        std::fs::read_dir(folder).expect("it is readable").map(|entry| entry.expect("it is").path());
    let mut found = Vec::new();
    for path in entries.filter(|path| !path.ends_with("tests") && !path.ends_with("migrations")) {
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = std::fs::read_to_string(&path).expect("it is readable");
            let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8").to_owned();
            found.push((name, text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned()));
        }
    }
    found
}

#[test]
fn no_text_is_run_that_is_not_among_those_that_are_read_here() {
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store"));
    assert!(sources.len() >= 30, "they are not all there");
    let mut rows = 0;
    for (name, text) in &sources {
        for literal in ["query(\"", "query_as(\"", "query_scalar(\"", "raw_sql(\""] {
            assert!(!text.contains(literal), "{name}: {literal} is not registered: put it among statements!");
        }
        // What is built at run time is made of the texts of `BUILT`; or names a database; or copies all of
        // each table, by the names that the schema gives.
        let built = text.contains("AssertSqlSafe(");
        assert!(
            !built || ["bulk.rs", "throwaway.rs", "catalogue.rs"].contains(&name.as_str()),
            "{name} builds a text"
        );
        rows += text.matches("VALUES @").count();
    }
    assert_eq!(rows, BUILT.iter().map(|(_, text)| text.matches("VALUES @").count()).sum::<usize>());
}

#[tokio::test]
async fn a_cluster_is_told_of_every_table_with_functions_that_it_has() {
    let case = Case::postgres().await;
    let Pool::Postgres(server) = &case.store.pool else { panic!("it is a server") };
    let mut connection = server.acquire().await.expect("it is there");
    // Of the same names and parameters, and as strict about tables, columns, order and what lies together.
    let stub = include_str!("citus.sql");
    sqlx::raw_sql(stub).execute(&mut *connection).await.expect("it runs");
    for sql in citus() {
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.clone())).execute(&mut *connection).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    let told: Vec<String> = sqlx::query_scalar("SELECT name FROM told ORDER BY name")
        .fetch_all(&mut *connection)
        .await
        .expect("reads");
    let mut all: Vec<&str> = GLOBAL.iter().map(|(table, _)| *table).chain(SPREAD).collect();
    all.sort_unstable();
    assert_eq!(told, all);
}
