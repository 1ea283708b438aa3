//! Cards that a producer sent, or that did not arrive, are recorded whole or not at all.

use std::collections::BTreeSet;

use tonic::Request;

use crate::{
    domain::{
        identity::Role,
        item::{ItemId, ItemKey},
        life::card::CardState,
    },
    store::{Decided, Found, ItemRow},
    wire::{
        fault::{Fault, Reason},
        pb,
    },
};

use super::{
    super::{
        card::{self, event::Event, life::Life},
        core::Core,
    },
    asked::{Of, Wrong, ids, is_why, why_words},
    lot::{self, Share},
};

/// What is said of cards that left the producer.
enum Said {
    Sent,
    Lost { why: String },
}

/// A report about a shipment that is about to be recorded.
struct Recording {
    share: ItemKey,
    /// Each once; it is recorded under the first.
    cards: Vec<ItemKey>,
    producer: String,
    shipment: String,
    said: Said,
    occurred_ms: i64,
}

/// Records that cards were sent or lost, and returns the share.
pub(super) async fn ship(core: &Core, request: Request<pb::ReportShipmentRequest>) -> Result<ItemRow, Fault> {
    let (of, request) = Of::read(core, request, Role::Producer)?;
    let mut wrong = Wrong::default();
    let named = request.card_ids.iter().map(String::as_str);
    let named = ids(named, ("card_ids", |at| format!("card_ids[{at}]")), &mut wrong);
    let said = match request.lost {
        why if why.is_empty() => Said::Sent,
        why if is_why(&why) => Said::Lost { why },
        _ => {
            wrong.say("lost", why_words());
            Said::Sent
        }
    };
    let shipment = request.shipment_id;
    if shipment.parse::<ItemId>().is_err() {
        wrong.say("shipment_id", "must be 1 to 64 visible ASCII characters");
    }
    wrong.check(Reason::FieldInvalid)?;
    of.own_share().await?;
    let named: Vec<ItemId> = named.into_iter().flatten().collect();
    let cards: Vec<ItemKey> = named.into_iter().map(|id| card::ids::key(of.municipality, id)).collect();
    let share = of.share();
    let first = cards.first().cloned().expect("one at least is named");
    let with: BTreeSet<ItemKey> = cards.iter().skip(1).cloned().chain([share.clone()]).collect();
    let items = (with.into_iter().collect(), Vec::new());
    let occurred_ms = of.mutation.occurred_ms;
    let recording = Recording { share, cards, producer: of.name.clone(), shipment, said, occurred_ms };
    let decided = move |found: &Found| recording.decide(found);
    of.mutation.clone().change_with(core, of.deadline, first, items, decided).await?;
    of.own_share().await
}

impl Recording {
    fn decide(&self, found: &Found) -> Result<Decided, Fault> {
        let (lot, occurred_ms) = (&self.share.id, self.occurred_ms);
        let known = found.with.get(&self.share).expect("it was asked for");
        let share = Share::of(&known.history).map_err(|_| lot::unreadable())?;
        let mut wrong = Wrong::default();
        let (mut own, mut all, mut count) = (None, Vec::new(), 0);
        for (at, key) in self.cards.iter().enumerate() {
            let history = match found.with.get(key) {
                Some(known) => &known.history,
                None => &found.history,
            };
            let life = Life::of(history).map_err(|_| card::life::unreadable())?;
            let before = life.state;
            match self.one(key, life) {
                Ok(decided) if at == 0 => own = Some(decided),
                Ok(decided) => all.push((key.clone(), decided)),
                Err(fault) if fault.reason == Reason::Internal => return Err(fault),
                Err(fault) => wrong.say(format!("card_ids[{at}]"), fault.message),
            }
            // One that has arrived before is counted already.
            let counts = match self.said {
                Said::Sent => matches!(before, CardState::QcPassed),
                Said::Lost { .. } => matches!(before, CardState::Shipped | CardState::Recalled),
            };
            count += u64::from(counts);
        }
        wrong.check(Reason::ItemState)?;
        if count > 0 {
            let events = [match self.said {
                Said::Sent => lot::Event::Ship { cards: count },
                Said::Lost { .. } => lot::Event::Lose { cards: count },
            }];
            let share = share.then(lot, &events, occurred_ms)?.decided(lot, &events, occurred_ms);
            all.push((self.share.clone(), share));
        }
        let own = own.expect("the first card is one of them");
        Ok(Decided { with: all, ..own })
    }

    fn one(&self, key: &ItemKey, life: Life) -> Result<Decided, Fault> {
        let (id, lot) = (&key.id, &self.share.id);
        let details = &life.details;
        let own = (details.producer.as_deref(), details.lot.as_deref())
            == (Some(self.producer.as_str()), Some(lot.as_str()));
        if !own {
            let words = format!("nothing of yours in lot {lot} has this id: check it");
            return Err(Fault::new(Reason::ItemState, words));
        }
        let event = match &self.said {
            Said::Sent => Event::Ship { shipment: self.shipment.clone() },
            Said::Lost { why } => {
                if let Some(other) = details.shipment.as_ref().filter(|other| **other != self.shipment) {
                    let words = format!("it went with shipment {other}: name that one");
                    return Err(Fault::new(Reason::ItemState, words));
                }
                Event::LoseInTransit { why: why.clone() }
            }
        };
        let events = [event];
        life.then(id, &events, self.occurred_ms)?.decided(&events, self.occurred_ms)
    }
}
