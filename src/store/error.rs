//! Every failure of the store says who must act, whether trying again can help, and whether it may have
//! applied.

use std::{path::PathBuf, time::Duration};

use sqlx::postgres::PgDatabaseError;

use super::postgres::{Refusal, codes};

/// Where an error came from. No type of the database driver leaves this room.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why the store failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL names no database that this build can open. It is not repeated: it may hold a password.
    #[error(
        "the database URL (key store.url) must be sqlite:FILE, for example sqlite:issuer.db, or \
         postgres://USER@HOST/DATABASE: {0}"
    )]
    Url(String),
    /// The server answers, and this database of it is not used as it is.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// Another process writes to this file.
    #[error(
        "{} is in use by another process, which holds {}: stop that process, or give this one a database of \
         its own",
        path.display(), lock.display()
    )]
    InUse {
        /// The database.
        path: PathBuf,
        /// The lock that is held.
        lock: PathBuf,
    },
    /// There is no such database, and only the issuer makes one.
    #[error(
        "there is no database {}, and none was made: name the one that the issuer has, with its folder (its \
         key store.url)",
        path.display()
    )]
    Missing {
        /// The name that was given.
        path: PathBuf,
    },
    /// The file cannot be opened.
    #[error("cannot open {}: {}: {source}", path.display(), to_open(source))]
    Open {
        /// The database.
        path: PathBuf,
        /// What the system said.
        source: Source,
    },
    /// The file belongs to another program.
    #[error("{} is no database of todoke (application id {found:#010x}): name another file", path.display())]
    Foreign {
        /// The database.
        path: PathBuf,
        /// The application id that stands in it.
        found: i64,
    },
    /// The database was written by a newer program.
    #[error(
        "the database has schema {found}, and this program knows up to {known}: run the newer program, or \
         restore the backup that was made before the upgrade"
    )]
    NewerSchema {
        /// The schema of the file.
        found: i64,
        /// The newest schema that this program knows.
        known: i64,
    },
    /// The database was written by an older program, and is not brought up to date by the way.
    #[error(
        "the database has schema {found}, and this program needs {known}: run `todoke migrate --database \
         URL` of this version, or start its issuer"
    )]
    OlderSchema {
        /// The schema of the file.
        found: i64,
        /// The schema of this program.
        known: i64,
    },
    /// The schema could not be brought up to date; it is as the last migration that went through has left it.
    #[error(
        "the schema cannot be brought up to date, and is as the last step that went through left it: {0}"
    )]
    Migrate(#[source] Source),
    /// The file failed its check.
    #[error("{} is damaged ({finding}): restore a backup, and let the senders resume", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What the check found first.
        finding: String,
    },
    /// The file is an older one than was last in its place, and its issuer was not started since.
    #[error(
        "{} has fewer heartbeats than were seen beside it, as a restored backup has: start its issuer once, \
         which marks it as restored, and stop it again",
        path.display()
    )]
    Forgetful {
        /// The database.
        path: PathBuf,
    },
    /// Somebody wrote to the file while it was read as a whole.
    #[error(
        "somebody wrote to {} meanwhile, and nothing was kept: see to it that nobody does, and begin again",
        path.display()
    )]
    Changed {
        /// The database.
        path: PathBuf,
    },
    /// A program beside this one held the database for too long.
    #[error(
        "another program kept the database locked: try again, and let nothing but the issuer write to it"
    )]
    Busy,
    /// Others were faster each time, and what was decided did not hold any more.
    #[error("others changed the same at the same moment, again and again: try again")]
    Overtaken,
    /// No connection became free in time: more is asked of the database than it can do.
    #[error("no connection to the database became free in time: try again later")]
    NoConnection,
    /// No server can be written to, or the connection was lost before COMMIT was sent; nothing was changed.
    #[error("the database is away ({0}): bring it back, and it goes on by itself")]
    Away(String),
    /// The database ended a statement; nothing was changed.
    #[error(
        "the database ended a statement that took longer than store.statement_max, or that its \
         administrator ended: try again later"
    )]
    Cancelled,
    /// The disk is full; nothing was changed.
    #[error("the disk of the database is full: free some space, and it goes on by itself")]
    Full,
    /// The store was closed.
    #[error("the store is closed: this process is about to stop")]
    Closed,
    /// COMMIT failed in a way that leaves open whether it took effect.
    #[error("it is not known whether `{name}` was committed: read before assuming either: {source}")]
    OutcomeUnknown {
        /// Which transaction.
        name: &'static str,
        /// What the database said.
        source: Source,
    },
    /// What was given or stored cannot be: a fault of this program, or of whoever changed the file by hand.
    #[error("{0} is not what can stand there: check the file with `PRAGMA integrity_check`, and report it")]
    Corrupt(&'static str),
    /// Anything else that the database refused; nothing was changed.
    #[error("the database refused: {0}")]
    Database(#[source] Source),
}

fn to_open(source: &Source) -> &'static str {
    match source.to_string().contains("not a database") {
        true => "it is no SQLite database, so name another file",
        false => "check that its folder exists and may be written",
    }
}

impl Error {
    /// Of an answer that did not come within `patience`.
    pub(super) fn silent(patience: Duration) -> Self {
        Self::Away(format!("no answer came in {} s", patience.as_secs()))
    }

    /// What is in use by another process, if that is the failure.
    #[must_use]
    pub fn in_use(&self) -> Option<String> {
        match self {
            Self::InUse { path, .. } => Some(path.display().to_string()),
            Self::Refused(Refusal::InUse { database, .. }) => Some(format!("the database {database}")),
            _ => None,
        }
    }

