//! Items, their history and what is decided of them, as the rest of the program sees them.

use std::collections::BTreeMap;

use crate::domain::{
    digest::Digest,
    item::{Hold, ItemId, ItemKey, Link},
};

use super::super::Error;

/// An item as it stands, which follows from its history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemRow {
    /// Which one.
    pub key: ItemKey,
    /// The state of its life.
    pub state: String,
    /// When it came into this state, in ms since the epoch, by whoever did it.
    pub since_ms: i64,
    /// How many events its history has.
    pub events: u32,
    /// The office of its municipality where it is; empty: none.
    pub office: String,
    /// Cards in an envelope; 1 of anything else.
    pub cards: u32,
    /// What else there is to say, as its own JSON; no personal data.
    pub details: String,
}

/// One thing that happened to an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// Its place in the order of recording, from 1.
    pub position: u32,
    /// When it happened, in ms since the epoch, as its sender says.
    pub occurred_ms: i64,
    /// When it was recorded, in ms since the epoch.
    pub recorded_ms: i64,
    /// Who recorded it: the role and name of its certificate.
    pub actor: String,
    /// By which request.
    pub request_id: String,
    /// What happened, as its own JSON; no personal data.
    pub event: String,
}

/// Somebody asks for a change of one item, and of what goes with it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Of which: the request stands under it, and its item answers the same request again.
    pub key: ItemKey,
    /// Other items of the same municipality that the decision depends on, or changes; each once,
    /// [`WITH_MAX`] at the most.
    pub with: Vec<ItemKey>,
    /// The actor's own key for this request, 1 to 64 visible ASCII characters; the same one again changes
    /// nothing more.
    pub request_id: String,
    /// Of all that is asked: another one of the same actor under the same request id is refused.
    pub fingerprint: Digest,
    /// Who asks: the role and name of its certificate.
    pub actor: String,
    /// What the decision depends on, or changes, of all that can belong to one item alone; each once.
    pub holds: Vec<Hold>,
    /// Now, in ms since the epoch.
    pub now_ms: i64,
}

impl Asked {
    /// Fails unless it is looked at who has what is taken: to take anything else would be to believe it free.
    pub(super) fn looks_at_all(&self, decided: &Decided) -> Result<(), Error> {
        let mut all = decided.with.iter().map(|(_, one)| one).chain([decided]).flat_map(|one| &one.take);
        if all.all(|hold| self.holds.contains(hold)) { Ok(()) } else { Err(Error::Corrupt("hold")) }
    }
}

/// What a change is decided on. Nobody changes item and history before the change is committed, nor holds
/// that it takes or leaves; of a hold that is only read this is not so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The item; `None` if there is none of this key.
    pub item: Option<ItemRow>,
    /// Its history, in the order of recording.
    pub history: Vec<EventRow>,
    /// Of [`Asked::holds`] those that belong to an item, and to which.
    pub held: BTreeMap<Hold, ItemId>,
    /// The same of each of [`Asked::with`].
    pub with: BTreeMap<ItemKey, Known>,
}

/// An item that goes with another, as it is when that is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The item; `None` if there is none of this key.
    pub item: Option<ItemRow>,
    /// Its history, in the order of recording.
    pub history: Vec<EventRow>,
}

/// What a change makes of an item, and of what goes with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decided {
    /// What happened, each with when: one at least, and [`EVENTS_MAX`] in an item's history.
    pub events: Vec<(i64, String)>,
    /// The state after it.
    pub state: String,
    /// Since when, in ms since the epoch.
    pub since_ms: i64,
    /// The office where it is then.
    pub office: String,
    /// Cards in it.
    pub cards: u32,
    /// What else there is to say then.
    pub details: String,
    /// What belongs to this item from now on, of [`Asked::holds`]; what is another's fails the change.
    pub take: Vec<Hold>,
    /// What belongs to it no more; nothing happens to what is another's.
    pub leave: Vec<Hold>,
    /// By what it is found from now on.
    pub link: Vec<Link>,
    /// By what it is found no more.
    pub unlink: Vec<Link>,
    /// What becomes of others of [`Asked::with`]; of these, `with` is empty.
    pub with: Vec<(ItemKey, Decided)>,
}

/// Events of one item at the most.
pub const EVENTS_MAX: usize = 1000;
/// Items that one change is decided on, beside its own, at the most.
pub const WITH_MAX: usize = 4000;

/// How a change came out; `R` says why it was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed<R> {
    /// It is done; the item as it stands.
    Done(ItemRow),
    /// It was done before; the item as it stands now.
    Again(ItemRow),
    /// Another request stands under this request id.
    RequestReused,
    /// It was decided not to do it.
    Refused(R),
    /// The item's history has as many events as it may.
    HistoryFull,
}
