//! What became of a batch's records, page by page, in the order of their places.

use sqlx::types::Uuid;

use crate::domain::{
    batch_id::BatchId,
    disposition::{Disposition, DispositionKind},
    municipality::MunicipalityCode,
};

use super::{
    Error, OrderRow, Store,
    columns::{batch_id, bound, digest, uint},
};

statements! {
    ORDERS = "
        SELECT record_index, order_id, leaf, sealed FROM card_order
        WHERE municipality_code = $1 AND batch_id = $2 AND attempt = $3 AND record_index >= $4
        ORDER BY record_index LIMIT $5";
    ORDER_IDS = "
        SELECT record_index, order_id FROM card_order
        WHERE municipality_code = $1 AND batch_id = $2 AND attempt = $3 AND record_index >= $4
        ORDER BY record_index LIMIT $5";
    OTHERS = "
        SELECT record_index, order_id, kind, code, field, other_batch_id, other_index FROM disposition
        WHERE municipality_code = $1 AND batch_id = $2 AND attempt = $3 AND record_index >= $4
        ORDER BY record_index LIMIT $5";
}

#[derive(sqlx::FromRow)]
pub(super) struct RawDisposition {
    record_index: i64,
    order_id: String,
    kind: String,
    code: Option<String>,
    field: Option<String>,
    other_batch_id: Option<Uuid>,
    other_index: Option<i64>,
}

impl TryFrom<RawDisposition> for Disposition {
    type Error = Error;

    fn try_from(raw: RawDisposition) -> Result<Self, Error> {
        let other = match raw.other_batch_id.zip(raw.other_index) {
            Some((id, index)) => Some((batch_id(id)?, uint(index, "other_index")?)),
            None => None,
        };
        Ok(Self {
            index: uint(raw.record_index, "record_index")?,
            order_id: raw.order_id,
            kind: raw.kind.parse().map_err(|_| Error::Corrupt("kind"))?,
            code: raw.code,
            field: raw.field,
            duplicate_of: other,
        })
    }
}

impl Store {
    /// Returns the orders of one attempt from the place `from` on, `count` at most.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn orders_page(
        &self,
        municipality: MunicipalityCode,
        id: BatchId,
        attempt: u32,
        from: u64,
        count: u32,
    ) -> Result<Vec<OrderRow>, Error> {
        on_read!(self, "orders_page", |conn| {
            let query = sqlx::query_as(ORDERS).bind(municipality.to_string()).bind(id.uuid());
            let query = query.bind(i64::from(attempt)).bind(bound(from)).bind(i64::from(count));
            let rows: Vec<(i64, String, Vec<u8>, Vec<u8>)> = query.fetch_all(conn).await?;
            let read = |(index, order_id, leaf, sealed): (i64, String, Vec<u8>, Vec<u8>)| {
                let (index, leaf) = (uint(index, "record_index")?, digest(&leaf, "leaf")?);
                Ok(OrderRow { index, order_id, leaf, sealed })
            };
            rows.into_iter().map(read).collect()
        })
    }

    /// Returns what became of each record of one attempt from the place `from` on, `count` at most; with
    /// `only_not_accepted`, of those that are no orders.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn dispositions_page(
        &self,
        municipality: MunicipalityCode,
        id: BatchId,
        attempt: u32,
        from: u64,
        count: u32,
        only_not_accepted: bool,
    ) -> Result<Vec<Disposition>, Error> {
        on_snapshot!(self, "dispositions_page", |conn| {
            let code = municipality.to_string();
            let query = sqlx::query_as(OTHERS).bind(&code).bind(id.uuid());
            let query = query.bind(i64::from(attempt)).bind(bound(from)).bind(i64::from(count));
            let rows: Vec<RawDisposition> = query.fetch_all(&mut *conn).await?;
            let mut page = rows.into_iter().map(Disposition::try_from).collect::<Result<Vec<_>, _>>()?;
            if only_not_accepted {
                return Ok(page);
            }
            let query = sqlx::query_as(ORDER_IDS).bind(&code).bind(id.uuid());
            let query = query.bind(i64::from(attempt)).bind(bound(from)).bind(i64::from(count));
            let orders: Vec<(i64, String)> = query.fetch_all(conn).await?;
            for (index, order_id) in orders {
                page.push(Disposition {
                    index: uint(index, "record_index")?,
                    order_id,
                    kind: DispositionKind::Accepted,
                    code: None,
                    field: None,
                    duplicate_of: None,
                });
            }
            page.sort_by_key(|one| one.index);
            page.truncate(count as usize);
            Ok(page)
        })
    }
}
