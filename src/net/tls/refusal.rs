//! One short word for each way in which a handshake can fail, so that a metric can count them.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

/// Every word that [`refusal`] has.
pub const REFUSALS: [&str; 18] = [
    "hung_up",
    "timed_out",
    "io",
    "no_certificate",
    "no_h2",
    "incompatible",
    "mistrusted",
    "alert",
    "protocol",
    "expired",
    "not_valid_yet",
    "revoked",
    "unknown_issuer",
    "unknown_revocation",
    "crl_expired",
    "wrong_purpose",
    "no_identity",
    "bad_certificate",
];

/// Returns why a handshake failed, as a value for a metric's label.
#[must_use]
pub fn refusal(error: &io::Error) -> &'static str {
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => "hung_up",
            io::ErrorKind::TimedOut => "timed_out",
            _ => "io",
        };
    };
    match error {
        Error::NoCertificatesPresented => "no_certificate",
        Error::InvalidCertificate(error) => certificate(error),
        Error::NoApplicationProtocol => "no_h2",
        Error::PeerIncompatible(_) => "incompatible",
        Error::AlertReceived(AlertDescription::UnknownCA | AlertDescription::BadCertificate) => "mistrusted",
        Error::AlertReceived(_) => "alert",
        _ => "protocol",
    }
}

fn certificate(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "not_valid_yet",
        CertificateError::Revoked => "revoked",
        CertificateError::UnknownIssuer => "unknown_issuer",
        CertificateError::UnknownRevocationStatus => "unknown_revocation",
        CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
            "crl_expired"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => "wrong_purpose",
        CertificateError::Other(_) => "no_identity",
        _ => "bad_certificate",
    }
}
