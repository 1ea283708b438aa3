//! Promise: issuers can be replaced one by one: a program goes on with a newer schema that says so and
//! refuses any other, the owner may change the schema for issuers that may not, and what is printed is what
//! is done.

use sqlx::{Connection as _, postgres::PgConnectOptions, sqlite::SqliteConnectOptions};

use super::*;
use crate::store::{Refusal, Schema, migrate::leaves_behind, postgres, sqlite, steps};

/// The newest schema that this program knows.
fn known() -> i64 {
    sqlite::MIGRATOR.iter().map(|one| one.version).max().expect("there is one")
}

/// How the second database of a server is reached by nobody's pool.
fn beside(server: &Throwaway) -> PgConnectOptions {
    let options = PgConnectOptions::new_without_pgpass().socket(server.folder()).port(5432);
    options.username("todoke").database("second")
}

/// A second database beside that of a case, with nothing in it.
struct Second {
    options: StoreOptions,
    case: Case,
}

impl Second {
    async fn of(case: Case) -> Self {
        let url = match &case.place {
            Place::File { path, .. } => format!("sqlite:{}", path.with_file_name("second.db").display()),
            Place::Server(server) => {
                server.create("second").await.expect("it is made");
                server.url("second")
            }
        };
        Self { options: StoreOptions { url, connections_max: 4, ..StoreOptions::default() }, case }
    }

    /// The same, as the programs of a schema left it.
    async fn at(case: Case, schema: i64) -> Self {
        let second = Self::of(case).await;
        for step in steps(&second.options, 0).expect("a URL") {
            if step.version <= schema {
                second.run(&format!("BEGIN;\n{}COMMIT;\n", step.sql)).await;
            }
        }
        second
    }

    async fn run(&self, sql: &str) {
        let sql = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()));
        if let Place::File { path, .. } = &self.case.place {
            let options = SqliteConnectOptions::new().filename(path.with_file_name("second.db"));
            let mut connection = sqlx::SqliteConnection::connect_with(&options.create_if_missing(true))
                .await
                .expect("it opens");
            sql.execute(&mut connection).await.expect("it runs");
            return connection.close().await.expect("it closes");
        }
        let Place::Server(server) = &self.case.place else { panic!("it is a server") };
        let mut connection = sqlx::PgConnection::connect_with(&beside(server)).await.expect("it is there");
        sql.execute(&mut connection).await.expect("it runs");
        connection.close().await.expect("it closes");
    }

    /// Takes a step that no program of today knows.
    async fn later(&self, version: i64, usable_from: i64) {
        let pragma = match &self.case.place {
            Place::File { .. } => format!("PRAGMA user_version = {version};"),
            Place::Server(_) => String::new(),
        };
        let ledger = "_sqlx_migrations (version, description, success, checksum, execution_time)";
        self.run(&format!(
            "ALTER TABLE batch ADD COLUMN later_{version} TEXT; ALTER TABLE work ADD COLUMN later_{version}
                INTEGER NOT NULL DEFAULT 7;
            CREATE TABLE later_{version} (n INTEGER NOT NULL PRIMARY KEY); {pragma}
            INSERT INTO {ledger} VALUES ({version}, 'later', TRUE, '', 0);
            INSERT INTO schema_version (version, usable_from) VALUES ({version}, {usable_from});"
        ))
        .await;
    }

    async fn opened(self) -> Case {
        let Self { options, case } = self;
        case.store.close().await;
        Case::opened(options, case.place).await
    }
}

contract!(what_is_printed_makes_what_an_issuer_would_have_made, |case| {
    let second = Second::at(case, known()).await;
    let schema = Store::schema(&second.options).await.expect("it is ours");
    assert_eq!(schema, Schema { found: known(), known: known() });
    let before = Store::migrate(&second.options).await.expect("nothing is left to do");
    assert_eq!(before, schema);
    second.opened().await.accepted(1, &orders("K", 8)).await;
});

contract!(a_database_of_an_older_program_is_brought_up_to_date_and_what_it_had_stays, |case| {
    let second = Second::at(case, 5).await;
    let older = Schema { found: 5, known: known() };
    assert!(!older.is_up_to_date());
    assert_eq!(Store::schema(&second.options).await.expect("it is ours"), older);
    let refused = Store::open_beside(&second.options).await.expect_err("it is older");
    assert!(refused.to_string().contains("todoke migrate"), "{refused}");
    second
        .run("INSERT INTO restore (restore_id, marked_ms, cause, note) VALUES (1, 1, 'OPERATOR', 'kept')")
        .await;
    assert_eq!(Store::migrate(&second.options).await.expect("it is done"), older);
    let now = Store::schema(&second.options).await.expect("it is ours");
    assert_eq!(now, Schema { found: known(), known: known() });
    let store = Store::open(&second.options).await.expect("it opens");
    assert_eq!(store.restored().await.expect("reads").map(|kept| kept.note).as_deref(), Some("kept"));
});

