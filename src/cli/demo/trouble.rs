//! Why the story could not go on: what was waited for, of whom, and where to look.

use std::{io, path::PathBuf};

use crate::{cli::dev::DevError, client::error::Error};

/// Something that is no failed check, but leaves the rest of the story unplayed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// Somebody wants it to end.
    #[error("interrupted: everything is stopped")]
    Interrupted,
    /// The system did not start.
    #[error("the system did not start: {0}")]
    Dev(#[from] DevError),
    /// A file of the story cannot be read or written.
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// Something did not happen in time.
    #[error("waited {seconds} s for {what}, in vain")]
    TooLong { what: String, seconds: u64 },
    /// A command could not be run at all.
    #[error("`{command}` could not be run: {source}")]
    Command { command: String, source: io::Error },
    /// A command ended before it came to the point.
    #[error("`{command}` ended ({how}) before {what}. See {}", log.display())]
    EndedEarly { command: String, how: String, what: String, log: PathBuf },
    /// A command ended, and otherwise than it should.
    #[error("`{command}` ended with {how}, not with exit code {expected}. See {}", log.display())]
    Code { command: String, how: String, expected: i32, log: PathBuf },
    /// A command did not say what it should.
    #[error("`{command}` did not say {what}. See {}", log.display())]
    Unsaid { command: String, what: String, log: PathBuf },
    /// A process is not on the board.
    #[error("the system has no {0}")]
    NoNode(String),
    /// The API was asked and did not answer.
    #[error("{0}")]
    Asked(#[from] Error),
    /// An ops port was asked and did not answer.
    #[error("{id} does not show its metrics: {source}")]
    Ops { id: String, source: io::Error },
}

impl Trouble {
    /// Says which file the system's error is about.
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
