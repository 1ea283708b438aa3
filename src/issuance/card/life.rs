//! Where a card stands and what an event makes of it: pure, made of its history alone.
//!
//! A shipment that is reported after the arrival changes nothing any more: whichever comes first, the card
//! has arrived.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        date::Date,
        digest::Digest,
        item::{Hold, HoldKind, ItemId, Link, LinkKind},
        life::{
            IllegalTransition, Why,
            activation::{Intent, IntentState, SessionId},
            card::{CardCommand, CardState},
        },
    },
    store::{Decided, EventRow, ItemRow},
    wire::fault::{Fault, Reason},
};

use super::event::{Event, Unreadable};

/// What is kept beside the state: it follows from the history, and has no personal data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Details {
    /// The order of an accepted batch that says for whom it is.
    pub(crate) order_id: String,
    pub(crate) application: Option<String>,
    pub(crate) instead_of: Option<String>,
    /// The card that took its place.
    pub(crate) remade_as: Option<String>,
    /// The person's blind index, as 64 hex digits.
    pub(crate) person: String,
    pub(crate) photo: Option<String>,
    pub(crate) lot: Option<String>,
    /// Who makes it, and until when nobody else does, ms since the Unix epoch.
    pub(crate) producer: Option<String>,
    pub(crate) leased_until_ms: Option<i64>,
    /// What the chip signs with: hex of its public key.
    pub(crate) chip_key: Option<String>,
    pub(crate) last_day: Option<String>,
    pub(crate) shipment: Option<String>,
    /// The activation that was begun last.
    pub(crate) session: Option<String>,
    pub(crate) fraud_suspected: bool,
    /// Accommodations that the producer could not meet.
    pub(crate) unmet: Vec<String>,
    /// The producer found it bad: its blank card is scrapped.
    pub(crate) nok: bool,
    /// When it left the producer, as that says, ms since the Unix epoch.
    pub(crate) shipped_ms: Option<i64>,
    /// It left the producer and nobody has it, also if that does not matter any more.
    pub(crate) lost: bool,
}

/// A card, made of all that happened to it.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    pub(crate) state: CardState,
    /// When it came into its state, ms since the Unix epoch.
    pub(crate) since_ms: i64,
    pub(crate) details: Details,
    pub(crate) office: String,
    /// Every activation that was begun.
    pub(crate) intents: BTreeMap<SessionId, IntentState>,
    /// It arrived before anybody said that it was sent.
    arrived_first: bool,
    is_ordered: bool,
    was_recalled: bool,
}

impl Life {
    /// Reads a life out of its history; one without any is a card that nobody has asked for.
    pub(crate) fn of(history: &[EventRow]) -> Result<Self, Unreadable> {
        let mut life = Self {
            state: CardState::Ordered,
            since_ms: 0,
            details: Details::default(),
            office: String::new(),
            intents: BTreeMap::new(),
            arrived_first: false,
            is_ordered: false,
            was_recalled: false,
        };
        for row in history {
            let event = Event::read(&row.event)?;
            life.take(&event, row.occurred_ms)?.map_err(|_| Unreadable)?;
        }
        Ok(life)
    }

    /// Whether anybody has ordered it.
    pub(crate) fn is_ordered(&self) -> bool {
        self.is_ordered
    }

    /// The activation of this session, if it was begun.
    pub(crate) fn intent(&self, session: SessionId) -> Option<Intent> {
        self.intents.get(&session).map(|state| Intent::stored(session, *state))
    }

    /// Its last day, once it is made.
    pub(crate) fn last_day(&self) -> Option<Date> {
        self.details.last_day.as_deref().and_then(Date::parse)
    }

    /// The hold by which a person has one active card.
    pub(crate) fn hold(&self) -> Result<Hold, Unreadable> {
        hold(&self.details)
    }

