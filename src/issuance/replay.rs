//! How everything with a life stands follows from its history alone: read again, it comes out the same, or
//! what differs is named and, if that is wished, put in its place.
//!
//! What a household, a person or a lot is found by, and what belongs to one item alone, are not read again.

use serde_json::Value;

use crate::{
    domain::item::{ItemKey, ItemKind},
    store::{self, Decided, EventRow, ItemRow, Known, Store},
};

use super::{application, card, mail, production};

/// Histories that are read together.
const PAGE: u32 = 200;

/// Items without a history that are named at the most.
const NAMED_MAX: u32 = 1000;

/// What was read again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Replayed {
    /// Histories.
    pub items: u64,
    /// Events in them.
    pub events: u64,
    /// Items that do not stand as their history says.
    pub different: u64,
    /// Those of them that do now.
    pub repaired: u64,
}

/// An item that does not stand as its history says.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Different {
    /// Whose it is.
    pub municipality: String,
    /// What it is.
    pub kind: &'static str,
    /// What it is called.
    pub item_id: String,
    /// What is wrong.
    pub what: String,
    /// Whether it stands as it should now.
    pub repaired: bool,
}

/// Reads every history again, and makes items stand as they say if `repair` is set.
///
/// # Errors
/// [`store::Error`] if the database cannot be read or written; what differs is no error.
pub async fn replay(
    store: &Store,
    repair: bool,
    tell: &mut (dyn FnMut(&Different) + Send),
) -> Result<Replayed, store::Error> {
    let mut replayed = Replayed::default();
    let mut after: Option<ItemKey> = None;
    loop {
        let page = store.histories_from(after.as_ref(), PAGE).await?;
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        for (key, known) in page {
            replayed.items += 1;
            replayed.events += known.history.len() as u64;
            let Some((what, decided)) = differs(&key, &known) else { continue };
            let events = u32::try_from(known.history.len()).unwrap_or(u32::MAX);
            let repaired = match decided {
                Some(decided) if repair => store.replay_item(&key, events, &decided).await?,
                _ => false,
            };
            note(&mut replayed, &key, what, repaired, tell);
        }
    }
    for key in store.items_without_history(NAMED_MAX).await? {
        note(&mut replayed, &key, "it has no history: restore that from a backup".to_owned(), false, tell);
    }
    Ok(replayed)
}

fn note(
    replayed: &mut Replayed,
    key: &ItemKey,
    what: String,
    repaired: bool,
    tell: &mut (dyn FnMut(&Different) + Send),
) {
    replayed.different += 1;
    replayed.repaired += u64::from(repaired);
    tell(&Different {
        municipality: key.municipality.to_string(),
        kind: key.kind.as_str(),
        item_id: key.id.to_string(),
        what,
        repaired,
    });
}

/// What is wrong with an item, and how it should stand if that can be told; `None` if it stands as it should.
fn differs(key: &ItemKey, known: &Known) -> Option<(String, Option<Decided>)> {
    let Some(decided) = standing(key, &known.history) else {
        return Some(("its history cannot be read: restore it from a backup".to_owned(), None));
    };
    let Some(item) = &known.item else {
        return Some(("it is not there, and has a history".to_owned(), Some(decided)));
    };
    let wrong = difference(item, &decided, known.history.len())?;
    Some((wrong, Some(decided)))
}

/// The first thing in which an item is not what its history says.
fn difference(item: &ItemRow, decided: &Decided, events: usize) -> Option<String> {
    let said = |what: &str, found: &dyn std::fmt::Display, expected: &dyn std::fmt::Display| {
        Some(format!("{what} is {found}, and by its history {expected}"))
    };
    if item.events as usize != events {
        return said("the count of its events", &item.events, &events);
    }
    if item.state != decided.state {
        return said("its state", &item.state, &decided.state);
    }
    if item.since_ms != decided.since_ms {
        return said("the time of its state", &item.since_ms, &decided.since_ms);
    }
    if item.office != decided.office {
        return Some("its office is not the one of its history".to_owned());
    }
    if item.cards != decided.cards {
        return said("the count of its cards", &item.cards, &decided.cards);
    }
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    if read(&item.details) != read(&decided.details) {
        return Some("its details are not those of its history".to_owned());
    }
    None
}

/// How an item stands by its history; `None` if that cannot be read.
fn standing(key: &ItemKey, history: &[EventRow]) -> Option<Decided> {
    match key.kind {
        ItemKind::Mail => Some(mail::life::Life::of(history).ok()?.stored()),
        ItemKind::Card => card::life::Life::of(history).ok()?.decided(&[], 0).ok(),
        ItemKind::Application => application::life::Life::of(history).ok()?.decided(&[], 0).ok(),
        ItemKind::Lot => Some(production::lot::Share::of(history).ok()?.decided(&key.id, &[], 0)),
        ItemKind::Stocktake => mail::stocktake_stands(history),
        ItemKind::Retention => Some(kept(history, "IN_FORCE", 0)?),
        ItemKind::Reading => Some(kept(history, "CORRECTED", 1)?),
        ItemKind::Pull => production::pull_stands(history),
        ItemKind::Form => {
            let first = history.first()?;
            let (state, details) = ("ISSUED".to_owned(), "{}".to_owned());
            Some(Decided { state, since_ms: first.occurred_ms, cards: 1, details, ..Decided::default() })
        }
    }
}

/// What has no life but is written down anew each time: it stands as its last event says.
fn kept(history: &[EventRow], state: &str, cards: u32) -> Option<Decided> {
    let last = history.last()?;
    let _: Value = serde_json::from_str(&last.event).ok()?;
    Some(Decided {
        state: state.to_owned(),
        since_ms: last.occurred_ms,
        cards,
        details: last.event.clone(),
        ..Decided::default()
    })
}