contract!(a_program_goes_on_with_a_newer_schema_that_says_so, |case| {
    let second = Second::at(case, known()).await;
    second.later(known() + 1, known()).await;
    second.later(known() + 2, known()).await;
    let schema = Store::schema(&second.options).await.expect("it may be used");
    assert!(schema == Schema { found: known() + 2, known: known() } && schema.is_up_to_date());
    let before = Store::migrate(&second.options).await.expect("nothing is for this one to do");
    assert_eq!(before, schema);
    Store::open_to_read(&second.options).await.expect("to look").close().await;
    let case = second.opened().await;
    case.accepted(1, &orders("K", 8)).await;
    let case = case.reopened(|_| ()).await;
    assert_eq!(case.row(1).await.counts.accepted, 8);
});

contract!(a_program_refuses_a_newer_schema_of_which_one_step_leaves_it_behind, |case| {
    let second = Second::at(case, known()).await;
    second.later(known() + 1, known() + 1).await;
    second.later(known() + 2, known() + 1).await;
    for refused in [
        Store::open(&second.options).await.map(|_| ()),
        Store::open_to_read(&second.options).await.map(|_| ()),
        Store::schema(&second.options).await.map(|_| ()),
        Store::migrate(&second.options).await.map(|_| ()),
    ] {
        let refused = refused.expect_err("it is left behind");
        let newer = known() + 2;
        assert!(matches!(&refused, Error::NewerSchema { found, .. } if *found == newer), "{refused}");
    }
});

#[tokio::test]
async fn an_issuer_that_may_not_change_tables_says_who_has_to_and_works_once_it_is_done() {
    let second = Second::at(Case::postgres().await, 5).await;
    second.run("CREATE ROLE lesser LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO lesser").await;
    let url = second.options.url.replace("postgres://todoke@", "postgres://lesser@");
    let lesser = StoreOptions { url, ..second.options.clone() };
    let refused = Store::open(&lesser).await.expect_err("it may not");
    assert!(matches!(refused, Error::Refused(Refusal::MayNotMigrate { found: 5, .. })), "{refused}");
    assert!(refused.to_string().contains("run `todoke migrate --database URL` as their owner"), "{refused}");
    assert!(!refused.is_transient());
    Store::migrate(&second.options).await.expect("the owner may");
    second.run("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO lesser").await;
    let Second { case, .. } = second;
    case.store.close().await;
    let case = Case::opened(lesser, case.place).await;
    case.accepted(1, &orders("K", 8)).await;
}

#[tokio::test]
async fn what_an_extension_has_made_is_no_other_program() {
    let second = Second::of(Case::postgres().await).await;
    second.run("CREATE EXTENSION pg_stat_statements").await; // which has views, as Citus has
    let empty = Store::schema(&second.options).await.expect("it is nobody's");
    assert_eq!(empty.found, 0);
    Store::migrate(&second.options).await.expect("it becomes ours");
    second.opened().await.accepted(1, &orders("K", 8)).await;
}

#[tokio::test]
async fn a_step_that_leaves_programs_behind_is_not_taken_while_an_issuer_is_connected() {
    let second = Second::at(Case::postgres().await, 5).await;
    let Place::Server(server) = &second.case.place else { panic!("it is a server") };
    let issuer = beside(server).application_name("todoke issuer");
    let issuer = sqlx::PgConnection::connect_with(&issuer).await;
    let issuer = issuer.expect("it is there");
    let refused = Store::migrate(&second.options).await.expect_err("an issuer is there");
    assert!(matches!(refused, Error::Refused(Refusal::InUse { sessions: 1, .. })), "{refused}");
    issuer.close().await.expect("it closes");
    Store::migrate(&second.options).await.expect("nobody is left behind");
}

#[tokio::test]
async fn issuers_that_start_together_take_a_step_that_leaves_others_behind_once_and_all_go_on() {
    let second = Second::at(Case::postgres().await, 5).await;
    let together = (0..4).map(|_| Store::open(&second.options));
    for opened in futures_util::future::join_all(together).await {
        opened.expect("those that start with it are no reason").close().await;
    }
    let now = Store::schema(&second.options).await.expect("it is ours");
    assert!(now.is_up_to_date(), "{now:?}");
}