    /// Whether trying again later can help without anybody changing the request.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Busy
            | Self::Overtaken
            | Self::NoConnection
            | Self::Away(_)
            | Self::Cancelled
            | Self::Full
            | Self::Closed
            | Self::OutcomeUnknown { .. } => true,
            Self::Url(_)
            | Self::Refused(_)
            | Self::InUse { .. }
            | Self::Missing { .. }
            | Self::Open { .. }
            | Self::Foreign { .. }
            | Self::NewerSchema { .. }
            | Self::OlderSchema { .. }
            | Self::Migrate(_)
            | Self::Damaged { .. }
            | Self::Forgetful { .. }
            | Self::Changed { .. }
            | Self::Corrupt(_)
            | Self::Database(_) => false,
        }
    }

    /// The same failure for another who waited together with this one, where nobody is to wait again; `None`
    /// if each learns its own fate by trying alone.
    pub(super) fn shared(&self) -> Option<Self> {
        match self {
            Self::NoConnection => Some(Self::NoConnection),
            Self::Busy => Some(Self::Busy),
            Self::Away(words) => Some(Self::Away(words.clone())),
            _ => None,
        }
    }

    /// Whether the change may have been made all the same: ask again under the same key, assume nothing.
    #[must_use]
    pub fn may_have_applied(&self) -> bool {
        match self {
            Self::OutcomeUnknown { .. } => true,
            Self::Url(_)
            | Self::Refused(_)
            | Self::InUse { .. }
            | Self::Missing { .. }
            | Self::Open { .. }
            | Self::Foreign { .. }
            | Self::NewerSchema { .. }
            | Self::OlderSchema { .. }
            | Self::Migrate(_)
            | Self::Damaged { .. }
            | Self::Forgetful { .. }
            | Self::Changed { .. }
            | Self::Busy
            | Self::Overtaken
            | Self::NoConnection
            | Self::Away(_)
            | Self::Cancelled
            | Self::Full
            | Self::Closed
            | Self::Corrupt(_)
            | Self::Database(_) => false,
        }
    }

    /// How the metrics call it.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Busy | Self::Overtaken => "busy",
            Self::NoConnection => "no-connection",
            Self::Away(_) => "away",
            Self::Cancelled => "cancelled",
            Self::Full => "full",
            Self::OutcomeUnknown { .. } => "unknown",
            Self::Closed
            | Self::Url(_)
            | Self::Refused(_)
            | Self::InUse { .. }
            | Self::Missing { .. }
            | Self::Open { .. }
            | Self::Foreign { .. }
            | Self::NewerSchema { .. }
            | Self::OlderSchema { .. }
            | Self::Migrate(_)
            | Self::Damaged { .. }
            | Self::Forgetful { .. }
            | Self::Changed { .. }
            | Self::Corrupt(_)
            | Self::Database(_) => "error",
        }
    }

    /// Says what a failed COMMIT means: if the database was busy or full, it tells that nothing was written.
    pub(super) fn of_commit(name: &'static str, error: sqlx::Error) -> Self {
        if codes::rolled_back(&error) {
            return Self::from(error);
        }
        match Self::from(error) {
            clear @ (Self::Busy | Self::Full) => clear,
            unclear => Self::OutcomeUnknown { name, source: Box::new(unclear) },
        }
    }
}

/// SQLite's primary result codes; the extended ones carry them in the low byte.
const SQLITE_BUSY: i32 = 5;
const SQLITE_LOCKED: i32 = 6;
const SQLITE_FULL: i32 = 13;

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::PoolTimedOut => return Self::NoConnection,
            sqlx::Error::PoolClosed => return Self::Closed,
            // Only what is asked over a network is lost on the way.
            sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::Tls(_) => {
                return Self::Away(error.to_string());
            }
            sqlx::Error::Database(refused) => {
                if let Some(refused) = refused.try_downcast_ref::<PgDatabaseError>() {
                    return codes::error(refused);
                }
                let code = refused.code().and_then(|code| code.parse::<i32>().ok());
                match code.map(|code| code & 0xff) {
                    Some(SQLITE_BUSY | SQLITE_LOCKED) => return Self::Busy,
                    Some(SQLITE_FULL) => return Self::Full,
                    _ => {}
                }
            }
            _ => {}
        }
        Self::Database(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A failure of SQLite with this code.
    #[derive(Debug, thiserror::Error)]
    #[error("code {0}")]
    struct Refused(i32);

    impl sqlx::error::DatabaseError for Refused {
        fn message(&self) -> &str {
            "a test"
        }

        fn code(&self) -> Option<std::borrow::Cow<'_, str>> {
            Some(self.0.to_string().into())
        }

        fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
            self
        }

        fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
            self
        }

        fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
            self
        }

        fn kind(&self) -> sqlx::error::ErrorKind {
            sqlx::error::ErrorKind::Other
        }
    }

    #[test]
    fn what_a_commit_left_open_is_told_apart_from_what_it_refused() {
        let of = |code| Error::of_commit("accept", sqlx::Error::Database(Box::new(Refused(code))));
        // Busy, busy with a snapshot, locked with a shared cache, full.
        for code in [5, 517, 262, 13] {
            let clear = of(code);
            assert!(!clear.may_have_applied() && clear.is_transient(), "{code}: {clear}");
        }
        // A write, a sync that failed: what is on the disk nobody knows.
        for unclear in [of(778), of(1034), Error::of_commit("accept", sqlx::Error::WorkerCrashed)] {
            assert!(unclear.may_have_applied() && unclear.is_transient(), "{unclear}");
            assert!(unclear.to_string().contains("accept"), "{unclear}");
        }
        assert!(Error::from(sqlx::Error::PoolTimedOut).is_transient());
        assert!(!Error::from(sqlx::Error::RowNotFound).is_transient());
    }
}
