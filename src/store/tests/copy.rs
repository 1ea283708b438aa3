//! Promise: a server's database holds every row and column that a file held, proved by totals of both sides,
//! or nothing of it; what stands in the way is named.

use std::{collections::BTreeSet, sync::Mutex};

use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};

use super::*;
use crate::store::{
    Cause, Refusal, TableTotals, compare, copy,
    layout::{GLOBAL, SPREAD},
};

/// A place whose store is closed, and how it is opened.
struct Still {
    options: StoreOptions,
    place: Place,
}

impl Still {
    async fn of(case: Case) -> Self {
        let Case { store, options, place } = case;
        store.close().await;
        Self { options, place }
    }

    /// A file with something in every table, and batches at every stage.
    async fn full() -> Self {
        let case = Case::sqlite().await;
        case.accepted(1, &orders("K", 8)).await;
        case.sealed(2, 8).await;
        let row = case.open(3, 12).await;
        case.put(&row, 1).await;
        case.store.write_heartbeat("a test", NOW).await.expect("a transaction");
        case.store.mark_restored(Cause::Operator, "改行\n\t\\N\u{feff}", NOW).await.expect("a transaction");
        case.raw(REST, "").await;
        Self::of(case).await
    }

    /// A server whose database has our tables and nothing in them.
    async fn empty() -> Self {
        Self::of(Case::postgres().await).await
    }

    /// Runs SQL on the server, beside the store.
    async fn run(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&mut self.beside().await).await.expect("it runs");
    }

    async fn beside(&self) -> PgConnection {
        self.connected("a test").await
    }

    /// A session of this name.
    async fn connected(&self, name: &str) -> PgConnection {
        let Place::Server(server) = &self.place else { panic!("it is a file") };
        let options = PgConnectOptions::new_without_pgpass().socket(server.folder()).port(5432);
        let options = options.username("todoke").database(template::DATABASE).application_name(name);
        PgConnection::connect_with(&options).await.expect("it is there")
    }

    /// How many rows are in all tables but that of the schema's steps.
    async fn rows(&self) -> i64 {
        let mut connection = self.beside().await;
        let mut all = 0;
        for table in tables().into_iter().filter(|table| *table != "schema_version") {
            let sql = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
            all += sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut connection).await.expect("reads");
        }
        all
    }
}

fn tables() -> BTreeSet<&'static str> {
    GLOBAL.iter().map(|(table, _)| *table).chain(SPREAD).collect()
}

/// Rows of the tables that no method filled, with numbers, texts and bytes at their ends.
const REST: &str = "
    INSERT INTO pool_controller VALUES ('pool', 'issuer-1', 9223372036854775807, -9223372036854775808);
    INSERT INTO lease VALUES ('sweeper', 'issuer-1', 1, 2);
    INSERT INTO key_check VALUES ('kek', 1, '00ff', zeroblob(32));
    INSERT INTO pool_state VALUES ('pool', 1, 0, '{\"a\":\"b\"}');
    INSERT INTO pool_decision VALUES (1, 1, 2, '', 'evict', '{}'), (2, 1, 2, 'relay-2', 'evict', '');
    INSERT INTO pool_order VALUES ('r', zeroblob(32), 'operator/alice', 3, x'');
    INSERT INTO wrapped_secret VALUES ('blind index', x'00ff0a0d09');
    INSERT INTO chunk_conflict SELECT municipality_code, batch_id, 0, 1, 2, 3 FROM batch;
    INSERT INTO disposition SELECT municipality_code, batch_id, attempt, 7, 'ä', 'REJECTED', 'SEX_INVALID',
        NULL, NULL, NULL FROM batch WHERE sequence = 1;
    INSERT INTO disposition SELECT municipality_code, batch_id, attempt, 8, '', 'DUPLICATE', NULL, '',
        batch_id, 0 FROM batch WHERE sequence = 1;
    INSERT INTO abort_statement SELECT municipality_code, batch_id, 1, 'faulty', x'01', x'02' FROM batch
        WHERE sequence = 3;
    INSERT INTO repair_request SELECT municipality_code, 'r', batch_id, 2, zeroblob(32), 5 FROM batch
        WHERE sequence = 2;
    INSERT INTO comparison SELECT municipality_code, 1, 2, 'RELEASED', 'its files are lost' FROM batch
        WHERE sequence = 1;
    INSERT INTO lost_batch SELECT municipality_code, batch_id, 70, 4, zeroblob(32), NULL, 1, NULL,
        zeroblob(32), x'ff' FROM batch WHERE sequence = 1;
    INSERT INTO quarantine SELECT municipality_code, batch_id, 'CHUNK', 1, 0, 9, 'set aside', x'' FROM batch
        WHERE sequence = 1;
    INSERT INTO item VALUES ('131229', 'MAIL', 'E-1', 'POSTED', -1, 1, '', 3, '{\"a\":\"須\"}');
    INSERT INTO history VALUES ('131229', 'MAIL', 'E-1', 1, -1, 2, 'postal/office-1', 'r-1', '{}');
    INSERT INTO request VALUES ('131229', 'postal/office-1', 'r-1', zeroblob(32), 'MAIL', 'E-1', 1, 2);
    INSERT INTO hold VALUES ('131229', 'ENVELOPE', zeroblob(32), 'E-1');
    INSERT INTO link VALUES ('131229', 'LOT', zeroblob(32), 'LOT', 'L-1');";

