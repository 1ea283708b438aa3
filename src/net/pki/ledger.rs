//! Every certificate the CA ever issued, one a line, so that a party can be revoked by name, renewals
//! included.

use std::{fs, io, path::Path};

use super::{
    AuthorityError,
    files::{self, Existing, Secrecy},
};
use crate::domain::identity::Identity;

/// The name of the ledger in the CA's folder.
pub(super) const FILE: &str = "issued";

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) serial: Vec<u8>,
    /// In seconds since the Unix epoch.
    pub(super) not_after: i64,
    pub(super) identity: Identity,
}

impl Entry {
    fn line(&self) -> String {
        format!("{} {} {}\n", hex::encode(&self.serial), self.not_after, self.identity)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let entry = Self {
            serial: hex::decode(words.next()?).ok()?,
            not_after: words.next()?.parse().ok()?,
            identity: words.next()?.parse().ok()?,
        };
        words.next().is_none().then_some(entry)
    }
}

/// Returns all entries, oldest first.
pub(super) fn read(dir: &Path) -> Result<Vec<Entry>, AuthorityError> {
    let path = dir.join(FILE);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(|source| AuthorityError::Io { path: path.clone(), source })?,
    };
    let parse = |(at, line): (usize, &str)| {
        Entry::parse(line).ok_or_else(|| {
            let at = at + 1;
            AuthorityError::Unfit(format!("{}, line {at}: is no entry. Restore the file", path.display()))
        })
    };
    text.lines().enumerate().map(parse).collect()
}

/// Adds an entry. The folder must be locked.
pub(super) fn append(dir: &Path, entry: &Entry) -> Result<(), AuthorityError> {
    let mut text: String = read(dir)?.iter().map(Entry::line).collect();
    text.push_str(&entry.line());
    files::write(&dir.join(FILE), &text, Secrecy::Public, Existing::Replace)
}
