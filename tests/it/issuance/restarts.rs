//! The harness's issuer stopped and started again, with something done to its folder in between.

use std::{path::Path, time::Duration};

use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use time::OffsetDateTime;
use todoke::{
    issuance::{self, Options},
    net::{pki::Authority, tls::ServerTls},
    runtime::{Running, Tasks},
    store::{Store, StoreOptions},
    vault::Vault,
};

use super::harness::{Issuer, eventually, files};

impl Issuer {
    /// Stops in order, changes what is on the disk, and starts again in the same folder, with the same clock.
    pub(crate) async fn restarted(
        mut self,
        between: impl FnOnce(&Path),
        change: impl FnOnce(&mut Options),
    ) -> Self {
        let tasks = std::mem::replace(&mut self.tasks, Tasks::new());
        tasks.soft().cancel();
        tasks.join(Duration::from_secs(1)).await;
        self.again(between, change).await
    }

    /// Ends as a killed one does, nothing finished; starts again in the same folder, with the same clock,
    /// when nothing of the old one can write any more.
    pub(crate) async fn crashed(mut self, change: impl FnOnce(&mut Options)) -> Self {
        let tasks = std::mem::replace(&mut self.tasks, Tasks::new());
        tasks.hard().cancel();
        tasks.join(Duration::ZERO).await;
        self.again(|_| {}, change).await
    }

    async fn again(mut self, between: impl FnOnce(&Path), change: impl FnOnce(&mut Options)) -> Self {
        self.store.close().await;
        let other = tempfile::tempdir().expect("a temporary folder");
        let dir = std::mem::replace(&mut self.dir, other);
        let authority =
            Authority::open(&dir.path().join("pki"), OffsetDateTime::now_utc()).expect("the authority");
        let clock = self.clock.clone();
        drop(self); // with the lock of the database, which a call that is cut off may hold a little longer
        let url = format!("sqlite:{}", dir.path().join("issuer.db").display());
        let store = StoreOptions { url, ..StoreOptions::default() };
        eventually("the database is free", async || Store::open(&store).await.ok()).await;
        between(dir.path());
        Self::start_in(dir, authority, clock, change).await
    }

    /// Writes a copy of the database as it is now, as a backup does.
    pub(crate) async fn backup(&self, name: &str) {
        let path = self.dir.path().join("issuer.db");
        let options = SqliteConnectOptions::new().filename(path).busy_timeout(Duration::from_secs(10));
        let mut connection = SqliteConnection::connect_with(&options).await.expect("it opens");
        let to = self.dir.path().join(name).display().to_string();
        sqlx::query("VACUUM INTO $1").bind(to).execute(&mut connection).await.expect("it is copied");
        connection.close().await.expect("it closes");
    }

    /// Tries to start one more issuer on the same database, with this key-encryption key.
    pub(crate) async fn started_with(&self, kek: &Path) -> Result<Running, issuance::Error> {
        self.started_as(Options::default(), kek).await
    }

    /// The same, with these options.
    pub(crate) async fn started_as(&self, options: Options, kek: &Path) -> Result<Running, issuance::Error> {
        let pki = self.dir.path().join("pki");
        let vault = Vault::open(kek, &pki.join("receipt.key")).expect("a vault");
        let tls = ServerTls::load(&files(&pki, "issuer-1")).expect("a server certificate");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let (store, clock) = (self.store.clone(), self.clock.clone());
        let parts = issuance::Parts { store, vault, tls, clock, pool: None };
        issuance::start(options, listener, parts, &self.tasks).await
    }
}
