//! The server's side: a client without a good certificate gets no further than the handshake, and what counts
//! as good can be renewed while connections are taken.

use std::sync::Arc;

use arc_swap::ArcSwap;
use metrics::{counter, gauge};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::CertificateDer,
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::TLS13,
};
use tokio::sync::watch;
use webpki::{CertRevocationList, OwnedCertRevocationList};

use super::{
    ALPN,
    chain::{self, ChainError},
    clock,
    files::{Expiry, Material, TlsError, TlsFiles, provider},
    identity::{PeerError, peer_identity},
    peers::Clients,
};
use crate::{domain::identity::Identity, runtime::clock::Clock, telemetry::names};

/// A server's certificate and what it checks its clients by; a clone sees every reload.
#[derive(Clone)]
pub struct ServerTls {
    shared: Arc<Shared>,
}

struct Shared {
    files: TlsFiles,
    clock: Clock,
    current: ArcSwap<Current>,
    generation: watch::Sender<u64>,
}

struct Current {
    material: Material,
    config: Arc<ServerConfig>,
    clients: Arc<dyn ClientCertVerifier>,
    crls: Vec<CertRevocationList<'static>>,
}

impl ServerTls {
    /// Reads all files.
    ///
    /// # Errors
    /// [`TlsError`]: also if a CRL is named and is missing, empty or out of date.
    pub fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        Self::load_at(files, Clock::system())
    }

    /// Does the same by another clock, which then also judges every handshake.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load_at(files: &TlsFiles, clock: Clock) -> Result<Self, TlsError> {
        let current = ArcSwap::from_pointee(Current::build(files, &clock)?);
        let generation = watch::Sender::new(0);
        let tls = Self { shared: Arc::new(Shared { files: files.clone(), clock, current, generation }) };
        tls.gauge();
        Ok(tls)
    }

    /// Reads all files anew and returns whether anything changed; connections from now on are judged by it,
    /// and whoever waits for [`ServerTls::generation`] is woken.
    ///
    /// # Errors
    /// [`TlsError`]; all of the old stays in force then, each part until it expires.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let fresh = Current::build(&self.shared.files, &self.shared.clock);
        if fresh.is_err() {
            counter!(names::TLS_RELOAD_FAILURES).increment(1);
            self.gauge();
        }
        let fresh = fresh?;
        if fresh.material.is_same(&self.shared.current.load().material) {
            self.gauge();
            return Ok(false);
        }
        self.shared.current.store(Arc::new(fresh));
        self.shared.generation.send_modify(|generation| *generation += 1);
        self.gauge();
        Ok(true)
    }

    /// Who the own certificate says this is.
    ///
    /// # Errors
    /// [`PeerError`] if that is nobody.
    pub fn identity(&self) -> Result<Identity, PeerError> {
        peer_identity(&self.shared.current.load().material.chain)
    }

    /// The CAs that certificates must lead to.
    #[must_use]
    pub fn roots(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.shared.current.load().material.roots)
    }

    /// What the next handshake is to be done with; never keep it for the one after.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.shared.current.load().config)
    }

    /// Counts the reloads that changed something: a connection that was let in before one should be asked
    /// again whether it [`ServerTls::still_trusts`] its peer.
    #[must_use]
    pub fn generation(&self) -> watch::Receiver<u64> {
        self.shared.generation.subscribe()
    }

    /// Whether a peer with this chain would get in now.
    #[must_use]
    pub fn still_trusts(&self, certs: &[CertificateDer<'_>]) -> bool {
        let Some((own, above)) = certs.split_first() else { return false };
        let now = clock::time(&self.shared.clock);
        self.shared.current.load().clients.verify_client_cert(own, above, now).is_ok()
    }

    /// Returns whose certificate stands first in `chain`, as [`super::verify_chain`] does, if by the CRL in
    /// force nothing in the chain is revoked.
    ///
    /// # Errors
    /// [`ChainError`].
    pub fn verify_chain(&self, chain: &[impl AsRef<[u8]>], now_ms: i64) -> Result<Identity, ChainError> {
        let current = self.shared.current.load();
        chain::verify(&current.material.roots, &current.crls, chain, now_ms)
    }

    /// When what is in force ends.
    #[must_use]
    pub fn expiry(&self) -> Expiry {
        self.shared.current.load().material.expiry
    }

    /// Says what in force is out of date or not valid yet, so that nobody gets in; nothing if all is good.
    #[must_use]
    pub fn ended(&self) -> Vec<String> {
        self.shared.current.load().material.ended(self.shared.clock.now_ms() / 1000)
    }

    /// Shows how long what is in force is still good for.
    fn gauge(&self) {
        let now = self.shared.clock.now_ms() / 1000;
        let Expiry { own, ca, crl } = self.expiry();
        for (part, until) in [("own", Some(own)), ("ca", Some(ca)), ("crl", crl)] {
            if let Some(until) = until {
                gauge!(names::TLS_EXPIRES_IN, names::PART => part).set((until - now) as f64);
            }
        }
    }
}

impl Current {
    fn build(files: &TlsFiles, clock: &Clock) -> Result<Self, TlsError> {
        let setup = |what: String| TlsError::Setup(what);
        let material = Material::read(files, clock.now_ms() / 1000)?;
        let mut crls = Vec::new();
        for der in &material.crls {
            let crl = OwnedCertRevocationList::from_der(der).map_err(|error| setup(error.to_string()))?;
            crls.push(CertRevocationList::from(crl));
        }
        let roots = Arc::clone(&material.roots);
        let chain = WebPkiClientVerifier::builder_with_provider(roots, provider())
            .with_crls(material.crls.iter().cloned())
            .enforce_revocation_expiration()
            .build()
            .map_err(|error| setup(error.to_string()))?;
        let ca_until = material.ca_until;
        let clients: Arc<dyn ClientCertVerifier> = Arc::new(Clients { chain, ca_until });
        let mut config = ServerConfig::builder_with_details(provider(), clock::provider(clock))
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| setup(error.to_string()))?
            .with_client_cert_verifier(Arc::clone(&clients))
            .with_single_cert(material.chain.clone(), material.key.clone_key())
            .map_err(|error| TlsError::KeyPair {
                cert: files.cert.clone(),
                key: files.key.clone(),
                what: error.to_string(),
            })?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        // No tickets and no memory of sessions: see the head of this module.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self { material, config: Arc::new(config), clients, crls })
    }
}
