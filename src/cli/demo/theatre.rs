//! Sets a stage, plays one scene on it, and clears it: nothing runs any more when that returns, however the
//! scene ended.

use std::path::Path;

use super::{cast::Cast, stage::Stage, trouble::Trouble};
use crate::runtime::Tasks;

/// Where stages are set, one after the other, on what the one before left.
pub(crate) struct Theatre<'a> {
    dir: &'a Path,
    tasks: &'a Tasks,
}

impl<'a> Theatre<'a> {
    /// A theatre in this folder, until these tasks are told to stop.
    pub(crate) fn new(dir: &'a Path, tasks: &'a Tasks) -> Self {
        Self { dir, tasks }
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
        let soft = self.tasks.soft();
        let set = soft.run_until_cancelled(Box::pin(Stage::set(self.dir, cast))).await;
        let stage = set.ok_or(Trouble::Interrupted)??;
        let played =
            soft.run_until_cancelled(Box::pin(scene(&stage))).await.unwrap_or(Err(Trouble::Interrupted));
        if played.is_err() {
            stage.system.kill_all();
        }
        stage.system.stop().await;
        played
    }
}
