//! Reads certificate, key, CA and CRL whole, and lets nothing through that would fail open or fail later.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, pem, pem::PemObject},
};

use super::facts::{CertificateFacts, CrlFacts};

/// Most bytes of a file with certificates or a key.
const PEM_BYTES_MAX: u64 = 1 << 20;
/// Most bytes of a file with CRLs: room for some 200,000 revocations.
const CRL_BYTES_MAX: u64 = 16 << 20;

/// Where a party's certificate and what it checks others by lie, all PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TlsFiles {
    /// The certificate, own first, then its chain.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The CA that every peer's certificate must lead to.
    pub ca: PathBuf,
    /// What the CA revoked; if it is named it must be there and not be out of date.
    pub crl: Option<PathBuf>,
}

/// Why certificate, key, CA or CRL cannot be used; the ones in force stay in force.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is not the PEM it should be.
    #[error("{}: {what}. Check the path and the PEM file in it", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong; never a part of a key.
        what: String,
    },
    /// The own certificate is of no use to anybody now.
    #[error("{}: the certificate is {what}. Issue a new one, or set this machine's clock", path.display())]
    OutOfDate {
        /// The file.
        path: PathBuf,
        /// Expired or not yet valid, and when.
        what: String,
    },
    /// Certificate and key do not fit each other or this library.
    #[error("{}, {}: {what}. Pass the key that the certificate was made for", cert.display(), key.display())]
    KeyPair {
        /// The certificate file.
        cert: PathBuf,
        /// The key file.
        key: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The CRL is missing, empty or out of date: to go on without would believe revoked certificates.
    #[error("{}: {what}. Fetch the CA's current list, or write one with `todoke pki crl`", path.display())]
    Crl {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The server's name is no host name.
    #[error(
        "'{0}' is no host name: pass the name that the servers' certificates carry, such as todoke.internal"
    )]
    ServerName(String),
    /// The library refuses the whole.
    #[error("TLS cannot be set up: {0}. Check that the CA file holds a CA and that the CRL is of that CA")]
    Setup(String),
}

/// When what is in use ends, in seconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    /// The own certificate.
    pub own: i64,
    /// The first CA to expire.
    pub ca: i64,
    /// The first CRL to expire, if there is one.
    pub crl: Option<i64>,
}

/// Everything that was read.
pub(super) struct Material {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) roots: Arc<RootCertStore>,
    pub(super) crls: Vec<CertificateRevocationListDer<'static>>,
    pub(super) expiry: Expiry,
    /// When the own certificate begins.
    own_from: i64,
    /// When the last of the CAs ends.
    pub(super) ca_until: i64,
}

impl Material {
    /// Reads all files; what is out of date at `now`, in seconds since the Unix epoch, is an error.
    pub(super) fn read(files: &TlsFiles, now: i64) -> Result<Self, TlsError> {
        let chain: Vec<CertificateDer<'static>> = items(&files.cert, PEM_BYTES_MAX)?;
        let own = facts(&files.cert, &chain[0])?;
        let out_of_date = |what| TlsError::OutOfDate { path: files.cert.clone(), what };
        if now > own.not_after {
            return Err(out_of_date(format!("expired since {} s", now - own.not_after)));
        }
        if now < own.not_before {
            return Err(out_of_date(format!("not valid for another {} s", own.not_before - now)));
        }
        let key = key(&files.key)?;
        let (roots, ca, ca_until) = roots(&files.ca, now)?;
        let (crls, crl) = match &files.crl {
            None => (Vec::new(), None),
            Some(path) => crls(path, now).map(|(crls, until)| (crls, Some(until)))?,
        };
        let expiry = Expiry { own: own.not_after, ca, crl };
        Ok(Self { chain, key, roots, crls, expiry, own_from: own.not_before, ca_until })
    }

    /// What of it is out of date at `now`, or not valid yet because the clock was set back, in words for an
    /// operator.
    pub(super) fn ended(&self, now: i64) -> Vec<String> {
        let Expiry { own, crl, .. } = self.expiry;
        let parts = [("the own certificate", own), ("the CA", self.ca_until)];
        let parts = parts.into_iter().chain(crl.map(|until| ("the CRL", until)));
        let ended = parts.filter(|(_, until)| now > *until);
        let ended = ended.map(|(part, until)| {
            format!("{part} is out of date since {} s: nobody gets in until it is renewed", now - until)
        });
        let early = (now < self.own_from).then(|| {
            let wait = self.own_from - now;
            format!(
                "the own certificate is not valid for another {wait} s: nobody gets in until this machine's \
                 clock is set right"
            )
        });
        ended.chain(early).collect()
    }