#[test]
fn a_step_says_the_same_on_both_databases_and_an_expansion_takes_nothing_away() {
    let of = |url: &str| steps(&StoreOptions { url: url.to_owned(), ..StoreOptions::default() }, 0);
    let (file, server) = (of("sqlite:a").expect("a URL"), of("postgres://a@localhost/b").expect("a URL"));
    let said = |all: &[crate::store::Step]| {
        all.iter().map(|one| (one.version, one.name.clone(), one.usable_from)).collect::<Vec<_>>()
    };
    assert_eq!(said(&file), said(&server));
    for step in sqlite::MIGRATOR.iter().chain(postgres::MIGRATOR.iter()) {
        assert!(!step.no_tx, "step {} is not one transaction", step.version);
    }
    for step in file.iter().chain(&server) {
        let line = "INSERT INTO schema_version (version, usable_from) VALUES";
        assert!(
            step.version < 6 || step.sql.contains(line),
            "step {} does not say who can use it",
            step.version
        );
        let expansion = step.usable_from < step.version;
        assert!(
            !expansion || takes_away(&step.sql).is_none(),
            "step {}: {:?}",
            step.version,
            takes_away(&step.sql)
        );
    }
    for (sql, found) in [
        ("CREATE TRIGGER t BEFORE UPDATE ON batch BEGIN SELECT 1; END", true),
        ("CREATE TABLE n (x TEXT); CREATE TRIGGER t BEFORE UPDATE ON n BEGIN SELECT 1; END", false),
        ("ALTER TABLE batch DROP COLUMN x", true),
        ("alter table batch rename column x to y", true),
        ("ALTER TABLE batch ADD COLUMN x INTEGER NOT NULL", true),
        ("ALTER TABLE batch ALTER COLUMN x TYPE TEXT", true),
        ("ALTER TABLE batch ADD CONSTRAINT x CHECK (n > 0)", true),
        ("CREATE UNIQUE INDEX x ON batch (municipality_code, x)", true),
        ("CREATE TRIGGER x BEFORE UPDATE ON batch", true),
        ("CREATE OR REPLACE TRIGGER x BEFORE UPDATE ON batch", true),
        ("ALTER TABLE batch ADD x INTEGER NOT NULL", true),
        ("ALTER TABLE batch ADD COLUMN x INT NOT NULL, ADD COLUMN y INT DEFAULT 0", true),
        ("ALTER TABLE batch ADD COLUMN x INT REFERENCES work", true),
        ("ALTER TABLE batch ADD COLUMN x INTEGER NOT NULL DEFAULT 0; CREATE INDEX y ON batch (x)", false),
        (
            "CREATE TABLE x (municipality_code TEXT NOT NULL, UNIQUE (municipality_code, y), CHECK (y > 0))",
            false,
        ),
    ] {
        assert_eq!(takes_away(sql).is_some(), found, "{sql}");
    }
}

/// The statement that a program of before could not live with, as far as its words tell.
fn takes_away(sql: &str) -> Option<&str> {
    sql.split(';').find(|statement| {
        let upper = statement.to_uppercase();
        // Each ADD by itself: one's DEFAULT is not another's.
        let mut added = upper.split(" ADD ").skip(1).map(|rest| rest.split(',').next().unwrap_or_default());
        let needs_all = upper.contains("ALTER TABLE")
            && added.any(|one| {
                one.contains("NOT NULL") && !one.contains("DEFAULT")
                    || ["CHECK", "UNIQUE", "REFERENCES"].iter().any(|word| one.contains(word))
            });
        let on_what_is_there = upper.contains("ALTER TABLE")
            && ["DROP", "RENAME", "TYPE", "SET NOT NULL", "ADD CONSTRAINT"]
                .iter()
                .any(|word| upper.contains(word));
        let whole = ["DROP TABLE", "DROP INDEX", "CREATE UNIQUE INDEX", "DELETE FROM"];
        let trigger = upper.split_once(" TRIGGER ").and_then(|(_, rest)| rest.split_once(" ON "));
        let table = trigger.and_then(|(_, rest)| rest.split_whitespace().next());
        let is_new = |table: &str| sql.to_uppercase().contains(&format!("CREATE TABLE {table} ("));
        let trigger_on_old = table.is_some_and(|table| !is_new(table));
        needs_all || on_what_is_there || trigger_on_old || whole.iter().any(|words| upper.contains(words))
    })
}

#[test]
fn only_steps_that_a_database_has_not_taken_can_leave_its_programs_behind() {
    for migrator in [&sqlite::MIGRATOR, &postgres::MIGRATOR] {
        assert!(!leaves_behind(migrator, 0), "an empty database has no programs");
        assert!(leaves_behind(migrator, 5), "those of before step 6 use no schema but their own");
        assert!(!leaves_behind(migrator, known()));
    }
}
