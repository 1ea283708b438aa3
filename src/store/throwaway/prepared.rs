//! A server with our tables in a fraction of a second: on a copy of a data folder that the first who asks
//! makes and all others use.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use super::{Care, Extra, Throwaway, Trouble, io};
use crate::{
    domain::digest::Digest,
    runtime::blocking,
    store::{Store, StoreOptions, postgres::MIGRATOR},
};

/// The database of it that has our tables.
pub const DATABASE: &str = "todoke";

impl Throwaway {
    /// Starts a server whose database [`DATABASE`] has our tables and nothing in them, with these settings
    /// (lines of postgresql.conf). What is copied is kept in `folder`, for each set of migrations once; any
    /// number of processes may ask at the same time. For tests: nothing is forced to the disk.
    ///
    /// # Errors
    /// Any [`Trouble`].
    pub async fn prepared(folder: &Path, settings: &'static str) -> Result<Self, Trouble> {
        Self::prepared_with(folder, settings, Vec::new()).await
    }

    /// The same, with these files in its data folder, by their names.
    ///
    /// # Errors
    /// Any [`Trouble`].
    pub async fn prepared_with(
        folder: &Path,
        settings: impl Into<String>,
        files: Vec<(&'static str, String)>,
    ) -> Result<Self, Trouble> {
        let (data, settings) = (data(folder).await?, settings.into());
        blocking(move || {
            let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
            Self::start_copy(&data, Care::Hasty, Extra { settings: &settings, files: &files })
        })
        .await
    }
}

async fn data(folder: &Path) -> Result<PathBuf, Trouble> {
    let checksums: Vec<u8> = MIGRATOR.iter().flat_map(|one| one.checksum.to_vec()).collect();
    let name = format!("postgres-{}", &Digest::of(&checksums).to_string()[..16]);
    let (data, lock) = (folder.join(&name), folder.join(format!("{name}.lock")));
    fs::create_dir_all(folder).map_err(io("the folder of what is copied cannot be made"))?;
    let lock = File::create(lock).map_err(io("the lock of what is copied cannot be made"))?;
    let lock = blocking(move || lock.lock().map(|()| lock)).await;
    let lock = lock.map_err(io("the lock of what is copied cannot be had"))?;
    if !data.exists() {
        let unfinished = folder.join(format!("{name}.unfinished"));
        let _ = fs::remove_dir_all(&unfinished); // it is there if somebody was killed
        let server = blocking(|| Throwaway::start(Care::Hasty)).await?;
        server.create(DATABASE).await?;
        let options = StoreOptions { url: server.url(DATABASE), ..StoreOptions::default() };
        let store = Store::open(&options).await.map_err(|error| Trouble::Database(error.to_string()))?;
        store.close().await;
        let to = unfinished.clone();
        blocking(move || server.into_data(&to)).await?;
        fs::rename(unfinished, &data).map_err(io("what is copied cannot be put in its place"))?;
    }
    drop(lock);
    Ok(data)
}