    /// The life after these events.
    ///
    /// # Errors
    /// The fault of the first event that does not fit, which names the card.
    pub(crate) fn then(mut self, id: &ItemId, events: &[Event], occurred_ms: i64) -> Result<Self, Fault> {
        for event in events {
            let taken = self.take(event, occurred_ms).map_err(|_| unreadable())?;
            taken.map_err(|illegal| refused(id, &illegal))?;
        }
        Ok(self)
    }

    fn take(&mut self, event: &Event, occurred_ms: i64) -> Result<Result<(), IllegalTransition>, Unreadable> {
        if self.is_told_late(event) {
            self.note(event, occurred_ms)?;
            return Ok(Ok(()));
        }
        let mut next = self.state;
        if let Some(command) = event.command()? {
            if command == CardCommand::Arrive && self.state == CardState::QcPassed {
                next = CardState::Shipped;
            }
            match next.after(&command) {
                Ok(_) if !self.is_where(&command) => return Ok(Err(self.not_there(&command))),
                Ok(after) => next = after,
                Err(illegal) => return Ok(Err(illegal)),
            }
        }
        if next != self.state || !self.is_ordered {
            self.since_ms = occurred_ms;
            // Whoever takes it out of ACTIVATING in another way gives the activation up.
            if self.state == CardState::Activating {
                self.intents.values_mut().for_each(|one| {
                    if *one == IntentState::Begun && next != CardState::Active {
                        *one = IntentState::Aborted;
                    }
                });
            }
        }
        self.state = next;
        self.was_recalled |= next == CardState::Recalled;
        self.note(event, occurred_ms)?;
        Ok(Ok(()))
    }

    /// Whether a recalled card is where it can arrive, be lost or be found, as it is counted there once, or
    /// be given back by a holder, and whether one that was given back was recalled before, so that its holder
    /// gets another for it. Of any other card its state says so.
    fn is_where(&self, command: &CardCommand) -> bool {
        let (is_there, details) = (!self.office.is_empty(), &self.details);
        match command {
            CardCommand::Remake { .. } if self.state == CardState::Surrendered => self.was_recalled,
            _ if self.state != CardState::Recalled => true,
            CardCommand::Arrive => !is_there && !details.lost,
            CardCommand::LoseInTransit => !is_there && !details.lost && details.shipment.is_some(),
            CardCommand::FindAgain { .. } => details.lost,
            CardCommand::Surrender => self.intents.values().any(|one| *one == IntentState::Confirmed),
            _ => true,
        }
    }

    fn not_there(&self, command: &CardCommand) -> IllegalTransition {
        let (state, command) = (self.state.as_str(), command.as_str());
        IllegalTransition { life: "a card", state, command, why: Why::State }
    }

    fn is_told_late(&self, event: &Event) -> bool {
        matches!(event, Event::Ship { .. }) && self.arrived_first && self.details.shipment.is_none()
    }

    /// Keeps what an event says beside the state.
    fn note(&mut self, event: &Event, occurred_ms: i64) -> Result<(), Unreadable> {
        let details = &mut self.details;
        match event {
            Event::Order { order_id, application, instead_of, person, photo } => {
                self.is_ordered = true;
                details.order_id.clone_from(order_id);
                details.application.clone_from(application);
                details.instead_of.clone_from(instead_of);
                details.person.clone_from(person);
                details.photo.clone_from(photo);
            }
            Event::Lease { producer, lot, until_ms } => {
                details.producer = Some(producer.clone());
                details.lot = Some(lot.clone());
                details.leased_until_ms = Some(*until_ms);
            }
            Event::Unlease { .. } => {
                (details.producer, details.lot, details.leased_until_ms) = (None, None, None);
            }
            Event::ReportNok { .. } => details.nok = true,
            Event::Personalise { chip_key, last_day, unmet } => {
                details.chip_key = Some(chip_key.clone());
                details.last_day.clone_from(last_day);
                details.unmet.clone_from(unmet);
            }
            Event::Ship { shipment } => {
                details.shipment = Some(shipment.clone());
                details.shipped_ms = Some(occurred_ms);
            }
            Event::LoseInTransit { .. } => details.lost = true,
            Event::Arrive { office } | Event::FindAgain { office, .. } => {
                // Nobody has said yet that it was sent.
                self.arrived_first |= details.shipment.is_none();
                details.lost = false;
                self.office.clone_from(office);
            }
            Event::BeginActivation { session, .. } => {
                details.session = Some(session.clone());
                self.intents.insert(session_id(session)?, IntentState::Begun);
            }
            Event::ConfirmActivation { session, .. } => {
                self.intents.insert(session_id(session)?, IntentState::Confirmed);
            }
            Event::AbortActivation { session, .. } => {
                self.intents.insert(session_id(session)?, IntentState::Aborted);
            }
            Event::Remake { card_id, .. } => details.remade_as = Some(card_id.clone()),
            Event::SuspectFraud { .. } => details.fraud_suspected = true,
            Event::ClearFraud { .. } => details.fraud_suspected = false,
            _ => {}
        }
        Ok(())
    }

