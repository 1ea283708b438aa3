//! PostgreSQL's own bulk load: psql's binary `\copy` of the very rows that an import left, into the same
//! tables with the same indexes, in one transaction.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::{failure::Failure, server::Server};

/// Every table with something of a municipality; a batch first, as others refer to it.
const TABLES: &str = "
    SELECT CAST(table_name AS TEXT) AS name FROM information_schema.columns
    WHERE table_schema = 'public' AND column_name = 'municipality_code'
    ORDER BY table_name <> 'batch', table_name";
/// The table of the orders, for a load of nothing else.
pub(crate) const ORDERS: &str = "card_order";

/// Rows of a database in files.
pub(crate) struct Rows {
    folder: PathBuf,
    tables: Vec<(String, i64)>,
}

impl Rows {
    /// Writes all rows of municipalities in a database to `folder`.
    pub(crate) async fn of(server: &Server, database: &str, folder: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(folder)?;
        let mut connection = server.connect(database).await?;
        let names: Vec<String> = sqlx::query_scalar(TABLES).fetch_all(&mut connection).await?;
        let mut tables = Vec::new();
        for name in names {
            let rows = count(&mut connection, &name).await?;
            if rows > 0 {
                let file = file(folder, &name);
                psql(&server.url(database), &[format!("\\copy {name} TO '{file}' (FORMAT binary)")])?;
                tables.push((name, rows));
            }
        }
        connection.close().await?;
        Ok(Self { folder: folder.to_owned(), tables })
    }

    /// How many rows of a table there are.
    pub(crate) fn count(&self, table: &str) -> i64 {
        self.tables.iter().find(|(name, _)| name == table).map_or(0, |(_, rows)| *rows)
    }

    /// How many rows there are.
    pub(crate) fn all(&self) -> i64 {
        self.tables.iter().map(|(_, rows)| rows).sum()
    }

    /// How many tables they are of.
    pub(crate) fn tables(&self) -> usize {
        self.tables.len()
    }

    /// Loads them into a new database, all or those of one table; returns how long psql took, from its start
    /// to its end with every row durable.
    pub(crate) async fn load(&self, server: &mut Server, only: Option<&str>) -> Result<Duration, Failure> {
        let tables: Vec<_> =
            self.tables.iter().filter(|(name, _)| only.is_none_or(|only| name == only)).collect();
        let script: Vec<String> = tables
            .iter()
            .map(|(name, _)| format!("\\copy {name} FROM '{}' (FORMAT binary)", file(&self.folder, name)))
            .collect();
        let database = server.database_with_tables().await?;
        server.checkpoint().await?;
        let started = Instant::now();
        psql(&server.url(&database), &script)?;
        let took = started.elapsed();
        let mut connection = server.connect(&database).await?;
        for (name, rows) in tables {
            let loaded = count(&mut connection, name).await?;
            if loaded != *rows {
                return Err(Failure::new(format!("\\copy of {name} left {loaded} of {rows} rows")));
            }
        }
        connection.close().await?;
        server.remove(&database).await?;
        Ok(took)
    }
}

fn file(folder: &Path, table: &str) -> String {
    folder.join(format!("{table}.rows")).display().to_string()
}

async fn count(connection: &mut PgConnection, table: &str) -> Result<i64, Failure> {
    let text = format!("SELECT COUNT(*) FROM {table}");
    Ok(sqlx::query_scalar(AssertSqlSafe(text)).fetch_one(connection).await?)
}

/// Runs commands of psql in one transaction.
fn psql(url: &str, commands: &[String]) -> Result<(), Failure> {
    let mut psql = Command::new("psql");
    psql.args(["--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", "--dbname", url]);
    for command in commands {
        psql.args(["--command", command]);
    }
    let output = psql.stdin(Stdio::null()).output();
    let output = output.map_err(Failure::while_doing("psql (apt-get install postgresql-client)"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("psql: {}", String::from_utf8_lossy(&output.stderr).trim())))
}
