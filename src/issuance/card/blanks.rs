//! What becomes of a lot's blank cards when cards arrive, or are given up before anything was made of
//! them: its share is changed in the same step, so that its sums close.

use std::collections::BTreeMap;

use crate::{
    domain::{
        item::{ItemId, ItemKey},
        life::card::CardState,
        municipality::MunicipalityCode,
    },
    store::{Decided, Found, ItemRow},
    wire::fault::Fault,
};

use super::{
    super::{
        mutation::overtaken,
        production::lot::{self, Share},
    },
    event::Event,
    life::{Life, details, unreadable},
    view,
};

/// Cards of one lot, counted by what happened to them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counts {
    given_back: u64,
    shipped: u64,
    arrived: u64,
    found: u64,
}

/// What happened to the cards of each lot in one change.
#[derive(Debug, Default)]
pub(crate) struct Tally(BTreeMap<ItemId, Counts>);

/// The share whose blank card is given back if a card is given up: of one that is leased and not made, as
/// far as is known now.
pub(super) fn of_unmade(item: &ItemRow) -> Result<Option<ItemKey>, Fault> {
    if view::state(item)? == CardState::Ordered { of(item) } else { Ok(None) }
}

/// The share that a card was made of.
pub(super) fn of(item: &ItemRow) -> Result<Option<ItemKey>, Fault> {
    let lot = details(item)?.lot;
    lot.map(|lot| Ok(lot::key(item.key.municipality, lot.parse().map_err(|_| unreadable())?))).transpose()
}

/// An event of a card, after it was taken from its lot if that ends it before anything was made.
pub(crate) fn given_up(life: &Life, event: Event) -> Vec<Event> {
    let ends = matches!(event, Event::Scrap { .. } | Event::Move | Event::Die | Event::SuspectFraud { .. });
    match &life.details.lot {
        Some(lot) if ends && life.state == CardState::Ordered => {
            let why = format!("nothing was made of it: {}", event.word());
            vec![Event::Unlease { lot: lot.clone(), why }, event]
        }
        _ => vec![event],
    }
}

impl Tally {
    /// Notes what became of a card by its last event.
    pub(crate) fn note(&mut self, before: &Life, event: &Event, after: &Life) -> Result<(), Fault> {
        let Some(lot) = &before.details.lot else { return Ok(()) };
        let lot: ItemId = lot.parse().map_err(|_| unreadable())?;
        let mut counts = self.0.get(&lot).copied().unwrap_or_default();
        match event {
            Event::Arrive { .. } => {
                // It was sent, though nobody may have said so.
                counts.shipped += u64::from(before.details.shipment.is_none());
                counts.arrived += 1;
            }
            Event::FindAgain { .. } => counts.found += 1,
            _ if after.details.lot.is_none() => counts.given_back += 1,
            _ => return Ok(()),
        }
        self.0.insert(lot, counts);
        Ok(())
    }

    /// What that makes of each share.
    ///
    /// # Errors
    /// ITEM_STATE if its figures do not allow it; UPSTREAM_UNAVAILABLE if it was not known that a share
    /// changes: the same call is to be made again.
    pub(crate) fn decided(
        &self,
        municipality: MunicipalityCode,
        found: &Found,
        occurred_ms: i64,
    ) -> Result<Vec<(ItemKey, Decided)>, Fault> {
        let one = |(id, counts): (&ItemId, &Counts)| {
            let key = lot::key(municipality, id.clone());
            // The share is the item that the change is about, or goes with it.
            let history = match (&found.item, found.with.get(&key)) {
                (_, Some(known)) => &known.history,
                (Some(item), None) if item.key == key => &found.history,
                _ => return Err(overtaken()),
            };
            let share = Share::of(history).map_err(|_| lot::unreadable())?;
            let events = counts.events();
            let share = share.then(id, &events, occurred_ms)?;
            Ok((key, share.decided(id, &events, occurred_ms)))
        };
        self.0.iter().map(one).collect()
    }
}

impl Counts {
    fn events(self) -> Vec<lot::Event> {
        let all = [
            (self.given_back, lot::Event::GiveBack { cards: self.given_back }),
            (self.shipped, lot::Event::Ship { cards: self.shipped }),
            (self.arrived, lot::Event::Arrive { cards: self.arrived }),
            (self.found, lot::Event::Find { cards: self.found }),
        ];
        all.into_iter().filter(|(cards, _)| *cards > 0).map(|(_, event)| event).collect()
    }
}
