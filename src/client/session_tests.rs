//! Promise: from `endpoints.json` alone a municipality talks to its relays over mutual TLS, and to no others.

use std::{fs, net::SocketAddr, path::Path, sync::Arc};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer as Ca, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::client::issuer_double::{Issuer, receipt_key};
use crate::wire::pb::batch_service_server::BatchServiceServer;

fn certificates(folder: &Path) {
    let write = |name: &str, text: String| fs::write(folder.join(name), text).expect("writable");
    let ca_key = KeyPair::generate().expect("P-256");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    write("ca.pem", params.self_signed(&ca_key).expect("self-signed").pem());
    let ca = Ca::new(params, ca_key);
    for (name, dns) in [("relay", "todoke.internal"), ("131229", "131229.test")] {
        let key = KeyPair::generate().expect("P-256");
        let params = CertificateParams::new(vec![dns.to_owned()]).expect("a name");
        write(&format!("{name}.pem"), params.signed_by(&key, &ca).expect("signed").pem());
        write(&format!("{name}.key"), key.serialize_pem());
    }
}

fn acceptor(folder: &Path) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("ca.pem")).expect("just made")).expect("a CA");
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let chain = vec![CertificateDer::from_pem_file(folder.join("relay.pem")).expect("just made")];
    let key = PrivateKeyDer::from_pem_file(folder.join("relay.key")).expect("just made");
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_client_cert_verifier(verifier.build().expect("roots are there"))
        .with_single_cert(chain, key)
        .expect("the key fits");
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

async fn serve(acceptor: TlsAcceptor, tasks: &mut JoinSet<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a port");
    let address = listener.local_addr().expect("bound");
    let issuer = Issuer::default();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((socket, _)) = listener.accept().await {
            let service = TowerToHyperService::new(BatchServiceServer::new(issuer.clone()));
            let acceptor = acceptor.clone();
            connections.spawn(async move {
                if let Ok(socket) = acceptor.accept(socket).await {
                    let http2 = Builder::new(TokioExecutor::new()).http2_only();
                    let _ = http2.serve_connection(TokioIo::new(socket), service).await;
                }
            });
        }
    });
    address
}

fn endpoints(folder: &Path, address: SocketAddr, server_name: &str) -> Endpoints {
    let path = folder.join("endpoints.json");
    let text = serde_json::json!({
        "server_name": server_name, "ca": "ca.pem", "receipt_key": "receipt.pub",
        "relays": [{"id": "relay-1", "address": address.to_string()}],
        "clients": {"municipality/131229": {"cert": "131229.pem", "key": "131229.key"}},
    });
    fs::write(&path, text.to_string()).expect("writable");
    fs::write(folder.join("receipt.pub"), receipt_key().to_string()).expect("writable");
    Endpoints::load(&path).expect("just written")
}

#[tokio::test]
async fn a_municipality_reaches_its_relay_over_mutual_tls_and_no_relay_of_another_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    certificates(folder.path());
    let mut tasks = JoinSet::new();
    let address = serve(acceptor(folder.path()), &mut tasks).await;
    let options = CallOptions { deadline: std::time::Duration::from_millis(800), ..CallOptions::default() };
    let connect = |name: &str| {
        let endpoints = endpoints(folder.path(), address, name);
        Session::connect(&endpoints, "municipality/131229", options.clone(), 5, Arc::new(|_| ()))
            .expect("every file is there")
    };
    let list = connect("todoke.internal").list_batches("").await.expect("the relay answers");
    assert_eq!(list.last_sequence, 0);
    let error = connect("somebody.else").list_batches("").await.expect_err("the name is not the relay's");
    assert!(error.transient && error.attempts > 1, "{error}");
}

#[test]
fn only_a_municipality_has_a_session_and_is_told_so() {
    let error = municipality("operator/alice").expect_err("no municipality").to_string();
    assert!(error.contains("pass --as municipality/CODE"), "{error}");
    assert!(municipality("municipality/131220").is_err(), "a wrong check digit");
}
