//! Promise: of all the certificates that could be shown, only a good one of one party of ours gets a call
//! through, and each refusal is counted under its cause.

use rcgen::ExtendedKeyUsagePurpose;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use todoke::{
    domain::identity::Role,
    net::{
        ServerLimits,
        tls::{ClientTls, TlsFiles},
    },
};
use tokio::{io::AsyncReadExt as _, net::TcpStream};
use tokio_rustls::TlsConnector;

use super::harness::{Ca, Leaf, NAME, Server, client, clock, counted, eventually};

const REFUSED: &str = "todoke_connections_refused_total";

/// Serial number of the certificate that is revoked.
const REVOKED: u64 = 99;

async fn server(ca: &Ca) -> Server {
    let crl = Some(ca.crl(1, &[REVOKED], 7));
    Server::start(&TlsFiles { crl, ..ca.server() }, clock(), ServerLimits::default()).await
}

#[tokio::test]
async fn every_wrong_certificate_is_refused_under_its_cause() {
    let _metrics = todoke::telemetry::prometheus();
    let (ca, stranger) = (Ca::new("ours"), Ca::new("a stranger's"));
    let server = server(&ca).await;
    let uris = |uris: &[&'static str]| Leaf { uris: uris.to_vec(), ..Leaf::default() };
    let ward = "spiffe://todoke/municipality/131229";
    let table: [(&str, Leaf, i64); 9] = [
        ("expired", Leaf { days: (-30, -1), ..Leaf::default() }, -2),
        ("not_valid_yet", Leaf { days: (1, 30), ..Leaf::default() }, 2),
        ("revoked", Leaf { serial: REVOKED, ..Leaf::default() }, 0),
        ("wrong_purpose", Leaf { usages: vec![ExtendedKeyUsagePurpose::ServerAuth], ..Leaf::default() }, 0),
        ("no_identity", uris(&[]), 0),
        ("no_identity", uris(&[ward, "spiffe://todoke/operator/alice"]), 0),
        ("no_identity", uris(&[ward, "https://example.org/"]), 0),
        ("no_identity", uris(&["spiffe://other/municipality/131229"]), 0),
        ("no_identity", uris(&["spiffe://todoke/municipality/131220"]), 0),
    ];
    for (at, (cause, leaf, days)) in table.into_iter().enumerate() {
        let before = counted(REFUSED, cause);
        let files = ca.leaf(&format!("client-{at}"), leaf);
        let error = server.call(&client(&files, days)).await.expect_err(cause);
        assert!(format!("{error:?}").contains("received fatal alert"), "it is told: {error:?}");
        eventually(&format!("{cause}, case {at}, is counted"), || counted(REFUSED, cause) > before).await;
    }
    // A certificate of another CA, which trusts our server.
    let files = TlsFiles { ca: ca.path("ca.pem"), ..stranger.leaf("client", Leaf::default()) };
    let before = counted(REFUSED, "unknown_issuer");
    server.call(&client(&files, 0)).await.expect_err("another CA");
    eventually("it is counted", || counted(REFUSED, "unknown_issuer") > before).await;
    assert_eq!(server.callers(), Vec::<String>::new(), "no call got through");
    server.call(&client(&ca.leaf("good", Leaf::default()), 0)).await.expect("a good one gets through");
    assert_eq!(server.callers(), ["municipality/131229"]);
}

#[tokio::test]
async fn without_a_certificate_nobody_gets_in() {
    let _metrics = todoke::telemetry::prometheus();
    let ca = Ca::new("ours");
    let server = server(&ca).await;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca.path("ca.pem")).expect("PEM")).expect("a CA");
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let before = counted(REFUSED, "no_certificate");
    let socket = TcpStream::connect(server.address).await.expect("it listens");
    let name = ServerName::try_from(NAME).expect("a host name");
    // In TLS 1.3 a client learns only with its first read that it was refused.
    let refused = match TlsConnector::from(std::sync::Arc::new(config)).connect(name, socket).await {
        Ok(mut stream) => stream.read_u8().await.expect_err("refused").to_string(),
        Err(error) => error.to_string(),
    };
    assert!(refused.contains("CertificateRequired"), "{refused}");
    eventually("it is counted", || counted(REFUSED, "no_certificate") > before).await;
}

