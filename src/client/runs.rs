//! Households that are too many for the memory, in sorted runs on the disk: they are counted exactly with one
//! run in memory, and their file has no name, so that it is gone with the process however that ends.
//!
//! What is written is a digest of each household, never an id. Nothing is synced: after a crash the file is
//! read again from its beginning.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, binary_heap::PeekMut},
    fs::{File, Permissions},
    io::{self, Write as _},
    iter,
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    path::Path,
};

use super::error::Error;
use crate::{
    crash::{self, Point},
    domain::{
        households::{KEY_BYTES, Key, Tally},
        totals::{Totals, TotalsBuilder},
    },
};

/// Households that are held before they are written as a run: 320 KiB of them. A batch of 10,000,000 records
/// has 611 runs at the most, 191 MiB.
const HELD_MAX: usize = 16_384;
/// Bytes that are read of a run at a time, a whole number of households and less than a page.
const BLOCK: u64 = 204 * KEY_BYTES as u64;

/// The households that are not in memory: sorted runs, one behind the other in a file of no name.
pub(crate) struct Runs<'a> {
    folder: &'a Path,
    /// None before the first run.
    file: Option<File>,
    /// Where each run ends in the file.
    ends: Vec<u64>,
}

impl<'a> Runs<'a> {
    /// Returns no runs yet; their file will be in `folder`.
    pub(crate) fn in_folder(folder: &'a Path) -> Self {
        Self { folder, file: None, ends: Vec::new() }
    }

    /// Writes the households that `totals` holds as a run, if they are many.
    ///
    /// # Errors
    /// [`Error::Write`] if the disk has no room.
    pub(crate) fn make_room(&mut self, totals: &mut TotalsBuilder) -> Result<(), Error> {
        if totals.households_held() < HELD_MAX {
            return Ok(());
        }
        self.push(&totals.take_households()).map_err(|source| no_room(self.folder, source))
    }

    /// Returns the totals, with what is in the runs.
    ///
    /// # Errors
    /// [`Error::Write`] if the disk has no room, or does not give back what was written.
    pub(crate) fn finish(mut self, mut totals: TotalsBuilder) -> Result<Totals, Error> {
        if self.ends.is_empty() {
            return Ok(totals.finish());
        }
        let tally = self.push(&totals.take_households()).and_then(|()| self.tally());
        Ok(totals.finish_with(&tally.map_err(|source| no_room(self.folder, source))?))
    }

    fn push(&mut self, run: &[Key]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let file = tempfile::tempfile_in(self.folder)?;
                file.set_permissions(Permissions::from_mode(0o600))?;
                none.insert(file)
            }
        };
        file.write_all(run.as_flattened())?;
        self.ends.push(self.ends.last().copied().unwrap_or_default() + run.as_flattened().len() as u64);
        crash::point(Point::HouseholdsSpilled);
        Ok(())
    }

    // Merges all runs and counts what is in them.
    fn tally(&self) -> io::Result<Tally> {
        let mut tally = Tally::default();
        let Some(file) = &self.file else { return Ok(tally) };
        let begins = iter::once(0).chain(self.ends.iter().copied());
        let mut runs: Vec<Run> = begins.zip(&self.ends).map(|(at, end)| Run::new(at, *end)).collect();
        let mut heads = BinaryHeap::with_capacity(runs.len());
        for (number, run) in runs.iter_mut().enumerate() {
            heads.extend(run.next(file)?.map(|key| Reverse((key, number))));
        }
        while let Some(mut head) = heads.peek_mut() {
            let Reverse((key, number)) = &mut *head;
            tally.add(key);
            match runs[*number].next(file)? {
                Some(next) => *key = next,
                None => drop(PeekMut::pop(head)),
            }
        }
        Ok(tally)
    }
}

fn no_room(folder: &Path, source: io::Error) -> Error {
    Error::Write { path: folder.canonicalize().unwrap_or_else(|_| folder.to_owned()), source }
}

/// A run being read.
struct Run {
    at: u64,
    end: u64,
    block: Vec<u8>,
    next: usize,
}

impl Run {
    fn new(at: u64, end: u64) -> Self {
        Self { at, end, block: Vec::new(), next: 0 }
    }

    fn next(&mut self, file: &File) -> io::Result<Option<Key>> {
        if self.next == self.block.len() {
            let length = (self.end - self.at).min(BLOCK);
            self.block.resize(usize::try_from(length).expect("a block is less than a page"), 0);
            file.read_exact_at(&mut self.block, self.at)?;
            self.at += length;
            self.next = 0;
        }
        let Some(key) = self.block[self.next..].first_chunk().copied() else { return Ok(None) };
        self.next += KEY_BYTES;
        Ok(Some(key))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::domain::digest::Digest;

    fn keys(numbers: impl Iterator<Item = u64>) -> Vec<Key> {
        let key = |n: u64| {
            let mut key = [0; KEY_BYTES];
            key[3] = u8::try_from(n % 3).expect("small");
            key[4..].copy_from_slice(&Digest::of(&n.to_be_bytes()).0[..16]);
            key
        };
        let mut keys: Vec<Key> = numbers.map(key).collect();
        keys.sort_unstable();
        keys
    }

    fn merged(runs: &[Vec<Key>]) -> Tally {
        let folder = tempfile::tempdir().expect("a folder");
        let mut written = Runs::in_folder(folder.path());
        runs.iter().for_each(|run| written.push(run).expect("there is room"));
        let names = std::fs::read_dir(folder.path()).expect("it is there").count();
        assert_eq!(names, 0, "the file has a name");
        written.tally().expect("it is whole")
    }

    #[test]
    fn a_household_counts_once_in_however_many_runs_of_whatever_length_it_is() {
        // Runs of no, one and 203 to 205 households are those at the edges of a block.
        let spans = [0..0, 0..1, 0..203, 100..304, 50..255, 0..1_000, 3_000..4_500, 999..3_001];
        let runs: Vec<Vec<Key>> = spans.into_iter().map(keys).collect();
        let all: HashSet<Key> = runs.iter().flatten().copied().collect();
        assert_eq!(all.len(), 4_500);
        let mut expected = Tally::default();
        keys(0..4_500).iter().for_each(|key| expected.add(key));
        assert_eq!(merged(&runs), expected);
    }
}
