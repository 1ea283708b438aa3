//! What a role that serves says of itself, whichever it is.

use std::{net::SocketAddr, sync::Arc};

use tokio_util::sync::CancellationToken;

/// A role that was started and takes calls.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Every reason why it should get no calls now; empty if it should.
    pub not_ready: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// Cancelled when, after the order to stop, the last call has ended and is counted, so that a drain can
    /// be watched until then.
    pub ended: CancellationToken,
}
