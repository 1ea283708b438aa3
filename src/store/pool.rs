//! What the pool's controller must not lose: who decides, the state of the units, every decision and every
//! order; nobody writes any of it but the holder of the lease.

use crate::pool::keeper::{Holder, KeepError, Keeper, Kept, KeptDecision, KeptOrder, Step};

use super::{
    Error, Store,
    columns::{bound, digest, int, uint},
    statement::Speaks as _,
};

statements! {
    // One statement, so that of two that ask at once one gets no row. A lease that ended begins anew, even
    // for who held it: it does not know what happened meanwhile. Epochs follow the clock, so that one of a
    // database that was restored is still higher than all that were ever given.
    TAKE_CONTROLLER = "
        INSERT INTO pool_controller (name, owner, epoch, until_ms) VALUES ('pool', $1, $5, $3)
        ON CONFLICT (name) DO UPDATE SET
            owner = excluded.owner,
            epoch = CASE WHEN pool_controller.owner = excluded.owner AND pool_controller.epoch = $4
                AND pool_controller.until_ms > $2
                THEN pool_controller.epoch
                WHEN pool_controller.epoch >= excluded.epoch THEN pool_controller.epoch + 1
                ELSE excluded.epoch END,
            until_ms = excluded.until_ms
        WHERE (pool_controller.owner = excluded.owner AND pool_controller.epoch = $4)
            OR pool_controller.until_ms <= $2
        RETURNING epoch";
    GIVE_UP_CONTROLLER = "
        UPDATE pool_controller SET until_ms = $3 WHERE name = 'pool' AND owner = $1 AND epoch = $2";
    CONTROLLER = "SELECT owner, epoch, until_ms FROM pool_controller WHERE name = 'pool'";
    // Nobody takes the lease over before this transaction is done.
    HOLDS = {
        sqlite: "
        SELECT COUNT(*) AS holds FROM pool_controller
        WHERE name = 'pool' AND owner = $1 AND epoch = $2 AND until_ms > $3",
        postgres: "
        SELECT COUNT(*) AS holds FROM (SELECT epoch FROM pool_controller
            WHERE name = 'pool' AND owner = $1 AND epoch = $2 AND until_ms > $3 FOR UPDATE) AS held" };
    POOL_STATE = "SELECT epoch, written_ms, state FROM pool_state WHERE name = 'pool'";
    WRITE_POOL_STATE = "
        INSERT INTO pool_state (name, epoch, written_ms, state) VALUES ('pool', $1, $2, $3)
        ON CONFLICT (name) DO UPDATE SET
            epoch = excluded.epoch, written_ms = excluded.written_ms, state = excluded.state";
    LAST_DECISION = "SELECT COALESCE(MAX(number), 0) AS number FROM pool_decision";
    INSERT_DECISION = "
        INSERT INTO pool_decision (number, epoch, decided_ms, unit, kind, record)
        VALUES ($1, $2, $3, $4, $5, $6)";
    DECISIONS_BEFORE = "
        SELECT number, epoch, decided_ms, unit, kind, record FROM pool_decision
        WHERE number < $1 ORDER BY number DESC LIMIT $2";
    UNIT_DECISIONS_BEFORE = "
        SELECT number, epoch, decided_ms, unit, kind, record FROM pool_decision
        WHERE unit = $3 AND number < $1 ORDER BY number DESC LIMIT $2";
    DECISIONS_AFTER = "
        SELECT number, epoch, decided_ms, unit, kind, record FROM pool_decision
        WHERE number > $1 ORDER BY number LIMIT $2";
    GET_ORDER = "SELECT digest, operator, ordered_ms, answer FROM pool_order WHERE request_id = $1";
    INSERT_ORDER = "
        INSERT INTO pool_order (request_id, digest, operator, ordered_ms, answer)
        VALUES ($1, $2, $3, $4, $5)";
}

type RawDecision = (i64, i64, i64, String, String, String);

fn decision((number, epoch, decided_ms, unit, kind, record): RawDecision) -> Result<KeptDecision, Error> {
    let (number, epoch) = (uint(number, "number")?, uint(epoch, "epoch")?);
    Ok(KeptDecision { number, epoch, decided_ms, unit, kind, record })
}

impl From<Error> for KeepError {
    fn from(error: Error) -> Self {
        if error.may_have_applied() {
            return KeepError::Unknown(error.to_string());
        }
        match error {
            Error::Full => KeepError::Away(error.to_string()),
            error if error.is_transient() => KeepError::Away(error.to_string()),
            error => KeepError::Failed(error.to_string()),
        }
    }
}

#[async_trait::async_trait]
impl Keeper for Store {
    async fn take(
        &self,
        owner: &str,
        held: u64,
        now_ms: i64,
        lease_ms: i64,
    ) -> Result<Option<u64>, KeepError> {
        let done: Result<_, Error> = in_tx!(self, "take_controller", |tx| {
            let query = sqlx::query_scalar(TAKE_CONTROLLER).bind(owner).bind(now_ms);
            let query = query.bind(now_ms.saturating_add(lease_ms)).bind(int(held, "epoch")?);
            let query = query.bind(now_ms.div_euclid(1000));
            let epoch: Option<i64> = query.fetch_optional(tx).await?;
            epoch.map(|epoch| uint(epoch, "epoch")).transpose()
        });
        Ok(done?)
    }

    async fn give_up(&self, owner: &str, epoch: u64, now_ms: i64) -> Result<(), KeepError> {
        let done: Result<_, Error> = in_tx!(self, "give_up_controller", |tx| {
            let query = sqlx::query(GIVE_UP_CONTROLLER).bind(owner).bind(int(epoch, "epoch")?).bind(now_ms);
            query.execute(tx).await?;
            Ok(())
        });
        Ok(done?)
    }

    async fn holder(&self) -> Result<Option<Holder>, KeepError> {
        let done: Result<_, Error> = on_read!(self, "controller", |conn| {
            let row: Option<(String, i64, i64)> = sqlx::query_as(CONTROLLER).fetch_optional(conn).await?;
            let of = |(owner, epoch, until_ms)| Ok(Holder { owner, epoch: uint(epoch, "epoch")?, until_ms });
            row.map(of).transpose()
        });
        Ok(done?)
    }

    async fn kept(&self) -> Result<Option<Kept>, KeepError> {
        let done: Result<_, Error> = on_read!(self, "pool_state", |conn| {
            let row: Option<(i64, i64, String)> = sqlx::query_as(POOL_STATE).fetch_optional(conn).await?;
            let of =
                |(epoch, written_ms, state)| Ok(Kept { epoch: uint(epoch, "epoch")?, written_ms, state });
            row.map(of).transpose()
        });
        Ok(done?)
    }

    async fn keep(&self, step: &Step<'_>) -> Result<Option<u64>, KeepError> {
        let done: Result<_, Error> = in_tx!(self, "write_pool", |tx| {
            let epoch = int(step.epoch, "epoch")?;
            let query = sqlx::query_scalar(tx.sql(HOLDS)).bind(step.owner).bind(epoch).bind(step.now_ms);
            let holds: i64 = query.fetch_one(&mut *tx).await?;
            if holds == 0 {
                return Ok(None);
            }
            let query = sqlx::query(WRITE_POOL_STATE).bind(epoch).bind(step.now_ms).bind(step.state);
            query.execute(&mut *tx).await?;
            let mut number: i64 = sqlx::query_scalar(LAST_DECISION).fetch_one(&mut *tx).await?;
            for row in step.decisions {
                number += 1;
                let query = sqlx::query(INSERT_DECISION).bind(number).bind(epoch).bind(row.decided_ms);
                query.bind(&row.unit).bind(&row.kind).bind(&row.record).execute(&mut *tx).await?;
            }
            if let Some(order) = step.order {
                let query = sqlx::query(INSERT_ORDER).bind(&order.request_id);
                let query = query.bind(order.digest.as_bytes().as_slice()).bind(&order.operator);
                query.bind(order.ordered_ms).bind(&order.answer).execute(tx).await?;
            }
            uint(number, "number").map(Some)
        });
        Ok(done?)
    }

    async fn before(
        &self,
        before: u64,
        limit: u32,
        unit: Option<&str>,
    ) -> Result<Vec<KeptDecision>, KeepError> {
        let done: Result<_, Error> = on_read!(self, "decisions_before", |conn| {
            let sql = if unit.is_some() { UNIT_DECISIONS_BEFORE } else { DECISIONS_BEFORE };
            let query = sqlx::query_as(sql).bind(bound(before)).bind(i64::from(limit));
            let query = if let Some(unit) = unit { query.bind(unit) } else { query };
            let rows: Vec<RawDecision> = query.fetch_all(conn).await?;
            rows.into_iter().map(decision).collect()
        });
        Ok(done?)
    }

    async fn after(&self, after: u64, limit: u32) -> Result<Vec<KeptDecision>, KeepError> {
        let done: Result<_, Error> = on_read!(self, "decisions_after", |conn| {
            let query = sqlx::query_as(DECISIONS_AFTER).bind(bound(after)).bind(i64::from(limit));
            let rows: Vec<RawDecision> = query.fetch_all(conn).await?;
            rows.into_iter().map(decision).collect()
        });
        Ok(done?)
    }

    async fn order(&self, request_id: &str) -> Result<Option<KeptOrder>, KeepError> {
        let done: Result<_, Error> = on_read!(self, "pool_order", |conn| {
            let query = sqlx::query_as(GET_ORDER).bind(request_id);
            let row: Option<(Vec<u8>, String, i64, Vec<u8>)> = query.fetch_optional(conn).await?;
            let of = |(asked, operator, ordered_ms, answer): (Vec<u8>, String, i64, Vec<u8>)| {
                let digest = digest(&asked, "digest")?;
                Ok(KeptOrder { request_id: request_id.to_owned(), digest, operator, ordered_ms, answer })
            };
            row.map(of).transpose()
        });
        Ok(done?)
    }
}
