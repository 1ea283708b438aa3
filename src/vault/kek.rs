//! A data key is stored only wrapped by the key-encryption key, and unwraps only for its own batch.
//!
//! Wrapped, it is: one byte of format, 8 bytes of KEK id, 12 bytes of nonce, 32 bytes of ciphertext, 16 bytes
//! of tag, by AES-256-GCM-SIV. One KEK wraps the keys of many batches, so this nonce is drawn at random and
//! stored; two equal ones in 2^40 batches are less likely than 1 : 2^17, and would show at most that two keys
//! are equal, which they are not.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, KeyType, Prk, Salt},
    rand::{SecureRandom as _, SystemRandom},
};
use zeroize::Zeroizing;

use super::{
    DataKey, Error,
    envelope::{KEY_BYTES, place},
    index::IndexKey,
};
use crate::domain::{batch_id::BatchId, municipality::MunicipalityCode};

/// The format that is written.
const FORMAT: u8 = 1;
/// The byte in the place of a purpose that says that a key is wrapped.
const WRAPPED_KEY: u8 = 0;
/// The same for the index key, which belongs to no municipality and no batch.
const WRAPPED_INDEX: u8 = 255;
const ID_BYTES: usize = 8;
const CHECK_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const WRAPPED_BYTES: usize = 1 + ID_BYTES + NONCE_BYTES + KEY_BYTES + TAG_BYTES;

/// The name of a key-encryption key, which tells nothing about the key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KekId([u8; ID_BYTES]);

impl KekId {
    /// Its bytes, as they stand in what it has wrapped.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The id that stands in these bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for KekId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KekId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Wraps and unwraps data keys.
pub(super) struct Kek {
    id: KekId,
    check: [u8; CHECK_BYTES],
    key: LessSafeKey,
}

/// The length of what is derived.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// Derives from the secret, by HKDF-SHA-256 (RFC 5869), one key for each use, so that none serves two.
pub(super) fn derive(secret: &[u8; KEY_BYTES]) -> (Kek, IndexKey) {
    let root = Salt::new(HKDF_SHA256, b"todoke vault 1").extract(secret);
    let mut id = [0; ID_BYTES];
    id.copy_from_slice(&*bytes::<ID_BYTES>(&root, b"kek id"));
    let key = UnboundKey::new(&AES_256_GCM_SIV, &*bytes::<KEY_BYTES>(&root, b"wrap data keys"));
    let key = LessSafeKey::new(key.expect("AES-256 takes any 32 bytes"));
    let check = *bytes::<CHECK_BYTES>(&root, b"kek check");
    (Kek { id: KekId(id), check, key }, IndexKey::new(bytes(&root, b"blind index")))
}

fn bytes<const N: usize>(root: &Prk, purpose: &[u8]) -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    let info = [purpose];
    let expanded = root.expand(&info, Length(N)).expect("the length is within 255 blocks");
    expanded.fill(&mut *bytes).expect("the length is the one that was asked for");
    bytes
}

impl Kek {
    pub(super) fn id(&self) -> KekId {
        self.id
    }

    pub(super) fn check(&self) -> [u8; CHECK_BYTES] {
        self.check
    }

    pub(super) fn new_data_key(
        &self,
        municipality: MunicipalityCode,
        batch: BatchId,
    ) -> Result<(DataKey, Vec<u8>), Error> {
        let mut secret = Zeroizing::new([0; KEY_BYTES]);
        SystemRandom::new().fill(&mut *secret).map_err(|_| Error::Random)?;
        let wrapped = self.wrap(&of_batch(municipality, batch), &secret)?;
        Ok((DataKey::new(&secret), wrapped))
    }

    /// Returns a data key that `old` has wrapped, wrapped by this one.
    pub(super) fn take_over(
        &self,
        old: &Kek,
        municipality: MunicipalityCode,
        batch: BatchId,
        wrapped: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let place = of_batch(municipality, batch);
        self.wrap(&place, &*old.open(&place, wrapped)?)
    }

    pub(super) fn wrap_index(&self, secret: &[u8; KEY_BYTES]) -> Result<Vec<u8>, Error> {
        self.wrap(&of_index(), secret)
    }

    pub(super) fn unwrap_index(&self, wrapped: &[u8]) -> Result<Zeroizing<[u8; KEY_BYTES]>, Error> {
        self.open(&of_index(), wrapped)
    }

    fn wrap(&self, place: &[u8; 32], secret: &[u8; KEY_BYTES]) -> Result<Vec<u8>, Error> {
        let (mut sealed, mut nonce) = (Zeroizing::new(*secret), [0u8; NONCE_BYTES]);
        SystemRandom::new().fill(&mut nonce).map_err(|_| Error::Random)?;
        let mut wrapped = Vec::with_capacity(WRAPPED_BYTES);
        wrapped.push(FORMAT);
        wrapped.extend_from_slice(&self.id.0);
        wrapped.extend_from_slice(&nonce);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(place), &mut *sealed);
        wrapped.extend_from_slice(&*sealed);
        wrapped.extend_from_slice(tag.expect("32 bytes can be sealed").as_ref());
        Ok(wrapped)
    }

    pub(super) fn unwrap(
        &self,
        municipality: MunicipalityCode,
        batch: BatchId,
        wrapped: &[u8],
    ) -> Result<DataKey, Error> {
        Ok(DataKey::new(&*self.open(&of_batch(municipality, batch), wrapped)?))
    }

    fn open(&self, place: &[u8; 32], wrapped: &[u8]) -> Result<Zeroizing<[u8; KEY_BYTES]>, Error> {
        let (format, rest) = wrapped.split_first().ok_or(Error::Altered)?;
        if *format != FORMAT {
            return Err(Error::Format(*format));
        }
        let (id, rest) = rest.split_first_chunk::<ID_BYTES>().ok_or(Error::Altered)?;
        if *id != self.id.0 {
            return Err(Error::OtherKek { needed: KekId(*id), given: self.id });
        }
        let (nonce, rest) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(Error::Altered)?;
        let (secret, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(Error::Altered)?;
        let secret: &[u8; KEY_BYTES] = secret.try_into().map_err(|_| Error::Altered)?;
        let (aad, nonce) = (Aad::from(place), Nonce::assume_unique_for_key(*nonce));
        let mut opened = Zeroizing::new([0; KEY_BYTES]);
        self.key.open_separate_gather(nonce, aad, secret, tag, &mut *opened).map_err(|_| Error::Altered)?;
        Ok(opened)
    }
}

/// Where a batch's data key belongs.
fn of_batch(municipality: MunicipalityCode, batch: BatchId) -> [u8; 32] {
    place(FORMAT, WRAPPED_KEY, municipality, batch, 0)
}

/// Where the index key belongs: no batch has this place.
fn of_index() -> [u8; 32] {
    let mut place = [0; 32];
    (place[0], place[1]) = (FORMAT, WRAPPED_INDEX);
    place
}

/// Which key-encryption key a wrapped key needs, if it says one.
pub(super) fn needed(wrapped: &[u8]) -> Option<KekId> {
    let (format, rest) = wrapped.split_first()?;
    rest.first_chunk::<ID_BYTES>().filter(|_| *format == FORMAT).map(|id| KekId(*id))
}
