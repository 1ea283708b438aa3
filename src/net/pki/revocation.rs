//! What the CA took back: once a certificate is on the list it stays on it, and each list is newer than the
//! last.

use std::time::Duration;

use rcgen::{
    CertificateRevocationListParams, KeyIdMethod, RevocationReason, RevokedCertParams, SerialNumber,
};
use rustls::pki_types::{CertificateRevocationListDer, pem::PemObject as _};
use time::OffsetDateTime;

use super::{
    Authority, AuthorityError,
    files::{self, Existing, Secrecy},
    ledger,
};
use crate::{domain::identity::Identity, net::tls::CrlFacts};

/// How long a CRL holds unless told otherwise; servers refuse everybody by one that is older.
pub const CRL_LIFETIME: Duration = Duration::from_secs(30 * 86_400);

impl Authority {
    /// Revokes every certificate of `identity` that is still valid, writes `crl.pem` with the default
    /// lifetime, and returns their serial numbers.
    ///
    /// # Errors
    /// [`AuthorityError::NotIssued`] if there is none.
    pub fn revoke(&self, identity: &Identity) -> Result<Vec<String>, AuthorityError> {
        let now = self.now.unix_timestamp();
        self.take_back(&identity.to_string(), |entry| entry.identity == *identity && entry.not_after >= now)
    }

    /// Revokes the one certificate with this serial number (hex), writes `crl.pem`, and returns whose it was.
    ///
    /// # Errors
    /// [`AuthorityError::NotIssued`] if this CA never issued it.
    pub fn revoke_serial(&self, serial: &str) -> Result<Vec<String>, AuthorityError> {
        let wanted = hex::decode(serial.replace(':', "")).map_err(|_| {
            AuthorityError::Unfit(format!(
                "'{serial}' is neither ROLE/NAME nor a serial number in hex: `todoke pki show FILE` tells it"
            ))
        })?;
        self.take_back(serial, |entry| entry.serial == wanted)
    }

    fn take_back(
        &self,
        what: &str,
        chosen: impl Fn(&ledger::Entry) -> bool,
    ) -> Result<Vec<String>, AuthorityError> {
        let _lock = files::lock(&self.dir)?;
        let serials: Vec<Vec<u8>> =
            ledger::read(&self.dir)?.into_iter().filter(chosen).map(|entry| entry.serial).collect();
        if serials.is_empty() {
            return Err(AuthorityError::NotIssued(what.to_owned()));
        }
        let old = self.read_crl()?;
        let mut revoked = old.revoked;
        for serial in &serials {
            if !revoked.iter().any(|(there, _)| there == serial) {
                revoked.push((serial.clone(), self.now.unix_timestamp()));
            }
        }
        self.write_crl(old.number + 1, &revoked, CRL_LIFETIME)?;
        Ok(serials.iter().map(hex::encode).collect())
    }

    /// Writes `crl.pem` anew with what is on it, holding for `lifetime` from now, and returns its number.
    ///
    /// # Errors
    /// [`AuthorityError`]; also if the present list cannot be read, since then nobody knows what was on it.
    pub fn refresh_crl(&self, lifetime: Duration) -> Result<u64, AuthorityError> {
        let _lock = files::lock(&self.dir)?;
        let old = self.read_crl()?;
        self.write_crl(old.number + 1, &old.revoked, lifetime)?;
        Ok(old.number + 1)
    }

    fn read_crl(&self) -> Result<CrlFacts, AuthorityError> {
        let path = self.dir.join("crl.pem");
        let unfit = |what: String| {
            AuthorityError::Unfit(format!("{}: {what}. Restore it: it is what is revoked", path.display()))
        };
        let der =
            CertificateRevocationListDer::from_pem_file(&path).map_err(|error| unfit(error.to_string()))?;
        CrlFacts::read(&der).map_err(unfit)
    }

    pub(super) fn write_crl(
        &self,
        number: u64,
        revoked: &[(Vec<u8>, i64)],
        lifetime: Duration,
    ) -> Result<(), AuthorityError> {
        let lifetime = time::Duration::try_from(lifetime).ok();
        let next_update = lifetime.and_then(|lifetime| self.now.checked_add(lifetime)).ok_or_else(|| {
            AuthorityError::Unfit("the list would hold beyond any calendar: ask for fewer days".to_owned())
        })?;
        let entry = |(serial, second): &(Vec<u8>, i64)| RevokedCertParams {
            serial_number: SerialNumber::from(serial.clone()),
            revocation_time: OffsetDateTime::from_unix_timestamp(*second).unwrap_or(self.now),
            reason_code: Some(RevocationReason::Unspecified),
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: self.now,
            next_update,
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let pem = params.signed_by(&self.issuer)?.pem()?;
        files::write(&self.dir.join("crl.pem"), &pem, Secrecy::Public, Existing::Replace)
    }
}
