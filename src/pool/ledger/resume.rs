//! What a judge knew is read back from the end of its record, as it was after the last whole second there; or
//! it is said why not.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use super::{LINE_BYTES_MAX, LedgerError, check, export, files, replay};
use crate::pool::{policy::Policy, rule};

/// How a `start` line begins.
const START: &[u8] = b"{\"start\":";

/// Files that are looked into: the last one may have been cut off within its first line.
const FILES_MAX: usize = 2;

/// Judge and policy after the last second on record.
#[derive(Debug)]
pub(in crate::pool) struct End {
    pub(in crate::pool) judge: rule::Judge,
    pub(in crate::pool) policy: Policy,
}

/// Why a judge cannot go on from a record.
#[derive(Debug, thiserror::Error)]
pub(in crate::pool) enum NoEnd {
    /// There is none.
    #[error("nothing is on record")]
    Nothing,
    /// It says nothing of now.
    #[error("the record ended {0} s ago")]
    Old(u64),
    /// The disk does not give it.
    #[error("the record cannot be read: {0}")]
    Unread(#[from] io::Error),
    /// It is not as it was written.
    #[error("{}: {source}. {}", file.display(), source.remedy())]
    Damaged {
        /// Which file.
        file: PathBuf,
        /// Where in its part from the last start on, and why.
        source: LedgerError,
    },
    /// Another version decides otherwise.
    #[error("{}: another version wrote it, and decided otherwise in second {second}", file.display())]
    Differs {
        /// Which file.
        file: PathBuf,
        /// When.
        second: u64,
    },
}

/// Reads what the judge of a record knew, if its last second is no older than so many seconds. No more is
/// judged again than stands behind the last start. It reads files: not for a thread of the runtime.
///
/// # Errors
/// [`NoEnd`] says why the judge begins anew.
pub(in crate::pool) fn resume(folder: &Path, now_s: u64, age_max_s: u64) -> Result<End, NoEnd> {
    let mut pieces = match files::list(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(NoEnd::Nothing),
        pieces => pieces?,
    };
    let fresh = |second: u64| match now_s.saturating_sub(second) {
        age_s if age_s > age_max_s => Err(NoEnd::Old(age_s)),
        _ => Ok(()),
    };
    for _ in 0..FILES_MAX {
        let Some(file) = pieces.pop().map(|piece| piece.path) else { break };
        let mut lines = BufReader::new(File::open(&file)?);
        let last = look(&mut lines)?;
        last.second.map_or(Ok(()), fresh)?;
        let Some(start) = last.start else { continue };
        lines.seek(SeekFrom::Start(start))?;
        let mut judge = rule::Judge::new(rule::Parameters::default(), 0);
        let (report, policy) = match replay::to_the_end(lines, &mut judge) {
            Ok(end) => end,
            Err(source) => return Err(NoEnd::Damaged { file, source }),
        };
        if let Some(difference) = report.difference {
            return Err(NoEnd::Differs { file, second: difference.second });
        }
        let Some(policy) = policy else { continue };
        fresh(policy.second())?;
        return Ok(End { judge, policy });
    }
    Err(NoEnd::Nothing)
}

/// What stands last in a file.
#[derive(Debug, Default, PartialEq)]
struct Last {
    /// Where the last start begins that has its check.
    start: Option<u64>,
    second: Option<u64>,
}

/// Looks for it, line by line, without reading what they say.
fn look(lines: &mut BufReader<File>) -> io::Result<Last> {
    let (mut last, mut at, mut line) = (Last::default(), 0, Vec::new());
    let mut begun = None;
    loop {
        line.clear();
        let read = lines.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line)?;
        if line.len() > LINE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is too long"));
        }
        if line.last() != Some(&b'\n') {
            return Ok(last);
        }
        if line.starts_with(START) {
            begun = Some(at);
        } else if line.starts_with(check::BEGINS) {
            last.start = begun.take().or(last.start);
        } else {
            last.second = export::second_of(&line).or(last.second);
        }
        at += read as u64;
    }
}

#[cfg(test)]
#[path = "resume_tests.rs"]
mod tests;
