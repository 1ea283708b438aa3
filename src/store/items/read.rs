//! Items as they stand and what happened to them, for whoever asks.

use super::{
    super::{Error, Store},
    rows::{EventRow, ItemRow},
    steps::{ItemSteps as _, RawItem},
};
use crate::domain::{
    item::{ItemId, ItemKey, ItemKind},
    municipality::MunicipalityCode,
};

statements! {
    BY_ID = "
        SELECT municipality_code, kind, item_id, state, since_ms, events, office, cards, details
        FROM item WHERE municipality_code = $1 AND kind = $2 AND item_id > $3
            AND (CAST($4 AS TEXT) = '' OR office = $4)
        ORDER BY item_id LIMIT $5";
    BY_AGE = "
        SELECT municipality_code, kind, item_id, state, since_ms, events, office, cards, details
        FROM item WHERE municipality_code = $1 AND kind = $2 AND state = $3
            AND (since_ms, item_id) > ($4, $5) AND since_ms <= $6
            AND (CAST($7 AS TEXT) = '' OR office = $7)
        ORDER BY since_ms, item_id LIMIT $8";
}

/// Which items of a municipality are wanted.
#[derive(Debug, Clone, Default)]
pub struct WhichItems {
    /// Only those in this state, the longest in it first; else all, by id.
    pub state: Option<String>,
    /// Only those at this office; empty: all.
    pub office: String,
    /// Only those that came into their state by then, in ms since the epoch; with a state alone.
    pub since_by_ms: Option<i64>,
    /// Where the page before ended: since when and id of its last item.
    pub after: Option<(i64, ItemId)>,
}

impl Store {
    /// Returns an item as it stands.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn item(&self, key: &ItemKey) -> Result<Option<ItemRow>, Error> {
        on_read!(self, "item", |conn| Ok(conn.items(&[key]).await?.pop()))
    }

    /// Returns those of these items that there are, in no order.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn items_of(&self, keys: &[ItemKey]) -> Result<Vec<ItemRow>, Error> {
        let keys: Vec<&ItemKey> = keys.iter().collect();
        on_read!(self, "items_of", |conn| conn.items(&keys).await)
    }

    /// Returns the item under which a request of this actor stands; `None`: it was not carried out.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn carried_out(
        &self,
        municipality: MunicipalityCode,
        actor: &str,
        request_id: &str,
    ) -> Result<Option<ItemKey>, Error> {
        let request = (municipality, actor.to_owned(), request_id.to_owned());
        on_read!(self, "carried_out", |conn| {
            let carried = conn.carried(std::slice::from_ref(&request)).await?;
            Ok(carried.into_iter().next().map(|one| one.item))
        })
    }

    /// Returns what happened to an item, in the order of recording; nothing if there is none.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn item_history(&self, key: &ItemKey) -> Result<Vec<EventRow>, Error> {
        on_read!(self, "item_history", |conn| {
            let events = conn.histories(&[key]).await?;
            Ok(events.into_iter().map(|(_, event)| event).collect())
        })
    }

    /// Returns at most `count` items of a municipality.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn list_items(
        &self,
        municipality: MunicipalityCode,
        kind: ItemKind,
        which: &WhichItems,
        count: u32,
    ) -> Result<Vec<ItemRow>, Error> {
        let (code, office) = (municipality.to_string(), which.office.as_str());
        let after = which.after.as_ref().map_or("", |(_, id)| id.as_str());
        on_read!(self, "list_items", |conn| {
            let rows: Vec<RawItem> = match &which.state {
                None => {
                    let query = sqlx::query_as(BY_ID).bind(&code).bind(kind.as_str()).bind(after);
                    query.bind(office).bind(i64::from(count)).fetch_all(conn).await?
                }
                Some(state) => {
                    let since = which.after.as_ref().map_or(i64::MIN, |(since, _)| *since);
                    let query = sqlx::query_as(BY_AGE).bind(&code).bind(kind.as_str()).bind(state);
                    let query = query.bind(since).bind(after).bind(which.since_by_ms.unwrap_or(i64::MAX));
                    query.bind(office).bind(i64::from(count)).fetch_all(conn).await?
                }
            };
            rows.into_iter().map(RawItem::read).collect()
        })
    }
}
