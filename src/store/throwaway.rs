//! A PostgreSQL server of one's own, for demonstrations and tests: nothing of it is left when it is dropped,
//! nor when the process that holds it dies, however it does.
//!
//! It listens on a Unix socket in a folder of its own and lets in whoever can reach that. Between it and us
//! stands a shell that waits for the end of its standard input, which comes when we let go of it or are gone:
//! then it ends the server and removes the folder.

mod prepared;

use std::{
    fs, io,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use sqlx::{ConnectOptions as _, Connection as _, postgres::PgConnectOptions};

pub use prepared::DATABASE;

/// Where Debian keeps the programs of each version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// Where others put them.
const USUAL: [&str; 3] = ["/usr/local/bin", "/usr/local/pgsql/bin", "/usr/bin"];
/// Who owns the databases.
const USER: &str = "todoke";
/// The name of the socket's file ends with it.
const PORT: u16 = 5432;
/// Longest wait for the server to take connections, and for it to end.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Lines of its log that are shown when it does not start.
const LINES_SHOWN: usize = 5;

/// Ends with the server gone and its folder removed, whatever becomes of whoever started it.
const KEEPER: &str = r#"
folder=$1; shift
"$@" >>"$folder/log" 2>&1 &
server=$!
read -r _
kill -QUIT "$server" 2>/dev/null
wait "$server"
cd / && rm -rf "$folder"
"#;

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
        let programs = Programs::find()?;
        let folder = Folder::make(&programs)?;
        programs.init(&folder, care)?;
        programs.launch(folder, care)
    }

    /// Starts a server on a copy of the data folder of another one that was stopped, with these settings, as
    /// lines of postgresql.conf.
    ///
    /// # Errors
    /// Any [`Trouble`]; nothing is left then.
    pub fn start_copy(data: &Path, care: Care, settings: &str) -> Result<Self, Trouble> {
        let programs = Programs::find()?;
        let folder = Folder::make(&programs)?;
        copy(data, &folder.data(), programs.owner).map_err(io("its data cannot be copied"))?;
        // What ALTER SYSTEM writes into as well, and can so take back.
        let file = fs::File::options().append(true).open(folder.data().join("postgresql.auto.conf"));
        let written = file.and_then(|mut file| io::Write::write_all(&mut file, settings.as_bytes()));
        written.map_err(io("its settings cannot be written"))?;
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

/// A folder that is removed if nothing comes of it.
struct Folder(Option<PathBuf>);

impl Folder {
    fn make(programs: &Programs) -> Result<Self, Trouble> {
        let folder = tempfile::Builder::new().prefix("todoke-pg-").tempdir();
        let folder = Self(Some(folder.map_err(io("it has no folder"))?.keep()));
        if let Some((user, group)) = programs.owner {
            chown(folder.path(), Some(user), Some(group)).map_err(io("its folder cannot be given away"))?;
        }
        Ok(folder)
    }

    fn path(&self) -> &Path {
        self.0.as_deref().unwrap_or(Path::new(""))
    }

    fn data(&self) -> PathBuf {
        self.path().join("data")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            let _ = fs::remove_dir_all(path);
        }
    }
}

/// The programs, and who is to run them if we may not.
struct Programs {
    folder: PathBuf,
    owner: Option<(u32, u32)>,
}

impl Programs {
    /// Those in a usual place, or the newest of Debian's.
    fn find() -> Result<Self, Trouble> {
        let there = |folder: &PathBuf| ["initdb", "postgres"].iter().all(|name| folder.join(name).is_file());
        let usual = USUAL.map(PathBuf::from).into_iter().find(there);
        let folder = usual.or_else(|| {
            let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
            let numbered = versions.filter_map(|entry| {
                let number: u32 = entry.file_name().to_str()?.parse().ok()?;
                Some((number, entry.path().join("bin")))
            });
            numbered.filter(|(_, folder)| there(folder)).max().map(|(_, folder)| folder)
        });
        let folder = folder.ok_or(Trouble::NotInstalled)?;
        let owner = match rustix::process::geteuid().is_root() {
            true => Some(user("postgres").ok_or(Trouble::NoUser)?),
            false => None,
        };
        Ok(Self { folder, owner })
    }

    /// A command that runs as whoever may, in a process group of its own: a Ctrl-C is not for it.
    fn command(&self, name: &str, folder: &Path) -> Command {
        self.as_owner(Command::new(self.folder.join(name)), folder)
    }

    fn as_owner(&self, mut command: Command, folder: &Path) -> Command {
        command.current_dir(folder).env("LC_ALL", "C").process_group(0);
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        command
    }

    fn init(&self, folder: &Folder, care: Care) -> Result<(), Trouble> {
        let mut init = self.command("initdb", folder.path());
        init.args(["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-instructions"]);
        init.args(["--username", USER, "--pgdata"]).arg(folder.data());
        if care == Care::Hasty {
            init.args(["--no-sync", "--wal-segsize=1"]);
        }
        succeeded("initdb", init)
    }

    fn launch(&self, mut folder: Folder, care: Care) -> Result<Throwaway, Trouble> {
        let path = folder.path().to_owned();
        let mut keeper = self.as_owner(Command::new("/bin/sh"), &path);
        keeper.args(["-c", KEEPER, "keeper"]).arg(&path).arg(self.folder.join("postgres"));
        keeper.arg("-D").arg(folder.data()).arg("-k").arg(&path);
        let settings = ["listen_addresses=", "max_connections=200", "shared_buffers=64MB"];
        let hasty = ["fsync=off", "full_page_writes=off", "autovacuum=off", "max_wal_size=64MB"];
        for setting in settings.iter().chain(hasty.iter().filter(|_| care == Care::Hasty)) {
            keeper.arg("-c").arg(setting);
        }
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let keeper = keeper.spawn().map_err(io("it cannot be started"))?;
        folder.0 = None; // it is the keeper's from now on
        let mut server = Throwaway { folder: path, keeper };
        server.ready()?;
        Ok(server)
    }
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

/// Runs a program to its end.
fn succeeded(what: &'static str, mut command: Command) -> Result<(), Trouble> {
    let done = command.stdin(Stdio::null()).output().map_err(io("a program cannot be run"))?;
    if done.status.success() {
        return Ok(());
    }
    let told = [done.stdout, done.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Err(Trouble::Failed { what, output: last_lines(&told.concat()) })
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(LINES_SHOWN)..].join(" | ")
}

/// Who has this name, and the group.
fn user(name: &str) -> Option<(u32, u32)> {
    let all = fs::read_to_string("/etc/passwd").ok()?;
    let fields = all.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found = fields.into_iter().find(|fields| fields.first() == Some(&name))?;
    Some((found.get(2)?.parse().ok()?, found.get(3)?.parse().ok()?))
}

/// Copies a folder with all that is in it, for its owner only.
fn copy(from: &Path, to: &Path, owner: Option<(u32, u32)>) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;

    fs::DirBuilder::new().mode(0o700).create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (there, place) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy(&there, &place, owner)?;
            continue;
        }
        fs::copy(&there, &place)?;
        if let Some((user, group)) = owner {
            chown(&place, Some(user), Some(group))?;
        }
    }
    if let Some((user, group)) = owner {
        chown(to, Some(user), Some(group))?;
    }
    Ok(())
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
        assert_eq!(user("root"), Some((0, 0)));
        assert_eq!(user("nobody at all"), None);
    }
}
