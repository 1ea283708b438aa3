//! A development CA in a folder: what it issues leads to its own root, identifies exactly one party, and can
//! be revoked; it never replaces a key that is there unless it is told to. Production brings its own CA.
//!
//! In the folder: `ca.pem`, `ca.key`, `crl.pem`; `receipt.key` (Ed25519, PKCS#8) and `receipt.pub` of the
//! issuer's receipts; `kek.key`, the issuer's key-encryption key (32 bytes in hex); `issued`, the ledger of
//! certificates; and `NAME.pem`, `NAME.key` for each party.

mod files;
mod ledger;
mod revocation;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ED25519, PublicKeyData as _, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use time::OffsetDateTime;

use self::files::{Existing, Secrecy};
use super::tls::CertificateFacts;
use crate::domain::{
    identity::{Identity, Role},
    note::VerifierKey,
};

pub use revocation::CRL_LIFETIME;

/// How long a new CA is good for.
const CA_LIFETIME: time::Duration = time::Duration::days(3650);
/// How much earlier than now a certificate begins, for machines whose clock is a little behind.
const BACKDATE: time::Duration = time::Duration::minutes(5);
/// What relays and issuers are called by whoever connects to them.
const SERVER_NAMES: [&str; 2] = ["todoke.internal", "localhost"];
/// The name that stands in receipts beside the issuer's signature.
const RECEIPT_KEY_NAME: &str = "todoke.internal/issuer";

/// A development CA.
pub struct Authority {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    not_after: i64,
    now: OffsetDateTime,
}

/// Where a new certificate and its key lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The certificate, PEM.
    pub cert: PathBuf,
    /// Its key, PKCS#8 in PEM, readable by its owner only.
    pub key: PathBuf,
    /// Its serial number in hex.
    pub serial: String,
    /// When it ends, in seconds since the Unix epoch.
    pub not_after: i64,
}

/// Why the CA did not do it.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file that would be overwritten.
    #[error("{} is there already and was left as it is. To replace it, say so with --replace", .0.display())]
    Exists(PathBuf),
    /// A CA that would be overwritten.
    #[error(
        "{} is there already: this folder has a CA, and all that it issued would be worthless with another. \
         Take another --dir, or delete the folder first", .0.display()
    )]
    CaExists(PathBuf),
    /// There is no CA, or it cannot be used.
    #[error("{}: {what}. Make a CA with `todoke pki init --dir DIR`", path.display())]
    NoCa {
        /// The file.
        path: PathBuf,
        /// What is wrong; never a part of a key.
        what: String,
    },
    /// The file system refused.
    #[error("{}: {source}. Check the name, the folder, its rights and the space left", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// What was asked for cannot be.
    #[error("{0}")]
    Unfit(String),
    /// Nothing to revoke.
    #[error(
        "{0} has no certificate of this CA that is still valid: `todoke pki show FILE` tells a serial number"
    )]
    NotIssued(String),
    /// The library refuses.
    #[error("no certificate could be made: {0}")]
    Library(#[from] rcgen::Error),
}

impl Authority {
    /// Makes a CA in `dir`, with the issuer's receipt key and key-encryption key beside it.
    ///
    /// # Errors
    /// [`AuthorityError::CaExists`] if any of its files is there; then nothing was changed.
    pub fn create(dir: &Path, now: OffsetDateTime) -> Result<Self, AuthorityError> {
        fs::create_dir_all(dir).map_err(|source| AuthorityError::Io { path: dir.to_owned(), source })?;
        let _lock = files::lock(dir)?;
        for name in ["ca.pem", "ca.key", "crl.pem", "receipt.key", "receipt.pub", "kek.key", ledger::FILE] {
            if dir.join(name).exists() {
                return Err(AuthorityError::CaExists(dir.join(name)));
            }
        }
        let key = KeyPair::generate()?;
        let certificate = ca_params(now)?.self_signed(&key)?;
        let receipt = KeyPair::generate_for(&PKCS_ED25519)?;
        let kek = hex::encode(random::<32>()?);
        let secret = |name, text: &str| files::write(&dir.join(name), text, Secrecy::Owner, Existing::Refuse);
        let public =
            |name, text: &str| files::write(&dir.join(name), text, Secrecy::Public, Existing::Refuse);
        secret("ca.key", &key.serialize_pem())?;
        secret("receipt.key", &receipt.serialize_pem())?;
        public("receipt.pub", &format!("{}\n", verifier_line(&receipt)))?;
        secret("kek.key", &format!("{kek}\n"))?;
        public("ca.pem", &certificate.pem())?;
        let authority = Self::load(dir, now)?;
        authority.write_crl(1, &[], CRL_LIFETIME)?;
        Ok(authority)
    }

    /// Opens the CA in `dir`. What it issues begins `now`, a little earlier to be exact.
    ///
    /// # Errors
    /// [`AuthorityError::NoCa`].
    pub fn open(dir: &Path, now: OffsetDateTime) -> Result<Self, AuthorityError> {
        Self::load(dir, now)
    }

    fn load(dir: &Path, now: OffsetDateTime) -> Result<Self, AuthorityError> {
        let (cert, key) = (dir.join("ca.pem"), dir.join("ca.key"));
        let unusable = |path: &Path, what: String| AuthorityError::NoCa { path: path.to_owned(), what };
        let der = CertificateDer::from_pem_file(&cert).map_err(|error| unusable(&cert, error.to_string()))?;
        let facts = CertificateFacts::read(&der).map_err(|what| unusable(&cert, what))?;
        if !facts.is_ca {
            return Err(unusable(&cert, "the certificate is no CA's".to_owned()));
        }
        let pem = fs::read_to_string(&key).map_err(|error| unusable(&key, error.to_string()))?;
        let pair = KeyPair::from_pem(&pem).map_err(|_| unusable(&key, "holds no usable key".to_owned()))?;
        if facts.public_key != pair.subject_public_key_info() {
            return Err(unusable(&key, "is not the key of ca.pem".to_owned()));
        }
        let issuer = Issuer::from_ca_cert_der(&der, pair)?;
        Ok(Self { dir: dir.to_owned(), issuer, not_after: facts.not_after, now })
    }

