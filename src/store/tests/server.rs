//! Promise: a database of a server is used only if it is ours and safe, at the host that can be written to;
//! what is lost on the way to it is told apart from what may have been done.

use std::time::Duration;

use sqlx::{ConnectOptions as _, PgConnection, postgres::PgConnectOptions};

use super::*;
use crate::{
    runtime::blocking,
    store::{Refusal, throwaway::Care},
};

fn to(server: &Throwaway, database: &str) -> StoreOptions {
    let patience = Duration::from_secs(5);
    StoreOptions { url: server.url(database), acquire_max: patience, ..StoreOptions::default() }
}

/// The server of a case.
fn server(case: &Case) -> &Throwaway {
    match &case.place {
        Place::Server(server) => server,
        Place::File { .. } => panic!("it is a file"),
    }
}

/// A connection of nobody's pool.
pub(super) async fn beside(server: &Throwaway, database: &str) -> PgConnection {
    let options = PgConnectOptions::new_without_pgpass().socket(server.folder()).port(5432);
    options.username("todoke").database(database).connect().await.expect("it is there")
}

pub(super) async fn run(connection: &mut PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(connection).await.expect("it runs");
}

async fn refused(options: &StoreOptions) -> Error {
    Store::open(options).await.expect_err("it is refused")
}

#[tokio::test]
async fn a_newer_a_foreign_an_empty_and_an_unsafe_database_are_refused_and_left_alone() {
    let case = Case::postgres().await;
    let server = server(&case);
    let mut admin = beside(server, "postgres").await;
    for name in ["newer", "empty", "foreign", "asynchronous"] {
        server.create(name).await.expect("it is made");
    }
    run(&mut admin, "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0").await;
    let missing = refused(&to(server, "nothing")).await;
    assert!(matches!(missing, Error::Refused(Refusal::NoDatabase { .. })), "{missing}");
    assert!(missing.to_string().contains("CREATE DATABASE") && !missing.is_transient(), "{missing}");
    let latin = refused(&to(server, "latin")).await;
    assert!(matches!(latin, Error::Refused(Refusal::Encoding { .. })), "{latin}");
    for opened in [
        Store::open_existing(&to(server, "empty")).await,
        Store::open_beside(&to(server, "empty")).await,
        Store::open_to_read(&to(server, "empty")).await,
    ] {
        let empty = opened.expect_err("nothing says that it is ours");
        assert!(matches!(empty, Error::Refused(Refusal::Empty { .. })), "{empty}");
    }
    run(&mut beside(server, "foreign").await, "CREATE TABLE mine (n INTEGER)").await;
    let foreign = refused(&to(server, "foreign")).await;
    assert!(matches!(foreign, Error::Refused(Refusal::Foreign { .. })), "{foreign}");
    run(&mut admin, "ALTER DATABASE asynchronous SET synchronous_commit = off").await;
    let unsafe_one = refused(&to(server, "asynchronous")).await;
    assert!(matches!(unsafe_one, Error::Refused(Refusal::Asynchronous { .. })), "{unsafe_one}");
    assert!(unsafe_one.to_string().contains("synchronous_commit = on"), "{unsafe_one}");
    Store::open(&to(server, "newer")).await.expect("it opens").close().await;
    let newer = "INSERT INTO _sqlx_migrations VALUES (999, 'later', now(), true, '', 0)";
    run(&mut beside(server, "newer").await, newer).await;
    let newer = refused(&to(server, "newer")).await;
    assert!(matches!(newer, Error::NewerSchema { found: 999, known: 1.. }), "{newer}");
    run(&mut beside(server, "newer").await, "DELETE FROM _sqlx_migrations WHERE version > 1").await;
    let older = Store::open_beside(&to(server, "newer")).await.expect_err("it is older");
    assert!(matches!(older, Error::OlderSchema { found: 1, .. }), "{older}");
}

#[tokio::test]
async fn what_only_looks_changes_nothing_and_what_must_be_alone_is_not_done_beside_an_issuer() {
    let case = Case::postgres().await;
    case.open(1, 4).await;
    let look = Store::open_to_read(&case.options).await.expect("it opens");
    assert_eq!(look.batch(ward(), id(1)).await.expect("reads"), Some(case.row(1).await));
    look.write_heartbeat("a test", NOW).await.expect_err("it only looks");
    let held = Store::open_existing(&case.options).await.expect_err("an issuer is there");
    assert!(held.in_use().is_some_and(|place| place.contains("todoke at")), "{held}");
    Store::open_beside(&case.options).await.expect("beside it").close().await;
    let second = Store::open(&case.options).await.expect("issuers may share it");
    assert_eq!(second.batch(ward(), id(1)).await.expect("reads"), Some(case.row(1).await));
    assert!(!second.notice_restore(NOW).await.expect("reads"), "nothing beside it could tell");
}

