//! A municipality's share of a lot of blank cards: its figures follow from what was done, and their sums
//! close whatever is done.

use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        item::{ItemId, ItemKey, ItemKind, Link},
        life::lot::{Lot, LotRefusal},
        municipality::MunicipalityCode,
    },
    store::{Decided, EVENTS_MAX, EventRow, ItemRow},
    wire::fault::{Fault, Reason},
};

/// Events after which a share gives no more blank cards: the rest of its history is for what becomes of
/// those.
const GIVING_EVENTS_MAX: usize = 400;
/// Events after which it takes no more reports: the rest is for a recall, which must always be possible.
const REPORT_EVENTS_MAX: usize = 790;

/// What was done with a share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "SCREAMING_SNAKE_CASE", rename_all_fields = "snake_case")]
pub(crate) enum Event {
    /// An operator gives a producer blank cards for the municipality.
    Allocate { cards: u64, producer: String },
    /// The producer takes them for orders.
    Pull { cards: u64 },
    /// Orders whose time was over went to another lot.
    GiveBack { cards: u64 },
    /// Cards came out bad.
    Scrap { cards: u64 },
    /// Cards go to the municipality.
    Ship { cards: u64 },
    /// They arrive.
    Arrive { cards: u64 },
    /// They do not.
    Lose { cards: u64 },
    /// What did not arrive is there.
    Find { cards: u64 },
    /// The lot is called back: no card is made of it any more.
    Recall { why: String },
    /// Its cards up to this one, by id, are called back: so many were recalled, so many had ended before, and
    /// of so many nothing was made, so that their orders wait again.
    TakeBack { recalled: u64, ended: u64, given_back: u64, last: String },
}

/// A share, made of all that was done with it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Share {
    pub(crate) lot: Lot,
    /// Who makes cards of it; empty: nobody has any.
    pub(crate) producer: String,
    pub(crate) recalled: Option<String>,
    /// How far the recall of its cards has come.
    pub(crate) taken_back: TakenBack,
    since_ms: i64,
    is_allocated: bool,
    events: usize,
}

/// What a recall has done with the cards of a share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TakenBack {
    pub(crate) recalled: u64,
    pub(crate) ended: u64,
    pub(crate) waiting: u64,
    /// The last card that was called back, by id; `None` before the first.
    pub(crate) last: Option<ItemId>,
}

/// The figures of a share as they are stored, for lists; they follow from the history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Details {
    pub(crate) producer: String,
    pub(crate) allocated: u64,
    pub(crate) consumed: u64,
    pub(crate) scrapped: u64,
    pub(crate) remaining: u64,
    pub(crate) shipped: u64,
    pub(crate) arrived: u64,
    pub(crate) in_transit: u64,
    pub(crate) lost: u64,
    pub(crate) recalled: Option<String>,
}

/// What is stored cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the history of a lot cannot be read")]
pub(crate) struct Unreadable;

impl Event {
    fn read(text: &str) -> Result<Self, Unreadable> {
        serde_json::from_str(text).map_err(|_| Unreadable)
    }

    fn text(&self) -> String {
        serde_json::to_string(self).expect("it has only texts and numbers")
    }

    /// How many events a share may have before this one.
    fn events_max(&self) -> usize {
        match self {
            Event::Allocate { .. } | Event::Pull { .. } => GIVING_EVENTS_MAX,
            Event::Scrap { .. }
            | Event::Ship { .. }
            | Event::Arrive { .. }
            | Event::Lose { .. }
            | Event::Find { .. } => REPORT_EVENTS_MAX,
            Event::GiveBack { .. } | Event::Recall { .. } | Event::TakeBack { .. } => EVENTS_MAX,
        }
    }
}

impl Share {
    /// Reads a share out of its history.
    pub(crate) fn of(history: &[EventRow]) -> Result<Self, Unreadable> {
        let mut share = Self::default();
        for row in history {
            share.take(&Event::read(&row.event)?, row.occurred_ms).map_err(|_| Unreadable)?;
        }
        Ok(share)
    }

    /// Whether anybody has allocated any.
    pub(crate) fn is_allocated(&self) -> bool {
        self.is_allocated
    }

    /// The share after these events.
    ///
    /// # Errors
    /// The fault of the first that its figures do not allow.
    pub(crate) fn then(mut self, id: &ItemId, events: &[Event], occurred_ms: i64) -> Result<Self, Fault> {
        for event in events {
            if self.events >= event.events_max() {
                let words = format!("lot {id} has {} events here, and takes no more of this", self.events);
                let words = format!("{words}: allocate another lot, and report many cards at once");
                return Err(Fault::new(Reason::LimitExceeded, words).with("lot_id", id.as_str()));
            }
            self.take(event, occurred_ms).map_err(|refusal| refused(id, refusal))?;
        }
        Ok(self)
    }

    /// Fails if it is called back.
    pub(crate) fn is_in_use(&self, id: &ItemId) -> Result<(), Fault> {
        in_use(id, self.recalled.as_deref())
    }

    fn take(&mut self, event: &Event, occurred_ms: i64) -> Result<(), LotRefusal> {
        let lot = self.lot;
        self.lot = match event {
            Event::Allocate { cards, producer } => {
                self.producer.clone_from(producer);
                self.is_allocated = true;
                lot.allocate(*cards)
            }
            Event::Pull { cards } => lot.take(*cards)?,
            Event::GiveBack { cards } => lot.give_back(*cards)?,
            Event::Scrap { cards } => lot.scrap(*cards)?,
            Event::Ship { cards } => lot.ship(*cards)?,
            Event::Arrive { cards } => lot.arrive(*cards)?,
            Event::Lose { cards } => lot.lose(*cards)?,
            Event::Find { cards } => lot.find(*cards)?,
            Event::Recall { why } => {
                self.recalled = Some(why.clone());
                lot
            }
            Event::TakeBack { recalled, ended, given_back, last } => {
                let after = lot.give_back(*given_back)?;
                let so_far = &mut self.taken_back;
                so_far.recalled += recalled;
                so_far.ended += ended;
                so_far.waiting += given_back;
                so_far.last = last.parse().ok();
                after
            }
        };
        self.since_ms = occurred_ms;
        self.events += 1;
        Ok(())
    }

