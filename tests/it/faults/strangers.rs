//! Certificates that nobody should have, and connections with them: no check of ours stands in their way.

use std::{net::SocketAddr, path::Path, sync::Arc};

use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use time::OffsetDateTime;
use tokio::{io::AsyncReadExt as _, net::TcpStream};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};

/// A certificate with its key.
pub(super) struct Shown {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

/// What a certificate of a test says.
pub(super) struct Says<'a> {
    pub(super) uris: &'a [&'a str],
    /// Valid from and to, in days from now.
    pub(super) days: (i64, i64),
}

/// Whoever signs certificates.
pub(super) struct Ca(Issuer<'static, KeyPair>);

impl Ca {
    /// The CA of the system itself, by its stolen key.
    pub(super) fn stolen(pki: &Path) -> Self {
        let der = CertificateDer::from_pem_file(pki.join("ca.pem")).expect("PEM");
        let key = std::fs::read_to_string(pki.join("ca.key")).expect("a key");
        let key = KeyPair::from_pem(&key).expect("a key");
        Self(Issuer::from_ca_cert_der(&der, key).expect("a CA"))
    }

    /// A CA that nobody knows, called as one likes.
    pub(super) fn unknown() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "another CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(Issuer::new(params, KeyPair::generate().expect("P-256")))
    }

    pub(super) fn sign(&self, says: &Says<'_>) -> Shown {
        let mut params = CertificateParams::default();
        for uri in says.uris {
            params.subject_alt_names.push(SanType::URI((*uri).try_into().expect("ASCII")));
        }
        let now = OffsetDateTime::now_utc();
        params.not_before = now + time::Duration::days(says.days.0);
        params.not_after = now + time::Duration::days(says.days.1);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("P-256");
        let certificate = params.signed_by(&key, &self.0).expect("signed");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        Shown { chain: vec![certificate.der().clone()], key }
    }
}

/// Reads the certificate of a party.
pub(super) fn of_party(pki: &Path, name: &str) -> Shown {
    let chain = CertificateDer::from_pem_file(pki.join(format!("{name}.pem"))).expect("PEM");
    let key = PrivateKeyDer::from_pem_file(pki.join(format!("{name}.key"))).expect("a key");
    Shown { chain: vec![chain], key }
}

fn connector(pki: &Path, shown: Option<&Shown>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(pki.join("ca.pem")).expect("PEM")).expect("a CA");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS 1.3")
        .with_root_certificates(roots);
    let mut config = match shown {
        Some(shown) => config
            .with_client_auth_cert(shown.chain.clone(), shown.key.clone_key())
            .expect("they belong together"),
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsConnector::from(Arc::new(config))
}

fn name() -> ServerName<'static> {
    ServerName::try_from("todoke.internal").expect("a host name")
}

/// Connects with a certificate, or with none, and returns why the other end hung up; one that speaks on has
/// let us in.
pub(super) async fn refusal(pki: &Path, shown: Option<&Shown>, address: SocketAddr) -> String {
    let tcp = TcpStream::connect(address).await.expect("it listens");
    // In TLS 1.3 a client learns only with its first read that it was refused.
    match connector(pki, shown).connect(name(), tcp).await {
        Ok(mut stream) => {
            stream.read_u8().await.map_or_else(|error| error.to_string(), |_| "let in".to_owned())
        }
        Err(error) => error.to_string(),
    }
}

/// Connects and returns the certificate that the server shows.
pub(super) async fn served(pki: &Path, shown: &Shown, address: SocketAddr) -> Vec<u8> {
    let tcp = TcpStream::connect(address).await.expect("it listens");
    let stream = connector(pki, Some(shown)).connect(name(), tcp).await.expect("a good server");
    stream.get_ref().1.peer_certificates().expect("it shows one")[0].to_vec()
}

/// A channel with a certificate.
pub(super) fn channel(pki: &Path, shown: &Shown, address: SocketAddr) -> Channel {
    let connector = connector(pki, Some(shown));
    let uri: Uri = "http://todoke.internal".parse().expect("a URI");
    Endpoint::from(uri).connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
        let connector = connector.clone();
        async move {
            let tcp = TcpStream::connect(address).await?;
            connector.connect(name(), tcp).await.map(TokioIo::new)
        }
    }))
}
