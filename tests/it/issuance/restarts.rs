//! The harness's issuer started, stopped, and started again, with something done to its database in between.

use std::{path::Path, time::Duration};

use tempfile::TempDir;
use time::OffsetDateTime;
use todoke::{
    issuance::{self, Options},
    net::{pki::Authority, tls::ServerTls},
    pool::controller::Controller,
    runtime::{Running, Tasks, clock::Clock},
    store::{Store, StoreOptions},
    vault::Vault,
};

use super::{
    databases::Place,
    harness::{BUSY_MAX, Issuer, eventually, files},
};

/// By then every lease that was given has ended.
const LEASES_END_MS: i64 = 11_000;

impl Issuer {
    /// Starts an issuer in a folder that has an authority, with what judges the relays.
    pub(crate) async fn start_with(
        dir: TempDir,
        authority: Authority,
        clock: Clock,
        change: impl FnOnce(&mut Options),
        pool: impl FnOnce(&Store, &Vault) -> Option<Controller>,
    ) -> Self {
        Self::start_on(Place::new().await, dir, authority, clock, change, pool).await
    }

    /// The same on a database that may have been used before.
    async fn start_on(
        place: Place,
        dir: TempDir,
        authority: Authority,
        clock: Clock,
        change: impl FnOnce(&mut Options),
        pool: impl FnOnce(&Store, &Vault) -> Option<Controller>,
    ) -> Self {
        let pki = dir.path().join("pki");
        let vault = Vault::open(&pki.join("kek.key"), &pki.join("receipt.key")).expect("a vault");
        let verifier = vault.verifier_key();
        let url = place.url(dir.path());
        let store = StoreOptions { url, busy_max: BUSY_MAX, lock_max: BUSY_MAX, ..StoreOptions::default() };
        let store = Store::open(&store).await.expect("a store");
        let tls = ServerTls::load(&files(&pki, "issuer-1")).expect("a server certificate");
        let tasks = Tasks::new();
        let mut options = Options {
            work_poll: Duration::from_millis(20),
            sweep_every: Duration::from_millis(20),
            watch_pause: Duration::from_millis(5),
            ..Options::default()
        };
        change(&mut options);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let (served, timed, pool) = (tls.clone(), clock.clone(), pool(&store, &vault));
        let parts = issuance::Parts { store: store.clone(), vault, tls: served, clock: timed, pool };
        let started = issuance::start(options, listener, parts, &tasks);
        let running = started.await.expect("it starts");
        let (address, not_ready) = (running.address, running.not_ready);
        Self { dir, authority, clock, store, verifier, not_ready, address, tls, tasks, place }
    }

    /// Stops in order, changes what is on the disk, and starts again in the same folder, with the same clock.
    pub(crate) async fn restarted(
        self,
        between: impl FnOnce(&Path),
        change: impl FnOnce(&mut Options),
    ) -> Self {
        self.stopped(false).await.again(between, change).await
    }

    /// Stops in order, puts a backup in the place of the database, and starts again. Unless it is `told`,
    /// nothing says that the database is an older one; a server's is told of by an operator.
    pub(super) async fn put_back(self, backup: &str, told: bool, change: impl FnOnce(&mut Options)) -> Self {
        let now_ms = self.clock.now_ms();
        let stopped = self.stopped(false).await;
        stopped.place.put_back(stopped.dir.path(), backup, told, now_ms).await;
        if matches!(stopped.place, Place::Server(_)) {
            stopped.clock.advance(LEASES_END_MS); // a backup holds those of the issuer that it was made of
        }
        stopped.again(|_| {}, change).await
    }

    /// Ends as a killed one does, nothing finished; starts again in the same folder, with the same clock,
    /// when nothing of the old one can write any more.
    pub(crate) async fn crashed(self, change: impl FnOnce(&mut Options)) -> Self {
        self.stopped(true).await.again(|_| {}, change).await
    }

    /// What is left of it when nothing of it can write any more.
    async fn stopped(mut self, at_once: bool) -> Stopped {
        let tasks = std::mem::replace(&mut self.tasks, Tasks::new());
        if at_once {
            tasks.hard().cancel();
            tasks.join(Duration::ZERO).await;
        } else {
            tasks.soft().cancel();
            tasks.join(Duration::from_secs(1)).await;
        }
        self.store.close().await;
        let other = tempfile::tempdir().expect("a temporary folder");
        let dir = std::mem::replace(&mut self.dir, other);
        let (place, clock) = (std::mem::replace(&mut self.place, Place::File), self.clock.clone());
        drop(self); // with the lock of the database, which a call that is cut off may hold a little longer
        let store = StoreOptions { url: place.url(dir.path()), ..StoreOptions::default() };
        let free = eventually("the database is free", async || Store::open_existing(&store).await.ok()).await;
        free.close().await;
        Stopped { dir, clock, place }
    }

    /// Writes a copy of the database as it is now, as a backup does.
    pub(crate) async fn backup(&self, name: &str) {
        self.place.back_up(self.dir.path(), name).await;
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

/// An issuer's folder, clock and database, which nobody uses.
struct Stopped {
    dir: TempDir,
    clock: Clock,
    place: Place,
}

impl Stopped {
    async fn again(self, between: impl FnOnce(&Path), change: impl FnOnce(&mut Options)) -> Issuer {
        let Self { dir, clock, place } = self;
        let authority =
            Authority::open(&dir.path().join("pki"), OffsetDateTime::now_utc()).expect("the authority");
        between(dir.path());
        Issuer::start_on(place, dir, authority, clock, change, |_, _| None).await
    }
}
