//! A receipt is signed as a note that anybody can check with the public key alone.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

use crate::domain::note::{PUBLIC_KEY_BYTES, VerifierKey, assemble};

/// The name that stands beside the signature. `todoke pki` writes the same into `receipt.pub`.
const NAME: &str = "todoke.internal/issuer";

/// Signs notes. The library wipes the key with it (`EVP_PKEY_free`).
pub struct Signer {
    pair: Ed25519KeyPair,
    public: [u8; PUBLIC_KEY_BYTES],
}

impl Signer {
    pub(super) fn new(pair: Ed25519KeyPair) -> Self {
        let public = pair.public_key().as_ref().try_into().expect("an Ed25519 key has 32 bytes");
        Self { pair, public }
    }

    /// Returns a text, which must end with a line feed, as a note with its signature. Ed25519 draws nothing
    /// at random (RFC 8032): the same text has the same signature.
    ///
    /// # Panics
    /// If the text does not end with a line feed.
    #[must_use]
    pub fn sign(&self, text: &str) -> Vec<u8> {
        assert!(text.ends_with('\n'), "a note's text ends with a line feed");
        let signature = self.pair.sign(text.as_bytes());
        let signature = signature.as_ref().try_into().expect("an Ed25519 signature has 64 bytes");
        assemble(text, NAME, &self.public, signature)
    }

    pub(super) fn verifier_key(&self) -> VerifierKey {
        VerifierKey::new(NAME, self.public).expect("the name has neither spaces nor a plus")
    }
}
