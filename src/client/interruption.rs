//! A run that is interrupted ends as what it is: one that goes on later, or one that is done.

use tokio_util::sync::CancellationToken;

/// What a run and whoever may interrupt it tell each other.
#[derive(Debug, Clone, Default)]
pub struct Interruption {
    receipted: CancellationToken,
    asked: CancellationToken,
}

impl Interruption {
    /// Asks a run to end. If its receipt is written, only what is shown of it is cut short, and it ends at
    /// once as what was done; otherwise this is false, and it can be dropped.
    #[must_use]
    pub fn is_too_late(&self) -> bool {
        self.asked.cancel();
        self.receipted.is_cancelled()
    }

    pub(crate) fn receipted(&self) {
        self.receipted.cancel();
    }

    pub(crate) async fn asked(&self) {
        self.asked.cancelled().await;
    }
}