async fn copied(from: &Still, to: &Still) -> Result<Vec<TableTotals>, Error> {
    copy(&from.options, &to.options, &mut |_| ()).await
}

fn different(totals: &[TableTotals]) -> Vec<&'static str> {
    totals.iter().filter(|one| !one.is_same()).map(|one| one.table).collect()
}

#[tokio::test]
async fn every_table_is_copied_whole_and_both_sides_are_read_to_prove_it() {
    let (from, to) = (Still::full().await, Still::empty().await);
    let last = Mutex::new((0, 0));
    let mut tell = |now: crate::store::Progress| *last.lock().expect("nobody panicked") = (now.rows, now.of);
    let totals = copy(&from.options, &to.options, &mut tell).await.expect("it is copied");
    let all: BTreeSet<_> = totals.iter().map(|one| one.table).collect();
    assert_eq!(all, tables());
    let empty: Vec<_> = totals.iter().filter(|one| one.from.rows == 0).collect();
    assert!(empty.is_empty(), "nothing was tried of {empty:?}");
    assert_eq!(different(&totals), [""; 0]);
    let rows: u64 = totals.iter().map(|one| one.from.rows).sum();
    let steps = totals.iter().find(|one| one.table == "schema_version").expect("it is compared").from.rows;
    assert_eq!(
        *last.lock().expect("nobody panicked"),
        (2 * rows - steps, 2 * rows - steps),
        "all but the steps twice"
    );
    assert_eq!(i64::try_from(rows - steps).expect("few"), to.rows().await);
    let again = compare(&from.options, &to.options, &mut |_| ()).await.expect("both are read");
    assert_eq!(again, totals);
    // By the methods of an issuer it is the same, too.
    let (one, two) = (Store::open(&from.options).await, Store::open(&to.options).await);
    let (one, two) = (one.expect("it opens"), two.expect("it opens"));
    for n in 1..=3 {
        let batch = one.batch(ward(), id(n)).await.expect("reads");
        assert_eq!(two.batch(ward(), id(n)).await.expect("reads"), batch);
        assert!(batch.is_some());
    }
    assert_eq!(two.restored().await.expect("reads"), one.restored().await.expect("reads"));
    let page = async |store: &Store| store.orders_page(ward(), id(1), 1, 0, 100).await.expect("reads");
    assert_eq!(page(&two).await, page(&one).await);
}

