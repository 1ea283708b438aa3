//! Why a run ended before its outcome was known; each text says what to do, each variant is one kind of next
//! step.

use std::{io, path::PathBuf};

use super::{
    calls::CallError, endpoints::EndpointsError, input_fault::InputFault, journal::JournalError,
    receipts::ReceiptFault, signer::SignerError,
};

/// What to do about a file that cannot be written.
#[must_use]
pub fn remedy_of(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "Free the disk",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "Allow this user to write there"
        }
        io::ErrorKind::NotFound => "Make its folder",
        io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "Something else has this name: move it away"
        }
        _ => "Look at the disk, the folder and who may write there",
    }
}

/// Whether a file may be written later without anybody having named another one: a disk gets room again.
#[must_use]
pub fn may_be_written_later(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::NotFound
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::AlreadyExists
    )
}

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
    /// The receipt is signed by another key than the one that is believed.
    #[error(
        "the receipt of batch {batch_id}: {source}. It is checked with {}, \"receipt_key\" in \
         endpoints.json: put the key there that the operator of the issuer published, then `todoke \
         resume {}`. If it is that key already, believe nothing and tell the operator. What was sent stays \
         with the issuer",
        key.display(), file.display()
    )]
    OtherKey {
        /// The batch.
        batch_id: String,
        /// The file with the key.
        key: PathBuf,
        /// The record file.
        file: PathBuf,
        /// What is wrong.
        source: Box<ReceiptFault>,
    },
    /// A result cannot be written.
    #[error(
        "{}: {source}. {}, then run the command again",
        path.display(), remedy_of(source)
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No signature proves what a relay said, and no other relay says it.
    #[error(
        "{0}. A relay may not tell the truth: run the command again, and if it stays so, tell the operator \
         of the issuer"
    )]
    Unconfirmed(String),
    /// What was asked for does not fit what is there.
    #[error("{0}")]
    Conflict(String),
    /// The flags or names are wrong.
    #[error("{0}")]
    Usage(String),
}
