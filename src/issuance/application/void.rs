//! A void application lets its person apply again at once, and whatever card is under way for it is ended in
//! the same step: nobody is handed a card that was made for somebody else.

use tonic::Request;

use crate::{
    domain::{
        item::{Hold, ItemId, ItemKey, ItemKind},
        life::{application::VoidReason, card::CardState},
    },
    store::{Decided, Found},
    wire::{
        fault::{Fault, Reason},
        pb,
    },
};

use super::{
    super::{
        card::{
            blanks::{self, Tally},
            event::Event as CardEvent,
            life as card,
        },
        core::{Core, store_fault},
        deadline::Deadline,
        mutation::overtaken,
        production::lot,
    },
    event::Event,
    record::{Act, Made},
};

/// Why a card is recalled whose application is void.
const WHY: &str = "its application is void";

/// The card of an application, and the share of blank cards that it was taken from, as they were before.
#[derive(Debug, Clone)]
struct Making {
    card: ItemKey,
    share: Option<ItemKey>,
    hold: Hold,
}

/// Records that an application is void.
pub(super) async fn void(
    core: &Core,
    request: Request<pb::VoidApplicationRequest>,
) -> Result<pb::Application, Fault> {
    let act = Act::begin(core, request).await?;
    let reason = reason(act.request.void_reason())?;
    let making = match &act.before.card_id {
        Some(id) => Some(Making::read(core, &act.key, id, act.deadline).await?),
        None => None,
    };
    let mut with = Vec::new();
    if let Some(Making { card, share, .. }) = &making {
        with.push(card.clone());
        with.extend(share.clone());
    }
    let holds = making.iter().map(|making| making.hold).collect();
    let occurred_ms = act.occurred_ms;
    act.record_with(core, (with, holds), move |at| {
        let event = Event::Void { reason: reason.to_string() };
        let others = match (&making, &at.life.details.card_id) {
            (None, None) => Vec::new(),
            (Some(making), Some(id)) if making.card.id.as_str() == id => {
                making.end(at.found, reason, occurred_ms)?
            }
            _ => return Err(overtaken()),
        };
        Ok(Made { event, others })
    })
    .await
}

impl Making {
    /// Reads what has to be known of a card before it is decided on.
    async fn read(core: &Core, of: &ItemKey, id: &str, deadline: Deadline) -> Result<Self, Fault> {
        let unreadable = |_| card::unreadable();
        let id = id.parse().map_err(|_| card::unreadable())?;
        let key = ItemKey { municipality: of.municipality, kind: ItemKind::Card, id };
        let row = deadline.wait(core.store.item(&key)).await?.map_err(store_fault)?;
        let details = card::details(&row.ok_or_else(card::unreadable)?)?;
        let lot = details.lot.as_ref().map(|lot| lot.parse::<ItemId>()).transpose().map_err(unreadable)?;
        let share = lot.map(|lot| lot::key(of.municipality, lot));
        let hold = card::hold(&details).map_err(|_| card::unreadable())?;
        Ok(Self { card: key, share, hold })
    }

    /// Ends the card where it is; one that has ended stays as it is.
    fn end(
        &self,
        found: &Found,
        reason: VoidReason,
        occurred_ms: i64,
    ) -> Result<Vec<(ItemKey, Decided)>, Fault> {
        let (id, known) = (&self.card.id, &found.with[&self.card]);
        let life = card::Life::of(&known.history).map_err(|_| card::unreadable())?;
        let Some(event) = end_of(&life, reason) else { return Ok(Vec::new()) };
        let events = blanks::given_up(&life, event.clone());
        let after = life.clone().then(id, &events, occurred_ms)?;
        let mut tally = Tally::default();
        tally.note(&life, &event, &after)?;
        let mut ended = tally.decided(self.card.municipality, found, occurred_ms)?;
        ended.push((self.card.clone(), after.decided(&events, occurred_ms)?));
        Ok(ended)
    }
}

/// What happens to a card whose application is void; `None`: it has ended by itself.
fn end_of(card: &card::Life, reason: VoidReason) -> Option<CardEvent> {
    let why = || WHY.to_owned();
    let lot = || card.details.lot.clone().unwrap_or_default();
    match (card.state, reason) {
        (state, _) if !state.is_live() && state != CardState::LostInTransit => None,
        (_, VoidReason::Moved) => Some(CardEvent::Move),
        (_, VoidReason::Died) => Some(CardEvent::Die),
        (CardState::Ordered, _) => Some(CardEvent::Scrap { why: why() }),
        _ => Some(CardEvent::Recall { lot: lot(), why: why() }),
    }
}

fn reason(asked: pb::VoidReason) -> Result<VoidReason, Fault> {
    match asked {
        pb::VoidReason::Moved => Ok(VoidReason::Moved),
        pb::VoidReason::Died => Ok(VoidReason::Died),
        pb::VoidReason::MixedUp => Ok(VoidReason::MixedUp),
        pb::VoidReason::Withdrawn => Ok(VoidReason::Withdrawn),
        pb::VoidReason::Unspecified => {
            let words = "void_reason is missing: MOVED, DIED, MIXED_UP or WITHDRAWN";
            Err(Fault::new(Reason::FieldInvalid, words).violation("void_reason", "one of the four"))
        }
    }
}

#[cfg(test)]
#[path = "void_tests.rs"]
mod tests;
