//! A card order is seen once its batch is accepted, and only under its own municipality.

use sqlx::types::Uuid;

use crate::{
    domain::{batch_id::BatchId, municipality::MunicipalityCode},
    vault::BlindIndex,
};

use super::{
    CardRow, Error, Store,
    columns::{self, batch_id, bound, uint},
    statement::Speaks as _,
};

/// Every column of a [`RawCard`], of orders whose batch is accepted in their attempt.
macro_rules! select_card {
    ($($from:literal),+; $rest:literal) => {
        concat!(
            "SELECT o.municipality_code, o.order_id, o.batch_id, o.record_index, o.kind, o.district,
                o.protected, o.accommodations, o.ordered_ms, o.sealed ",
            $($from,)+
            " JOIN batch AS b ON b.municipality_code = o.municipality_code AND b.batch_id = o.batch_id
                AND b.attempt = o.attempt
            WHERE b.state IN ('ACCEPTED', 'ACCEPTED_WITH_REJECTS') AND ",
            $rest
        )
    };
}

/// The orders of a person, from the few rows of the look-up on; its joins are written with this word.
macro_rules! by_person {
    ($join:literal) => {
        select_card!(
            "FROM card_person AS p", $join, "batch AS c ON c.municipality_code = p.municipality_code
                AND c.sequence = p.sequence", $join, "card_order AS o
                ON o.municipality_code = p.municipality_code AND o.batch_id = c.batch_id
                AND o.attempt = p.attempt AND o.record_index = p.record_index";
            "p.municipality_code = $1 AND o.person_index = $2 AND p.person_key = substr($2, 1, 8)
            ORDER BY o.ordered_ms DESC, o.record_index DESC LIMIT $3"
        )
    };
}

statements! {
    BY_ORDER_ID = select_card!(
        "FROM order_key AS k JOIN card_order AS o ON o.municipality_code = k.municipality_code
            AND o.batch_id = k.batch_id AND o.attempt = k.attempt AND o.record_index = k.record_index";
        "k.municipality_code = $1 AND k.order_id = $2"
    );
    // SQLite takes joins in their order only if it is told to; otherwise it begins with all orders of the
    // municipality.
    BY_PERSON = { sqlite: by_person!(" CROSS JOIN "), postgres: by_person!(" JOIN ") };
    IN_BATCH = select_card!(
        "FROM card_order AS o";
        "o.municipality_code = $1 AND o.batch_id = $2 AND o.record_index > $3
        ORDER BY o.record_index LIMIT $4"
    );
    NEXT_BATCH = "
        SELECT batch_id FROM batch
        WHERE municipality_code = $1 AND batch_id > $2 AND state IN ('ACCEPTED', 'ACCEPTED_WITH_REJECTS')
            AND accepted > 0
        ORDER BY batch_id LIMIT 1";
}

#[derive(sqlx::FromRow)]
struct RawCard {
    municipality_code: String,
    order_id: String,
    batch_id: Uuid,
    record_index: i64,
    kind: String,
    district: String,
    protected: bool,
    accommodations: String,
    ordered_ms: i64,
    sealed: Vec<u8>,
}

impl TryFrom<RawCard> for CardRow {
    type Error = Error;

    fn try_from(raw: RawCard) -> Result<Self, Error> {
        Ok(Self {
            municipality: columns::municipality(&raw.municipality_code)?,
            order_id: raw.order_id,
            batch_id: batch_id(raw.batch_id)?,
            index: uint(raw.record_index, "record_index")?,
            kind: raw.kind,
            district: raw.district,
            protected: raw.protected,
            accommodations: raw.accommodations,
            ordered_ms: raw.ordered_ms,
            sealed: raw.sealed,
        })
    }
}

impl Store {
    /// Returns the card order with this id.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn card_by_order_id(
        &self,
        municipality: MunicipalityCode,
        order_id: &str,
    ) -> Result<Option<CardRow>, Error> {
        on_read!(self, "card_by_order_id", |conn| {
            let query = sqlx::query_as(BY_ORDER_ID).bind(municipality.to_string()).bind(order_id);
            let card: Option<RawCard> = query.fetch_optional(conn).await?;
            card.map(CardRow::try_from).transpose()
        })
    }

    /// Returns the card orders of one person, newest first, `count` at most.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn cards_by_person(
        &self,
        municipality: MunicipalityCode,
        person_index: &BlindIndex,
        count: u32,
    ) -> Result<Vec<CardRow>, Error> {
        on_read!(self, "cards_by_person", |conn| {
            let query = sqlx::query_as(conn.sql(BY_PERSON))
                .bind(municipality.to_string())
                .bind(person_index.as_slice());
            let cards: Vec<RawCard> = query.bind(i64::from(count)).fetch_all(conn).await?;
            cards.into_iter().map(CardRow::try_from).collect()
        })
    }

    /// Returns card orders by batch and place after the one given, of one batch or of all, `count` at most.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn list_cards(
        &self,
        municipality: MunicipalityCode,
        after: Option<(BatchId, u64)>,
        batch: Option<BatchId>,
        count: u32,
    ) -> Result<Vec<CardRow>, Error> {
        let code = municipality.to_string();
        // Where to go on: in this batch after this place. Nothing of one batch stands after another.
        let (mut id, mut place) = match (after, batch) {
            (Some((after, _)), Some(batch)) if after > batch => return Ok(Vec::new()),
            (Some((after, index)), Some(batch)) if after == batch => (batch.uuid(), bound(index)),
            (_, Some(batch)) => (batch.uuid(), -1),
            (Some((after, index)), None) => (after.uuid(), bound(index)),
            (None, None) => (Uuid::nil(), -1),
        };
        on_snapshot!(self, "list_cards", |conn| {
            let mut cards = Vec::new();
            loop {
                let left = i64::from(count) - bound(cards.len() as u64);
                let query = sqlx::query_as(IN_BATCH).bind(&code).bind(id).bind(place).bind(left);
                let page: Vec<RawCard> = query.fetch_all(&mut *conn).await?;
                cards.extend(page);
                if cards.len() >= count as usize || batch.is_some() {
                    break;
                }
                let query = sqlx::query_scalar(NEXT_BATCH).bind(&code).bind(id);
                let Some(next) = query.fetch_optional(&mut *conn).await? else { break };
                (id, place) = (next, -1);
            }
            cards.into_iter().map(CardRow::try_from).collect()
        })
    }
}
