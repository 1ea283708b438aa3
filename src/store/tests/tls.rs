//! Promise: a server that is reached by TLS is believed only with a certificate of the named CA for the
//! named host, lets in only who has a certificate of its own, and who is not let in is told what to look at.

use std::{fs, net::Ipv4Addr};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};
use tempfile::TempDir;

use super::*;
use crate::store::Refusal;

/// A CA in memory.
struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("P-256");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("self-signed").pem();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// A certificate of this common name, and its key.
    fn issue(&self, name: &str, address: Option<Ipv4Addr>) -> (String, String) {
        let key = KeyPair::generate().expect("P-256");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names.extend(address.map(|address| SanType::IpAddress(address.into())));
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).expect("it signs");
        (certificate.pem(), key.serialize_pem())
    }
}

/// Three addresses of this process alone, as all servers of the tests have the same port.
fn own_addresses() -> [Ipv4Addr; 3] {
    let [_, high, mid, low] = std::process::id().to_be_bytes();
    [64, 128, 192].map(|part| Ipv4Addr::new(127, part | (high & 63), mid, low))
}

/// A server that takes nobody without TLS and a certificate, and what its callers have.
struct Place {
    _server: Throwaway,
    /// The first stands in its certificate.
    addresses: [Ipv4Addr; 2],
    folder: TempDir,
}

impl Place {
    async fn new() -> Self {
        let (ours, others) = (Authority::new("ours"), Authority::new("others"));
        let [address, other, _] = own_addresses();
        let (certificate, key) = ours.issue("pg-1", Some(address));
        let settings = format!(
            "listen_addresses = '{address}, {other}'\nssl = on\nssl_cert_file = 'server.pem'\n\
             ssl_key_file = 'server.key'\nssl_ca_file = 'ca.pem'\n"
        );
        let files = vec![
            ("server.pem", certificate),
            ("server.key", key),
            ("ca.pem", ours.certificate.clone()),
            ("pg_hba.conf", "local all all trust\nhostssl all all all trust clientcert=verify-full\n".into()),
        ];
        let server = template::server_with(settings, files).await;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write =
            |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("it is writable");
        write("ca.pem", &ours.certificate);
        write("other-ca.pem", &others.certificate);
        for (file, name) in [("own", "todoke"), ("other", "somebody")] {
            let (certificate, key) = ours.issue(name, None);
            write(&format!("{file}.crt"), &certificate);
            write(&format!("{file}.key"), &key);
        }
        Self { _server: server, addresses: [address, other], folder }
    }

    fn options(&self, host: &str, mode: &str, root: &str, own: Option<&str>) -> StoreOptions {
        let path = |name: String| self.folder.path().join(name).display().to_string();
        let mut url = format!(
            "postgres://todoke@{host}/{}?sslmode={mode}&sslrootcert={}",
            template::DATABASE,
            path(root.to_owned())
        );
        if let Some(own) = own {
            let (cert, key) = (path(format!("{own}.crt")), path(format!("{own}.key")));
            url.push_str(&format!("&sslcert={cert}&sslkey={key}"));
        }
        StoreOptions { url, acquire_max: std::time::Duration::from_secs(5), ..StoreOptions::default() }
    }

    async fn refused(&self, options: &StoreOptions) -> String {
        let error = Store::open(options).await.expect_err("it is refused");
        let is_so = matches!(error, Error::Refused(Refusal::Tls { .. } | Refusal::Login { .. }));
        assert!(is_so && !error.is_transient(), "{error:?}");
        error.to_string()
    }
}

