//! What `todoke relay` can be told.

use std::{net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{Conflict, Role};
use crate::{net::tls::TlsFiles, ops, relay, telemetry::LogOptions};

/// Everything about one relay.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RelayConfig {
    /// Where calls are taken; port 0 takes a free one. Default 127.0.0.1:40101.
    pub listen: SocketAddr,
    /// Where /metrics, /livez and /readyz are served. Default 127.0.0.1:40201.
    pub ops_listen: SocketAddr,
    /// Where the addresses are written once they are known, as JSON. Default nowhere.
    pub addresses_file: Option<PathBuf>,
    /// The name that the issuers' certificates carry. Default todoke.internal.
    pub server_name: String,
    /// Certificate, key and CA, for clients and issuers alike.
    pub tls: TlsFiles,
    /// Limits and patience of the relay.
    pub relay: relay::Options,
    /// Limits of the ops port.
    pub ops: ops::Limits,
    /// Logs.
    pub log: LogOptions,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 40101)),
            ops_listen: SocketAddr::from(([127, 0, 0, 1], 40201)),
            addresses_file: None,
            server_name: "todoke.internal".to_owned(),
            tls: TlsFiles::default(),
            relay: relay::Options::default(),
            ops: ops::Limits::default(),
            log: LogOptions::default(),
        }
    }
}

impl Role for RelayConfig {
    const NAME: &'static str = "relay";
    const REQUIRED: &'static [(&'static str, &'static str)] = &[
        ("relay.upstreams", "10.0.0.7:40301"),
        ("tls.cert", "pki/relay-1.pem"),
        ("tls.key", "pki/relay-1.key"),
        ("tls.ca", "pki/ca.pem"),
    ];
    const FILES: &'static [&'static str] = &["tls.cert", "tls.key", "tls.ca", "tls.crl", "relay.pool_key"];
    const MAY_BE_ZERO: &'static [&'static str] = &[
        "ops.drain",
        "relay.caller_unread_max",
        "relay.drain",
        "relay.linger",
        "relay.reader_grace",
        "relay.reader_patience",
    ];
    const SECRETS: &'static [&'static str] = &[];

    fn conflicts(&self) -> Vec<Conflict> {
        let mut found = super::same_address(self.listen, self.ops_listen);
        found.extend(super::beyond_loopback("relay.ads_listen", self.relay.ads_listen));
        let faults = self.relay.faults().into_iter();
        found.extend(faults.map(|(key, what)| Conflict::new(&format!("relay.{key}"), what, "Change it")));
        found
    }
}
