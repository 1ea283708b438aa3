//! The last view that a client believed, in one file: it is there whole or not at all, and an older one never
//! takes its place.

use std::{
    fs::{self, File, OpenOptions, Permissions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use super::{
    journal::{folder_of, sync_folder, with_suffix},
    receipts::read_limited,
};
use crate::domain::{
    note::VerifierKey,
    pool_notes::{NOTE_BYTES_MAX, PoolNoteError, View},
};

/// How often, and after which waits, another process is waited for that keeps a view: 2 s in all.
const TRIES: (u32, Duration) = (200, Duration::from_millis(10));

/// Why a view cannot be read, or cannot be kept; each text ends with what to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeptError {
    /// The disk said no.
    #[error("{}: {source}. {}; until then each start goes by endpoints.json alone",
        path.display(), super::error::remedy_of(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not what the issuer signed.
    #[error("{}: {source}. Remove the file: the next view that comes is kept instead", path.display())]
    NotBelieved {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: PoolNoteError,
    },
    /// It is signed, and names nobody to send calls to.
    #[error("{}: it names nobody to use. Remove it: the next view that comes is kept instead", .0.display())]
    NamesNobody(PathBuf),
}

/// Where the view of the system of an `endpoints.json` is kept.
pub(super) fn path_for(endpoints: &Path) -> PathBuf {
    with_suffix(endpoints, ".todoke-view")
}

/// Reads the view, if there is one.
///
/// # Errors
/// [`KeptError`].
pub(super) fn read(path: &Path, key: &VerifierKey) -> Result<Option<View>, KeptError> {
    let note = match read_limited(path, NOTE_BYTES_MAX as u64) {
        Ok(note) => note,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(KeptError::Io { path: path.to_owned(), source }),
    };
    match View::open(&note, key) {
        Ok(view) if view.is_usable() => Ok(Some(view)),
        Ok(_) => Err(KeptError::NamesNobody(path.to_owned())),
        Err(source) => Err(KeptError::NotBelieved { path: path.to_owned(), source }),
    }
}

/// Waits for the lock of those who keep a view in this file; it is given back when dropped. Its own file
/// stays: who took it away could let two in at a time.
fn locked(path: &Path) -> io::Result<File> {
    let path = with_suffix(path, ".lock");
    let file = match OpenOptions::new().create(true).append(true).open(&path) {
        // Another user's can be locked, too, if it can be read.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => File::open(&path)?,
        opened => opened?,
    };
    for _ in 0..TRIES.0 {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => thread::sleep(TRIES.1),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::WouldBlock, format!("another process holds {}", path.display())))
}

/// Keeps a view that was believed, unless there is a later one already, from another process.
///
/// # Errors
/// [`KeptError::Io`]; what was there before is there still.
pub(super) fn keep(path: &Path, key: &VerifierKey, note: &[u8], view: &View) -> Result<(), KeptError> {
    let io = |source| KeptError::Io { path: path.to_owned(), source };
    // From here to its end, so that what is compared is what is replaced.
    let _lock = locked(path).map_err(io)?;
    if read(path, key).is_ok_and(|kept| kept.is_some_and(|kept| !view.replaces(&kept))) {
        return Ok(());
    }
    let written = || {
        let mut file = tempfile::NamedTempFile::new_in(folder_of(path))?;
        file.write_all(note)?;
        // Nothing in it is secret, and another user may start the next client.
        file.as_file().set_permissions(Permissions::from_mode(0o644))?;
        file.as_file().sync_all()?;
        fs::rename(file.into_temp_path(), path)?;
        sync_folder(path)
    };
    written().map_err(io)
}