#[tokio::test]
async fn only_the_right_server_is_believed_and_only_who_has_a_certificate_is_let_in() {
    let place = Place::new().await;
    let [host, other] = place.addresses.map(|address| address.to_string());
    let store = Store::open(&place.options(&host, "verify-full", "ca.pem", Some("own"))).await;
    let store = store.expect("everything is right");
    store.write_heartbeat("a test", 7).await.expect("a transaction");
    let Pool::Postgres(server) = &store.pool else { panic!("it is a server") };
    let mut connection = server.acquire().await.expect("it is there");
    let sealed: (bool, String) =
        sqlx::query_as("SELECT ssl, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            .fetch_one(&mut *connection)
            .await
            .expect("reads");
    assert_eq!(sealed, (true, "/CN=todoke".to_owned()));
    drop(connection);
    store.close().await;
    let full = |host: &str, root: &str, own| place.options(host, "verify-full", root, own);
    for (what, options, words) in [
        ("another CA", full(&host, "other-ca.pem", Some("own")), "UnknownIssuer"),
        ("another host", full(&other, "ca.pem", Some("own")), "not valid for name"),
        ("no certificate", full(&host, "ca.pem", None), "requires a valid client certificate"),
        ("one of another name", full(&host, "ca.pem", Some("other")), "authentication failed for user"),
        ("no TLS", place.options(&host, "disable", "ca.pem", None), "no encryption"),
    ] {
        let error = place.refused(&options).await;
        assert!(error.contains(words), "{what}: {error}");
        assert!(error.contains("sslcert"), "{what}: what to look at: {error}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_not_spoken_to_where_tls_is_asked_for() {
    let [address, ..] = own_addresses();
    let settings = format!("listen_addresses = '{address}'\n");
    let _server = template::server_with(settings, Vec::new()).await;
    let url = format!("postgres://todoke@{address}/{}?sslmode=require", template::DATABASE);
    let error = Store::open(&StoreOptions { url, ..StoreOptions::default() }).await.expect_err("it has none");
    assert!(matches!(error, Error::Refused(Refusal::Tls { .. })), "{error}");
    assert!(error.to_string().contains("ssl = on"), "what to do: {error}");
}

/// Fails unless the hosts are named in this order, each with these words of its own.
fn each_says(error: &str, words: [(&str, &str); 2]) {
    let [(one, first), (two, second)] = words;
    let (before, of_two) = error.split_once(&format!("; {two}: ")).expect(error);
    let (_, of_one) = before.split_once(&format!("({one}: ")).expect(error);
    assert!(of_one.contains(first) && !of_two.contains(first), "{one}, {first}: {error}");
    assert!(of_two.contains(second) && !of_one.contains(second), "{two}, {second}: {error}");
}

#[tokio::test]
async fn of_several_hosts_that_cannot_be_spoken_to_by_tls_each_is_named_with_its_own_reason() {
    let place = Place::new().await;
    let [host, other, third] = own_addresses().map(|address| address.to_string());
    let settings = format!("listen_addresses = '{third}'\n");
    let _plain = template::server_with(settings, Vec::new()).await;
    let all = format!("{other},{third}");
    let error = place.refused(&place.options(&all, "verify-full", "ca.pem", Some("own"))).await;
    each_says(&error, [(&other, "not valid for name"), (&third, "server does not support TLS")]);
    assert!(error.contains("sslrootcert") && error.contains("ssl = on"), "what to do: {error}");
    let all = format!("{other},{host},{third}");
    let store = Store::open(&place.options(&all, "verify-full", "ca.pem", Some("own"))).await;
    store.expect("one of them is right").close().await;
}

#[tokio::test]
async fn of_several_hosts_that_let_nobody_in_each_is_named_with_its_own_reason() {
    let [one, two, _] = own_addresses().map(|address| address.to_string());
    let server = async |address: &str, rule: &str| {
        let settings = format!("listen_addresses = '{address}'\n");
        let rules = format!("local all all trust\nhost all all all {rule}\n");
        template::server_with(settings, vec![("pg_hba.conf", rules)]).await
    };
    let _servers = (server(&one, "reject").await, server(&two, "scram-sha-256").await);
    let url = format!("postgres://todoke:geheim@{one},{two}/{}?sslmode=disable", template::DATABASE);
    let options = StoreOptions { url, ..StoreOptions::default() };
    let refused = Store::open(&options).await.expect_err("neither lets it in");
    assert!(matches!(refused, Error::Refused(Refusal::Login { .. })), "{refused:?}");
    let error = refused.to_string();
    each_says(&error, [(&one, "pg_hba.conf rejects"), (&two, "password authentication failed")]);
    assert!(error.contains("look at user, password") && !error.contains("geheim"), "{error}");
}
