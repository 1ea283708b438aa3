//! What one pull takes is decided on what is committed: an order that went to somebody else meanwhile is
//! left to them, and no order is taken without a blank card.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    domain::item::{Hold, ItemId, ItemKey},
    store::{Decided, EventRow, Found},
    wire::fault::{Fault, Reason},
};

use super::{
    super::{
        application::{self, event::Doubt},
        caller::not_yours,
        card::{
            self,
            event::Event::{Lease, Unlease},
        },
    },
    lot::{self, Event, Share},
    waiting::{Origin, Place, Waiting},
};

/// Why nothing is taken.
#[derive(Debug)]
pub(super) enum Stop {
    /// Everything went to others meanwhile.
    Overtaken,
    Failed(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Stop::Failed(fault)
    }
}

/// What a pull took, as it is stored, so that the same request is answered with the same orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) card_ids: Vec<String>,
    pub(super) until_ms: i64,
    /// Where the look through the batches goes on; `None`: it came to the end.
    pub(super) next: Option<String>,
}

/// What a pull wants.
pub(super) struct Taking {
    pub(super) producer: String,
    /// The producer's share.
    pub(super) share: ItemKey,
    /// Under which it is kept what was taken.
    pub(super) kept: ItemKey,
    pub(super) until_ms: i64,
    pub(super) now_ms: i64,
    /// In the order of their age, each with the event that makes its card, if there is none yet.
    pub(super) waiting: Vec<(Waiting, Option<card::event::Event>)>,
    pub(super) next: Option<Place>,
    pub(super) last: Place,
}

/// What was taken so far.
#[derive(Default)]
struct Taken {
    card_ids: Vec<String>,
    /// Blank cards that went into it.
    blanks: u64,
    /// Blank cards that other shares get back.
    back: BTreeMap<ItemKey, u64>,
    all: Vec<(ItemKey, Decided)>,
}

impl Taking {
    /// Every item that is decided on, beside the share.
    pub(super) fn with(&self) -> Vec<ItemKey> {
        let mut with = vec![self.kept.clone()];
        for (one, _) in &self.waiting {
            with.push(one.card.clone());
            match &one.origin {
                Origin::Card { lot: Some(lot) } if *lot != self.share.id => {
                    with.push(lot::key(self.share.municipality, lot.clone()));
                }
                Origin::Application { key, .. } => with.push(key.clone()),
                Origin::Card { .. } | Origin::Batch { .. } => {}
            }
        }
        with.sort_unstable();
        with.dedup();
        with
    }

