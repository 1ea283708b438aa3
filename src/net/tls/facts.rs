//! What a certificate or a CRL says of itself, read and not believed: whether it is true is for `chain` and
//! the handshake to find out.

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::{
    certificate::X509Certificate,
    extensions::GeneralName,
    prelude::FromDer,
    revocation_list::{CertificateRevocationList, RevokedCertificate},
};

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The serial number, big-endian, without leading zeros.
    pub serial: Vec<u8>,
    /// Valid from this second since the Unix epoch.
    pub not_before: i64,
    /// Valid up to this second since the Unix epoch.
    pub not_after: i64,
    /// Every URI among the alternative names.
    pub uris: Vec<String>,
    /// Every host name among the alternative names.
    pub dns_names: Vec<String>,
    /// Whether it may sign other certificates.
    pub is_ca: bool,
    /// Its public key, as a SubjectPublicKeyInfo in DER.
    pub public_key: Vec<u8>,
}

impl CertificateFacts {
    /// Reads a certificate.
    ///
    /// # Errors
    /// What cannot be read, in words; also when bytes follow the certificate or an alternative name is
    /// malformed, since then nobody can say how many identities there are.
    pub fn read(der: &CertificateDer<'_>) -> Result<Self, String> {
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
        if !rest.is_empty() {
            return Err("bytes follow the certificate".to_owned());
        }
        let names = certificate.subject_alternative_name().map_err(|error| error.to_string())?;
        let (mut uris, mut dns_names) = (Vec::new(), Vec::new());
        for name in names.iter().flat_map(|names| &names.value.general_names) {
            match name {
                GeneralName::URI(uri) => uris.push((*uri).to_owned()),
                GeneralName::DNSName(name) => dns_names.push((*name).to_owned()),
                GeneralName::Invalid(..) => return Err("an alternative name is malformed".to_owned()),
                _ => {}
            }
        }
        Ok(Self {
            serial: without_zeros(certificate.raw_serial()),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            uris,
            dns_names,
            is_ca: certificate.is_ca(),
            public_key: certificate.public_key().raw.to_vec(),
        })
    }
}

/// What a CRL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrlFacts {
    /// Who signed it, as it stands in the CRL.
    pub issuer: Vec<u8>,
    /// Its number: the higher is the newer.
    pub number: u64,
    /// When it was made, in seconds since the Unix epoch.
    pub this_update: i64,
    /// Until when it may be relied on, in seconds since the Unix epoch; without it never.
    pub next_update: Option<i64>,
    /// Serial number and second of each revocation.
    pub revoked: Vec<(Vec<u8>, i64)>,
}

impl CrlFacts {
    /// Reads a CRL.
    ///
    /// # Errors
    /// What cannot be read, in words.
    pub fn read(der: &CertificateRevocationListDer<'_>) -> Result<Self, String> {
        let (rest, crl) = CertificateRevocationList::from_der(der).map_err(|error| error.to_string())?;
        if !rest.is_empty() {
            return Err("bytes follow the list".to_owned());
        }
        let number = crl.crl_number().map(|number| u64::try_from(number.clone()));
        let entry = |entry: &RevokedCertificate<'_>| {
            (without_zeros(entry.raw_serial()), entry.revocation_date.timestamp())
        };
        Ok(Self {
            issuer: crl.issuer().as_raw().to_vec(),
            number: number.transpose().map_err(|_| "its number is over 64 bits".to_owned())?.unwrap_or(0),
            this_update: crl.last_update().timestamp(),
            next_update: crl.next_update().map(|time| time.timestamp()),
            revoked: crl.iter_revoked_certificates().map(entry).collect(),
        })
    }
}

fn without_zeros(serial: &[u8]) -> Vec<u8> {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    serial[zeros..].to_vec()
}
