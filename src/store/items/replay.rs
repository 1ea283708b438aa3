//! Items are read again from what happened to them: history by history, and what stands there wrongly is put
//! in its place.

use std::collections::HashMap;

use super::{
    super::{Error, Store},
    rows::{Decided, EventRow, ItemRow, Known},
    steps::{ItemSteps as _, RawKey, key},
};
use crate::domain::item::ItemKey;

statements! {
    HISTORIES_FROM = "
        SELECT municipality_code, kind, item_id FROM history
        WHERE (municipality_code, kind, item_id) > ($1, $2, $3) AND position = 1
        ORDER BY municipality_code, kind, item_id LIMIT $4";
    WITHOUT_HISTORY = "
        SELECT municipality_code, kind, item_id FROM item AS i WHERE NOT EXISTS (SELECT 1 FROM history AS h
            WHERE h.municipality_code = i.municipality_code AND h.kind = i.kind AND h.item_id = i.item_id
                AND h.position = 1)
        ORDER BY municipality_code, kind, item_id LIMIT $1";
}

impl Store {
    /// Returns at most `count` histories after the one given, in the order in which they are stored, each
    /// with its item as it stands.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn histories_from(
        &self,
        after: Option<&ItemKey>,
        count: u32,
    ) -> Result<Vec<(ItemKey, Known)>, Error> {
        let code = after.map(|key| key.municipality.to_string()).unwrap_or_default();
        let (kind, id) = after.map_or(("", ""), |key| (key.kind.as_str(), key.id.as_str()));
        on_snapshot!(self, "histories_from", |conn| {
            let query = sqlx::query_as(HISTORIES_FROM).bind(&code).bind(kind).bind(id);
            let keys: Vec<RawKey> = query.bind(i64::from(count)).fetch_all(&mut *conn).await?;
            let keys: Vec<ItemKey> = keys.into_iter().map(key).collect::<Result<_, _>>()?;
            let of: Vec<&ItemKey> = keys.iter().collect();
            let mut histories: HashMap<ItemKey, Vec<EventRow>> = HashMap::new();
            for (key, event) in conn.histories(&of).await? {
                histories.entry(key).or_default().push(event);
            }
            let items = conn.items(&of).await?.into_iter().map(|item| (item.key.clone(), item));
            let mut items: HashMap<ItemKey, ItemRow> = items.collect();
            let known = keys.into_iter().map(|key| {
                let history = histories.remove(&key).unwrap_or_default();
                let item = items.remove(&key);
                (key, Known { item, history })
            });
            Ok(known.collect())
        })
    }

    /// Returns at most `count` items that nothing has happened to, of which there should be none.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn items_without_history(&self, count: u32) -> Result<Vec<ItemKey>, Error> {
        on_read!(self, "items_without_history", |conn| {
            let query = sqlx::query_as(WITHOUT_HISTORY).bind(i64::from(count));
            let keys: Vec<RawKey> = query.fetch_all(conn).await?;
            keys.into_iter().map(key).collect()
        })
    }

    /// Makes an item stand as its history says, unless that has grown since it was read; returns whether it
    /// did.
    ///
    /// # Errors
    /// Any [`Error`] of a transaction.
    pub async fn replay_item(&self, key: &ItemKey, events: u32, decided: &Decided) -> Result<bool, Error> {
        in_tx!(self, "replay_item", |tx| {
            let history = tx.histories(&[key]).await?;
            if history.len() != events as usize {
                return Ok(false);
            }
            let item = ItemRow {
                key: key.clone(),
                state: decided.state.clone(),
                since_ms: decided.since_ms,
                events,
                office: decided.office.clone(),
                cards: decided.cards,
                details: decided.details.clone(),
            };
            tx.put_items(&[item]).await?;
            Ok(true)
        })
    }
}
