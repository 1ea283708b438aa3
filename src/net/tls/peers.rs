//! What a handshake asks beyond the chain: that a CA still stands behind it, and that the other end is
//! exactly one party of ours, and of the right role.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};

use super::identity::{PeerError, peer_identity};
use crate::domain::identity::Role;

/// How a handshake says that a client's certificate identifies nobody.
pub(super) fn names_nobody(error: PeerError) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
}

/// Refuses everybody once the last of the CAs has ended. The library never looks at a CA's own dates, and a
/// certificate may outlive the CA that signed it.
fn stands(ca_until: i64, now: UnixTime) -> Result<(), Error> {
    if i64::try_from(now.as_secs()).is_ok_and(|now| now <= ca_until) {
        return Ok(());
    }
    Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))
}

/// What both sides leave to the library's verifier: whether the other end has its certificate's key.
macro_rules! signatures_by_library {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.chain.verify_tls12_signature(message, cert, dss)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.chain.verify_tls13_signature(message, cert, dss)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.chain.supported_verify_schemes()
        }
    };
}

/// Lets in clients whose certificate identifies them.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) chain: Arc<dyn ClientCertVerifier>,
    /// When the last of the CAs ends, in seconds since the Unix epoch.
    pub(super) ca_until: i64,
}

impl ClientCertVerifier for Clients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        stands(self.ca_until, now)?;
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        peer_identity(std::slice::from_ref(end_entity)).map_err(names_nobody)?;
        Ok(verified)
    }

    signatures_by_library!();
}

/// Talks to servers whose certificate identifies them, and that have one of these roles.
#[derive(Debug)]
pub(super) struct Servers {
    pub(super) chain: Arc<WebPkiServerVerifier>,
    /// When the last of the CAs ends, in seconds since the Unix epoch.
    pub(super) ca_until: i64,
    /// Empty: any will do.
    pub(super) roles: &'static [Role],
}

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        stands(self.ca_until, now)?;
        let verified =
            self.chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        let identity = peer_identity(std::slice::from_ref(end_entity))
            .map_err(|error| Error::General(format!("the server: {error}")))?;
        if !self.roles.is_empty() && !self.roles.contains(&identity.role()) {
            return Err(Error::General(format!(
                "the server is {identity}, which is not what should be there: check the address"
            )));
        }
        Ok(verified)
    }

    signatures_by_library!();
}
