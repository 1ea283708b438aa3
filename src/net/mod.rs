//! How parties reach each other: over mutual TLS that holds revocation, with a limit on everything that a
//! peer could use up.

pub mod channel;
mod first_word;
pub mod headers;
pub(crate) mod lanes;
pub(crate) mod late_frames;
pub mod listen;
pub(crate) mod penalty;
pub mod pki;
pub mod serve;
pub mod tcp;
pub mod tls;

use crate::domain::identity::Identity;

pub use serve::ServerLimits;

/// Who is at the other end of the connection, by its certificate: an extension of every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity(pub Identity);
