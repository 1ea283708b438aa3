//! While changes of items come, what is committed to a file is copied back into it beside them, so that none
//! of them waits for that.
//!
//! SQLite keeps commits in a log and copies them back by itself, within a commit, once the log is long
//! (`store.checkpoint_pages`, 80 MB); it still does, and then finds little left. Copying beside costs an
//! import more, as pages that change again are written again, and is not done while nobody waits.

use std::time::Duration;

use sqlx::{Connection as _, SqliteConnection, SqlitePool};
use tokio::time::sleep;

use super::{Error, Pool, Store};

statements! {
    // Waits for nobody, and nobody waits for it.
    COPY_BACK = { sqlite: "PRAGMA wal_checkpoint(PASSIVE)" };
}

/// How often that is done.
const EVERY: Duration = Duration::from_millis(100);
/// Pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);

impl Store {
    /// Copies back as long as it is polled. A server does so by itself.
    pub async fn copy_back(&self) {
        let Pool::Sqlite { write, .. } = &self.pool else { return std::future::pending().await };
        loop {
            self.turns.pressed().await;
            if let Err(error) = self.copied_back(write).await {
                tracing::warn!(%error, "what is committed cannot be copied back beside changes: {error}");
                sleep(PAUSE).await;
            }
        }
    }

    async fn copied_back(&self, write: &SqlitePool) -> Result<(), Error> {
        let mut connection = SqliteConnection::connect_with(&write.connect_options()).await?;
        while self.is_pressed() {
            sqlx::query(COPY_BACK).execute(&mut connection).await?;
            sleep(EVERY).await;
        }
        Ok(connection.close().await?)
    }
}