    /// Whether this is the same as `other`, so that a reload may leave things as they are.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.chain == other.chain
            && self.key == other.key
            && self.roots.roots == other.roots.roots
            && self.crls == other.crls
    }
}

/// The only crypto provider of this program.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn unreadable(path: &Path, what: impl Into<String>) -> TlsError {
    TlsError::Unreadable { path: path.to_owned(), what: what.into() }
}

fn facts(path: &Path, der: &CertificateDer<'_>) -> Result<CertificateFacts, TlsError> {
    CertificateFacts::read(der).map_err(|what| unreadable(path, what))
}

fn bytes(path: &Path, limit: u64) -> Result<Vec<u8>, TlsError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
    read.map_err(|error| unreadable(path, error.to_string()))?;
    if bytes.len() as u64 > limit {
        return Err(unreadable(path, format!("it is over {limit} bytes")));
    }
    Ok(bytes)
}

/// Returns all items of one kind; never none.
fn items<T: PemObject>(path: &Path, limit: u64) -> Result<Vec<T>, TlsError> {
    let bytes = bytes(path, limit)?;
    let items: Result<Vec<T>, pem::Error> = T::pem_slice_iter(&bytes).collect();
    let items = items.map_err(|error| unreadable(path, error.to_string()))?;
    if items.is_empty() {
        return Err(unreadable(path, "there is nothing of the right kind in it"));
    }
    Ok(items)
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = bytes(path, PEM_BYTES_MAX)?;
    // The library's words may show a line of the file, and this one is secret.
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| unreadable(path, "it holds no private key in PEM"))
}

/// Returns the CAs that are good at `now`, and when the first and the last of them ends.
fn roots(path: &Path, now: i64) -> Result<(Arc<RootCertStore>, i64, i64), TlsError> {
    let mut roots = RootCertStore::empty();
    let (mut first_to_expire, mut last_to_expire) = (i64::MAX, i64::MIN);
    for der in items::<CertificateDer<'static>>(path, PEM_BYTES_MAX)? {
        let not_after = facts(path, &der)?.not_after;
        // The library never looks at a CA's own dates.
        if now <= not_after {
            first_to_expire = first_to_expire.min(not_after);
            last_to_expire = last_to_expire.max(not_after);
            roots.add(der).map_err(|error| unreadable(path, error.to_string()))?;
        }
    }
    if roots.is_empty() {
        let (path, what) = (path.to_owned(), "of a CA and expired".to_owned());
        return Err(TlsError::OutOfDate { path, what });
    }
    Ok((Arc::new(roots), first_to_expire, last_to_expire))
}

/// The CAs of a file, with those that are out of date.
pub(super) fn any_roots(path: &Path) -> Result<Arc<RootCertStore>, TlsError> {
    roots(path, i64::MIN).map(|(roots, ..)| roots)
}

type Crls = Vec<CertificateRevocationListDer<'static>>;

fn crls(path: &Path, now: i64) -> Result<(Crls, i64), TlsError> {
    let wrong = |what: String| TlsError::Crl { path: path.to_owned(), what };
    let crls: Crls = items(path, CRL_BYTES_MAX).map_err(|error| match error {
        TlsError::Unreadable { what, .. } => wrong(what),
        other => other,
    })?;
    let mut issuers: Vec<Vec<u8>> = Vec::new();
    let mut first_to_expire = i64::MAX;
    for der in &crls {
        let facts = CrlFacts::read(der).map_err(wrong)?;
        let until =
            facts.next_update.ok_or_else(|| wrong("it does not say until when it holds".to_owned()))?;
        if now > until {
            return Err(wrong(format!("it is out of date since {} s", now - until)));
        }
        // The library asks only the first list of an issuer, so a second one would be ignored in silence.
        if issuers.contains(&facts.issuer) {
            return Err(wrong("it holds two lists of one CA: leave only the newer in it".to_owned()));
        }
        issuers.push(facts.issuer);
        first_to_expire = first_to_expire.min(until);
    }
    Ok((crls, first_to_expire))
}
