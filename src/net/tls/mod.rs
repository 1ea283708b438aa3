//! Mutual TLS 1.3: whoever got past a handshake showed a certificate of our CA, valid now, not revoked, with
//! exactly one identity of ours in it; certificate, key, CA and CRL are renewed without a restart.
//!
//! Sessions are never resumed, on either side: a resumed session keeps the client's certificate without
//! looking at it again, so a ticket would outlive a revocation. Connections live long and carry many calls,
//! so there is next to nothing to win by resuming.

mod accept;
mod chain;
mod client;
mod clock;
mod facts;
mod files;
mod identity;
mod peers;
mod refusal;
mod server;

pub use accept::{Guest, Hello, Refused};
pub use chain::{ChainError, Roots, verify_chain, verify_signature};
pub use client::ClientTls;
pub use facts::{CertificateFacts, CrlFacts};
pub use files::{Expiry, TlsError, TlsFiles};
pub use identity::{PeerError, peer_identity};
pub use refusal::{REFUSALS, refusal};
pub use server::ServerTls;

/// HTTP/2, the only protocol that is spoken.
const ALPN: &[u8] = b"h2";
