//! Sets a stage, plays one scene on it, and clears it: nothing runs any more when that returns, however the
//! scene ended.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::{cast::Cast, stage::Stage, trouble::Trouble};
use crate::{cli::dev::DevError, store::throwaway::Throwaway};

/// Where stages are set, one after the other, on what the one before left.
pub(crate) struct Theatre {
    dir: PathBuf,
    stop: CancellationToken,
    server: Option<Arc<Throwaway>>,
    /// The name of its database in the server.
    name: String,
    /// The URL of that, once it was made.
    database: OnceCell<String>,
}

impl Theatre {
    /// A theatre in this folder, until it is told to stop, with files for databases or a database in this
    /// server.
    pub(crate) fn new(dir: &Path, stop: CancellationToken, server: Option<Arc<Throwaway>>) -> Self {
        Self { dir: dir.to_owned(), stop, server, name: "story".to_owned(), database: OnceCell::new() }
    }

    /// Another one, in a folder inside this one's, with which it is stopped.
    pub(crate) fn beside(&self, name: &str) -> Self {
        Self {
            dir: self.dir.join(name),
            stop: self.stop.child_token(),
            server: self.server.clone(),
            name: name.to_owned(),
            database: OnceCell::new(),
        }
    }

    /// The URL of its database, if that is no file.
    async fn database(&self) -> Result<Option<&str>, Trouble> {
        let Some(server) = &self.server else { return Ok(None) };
        let made = self.database.get_or_try_init(|| async {
            server.create(&self.name).await.map_err(DevError::Database)?;
            Ok::<_, DevError>(server.url(&self.name))
        });
        Ok(Some(made.await?))
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
        let database = self.database().await?;
        let set = self.stop.run_until_cancelled(Box::pin(Stage::set(&self.dir, cast, database))).await;
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
