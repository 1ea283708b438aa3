//! The steps on SQLite: one statement for each, prepared once, as none of them has a way to go.

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
    REQUEST = { sqlite: "
        SELECT municipality_code, actor, request_id, fingerprint, kind, item_id FROM request
        WHERE municipality_code = $1 AND actor = $2 AND request_id = $3" };
    ITEM = { sqlite: "
        SELECT municipality_code, kind, item_id, state, since_ms, events, office, cards, details
        FROM item WHERE municipality_code = $1 AND kind = $2 AND item_id = $3" };
    HISTORY = { sqlite: "
        SELECT municipality_code, kind, item_id, position, occurred_ms, recorded_ms, actor, request_id, event
        FROM history WHERE municipality_code = $1 AND kind = $2 AND item_id = $3 ORDER BY position" };
    HOLDER = { sqlite: "
        SELECT municipality_code, kind, held, item_id FROM hold
        WHERE municipality_code = $1 AND kind = $2 AND held = $3" };
    ADD_EVENT = { sqlite: "
        INSERT INTO history (municipality_code, kind, item_id, position, occurred_ms, recorded_ms, actor,
            request_id, event)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING" };
    PUT_ITEM = { sqlite: "
        INSERT INTO item (municipality_code, kind, item_id, state, since_ms, events, office, cards, details)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        ON CONFLICT (municipality_code, kind, item_id) DO UPDATE SET state = excluded.state,
            since_ms = excluded.since_ms, events = excluded.events, office = excluded.office,
            cards = excluded.cards, details = excluded.details" };
    ADD_REQUEST = { sqlite: "
        INSERT INTO request (municipality_code, actor, request_id, fingerprint, kind, item_id, position,
            recorded_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING" };
    TAKE_HOLD = { sqlite: "
        INSERT INTO hold (municipality_code, kind, held, item_id) VALUES ($1, $2, $3, $4)
        ON CONFLICT DO NOTHING" };
    LEAVE_HOLD = { sqlite: "
        DELETE FROM hold
        WHERE municipality_code = $1 AND kind = $2 AND held = $3 AND item_id = $4" };
    ADD_LINK = { sqlite: "
        INSERT INTO link (municipality_code, kind, linked, item_kind, item_id) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT DO NOTHING" };
    REMOVE_LINK = { sqlite: "
        DELETE FROM link WHERE municipality_code = $1 AND kind = $2 AND linked = $3 AND item_kind = $4
            AND item_id = $5" };
}

impl ItemSteps for SqliteConnection {
    async fn carried(&mut self, requests: &[RequestKey]) -> Result<Vec<Carried>, Error> {
        let mut found = Vec::new();
        for (municipality, actor, id) in requests {
            let query = sqlx::query_as(REQUEST).bind(municipality.to_string()).bind(actor).bind(id);
            found.extend(query.fetch_optional(&mut *self).await?.map(carried).transpose()?);
        }
        Ok(found)
    }

    async fn items(&mut self, keys: &[&ItemKey]) -> Result<Vec<ItemRow>, Error> {
        let mut found = Vec::new();
        for key in keys {
            let query = sqlx::query_as(ITEM).bind(key.municipality.to_string());
            let query = query.bind(key.kind.as_str()).bind(key.id.as_str());
            found.extend(query.fetch_optional(&mut *self).await?.map(RawItem::read).transpose()?);
        }
        Ok(found)
    }

    async fn histories(&mut self, keys: &[&ItemKey]) -> Result<Vec<(ItemKey, EventRow)>, Error> {
        let mut found = Vec::new();
        for key in keys {
            let query = sqlx::query_as(HISTORY).bind(key.municipality.to_string());
            let query = query.bind(key.kind.as_str()).bind(key.id.as_str());
            for row in query.fetch_all(&mut *self).await? {
                found.push(RawEvent::read(row)?);
            }
        }
        Ok(found)
    }

    async fn holders(&mut self, holds: &[OfItem<'_>]) -> Result<Vec<Holder>, Error> {
        let mut found = Vec::new();
        for OfItem { key, hold } in holds {
            let query = sqlx::query_as(HOLDER).bind(key.municipality.to_string());
            let query = query.bind(hold.kind.as_str()).bind(hold.of.as_slice());
            found.extend(query.fetch_optional(&mut *self).await?.map(holder).transpose()?);
        }
        Ok(found)
    }

    async fn add_events(&mut self, events: &[NewEvent<'_>]) -> Result<u64, Error> {
        let mut made = 0;
        for NewEvent { key, row } in events {
            let query = sqlx::query(ADD_EVENT).bind(key.municipality.to_string());
            let query = query.bind(key.kind.as_str()).bind(key.id.as_str()).bind(i64::from(row.position));
            let query = query.bind(row.occurred_ms).bind(row.recorded_ms).bind(&row.actor);
            let query = query.bind(&row.request_id).bind(&row.event);
            made += query.execute(&mut *self).await?.rows_affected();
        }
        Ok(made)
    }

    async fn put_items(&mut self, items: &[ItemRow]) -> Result<u64, Error> {
        let mut made = 0;
        for item in items {
            let query = sqlx::query(PUT_ITEM).bind(item.key.municipality.to_string());
            let query = query.bind(item.key.kind.as_str()).bind(item.key.id.as_str()).bind(&item.state);
            let query = query.bind(item.since_ms).bind(i64::from(item.events)).bind(&item.office);
            let query = query.bind(i64::from(item.cards)).bind(&item.details);
            made += query.execute(&mut *self).await?.rows_affected();
        }
        Ok(made)
    }

    async fn add_requests(&mut self, requests: &[NewRequest<'_>]) -> Result<u64, Error> {
        let mut made = 0;
        for one in requests {
            let query = sqlx::query(ADD_REQUEST).bind(one.key.municipality.to_string()).bind(one.actor);
            let query = query.bind(one.request_id);
            let query = query.bind(one.fingerprint.as_bytes().as_slice()).bind(one.key.kind.as_str());
            let query = query.bind(one.key.id.as_str()).bind(i64::from(one.position)).bind(one.recorded_ms);
            made += query.execute(&mut *self).await?.rows_affected();
        }
        Ok(made)
    }

    async fn take_holds(&mut self, holds: &[OfItem<'_>]) -> Result<u64, Error> {
        let mut made = 0;
        for OfItem { key, hold } in holds {
            let query = sqlx::query(TAKE_HOLD).bind(key.municipality.to_string()).bind(hold.kind.as_str());
            let query = query.bind(hold.of.as_slice()).bind(key.id.as_str());
            made += query.execute(&mut *self).await?.rows_affected();
        }
        Ok(made)
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
        for LinkOf { key, link } in links {
            let query = sqlx::query(ADD_LINK).bind(key.municipality.to_string()).bind(link.kind.as_str());
            let query = query.bind(link.of.as_slice()).bind(key.kind.as_str()).bind(key.id.as_str());
            query.execute(&mut *self).await?;
        }
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