    /// What is stored of this life, which these events have led to.
    ///
    /// Its holds must be among those that are asked for: the person's active card.
    pub(crate) fn decided(&self, events: &[Event], occurred_ms: i64) -> Result<Decided, Fault> {
        let mut decided = Decided {
            events: events.iter().map(|event| (occurred_ms, event.text())).collect(),
            state: self.state.as_str().to_owned(),
            since_ms: self.since_ms,
            office: self.office.clone(),
            cards: 1,
            details: serde_json::to_string(&self.details).expect("it has only texts and numbers"),
            ..Decided::default()
        };
        let hold = self.hold().map_err(|_| unreadable())?;
        if self.state.may_be_active() {
            decided.take.push(hold);
        } else {
            decided.leave.push(hold);
        }
        let last_day = self.last_day().map(Link::of_day);
        let has_ended = !self.state.is_live() && self.state != CardState::LostInTransit;
        for event in events {
            match event {
                Event::Order { .. } => decided.link.push(Link { kind: LinkKind::Person, of: hold.of }),
                Event::Lease { lot, .. } => {
                    decided.link.push(Link::of_lot(&lot.parse().map_err(|_| unreadable())?));
                }
                Event::Unlease { lot, .. } => {
                    decided.unlink.push(Link::of_lot(&lot.parse().map_err(|_| unreadable())?));
                }
                Event::Personalise { .. } if !has_ended => decided.link.extend(last_day),
                _ => {}
            }
        }
        if has_ended {
            decided.unlink.extend(last_day);
        }
        Ok(decided)
    }
}

/// The details of a card that is stored.
pub(crate) fn details(row: &ItemRow) -> Result<Details, Fault> {
    serde_json::from_str(&row.details).map_err(|_| unreadable())
}

/// The hold by which a person has one active card.
pub(crate) fn hold(details: &Details) -> Result<Hold, Unreadable> {
    let person: Digest = details.person.parse().map_err(|_| Unreadable)?;
    Ok(Hold { kind: HoldKind::ActiveCard, of: person.0 })
}

fn session_id(text: &str) -> Result<SessionId, Unreadable> {
    text.parse().map(SessionId).map_err(|_| Unreadable)
}

/// The fault of a command that a card does not take.
pub(crate) fn refused(id: &ItemId, illegal: &IllegalTransition) -> Fault {
    let reason = match illegal.why {
        Why::OtherCard => Reason::OtherCard,
        Why::NoIdentity => Reason::IdentityNotProved,
        _ => Reason::ItemState,
    };
    Fault::new(reason, format!("card {id}: {illegal}"))
        .with("card_id", id.as_str())
        .with("state", illegal.state)
}

/// The fault of a history that cannot be read.
pub(crate) fn unreadable() -> Fault {
    Fault::new(Reason::Internal, "the stored history of a card is unreadable: tell the operator")
}

#[cfg(test)]
#[path = "life_tests.rs"]
mod tests;
