//! A PostgreSQL server of one's own, for demonstrations and tests: nothing of it is left when it is dropped,
//! nor when the process that holds it dies, however it does.
//!
//! It listens on a Unix socket in a folder of its own and lets in whoever can reach that. Between it and us
//! stands a shell that waits for the end of its standard input, which comes when we let go of it or are gone:
//! then it ends the server and removes the folder.

mod prepared;
mod programs;

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Child,
    thread,
    time::{Duration, Instant},
};

use sqlx::{ConnectOptions as _, Connection as _, postgres::PgConnectOptions};

pub use prepared::DATABASE;
use programs::{Folder, Programs, copy, last_lines, succeeded};

/// Who owns the databases.
const USER: &str = "todoke";
/// The name of the socket's file ends with it.
const PORT: u16 = 5432;
/// Longest wait for the server to take connections, and for it to end.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Why there is no server; each text ends with what to do.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The programs are not there.
    #[error("PostgreSQL is not installed: `apt-get install postgresql` brings initdb and postgres")]
    NotInstalled,
    /// Nobody can run it.
    #[error(
        "PostgreSQL does not run as root, and there is no user postgres: `apt-get install postgresql` makes \
         one"
    )]
    NoUser,
    /// A file or a program cannot be used.
    #[error(
        "a throw-away PostgreSQL: {what}: {source}. Look at the folder for temporary files, or set TMPDIR"
    )]
    Io {
        /// What was to be done.
        what: &'static str,
        /// Why it could not be.
        source: io::Error,
    },
    /// A program of PostgreSQL ended, or did not become ready.
    #[error(
        "a throw-away PostgreSQL: {what}: {output}. The user postgres must be able to reach the folder for \
         temporary files: set TMPDIR to one"
    )]
    Failed {
        /// Which.
        what: &'static str,
        /// Its last words.
        output: String,
    },
    /// A database in it cannot be made.
    #[error("a throw-away PostgreSQL: a database cannot be made: {0}. Look at the disk")]
    Database(String),
}

fn io(what: &'static str) -> impl FnOnce(io::Error) -> Trouble {
    move |source| Trouble::Io { what, source }
}

/// How a server treats its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    /// As in earnest.
    Durable,
    /// For tests that pull no plug: nothing is forced to the disk.
    Hasty,
}

/// What a server is started with beside its data.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extra<'a> {
    /// Lines of postgresql.conf. By itself it listens on no network.
    pub settings: &'a str,
    /// Files in its data folder by their names, with what stands in them; only it may read them.
    pub files: &'a [(&'a str, &'a str)],
}

impl<'a> From<&'a str> for Extra<'a> {
    fn from(settings: &'a str) -> Self {
        Self { settings, files: &[] }
    }
}

/// A server that runs until this is dropped.
#[derive(Debug)]
pub struct Throwaway {
    folder: PathBuf,
    keeper: Child,
}

impl Throwaway {
    /// Starts a server with an empty database cluster. It blocks, for about a second.
    ///
    /// # Errors
    /// Any [`Trouble`]; nothing is left then.
    pub fn start(care: Care) -> Result<Self, Trouble> {
        Self::start_with(care, "")
    }