    /// Issues a certificate for `identity` as `NAME.pem` and `NAME.key` in the folder, NAME being the name
    /// within the role. `names` are host names or IP addresses beside those that relays and issuers have
    /// anyway.
    ///
    /// # Errors
    /// [`AuthorityError::Exists`] if there is such a file; [`AuthorityError::Unfit`] if it would outlive the
    /// CA or a name is none.
    pub fn issue(
        &self,
        identity: &Identity,
        names: &[String],
        lifetime: Duration,
    ) -> Result<Issued, AuthorityError> {
        self.make(identity, names, lifetime, Existing::Refuse)
    }

    /// Issues a certificate with a new key in place of the one that is there. The old one stays valid until
    /// it is revoked or expires.
    ///
    /// # Errors
    /// As [`Authority::issue`], but for the file that exists.
    pub fn replace(
        &self,
        identity: &Identity,
        names: &[String],
        lifetime: Duration,
    ) -> Result<Issued, AuthorityError> {
        self.make(identity, names, lifetime, Existing::Replace)
    }

    fn make(
        &self,
        identity: &Identity,
        names: &[String],
        lifetime: Duration,
        existing: Existing,
    ) -> Result<Issued, AuthorityError> {
        let name = identity.name();
        if RESERVED.contains(&name) {
            return Err(AuthorityError::Unfit(format!(
                "the file of '{name}' is the CA's own: take another name"
            )));
        }
        let _lock = files::lock(&self.dir)?;
        let (cert, key) = (self.dir.join(format!("{name}.pem")), self.dir.join(format!("{name}.key")));
        if existing == Existing::Refuse
            && let Some(there) = [&cert, &key].into_iter().find(|path| path.exists())
        {
            return Err(AuthorityError::Exists(there.clone()));
        }
        let params = self.params(identity, names, lifetime)?;
        let pair = KeyPair::generate()?;
        let certificate = params.signed_by(&pair, &self.issuer)?;
        let facts = CertificateFacts::read(certificate.der()).map_err(AuthorityError::Unfit)?;
        let (serial, not_after) = (hex::encode(&facts.serial), facts.not_after);
        // First into the ledger: a certificate that is in nobody's hands does no harm, one that cannot be
        // revoked by name would.
        ledger::append(
            &self.dir,
            &ledger::Entry { serial: facts.serial, not_after, identity: identity.clone() },
        )?;
        files::write(&key, &pair.serialize_pem(), Secrecy::Owner, existing)?;
        files::write(&cert, &certificate.pem(), Secrecy::Public, existing)?;
        Ok(Issued { cert, key, serial, not_after })
    }

    fn params(
        &self,
        identity: &Identity,
        names: &[String],
        lifetime: Duration,
    ) -> Result<CertificateParams, AuthorityError> {
        let server = matches!(identity.role(), Role::Relay | Role::Issuer);
        let own = SERVER_NAMES.iter().filter(|_| server).map(|name| (*name).to_owned());
        let all: Vec<String> = own.chain(names.iter().cloned()).collect();
        let mut params = CertificateParams::new(all)
            .map_err(|error| AuthorityError::Unfit(format!("a name is no host name: {error}")))?;
        let uri = identity.uri().try_into().map_err(AuthorityError::Library)?;
        params.subject_alt_names.push(SanType::URI(uri));
        let lifetime = time::Duration::try_from(lifetime).unwrap_or(time::Duration::MAX);
        let not_after = self.now.checked_add(lifetime).filter(|end| end.unix_timestamp() <= self.not_after);
        params.not_before = self.now - BACKDATE;
        params.not_after = not_after.ok_or_else(|| {
            AuthorityError::Unfit("it would outlive the CA: ask for fewer days, or make a new CA".to_owned())
        })?;
        params.serial_number = Some(serial()?);
        params.distinguished_name = common_name(&identity.to_string());
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if server {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        Ok(params)
    }
}

/// Names of parties whose files would be the CA's own.
const RESERVED: [&str; 4] = ["ca", "crl", "receipt", "kek"];

fn ca_params(now: OffsetDateTime) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    params.not_before = now - BACKDATE;
    params.not_after = now + CA_LIFETIME;
    params.serial_number = Some(serial()?);
    // No two CAs have one name, so that the CRL of one is never taken for the other's.
    params.distinguished_name =
        common_name(&format!("todoke development CA {}", hex::encode(random::<4>()?)));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn common_name(text: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, text);
    name
}

fn random<const N: usize>() -> Result<[u8; N], AuthorityError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| AuthorityError::Unfit("this machine gives no random numbers".to_owned()))?;
    Ok(bytes)
}

/// 127 random bits: positive as RFC 5280 wants it, and not to be guessed.
fn serial() -> Result<SerialNumber, AuthorityError> {
    let mut bytes = random::<16>()?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from(bytes.to_vec()))
}

/// The public half of the receipt key as one line, `NAME+KEYID+BASE64`.
fn verifier_line(key: &KeyPair) -> String {
    let public = key.public_key_raw().try_into().expect("an Ed25519 key has 32 bytes");
    VerifierKey::new(RECEIPT_KEY_NAME, public).expect("the name has neither space nor plus").to_string()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
