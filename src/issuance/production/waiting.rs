//! What waits for a producer, the oldest first: cards that nobody makes, applications that are approved, and
//! orders of accepted batches of which there is no card yet.

use std::collections::HashMap;

use crate::{
    domain::{
        batch_id::BatchId,
        item::{Hold, ItemId, ItemKey, ItemKind},
        life::{
            application::{ApplicationState, mixup::HOUSEHOLD_SWAP_SUSPECTED},
            card::CardState,
        },
        municipality::MunicipalityCode,
    },
    store::{CardRow, ItemRow, WhichItems},
    wire::{fault::Fault, pb},
};

use super::super::{
    application::{self, event::Doubt},
    card,
    core::{Core, store_fault},
    deadline::Deadline,
    pages,
};

/// Items and orders of a page.
const PAGE: u32 = 1000;
/// Pages of batches' orders that one call looks at.
const PAGES_MAX: usize = 20;
/// Applications that are named as held, at the most.
const HELD_MAX: usize = 100;
/// Why nothing is made for a person while that is looked into.
pub(super) const FRAUD_SUSPECTED: &str = "FRAUD_SUSPECTED";

/// Where the look through the batches' orders goes on: after this one, or at the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place(pub(super) Option<(BatchId, u64)>);

impl Place {
    /// Reads the place out of a page token.
    pub(super) fn of_token(token: &str) -> Result<Self, Fault> {
        let Some(text) = pages::position("pull", token)? else { return Ok(Self::default()) };
        Self::read(&text).ok_or_else(pages::invalid)
    }

    pub(super) fn token(self) -> String {
        pages::token("pull", &self.text())
    }

    pub(super) fn text(self) -> String {
        self.0.map_or_else(|| "-".to_owned(), |(batch, index)| format!("{batch} {index}"))
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        if text == "-" {
            return Some(Self(None));
        }
        let (batch, index) = text.split_once(' ')?;
        Some(Self(Some((batch.parse().ok()?, index.parse().ok()?))))
    }
}

/// An order that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Its card, which there may not be yet.
    pub(super) card: ItemKey,
    /// The order of the batch that says for whom.
    pub(super) order_id: String,
    pub(super) photo: Option<String>,
    pub(super) origin: Origin,
}

/// What it is.
#[derive(Debug)]
pub(super) enum Origin {
    /// A card that nobody makes: it was to be one of this lot, if of any.
    Card { lot: Option<ItemId> },
    /// An approved application, which its person has no other beside, with what looks like a swap.
    Application { key: ItemKey, hold: Hold, suspicions: Vec<Doubt> },
    /// An order of a batch, which stands after this one.
    Batch { after: Place },
}

impl Origin {
    pub(super) fn is_application(&self) -> bool {
        matches!(self, Origin::Application { .. })
    }
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) waiting: Vec<Waiting>,
    /// The orders of batches that were read on the way.
    pub(super) rows: HashMap<ItemId, CardRow>,
    pub(super) held: Vec<pb::HeldOrder>,
    /// Where the look ended; `None`: at the end.
    pub(super) next: Option<Place>,
    /// The last place that was looked at.
    pub(super) last: Place,
}

/// A look for what waits.
struct Look<'a> {
    core: &'a Core,
    municipality: MunicipalityCode,
    now_ms: i64,
    count: usize,
    deadline: Deadline,
    queue: Queue,
}

/// Looks for `count` orders of a municipality that wait, from `place` in the batches on.
pub(super) async fn look(
    core: &Core,
    municipality: MunicipalityCode,
    (now_ms, count, place): (i64, usize, Place),
    deadline: Deadline,
) -> Result<Queue, Fault> {
    let queue = Queue { next: Some(place), last: place, ..Queue::default() };
    let mut look = Look { core, municipality, now_ms, count, deadline, queue };
    look.cards().await?;
    look.applications().await?;
    if !look.is_full() {
        look.batches(place).await?;
    }
    Ok(look.queue)
}

