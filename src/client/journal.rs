//! `FILE.todoke-journal`: what was begun with a file. A line that was written is on the disk before anything
//! is sent on the strength of it, so a client that was killed at any moment asks for the same batch again and
//! not for a new one.
//!
//! Each line is `SHA-256-of-the-JSON's-first-16-hex-digits SPACE JSON`. A damaged last line was being written
//! when the process died and is dropped; damage anywhere else is an error.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    input_fault::InputFault,
    reader::{Fingerprint, ReadOptions},
    source::Encoding,
};
use crate::domain::{digest::Digest, layout::Layout};

/// The largest journal that is read, in bytes.
pub const JOURNAL_BYTES_MAX: u64 = 64 << 20;

/// One line of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Entry {
    /// Always first, and on disk before the first send: which batch this file is.
    Begun(Begun),
    /// The issuer knows the batch.
    Opened {
        /// The number that tells uploaders of the batch apart.
        uploader_epoch: u32,
    },
    /// So many chunks are known to be durable.
    Durable {
        /// Chunks.
        chunks: u64,
    },
    /// The issuer took the seal.
    Sealed,
    /// The receipt was verified and written.
    Receipt {
        /// Lower-case hex SHA-256 of the receipt's text.
        digest: String,
    },
    /// The batch ended without receipt, or never came to be; the next import is another batch.
    Ended {
        /// Why.
        reason: String,
    },
}

/// Which batch a file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// The caller, such as `municipality/131229`.
    pub caller: String,
    /// The manifest's exact text.
    pub manifest: String,
    /// What the file held.
    pub fingerprint: Fingerprint,
    /// How it was read.
    pub encoding: Encoding,
    /// Whether a missing last line break was accepted.
    pub accept_missing_newline: bool,
    /// Where the fields stand in a fixed-width file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
}

impl Begun {
    /// Whether `file` holds the very bytes that the batch was begun with: only then does what was accepted of
    /// them, such as a last line without its end, say anything.
    ///
    /// # Errors
    /// [`InputFault`] if the file cannot be read.
    pub fn is_of(&self, file: &Path) -> Result<bool, InputFault> {
        Ok(Fingerprint::of_file(file)? == self.fingerprint)
    }

    /// How the file is to be read again.
    #[must_use]
    pub fn read_options(&self) -> ReadOptions {
        ReadOptions {
            encoding: self.encoding,
            accept_missing_newline: self.accept_missing_newline,
            layout: self.layout.clone(),
        }
    }
}

/// How far a journal says that its batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Begun, without receipt.
    Open,
    /// The receipt was verified and written.
    Receipted,
    /// Ended without receipt.
    Ended,
}

/// Why a journal cannot be used; each text ends with what to do.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk said no.
    #[error(
        "{}: {source}. The journal must be writable before anything is sent. {}, or pass --journal",
        path.display(), super::error::remedy_of(source)
    )]
    Io {
        /// The journal.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process works on the file.
    #[error("{}: another todoke process holds this journal. Wait for it, or end it first", .0.display())]
    Held(PathBuf),
    /// A line that is not the last is wrong.
    #[error(
        "{}, line {line}: the journal is damaged. Move it away and run `todoke resume FILE`: the batch is \
         found again from the file and the server", path.display()
    )]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// The journal is larger than [`JOURNAL_BYTES_MAX`].
    #[error("{}: larger than 64 MiB, so it is no journal; pass another --journal", .0.display())]
    TooLarge(PathBuf),
}

/// An open journal, held by this process alone.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    entries: Vec<Entry>,
}

impl Journal {
    /// The name of a file's journal, unless told otherwise.
    #[must_use]
    pub fn path_for(file: &Path) -> PathBuf {
        with_suffix(file, ".todoke-journal")
    }

