//! The programs of PostgreSQL, run as whoever may, and the folder of one server.

use std::{
    fs,
    os::unix::{
        fs::{OpenOptionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{Care, Extra, Throwaway, Trouble, USER, io};

/// Where Debian keeps the programs of each version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// Where others put them.
const USUAL: [&str; 3] = ["/usr/local/bin", "/usr/local/pgsql/bin", "/usr/bin"];
/// Unless its settings say otherwise.
const NO_NETWORK: &str = "listen_addresses = ''\n";
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

/// A folder that is removed if nothing comes of it.
pub(super) struct Folder(Option<PathBuf>);

impl Folder {
    pub(super) fn make(programs: &Programs) -> Result<Self, Trouble> {
        let folder = tempfile::Builder::new().prefix("todoke-pg-").tempdir();
        let folder = Self(Some(folder.map_err(io("it has no folder"))?.keep()));
        given(folder.path(), programs.owner).map_err(io("its folder cannot be given away"))?;
        Ok(folder)
    }

    fn path(&self) -> &Path {
        self.0.as_deref().unwrap_or(Path::new(""))
    }

    pub(super) fn data(&self) -> PathBuf {
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
pub(super) struct Programs {
    folder: PathBuf,
    pub(super) owner: Option<(u32, u32)>,
}

impl Programs {
    /// Those in a usual place, or the newest of Debian's.
    pub(super) fn find() -> Result<Self, Trouble> {
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
    pub(super) fn command(&self, name: &str, folder: &Path) -> Command {
        self.as_owner(Command::new(self.folder.join(name)), folder)
    }

    fn as_owner(&self, mut command: Command, folder: &Path) -> Command {
        command.current_dir(folder).env("LC_ALL", "C").process_group(0);
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        command
    }

    pub(super) fn init(&self, folder: &Folder, care: Care) -> Result<(), Trouble> {
        let mut init = self.command("initdb", folder.path());
        init.args(["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-instructions"]);
        init.args(["--username", USER, "--pgdata"]).arg(folder.data());
        if care == Care::Hasty {
            init.args(["--no-sync", "--wal-segsize=1"]);
        }
        succeeded("initdb", init)
    }

    /// Puts into a data folder what a server is started with beside its data.
    pub(super) fn furnish(&self, folder: &Folder, extra: Extra<'_>) -> Result<(), Trouble> {
        let data = folder.data();
        let furnished = || {
            for (name, content) in extra.files {
                let path = data.join(name);
                let file =
                    fs::File::options().create(true).truncate(true).write(true).mode(0o600).open(&path);
                io::Write::write_all(&mut file?, content.as_bytes())?;
                given(&path, self.owner)?;
            }
            // What ALTER SYSTEM writes into as well, and can so take back.
            let mut file = fs::File::options().append(true).open(data.join("postgresql.auto.conf"))?;
            io::Write::write_all(&mut file, format!("{NO_NETWORK}{}", extra.settings).as_bytes())
        };
        furnished().map_err(io("its settings cannot be written"))
    }

    pub(super) fn launch(&self, mut folder: Folder, care: Care) -> Result<Throwaway, Trouble> {
        let path = folder.path().to_owned();
        let mut keeper = self.as_owner(Command::new("/bin/sh"), &path);
        keeper.args(["-c", KEEPER, "keeper"]).arg(&path).arg(self.folder.join("postgres"));
        keeper.arg("-D").arg(folder.data()).arg("-k").arg(&path);
        let settings = ["max_connections=200", "shared_buffers=64MB"];
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

/// Runs a program to its end.
pub(super) fn succeeded(what: &'static str, mut command: Command) -> Result<(), Trouble> {
    let done = command.stdin(Stdio::null()).output().map_err(io("a program cannot be run"))?;
    if done.status.success() {
        return Ok(());
    }
    let told = [done.stdout, done.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Err(Trouble::Failed { what, output: last_lines(&told.concat()) })
}

pub(super) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(LINES_SHOWN)..].join(" | ")
}

/// Who has this name, and the group.
pub(super) fn user(name: &str) -> Option<(u32, u32)> {
    let all = fs::read_to_string("/etc/passwd").ok()?;
    let fields = all.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found = fields.into_iter().find(|fields| fields.first() == Some(&name))?;
    Some((found.get(2)?.parse().ok()?, found.get(3)?.parse().ok()?))
}

/// Gives a file or folder to whoever is to own it.
fn given(path: &Path, owner: Option<(u32, u32)>) -> io::Result<()> {
    owner.map_or(Ok(()), |(user, group)| chown(path, Some(user), Some(group)))
}

/// Copies a folder with all that is in it, for its owner only.
pub(super) fn copy(from: &Path, to: &Path, owner: Option<(u32, u32)>) -> io::Result<()> {
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
        given(&place, owner)?;
    }
    given(to, owner)
}
