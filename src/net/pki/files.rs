//! Files of the CA appear whole or not at all, keys are their owner's only, and nothing is overwritten
//! unasked.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use super::AuthorityError;

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Secrecy {
    /// Its owner only.
    Owner,
    /// Everybody.
    Public,
}

/// What becomes of a file that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    /// It stays, and the write is an error.
    Refuse,
    /// It is replaced in one step.
    Replace,
}

/// Writes a file under another name, makes it durable, and puts it in place in one step.
pub(super) fn write(
    path: &Path,
    text: &str,
    secrecy: Secrecy,
    existing: Existing,
) -> Result<(), AuthorityError> {
    let unfinished = beside(path);
    let _ = fs::remove_file(&unfinished); // left by a crash; the folder is locked, so it is nobody's
    let placed = place(&unfinished, path, text, secrecy, existing);
    let _ = fs::remove_file(&unfinished);
    placed.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => AuthorityError::Exists(path.to_owned()),
        _ => AuthorityError::Io { path: path.to_owned(), source },
    })
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

fn place(unfinished: &Path, path: &Path, text: &str, secrecy: Secrecy, existing: Existing) -> io::Result<()> {
    let mode = match secrecy {
        Secrecy::Owner => 0o600,
        Secrecy::Public => 0o644,
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    match existing {
        Existing::Replace => fs::rename(unfinished, path)?,
        // Fails if the name is taken; a rename would not.
        Existing::Refuse => fs::hard_link(unfinished, path)?,
    }
    File::open(path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")))?.sync_all()
}

/// Keeps other processes from writing into the folder until it is dropped.
pub(super) fn lock(dir: &Path) -> Result<File, AuthorityError> {
    let path = dir.join(".lock");
    let locked = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    locked.and_then(|file| file.lock().map(|()| file)).map_err(|source| AuthorityError::Io { path, source })
}
