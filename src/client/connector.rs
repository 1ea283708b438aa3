//! Channels to the relays: each connects when it is first needed, shows the caller's certificate, believes
//! only the stated CA and name, and notices within seconds that the other end is gone.

use std::{io, path::Path, sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};

use super::endpoints::ClientFiles;

/// Limits of a channel.
#[derive(Debug, Clone)]
pub struct ChannelLimits {
    /// How long TCP and TLS may take together; default 2 s.
    pub connect: Duration,
    /// How long a silent connection is left before it is asked whether it lives; default 5 s.
    pub keep_alive_every: Duration,
    /// How long the answer to that may take; default 5 s.
    pub keep_alive_answer: Duration,
}

impl Default for ChannelLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            keep_alive_every: Duration::from_secs(5),
            keep_alive_answer: Duration::from_secs(5),
        }
    }
}

const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// Makes channels as one caller.
pub struct Connector {
    tls: TlsConnector,
    name: ServerName<'static>,
    server_name: String,
    limits: ChannelLimits,
}

impl Connector {
    /// Reads certificate, key and CA.
    ///
    /// # Errors
    /// What is wrong with which of them, in words.
    pub fn load(
        files: &ClientFiles,
        ca: &Path,
        server_name: &str,
        limits: ChannelLimits,
    ) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for der in certificates(ca)? {
            roots.add(der).map_err(|error| format!("{}: {error}", ca.display()))?;
        }
        let key = PrivateKeyDer::from_pem_file(&files.key)
            .map_err(|error| format!("{}: {error}", files.key.display()))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_client_auth_cert(certificates(&files.cert)?, key)
            .map_err(|error| format!("{}: {error}", files.cert.display()))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        let name = ServerName::try_from(server_name.to_owned())
            .map_err(|_| format!("server_name {server_name:?} is no host name"))?;
        let tls = TlsConnector::from(Arc::new(config));
        Ok(Self { tls, name, server_name: server_name.to_owned(), limits })
    }

    /// Returns a channel to `host:port`; nothing is connected yet.
    ///
    /// # Errors
    /// What is wrong with the address or the name.
    pub fn channel(&self, address: &str) -> Result<Channel, String> {
        // The authority is the certificate's name; the connection goes to the address.
        let uri: Uri =
            format!("http://{}", self.server_name).parse().map_err(|_| "no host name".to_owned())?;
        let endpoint = Endpoint::from(uri)
            .connect_timeout(self.limits.connect)
            .http2_keep_alive_interval(self.limits.keep_alive_every)
            .keep_alive_timeout(self.limits.keep_alive_answer)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        let (tls, name) = (self.tls.clone(), self.name.clone());
        let (address, limit) = (address.to_owned(), self.limits.connect);
        Ok(endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
            let (tls, name, address) = (tls.clone(), name.clone(), address.clone());
            async move {
                let connecting = async {
                    let tcp = TcpStream::connect(&address).await?;
                    tcp.set_nodelay(true)?;
                    tls.connect(name, tcp).await
                };
                let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("no connection in {limit:?}"));
                timeout(limit, connecting).await.map_err(late)?.map(TokioIo::new)
            }
        })))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let ders: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    if ders.is_empty() {
        return Err(format!("{}: holds no certificate", path.display()));
    }
    Ok(ders)
}