    /// Opens a journal, new or old, and holds it until dropped.
    ///
    /// # Errors
    /// [`JournalError`]; a damaged last line is none, and is cut off.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let io = |source| JournalError::Io { path: path.to_owned(), source };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => (),
            Err(TryLockError::WouldBlock) => return Err(JournalError::Held(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        // Between open and lock, whoever held it may have taken it away.
        let same = |a: fs::Metadata, b: fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
        if !fs::metadata(path).and_then(|there| Ok(same(there, file.metadata()?))).unwrap_or(false) {
            return Err(JournalError::Held(path.to_owned()));
        }
        let bytes = read_all(path, &mut file)?;
        let (entries, good) = parse(path, &bytes)?;
        file.set_len(good).map_err(io)?;
        file.seek(io::SeekFrom::End(0)).map_err(io)?;
        if entries.is_empty() {
            sync_folder(path).map_err(io)?;
        }
        Ok(Self { path: path.to_owned(), file, entries })
    }

    /// Reads a journal without holding it; `None` if there is none.
    ///
    /// # Errors
    /// [`JournalError`] as for [`Journal::open`].
    pub fn peek(path: &Path) -> Result<Option<Vec<Entry>>, JournalError> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(JournalError::Io { path: path.to_owned(), source }),
        };
        let bytes = read_all(path, &mut file)?;
        parse(path, &bytes).map(|(entries, _)| Some(entries))
    }

    /// Appends one entry; when this returns, it is on the disk.
    ///
    /// # Errors
    /// [`JournalError::Io`]; nothing may be sent on the strength of an entry that was not written.
    pub fn append(&mut self, entry: Entry) -> Result<(), JournalError> {
        let io = |source| JournalError::Io { path: self.path.clone(), source };
        let json = serde_json::to_string(&entry).map_err(|error| io(io::Error::other(error)))?;
        let line = format!("{} {json}\n", checksum(json.as_bytes()));
        self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data()).map_err(io)?;
        self.entries.push(entry);
        Ok(())
    }

    /// Sets a finished journal aside as `JOURNAL.SEQUENCE` and starts an empty one in its place.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn start_over(self, label: &str) -> Result<Self, JournalError> {
        let aside = with_suffix(&self.path, &format!(".{label}"));
        let io = |source| JournalError::Io { path: self.path.clone(), source };
        fs::rename(&self.path, aside).map_err(io)?;
        let path = self.path.clone();
        drop(self);
        Self::open(&path)
    }

    /// What was written so far.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

impl Drop for Journal {
    // An empty journal says nothing, and must not look as if a batch had been begun.
    fn drop(&mut self) {
        if self.entries.is_empty() && self.file.metadata().is_ok_and(|file| file.len() == 0) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Which batch the entries are of, if they were begun.
#[must_use]
pub fn begun(entries: &[Entry]) -> Option<&Begun> {
    entries.iter().rev().find_map(|entry| match entry {
        Entry::Begun(begun) => Some(begun),
        _ => None,
    })
}

/// How far the batch of the entries is.
#[must_use]
pub fn standing(entries: &[Entry]) -> Standing {
    match entries.last() {
        Some(Entry::Receipt { .. }) => Standing::Receipted,
        Some(Entry::Ended { .. }) => Standing::Ended,
        _ => Standing::Open,
    }
}

/// Whether the last that was heard is that every chunk is durable.
#[must_use]
pub fn is_durable(entries: &[Entry]) -> bool {
    matches!(entries.last(), Some(Entry::Durable { .. } | Entry::Sealed | Entry::Receipt { .. }))
}

/// Appends `suffix` to the whole name, so that `a.csv` becomes `a.csv.receipt`.
#[must_use]
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Makes a new or renamed file's name durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

/// The folder that a file is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn read_all(path: &Path, file: &mut File) -> Result<Vec<u8>, JournalError> {
    let mut bytes = Vec::new();
    file.take(JOURNAL_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| JournalError::Io { path: path.to_owned(), source })?;
    if bytes.len() as u64 > JOURNAL_BYTES_MAX {
        return Err(JournalError::TooLarge(path.to_owned()));
    }
    Ok(bytes)
}

// Returns the entries and how many bytes of them are good.
fn parse(path: &Path, bytes: &[u8]) -> Result<(Vec<Entry>, u64), JournalError> {
    let mut entries = Vec::new();
    let mut good = 0;
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    for (index, line) in lines.iter().enumerate() {
        match parse_line(line) {
            Some(entry) => entries.push(entry),
            None if index + 1 == lines.len() => break,
            None => return Err(JournalError::Damaged { path: path.to_owned(), line: index + 1 }),
        }
        good += line.len() as u64;
    }
    if entries.first().is_some_and(|entry| !matches!(entry, Entry::Begun(_))) {
        return Err(JournalError::Damaged { path: path.to_owned(), line: 1 });
    }
    Ok((entries, good))
}

fn parse_line(line: &[u8]) -> Option<Entry> {
    let text = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (sum, json) = text.split_once(' ')?;
    (sum == checksum(json.as_bytes())).then(|| serde_json::from_str(json).ok())?
}

fn checksum(json: &[u8]) -> String {
    hex::encode(&Digest::of(json).0[..8])
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
