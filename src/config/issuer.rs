//! What `todoke issuer` can be told.

use std::{net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{Conflict, Role};
use crate::{
    issuance,
    net::tls::TlsFiles,
    ops,
    pool::{controller, ledger},
    store::StoreOptions,
    telemetry::LogOptions,
};

/// Everything about one issuer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IssuerConfig {
    /// Where gRPC calls are taken; port 0 takes a free one. Default 127.0.0.1:40301.
    pub listen: SocketAddr,
    /// Where /metrics, /livez and /readyz are served. Default 127.0.0.1:40302.
    pub ops_listen: SocketAddr,
    /// Where the pool's view is served by xDS without TLS, for clients on this machine: an address of
    /// loopback. Default nowhere.
    pub ads_listen: Option<SocketAddr>,
    /// Where the addresses are written once they are known, as JSON. Default nowhere.
    pub addresses_file: Option<PathBuf>,
    /// Certificate, key and CA.
    pub tls: TlsFiles,
    /// The keys that seal and sign.
    pub vault: VaultFiles,
    /// The database.
    pub store: StoreOptions,
    /// Limits and patience of the service.
    pub issuance: issuance::Options,
    /// How relays are judged.
    pub pool: controller::Options,
    /// Limits of the ops port.
    pub ops: ops::Limits,
    /// Logs.
    pub log: LogOptions,
}

/// Where the vault's keys lie.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct VaultFiles {
    /// The key-encryption key: 32 bytes in hex.
    pub kek: PathBuf,
    /// The Ed25519 key that receipts are signed with, PKCS#8 PEM.
    pub receipt_key: PathBuf,
}

impl Default for IssuerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 40301)),
            ops_listen: SocketAddr::from(([127, 0, 0, 1], 40302)),
            ads_listen: None,
            addresses_file: None,
            tls: TlsFiles::default(),
            vault: VaultFiles::default(),
            store: StoreOptions::default(),
            issuance: issuance::Options::default(),
            pool: controller::Options::default(),
            ops: ops::Limits::default(),
            log: LogOptions::default(),
        }
    }
}

impl Role for IssuerConfig {
    const NAME: &'static str = "issuer";
    const REQUIRED: &'static [(&'static str, &'static str)] = &[
        ("store.url", "sqlite:issuer.db"),
        ("tls.cert", "pki/issuer-1.pem"),
        ("tls.key", "pki/issuer-1.key"),
        ("tls.ca", "pki/ca.pem"),
        ("vault.kek", "pki/kek.key"),
        ("vault.receipt_key", "pki/receipt.key"),
    ];
    const FILES: &'static [&'static str] = &[
        "tls.cert",
        "tls.key",
        "tls.ca",
        "tls.crl",
        "vault.kek",
        "vault.receipt_key",
        "issuance.calendar_file",
        "issuance.former_receipt_keys",
    ];
    const MAY_BE_ZERO: &'static [&'static str] = &["issuance.drain", "ops.drain"];
    const SECRETS: &'static [&'static str] = &["store.url"];

    fn conflicts(&self) -> Vec<Conflict> {
        let mut found = super::same_address(self.listen, self.ops_listen);
        found.extend(super::beyond_loopback("ads_listen", self.ads_listen));
        if self.ads_listen.is_some() && !self.pool.enabled {
            let what = "has no view to serve, as pool.enabled is false";
            found.push(Conflict::new("ads_listen", what, "Leave it out, or enable the pool"));
        }
        if self.pool.ledger_bytes_max < ledger::BYTES_MIN {
            let what = format!("must be at least {} bytes", ledger::BYTES_MIN);
            found.push(Conflict::new("pool.ledger_bytes_max", what, "Leave it out for 256 MiB"));
        }
        let issuance = &self.issuance;
        if issuance.retry.0 > issuance.retry.1 {
            found.push(Conflict::new("issuance.retry", "the shortest wait is over the longest", "Swap them"));
        }
        if issuance.heartbeat_max <= issuance.sweep_every {
            let what = "is not longer than issuance.sweep_every, so the issuer would never be ready";
            found.push(Conflict::new("issuance.heartbeat_max", what, "Make it some times longer"));
        }
        if issuance.sweep_every * 2 > issuance::SILENT_MAX {
            let what = "is over 30 s, and municipalities and deploy/alerts.yml take a minute without a look \
                        for a dead sweeper";
            found.push(Conflict::new("issuance.sweep_every", what, "Make it shorter"));
        }
        let numbers = self.pool.rule.faults().into_iter().map(|(key, what)| (format!("rule.{key}"), what));
        let numbers = numbers
            .chain(self.pool.policy.faults().into_iter().map(|(key, what)| (format!("policy.{key}"), what)));
        found.extend(numbers.map(|(key, what)| Conflict::new(&format!("pool.{key}"), what, "Change it")));
        // One that is not set at all is said already.
        if let Err(what) = self.store.file()
            && !self.store.url.is_empty()
        {
            let remedy = "Write sqlite:FILE, for example sqlite:issuer.db, or postgres://USER@HOST/DATABASE";
            found.push(Conflict::new("store.url", what, remedy));
        }
        found
    }
}