impl Look<'_> {
    fn is_full(&self) -> bool {
        self.queue.waiting.len() >= self.count
    }

    /// Items in a state, the longest in it first, page by page.
    async fn page(&self, kind: ItemKind, which: &mut WhichItems) -> Result<(Vec<ItemRow>, bool), Fault> {
        let rows = self.core.store.list_items(self.municipality, kind, which, PAGE);
        let rows = self.deadline.wait(rows).await?.map_err(store_fault)?;
        which.after = rows.last().map(|row| (row.since_ms, row.key.id.clone()));
        let is_last = rows.len() < PAGE as usize;
        Ok((rows, is_last))
    }

    /// Cards that are to be made and that nobody makes, or not any more.
    async fn cards(&mut self) -> Result<(), Fault> {
        let state = Some(CardState::Ordered.as_str().to_owned());
        let mut which = WhichItems { state, ..WhichItems::default() };
        loop {
            let (rows, is_last) = self.page(ItemKind::Card, &mut which).await?;
            for row in rows {
                if self.is_full() {
                    return Ok(());
                }
                let details = card::life::details(&row)?;
                if details.leased_until_ms.is_some_and(|until_ms| until_ms > self.now_ms) {
                    continue;
                }
                let lot = details.lot.map(|lot| lot.parse().map_err(|_| card::life::unreadable()));
                let origin = Origin::Card { lot: lot.transpose()? };
                let (order_id, photo) = (details.order_id, details.photo);
                self.queue.waiting.push(Waiting { card: row.key, order_id, photo, origin });
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// Applications that are approved; of whose suspicions one is not confirmed, the name.
    async fn applications(&mut self) -> Result<(), Fault> {
        let (core, deadline) = (self.core, self.deadline);
        let state = Some(ApplicationState::Approved.as_str().to_owned());
        let mut which = WhichItems { state, ..WhichItems::default() };
        loop {
            let (rows, is_last) = self.page(ItemKind::Application, &mut which).await?;
            for row in rows {
                if self.is_full() {
                    return Ok(());
                }
                let id = &row.key.id;
                let details = application::life::details(&row)?;
                let suspicions =
                    application::suspects::suspects(core, self.municipality, id, &details, deadline).await?;
                if !suspicions.is_subset(&details.confirmed) {
                    self.hold(HOUSEHOLD_SWAP_SUSPECTED, id, details.order_id);
                    continue;
                }
                let hold = details.hold().map_err(|_| application::life::unreadable())?;
                if card::holder::is_suspected(core, self.municipality, hold.of, deadline).await? {
                    self.hold(FRAUD_SUSPECTED, id, details.order_id);
                    continue;
                }
                let card = card::ids::next(core, self.municipality, id.as_str(), 1, deadline).await?;
                let (order_id, photo) = (details.order_id, Some(details.photo));
                let suspicions = suspicions.into_iter().collect();
                let origin = Origin::Application { key: row.key, hold, suspicions };
                self.queue.waiting.push(Waiting { card, order_id, photo, origin });
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// Names an application that no card is made for now.
    fn hold(&mut self, why: &str, application: &ItemId, order_id: String) {
        if self.queue.held.len() < HELD_MAX {
            let (application_number, why) = (application.to_string(), why.to_owned());
            self.queue.held.push(pb::HeldOrder { application_number, why, order_id });
        }
    }

    /// Orders of accepted batches of which there is no card.
    async fn batches(&mut self, place: Place) -> Result<(), Fault> {
        let mut after = place;
        for _ in 0..PAGES_MAX {
            let rows = self.core.store.list_cards(self.municipality, after.0, None, PAGE);
            let rows = self.deadline.wait(rows).await?.map_err(store_fault)?;
            let is_last = rows.len() < PAGE as usize;
            let known = self.known(&rows).await?;
            for row in rows {
                let here = Place(Some((row.batch_id, row.index)));
                if row.kind == card::ids::KIND
                    && let Some(card) = self.card_of(&row, &known).await?
                {
                    if self.is_full() {
                        (self.queue.next, self.queue.last) = (Some(after), after);
                        return Ok(());
                    }
                    let (order_id, origin) = (row.order_id.clone(), Origin::Batch { after });
                    self.queue.rows.insert(card.id.clone(), row);
                    self.queue.waiting.push(Waiting { card, order_id, photo: None, origin });
                }
                after = here;
            }
            self.queue.last = after;
            if is_last {
                self.queue.next = None;
                return Ok(());
            }
        }
        self.queue.next = Some(after);
        Ok(())
    }

    /// The cards that are called as these orders, with the order that each is for.
    async fn known(&self, rows: &[CardRow]) -> Result<HashMap<ItemId, String>, Fault> {
        let orders = rows.iter().filter(|row| row.kind == card::ids::KIND);
        let key = |row: &CardRow| card::ids::key(self.municipality, card::ids::nth(&row.order_id, 1));
        let keys: Vec<ItemKey> = orders.map(key).collect();
        let items = self.deadline.wait(self.core.store.items_of(&keys)).await?.map_err(store_fault)?;
        items
            .into_iter()
            .map(|item| Ok((item.key.id.clone(), card::life::details(&item)?.order_id)))
            .collect()
    }

    /// The card that an order is to get; `None` if it has one.
    async fn card_of(
        &self,
        row: &CardRow,
        known: &HashMap<ItemId, String>,
    ) -> Result<Option<ItemKey>, Fault> {
        let id = card::ids::nth(&row.order_id, 1);
        match known.get(&id) {
            None => Ok(Some(card::ids::key(self.municipality, id))),
            Some(order_id) if *order_id == row.order_id => Ok(None),
            // It is called as a card that takes the place of another order's.
            Some(_) => {
                let key = card::ids::key(self.municipality, card::ids::other(&row.order_id, 1));
                let item = self.deadline.wait(self.core.store.item(&key)).await?.map_err(store_fault)?;
                Ok(item.is_none().then_some(key))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_back_and_no_other_list_has_it() {
        let batch: BatchId = "0192f0c1-2345-7abc-8def-000000000001".parse().expect("version 7");
        for place in [Place(None), Place(Some((batch, 0))), Place(Some((batch, u64::MAX)))] {
            assert_eq!(Place::of_token(&place.token()), Ok(place));
            assert_eq!(Place::read(&place.text()), Some(place));
        }
        assert_eq!(Place::of_token(""), Ok(Place(None)));
        for bad in [pages::token("cards", "-"), pages::token("pull", "x"), "!".to_owned()] {
            assert!(Place::of_token(&bad).is_err(), "{bad}");
        }
    }
}