#[tokio::test]
async fn connections_that_the_server_has_ended_are_used_for_nothing() {
    let case = Case::postgres().await;
    let row = case.open(1, 80).await;
    for number in 0..3 {
        let mut admin = beside(server(&case), "postgres").await;
        run(
            &mut admin,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'todoke%'",
        )
        .await;
        assert_eq!(case.put(&row, number).await, PutChunk::Stored, "who begins a transaction has a new one");
        assert_eq!(case.row(1).await.chunks_stored, number + 1);
    }
}

#[tokio::test]
async fn a_connection_that_is_lost_before_commit_has_changed_nothing() {
    let case = Case::postgres().await;
    case.open(1, 4).await;
    let lost: Result<(), Error> = in_tx!(case.store, "a_test", |tx| {
        sqlx::query("UPDATE batch SET uploader_epoch = 7").execute(&mut *tx).await?;
        sqlx::query("SELECT pg_terminate_backend(pg_backend_pid())").execute(&mut *tx).await?;
        Ok(())
    });
    let lost = lost.expect_err("it is gone");
    assert!(matches!(lost, Error::Away(_)) && lost.is_transient() && !lost.may_have_applied(), "{lost}");
    assert_eq!(case.row(1).await.uploader_epoch, 1);
}

#[tokio::test]
async fn whoever_leaves_at_any_moment_leaves_no_transaction_behind() {
    let case = Case::postgres().await;
    let mut admin = beside(server(&case), "postgres").await;
    for waits in (0..10).cycle().take(40) {
        crash::dropped_after(waits, case.store.write_heartbeat("a test", NOW)).await;
        case.calm().await;
        let open = "SELECT COUNT(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'";
        let open: i64 = sqlx::query_scalar(open).fetch_one(&mut admin).await.expect("it reads");
        assert_eq!(open, 0, "after {waits} waits");
    }
}

/// Makes COMMIT wait for a standby that there is not.
const NO_STANDBY: &str = "synchronous_standby_names = 'nobody'\n";

