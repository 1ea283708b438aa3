//! The files of a ledger never take more than they may: each begins with a `start` line, so that the oldest
//! can go and the rest still be run again.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::check::Chain;

/// The least that a ledger may be told to take, in bytes.
pub const BYTES_MIN: u64 = 16 << 20;

/// Files into which a ledger's bytes are divided.
const PARTS: u64 = 16;

/// Files that are kept, however small: a controller that is taken over again and again begins many.
const FILES_MAX: usize = 1_024;

/// Files that may begin in one second.
const SAME_SECOND_MAX: u32 = 100;

const PREFIX: &str = "ledger-";
const ENDING: &str = ".jsonl";

/// One file of a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Where it is.
    pub path: PathBuf,
    /// The second in which it begins.
    pub from_s: u64,
    /// Its length.
    pub bytes: u64,
}

/// The files of the ledger in a folder, oldest first; other files are passed over.
///
/// # Errors
/// What the file system says.
pub fn list(folder: &Path) -> io::Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let begins = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(ENDING));
        let second = begins.and_then(|begins| begins.split('-').next()?.parse().ok());
        let (Some(from_s), Ok(about)) = (second, entry.metadata()) else { continue };
        if about.is_file() {
            pieces.push(Piece { path: entry.path(), from_s, bytes: about.len() });
        }
    }
    pieces.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(pieces)
}

/// Makes a folder that only its owner reads.
pub(in crate::pool) fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Whether there is room for more in the file that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// There is.
    Left,
    /// Soon there is none: the next line should be a `start`.
    Ending,
}

/// Writes a ledger into a folder.
pub(super) struct Files {
    folder: PathBuf,
    bytes_max: u64,
    open: Option<Open>,
}

struct Open {
    file: File,
    path: PathBuf,
    bytes: u64,
    chain: Chain,
}

impl Files {
    pub(super) fn new(folder: PathBuf, bytes_max: u64) -> Self {
        Self { folder, bytes_max: bytes_max.max(BYTES_MIN), open: None }
    }

    fn file_bytes_max(&self) -> u64 {
        self.bytes_max / PARTS
    }

    /// Begins a file with a `start` line; the oldest make room for all that may come to stand in it.
    pub(super) fn begin(&mut self, second: u64, start: &str) -> io::Result<Room> {
        self.open = None;
        if start.len() as u64 > self.file_bytes_max() / 2 {
            let words = format!(
                "what the judge keeps has {} bytes: set pool.ledger_bytes_max to {} at the least",
                start.len(),
                start.len() as u64 * 2 * PARTS
            );
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, words));
        }
        make_folder(&self.folder)?;
        self.make_room()?;
        self.open = Some(create(&self.folder, second)?);
        self.add(start)
    }

    /// Adds another `start` line to the file, from which it can be run again without what stands before; in a
    /// file of its own, if there is little room left.
    pub(super) fn begin_within(&mut self, second: u64, start: &str) -> io::Result<Room> {
        let most = self.file_bytes_max() / 4 * 3;
        match &mut self.open {
            Some(open) if open.bytes + start.len() as u64 <= most => open.chain = Chain::new(),
            _ => return self.begin(second, start),
        }
        self.add(start)
    }

    /// Adds whole lines with their check, all of them or none.
    pub(super) fn add(&mut self, lines: &str) -> io::Result<Room> {
        let most = self.file_bytes_max();
        let Some(open) = &mut self.open else {
            return Err(io::Error::other("no file was begun"));
        };
        let lines = open.chain.closed(lines);
        let bytes = open.bytes + lines.len() as u64;
        let written = match bytes > most {
            true => Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file has no room for this second")),
            false => open.file.write_all(lines.as_bytes()),
        };
        match written {
            Ok(()) => {
                open.bytes = bytes;
                Ok(if bytes > most / 4 * 3 { Room::Ending } else { Room::Left })
            }
            Err(error) => {
                self.give_up();
                Err(error)
            }
        }
    }

    /// Leaves a file as it was before the line that could not be written.
    fn give_up(&mut self) {
        let Some(open) = self.open.take() else { return };
        let _ = match open.bytes {
            0 => fs::remove_file(&open.path),
            bytes => open.file.set_len(bytes),
        };
    }

    fn make_room(&self) -> io::Result<()> {
        let mut pieces = list(&self.folder)?;
        pieces.reverse();
        let mut bytes = self.file_bytes_max();
        for (at, piece) in pieces.iter().enumerate() {
            bytes += piece.bytes;
            if bytes > self.bytes_max || at + 1 >= FILES_MAX {
                fs::remove_file(&piece.path)?;
            }
        }
        Ok(())
    }
}

fn create(folder: &Path, second: u64) -> io::Result<Open> {
    for n in 0..SAME_SECOND_MAX {
        let path = folder.join(format!("{PREFIX}{second:011}-{n:02}{ENDING}"));
        match OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => return Ok(Open { file, path, bytes: 0, chain: Chain::new() }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn files(folder: &Path) -> Files {
        Files::new(folder.join("ledger"), BYTES_MIN)
    }

    fn total(folder: &Path) -> u64 {
        list(&folder.join("ledger")).expect("it is there").iter().map(|piece| piece.bytes).sum()
    }

    #[test]
    fn however_much_is_written_the_files_take_no_more_than_they_may() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut files = files(dir.path());
        let line = format!("{}\n", "x".repeat(32_767));
        for second in 0..40 {
            assert_eq!(files.begin(second, &line).expect("it is written"), Room::Left);
            while files.add(&line).is_ok() {}
            assert!(total(dir.path()) <= BYTES_MIN, "after file {second}");
        }
        let left = list(&dir.path().join("ledger")).expect("it is there");
        assert!(left.len() >= 15, "{} are kept", left.len());
        assert_eq!(left.last().map(|piece| piece.from_s), Some(39), "the newest are");
        let about = fs::metadata(&left[0].path).expect("it is there").permissions();
        assert_eq!(about.mode() & 0o777, 0o600);
    }

    #[test]
    fn a_line_that_does_not_fit_leaves_the_file_whole_and_ends_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut files = files(dir.path());
        files.begin(7, "start\n").expect("it is written");
        files.add("second\n").expect("it is written");
        let long = "x".repeat(1 << 20);
        assert!(files.add(&long).is_err() && files.add("second\n").is_err(), "it was ended");
        let piece = &list(&dir.path().join("ledger")).expect("it is there")[0];
        let mut chain = Chain::new();
        let whole = chain.closed("start\n") + &chain.closed("second\n");
        assert_eq!(fs::read_to_string(&piece.path).expect("it is read"), whole);
        files.begin(7, "start\n").expect("another of the same second");
        assert_eq!(list(&dir.path().join("ledger")).expect("it is there").len(), 2);
    }
}
