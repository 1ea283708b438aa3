//! Exactly one identity of ours in a certificate, or none at all.

use rustls::pki_types::CertificateDer;

use super::facts::CertificateFacts;
use crate::domain::identity::{Identity, IdentityError};

/// Why a certificate identifies nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// The peer showed no certificate.
    #[error("no certificate was shown: connect with one of `todoke pki issue`")]
    NoCertificate,
    /// The certificate cannot be read.
    #[error("the certificate cannot be read ({0}): have it made anew")]
    Unreadable(String),
    /// Not exactly one URI: with two, two readers could see two parties.
    #[error(
        "the certificate has {0} URI names, and needs exactly one, such as spiffe://todoke/relay/relay-1"
    )]
    UriCount(usize),
    /// The URI is no identity of ours.
    #[error("the certificate's URI name is no identity: {0}")]
    Identity(#[from] IdentityError),
}

/// Returns who the first of these certificates says it is. The chain must have been verified before.
///
/// # Errors
/// [`PeerError`], unless there is exactly one URI name and it is an identity of ours.
pub fn peer_identity(certs: &[CertificateDer<'_>]) -> Result<Identity, PeerError> {
    let own = certs.first().ok_or(PeerError::NoCertificate)?;
    let facts = CertificateFacts::read(own).map_err(PeerError::Unreadable)?;
    match facts.uris.as_slice() {
        [uri] => Ok(Identity::from_uri(uri)?),
        uris => Err(PeerError::UriCount(uris.len())),
    }
}
