//! What a test does to the database and looks up in it, beside the issuer that works on it.

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, FromRow, PgConnection, SqliteConnection,
    postgres::{PgConnectOptions, PgRow},
    sqlite::{SqliteConnectOptions, SqliteRow},
};
use todoke::store::throwaway::{DATABASE, Throwaway};

use super::{
    databases::Place,
    harness::{BUSY_MAX, Issuer},
};

/// SQL for a blob with one bit in its middle flipped.
pub(crate) fn flipped(column: &str) -> String {
    let at = format!("(length({column}) / 2 * 2 + 1)");
    format!(
        "unhex(substr(hex({column}), 1, {at} - 1)
            || substr('1032547698BADCFE', instr('0123456789ABCDEF', substr(hex({column}), {at}, 1)), 1)
            || substr(hex({column}), {at} + 1))"
    )
}

/// Gives a server the functions of SQLite by which tests change bytes.
const FUNCTIONS: &str = "
    CREATE SCHEMA IF NOT EXISTS beside;
    CREATE OR REPLACE FUNCTION beside.hex(BYTEA) RETURNS TEXT LANGUAGE sql
        AS $$ SELECT upper(encode($1, 'hex')) $$;
    CREATE OR REPLACE FUNCTION beside.hex(TEXT) RETURNS TEXT LANGUAGE sql
        AS $$ SELECT upper(encode(convert_to($1, 'UTF8'), 'hex')) $$;
    CREATE OR REPLACE FUNCTION beside.unhex(TEXT) RETURNS BYTEA LANGUAGE sql
        AS $$ SELECT decode($1, 'hex') $$;
    CREATE OR REPLACE FUNCTION beside.zeroblob(BIGINT) RETURNS BYTEA LANGUAGE sql
        AS $$ SELECT decode(repeat('00', CAST($1 AS INTEGER)), 'hex') $$;
    CREATE OR REPLACE FUNCTION beside.instr(TEXT, TEXT) RETURNS INTEGER LANGUAGE sql
        AS $$ SELECT strpos($1, $2) $$;
    SET search_path = public, beside";

/// A disk knows no references and no triggers; whoever waits for what it changes waits for it.
const AS_A_DISK: &str = "SET session_replication_role = replica; SET deadlock_timeout = '60s'";

/// The checks of the tables that are named in the text `$1`, which a disk does not know either.
const CHECKS: &str = "
    SELECT CAST(CAST(c.conrelid AS REGCLASS) AS TEXT), CAST(c.conname AS TEXT), pg_get_constraintdef(c.oid)
    FROM pg_constraint AS c JOIN pg_class AS r ON r.oid = c.conrelid
    WHERE c.contype = 'c' AND c.connamespace = CAST('public' AS REGNAMESPACE)
        AND strpos($1, r.relname) > 0";

/// Every change of a batch begins with its row.
const HOLD: &str = "BEGIN; LOCK TABLE batch IN EXCLUSIVE MODE";

/// A connection of the test's own to the database.
pub(crate) enum Beside {
    File(SqliteConnection),
    Server(PgConnection),
}

impl Beside {
    /// To a server's database.
    pub(crate) async fn server(server: &Throwaway) -> Self {
        let options = PgConnectOptions::new_without_pgpass().socket(server.folder()).port(5432);
        let mut connection =
            options.username("todoke").database(DATABASE).connect().await.expect("it is there");
        sqlx::raw_sql(FUNCTIONS).execute(&mut connection).await.expect("they are made");
        Self::Server(connection)
    }

    /// Runs SQL as a fault of the disk would change the rows; returns how many were changed.
    pub(crate) async fn damage(&mut self, sql: &str) -> u64 {
        let ours = |sql: &str| AssertSqlSafe(sql.to_owned());
        match self {
            Self::File(connection) => {
                sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut *connection).await.expect("its turn comes");
                let done = sqlx::raw_sql(ours(sql)).execute(&mut *connection).await.expect("it runs");
                sqlx::raw_sql("COMMIT").execute(connection).await.expect("it is written");
                done.rows_affected()
            }
            Self::Server(connection) => {
                sqlx::raw_sql(AS_A_DISK).execute(&mut *connection).await.expect("it is set");
                let mut tx = connection.begin().await.expect("it begins");
                let checks: Vec<(String, String, String)> =
                    sqlx::query_as(CHECKS).bind(sql).fetch_all(&mut *tx).await.expect("it reads");
                for (of, name, _) in &checks {
                    let drop = format!("ALTER TABLE {of} DROP CONSTRAINT {name}");
                    sqlx::raw_sql(ours(&drop)).execute(&mut *tx).await.expect("it is there");
                }
                let done = sqlx::raw_sql(ours(sql)).execute(&mut *tx).await.expect("it runs");
                for (of, name, what) in &checks {
                    let what = what.trim_end_matches(" NOT VALID");
                    let add = format!("ALTER TABLE {of} ADD CONSTRAINT {name} {what} NOT VALID");
                    sqlx::raw_sql(ours(&add)).execute(&mut *tx).await.expect("it was there");
                }
                tx.commit().await.expect("it is written");
                done.rows_affected()
            }
        }
    }

    /// Reads rows.
    pub(crate) async fn read<T>(&mut self, sql: String) -> Vec<T>
    where
        T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let query = AssertSqlSafe(sql);
        match self {
            Self::File(connection) => sqlx::query_as(query).fetch_all(connection).await.expect("it reads"),
            Self::Server(connection) => sqlx::query_as(query).fetch_all(connection).await.expect("it reads"),
        }
    }

    pub(crate) async fn close(self) {
        match self {
            Self::File(connection) => connection.close().await.expect("it closes"),
            Self::Server(connection) => connection.close().await.expect("it closes"),
        }
    }
}