    fn state(&self) -> &'static str {
        match (&self.recalled, self.lot.remaining()) {
            (Some(_), _) => "RECALLED",
            (None, 0) => "USED_UP",
            (None, _) => "OPEN",
        }
    }

    /// Its figures, as they follow from its history.
    pub(crate) fn details(&self) -> Details {
        let figures = self.lot.figures();
        Details {
            producer: self.producer.clone(),
            allocated: figures.allocated,
            consumed: figures.consumed,
            scrapped: figures.scrapped,
            remaining: figures.remaining,
            shipped: figures.shipped,
            arrived: figures.arrived,
            in_transit: figures.in_transit,
            lost: figures.lost,
            recalled: self.recalled.clone(),
        }
    }

    /// What is stored of this share, which these events have led to.
    pub(crate) fn decided(&self, id: &ItemId, events: &[Event], occurred_ms: i64) -> Decided {
        let details = self.details();
        let is_new = events.iter().any(|event| matches!(event, Event::Allocate { .. }));
        Decided {
            events: events.iter().map(|event| (occurred_ms, event.text())).collect(),
            state: self.state().to_owned(),
            since_ms: self.since_ms,
            cards: 1,
            details: serde_json::to_string(&details).expect("it has only texts and numbers"),
            link: if is_new { vec![Link::of_lot(id)] } else { Vec::new() },
            ..Decided::default()
        }
    }
}

/// The key of a municipality's share.
pub(crate) fn key(municipality: MunicipalityCode, lot: ItemId) -> ItemKey {
    ItemKey { municipality, kind: ItemKind::Lot, id: lot }
}

/// Fails if a lot is called back.
pub(crate) fn in_use(id: &ItemId, recalled: Option<&str>) -> Result<(), Fault> {
    let Some(why) = recalled else { return Ok(()) };
    let words = format!("lot {id} is called back ({why}): nothing is made of it any more");
    Err(Fault::new(Reason::ItemState, words).with("lot_id", id.as_str()).with("state", "RECALLED"))
}

/// The figures of a share that is stored.
pub(crate) fn details(row: &ItemRow) -> Result<Details, Fault> {
    serde_json::from_str(&row.details).map_err(|_| unreadable())
}

fn refused(id: &ItemId, refusal: LotRefusal) -> Fault {
    let reason = match refusal {
        LotRefusal::QuotaUsedUp { .. } => Reason::QuotaUsedUp,
        LotRefusal::TooMany { .. } => Reason::ItemState,
    };
    Fault::new(reason, format!("lot {id}: {refusal}")).with("lot_id", id.as_str())
}

/// The fault of a history that cannot be read.
pub(crate) fn unreadable() -> Fault {
    Fault::new(Reason::Internal, "the stored history of a lot is unreadable: tell the operator")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> ItemId {
        "L-1".parse().expect("an id")
    }

    fn share(events: usize) -> Share {
        let mut share = Share::default();
        let first = Event::Allocate { cards: 1_000_000, producer: "press-1".to_owned() };
        share.take(&first, 0).expect("it is the first");
        while share.events < events {
            share.take(&Event::Pull { cards: 1 }, 0).expect("there are blank cards");
        }
        share
    }

    #[test]
    fn a_share_with_a_long_history_can_be_called_back_still() {
        let refused = |events: usize, event: Event| share(events).then(&id(), &[event], 0).is_err();
        for event in [Event::Allocate { cards: 1, producer: "press-1".to_owned() }, Event::Pull { cards: 1 }]
        {
            assert!(!refused(GIVING_EVENTS_MAX - 1, event.clone()) && refused(GIVING_EVENTS_MAX, event));
        }
        for event in [Event::Scrap { cards: 1 }, Event::Ship { cards: 1 }] {
            assert!(!refused(REPORT_EVENTS_MAX - 1, event.clone()) && refused(REPORT_EVENTS_MAX, event));
        }
        assert!(!refused(EVENTS_MAX - 1, Event::Recall { why: "faulty".to_owned() }));
        let page = Event::TakeBack { recalled: 0, ended: 0, given_back: 1, last: "K-1".to_owned() };
        assert!(!refused(EVENTS_MAX - 1, page));
    }

    #[test]
    fn what_a_recall_did_is_added_up_and_what_nothing_was_made_of_is_given_back() {
        let page =
            |last: &str| Event::TakeBack { recalled: 2, ended: 1, given_back: 3, last: last.to_owned() };
        let events = [
            Event::Recall { why: "faulty".to_owned() },
            page("K-1"),
            page("K-2"),
            Event::GiveBack { cards: 1 },
        ];
        let before = share(11);
        let after = before.clone().then(&id(), &events, 5).expect("it has so many");
        let last = Some("K-2".parse().expect("an id"));
        assert_eq!(after.taken_back, TakenBack { recalled: 4, ended: 2, waiting: 6, last });
        assert_eq!(after.lot.remaining(), before.lot.remaining() + 7);
        assert_eq!((after.state(), after.details().consumed), ("RECALLED", 3));
        assert_eq!(after.is_in_use(&id()).expect_err("it is called back").reason, Reason::ItemState);
        for event in &events {
            assert_eq!(Event::read(&event.text()).expect("readable"), *event);
        }
    }
}
