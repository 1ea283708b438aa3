//! What is sealed opens with the same key at the same place and nowhere else, and not at all once a bit of it
//! has changed.
//!
//! Sealed data is one byte of format, then the ciphertext, as long as the text, then 16 bytes of tag, by
//! AES-256-GCM-SIV (RFC 8452).
//!
//! *Nonces.* A nonce is not stored: it is the purpose and the index, so within a batch, which has its own
//! key, no two places share one. A place may be sealed again, when a chunk is sent twice or a batch is
//! repaired: then its content is the same, because the manifest's root fixed it before the first chunk came,
//! and so is the result. Should this ever be broken by a fault elsewhere, GCM-SIV shows no more than that two
//! texts at one place are equal, where GCM would give away both.

use std::{fmt, io::Write as _};

use aws_lc_rs::aead::{self, AES_256_GCM_SIV, LessSafeKey, Nonce, UnboundKey};

use zeroize::Zeroizing;

use super::Error;
use crate::domain::{batch_id::BatchId, municipality::MunicipalityCode};

/// The format that is written.
const FORMAT: u8 = 1;
const TAG_BYTES: usize = 16;
/// By how much sealed data is longer than its text.
pub const SEALED_OVERHEAD_BYTES: usize = 1 + TAG_BYTES;
/// Bytes of a key for AES-256.
pub(super) const KEY_BYTES: usize = 32;

/// What a piece of sealed data is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A chunk's payload; the index is the chunk's number.
    Chunk,
    /// A card order's canonical record; the index is the record's.
    Record,
    /// The reading of a record's name, put right; the index is the record's.
    Reading,
}

impl Purpose {
    /// The byte for it. 0 stands for a wrapped data key.
    const fn byte(self) -> u8 {
        match self {
            Purpose::Chunk => 1,
            Purpose::Record => 2,
            Purpose::Reading => 3,
        }
    }
}

/// Where a piece of sealed data belongs. It opens nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Aad {
    /// Whose it is.
    pub municipality: MunicipalityCode,
    /// The batch it came with.
    pub batch: BatchId,
    /// Its place in the batch.
    pub index: u64,
    /// What it is.
    pub purpose: Purpose,
}

impl Aad {
    /// Every field at a fixed place, so that no two places have the same bytes.
    fn bytes(&self) -> [u8; 32] {
        place(FORMAT, self.purpose.byte(), self.municipality, self.batch, self.index)
    }

    /// See the head of this file for why no two places under one key share one.
    fn nonce(&self) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[0] = self.purpose.byte();
        nonce[4..].copy_from_slice(&self.index.to_be_bytes());
        nonce
    }
}

/// Returns format, purpose, municipality, batch and index as bytes.
pub(super) fn place(
    format: u8,
    purpose: u8,
    municipality: MunicipalityCode,
    batch: BatchId,
    index: u64,
) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[0] = format;
    bytes[1] = purpose;
    bytes[2..8].copy_from_slice(&digits(municipality));
    bytes[8..24].copy_from_slice(batch.uuid().as_bytes());
    bytes[24..].copy_from_slice(&index.to_be_bytes());
    bytes
}

/// The six digits of a code.
pub(super) fn digits(municipality: MunicipalityCode) -> [u8; 6] {
    let mut digits = [0; 6];
    write!(digits.as_mut_slice(), "{municipality}").expect("a code has six digits");
    digits
}

/// The key of one batch's data. It is wiped from memory when it is dropped.
pub struct DataKey(LessSafeKey);

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey")
    }
}

impl DataKey {
    /// Expands the key once; the library wipes what it expands to (`EVP_AEAD_CTX_cleanup`).
    pub(super) fn new(key: &[u8; KEY_BYTES]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM_SIV, key).expect("AES-256 takes any 32 bytes");
        Self(LessSafeKey::new(key))
    }

    /// Seals `text` for its place.
    ///
    /// # Panics
    /// If `text` has over 2^36 bytes, which no message limit lets in.
    #[must_use]
    pub fn seal(&self, aad: &Aad, text: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(text.len() + SEALED_OVERHEAD_BYTES);
        sealed.push(FORMAT);
        sealed.extend_from_slice(text);
        let nonce = Nonce::assume_unique_for_key(aad.nonce());
        let tag = self.0.seal_in_place_separate_tag(nonce, aead::Aad::from(aad.bytes()), &mut sealed[1..]);
        sealed.extend_from_slice(tag.expect("a text within the message limits can be sealed").as_ref());
        sealed
    }

    /// Opens what was sealed for this place. What is returned is wiped from memory when it is dropped.
    ///
    /// # Errors
    /// [`Error::Format`] or [`Error::Altered`].
    pub fn open(&self, aad: &Aad, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let (format, rest) = sealed.split_first().ok_or(Error::Altered)?;
        if *format != FORMAT {
            return Err(Error::Format(*format));
        }
        let (text, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(Error::Altered)?;
        let nonce = Nonce::assume_unique_for_key(aad.nonce());
        let mut opened = Zeroizing::new(vec![0; text.len()]);
        self.0
            .open_separate_gather(nonce, aead::Aad::from(aad.bytes()), text, tag, &mut opened)
            .map_err(|_| Error::Altered)?;
        Ok(opened)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_places_share_a_nonce_or_their_bytes() {
        let municipality = "131229".parse().expect("right");
        let batch = "0192f0c1-2345-7abc-8def-0123456789ab".parse().expect("version 7");
        let (mut nonces, mut bytes) = (HashSet::new(), HashSet::new());
        let indexes = (0..2000).chain((0..64).map(|bit| (1u64 << bit) + 2000)).chain([u64::MAX]);
        let mut places = 0;
        for index in indexes {
            for purpose in [Purpose::Chunk, Purpose::Record] {
                let aad = Aad { municipality, batch, index, purpose };
                nonces.insert(aad.nonce());
                bytes.insert(aad.bytes());
                places += 1;
            }
        }
        assert_eq!((nonces.len(), bytes.len()), (places, places));
    }
}
