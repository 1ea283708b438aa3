//! The throw-away PKI of a development system: made once in its folder and kept, so that what was begun
//! with a certificate goes on with it the next time.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use super::DevError;
use crate::{domain::identity::Identity, net::pki::Authority};

/// How long a certificate lasts.
const LIFETIME: Duration = Duration::from_secs(365 * 86_400);
/// One older than this is made again at the next start, long before it ends.
const RENEW_AFTER: Duration = Duration::from_secs(180 * 86_400);

/// Who can call: a handful of municipalities, two operators, as a release from quarantine needs two, and one
/// party of each other kind.
pub(crate) const CALLERS: [&str; 10] = [
    "municipality/131229", // Katsushika
    "municipality/131211", // Adachi
    "municipality/131237", // Edogawa
    "municipality/011002", // Sapporo
    "municipality/271004", // Osaka
    "operator/alice",
    "operator/bob",
    "producer/press-1",
    "postal/office-1",
    "auditor/a",
];

/// The files of one party, in the folder `pki`.
pub(crate) fn cert_and_key(pki: &Path, name: &str) -> (PathBuf, PathBuf) {
    (pki.join(format!("{name}.pem")), pki.join(format!("{name}.key")))
}

/// Makes the CA and every certificate that is not there or is old; `servers` are such as `relay/relay-1`.
///
/// # Errors
/// [`DevError::Pki`].
pub(crate) fn make(pki: &Path, servers: &[String]) -> Result<(), DevError> {
    let failed = |what: String| DevError::Pki { dir: pki.to_owned(), what };
    let now = time::OffsetDateTime::now_utc();
    let authority =
        if pki.join("ca.pem").exists() { Authority::open(pki, now) } else { Authority::create(pki, now) };
    let authority = authority.map_err(|error| failed(error.to_string()))?;
    let servers = servers.iter().map(String::as_str);
    for party in servers.chain(CALLERS) {
        let identity: Identity = party.parse().expect("they are written here and legal, by test");
        let (cert, key) = cert_and_key(pki, identity.name());
        if !(is_young(&cert) && key.exists()) {
            authority.replace(&identity, &[], LIFETIME).map_err(|error| failed(error.to_string()))?;
        }
    }
    // Long enough for any session; `todoke pki revoke` writes it anew, and servers read it every ten seconds.
    authority.refresh_crl(LIFETIME).map_err(|error| failed(error.to_string()))?;
    Ok(())
}

fn is_young(cert: &Path) -> bool {
    let modified = std::fs::metadata(cert).and_then(|cert| cert.modified());
    modified.is_ok_and(|modified| modified.elapsed().unwrap_or_default() < RENEW_AFTER)
}

/// What `endpoints.json` says about the callers, with paths relative to it.
pub(crate) fn clients() -> BTreeMap<&'static str, BTreeMap<&'static str, String>> {
    let files = |caller: &'static str| {
        let (_, name) = caller.split_once('/').expect("they are written here");
        let one = |end: &str| format!("pki/{name}.{end}");
        (caller, BTreeMap::from([("cert", one("pem")), ("key", one("key"))]))
    };
    CALLERS.into_iter().map(files).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_caller_is_an_identity_with_a_file_name_of_its_own() {
        let mut names: Vec<String> = Vec::new();
        for caller in CALLERS {
            let identity: Identity = caller.parse().expect("legal, so that make() can count on it");
            names.push(identity.name().to_owned());
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), CALLERS.len());
    }

    #[test]
    fn a_second_start_keeps_the_certificates_and_adds_what_is_new() {
        let dir = tempfile::tempdir().expect("a folder");
        let pki = dir.path().join("pki");
        make(&pki, &["relay/relay-1".to_owned()]).expect("it is made");
        let of = |name: &str| std::fs::read(cert_and_key(&pki, name).0).ok();
        let (before, ca) = (of("131229"), of("ca"));
        assert!(before.is_some() && of("relay-2").is_none());
        make(&pki, &["relay/relay-1".to_owned(), "relay/relay-2".to_owned()]).expect("it goes on");
        assert_eq!((of("131229"), of("ca")), (before, ca));
        assert!(of("relay-2").is_some());
    }
}