#[tokio::test]
async fn what_differs_on_the_other_side_is_named_and_nothing_is_kept() {
    let from = Still::full().await;
    for (table, change) in [
        ("chunk", "IF NEW.chunk_number = 1 THEN NEW.sealed := NEW.sealed || '\\x00'; END IF; RETURN NEW;"),
        ("card_order", "NEW.protected := NOT NEW.protected; RETURN NEW;"),
        ("disposition", "NEW.code := COALESCE(NEW.code, ''); RETURN NEW;"),
        ("order_key", "IF NEW.order_id = 'K-3' THEN RETURN NULL; END IF; RETURN NEW;"),
    ] {
        let to = Still::empty().await;
        let sql = format!(
            "CREATE FUNCTION in_the_way() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {change} END $$;
            CREATE TRIGGER in_the_way BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION in_the_way();"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut to.beside().await).await.expect("it runs");
        let totals = copied(&from, &to).await.expect("it is told by the totals");
        assert_eq!(different(&totals), [table]);
        assert_eq!(to.rows().await, 0, "{table}");
        to.run("DROP FUNCTION in_the_way CASCADE").await;
        assert_eq!(different(&copied(&from, &to).await.expect("it is copied")), [""; 0], "{table}");
    }
}

#[tokio::test]
async fn a_row_that_changes_behind_the_copy_is_found_by_comparing() {
    let (from, to) = (Still::full().await, Still::empty().await);
    copied(&from, &to).await.expect("it is copied");
    to.run("UPDATE card_order SET leaf = sha256(leaf) WHERE record_index = 3").await;
    to.run("DELETE FROM receipt").await;
    let totals = compare(&from.options, &to.options, &mut |_| ()).await.expect("both are read");
    assert_eq!(different(&totals), ["card_order", "receipt"]);
    let receipts = totals.iter().find(|one| one.table == "receipt").expect("it is compared");
    assert_eq!((receipts.from.rows, receipts.to.rows), (1, 0));
}

#[tokio::test]
async fn a_database_with_anything_in_it_is_left_as_it_is() {
    let (from, to) = (Still::full().await, Still::empty().await);
    to.run("INSERT INTO heartbeat VALUES ('sweeper', 7, 1)").await;
    let refused = copied(&from, &to).await.expect_err("it is not empty");
    assert!(matches!(refused, Error::Refused(Refusal::NotEmpty { .. })) && !refused.is_transient());
    let words = refused.to_string();
    assert!(words.contains("rows in heartbeat:") && words.contains("todoke store compare"), "{words}");
    assert_eq!(to.rows().await, 1);
    to.run("DELETE FROM heartbeat").await;
    let issuer = Store::open(&to.options).await.expect("it opens");
    issuer.heartbeat("sweeper").await.expect("it is connected");
    let held = copied(&from, &to).await.expect_err("an issuer is there");
    assert!(held.in_use().is_some_and(|place| place.contains("todoke at")), "{held}");
    issuer.close().await;
    let issuer = Store::open(&from.options).await.expect("it opens");
    let held = copied(&from, &to).await.expect_err("an issuer has the file");
    assert!(held.in_use().is_some(), "{held}");
    issuer.close().await;
    drop(issuer);
    assert_eq!(to.rows().await, 0);
    copied(&from, &to).await.expect("now it is copied");
}

#[tokio::test]
async fn an_issuer_that_comes_after_the_first_look_is_seen_under_the_lock() {
    let (from, to) = (Still::full().await, Still::empty().await);
    let mut holder = to.beside().await;
    let hold = "BEGIN; LOCK TABLE heartbeat IN ROW EXCLUSIVE MODE";
    sqlx::raw_sql(hold).execute(&mut holder).await.expect("nobody has it");
    let comes = async {
        let waits = "SELECT COUNT(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'";
        while 0 == sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut holder).await.expect("it runs") {
            tokio::task::yield_now().await;
        }
        let issuer = to.connected("todoke issuer").await;
        sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.expect("it is over");
        issuer
    };
    let (copied_beside, issuer) = tokio::join!(copied(&from, &to), comes);
    let held = copied_beside.expect_err("an issuer is there");
    assert!(held.in_use().is_some_and(|place| place.contains("todoke at")), "{held}");
    assert_eq!(to.rows().await, 0);
    issuer.close().await.expect("it closes");
    copied(&from, &to).await.expect("now it is copied");
}