impl Issuer {
    /// Runs SQL beside the issuer, as a fault of the disk would change the rows; a statement that changes
    /// rows must change some.
    pub(crate) async fn damage(&self, sql: &str) {
        let mut beside = self.beside().await;
        let changed = beside.damage(sql).await;
        beside.close().await;
        let changes = ["UPDATE", "DELETE"].iter().any(|word| sql.trim_start().starts_with(word));
        assert!(changed > 0 || !changes, "nothing was damaged by {sql}");
    }

    /// The same where the two databases have other words for it.
    pub(crate) async fn damage_by(&self, [sqlite, postgres]: [&str; 2]) {
        self.damage(if matches!(self.place, Place::File) { sqlite } else { postgres }).await;
    }

    /// Keeps the issuer from writing until the connection is closed.
    pub(crate) async fn hold_writes(&self) -> Beside {
        let mut beside = self.beside().await;
        match &mut beside {
            Beside::File(connection) => sqlx::raw_sql("BEGIN IMMEDIATE").execute(connection).await.map(drop),
            Beside::Server(connection) => sqlx::raw_sql(HOLD).execute(connection).await.map(drop),
        }
        .expect("its turn comes");
        beside
    }

    async fn beside(&self) -> Beside {
        let Place::Server(server) = &self.place else {
            let path = self.dir.path().join("issuer.db");
            let options = SqliteConnectOptions::new().filename(path).busy_timeout(BUSY_MAX);
            // A disk knows no constraints.
            let options = options.foreign_keys(false).pragma("ignore_check_constraints", "ON");
            return Beside::File(SqliteConnection::connect_with(&options).await.expect("it opens"));
        };
        Beside::server(server).await
    }

    /// Counts the rows of a table.
    pub(crate) async fn rows(&self, table: &str) -> u64 {
        self.number(format!("SELECT count(*) FROM {table}")).await
    }

    /// Asks the database beside the issuer for a number.
    pub(crate) async fn number(&self, sql: String) -> u64 {
        let rows: Vec<(i64,)> = self.read(sql).await;
        u64::try_from(rows.first().expect("one row").0).expect("not below zero")
    }

    /// Reads rows.
    pub(crate) async fn read<T>(&self, sql: impl Into<String>) -> Vec<T>
    where
        T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let mut beside = match &self.place {
            Place::File => Beside::File(self.reader().await),
            Place::Server(server) => Beside::server(server).await,
        };
        let rows = beside.read(sql.into()).await;
        beside.close().await;
        rows
    }

    /// Names every table of a file.
    pub(crate) async fn tables(&self) -> Vec<String> {
        let mut connection = self.reader().await;
        let names = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name";
        let names = sqlx::query_scalar(names).fetch_all(&mut connection).await;
        connection.close().await.expect("it closes");
        names.expect("every database has it")
    }

    /// Shows every row of a file's table, as `TABLE: COLUMN …`.
    pub(crate) async fn content(&self, table: &str) -> Vec<String> {
        let mut connection = self.reader().await;
        let columns =
            "SELECT group_concat('quote(' || name || ')', ' || '' '' || ') FROM pragma_table_info($1)";
        let columns: String =
            sqlx::query_scalar(columns).bind(table).fetch_one(&mut connection).await.expect("it has columns");
        let rows = format!("SELECT '{table}: ' || {columns} AS row FROM {table} ORDER BY row");
        let rows = sqlx::query_scalar(AssertSqlSafe(rows)).fetch_all(&mut connection).await;
        connection.close().await.expect("it closes");
        rows.expect("it reads")
    }

    async fn reader(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.dir.path().join("issuer.db")).read_only(true);
        SqliteConnection::connect_with(&options).await.expect("it opens")
    }
}
