//! What a test does to the database and looks up in it, beside the issuer that works on it.

use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use super::harness::{BUSY_MAX, Issuer};

/// SQL for a blob with one bit in its middle flipped.
pub(crate) fn flipped(column: &str) -> String {
    let at = format!("(length({column}) / 2 * 2 + 1)");
    format!(
        "unhex(substr(hex({column}), 1, {at} - 1)
            || substr('1032547698BADCFE', instr('0123456789ABCDEF', substr(hex({column}), {at}, 1)), 1)
            || substr(hex({column}), {at} + 1))"
    )
}

impl Issuer {
    /// Runs SQL beside the issuer, as a fault of the disk would change the file; a statement that changes
    /// rows must change some.
    pub(crate) async fn damage(&self, sql: &str) {
        let (connection, changed) = self.beside(sql).await;
        connection.close().await.expect("it closes");
        let changes = ["UPDATE", "DELETE"].iter().any(|word| sql.trim_start().starts_with(word));
        assert!(changed > 0 || !changes, "nothing was damaged by {sql}");
    }

    /// Keeps the issuer from writing until the connection is closed.
    pub(crate) async fn hold_writes(&self) -> SqliteConnection {
        self.beside("BEGIN IMMEDIATE").await.0
    }

    async fn beside(&self, sql: &str) -> (SqliteConnection, u64) {
        let path = self.dir.path().join("issuer.db");
        let options = SqliteConnectOptions::new().filename(path).busy_timeout(BUSY_MAX);
        // A disk knows no constraints.
        let options = options.foreign_keys(false).pragma("ignore_check_constraints", "ON");
        let mut connection = SqliteConnection::connect_with(&options).await.expect("it opens");
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        let done = sqlx::raw_sql(sql).execute(&mut connection).await.expect("it runs");
        (connection, done.rows_affected())
    }

    /// Counts the rows of a table.
    pub(crate) async fn rows(&self, table: &str) -> u64 {
        self.number(format!("SELECT count(*) FROM {table}")).await
    }

    /// Asks the database beside the issuer for a number.
    pub(crate) async fn number(&self, sql: String) -> u64 {
        let mut connection = self.reader().await;
        let asked = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&mut connection).await;
        connection.close().await.expect("it closes");
        let number: i64 = asked.unwrap_or_else(|error| panic!("{error}"));
        u64::try_from(number).expect("not below zero")
    }

    /// Reads rows.
    pub(crate) async fn read<T>(&self, sql: &'static str) -> Vec<T>
    where
        T: for<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow> + Send + Unpin,
    {
        let mut connection = self.reader().await;
        let rows = sqlx::query_as(sql).fetch_all(&mut connection).await;
        connection.close().await.expect("it closes");
        rows.expect("it reads")
    }

    /// Names every table.
    pub(crate) async fn tables(&self) -> Vec<String> {
        let mut connection = self.reader().await;
        let names = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name";
        let names = sqlx::query_scalar(names).fetch_all(&mut connection).await;
        connection.close().await.expect("it closes");
        names.expect("every database has it")
    }

    /// Shows every row of a table, as `TABLE: COLUMN …`.
    pub(crate) async fn content(&self, table: &str) -> Vec<String> {
        let mut connection = self.reader().await;
        let columns =
            "SELECT group_concat('quote(' || name || ')', ' || '' '' || ') FROM pragma_table_info($1)";
        let columns: String =
            sqlx::query_scalar(columns).bind(table).fetch_one(&mut connection).await.expect("it has columns");
        let rows = format!("SELECT '{table}: ' || {columns} AS row FROM {table} ORDER BY row");
        let rows = sqlx::query_scalar(sqlx::AssertSqlSafe(rows)).fetch_all(&mut connection).await;
        connection.close().await.expect("it closes");
        rows.expect("it reads")
    }

    async fn reader(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.dir.path().join("issuer.db")).read_only(true);
        SqliteConnection::connect_with(&options).await.expect("it opens")
    }
}
