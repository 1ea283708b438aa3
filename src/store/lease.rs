//! At most one process holds a lease, and a later one has a higher epoch.

use super::{
    Error, Pool, Store,
    columns::{int, uint},
};

/// By how much the clocks of two processes may differ, in ms.
const APART_MAX_MS: i64 = 60_000;

statements! {
    // One statement, so that of two that ask at once one gets no row. A lease that ended begins anew, even
    // for who held it. One that ends far later than any that is given now is of before a clock was set back.
    TAKE_LEASE = "
        INSERT INTO lease (name, owner, epoch, until_ms) VALUES ($1, $2, 1, $4)
        ON CONFLICT (name) DO UPDATE SET
            owner = excluded.owner,
            epoch = CASE WHEN lease.owner = excluded.owner AND lease.epoch = $5 AND lease.until_ms > $3
                THEN lease.epoch ELSE lease.epoch + 1 END,
            until_ms = excluded.until_ms
        WHERE (lease.owner = excluded.owner AND lease.epoch = $5)
            OR lease.until_ms <= $6 OR lease.until_ms > $7
        RETURNING epoch";
    GIVE_UP_LEASE = "UPDATE lease SET until_ms = $4 WHERE name = $1 AND owner = $2 AND epoch = $3";
}

impl Store {
    /// Takes or keeps the lease `name` until `now_ms + lease_ms`, and returns the epoch; `None` if somebody
    /// else has it. `held` is the epoch that this process has held so far; 0 if none.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction.
    pub async fn take_lease(
        &self,
        name: &str,
        owner: &str,
        held: u64,
        now_ms: i64,
        lease_ms: i64,
    ) -> Result<Option<u64>, Error> {
        let until_ms = now_ms.saturating_add(lease_ms);
        // Whoever held it before in a file is gone: it has one process at a time.
        let over_ms = if matches!(self.pool, Pool::Sqlite { .. }) { i64::MAX } else { now_ms };
        in_tx!(self, "take_lease", |tx| {
            let query = sqlx::query_scalar(TAKE_LEASE).bind(name).bind(owner).bind(now_ms).bind(until_ms);
            let query =
                query.bind(int(held, "epoch")?).bind(over_ms).bind(until_ms.saturating_add(APART_MAX_MS));
            let epoch: Option<i64> = query.fetch_optional(tx).await?;
            epoch.map(|epoch| uint(epoch, "epoch")).transpose()
        })
    }

    /// Gives a lease back, so that another may take it at once; nothing happens if it is lost already.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction.
    pub async fn give_up_lease(&self, name: &str, owner: &str, epoch: u64, now_ms: i64) -> Result<(), Error> {
        in_tx!(self, "give_up_lease", |tx| {
            let query = sqlx::query(GIVE_UP_LEASE).bind(name).bind(owner).bind(int(epoch, "epoch")?);
            query.bind(now_ms).execute(tx).await?;
            Ok(())
        })
    }
}