#[tokio::test]
async fn a_file_that_is_damaged_older_or_forgot_something_is_not_copied() {
    let to = Still::empty().await;
    for (damage, words) in [
        ("UPDATE card_order SET protected = 2", "card_order is not what can stand there"),
        ("UPDATE chunk SET relay = 'a' || char(0)", "table chunk: invalid byte sequence"),
        ("UPDATE batch SET manifest_digest = x'00'", "table batch: new row for relation \"batch\" violates"),
        ("DELETE FROM manifest; DELETE FROM batch WHERE sequence = 3", "table chunk: insert or update"),
    ] {
        let from = Still::full().await;
        let Place::File { path, .. } = &from.place else { panic!("it is a file") };
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).foreign_keys(false);
        let options = options.pragma("ignore_check_constraints", "ON");
        let mut file = sqlx::SqliteConnection::connect_with(&options).await.expect("it opens");
        sqlx::raw_sql(damage).execute(&mut file).await.expect("it runs");
        file.close().await.expect("it closes");
        let refused = copied(&from, &to).await.expect_err("it is damaged");
        assert!(refused.to_string().contains(words), "{damage}: {refused}");
        assert!(!refused.is_transient() && !refused.may_have_applied(), "{refused}");
        assert_eq!(to.rows().await, 0, "{damage}");
    }
    let from = Still::full().await;
    let Place::File { path, .. } = &from.place else { panic!("it is a file") };
    std::fs::write(format!("{}-witness", path.display()), "99\n").expect("it is writable");
    let refused = copied(&from, &to).await.expect_err("it is an older one");
    assert!(matches!(refused, Error::Forgetful { .. }), "{refused}");
    assert!(refused.to_string().contains("start its issuer once"), "{refused}");
    let store = Store::open(&from.options).await.expect("it opens");
    assert!(store.notice_restore(NOW).await.expect("it is noted"));
    store.close().await;
    drop(store);
    copied(&from, &to).await.expect("and so it goes along");
}

/// Writes to a file beside whoever reads it.
fn write_to(path: &std::path::Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
        let mut file = sqlx::SqliteConnection::connect_with(&options).await.expect("it opens");
        sqlx::raw_sql("UPDATE heartbeat SET beats = beats + 1").execute(&mut file).await.expect("it runs");
        file.close().await.expect("it closes");
    });
}

#[tokio::test]
async fn a_file_that_somebody_writes_to_in_the_middle_is_not_taken_for_copied() {
    let (from, to) = (Still::full().await, Still::empty().await);
    let Place::File { path, .. } = &from.place else { panic!("it is a file") };
    let mut written = false;
    let mut tell = |_| {
        if !std::mem::replace(&mut written, true) {
            std::thread::scope(|scope| scope.spawn(|| write_to(path)).join()).expect("it is written");
        }
    };
    let refused = copy(&from.options, &to.options, &mut tell).await.expect_err("somebody wrote to it");
    assert!(matches!(refused, Error::Changed { .. }), "{refused}");
    assert_eq!(to.rows().await, 0, "nothing was kept");
}

#[tokio::test]
async fn a_database_without_tables_gets_them_and_what_is_no_file_or_no_server_is_refused() {
    let (from, to) = (Still::full().await, Still::empty().await);
    let Place::Server(server) = &to.place else { panic!("it is a server") };
    server.create("second").await.expect("it is made");
    let second = StoreOptions { url: server.url("second"), ..StoreOptions::default() };
    let missing = compare(&from.options, &second, &mut |_| ()).await.expect_err("there is nothing");
    assert!(matches!(missing, Error::Refused(Refusal::Empty { .. })), "{missing}");
    let totals = copy(&from.options, &second, &mut |_| ()).await.expect("it is copied");
    assert_eq!(different(&totals), [""; 0]);
    for (one, other) in [(&to.options, &second), (&from.options, &from.options)] {
        let refused = copy(one, other, &mut |_| ()).await.expect_err("it is the wrong way");
        assert!(matches!(refused, Error::Url(_)), "{refused}");
    }
}
