//! A certificate chain that came in a message is believed for what it could have been at a handshake, and a
//! signature only if the first certificate's own key made it.

use std::{path::Path, sync::Arc};

use rustls::{
    RootCertStore,
    crypto::WebPkiSupportedAlgorithms,
    pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime},
};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, RevocationOptionsBuilder,
    aws_lc_rs::{ECDSA_P256_SHA256, ECDSA_P384_SHA256, ED25519},
};

use super::{
    files::{self, TlsError, provider},
    identity::{PeerError, peer_identity},
};
use crate::domain::{date, identity::Identity};

/// Why a chain or a signature is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The chain is empty.
    #[error("there is no certificate in it: send the sender's own first, then its chain")]
    Empty,
    /// The chain does not lead to our CA, or is expired, revoked or for another use.
    #[error("{}", untrusted(.0))]
    Untrusted(#[from] webpki::Error),
    /// The certificate identifies nobody.
    #[error("{0}")]
    Peer(#[from] PeerError),
    /// The signature is not by this certificate's key.
    #[error("no signature of this key with SHA-256 ({0}): sign with the certificate's own key")]
    Signature(webpki::Error),
}

/// What is wrong with a chain, in words: where times are compared, both are named.
fn untrusted(error: &webpki::Error) -> String {
    let at =
        |time: &UnixTime| date::utc(i64::try_from(time.as_secs()).unwrap_or(i64::MAX).saturating_mul(1000));
    match error {
        webpki::Error::CertNotValidYet { time, not_before } => format!(
            "a certificate in it is not valid yet: it is from {}, and here it is {}: is a clock wrong?",
            at(not_before),
            at(time)
        ),
        webpki::Error::CertExpired { time, not_after } => format!(
            "a certificate in it has expired: it was until {}, and here it is {}: is a clock wrong? Else use \
             a new one",
            at(not_after),
            at(time)
        ),
        webpki::Error::CrlExpired { time, next_update } => format!(
            "the list of revoked certificates here is out of date: the next was due at {}, and here it is \
             {}: is a clock wrong? Else its operator must give it the new one",
            at(next_update),
            at(time)
        ),
        other => {
            format!("{other}: use a certificate of this system's CA that is valid now and made for clients")
        }
    }
}

/// The CA that certificates must lead to, for whoever only looks at what was signed.
#[derive(Debug, Clone)]
pub struct Roots(Arc<RootCertStore>);

impl Roots {
    /// Reads the CA from a PEM file, also one that is out of date: what it signed was signed.
    ///
    /// # Errors
    /// [`TlsError`] if it holds no CA.
    pub fn load(ca: &Path) -> Result<Self, TlsError> {
        Ok(Self(files::any_roots(ca)?))
    }

    /// Does what [`verify_chain`] does.
    ///
    /// # Errors
    /// [`ChainError`].
    pub fn verify_chain(&self, chain: &[impl AsRef<[u8]>], now_ms: i64) -> Result<Identity, ChainError> {
        verify_chain(&self.0, chain, now_ms)
    }
}

/// Returns whose certificate stands first in `chain` (DER, own first, then its chain), if it leads to one of
/// `roots`, was valid at `now_ms` (ms since the Unix epoch), and may be used by a client.
///
/// It does not look at a CRL: [`super::ServerTls::verify_chain`] does.
///
/// # Errors
/// [`ChainError`].
pub fn verify_chain(
    roots: &RootCertStore,
    chain: &[impl AsRef<[u8]>],
    now_ms: i64,
) -> Result<Identity, ChainError> {
    verify(roots, &[], chain, now_ms)
}

/// Does the same, and refuses what is revoked or, when there are CRLs, cannot be looked up in them.
pub(super) fn verify(
    roots: &RootCertStore,
    crls: &[CertRevocationList<'static>],
    chain: &[impl AsRef<[u8]>],
    now_ms: i64,
) -> Result<Identity, ChainError> {
    let ders: Vec<CertificateDer<'_>> = chain.iter().map(|der| CertificateDer::from(der.as_ref())).collect();
    let (own, above) = ders.split_first().ok_or(ChainError::Empty)?;
    let certificate = EndEntityCert::try_from(own)?;
    let since_epoch = std::time::Duration::from_millis(u64::try_from(now_ms).unwrap_or(0));
    let crls: Vec<&CertRevocationList<'_>> = crls.iter().collect();
    // No CRLs, no check: so it is for a handshake, too.
    let revocation = RevocationOptionsBuilder::new(&crls)
        .ok()
        .map(|options| options.with_expiration_policy(ExpirationPolicy::Enforce).build());
    certificate.verify_for_usage(
        algorithms().all,
        &roots.roots,
        above,
        UnixTime::since_unix_epoch(since_epoch),
        KeyUsage::client_auth(),
        revocation,
        None,
    )?;
    Ok(peer_identity(&ders)?)
}

fn algorithms() -> WebPkiSupportedAlgorithms {
    provider().signature_verification_algorithms
}

/// Checks that `signature` is one of `message` by the key of this certificate: ECDSA with P-256 or P-384 and
/// SHA-256 (ASN.1 form), or Ed25519. It says nothing of whether the certificate is to be believed.
///
/// # Errors
/// [`ChainError::Untrusted`] if the certificate cannot be read, [`ChainError::Signature`] otherwise.
pub fn verify_signature(certificate: &[u8], message: &[u8], signature: &[u8]) -> Result<(), ChainError> {
    const ACCEPTED: [&dyn SignatureVerificationAlgorithm; 3] =
        [ECDSA_P256_SHA256, ECDSA_P384_SHA256, ED25519];
    let der = CertificateDer::from(certificate);
    let certificate = EndEntityCert::try_from(&der)?;
    let mut last = webpki::Error::InvalidSignatureForPublicKey;
    for algorithm in ACCEPTED {
        match certificate.verify_signature(algorithm, message, signature) {
            Ok(()) => return Ok(()),
            Err(error @ webpki::Error::InvalidSignatureForPublicKey) => {
                return Err(ChainError::Signature(error));
            }
            Err(other) => last = other,
        }
    }
    Err(ChainError::Signature(last))
}
