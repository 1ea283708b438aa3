//! Promise: the CA overwrites nothing unasked, shows its keys to nobody else, and its list only ever grows.

use std::os::unix::fs::PermissionsExt as _;

use aws_lc_rs::signature::Ed25519KeyPair;
use rustls::pki_types::{CertificateRevocationListDer, PrivateKeyDer};

use super::*;
use crate::net::tls::{ClientTls, CrlFacts, PeerError, TlsFiles, peer_identity};

const DAY: Duration = Duration::from_secs(86_400);

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

fn party(text: &str) -> Identity {
    text.parse().expect("legal")
}

fn ca() -> (tempfile::TempDir, Authority) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let authority = Authority::create(dir.path(), now()).expect("an empty folder");
    (dir, authority)
}

fn facts(path: &Path) -> CertificateFacts {
    CertificateFacts::read(&CertificateDer::from_pem_file(path).expect("PEM")).expect("readable")
}

fn crl(dir: &Path) -> CrlFacts {
    let der = CertificateRevocationListDer::from_pem_file(dir.join("crl.pem")).expect("PEM");
    CrlFacts::read(&der).expect("readable")
}

#[test]
fn files_are_named_by_the_design_and_keys_are_their_owners_only() {
    let (dir, authority) = ca();
    authority.issue(&party("municipality/131229"), &[], DAY).expect("issued");
    authority.issue(&party("relay/relay-1"), &["relay-1.test".to_owned()], DAY).expect("issued");
    for (name, mode) in [
        ("ca.pem", 0o644),
        ("ca.key", 0o600),
        ("crl.pem", 0o644),
        ("receipt.key", 0o600),
        ("receipt.pub", 0o644),
        ("kek.key", 0o600),
        ("131229.pem", 0o644),
        ("131229.key", 0o600),
        ("relay-1.key", 0o600),
    ] {
        let there = fs::metadata(dir.path().join(name)).expect(name).permissions().mode() & 0o777;
        assert_eq!(there, mode, "{name}");
    }
    let left = fs::read_dir(dir.path()).expect("readable").filter_map(Result::ok);
    assert!(left.map(|e| e.file_name()).all(|name| !name.to_string_lossy().ends_with(".part")));
    let relay = facts(&dir.path().join("relay-1.pem"));
    assert_eq!(relay.dns_names, ["todoke.internal", "localhost", "relay-1.test"]);
    assert_eq!(relay.uris, ["spiffe://todoke/relay/relay-1"]);
    assert!(facts(&dir.path().join("131229.pem")).dns_names.is_empty(), "it is no server");
    for (name, server) in [("131229.pem", false), ("relay-1.pem", true)] {
        let der = CertificateDer::from_pem_file(dir.path().join(name)).expect("PEM");
        let (_, certificate) = x509_parser::parse_x509_certificate(&der).expect("readable");
        let usages = certificate.extended_key_usage().expect("readable").expect("stated").value;
        assert_eq!((usages.client_auth, usages.server_auth, usages.any), (true, server, false), "{name}");
    }
}

#[test]
fn nothing_is_overwritten_unless_it_is_said() {
    let (dir, authority) = ca();
    let refused = Authority::create(dir.path(), now()).err().expect("a CA is there");
    assert!(matches!(refused, AuthorityError::CaExists(_)), "{refused}");
    let ward = party("municipality/131229");
    let first = authority.issue(&ward, &[], DAY).expect("issued");
    let bytes = fs::read(&first.key).expect("there");
    let refused = authority.issue(&ward, &[], DAY).expect_err("it is there");
    assert!(refused.to_string().contains("--replace"), "{refused}");
    assert_eq!(fs::read(&first.key).expect("there"), bytes);
    fs::remove_file(&first.cert).expect("there");
    assert!(authority.issue(&ward, &[], DAY).is_err(), "the key alone is worth keeping, too");
    let second = authority.replace(&ward, &[], DAY).expect("it was said");
    assert_ne!(fs::read(&first.key).expect("there"), bytes);
    assert_ne!(first.serial, second.serial);
    let refused = authority.replace(&party("operator/ca"), &[], DAY).expect_err("the CA's own file");
    assert!(matches!(refused, AuthorityError::Unfit(_)), "{refused}");
}

#[test]
fn a_certificate_is_of_use_to_the_party_it_names_and_ends_in_time() {
    let (dir, _) = ca();
    let authority = Authority::open(dir.path(), now()).expect("it was made");
    let issued = authority.issue(&party("operator/alice"), &[], DAY).expect("issued");
    let der = CertificateDer::from_pem_file(&issued.cert).expect("PEM");
    assert_eq!(peer_identity(std::slice::from_ref(&der)), Ok(party("operator/alice")));
    assert_eq!(peer_identity(&[]), Err(PeerError::NoCertificate));
    assert_eq!(facts(&issued.cert).not_after, issued.not_after);
    assert!((now() + DAY).unix_timestamp() - issued.not_after < 60);
    let files = TlsFiles {
        cert: issued.cert,
        key: issued.key,
        ca: dir.path().join("ca.pem"),
        crl: Some(dir.path().join("crl.pem")),
    };
    ClientTls::load(&files, "todoke.internal").expect("all four fit each other");
    let refused = authority.issue(&party("operator/bob"), &[], DAY * 3651).expect_err("longer than the CA");
    assert!(refused.to_string().contains("fewer days"), "{refused}");
}

#[test]
fn a_revocation_covers_renewals_and_is_never_forgotten() {
    let (dir, authority) = ca();
    let (ward, relay) = (party("municipality/131229"), party("relay/relay-1"));
    let first = authority.issue(&ward, &[], DAY).expect("issued");
    let second = authority.replace(&ward, &[], DAY).expect("issued");
    let other = authority.issue(&relay, &[], DAY).expect("issued");
    let none = authority.revoke(&party("operator/alice")).expect_err("never issued");
    assert!(matches!(none, AuthorityError::NotIssued(_)), "{none}");
    assert_eq!(crl(dir.path()).number, 1);
    assert_eq!(authority.revoke(&ward).expect("revoked"), [first.serial, second.serial]);
    assert_eq!(authority.revoke_serial(&other.serial).expect("revoked"), [other.serial]);
    assert_eq!(authority.refresh_crl(DAY).expect("written"), 4);
    let list = crl(dir.path());
    assert_eq!((list.number, list.revoked.len()), (4, 3));
    authority.revoke(&ward).expect("again is no error");
    assert_eq!(crl(dir.path()).revoked.len(), 3);
    fs::remove_file(dir.path().join("crl.pem")).expect("there");
    assert!(authority.refresh_crl(DAY).is_err(), "an empty list in its place would unrevoke everybody");
}

#[test]
fn the_receipt_key_fits_its_public_line() {
    let (dir, _) = ca();
    let PrivateKeyDer::Pkcs8(der) =
        PrivateKeyDer::from_pem_file(dir.path().join("receipt.key")).expect("PEM")
    else {
        panic!("not PKCS#8")
    };
    let pair = Ed25519KeyPair::from_pkcs8(der.secret_pkcs8_der()).expect("Ed25519");
    use aws_lc_rs::signature::KeyPair as _;
    let line = fs::read_to_string(dir.path().join("receipt.pub")).expect("there");
    let key: VerifierKey = line.trim().parse().expect("a verifier key");
    assert_eq!(key.public().as_slice(), pair.public_key().as_ref());
    let kek = fs::read_to_string(dir.path().join("kek.key")).expect("there");
    assert_eq!(hex::decode(kek.trim()).expect("hex").len(), 32);
}
