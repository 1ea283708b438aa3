//! Why a run ended before its outcome was known; each text says what to do, each variant is one kind of next
//! step.

use std::{io, path::PathBuf};

use super::{
    calls::CallError, endpoints::EndpointsError, input_fault::InputFault, journal::JournalError,
    receipts::ReceiptFault, signer::SignerError,
};

/// Why a run ended without outcome.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The input file is wrong.
    #[error("{0}")]
    Input(#[from] InputFault),
    /// The system cannot be found.
    #[error("{0}")]
    Endpoints(#[from] EndpointsError),
    /// Certificate or key cannot be used.
    #[error("{0}")]
    Signer(#[from] SignerError),
    /// TLS or the receipt key cannot be set up.
    #[error("{0}. Check the path in endpoints.json")]
    Setup(String),
    /// The journal cannot be used.
    #[error("{0}")]
    Journal(#[from] JournalError),
    /// A call failed.
    #[error("{0}")]
    Call(#[from] CallError),
    /// The receipt is not believed.
    #[error("{0}")]
    Receipt(#[from] ReceiptFault),
    /// A result cannot be written.
    #[error(
        "{}: {source}. Free the disk, make the folder or allow this user to write there, then run the \
         command again",
        path.display()
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What was asked for does not fit what is there.
    #[error("{0}")]
    Conflict(String),
    /// The flags or names are wrong.
    #[error("{0}")]
    Usage(String),
}
