//! Where everything of a development system lies in its folder, and that only one `todoke dev` works in it.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
};

use super::DevError;

/// A log that has grown beyond this is set aside as `NAME.log.old` when its process is started again.
const LOG_BYTES_MAX: u64 = 64 << 20;

/// The folder of one system.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    dir: PathBuf,
}

impl Layout {
    /// Makes the folder and what is in it, as far as it is not there.
    ///
    /// # Errors
    /// [`DevError::Folder`]; [`DevError::NotOurs`] if others keep files there.
    pub(crate) fn make(dir: &Path) -> Result<Self, DevError> {
        let folder = |source| DevError::Folder { dir: dir.to_owned(), source };
        if !is_ours(dir).map_err(folder)? {
            return Err(DevError::NotOurs { dir: dir.to_owned() });
        }
        for part in ["", "logs", "run"] {
            fs::create_dir_all(dir.join(part)).map_err(folder)?;
        }
        // Absolute, since the processes and the people who copy a path from a message may stand elsewhere.
        let dir = fs::canonicalize(dir).map_err(folder)?;
        Ok(Self { dir })
    }

    /// Certificates, keys and the CA.
    pub(crate) fn pki(&self) -> PathBuf {
        self.dir.join("pki")
    }

    /// The folder of all logs.
    pub(crate) fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    /// One process's log.
    pub(crate) fn log(&self, id: &str) -> PathBuf {
        self.logs().join(format!("{id}.log"))
    }

    /// Where a process says what it listens on.
    pub(crate) fn addresses(&self, id: &str) -> PathBuf {
        self.dir.join("run").join(format!("{id}.json"))
    }

    /// What relays recorded before they drained.
    pub(crate) fn bundles(&self) -> PathBuf {
        self.dir.join("bundles")
    }

    /// The embedded database, unless told otherwise.
    pub(crate) fn database(&self) -> PathBuf {
        self.dir.join("issuer.db")
    }

    /// What people, scripts and clients start from.
    pub(crate) fn endpoints(&self) -> PathBuf {
        self.dir.join("endpoints.json")
    }

    /// Takes the folder for this process alone; it is given back when the file is dropped, or by the
    /// system when the process dies.
    ///
    /// # Errors
    /// [`DevError::InUse`] with the process that has it.
    pub(crate) fn hold(&self) -> Result<File, DevError> {
        let folder = |source| DevError::Folder { dir: self.dir.clone(), source };
        let path = self.dir.join("dev.lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(folder)?;
        match file.try_lock() {
            Ok(()) => (),
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _ = file.take(20).read_to_string(&mut pid);
                return Err(DevError::InUse { dir: self.dir.clone(), pid: pid.trim().to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(folder(error)),
        }
        let note = |file: &mut File| {
            file.set_len(0)?;
            file.seek(io::SeekFrom::Start(0))?;
            writeln!(file, "{}", std::process::id())
        };
        note(&mut file).map_err(folder)?;
        Ok(file)
    }
}

// A folder that is not there, is empty, or is of an earlier start.
fn is_ours(dir: &Path) -> io::Result<bool> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries.collect::<io::Result<Vec<_>>>()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    let begun = |name: &std::ffi::OsStr| name == "logs" || name == "run";
    Ok(dir.join("dev.lock").exists() || entries.iter().all(|entry| begun(&entry.file_name())))
}

/// Opens a log to write behind what is there.
pub(crate) fn open_log(path: &Path) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|log| log.len() > LOG_BYTES_MAX) {
        fs::rename(path, path.with_extension("log.old"))?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_files_of_somebody_else_is_left_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("endpoints.json"), "theirs").expect("it is written");
        let text = Layout::make(dir.path()).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(text.contains("pass an empty or a new --dir"), "{text}");
        assert_eq!(fs::read_dir(dir.path()).expect("it is there").count(), 1, "nothing was made in it");
    }

    #[test]
    fn a_folder_is_held_by_one_and_free_again_when_it_is_dropped() {
        let dir = tempfile::tempdir().expect("a folder");
        let layout = Layout::make(&dir.path().join("new/dev")).expect("it is made with its parents");
        let held = layout.hold().expect("nobody has it");
        let text = layout.hold().expect_err("it is held").to_string();
        assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
        drop(held);
        layout.hold().expect("it is free again");
    }

    #[test]
    fn a_log_that_grew_too_large_is_set_aside_and_a_small_one_is_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.log");
        open_log(&path).and_then(|mut log| log.write_all(b"first\n")).expect("it is written");
        let log = open_log(&path).expect("it is opened again");
        assert_eq!(log.metadata().expect("its length").len(), 6, "what was there stays");
        log.set_len(LOG_BYTES_MAX + 1).expect("a sparse file");
        assert_eq!(open_log(&path).and_then(|log| log.metadata()).expect("its length").len(), 0);
        assert!(dir.path().join("a.log.old").exists());
    }
}