    /// The same, with more than its data.
    ///
    /// # Errors
    /// Any [`Trouble`]; nothing is left then.
    pub fn start_with<'a>(care: Care, extra: impl Into<Extra<'a>>) -> Result<Self, Trouble> {
        let programs = Programs::find()?;
        let folder = Folder::make(&programs)?;
        programs.init(&folder, care)?;
        programs.furnish(&folder, extra.into())?;
        programs.launch(folder, care)
    }

    /// Starts a server on a copy of the data folder of another one that was stopped, or of a base backup.
    ///
    /// # Errors
    /// Any [`Trouble`]; nothing is left then.
    pub fn start_copy<'a>(data: &Path, care: Care, extra: impl Into<Extra<'a>>) -> Result<Self, Trouble> {
        let programs = Programs::find()?;
        let folder = Folder::make(&programs)?;
        copy(data, &folder.data(), programs.owner).map_err(io("its data cannot be copied"))?;
        programs.furnish(&folder, extra.into())?;
        programs.launch(folder, care)
    }

    /// Stops the server in order and moves its data folder, for [`Throwaway::start_copy`].
    ///
    /// # Errors
    /// Any [`Trouble`].
    pub fn into_data(self, to: &Path) -> Result<(), Trouble> {
        let programs = Programs::find()?;
        let data = self.folder.join("data");
        let mut stop = programs.command("pg_ctl", &self.folder);
        stop.args(["stop", "--mode=fast", "--wait", "--silent", "--pgdata"]).arg(&data);
        succeeded("pg_ctl", stop)?;
        copy(&data, to, None).map_err(io("its data cannot be copied"))
    }

    /// The URL of one of its databases.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@/{database}?host={}", self.folder.display())
    }

    /// The folder of its socket.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes an empty database of this name, of small letters, digits and `_`.
    ///
    /// # Errors
    /// [`Trouble::Database`].
    pub async fn create(&self, name: &str) -> Result<(), Trouble> {
        debug_assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
        let made = async {
            let options = PgConnectOptions::new_without_pgpass().socket(&self.folder).port(PORT);
            let mut connection = options.username(USER).database("postgres").connect().await?;
            let text = format!("CREATE DATABASE \"{name}\" ENCODING 'UTF8' TEMPLATE template0");
            let text = sqlx::AssertSqlSafe(text);
            sqlx::raw_sql(text).execute(&mut connection).await?;
            connection.close().await
        };
        made.await.map_err(|error| Trouble::Database(error.to_string()))
    }
}

impl Drop for Throwaway {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take()); // which tells it
        if !waited(&mut self.keeper) {
            let _ = self.keeper.kill();
            let _ = self.keeper.wait();
        }
        let _ = fs::remove_dir_all(&self.folder); // if something kept the shell from it
    }
}

/// Waits for a process to end; `false` if it does not.
fn waited(child: &mut Child) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < WAIT_MAX {
        match child.try_wait() {
            Ok(None) => thread::sleep(LOOK_EVERY),
            _ => return true,
        }
    }
    false
}

impl Throwaway {
    /// Waits until it says that it takes connections.
    fn ready(&mut self) -> Result<(), Trouble> {
        let begun = Instant::now();
        let says_so = self.folder.join("data/postmaster.pid");
        while begun.elapsed() < WAIT_MAX {
            let state = fs::read_to_string(&says_so).unwrap_or_default();
            if state.lines().nth(7).is_some_and(|line| line.trim() == "ready") {
                return Ok(());
            }
            let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            if log.contains("FATAL") {
                return Err(Trouble::Failed { what: "postgres", output: last_lines(&log) });
            }
            thread::sleep(LOOK_EVERY);
        }
        Err(Trouble::Failed { what: "postgres", output: "it did not become ready".to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_takes_connections_and_leaves_nothing_behind() {
        let server = Throwaway::start(Care::Hasty).expect("it starts");
        let folder = server.folder().to_owned();
        let pid = fs::read_to_string(folder.join("data/postmaster.pid")).expect("it runs");
        let pid: u32 = pid.lines().next().and_then(|line| line.parse().ok()).expect("a number");
        assert!(folder.join(".s.PGSQL.5432").exists());
        drop(server);
        assert!(!folder.exists(), "the folder is gone");
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "the server is gone");
    }

    #[test]
    fn who_may_not_or_cannot_have_one_is_told_which_package_brings_it() {
        for trouble in [Trouble::NotInstalled, Trouble::NoUser] {
            assert!(trouble.to_string().contains("apt-get install postgresql"), "{trouble}");
        }
        assert_eq!(programs::user("root"), Some((0, 0)));
        assert_eq!(programs::user("nobody at all"), None);
    }
}
