//! A heartbeat is a row, and a number beside the file: a file that has had fewer of them than were seen
//! beside it is an older one, put in its place.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Error, Store, columns::uint};

statements! {
    BEAT = "
        INSERT INTO heartbeat (name, beat_ms, beats) VALUES ($1, $2, 1)
        ON CONFLICT (name) DO UPDATE SET beat_ms = excluded.beat_ms, beats = heartbeat.beats + 1";
    GET_BEAT = "SELECT beat_ms FROM heartbeat WHERE name = $1";
    COUNT_BEATS = "SELECT CAST(COALESCE(SUM(beats), 0) AS BIGINT) AS beats FROM heartbeat";
}

/// The file beside the database that tells how many heartbeats it has had.
#[derive(Debug)]
pub(super) struct Witness(PathBuf);

impl Witness {
    pub(super) fn of(database: &Path) -> Self {
        let mut name = database.as_os_str().to_owned();
        name.push("-witness");
        Self(PathBuf::from(name))
    }

    /// How many heartbeats were seen; 0 if nothing tells.
    pub(super) fn seen(&self) -> u64 {
        let text = match fs::read_to_string(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return 0,
            Err(error) => {
                tracing::warn!(%error, "{} cannot be read: whether the database is an older one is not seen",
                    self.0.display());
                return 0;
            }
        };
        text.trim().parse().unwrap_or_else(|_| {
            tracing::warn!("{} is torn: whether the database is an older one is not seen", self.0.display());
            0
        })
    }

    /// Not made durable: after a power cut it may tell of fewer, never of more than the database has.
    fn write(&self, beats: u64) -> io::Result<()> {
        let mut unfinished = self.0.as_os_str().to_owned();
        unfinished.push(".unfinished");
        fs::write(&unfinished, format!("{beats}\n"))?;
        fs::rename(&unfinished, &self.0)
    }
}

impl Store {
    /// Notes that the task `name` lives.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction.
    pub async fn write_heartbeat(&self, name: &str, now_ms: i64) -> Result<(), Error> {
        let beats = in_tx!(self, "write_heartbeat", |tx| {
            sqlx::query(BEAT).bind(name).bind(now_ms).execute(&mut *tx).await?;
            let beats: i64 = sqlx::query_scalar(COUNT_BEATS).fetch_one(tx).await?;
            uint(beats, "beats")
        })?;
        self.witnessed(beats).await;
        Ok(())
    }

    /// Writes down beside the file how many heartbeats it has had.
    pub(super) async fn witnessed(&self, beats: u64) {
        let Some(beside) = &self.witness else { return };
        let witness = Arc::clone(beside);
        let written = tokio::task::spawn_blocking(move || witness.write(beats)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "{} cannot be written: a restored backup may go unnoticed",
                beside.0.display());
        }
    }

    /// Returns when the task `name` last said that it lives.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn heartbeat(&self, name: &str) -> Result<Option<i64>, Error> {
        on_read!(self, "heartbeat", |conn| {
            Ok(sqlx::query_scalar(GET_BEAT).bind(name).fetch_optional(conn).await?)
        })
    }

    /// Returns how many heartbeats the database has had, of all tasks.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn heartbeats(&self) -> Result<u64, Error> {
        on_read!(self, "heartbeats", |conn| {
            let beats: i64 = sqlx::query_scalar(COUNT_BEATS).fetch_one(conn).await?;
            uint(beats, "beats")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_database_has_a_witness_of_its_own_and_no_other_file_is_touched() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let others = ["a.unfinished", "a.db", "a.sqlite"].map(|name| dir.path().join(name));
        others.iter().for_each(|path| fs::write(path, "mine").expect("it is written"));
        let [one, two] = [1, 2].map(|at: usize| Witness::of(&others[at]));
        one.write(7).expect("it is written");
        two.write(9).expect("it is written");
        assert_eq!((one.seen(), two.seen()), (7, 9));
        assert!(others.iter().all(|path| fs::read(path).expect("it is there") == b"mine"));
        assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 5, "nothing is left over");
    }
}
