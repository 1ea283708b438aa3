//! What a process that knows the pool leaves on disk: the last signed view, so that after a start it never
//! has none, and at the issuer the ledger. Neither ever holds up what it is of.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    ledger::{self, Recorder},
    notes::{NOTE_BYTES_MAX, View},
};
use crate::{
    domain::note::VerifierKey,
    runtime::{OnDeath, Tasks, blocking},
};

/// The view's name in the ledger's folder.
const VIEW: &str = "view";

/// What an issuer has on disk of the pool. By default nothing.
#[derive(Default)]
pub struct Disk {
    /// The ledger's folder.
    pub folder: Option<PathBuf>,
    /// Writes the ledger.
    pub recorder: Recorder,
    /// Writes the view.
    pub view_file: Option<ViewFile>,
    /// The view of the last run, with its note.
    pub last_view: Option<(View, Vec<u8>)>,
}

impl Disk {
    /// Reads the last view in this folder, if this key has signed it, and writes there from now on: a ledger
    /// of at most so many bytes, and each view.
    #[must_use]
    pub fn open(folder: PathBuf, ledger_bytes_max: u64, key: &VerifierKey, tasks: &Tasks) -> Self {
        if let Err(error) = ledger::make_folder(&folder) {
            tracing::error!(%error, "the folder of the pool's ledger cannot be made: {error}");
        }
        let last_view = load_view(&folder.join(VIEW), Some(key));
        let view_file = Some(ViewFile::keep(folder.join(VIEW), tasks));
        let recorder = Recorder::into_folder(folder.clone(), ledger_bytes_max, tasks);
        Self { folder: Some(folder), recorder, view_file, last_view }
    }
}

/// Reads the view that a file holds, with its note, if there is one that is believed; without a key any is.
#[must_use]
pub fn load_view(path: &Path, key: Option<&VerifierKey>) -> Option<(View, Vec<u8>)> {
    let mut note = Vec::new();
    let read = File::open(path).and_then(|file| file.take(NOTE_BYTES_MAX as u64 + 1).read_to_end(&mut note));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(%error, "the last view of the pool cannot be read: {error}; going on without it");
            return None;
        }
        Ok(_) => {}
    }
    let view = key.map_or_else(|| View::unsigned(&note), |key| View::open(&note, key));
    match view {
        Ok(view) => Some((view, note)),
        Err(error) => {
            tracing::warn!(%error, "the last view of the pool is not believed: {error}; going on without it");
            None
        }
    }
}

/// Keeps the last view in a file, which is there whole or as it was.
pub struct ViewFile(watch::Sender<Vec<u8>>);

impl ViewFile {
    /// Writes each view to this file, as a task of `tasks`.
    #[must_use]
    pub fn keep(path: PathBuf, tasks: &Tasks) -> Self {
        let (notes, told) = watch::channel(Vec::new());
        tasks.spawn("pool-view", OnDeath::Ignore, write_each(path, told, tasks.soft()));
        Self(notes)
    }

    /// Has a view written. Of several that come at once the last is.
    pub fn put(&self, note: &[u8]) {
        self.0.send_replace(note.to_vec());
    }
}

async fn write_each(path: PathBuf, mut notes: watch::Receiver<Vec<u8>>, stop: CancellationToken) {
    let mut failing = false;
    while let Some(Ok(())) = stop.run_until_cancelled(notes.changed()).await {
        let (note, to) = (notes.borrow_and_update().clone(), path.clone());
        match blocking(move || write_whole(&to, &note)).await {
            Ok(()) => failing = false,
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!(%error, "the last view of the pool cannot be written: {error}. After a \
                        start this process has none until an issuer decides");
                }
            }
        }
    }
}

/// Writes a file beside it, makes it durable, and puts it in place in one step.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    let beside = PathBuf::from(beside);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

    use super::*;
    use crate::domain::note;

    fn signed(text: &str) -> (Vec<u8>, VerifierKey) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a seed of 32 bytes");
        let public: [u8; 32] = pair.public_key().as_ref().try_into().expect("32 bytes");
        let signature = pair.sign(text.as_bytes()).as_ref().try_into().expect("64 bytes");
        let key = VerifierKey::new("issuer", public).expect("a name");
        (note::assemble(text, "issuer", &public, &signature), key)
    }

    #[tokio::test]
    async fn the_last_view_is_there_after_a_start_and_only_if_it_is_believed() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("issuer.db-pool-ledger");
        let view = View { version: 7, epoch: 3, made_ms: 1, members: Vec::new() };
        let (note, key) = signed(&view.text());
        let tasks = Tasks::new();
        let disk = Disk::open(folder.clone(), 1 << 20, &key, &tasks);
        assert!(disk.last_view.is_none(), "nothing is there yet");
        disk.view_file.as_ref().expect("it is kept").put(&note);
        let path = folder.join(VIEW);
        while load_view(&path, Some(&key)).is_none() {
            tokio::task::yield_now().await;
        }
        tasks.soft().cancel();
        let again = Disk::open(folder, 1 << 20, &key, &Tasks::new());
        assert_eq!(again.last_view, Some((view, note)));
        let forged = fs::read_to_string(&path).expect("it is there").replace("version 7", "version 8");
        fs::write(&path, forged).expect("it is written");
        assert_eq!(load_view(&path, Some(&key)), None, "it was changed");
        assert!(load_view(&path, None).is_some(), "without a key whatever is there is believed");
    }
}
