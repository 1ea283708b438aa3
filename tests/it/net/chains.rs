//! Promise: a chain in a message is believed only for what a handshake would believe, and a signature only by
//! the certificate's own key.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use todoke::net::tls::{ChainError, ServerTls, TlsFiles, verify_chain, verify_signature};

use super::harness::{Ca, DAY_MS, Leaf, clock};

fn chain(files: &TlsFiles) -> Vec<Vec<u8>> {
    let all = CertificateDer::pem_file_iter(&files.cert).expect("PEM");
    all.map(|der| der.expect("a certificate").to_vec()).collect()
}

#[test]
fn a_chain_is_believed_for_a_client_of_our_ca_at_the_time_only() {
    let (ca, stranger) = (Ca::new("ours"), Ca::new("a stranger's"));
    let tls = ServerTls::load_at(&ca.server(), clock()).expect("good files");
    let now_ms = clock().now_ms();
    let roots = tls.roots();
    let good = chain(&ca.leaf("good", Leaf::default()));
    let identity = verify_chain(&roots, &good, now_ms).expect("good");
    assert_eq!(identity.to_string(), "municipality/131229");
    let refused = |chain: &[Vec<u8>], at| verify_chain(&roots, chain, at).expect_err("refused");
    let none: [Vec<u8>; 0] = [];
    assert_eq!(refused(&none, now_ms), ChainError::Empty);
    for (words, at) in [
        ("not valid yet: it is from 20", now_ms - 31 * DAY_MS),
        ("has expired: it was until 20", now_ms + 31 * DAY_MS),
        ("and here it is 1970-01-01T00:00:00.000Z: is a clock wrong?", -1),
    ] {
        let error = refused(&good, at);
        assert!(matches!(error, ChainError::Untrusted(_)), "{words}: {error:?}");
        let said = error.to_string();
        assert!(said.contains(words) && said.contains("is a clock wrong?"), "{words}: {said}");
        assert!(!said.contains("UnixTime") && !said.contains('{'), "{said}");
    }
    let strange = chain(&stranger.leaf("client", Leaf::default()));
    assert!(matches!(refused(&strange, now_ms), ChainError::Untrusted(_)));
    let server_only = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let server_only = chain(&ca.leaf("server-only", Leaf { usages: server_only, ..Leaf::default() }));
    assert!(matches!(refused(&server_only, now_ms), ChainError::Untrusted(_)));
    let nobody = chain(&ca.leaf("nobody", Leaf { uris: vec![], ..Leaf::default() }));
    assert!(matches!(refused(&nobody, now_ms), ChainError::Peer(_)));
    assert!(matches!(refused(&[b"no certificate".to_vec()], now_ms), ChainError::Untrusted(_)));
}

#[test]
fn a_revoked_chain_is_refused_where_there_is_a_list() {
    let ca = Ca::new("ours");
    let good = chain(&ca.leaf("good", Leaf { serial: 5, ..Leaf::default() }));
    let taken_back = chain(&ca.leaf("back", Leaf { serial: 6, ..Leaf::default() }));
    let files = TlsFiles { crl: Some(ca.crl(1, &[6], 7)), ..ca.server() };
    let tls = ServerTls::load_at(&files, clock()).expect("good files");
    let now_ms = clock().now_ms();
    tls.verify_chain(&good, now_ms).expect("not revoked");
    let refused = |chain: &[Vec<u8>], at| tls.verify_chain(chain, at).expect_err("refused");
    assert_eq!(refused(&taken_back, now_ms), ChainError::Untrusted(webpki::Error::CertRevoked));
    let later = refused(&good, now_ms + 8 * DAY_MS);
    assert!(matches!(later, ChainError::Untrusted(webpki::Error::CrlExpired { .. })), "{later}");
    assert!(later.to_string().contains("is out of date: the next was due at 20"), "{later}");
    verify_chain(&tls.roots(), &taken_back, now_ms).expect("without the list nobody knows");
}

fn certificate(key: &KeyPair) -> Vec<u8> {
    CertificateParams::default().self_signed(key).expect("self-signed").der().to_vec()
}

#[test]
fn three_kinds_of_keys_sign_and_only_for_themselves() {
    let message = b"a manifest";
    let p256 = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, p256.serialized_der());
    let of_p256 = pair.expect("it fits").sign(&SystemRandom::new(), message).expect("it signs");
    let ed = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    let of_ed = Ed25519KeyPair::from_pkcs8(ed.serialized_der()).expect("it fits").sign(message);
    let bytes = |text: &str| STANDARD.decode(text).expect("base64");
    let signatures = [
        (certificate(&p256), of_p256.as_ref().to_vec()),
        (bytes(P384_CERTIFICATE), bytes(P384_SIGNATURE)),
        (certificate(&ed), of_ed.as_ref().to_vec()),
    ];
    for (at, (own, signature)) in signatures.iter().enumerate() {
        verify_signature(own, message, signature).expect("its own");
        assert!(verify_signature(own, b"another manifest", signature).is_err());
        let mut bent = signature.clone();
        *bent.last_mut().expect("not empty") ^= 1;
        assert!(verify_signature(own, message, &bent).is_err());
        let (other, _) = &signatures[(at + 1) % 3];
        assert!(matches!(verify_signature(other, message, signature), Err(ChainError::Signature(_))));
    }
    let another = certificate(&KeyPair::generate().expect("a key"));
    assert!(verify_signature(&another, message, &signatures[0].1).is_err());
    assert!(verify_signature(b"no certificate", message, b"").is_err());
}

/// A key of another make: `openssl dgst -sha256 -sign` over "a manifest" with a P-384 key, and its
/// certificate.
const P384_CERTIFICATE: &str = concat!(
    "MIIBsTCCATigAwIBAgIUHAYR0B4q9El9tUbJ5aCnWMip2igwCgYIKoZIzj0EAwIwDzENMAsGA1UEAwwEcDM4NDAgFw0yNjExMjUx",
    "NTU2MThaGA8yMTI2MTEwMTE1NTYxOFowDzENMAsGA1UEAwwEcDM4NDB2MBAGByqGSM49AgEGBSuBBAAiA2IABN0zpaPpibo+oiNb",
    "nZ82f8asv/5hrg45VB2fYv5v+n5p/QCkuBG/g8BcID9Putn3A36r7kQs/Wi8i9YvBT8es7U2sAQy2Bw91cjCp5oWaRJFFypZm4NE",
    "Aq7P1G4PSbCQcqNTMFEwHQYDVR0OBBYEFHz1zlmvgp1epm3DfKjQeJTjH9lCMB8GA1UdIwQYMBaAFHz1zlmvgp1epm3DfKjQeJTj",
    "H9lCMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDZwAwZAIwY9GPp8kjdVMCCU+XGRoeV4PQXTgcARjw/TtI7HaWNvbHh+vo",
    "78mMmXAfyiNmXl4/AjBscyY87xMkRVbVU750JsEsuN2Tvlc4GIB5/Qt6U8x6UuN8CHI1pwsf3WyCpYiXdjY=",
);
const P384_SIGNATURE: &str = concat!(
    "MGUCMQDz9GTLKYBqUPukCWX1lCsMKlTQUT6i6QB1W3qEwmH5Dr3CuZoigJK6rRMmDqsFM50CMACZA2/lnF6sXeU99MAkllMyjyPG",
    "L9QF8w2k1kLss2FZuOMjYzd3uZKL2bLlHizyRA==",
);