/// Ends the wait of a COMMIT for its standby by this function of the server, once there is one.
async fn end_wait(admin: &mut PgConnection, how: &'static str) {
    loop {
        let sql = sqlx::AssertSqlSafe(format!(
            "SELECT COUNT({how}(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        ));
        let ended: i64 = sqlx::query_scalar(sql).fetch_one(&mut *admin).await.expect("it runs");
        if ended > 0 {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_commit_that_no_standby_has_is_not_acknowledged_however_its_wait_ends() {
    for how in ["pg_cancel_backend", "pg_terminate_backend"] {
        let case = Case::postgres_with(NO_STANDBY).await;
        let mut admin = beside(server(&case), "postgres").await;
        let (written, ()) = tokio::join!(case.store.write_heartbeat("a test", 7), end_wait(&mut admin, how));
        let unknown = written.expect_err("no standby has it");
        assert!(matches!(unknown, Error::OutcomeUnknown { .. }), "{how}: {unknown}");
        assert!(unknown.may_have_applied() && unknown.is_transient(), "{unknown}");
        let stands = case.store.heartbeat("a test").await.expect("reads");
        assert_eq!(stands, Some(7), "{how}: it was done all the same, which is why nothing is claimed");
    }
}

/// A receipt as a primary has it that was started again before it was on a standby.
const RECEIPT_ON_ONE_MACHINE: &str = "
    SET synchronous_commit = local;
    SET session_replication_role = replica;
    INSERT INTO receipt (municipality_code, batch_id, sequence, attempt, digest, receipt)
    VALUES ('131229', '0192f0c1-2345-7abc-8def-000000000001', 1, 1, sha256('note'), 'note')";

#[tokio::test]
async fn an_answer_that_was_only_read_is_not_given_before_a_standby_has_what_it_was_read_from() {
    let case = Case::postgres_with(NO_STANDBY).await;
    run(&mut beside(server(&case), template::DATABASE).await, RECEIPT_ON_ONE_MACHINE).await;
    let case = case.reopened(|options| options.answer_max = Duration::from_millis(500)).await;
    let receipt = case.store.receipt(ward(), id(1)).await.map(|receipt| format!("{receipt:?}"));
    let compared = case.store.compare_receipts(ward(), &[], true, NOW).await;
    for answer in [receipt, compared.map(|compared| format!("{compared:?}"))] {
        let unknown = answer.expect_err("no standby has it");
        assert!(matches!(unknown, Error::OutcomeUnknown { .. }), "{unknown}");
    }
}

#[tokio::test]
async fn a_commit_that_is_not_answered_in_time_is_not_claimed_to_be_anything() {
    let case = Case::postgres_with(NO_STANDBY).await;
    let case = case.reopened(|options| options.answer_max = Duration::from_secs(1)).await;
    let unknown = case.store.write_heartbeat("a test", 7).await.expect_err("no standby has it");
    assert!(matches!(unknown, Error::OutcomeUnknown { .. }), "{unknown}");
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_ended_and_a_commit_is_not() {
    let short = Duration::from_millis(300);
    let case = Case::postgres_with(NO_STANDBY).await;
    let case = case.reopened(|options| options.statement_max = short).await;
    let slow: Result<(), Error> = in_tx!(case.store, "a_test", |tx| {
        sqlx::query("SELECT pg_sleep(20)").execute(tx).await?;
        Ok(())
    });
    let slow = slow.expect_err("it is ended");
    assert!(matches!(slow, Error::Cancelled) && slow.is_transient() && !slow.may_have_applied(), "{slow}");
    let mut admin = beside(server(&case), "postgres").await;
    let standby = async {
        let long = "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'
            AND clock_timestamp() - query_start > interval '1 s'";
        while 0 == sqlx::query_scalar::<_, i64>(long).fetch_one(&mut admin).await.expect("it runs") {
            tokio::task::yield_now().await;
        }
        run(&mut admin, "ALTER SYSTEM SET synchronous_standby_names = ''").await;
        run(&mut admin, "SELECT pg_reload_conf()").await;
    };
    let (written, ()) = tokio::join!(case.store.write_heartbeat("a test", 7), standby);
    written.expect("the wait came to a good end");
}

/// Lets COMMIT of a heartbeat take longer than a statement may.
const SLOW_COMMIT: &str = "
    CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_sleep(1.5); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER slow AFTER INSERT OR UPDATE ON heartbeat DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION slow()";

#[tokio::test]
async fn what_a_commit_does_itself_may_take_longer_than_a_statement() {
    let short = Duration::from_millis(500);
    let case = Case::postgres().await.reopened(|options| options.statement_max = short).await;
    run(&mut beside(server(&case), template::DATABASE).await, SLOW_COMMIT).await;
    let begun = std::time::Instant::now();
    case.store.write_heartbeat("a test", 7).await.expect("COMMIT is not timed");
    assert!(begun.elapsed() > short, "it was slow");
    assert_eq!(case.store.heartbeat("a test").await.expect("it reads"), Some(7));
}

#[tokio::test]
async fn a_row_that_somebody_keeps_is_waited_for_and_then_told() {
    let short = Duration::from_millis(50);
    let case = Case::postgres().await.reopened(|options| options.lock_max = short).await;
    let row = case.open(1, 80).await;
    let mut tool = beside(server(&case), template::DATABASE).await;
    run(&mut tool, "BEGIN; UPDATE batch SET progress_ms = progress_ms").await;
    let busy = put(&case.store, &row, 0).await.expect_err("it is kept");
    assert!(matches!(busy, Error::Busy) && busy.is_transient() && !busy.may_have_applied(), "{busy}");
    run(&mut tool, "ROLLBACK").await;
    assert_eq!(case.put(&row, 0).await, PutChunk::Stored);
}

#[tokio::test]
async fn an_issuer_that_hangs_inside_a_transaction_holds_another_up_no_longer_than_that_one_tries() {
    let case = Case::postgres().await.reopened(|options| options.lock_max = Duration::from_millis(500)).await;
    let (row, held) = (case.open(1, 80).await, tokio::sync::Notify::new());
    let second = Store::open(&case.options).await.expect("issuers may share it");
    let hangs = async {
        let ended: Result<(), Error> = in_tx!(second, "a_test", |tx| {
            sqlx::query("UPDATE batch SET progress_ms = progress_ms").execute(tx).await?;
            held.notify_one();
            std::future::pending().await
        });
        ended
    };
    let puts = async {
        held.notified().await;
        put(&case.store, &row, 0).await
    };
    tokio::select! {
        ended = hangs => panic!("nothing ends it here: {ended:?}"),
        stored = puts => assert_eq!(stored.expect("the row comes free"), PutChunk::Stored),
    }
}

#[tokio::test]
async fn of_two_hosts_the_one_that_can_be_written_to_is_asked_and_after_a_failover_the_other() {
    let (one, two) = tokio::join!(template::server(""), template::server(""));
    let url = format!(
        "postgres://todoke@/{}?host=/nowhere,{},{}",
        template::DATABASE,
        one.folder().display(),
        two.folder().display()
    );
    // A server that takes nothing is what a standby is to whoever writes.
    let mut first = beside(&one, "postgres").await;
    run(&mut first, "ALTER SYSTEM SET default_transaction_read_only = on").await;
    run(&mut first, "SELECT pg_reload_conf()").await;
    let options = StoreOptions { url, acquire_max: Duration::from_secs(10), ..StoreOptions::default() };
    let store = Store::open(&options).await.expect("the last one takes it");
    store.write_heartbeat("a test", 2).await.expect("a transaction");
    run(&mut first, "SET default_transaction_read_only = off").await;
    run(&mut first, "ALTER SYSTEM SET default_transaction_read_only = off").await;
    run(&mut first, "SELECT pg_reload_conf()").await;
    blocking(move || drop(two)).await;
    // Whoever comes first may be told that its connection is gone; nobody else is.
    let _ = store.heartbeat("a test").await;
    assert_eq!(store.heartbeat("a test").await.expect("it reads"), None, "it is another server");
    store.write_heartbeat("a test", 3).await.expect("a transaction");
    assert_eq!(store.heartbeat("a test").await.expect("it reads"), Some(3));
    blocking(move || drop(one)).await;
    let hasty = StoreOptions { acquire_max: Duration::from_millis(300), ..options };
    let away = Store::open(&hasty).await.expect_err("none is left");
    assert!(matches!(away, Error::Away(_)) && away.is_transient(), "{away}");
    assert!(away.to_string().contains("/nowhere:"), "it says what each said: {away}");
}

#[tokio::test]
async fn two_issuers_at_one_database_store_each_chunk_and_each_order_once() {
    let case = Case::postgres().await;
    let second = Store::open(&case.options).await.expect("issuers may share it");
    let row = case.open(1, 80).await;
    let of = |n: u32| if n.is_multiple_of(2) { &case.store } else { &second };
    let puts = futures_util::future::join_all((0..80u32).map(|n| put(of(n), &row, n / 4))).await;
    let stored = puts.iter().filter(|put| matches!(put, Ok(PutChunk::Stored))).count();
    let duplicate = puts.iter().filter(|put| matches!(put, Ok(PutChunk::Duplicate))).count();
    assert_eq!((stored, duplicate), (20, 60), "{puts:?}");
    for n in 2..=3 {
        case.sealed(n, 400).await;
    }
    let (one, two) = (case.claim(2).await, case.claim(3).await);
    let (all, same) = (orders("K", 400), orders("K", 400));
    // Both batches bring the same ids, from both ends: whoever has one first keeps it.
    let work = |store: Store, claim: Claim, orders: Vec<NewOrder>| async move {
        let mut accepted = 0;
        for (number, chunk) in (0..).zip(orders.chunks(CHUNK as usize)) {
            let done = store.store_orders(&claim, number..number + 1, chunk.to_vec(), Vec::new(), NOW).await;
            match done.expect("the store answers") {
                Stored::Done { accepted: some, .. } => accepted += some,
                lost @ Stored::LeaseLost => panic!("{lost:?}"),
            }
        }
        accepted
    };
    let mut back = same;
    back.reverse();
    back.iter_mut().zip(0..).for_each(|(order, index)| order.index = index);
    let (first, second) = tokio::join!(work(case.store.clone(), one, all), work(second.clone(), two, back));
    assert_eq!(first + second, 400, "each id stands for one record");
    assert!(first > 0 && second > 0, "{first} and {second}");
}

#[tokio::test]
async fn a_fresh_server_makes_what_is_durable_and_says_so() {
    let server = blocking(|| Throwaway::start(Care::Durable)).await.expect("it starts");
    server.create("todoke").await.expect("it is made");
    let options = to(&server, "todoke");
    let (one, two) = tokio::join!(Store::open(&options), Store::open(&options));
    let stores = [one.expect("one makes the tables"), two.expect("the other waits for it")];
    stores[0].write_heartbeat("a test", 1).await.expect("a transaction");
    assert_eq!(stores[1].heartbeat("a test").await.expect("it reads"), Some(1));
}

#[tokio::test]
async fn as_many_connections_are_had_as_the_limit_says_and_the_next_one_waits_for_a_place() {
    let short = Duration::from_millis(300);
    let case = Case::postgres().await;
    let case = case.reopened(|options| (options.connections_max, options.acquire_max) = (2, short)).await;
    case.open(1, 4).await;
    let first = case.held().await;
    case.row(1).await; // at the limit
    let second = case.held().await;
    let refused = case.store.batch(ward(), id(1)).await.expect_err("one above");
    assert!(matches!(refused, Error::NoConnection), "{refused}");
    let (read, ()) = tokio::join!(case.store.batch(ward(), id(1)), async { drop(first) });
    read.expect("it waited for a place").expect("it is there");
    drop(second);
}
