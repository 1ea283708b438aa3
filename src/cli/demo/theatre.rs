//! Sets a stage, plays one scene on it, and clears it: nothing runs any more when that returns, however the
//! scene ended.

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::{cast::Cast, stage::Stage, trouble::Trouble};

/// Where stages are set, one after the other, on what the one before left.
pub(crate) struct Theatre {
    dir: PathBuf,
    stop: CancellationToken,
}

impl Theatre {
    /// A theatre in this folder, until it is told to stop.
    pub(crate) fn new(dir: &Path, stop: CancellationToken) -> Self {
        Self { dir: dir.to_owned(), stop }
    }

    /// Another one, in a folder inside this one's, with which it is stopped.
    pub(crate) fn beside(&self, name: &str) -> Self {
        Self { dir: self.dir.join(name), stop: self.stop.child_token() }
    }

    /// Ends what is played here, as if it was interrupted.
    pub(crate) fn close(&self) {
        self.stop.cancel();
    }

    /// Plays a scene.
    ///
    /// # Errors
    /// [`Trouble`]; [`Trouble::Interrupted`] if somebody wants it to end.
    pub(crate) async fn play<T>(
        &self,
        cast: &Cast,
        scene: impl AsyncFnOnce(&Stage) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let set = self.stop.run_until_cancelled(Box::pin(Stage::set(&self.dir, cast))).await;
        let stage = set.ok_or(Trouble::Interrupted)??;
        let scene = self.stop.run_until_cancelled(Box::pin(scene(&stage))).await;
        let played = scene.unwrap_or(Err(Trouble::Interrupted));
        if played.is_err() {
            stage.system.kill_all();
        }
        stage.system.stop().await;
        played
    }
}