    /// What belongs to the applications that it is decided on.
    pub(super) fn holds(&self) -> Vec<Hold> {
        let hold = |(one, _): &(Waiting, _)| match one.origin {
            Origin::Application { hold, .. } => Some(hold),
            Origin::Card { .. } | Origin::Batch { .. } => None,
        };
        self.waiting.iter().filter_map(hold).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Decides what is taken.
    pub(super) fn decide(&self, found: &Found) -> Result<Decided, Stop> {
        let (lot, now_ms) = (&self.share.id, self.now_ms);
        let share = Share::of(&found.history).map_err(|_| lot::unreadable())?;
        if share.producer != self.producer {
            return Err(not_yours().into());
        }
        share.is_in_use(lot)?;
        let mut taken = Taken::default();
        let mut left_over = Vec::new();
        for (one, order) in &self.waiting {
            let blank_left = share.lot.remaining() > taken.blanks;
            if !self.take(found, (one, order.as_ref()), blank_left, &mut taken)? {
                left_over.push(one);
            }
        }
        if taken.card_ids.is_empty() {
            return Err(if left_over.is_empty() { Stop::Overtaken } else { self.used_up(&share).into() });
        }
        let next = if left_over.is_empty() { self.next } else { Some(place_before(&left_over, self.last)) };
        let kept = Kept { card_ids: taken.card_ids, until_ms: self.until_ms, next: next.map(Place::text) };
        taken.all.push((self.kept.clone(), kept.decided(now_ms)));
        for (key, cards) in taken.back {
            let known = found.with.get(&key).expect("it was asked for");
            let other = Share::of(&known.history).map_err(|_| lot::unreadable())?;
            let events = [Event::GiveBack { cards }];
            let other = other.then(&key.id, &events, now_ms)?.decided(&key.id, &events, now_ms);
            taken.all.push((key, other));
        }
        let events = [Event::Pull { cards: taken.blanks }];
        let decided = share.then(lot, &events, now_ms)?.decided(lot, &events, now_ms);
        Ok(Decided { with: taken.all, ..decided })
    }

    /// Takes one order, unless somebody else has it; false if a blank card is wanting.
    fn take(
        &self,
        found: &Found,
        (one, order): (&Waiting, Option<&card::event::Event>),
        blank_left: bool,
        taken: &mut Taken,
    ) -> Result<bool, Fault> {
        let (id, lot) = (&one.card.id, &self.share.id);
        let known = found.with.get(&one.card).expect("it was asked for");
        let life = card::life::Life::of(&known.history).map_err(|_| card::life::unreadable())?;
        // So many leases are no chance: whoever takes it again and again must not stop the others.
        if is_taken(&life, order.is_some(), self.now_ms) || known.history.len() > LEASED_EVENTS_MAX {
            return Ok(true);
        }
        let mut events: Vec<card::event::Event> = order.cloned().into_iter().collect();
        if life.details.lot.as_deref() != Some(lot.as_str()) {
            if !blank_left {
                return Ok(false);
            }
            if let Some(other) = &life.details.lot {
                let other_id = other.parse().map_err(|_| card::life::unreadable())?;
                let other_key = lot::key(self.share.municipality, other_id);
                if !found.with.contains_key(&other_key) {
                    return Ok(true); // it was of another lot when it was looked at
                }
                *taken.back.entry(other_key).or_default() += 1;
                events.push(Unlease { lot: other.clone(), why: "the lease is over".to_owned() });
            }
            taken.blanks += 1;
        }
        let (producer, until_ms) = (self.producer.clone(), self.until_ms);
        events.push(Lease { producer, lot: lot.to_string(), until_ms });
        if let Origin::Application { key, suspicions, .. } = &one.origin {
            let Some(decided) = self.start(found, key, (id, suspicions))? else {
                taken.blanks -= 1;
                return Ok(true);
            };
            taken.all.push((key.clone(), decided));
        }
        let decided = life.then(id, &events, self.now_ms)?.decided(&events, self.now_ms)?;
        taken.all.push((one.card.clone(), decided));
        taken.card_ids.push(id.to_string());
        Ok(true)
    }

    /// Starts the production for an application; `None` if it does not stand any more where it was.
    fn start(
        &self,
        found: &Found,
        key: &ItemKey,
        (card, suspicions): (&ItemId, &[Doubt]),
    ) -> Result<Option<Decided>, Fault> {
        let known = found.with.get(key).expect("it was asked for");
        let life =
            application::life::Life::of(&known.history).map_err(|_| application::life::unreadable())?;
        let events = [application::event::Event::StartProduction {
            card_id: card.to_string(),
            suspicions: suspicions.to_vec(),
            confirmed: life.details.confirmed.iter().copied().collect(),
        }];
        match life.then(&key.id, &events, self.now_ms) {
            Ok(life) => life.decided(&events, self.now_ms).map(Some),
            Err(fault) if fault.reason == Reason::Internal => Err(fault),
            Err(_) => Ok(None),
        }
    }

    fn used_up(&self, share: &Share) -> Fault {
        let (lot, allocated) = (&self.share.id, share.lot.allocated());
        let words = format!(
            "the {allocated} blank cards of lot {lot} are used up, and orders wait: have more allocated \
             (`todoke production allocate`)"
        );
        Fault::new(Reason::QuotaUsedUp, words).with("lot_id", lot.as_str())
    }
}

/// Events of a card after which it is leased no more: there is room left to scrap it.
const LEASED_EVENTS_MAX: usize = 900;

/// Whether somebody else has it: another makes it or has made it, or it came to be meanwhile.
fn is_taken(life: &card::life::Life, is_new: bool, now_ms: i64) -> bool {
    use crate::domain::life::card::CardState;
    if is_new {
        return life.is_ordered();
    }
    let is_leased = life.details.leased_until_ms.is_some_and(|until_ms| until_ms > now_ms);
    !life.is_ordered() || life.state != CardState::Ordered || is_leased
}

/// Where to go on so that none of these is passed over.
pub(super) fn place_before(left_over: &[&Waiting], last: Place) -> Place {
    let place = |one: &&Waiting| match one.origin {
        Origin::Batch { after } => Some(after),
        Origin::Card { .. } | Origin::Application { .. } => None,
    };
    left_over.iter().find_map(place).unwrap_or(last)
}

/// How what a pull took stands by its history; `None` if that cannot be read.
pub(crate) fn stands(history: &[EventRow]) -> Option<Decided> {
    let last = history.last()?;
    let kept: Kept = serde_json::from_str(&last.event).ok()?;
    Some(kept.decided(last.occurred_ms))
}

impl Kept {
    fn decided(&self, now_ms: i64) -> Decided {
        let text = serde_json::to_string(self).expect("it has only texts and numbers");
        Decided {
            events: vec![(now_ms, text.clone())],
            state: "PULLED".to_owned(),
            since_ms: now_ms,
            cards: u32::try_from(self.card_ids.len()).unwrap_or(u32::MAX),
            details: text,
            ..Decided::default()
        }
    }
}