#[tokio::test]
async fn a_client_talks_to_no_server_of_another_name_ca_or_role() {
    let (ca, stranger) = (Ca::new("ours"), Ca::new("a stranger's"));
    let server = server(&ca).await;
    let files = ca.leaf("good", Leaf::default());
    let refused = |tls: ClientTls| {
        let server = &server;
        async move { server.call(&tls).await.expect_err("refused") }
    };
    let words = |error: &tonic::Status| format!("{error:?}");
    let other_name = ClientTls::load(&files, "somebody.else").expect("good files");
    let error = refused(other_name).await;
    assert!(words(&error).contains("NotValidForName"), "{error:?}");
    let other_ca = TlsFiles { ca: stranger.path("ca.pem"), ..files.clone() };
    let error = refused(ClientTls::load(&other_ca, NAME).expect("good files")).await;
    assert!(words(&error).contains("UnknownIssuer"), "{error:?}");
    let for_relays = ClientTls::load_for(&files, NAME, &[Role::Relay]).expect("good files");
    let error = refused(for_relays).await;
    assert!(words(&error).contains("the server is issuer/issuer-1"), "{error:?}");
    assert_eq!(server.callers(), Vec::<String>::new());
    let for_issuers = ClientTls::load_for(&files, NAME, &[Role::Issuer]).expect("good files");
    server.call(&for_issuers).await.expect("the right role");
}

#[tokio::test]
async fn a_client_talks_to_no_server_that_names_nobody() {
    let ca = Ca::new("ours");
    let usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let files = ca.leaf("server", Leaf { uris: vec![], usages, ..Leaf::default() });
    let server = Server::start(&files, clock(), ServerLimits::default()).await;
    let tls = client(&ca.leaf("good", Leaf::default()), 0);
    let error = server.call(&tls).await.expect_err("it could be anybody");
    assert!(format!("{error:?}").contains("the server: the certificate has 0 URI names"), "{error:?}");
}

#[tokio::test]
async fn a_client_talks_to_no_server_that_is_revoked() {
    let ca = Ca::new("ours");
    let server = server(&ca).await; // its own serial number is 7
    let files = ca.leaf("good", Leaf { serial: 8, ..Leaf::default() });
    let crl = Some(ca.crl(2, &[7], 7));
    let tls = ClientTls::load(&TlsFiles { crl, ..files }, NAME).expect("good files");
    let error = server.call(&tls).await.expect_err("revoked");
    assert!(format!("{error:?}").contains("Revoked"), "{error:?}");
}

#[tokio::test]
async fn no_session_is_ever_resumed() {
    let ca = Ca::new("ours");
    let server = server(&ca).await;
    let tls = client(&ca.leaf("good", Leaf::default()), 0);
    // A client that would love to.
    let mut config = (*tls.config()).clone();
    config.resumption = rustls::client::Resumption::in_memory_sessions(8);
    let connector = TlsConnector::from(std::sync::Arc::new(config));
    for _ in 0..3 {
        let socket = TcpStream::connect(server.address).await.expect("it listens");
        let mut stream = connector.connect(tls.server_name(), socket).await.expect("a good client");
        let mut settings = [0; 9];
        stream.read_exact(&mut settings).await.expect("the server speaks first, after any ticket");
        let kind = stream.get_ref().1.handshake_kind().expect("it is done");
        assert_eq!(kind, rustls::HandshakeKind::Full);
    }
}

#[tokio::test]
async fn nothing_older_than_tls_1_3_is_spoken() {
    let _metrics = todoke::telemetry::prometheus();
    let ca = Ca::new("ours");
    let server = server(&ca).await;
    let tls = client(&ca.leaf("good", Leaf::default()), 0);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca.path("ca.pem")).expect("PEM")).expect("a CA");
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .expect("the library still has it")
        .with_root_certificates(roots)
        .with_client_cert_resolver(std::sync::Arc::clone(&tls.config().client_auth_cert_resolver));
    let before = counted(REFUSED, "incompatible");
    let socket = TcpStream::connect(server.address).await.expect("it listens");
    let connecting = TlsConnector::from(std::sync::Arc::new(config)).connect(tls.server_name(), socket).await;
    connecting.expect_err("refused");
    eventually("it is counted", || counted(REFUSED, "incompatible") > before).await;
}
