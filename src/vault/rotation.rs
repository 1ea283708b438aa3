//! A key that was wrapped by the old key-encryption key is wrapped by the new one, and one that is already is
//! left alone: however often a rotation breaks off, the next one goes on.

use std::path::Path;

use super::{
    Error, KekId, files,
    index::IndexKey,
    kek::{self, Kek},
};
use crate::domain::{batch_id::BatchId, municipality::MunicipalityCode};

/// Two key-encryption keys, of which the second takes the place of the first.
pub struct Rotation {
    old: Kek,
    new: Kek,
    old_index: IndexKey,
}

impl Rotation {
    /// Reads both keys (32 bytes in hex each).
    ///
    /// # Errors
    /// [`Error`], with the file and what it should be; [`Error::SameKek`] if both are one.
    pub fn open(old: &Path, new: &Path) -> Result<Self, Error> {
        let (old, old_index) = kek::derive(&*files::kek(old)?);
        let path = new;
        let (new, _) = kek::derive(&*files::kek(new)?);
        if old.id() == new.id() {
            return Err(Error::SameKek { path: path.to_owned(), id: new.id() });
        }
        Ok(Self { old, new, old_index })
    }

    /// The key that is given up.
    #[must_use]
    pub fn old_id(&self) -> KekId {
        self.old.id()
    }

    /// The key that takes its place.
    #[must_use]
    pub fn new_id(&self) -> KekId {
        self.new.id()
    }

    /// By what others can tell whether they have the new key; it tells nothing about the key.
    #[must_use]
    pub fn new_check(&self) -> [u8; 32] {
        self.new.check()
    }

    /// Returns a data key wrapped by the new key, `None` if it is already.
    ///
    /// # Errors
    /// [`Error::OtherKek`] if neither key wrapped it, [`Error::Altered`] or [`Error::Format`].
    pub fn data_key(
        &self,
        municipality: MunicipalityCode,
        batch: BatchId,
        wrapped: &[u8],
    ) -> Result<Option<Vec<u8>>, Error> {
        if kek::needed(wrapped) == Some(self.new.id()) {
            return self.new.unwrap(municipality, batch, wrapped).map(|_| None);
        }
        let again = self.new.take_over(&self.old, municipality, batch, wrapped)?;
        // What is about to be thrown away is the only other copy.
        self.new.unwrap(municipality, batch, &again)?;
        Ok(Some(again))
    }

    /// Returns the index key wrapped by the new key, `None` if it is already; `wrapped` is what the database
    /// has, nothing before its first rotation.
    ///
    /// # Errors
    /// As [`Rotation::data_key`].
    pub fn index_key(&self, wrapped: Option<&[u8]>) -> Result<Option<Vec<u8>>, Error> {
        match wrapped {
            None => self.new.wrap_index(self.old_index.secret()).map(Some),
            Some(wrapped) if kek::needed(wrapped) == Some(self.new.id()) => {
                self.new.unwrap_index(wrapped).map(|_| None)
            }
            Some(wrapped) => {
                let secret = self.old.unwrap_index(wrapped)?;
                self.new.wrap_index(&secret).map(Some)
            }
        }
    }
}
