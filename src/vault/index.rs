//! A text is found again by an index that nobody without the key can make, read or compare with a guess.

use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};
use zeroize::Zeroizing;

use super::{
    BlindIndex,
    envelope::{KEY_BYTES, digits},
};
use crate::domain::municipality::MunicipalityCode;

/// Makes blind indexes: HMAC-SHA-256 (RFC 2104) of municipality, field and text.
pub(super) struct IndexKey {
    key: Key,
    /// Kept to be wrapped when the key-encryption key changes.
    secret: Zeroizing<[u8; KEY_BYTES]>,
}

impl IndexKey {
    pub(super) fn new(secret: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        Self { key: Key::new(HMAC_SHA256, &*secret), secret }
    }

    pub(super) fn secret(&self) -> &[u8; KEY_BYTES] {
        &self.secret
    }

    /// The same number has another index in another municipality or field, so that databases cannot be joined
    /// by it. The field's length comes before it: no two inputs have the same bytes.
    pub(super) fn of(&self, municipality: MunicipalityCode, field: &str, text: &str) -> BlindIndex {
        let mut hmac = Context::with_key(&self.key);
        let length = u32::try_from(field.len()).expect("a field's name is short");
        hmac.update(&digits(municipality));
        hmac.update(&length.to_be_bytes());
        hmac.update(field.as_bytes());
        hmac.update(text.as_bytes());
        hmac.sign().as_ref().try_into().expect("SHA-256 has 32 bytes")
    }
}
