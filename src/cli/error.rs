//! Why a command could not be carried out, with the exit code that says so to a script.

use std::{io, net::SocketAddr, path::PathBuf};

use crate::{
    config::Problems,
    domain::{batch_id::BatchId, identity::Role, municipality::MunicipalityCode},
    issuance,
    net::tls::TlsError,
    relay,
    runtime::exit,
    store, telemetry, vault,
};

/// Why a command failed. The municipal commands show their own errors; these are of all others.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The flags do not fit together.
    #[error("{0}")]
    Usage(String),
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] Problems),
    /// Logs cannot be set up.
    #[error(transparent)]
    Telemetry(#[from] telemetry::Error),
    /// Certificate, key, CA or CRL cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The certificate is of another role.
    #[error(
        "{}: {whose}, and this is the {}. Pass one of `todoke pki issue {}/NAME`",
        path.display(), role.as_str(), role.as_str()
    )]
    Role {
        /// The certificate's file (key tls.cert).
        path: PathBuf,
        /// Whose it is, in words.
        whose: String,
        /// The role that is needed.
        role: Role,
    },
    /// The vault's keys cannot be used.
    #[error(transparent)]
    Vault(#[from] vault::Error),
    /// The database was written under another key-encryption key.
    #[error(
        "{}: the database was written under another key-encryption key: {source}. Give the file of the key \
         that is in use, which `todoke vault status` names: after a rotation the new one (key vault.kek)",
        path.display()
    )]
    OtherKek {
        /// The file that was given.
        path: PathBuf,
        /// Which key is needed, and which was given.
        source: vault::Error,
    },
    /// The database's other issuers work with another key.
    #[error("{}: {source}", path.display())]
    OtherKey {
        /// The file that was given.
        path: PathBuf,
        /// Which key they have, and what to do.
        source: issuance::Error,
    },
    /// A public receipt key cannot be used.
    #[error(
        "{}: is no public receipt key: {source}. Pass receipt.pub as it was published: one line, \
         NAME+KEYID+BASE64",
        path.display()
    )]
    ReceiptPub {
        /// The file that was given.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// An issuer, or another operator's command, has the database.
    #[error("{database} is in use, by its issuer or another command: {remedy}")]
    Held {
        /// The database.
        database: String,
        /// What to do here.
        remedy: &'static str,
    },
    /// What was to be looked at is not there.
    #[error(
        "{} in this database, so nothing was looked at: check the code and the id (`todoke status` tells a \
         batch's id)",
        none(*municipality, *batch)
    )]
    NoBatch {
        /// Whose batches.
        municipality: Option<MunicipalityCode>,
        /// Which of them.
        batch: Option<BatchId>,
    },
    /// The issuer did not start.
    #[error(transparent)]
    Issuance(#[from] issuance::Error),
    /// The key-encryption key could not be replaced.
    #[error(transparent)]
    Rotate(#[from] issuance::RotateError),
    /// The relay did not start.
    #[error(transparent)]
    Relay(#[from] relay::Error),
    /// An address cannot be listened at.
    #[error("{key}: cannot listen at {address}: {source}. Take another address, or end what has it")]
    Listen {
        /// The key of the configuration that names it.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
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

fn none(municipality: Option<MunicipalityCode>, batch: Option<BatchId>) -> String {
    match (municipality, batch) {
        (None, None) => "there is no batch".to_owned(),
        (Some(municipality), None) => format!("{municipality} has no batch"),
        (None, Some(batch)) => format!("there is no batch {batch}"),
        (Some(municipality), Some(batch)) => format!("{municipality} has no batch {batch}"),
    }
}

impl Error {
    /// Says what to do here about a database that is in use; passes on every other error.
    pub(super) fn held(error: store::Error, remedy: &'static str) -> Self {
        match error.in_use() {
            Some(database) => Error::Held { database, remedy },
            None => Error::Store(error),
        }
    }

    /// The exit code that says it to a script.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Usage(_) => exit::USAGE,
            Error::Config(_)
            | Error::Telemetry(_)
            | Error::Tls(_)
            | Error::Role { .. }
            | Error::Vault(_)
            | Error::OtherKek { .. }
            | Error::OtherKey { .. }
            | Error::ReceiptPub { .. }
            | Error::Store(store::Error::Url(_))
            | Error::Issuance(issuance::Error::Calendar(_))
            | Error::Relay(relay::Error::Options(_)) => exit::CONFIG,
            Error::Store(error) if error.is_transient() => exit::TRY_AGAIN,
            Error::Issuance(issuance::Error::Store(error)) if error.is_transient() => exit::TRY_AGAIN,
            Error::Rotate(issuance::RotateError::Store(error)) if error.is_transient() => exit::TRY_AGAIN,
            Error::Store(_)
            | Error::Rotate(_)
            | Error::Held { .. }
            | Error::NoBatch { .. }
            | Error::Relay(_)
            | Error::Issuance(_)
            | Error::Listen { .. }
            | Error::Write { .. }
            | Error::Runtime(_) => exit::FAILED,
        }
    }
}
