//! Personal data leaves the process only sealed, bound to the place it belongs to; what is stored elsewhere,
//! altered, or of another batch does not open. Receipts are signed here too.
//!
//! Each batch has a data key of its own, stored wrapped by the key-encryption key (KEK), which only the key
//! file and this process hold. A wrapped key names its format and the KEK it needs, so that a wrong KEK is
//! told from altered data. An issuer has one KEK at a time: under another, no batch that is there can be
//! opened, and the issuer does not start. [`Rotation`] puts a new one in its place by wrapping every data key
//! anew; the data stays as it is.
//!
//! The key of the blind indexes stays with its database for ever, since under another nobody who is stored
//! would be found: it comes from the KEK that the database began with, and from the first rotation on it is
//! stored, wrapped by the KEK as a data key is.

mod envelope;
mod files;
mod index;
mod kek;
mod receipts;
mod rotation;

use std::{fmt, path::Path, path::PathBuf, sync::Arc};

use crate::domain::{batch_id::BatchId, municipality::MunicipalityCode, note::VerifierKey};

pub use envelope::{Aad, DataKey, Purpose, SEALED_OVERHEAD_BYTES};
pub use kek::KekId;
pub use receipts::Signer;
pub use rotation::Rotation;

/// What the vault makes of a text that is looked up without being shown.
pub type BlindIndex = [u8; 32];

/// Why a key cannot be had or data cannot be opened. No text holds a part of a key or of the data.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key file cannot be read.
    #[error("{}: {source}. Give the file of a key that this process may read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file holds no key-encryption key.
    #[error("{}: {what}. Needed are 32 random bytes in hex: `openssl rand -hex 32`", path.display())]
    Kek {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// The file holds no key that can sign receipts.
    #[error(
        "{}: {what}. Needed is an Ed25519 key in PKCS#8 PEM: `openssl genpkey -algorithm ed25519`",
        path.display()
    )]
    ReceiptKey {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: no key can be made; restart the process, then the machine")]
    Random,
    /// It was written in a way that this program does not know.
    #[error("format {0} is not known: use a todoke at least as new as the one that wrote it")]
    Format(u8),
    /// The key was wrapped by another key-encryption key.
    #[error(
        "it was wrapped by key-encryption key {needed}, and {given} was given: give the former with --kek"
    )]
    OtherKek {
        /// The key that it needs.
        needed: KekId,
        /// The key that is here.
        given: KekId,
    },
    /// A key was to take its own place.
    #[error(
        "{}: it is the key that is in use, {id}: make a new one with `openssl rand -hex 32`",
        path.display()
    )]
    SameKek {
        /// The file.
        path: PathBuf,
        /// The key in it.
        id: KekId,
    },
    /// It was altered, cut, or belongs to another municipality, batch, place or purpose.
    #[error("it was altered or belongs elsewhere, and does not open: restore the row from a backup")]
    Altered,
}

/// The keys of an issuer. Cheap to clone; the keys are wiped from memory with the last clone.
#[derive(Clone)]
pub struct Vault(Arc<Inner>);

struct Inner {
    kek: kek::Kek,
    index: index::IndexKey,
    signer: Arc<Signer>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault {{ kek: {}, .. }}", self.0.kek.id())
    }
}

impl Vault {
    /// Reads the key-encryption key (32 bytes in hex) and the key that receipts are signed with (Ed25519,
    /// PKCS#8 PEM). Warns if others than the owner may touch such a file.
    ///
    /// # Errors
    /// [`Error`], with the file and what it should be.
    pub fn open(kek: &Path, receipt_key: &Path) -> Result<Self, Error> {
        let secret = files::kek(kek)?;
        let signer = Arc::new(Signer::new(files::receipt_key(receipt_key)?));
        let (kek, index) = kek::derive(&secret);
        Ok(Self(Arc::new(Inner { kek, index, signer })))
    }

    /// Returns this vault with the index key of its database, which was stored wrapped when its
    /// key-encryption key was rotated.
    ///
    /// # Errors
    /// [`Error::Format`], [`Error::OtherKek`] or [`Error::Altered`].
    pub fn with_index(self, wrapped: &[u8]) -> Result<Self, Error> {
        let index = index::IndexKey::new(self.0.kek.unwrap_index(wrapped)?);
        let inner = Arc::into_inner(self.0).expect("the index is set before the vault is shared");
        Ok(Self(Arc::new(Inner { index, ..inner })))
    }

    /// Which key-encryption key this is.
    #[must_use]
    pub fn kek_id(&self) -> KekId {
        self.0.kek.id()
    }

    /// By what others can tell whether they have the same key-encryption key; it tells nothing about the key.
    #[must_use]
    pub fn kek_check(&self) -> [u8; 32] {
        self.0.kek.check()
    }

    /// Which key-encryption key a wrapped key needs, if it is one.
    #[must_use]
    pub fn needed(wrapped: &[u8]) -> Option<KekId> {
        kek::needed(wrapped)
    }

    /// Makes a key for a new batch; the second is its wrapped form, to be stored with the batch.
    ///
    /// # Errors
    /// [`Error::Random`].
    pub fn new_data_key(
        &self,
        municipality: MunicipalityCode,
        batch: BatchId,
    ) -> Result<(DataKey, Vec<u8>), Error> {
        self.0.kek.new_data_key(municipality, batch)
    }

    /// Returns the key of a batch from its wrapped form.
    ///
    /// # Errors
    /// [`Error::Format`], [`Error::OtherKek`], or [`Error::Altered`], also for another batch's key.
    pub fn unwrap(
        &self,
        municipality: MunicipalityCode,
        batch: BatchId,
        wrapped: &[u8],
    ) -> Result<DataKey, Error> {
        self.0.kek.unwrap(municipality, batch, wrapped)
    }

    /// Returns what `text` in `field` is looked up by: equal for equal texts of one municipality and field,
    /// and without the key neither to be read nor to be guessed, however few texts there are.
    #[must_use]
    pub fn blind_index(&self, municipality: MunicipalityCode, field: &str, text: &str) -> BlindIndex {
        self.0.index.of(municipality, field, text)
    }

    /// Returns `text`, which must end with a line feed, as a note signed by this issuer; the same bytes for
    /// the same text each time.
    ///
    /// # Panics
    /// If the text does not end with a line feed: what was signed could not be told from the signature.
    #[must_use]
    pub fn sign_note(&self, text: &str) -> Vec<u8> {
        self.0.signer.sign(text)
    }

    /// The part of this vault that signs, for whoever needs nothing else of it.
    #[must_use]
    pub fn signer(&self) -> Arc<Signer> {
        Arc::clone(&self.0.signer)
    }

    /// The public key that receipts are checked with.
    #[must_use]
    pub fn verifier_key(&self) -> VerifierKey {
        self.0.signer.verifier_key()
    }
}

#[cfg(test)]
mod tests;
