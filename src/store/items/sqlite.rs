//! The steps on SQLite: one statement for all, in which the rows are one array of JSON.
//!
//! A statement has no way to go here, but each is handed to the thread that has the file and its answer back,
//! and that costs more than what most do: one for each row was most of what a change cost. `CROSS JOIN` has
//! rows looked up by the array, in its order, and never the array by rows.

use serde_json::{Value, json};
use sqlx::SqliteConnection;

use crate::domain::item::ItemKey;

use super::{
    super::Error,
    rows::{EventRow, ItemRow},
    steps::{
        Carried, Holder, ItemSteps, LinkOf, NewEvent, NewRequest, OfItem, RawEvent, RawItem, RequestKey,
        carried, holder,
    },
};

statements! {
    REQUESTS = { sqlite: "
        WITH v (municipality_code, actor, request_id) AS
            (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($1))
        SELECT r.municipality_code, r.actor, r.request_id, r.fingerprint, r.kind, r.item_id
        FROM v CROSS JOIN request AS r ON r.municipality_code = v.municipality_code AND r.actor = v.actor
            AND r.request_id = v.request_id" };
    ITEMS = { sqlite: "
        WITH v (municipality_code, kind, item_id) AS
            (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($1))
        SELECT i.municipality_code, i.kind, i.item_id, i.state, i.since_ms, i.events, i.office, i.cards,
            i.details
        FROM v CROSS JOIN item AS i ON i.municipality_code = v.municipality_code AND i.kind = v.kind
            AND i.item_id = v.item_id" };
    HISTORIES = { sqlite: "
        WITH v (municipality_code, kind, item_id) AS
            (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($1))
        SELECT h.municipality_code, h.kind, h.item_id, h.position, h.occurred_ms, h.recorded_ms, h.actor,
            h.request_id, h.event
        FROM v CROSS JOIN history AS h ON h.municipality_code = v.municipality_code AND h.kind = v.kind
            AND h.item_id = v.item_id
        ORDER BY h.municipality_code, h.kind, h.item_id, h.position" };
    HOLDERS = { sqlite: "
        WITH v (municipality_code, kind, held) AS
            (SELECT value ->> 0, value ->> 1, unhex(value ->> 2) FROM json_each($1))
        SELECT h.municipality_code, h.kind, h.held, h.item_id
        FROM v CROSS JOIN hold AS h ON h.municipality_code = v.municipality_code AND h.kind = v.kind
            AND h.held = v.held" };
    // Without WHERE the words after FROM would be those of a join.
    ADD_EVENTS = { sqlite: "
        WITH v (municipality_code, kind, item_id, position, occurred_ms, recorded_ms, actor, request_id,
            event) AS (SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
                value ->> 6, value ->> 7, value ->> 8 FROM json_each($1))
        INSERT INTO history (municipality_code, kind, item_id, position, occurred_ms, recorded_ms, actor,
            request_id, event)
        SELECT v.municipality_code, v.kind, v.item_id, v.position, v.occurred_ms, v.recorded_ms, v.actor,
            v.request_id, v.event
        FROM v WHERE true ON CONFLICT DO NOTHING" };
    PUT_ITEMS = { sqlite: "
        WITH v (municipality_code, kind, item_id, state, since_ms, events, office, cards, details)
            AS (SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
                value ->> 6, value ->> 7, value ->> 8 FROM json_each($1))
        INSERT INTO item (municipality_code, kind, item_id, state, since_ms, events, office, cards, details)
        SELECT v.municipality_code, v.kind, v.item_id, v.state, v.since_ms, v.events, v.office, v.cards,
            v.details
        FROM v WHERE true
        ON CONFLICT (municipality_code, kind, item_id) DO UPDATE SET state = excluded.state,
            since_ms = excluded.since_ms, events = excluded.events, office = excluded.office,
            cards = excluded.cards, details = excluded.details" };
    ADD_REQUESTS = { sqlite: "
        WITH v (municipality_code, actor, request_id, fingerprint, kind, item_id, position, recorded_ms)
            AS (SELECT value ->> 0, value ->> 1, value ->> 2, unhex(value ->> 3), value ->> 4, value ->> 5,
                value ->> 6, value ->> 7 FROM json_each($1))
        INSERT INTO request (municipality_code, actor, request_id, fingerprint, kind, item_id, position,
            recorded_ms)
        SELECT v.municipality_code, v.actor, v.request_id, v.fingerprint, v.kind, v.item_id, v.position,
            v.recorded_ms
        FROM v WHERE true ON CONFLICT DO NOTHING" };
    TAKE_HOLDS = { sqlite: "
        WITH v (municipality_code, kind, held, item_id) AS
            (SELECT value ->> 0, value ->> 1, unhex(value ->> 2), value ->> 3 FROM json_each($1))
        INSERT INTO hold (municipality_code, kind, held, item_id)
        SELECT v.municipality_code, v.kind, v.held, v.item_id
        FROM v WHERE true ON CONFLICT DO NOTHING" };
    LEAVE_HOLD = { sqlite: "
        DELETE FROM hold
        WHERE municipality_code = $1 AND kind = $2 AND held = $3 AND item_id = $4" };
    ADD_LINKS = { sqlite: "
        WITH v (municipality_code, kind, linked, item_kind, item_id) AS
            (SELECT value ->> 0, value ->> 1, unhex(value ->> 2), value ->> 3, value ->> 4
            FROM json_each($1))
        INSERT INTO link (municipality_code, kind, linked, item_kind, item_id)
        SELECT v.municipality_code, v.kind, v.linked, v.item_kind, v.item_id
        FROM v WHERE true ON CONFLICT DO NOTHING" };
    REMOVE_LINK = { sqlite: "
        DELETE FROM link WHERE municipality_code = $1 AND kind = $2 AND linked = $3 AND item_kind = $4
            AND item_id = $5" };
}

/// An array of rows, each an array of its values; bytes are in hexadecimal.
fn array<'a, T>(rows: &'a [T], values: impl Fn(&'a T) -> Value) -> String {
    rows.iter().map(values).collect::<Value>().to_string()
}

fn key_of(key: &ItemKey) -> Value {
    json!([key.municipality.to_string(), key.kind.as_str(), key.id.as_str()])
}

impl ItemSteps for SqliteConnection {
    async fn carried(&mut self, requests: &[RequestKey]) -> Result<Vec<Carried>, Error> {
        let asked = array(requests, |(municipality, actor, id)| json!([municipality.to_string(), actor, id]));
        let found = sqlx::query_as(REQUESTS).bind(asked).fetch_all(self).await?;
        found.into_iter().map(carried).collect()
    }

    async fn items(&mut self, keys: &[&ItemKey]) -> Result<Vec<ItemRow>, Error> {
        let asked = array(keys, |key| key_of(key));
        let found = sqlx::query_as(ITEMS).bind(asked).fetch_all(self).await?;
        found.into_iter().map(RawItem::read).collect()
    }

    async fn histories(&mut self, keys: &[&ItemKey]) -> Result<Vec<(ItemKey, EventRow)>, Error> {
        let asked = array(keys, |key| key_of(key));
        let found = sqlx::query_as(HISTORIES).bind(asked).fetch_all(self).await?;
        found.into_iter().map(RawEvent::read).collect()
    }

    async fn holders(&mut self, holds: &[OfItem<'_>]) -> Result<Vec<Holder>, Error> {
        let asked = array(holds, |OfItem { key, hold }| {
            json!([key.municipality.to_string(), hold.kind.as_str(), hex::encode(hold.of)])
        });
        let found = sqlx::query_as(HOLDERS).bind(asked).fetch_all(self).await?;
        found.into_iter().map(holder).collect()
    }

    async fn add_events(&mut self, events: &[NewEvent<'_>]) -> Result<u64, Error> {
        let rows = array(events, |NewEvent { key, row }| {
            json!([
                key.municipality.to_string(),
                key.kind.as_str(),
                key.id.as_str(),
                row.position,
                row.occurred_ms,
                row.recorded_ms,
                row.actor,
                row.request_id,
                row.event,
            ])
        });
        Ok(sqlx::query(ADD_EVENTS).bind(rows).execute(self).await?.rows_affected())
    }

    async fn put_items(&mut self, items: &[ItemRow]) -> Result<u64, Error> {
        let rows = array(items, |item| {
            json!([
                item.key.municipality.to_string(),
                item.key.kind.as_str(),
                item.key.id.as_str(),
                item.state,
                item.since_ms,
                item.events,
                item.office,
                item.cards,
                item.details,
            ])
        });
        Ok(sqlx::query(PUT_ITEMS).bind(rows).execute(self).await?.rows_affected())
    }

    async fn add_requests(&mut self, requests: &[NewRequest<'_>]) -> Result<u64, Error> {
        let rows = array(requests, |one| {
            json!([
                one.key.municipality.to_string(),
                one.actor,
                one.request_id,
                hex::encode(one.fingerprint.as_bytes()),
                one.key.kind.as_str(),
                one.key.id.as_str(),
                one.position,
                one.recorded_ms,
            ])
        });
        Ok(sqlx::query(ADD_REQUESTS).bind(rows).execute(self).await?.rows_affected())
    }

    async fn take_holds(&mut self, holds: &[OfItem<'_>]) -> Result<u64, Error> {
        let rows = array(holds, |OfItem { key, hold }| {
            json!([key.municipality.to_string(), hold.kind.as_str(), hex::encode(hold.of), key.id.as_str(),])
        });
        Ok(sqlx::query(TAKE_HOLDS).bind(rows).execute(self).await?.rows_affected())
    }

    async fn leave_holds(&mut self, holds: &[OfItem<'_>]) -> Result<u64, Error> {
        let mut gone = 0;
        for OfItem { key, hold } in holds {
            let query = sqlx::query(LEAVE_HOLD).bind(key.municipality.to_string()).bind(hold.kind.as_str());
            let query = query.bind(hold.of.as_slice()).bind(key.id.as_str());
            gone += query.execute(&mut *self).await?.rows_affected();
        }
        Ok(gone)
    }

    async fn add_links(&mut self, links: &[LinkOf<'_>]) -> Result<(), Error> {
        let rows = array(links, |LinkOf { key, link }| {
            json!([
                key.municipality.to_string(),
                link.kind.as_str(),
                hex::encode(link.of),
                key.kind.as_str(),
                key.id.as_str(),
            ])
        });
        sqlx::query(ADD_LINKS).bind(rows).execute(self).await?;
        Ok(())
    }

    async fn remove_links(&mut self, links: &[LinkOf<'_>]) -> Result<(), Error> {
        for LinkOf { key, link } in links {
            let query = sqlx::query(REMOVE_LINK).bind(key.municipality.to_string()).bind(link.kind.as_str());
            let query = query.bind(link.of.as_slice()).bind(key.kind.as_str()).bind(key.id.as_str());
            query.execute(&mut *self).await?;
        }
        Ok(())
    }
}
