//! A PostgreSQL server for one run, as durable as in earnest, with a new database for whoever asks; nothing
//! of it is left when it is dropped.

use std::{fs, io, time::Duration};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions, raw_sql,
};
use todoke::store::{
    Store, StoreOptions,
    throwaway::{Care, Throwaway},
};

use crate::{failure::Failure, process};

/// Who owns everything in a throw-away server, and the database that is always there.
const USER: &str = "todoke";
const FIRST: &str = "postgres";
const PORT: u16 = 5432;

/// The server, of which each part of a run has a database of its own.
pub(crate) struct Server {
    server: Throwaway,
    /// The process that all its others are children of.
    pid: u32,
    made: u32,
}

impl Server {
    pub(crate) fn start() -> Result<Self, Failure> {
        let server = Throwaway::start(Care::Durable).map_err(|trouble| Failure::new(trouble.to_string()))?;
        let told = fs::read_to_string(server.folder().join("data/postmaster.pid"))?;
        let pid = told.lines().next().and_then(|line| line.parse().ok());
        let pid = pid.ok_or_else(|| Failure::new("PostgreSQL does not say which process it is"))?;
        Ok(Self { server, pid, made: 0 })
    }

    /// Makes an empty database and returns its name.
    pub(crate) async fn database(&mut self) -> Result<String, Failure> {
        self.made += 1;
        let name = format!("slice_{}", self.made);
        self.server.create(&name).await.map_err(|trouble| Failure::new(trouble.to_string()))?;
        Ok(name)
    }

    /// The same with the issuer's tables in it.
    pub(crate) async fn database_with_tables(&mut self) -> Result<String, Failure> {
        let name = self.database().await?;
        store(&self.url(&name), 2).await?.close().await;
        Ok(name)
    }

    pub(crate) fn url(&self, database: &str) -> String {
        self.server.url(database)
    }

    /// How a database is connected to.
    pub(crate) fn options(&self, database: &str) -> PgConnectOptions {
        let options = PgConnectOptions::new_without_pgpass().socket(self.server.folder()).port(PORT);
        options.username(USER).database(database)
    }

    pub(crate) async fn connect(&self, database: &str) -> Result<PgConnection, Failure> {
        Ok(self.options(database).connect().await?)
    }

    /// Writes everything back, so that no slice has to for one before it.
    pub(crate) async fn checkpoint(&self) -> Result<(), Failure> {
        let mut connection = self.connect(FIRST).await?;
        raw_sql("CHECKPOINT").execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    /// Removes a database, whoever still uses it.
    pub(crate) async fn remove(&self, database: &str) -> Result<(), Failure> {
        let mut connection = self.connect(FIRST).await?;
        let text = format!("DROP DATABASE \"{database}\" WITH (FORCE)");
        raw_sql(AssertSqlSafe(text)).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    /// CPU time of all its processes so far.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        process::cpu_with_children(self.pid)
    }
}

/// Opens a database as the issuer does, with its defaults but for the number of connections.
pub(crate) async fn store(url: &str, connections: u32) -> Result<Store, Failure> {
    let options =
        StoreOptions { url: url.to_owned(), connections_max: connections, ..StoreOptions::default() };
    Store::open(&options).await.map_err(Failure::while_doing("the store"))
}
