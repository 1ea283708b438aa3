//! The client's side: it shows its own certificate, and only to a server of our CA that has the right name.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::{
    ClientConfig,
    client::{Resumption, WebPkiServerVerifier, danger::ServerCertVerifier},
    pki_types::{CertificateDer, ServerName},
    version::TLS13,
};
use tokio::sync::watch;

use super::{
    ALPN, clock,
    files::{Expiry, Material, TlsError, TlsFiles, provider},
    peers::Servers,
};
use crate::{domain::identity::Role, runtime::clock::Clock};

/// A client's certificate and what it checks servers by; a clone sees every reload.
#[derive(Clone)]
pub struct ClientTls {
    shared: Arc<Shared>,
}

struct Shared {
    files: TlsFiles,
    name: ServerName<'static>,
    roles: &'static [Role],
    clock: Clock,
    current: ArcSwap<Current>,
    generation: watch::Sender<u64>,
}

struct Current {
    material: Material,
    config: Arc<ClientConfig>,
    servers: Arc<dyn ServerCertVerifier>,
}

impl ClientTls {
    /// Reads all files. Whichever party has `server_name` in its certificate will be talked to.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load(files: &TlsFiles, server_name: &str) -> Result<Self, TlsError> {
        Self::load_at(files, server_name, &[], Clock::system())
    }

    /// Does the same for servers of one of these roles only. Relays and issuers share one host name, so a
    /// relay says here that it will only take an issuer for one.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load_for(files: &TlsFiles, server_name: &str, roles: &'static [Role]) -> Result<Self, TlsError> {
        Self::load_at(files, server_name, roles, Clock::system())
    }

    /// Does the same by another clock.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load_at(
        files: &TlsFiles,
        server_name: &str,
        roles: &'static [Role],
        clock: Clock,
    ) -> Result<Self, TlsError> {
        let name = ServerName::try_from(server_name.to_owned())
            .map_err(|_| TlsError::ServerName(server_name.to_owned()))?;
        let current = ArcSwap::from_pointee(Current::build(files, roles, &clock)?);
        let generation = watch::Sender::new(0);
        let shared = Shared { files: files.clone(), name, roles, clock, current, generation };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Reads all files anew and returns whether anything changed; connections from now on use it, and whoever
    /// waits for [`ClientTls::generation`] is woken.
    ///
    /// # Errors
    /// [`TlsError`]; all of the old stays in force then.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let shared = &self.shared;
        let fresh = Current::build(&shared.files, shared.roles, &shared.clock)?;
        if fresh.material.is_same(&shared.current.load().material) {
            return Ok(false);
        }
        shared.current.store(Arc::new(fresh));
        shared.generation.send_modify(|generation| *generation += 1);
        Ok(true)
    }

    /// Counts the reloads that changed something: a connection that was made before one should be asked
    /// again whether it [`ClientTls::still_trusts`] its server.
    #[must_use]
    pub fn generation(&self) -> watch::Receiver<u64> {
        self.shared.generation.subscribe()
    }

    /// Whether a server with this chain would be talked to now.
    #[must_use]
    pub fn still_trusts(&self, certs: &[CertificateDer<'_>]) -> bool {
        let Some((own, above)) = certs.split_first() else { return false };
        let (current, now) = (self.shared.current.load(), clock::time(&self.shared.clock));
        current.servers.verify_server_cert(own, above, &self.shared.name, &[], now).is_ok()
    }

    /// What the next handshake is to be done with; never keep it for the one after.
    #[must_use]
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.shared.current.load().config)
    }

    /// The name that the server's certificate must carry.
    #[must_use]
    pub fn server_name(&self) -> ServerName<'static> {
        self.shared.name.clone()
    }

    /// When what is in force ends.
    #[must_use]
    pub fn expiry(&self) -> Expiry {
        self.shared.current.load().material.expiry
    }
}

impl Current {
    fn build(files: &TlsFiles, roles: &'static [Role], clock: &Clock) -> Result<Self, TlsError> {
        let setup = |what: String| TlsError::Setup(what);
        let material = Material::read(files, clock.now_ms() / 1000)?;
        let roots = Arc::clone(&material.roots);
        let chain = WebPkiServerVerifier::builder_with_provider(roots, provider())
            .with_crls(material.crls.iter().cloned())
            .enforce_revocation_expiration()
            .build()
            .map_err(|error| setup(error.to_string()))?;
        let ca_until = material.ca_until;
        let servers: Arc<dyn ServerCertVerifier> = Arc::new(Servers { chain, ca_until, roles });
        let mut config = ClientConfig::builder_with_details(provider(), clock::provider(clock))
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| setup(error.to_string()))?
            .dangerous() // nothing is left out: `Servers` asks the library's verifier, and then for more
            .with_custom_certificate_verifier(Arc::clone(&servers))
            .with_client_auth_cert(material.chain.clone(), material.key.clone_key())
            .map_err(|error| TlsError::KeyPair {
                cert: files.cert.clone(),
                key: files.key.clone(),
                what: error.to_string(),
            })?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Self { material, config: Arc::new(config), servers })
    }
}
