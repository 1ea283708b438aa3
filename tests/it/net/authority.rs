//! Promise: what the development CA writes is what servers and clients read, and what it takes back gets in
//! nowhere.

use std::{path::Path, time::Duration};

use todoke::{
    net::{ServerLimits, pki::Authority, tls::TlsFiles},
    runtime::clock::Clock,
};

use super::harness::{NAME, Server, now};

const DAY: Duration = Duration::from_secs(86_400);

fn files(dir: &Path, name: &str) -> TlsFiles {
    TlsFiles {
        cert: dir.join(format!("{name}.pem")),
        key: dir.join(format!("{name}.key")),
        ca: dir.join("ca.pem"),
        crl: Some(dir.join("crl.pem")),
    }
}

#[tokio::test]
async fn a_party_calls_until_it_is_revoked_and_again_with_a_new_certificate() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    Authority::create(dir.path(), now()).expect("an empty folder");
    let authority = Authority::open(dir.path(), now()).expect("as another process would");
    let ward = "municipality/131229".parse().expect("legal");
    let issuer = "issuer/issuer-1".parse().expect("legal");
    authority.issue(&ward, &[], DAY).expect("issued");
    authority.issue(&issuer, &[], DAY).expect("issued");
    let issuer = files(dir.path(), "issuer-1");
    let server = Server::start(&issuer, Clock::system(), ServerLimits::default()).await;
    let client = || todoke::net::tls::ClientTls::load(&files(dir.path(), "131229"), NAME).expect("good");
    server.call(&client()).await.expect("it is known");
    authority.revoke(&ward).expect("it was issued");
    assert!(server.tls.reload().expect("a good list"));
    server.call(&client()).await.expect_err("revoked");
    authority.replace(&ward, &[], DAY).expect("a new one");
    server.call(&client()).await.expect("known again");
    assert_eq!(server.callers(), ["municipality/131229", "municipality/131229"]);
}
