//! Each promise that hangs on what the issuer stores is proved on a file of SQLite, and on a server of
//! PostgreSQL.

use std::{path::Path, process::Command};

use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use todoke::store::{
    Cause, Store, StoreOptions,
    throwaway::{DATABASE, Throwaway},
};

use super::harness::BUSY_MAX;

/// Makes a test of this name for each database; the body is an async block that begins with an issuer.
macro_rules! on_both {
    ($name:ident, $body:expr) => {
        mod $name {
            use super::*;
            async fn body() {
                $body.await;
            }
            #[tokio::test]
            async fn sqlite() {
                $crate::issuance::databases::on_a_file(body()).await;
            }
            #[tokio::test]
            async fn postgres() {
                $crate::issuance::databases::on_a_server(body()).await;
            }
        }
    };
}
pub(super) use on_both;

tokio::task_local! {
    static ON_A_SERVER: bool;
}

pub(super) async fn on_a_file(body: impl Future<Output = ()>) {
    ON_A_SERVER.scope(false, Box::pin(body)).await;
}

pub(super) async fn on_a_server(body: impl Future<Output = ()>) {
    ON_A_SERVER.scope(true, Box::pin(body)).await;
}

/// Whether issuers that are started here have a database of a server.
pub(super) fn is_on_a_server() -> bool {
    ON_A_SERVER.try_with(|on| *on).unwrap_or(false)
}

/// What the database of one issuer lies in.
pub(crate) enum Place {
    /// `issuer.db` in the issuer's folder.
    File,
    Server(Throwaway),
}

impl Place {
    /// A new one; a file unless the test is one of `on_both!`.
    pub(super) async fn new() -> Self {
        if !is_on_a_server() {
            return Self::File;
        }
        let server = Throwaway::prepared(Path::new(env!("CARGO_TARGET_TMPDIR")), "").await;
        Self::Server(server.unwrap_or_else(|trouble| panic!("{trouble}")))
    }

    /// What the database in this folder, or of the server, is called.
    pub(super) fn url(&self, dir: &Path) -> String {
        match self {
            Self::File => format!("sqlite:{}", dir.join("issuer.db").display()),
            Self::Server(server) => server.url(DATABASE),
        }
    }

    /// Writes a copy of the database as it is now into a file of the folder, as a backup does.
    pub(super) async fn back_up(&self, dir: &Path, name: &str) {
        let to = dir.join(name).display().to_string();
        if let Self::Server(server) = self {
            return tool(server, "pg_dump", &["--format=custom", "--file", &to, DATABASE]);
        }
        let options = SqliteConnectOptions::new().filename(dir.join("issuer.db")).busy_timeout(BUSY_MAX);
        let mut connection = SqliteConnection::connect_with(&options).await.expect("it opens");
        sqlx::query("VACUUM INTO $1").bind(to).execute(&mut connection).await.expect("it is copied");
        connection.close().await.expect("it closes");
    }

    /// Puts such a copy in the place of the database, which nobody uses any more. Beside a file lies what
    /// tells that it is an older one; of a server's database an operator says so. Unless it is `told`,
    /// neither.
    pub(super) async fn put_back(&self, dir: &Path, name: &str, told: bool, now_ms: i64) {
        let Self::Server(server) = self else {
            std::fs::copy(dir.join(name), dir.join("issuer.db")).expect("it is put in place");
            if !told {
                std::fs::remove_file(dir.join("issuer.db-witness")).expect("it was written");
            }
            return;
        };
        tool(server, "dropdb", &[DATABASE]);
        server.create(DATABASE).await.expect("it is made");
        let from = dir.join(name).display().to_string();
        tool(server, "pg_restore", &["--exit-on-error", "--dbname", DATABASE, &from]);
        if told {
            let options = StoreOptions { url: self.url(dir), ..StoreOptions::default() };
            let store = Store::open_existing(&options).await.expect("it is ours");
            let note = "a backup was put in its place";
            store.mark_restored(Cause::Operator, note, now_ms).await.expect("it is marked");
            store.close().await;
        }
    }
}

/// Runs one of PostgreSQL's own programs.
pub(crate) fn tool(server: &Throwaway, program: &str, words: &[&str]) {
    let mut command = Command::new(program);
    command.arg("--host").arg(server.folder()).args(["--username", "todoke"]).args(words);
    let output = command.output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}
