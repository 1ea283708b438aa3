//! The steps of a group of changes: each reads or writes for all of them.
//!
//! Nothing is locked. What was read is named in what is written: an event has the position after the last one
//! that was read, a request id and a hold are entered only where none stands. Whoever is second
//! makes fewer rows than it has, and decides again on what the first has committed.

use crate::domain::{
    digest::Digest,
    item::{Hold, ItemId, ItemKey, ItemKind, Link},
    municipality::MunicipalityCode,
};

use super::{
    super::{Error, columns},
    rows::{EventRow, ItemRow},
};

/// Whose item a request is about, who asks, and its id of theirs.
pub(in crate::store) type RequestKey = (MunicipalityCode, String, String);

/// A request that was carried out.
#[derive(Debug)]
pub(in crate::store) struct Carried {
    pub(in crate::store) request: RequestKey,
    pub(in crate::store) fingerprint: Digest,
    pub(in crate::store) item: ItemKey,
}

/// An event that is to be added.
#[derive(Debug)]
pub(in crate::store) struct NewEvent<'a> {
    pub(in crate::store) key: &'a ItemKey,
    pub(in crate::store) row: EventRow,
}

/// A request that is to be entered, with its item, the place of its last event and when.
#[derive(Debug)]
pub(in crate::store) struct NewRequest<'a> {
    pub(in crate::store) key: &'a ItemKey,
    pub(in crate::store) actor: &'a str,
    pub(in crate::store) request_id: &'a str,
    pub(in crate::store) fingerprint: &'a Digest,
    pub(in crate::store) position: u32,
    pub(in crate::store) recorded_ms: i64,
}

/// A hold that an item is to have, or to have no more.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct OfItem<'a> {
    pub(in crate::store) key: &'a ItemKey,
    pub(in crate::store) hold: &'a Hold,
}

/// A link that an item is to have, or to have no more.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct LinkOf<'a> {
    pub(in crate::store) key: &'a ItemKey,
    pub(in crate::store) link: Link,
}

/// A hold, and which item has it.
pub(in crate::store) type Holder = (MunicipalityCode, Hold, ItemId);

/// What a group of changes reads and writes. Items, events and requests come sorted by their keys, each once.
pub(in crate::store) trait ItemSteps {
    /// Returns those of these requests that were carried out.
    fn carried(
        &mut self,
        requests: &[RequestKey],
    ) -> impl Future<Output = Result<Vec<Carried>, Error>> + Send;

    /// Returns those of these items that there are.
    fn items(&mut self, keys: &[&ItemKey]) -> impl Future<Output = Result<Vec<ItemRow>, Error>> + Send;

    /// Returns what happened to these items, of each in the order of recording.
    fn histories(
        &mut self,
        keys: &[&ItemKey],
    ) -> impl Future<Output = Result<Vec<(ItemKey, EventRow)>, Error>> + Send;

    /// Returns which items have these holds.
    fn holders(&mut self, holds: &[OfItem<'_>]) -> impl Future<Output = Result<Vec<Holder>, Error>> + Send;

    /// Adds events, and returns how many had a place that was free.
    fn add_events(&mut self, events: &[NewEvent<'_>]) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Makes these items stand so.
    fn put_items(&mut self, items: &[ItemRow]) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Enters requests, and returns how many had an id that was free.
    fn add_requests(
        &mut self,
        requests: &[NewRequest<'_>],
    ) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Gives holds to items, and returns how many were free.
    fn take_holds(&mut self, holds: &[OfItem<'_>]) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Takes holds from items that have them.
    fn leave_holds(&mut self, holds: &[OfItem<'_>]) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Gives links to items; one that has it already keeps it.
    fn add_links(&mut self, links: &[LinkOf<'_>]) -> impl Future<Output = Result<(), Error>> + Send;

    /// Takes links from items that have them.
    fn remove_links(&mut self, links: &[LinkOf<'_>]) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Municipality, kind and id.
pub(in crate::store) type RawKey = (String, String, String);

/// A row of `item`.
#[derive(Debug, sqlx::FromRow)]
pub(in crate::store) struct RawItem {
    municipality_code: String,
    kind: String,
    item_id: String,
    state: String,
    since_ms: i64,
    events: i64,
    office: String,
    cards: i64,
    details: String,
}

/// A row of `history`.
#[derive(Debug, sqlx::FromRow)]
pub(in crate::store) struct RawEvent {
    municipality_code: String,
    kind: String,
    item_id: String,
    position: i64,
    occurred_ms: i64,
    recorded_ms: i64,
    actor: String,
    request_id: String,
    event: String,
}

/// A row of `request`, without its time.
pub(in crate::store) type RawRequest = (String, String, String, Vec<u8>, String, String);
/// A row of `hold`.
pub(in crate::store) type RawHolder = (String, String, Vec<u8>, String);

pub(in crate::store) fn key((code, kind, id): RawKey) -> Result<ItemKey, Error> {
    Ok(ItemKey { municipality: columns::municipality(&code)?, kind: item_kind(&kind)?, id: item_id(&id)? })
}

fn item_kind(text: &str) -> Result<ItemKind, Error> {
    text.parse().map_err(|_| Error::Corrupt("kind"))
}

fn item_id(text: &str) -> Result<ItemId, Error> {
    text.parse().map_err(|_| Error::Corrupt("item_id"))
}

impl RawItem {
    pub(in crate::store) fn read(self) -> Result<ItemRow, Error> {
        Ok(ItemRow {
            key: key((self.municipality_code, self.kind, self.item_id))?,
            state: self.state,
            since_ms: self.since_ms,
            events: columns::small(self.events, "events")?,
            office: self.office,
            cards: columns::small(self.cards, "cards")?,
            details: self.details,
        })
    }
}

impl RawEvent {
    pub(in crate::store) fn read(self) -> Result<(ItemKey, EventRow), Error> {
        let row = EventRow {
            position: columns::small(self.position, "position")?,
            occurred_ms: self.occurred_ms,
            recorded_ms: self.recorded_ms,
            actor: self.actor,
            request_id: self.request_id,
            event: self.event,
        };
        Ok((key((self.municipality_code, self.kind, self.item_id))?, row))
    }
}

pub(in crate::store) fn carried(
    (code, actor, request_id, print, kind, id): RawRequest,
) -> Result<Carried, Error> {
    Ok(Carried {
        request: (columns::municipality(&code)?, actor, request_id),
        fingerprint: columns::digest(&print, "fingerprint")?,
        item: key((code, kind, id))?,
    })
}

pub(in crate::store) fn holder((code, kind, of, id): RawHolder) -> Result<Holder, Error> {
    let kind = kind.parse().map_err(|_| Error::Corrupt("kind"))?;
    let of = of.try_into().map_err(|_| Error::Corrupt("held"))?;
    Ok((columns::municipality(&code)?, Hold { kind, of }, item_id(&id)?))
}
