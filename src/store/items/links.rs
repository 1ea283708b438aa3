//! Items by what they have in common: a household, a person, a lot, a last day.

use super::{
    super::{Error, Store, columns},
    rows::ItemRow,
    steps::{RawItem, key},
};
use crate::domain::{
    date::Date,
    item::{Hold, ItemId, ItemKey, ItemKind, Link, LinkKind},
    municipality::MunicipalityCode,
};

statements! {
    LINKED = "
        SELECT i.municipality_code, i.kind, i.item_id, i.state, i.since_ms, i.events, i.office, i.cards,
            i.details
        FROM link AS l JOIN item AS i ON i.municipality_code = l.municipality_code AND i.kind = l.item_kind
            AND i.item_id = l.item_id
        WHERE l.municipality_code = $1 AND l.kind = $2 AND l.linked = $3 AND l.item_kind = $4
            AND l.item_id > $5
        ORDER BY l.item_id LIMIT $6";
    WHERE_LINKED = "
        SELECT DISTINCT municipality_code FROM link
        WHERE kind = $1 AND linked = $2 ORDER BY municipality_code";
    ENDED = "
        SELECT linked, municipality_code, item_kind, item_id FROM link
        WHERE kind = $1 AND linked < $2 AND (linked, municipality_code, item_id) > ($3, $4, $5)
        ORDER BY linked, municipality_code, item_id LIMIT $6";
    HELD_BY = "
        SELECT item_id FROM hold WHERE municipality_code = $1 AND kind = $2 AND held = $3";
}

impl Store {
    /// Returns at most `count` items of a municipality that have this link, by id after the one given.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn linked(
        &self,
        municipality: MunicipalityCode,
        link: Link,
        kind: ItemKind,
        after: Option<&ItemId>,
        count: u32,
    ) -> Result<Vec<ItemRow>, Error> {
        on_read!(self, "linked", |conn| {
            let query = sqlx::query_as(LINKED).bind(municipality.to_string()).bind(link.kind.as_str());
            let query = query.bind(link.of.as_slice()).bind(kind.as_str());
            let query = query.bind(after.map_or("", ItemId::as_str)).bind(i64::from(count));
            let rows: Vec<RawItem> = query.fetch_all(conn).await?;
            rows.into_iter().map(RawItem::read).collect()
        })
    }

    /// Returns every municipality with an item of this link.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn municipalities_linked(&self, link: Link) -> Result<Vec<MunicipalityCode>, Error> {
        on_read!(self, "municipalities_linked", |conn| {
            let query = sqlx::query_scalar(WHERE_LINKED).bind(link.kind.as_str()).bind(link.of.as_slice());
            let codes: Vec<String> = query.fetch_all(conn).await?;
            codes.iter().map(|code| columns::municipality(code)).collect()
        })
    }

    /// Returns at most `count` items, of all municipalities, whose last day is before `day`, each with
    /// the link that says so: by day, municipality and id after the one given.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn ended_before(
        &self,
        day: Date,
        after: Option<&(Link, ItemKey)>,
        count: u32,
    ) -> Result<Vec<(Link, ItemKey)>, Error> {
        let kind = LinkKind::LastDay;
        let (linked, code, id) = after.map_or((Vec::new(), String::new(), String::new()), |(link, key)| {
            (link.of.to_vec(), key.municipality.to_string(), key.id.to_string())
        });
        on_read!(self, "ended_before", |conn| {
            let query = sqlx::query_as(ENDED).bind(kind.as_str()).bind(Link::of_day(day).of.to_vec());
            let query = query.bind(&linked).bind(&code).bind(&id).bind(i64::from(count));
            let rows: Vec<(Vec<u8>, String, String, String)> = query.fetch_all(conn).await?;
            let read = |(of, code, item_kind, id): (Vec<u8>, String, String, String)| {
                let of = of.try_into().map_err(|_| Error::Corrupt("linked"))?;
                Ok((Link { kind, of }, key((code, item_kind, id))?))
            };
            rows.into_iter().map(read).collect()
        })
    }

    /// Returns which item has this hold, if one has.
    ///
    /// # Errors
    /// Any [`Error`] of a read.
    pub async fn held_by(&self, municipality: MunicipalityCode, hold: Hold) -> Result<Option<ItemId>, Error> {
        on_read!(self, "held_by", |conn| {
            let query = sqlx::query_scalar(HELD_BY).bind(municipality.to_string()).bind(hold.kind.as_str());
            let id: Option<String> = query.bind(hold.of.as_slice()).fetch_optional(conn).await?;
            id.map(|id| id.parse().map_err(|_| Error::Corrupt("item_id"))).transpose()
        })
    }
}
