//! Of a copy's transaction at the server each answer is waited for as long as the server works on it, which
//! may be hours, and not for one that does not come.

use std::{pin::pin, time::Duration};

use sqlx::{Postgres, Transaction};
use tokio::time::timeout;

use super::super::{Error, postgres::Server, transact::Engine as _};

statements! {
    PID = { postgres: "SELECT pg_backend_pid() AS pid" };
    // A session that waits for us, or has nothing to do, works on nothing that we wait for.
    WORKS = { postgres: "
        SELECT COUNT(*) > 0 AS works FROM pg_stat_activity
        WHERE pid = $1 AND state = 'active' AND wait_event_type IS DISTINCT FROM 'Client'" };
}

/// Longest wait for an answer that came just when it was asked what keeps it.
const LAST_MAX: Duration = Duration::from_secs(1);

/// The session in which a transaction is under way.
#[derive(Clone, Copy)]
pub(super) struct Session<'a> {
    server: &'a Server,
    pid: i32,
    silence_max: Duration,
}

impl<'a> Session<'a> {
    /// Of this transaction; after `silence_max` without an answer it is looked what keeps it.
    pub(super) async fn of(
        server: &'a Server,
        silence_max: Duration,
        tx: &mut Transaction<'static, Postgres>,
    ) -> Result<Self, Error> {
        let pid = timeout(silence_max, sqlx::query_scalar(PID).fetch_one(&mut **tx)).await;
        let pid = pid.map_err(|_| Error::silent(silence_max))??;
        Ok(Self { server, pid, silence_max })
    }

    /// Waits for an answer in it.
    ///
    /// # Errors
    /// What the answer says; [`Error::Away`] if none comes, and the server does not work on one.
    pub(super) async fn answer<T, E>(self, answer: impl Future<Output = Result<T, E>>) -> Result<T, Error>
    where
        Error: From<E>,
    {
        let mut answer = pin!(answer);
        loop {
            if let Ok(answered) = timeout(self.silence_max, &mut answer).await {
                return Ok(answered?);
            }
            if !self.works().await {
                let late = timeout(LAST_MAX, answer).await;
                return Ok(late.map_err(|_| Error::silent(self.silence_max))??);
            }
        }
    }

    /// Whether the server works in it, as it says in another session; not if it does not say so in time.
    async fn works(self) -> bool {
        let asked = async {
            let mut other = self.server.reader().await?;
            Ok::<bool, Error>(sqlx::query_scalar(WORKS).bind(self.pid).fetch_one(&mut *other).await?)
        };
        matches!(timeout(self.silence_max, asked).await, Ok(Ok(true)))
    }
}
