//! Promise: from `endpoints.json` alone a municipality talks to its relays over mutual TLS, and to no others.

use std::{fs, net::SocketAddr, path::Path, sync::Arc};

use serde_json::json;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    client::issuer_double::{Issuer, receipt_key},
    net::{
        ServerLimits,
        pki::Authority,
        serve::{CutOff, serve_tonic},
        tls::{ServerTls, TlsFiles},
    },
    wire::pb::batch_service_server::BatchServiceServer,
};

/// Makes a CA in `folder` with a relay and a municipality.
fn certificates(folder: &Path) -> Authority {
    let authority = Authority::create(folder, time::OffsetDateTime::now_utc()).expect("an empty folder");
    for party in ["relay/relay-1", "municipality/131229"] {
        let lifetime = std::time::Duration::from_secs(86_400);
        authority.issue(&party.parse().expect("legal"), &[], lifetime).expect("issued");
    }
    authority
}

/// Serves as the relay of `folder`, until `tasks` is dropped.
async fn serve(folder: &Path, tasks: &mut JoinSet<Result<(), CutOff>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a port");
    let address = listener.local_addr().expect("bound");
    let files = TlsFiles {
        cert: folder.join("relay-1.pem"),
        key: folder.join("relay-1.key"),
        ca: folder.join("ca.pem"),
        crl: Some(folder.join("crl.pem")),
    };
    let tls = ServerTls::load(&files).expect("just made");
    let routes = BatchServiceServer::new(Issuer::default());
    tasks.spawn(serve_tonic(listener, tls, routes, ServerLimits::default(), CancellationToken::new()));
    address
}

fn endpoints(folder: &Path, relays: &[SocketAddr], server_name: &str) -> Endpoints {
    let path = folder.join("endpoints.json");
    let relays: Vec<_> =
        (1..).zip(relays).map(|(n, at)| json!({"id": format!("relay-{n}"), "address": at})).collect();
    let text = json!({
        "server_name": server_name, "ca": "ca.pem", "receipt_key": "receipt.pub",
        "relays": relays,
        "clients": {"municipality/131229": {"cert": "131229.pem", "key": "131229.key"}},
    });
    fs::write(&path, text.to_string()).expect("writable");
    fs::write(folder.join("receipt.pub"), receipt_key().to_string()).expect("writable");
    Endpoints::load(&path).expect("just written")
}

fn connect_to(folder: &Path, relays: &[SocketAddr], name: &str) -> Session {
    let options = CallOptions { deadline: std::time::Duration::from_millis(800), ..CallOptions::default() };
    let endpoints = endpoints(folder, relays, name);
    Session::connect(&endpoints, "municipality/131229", options, 5, Arc::new(|_| ())).expect("all is there")
}

#[tokio::test]
async fn a_municipality_reaches_its_relay_over_mutual_tls_and_no_relay_of_another_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    certificates(folder.path());
    let mut tasks = JoinSet::new();
    let address = serve(folder.path(), &mut tasks).await;
    let session = connect_to(folder.path(), &[address], "todoke.internal");
    let list = session.list_batches("").await.expect("the relay answers");
    assert_eq!(list.last_sequence, 0);
    let session = connect_to(folder.path(), &[address], "somebody.else");
    let error = session.list_batches("").await.expect_err("the name is not the relay's");
    assert!(!error.transient && error.attempts == 1, "no second attempt could help: {error}");
    assert!(error.to_string().contains("\"server_name\" in endpoints.json"), "{error}");
}

#[tokio::test]
async fn relays_of_another_ca_are_asked_once_each_and_the_file_to_look_at_is_named() {
    let [ours, theirs] = [(); 2].map(|()| tempfile::tempdir().expect("a temporary folder"));
    certificates(ours.path());
    certificates(theirs.path());
    let mut tasks = JoinSet::new();
    let address = serve(theirs.path(), &mut tasks).await;
    let session = connect_to(ours.path(), &[address], "todoke.internal");
    let error = session.list_batches("").await.expect_err("another CA");
    assert!(!error.transient && error.attempts == 1, "{error}");
    assert!(error.to_string().contains("\"ca\" in endpoints.json"), "{error}");
}

#[test]
fn a_certificate_of_another_is_refused_before_anything_is_sent() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    certificates(folder.path());
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let text = fs::read_to_string(folder.path().join("relay-1.pem")).expect("just made");
    let endpoints = endpoints(folder.path(), &[nowhere], "todoke.internal");
    fs::write(folder.path().join("131229.pem"), text).expect("writable");
    let session =
        Session::connect(&endpoints, "municipality/131229", CallOptions::default(), 5, Arc::new(|_| ()));
    let text = session.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(text.contains("of relay/relay-1, not of municipality/131229"), "{text}");
}

#[tokio::test]
async fn a_revoked_municipality_is_told_so_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let authority = certificates(folder.path());
    authority.revoke(&"municipality/131229".parse().expect("legal")).expect("it was issued");
    let mut tasks = JoinSet::new();
    let address = serve(folder.path(), &mut tasks).await;
    let session = connect_to(folder.path(), &[address], "todoke.internal");
    let error = session.list_batches("").await.expect_err("it is revoked");
    assert!(!error.transient && error.attempts == 1, "no second attempt could help: {error}");
    let text = error.to_string();
    assert!(text.contains("refused (CertificateRevoked)") && text.contains("todoke pki show"), "{text}");
}

#[tokio::test]
async fn a_relay_that_thinks_the_certificate_revoked_is_not_believed_while_another_may_come_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let authority = certificates(folder.path());
    authority.revoke(&"municipality/131229".parse().expect("legal")).expect("it was issued");
    let mut tasks = JoinSet::new();
    let stale = serve(folder.path(), &mut tasks).await;
    let away = serve(folder.path(), &mut JoinSet::new()).await; // and away again, with its tasks
    let session = connect_to(folder.path(), &[stale, away], "todoke.internal");
    let error = session.list_batches("").await.expect_err("nobody serves it");
    assert!(error.transient && error.attempts > 2, "the same command may go on later: {error}");
}

#[test]
fn only_a_municipality_has_a_session_and_is_told_so() {
    let error = municipality("operator/alice").expect_err("no municipality").to_string();
    assert!(error.contains("pass --as municipality/CODE"), "{error}");
    assert!(municipality("municipality/131220").is_err(), "a wrong check digit");
}
