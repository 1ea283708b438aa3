//! Why a command could not be carried out, with the exit code that says so to a script.

use std::{io, path::PathBuf};

use crate::runtime::exit;

/// Why a command failed. The municipal commands show their own errors; these are of all others.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The flags do not fit together.
    #[error("{0}")]
    Usage(String),
    /// A role is told what cannot be.
    #[error("{0}")]
    Config(String),
    /// A file cannot be written.
    #[error("{} cannot be written: {source}. Check folder, disk and who may write there", .path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system gave no threads or no sockets.
    #[error("the system refused what every process needs: {0}. Look at its limits")]
    Runtime(io::Error),
}

impl Error {
    /// The exit code that says it to a script.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Usage(_) => exit::USAGE,
            Error::Config(_) => exit::CONFIG,
            Error::Write { .. } | Error::Runtime(_) => exit::FAILED,
        }
    }
}
