//! Where an envelope stands and what an event makes of it: pure, and the same for every order of arrival.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    domain::{
        date,
        digest::Digest,
        life::mail::standing::{MailEvent, Standing},
    },
    store::{Decided, EventRow, ItemRow},
    wire::fault::{Fault, Reason},
};

use super::{
    super::caller::not_yours,
    event::{Event, Evidence, Unreadable},
};

/// Reports of press and post that an envelope takes: the rest of its history is its owner's.
const SCANS_MAX: usize = 100;

/// An event with when it happened, who says so, and by which request of theirs.
#[derive(Debug, Clone)]
pub(crate) struct Happened {
    pub(crate) event: Event,
    pub(crate) occurred_ms: i64,
    pub(crate) actor: String,
    pub(crate) request_id: String,
}

/// What is kept beside the state, for lists: it follows from the history.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Details {
    pub(crate) order_ids: Vec<String>,
    pub(crate) evidence: Option<Evidence>,
    pub(crate) proposed_by: Option<String>,
    pub(crate) counted_ms: Option<i64>,
    pub(crate) out_of_place: u32,
}

/// An envelope, made of all that happened to it.
#[derive(Debug)]
pub(crate) struct Life {
    happened: Vec<Happened>,
    standing: Standing,
}

impl Life {
    /// Reads a life out of its history.
    pub(crate) fn of(history: &[EventRow]) -> Result<Self, Unreadable> {
        let read = |row: &EventRow| {
            Ok(Happened {
                event: Event::read(&row.event)?,
                occurred_ms: row.occurred_ms,
                actor: row.actor.clone(),
                request_id: row.request_id.clone(),
            })
        };
        Self::made(history.iter().map(read).collect::<Result<_, _>>()?)
    }

    fn made(happened: Vec<Happened>) -> Result<Self, Unreadable> {
        let mut events = Vec::with_capacity(happened.len());
        for one in &happened {
            if let Some(command) = one.event.command()? {
                events.push(MailEvent { id: one.id(), occurred_ms: one.occurred_ms, command });
            }
        }
        Ok(Self { standing: Standing::of(events), happened })
    }

    pub(crate) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Its cards, as the press first said.
    pub(crate) fn order_ids(&self) -> &[String] {
        let mut named = self.happened.iter().map(|one| one.event.order_ids());
        named.find(|orders| !orders.is_empty()).unwrap_or_default()
    }

    /// When a stocktake last saw it.
    pub(crate) fn counted_ms(&self) -> Option<i64> {
        let seen = |one: &&Happened| matches!(one.event, Event::Count { .. } | Event::FindAgain { .. });
        self.happened.iter().filter(seen).map(|one| one.occurred_ms).max()
    }

    /// The office that put it away last.
    pub(crate) fn office(&self) -> &str {
        let stores = self.happened.iter().filter_map(|one| match &one.event {
            Event::Store { office } => Some((one.occurred_ms, office.as_str())),
            _ => None,
        });
        stores.max().map_or("", |(_, office)| office)
    }

    /// Why an event does not fit where it stands; `None` if it does.
    pub(crate) fn out_of_place(&self, of: &Happened) -> Option<String> {
        let id = of.id();
        self.standing.out_of_place.iter().find(|one| one.event.id == id).map(|one| one.why.to_string())
    }

    pub(crate) fn happened(&self) -> &[Happened] {
        &self.happened
    }

    /// What is stored of it, without its events.
    pub(crate) fn stored(&self) -> Decided {
        let standing = &self.standing;
        let last = self.happened.last().map_or(0, |one| one.occurred_ms);
        Decided {
            state: standing.state.as_str().to_owned(),
            since_ms: standing.since_ms.unwrap_or(last),
            office: self.office().to_owned(),
            cards: u32::try_from(self.order_ids().len()).unwrap_or(u32::MAX),
            details: serde_json::to_string(&self.details()).expect("it has only texts and numbers"),
            ..Decided::default()
        }
    }

    fn details(&self) -> Details {
        Details {
            order_ids: self.order_ids().to_vec(),
            evidence: self.standing.insertion.map(Evidence::from),
            proposed_by: self.standing.proposed_by.as_ref().map(ToString::to_string),
            counted_ms: self.counted_ms(),
            out_of_place: u32::try_from(self.standing.out_of_place.len()).unwrap_or(u32::MAX),
        }
    }
}

impl Happened {
    fn is_scan(&self) -> bool {
        self.event.command().is_ok_and(|command| command.is_some_and(|command| command.is_scan()))
    }

    /// The same for the same request, wherever and whenever it was recorded.
    fn id(&self) -> Uuid {
        let Self { actor, request_id, event, .. } = self;
        let digest = Digest::of(format!("{actor}\n{request_id}\n{}", event.word()).as_bytes());
        Uuid::from_slice(&digest.as_bytes()[..16]).expect("sixteen bytes")
    }
}

fn sorted(order_ids: &[String]) -> Vec<&String> {
    let mut sorted: Vec<&String> = order_ids.iter().collect();
    sorted.sort_unstable();
    sorted
}

/// Decides on an event: a scan is always taken, an act of an office only if it fits.
pub(crate) fn decide(before: Life, new: &Happened) -> Result<Decided, Fault> {
    let is_scan = new.event.command().map_err(|_| unreadable())?.is_some_and(|command| command.is_scan());
    if before.happened.is_empty() && !is_scan {
        return Err(not_yours());
    }
    let (named, known) = (new.event.order_ids(), before.order_ids());
    if !named.is_empty() && !known.is_empty() && sorted(named) != sorted(known) {
        let words = "this envelope was reported with other cards: look at the press's list";
        let fault = Fault::new(Reason::ItemState, words);
        return Err(fault.violation("order_ids", "not those of the first report"));
    }
    let scans = before.happened.iter().filter(|one| one.is_scan()).count();
    if is_scan && scans >= SCANS_MAX {
        let words = format!("it has {SCANS_MAX} reports of press and post, and takes no more: ask its owner");
        return Err(Fault::new(Reason::LimitExceeded, words));
    }
    let after = before.happened.into_iter().chain([new.clone()]).collect();
    let after = Life::made(after).map_err(|_| unreadable())?;
    // Neither may it put out of place what was decided before.
    if !is_scan && after.standing.out_of_place.len() > before.standing.out_of_place.len() {
        return Err(refused(&before.standing, new, after.out_of_place(new)));
    }
    // Nor be without effect, as it is said to have happened before what has been heard since.
    if new.event.takes_out() && after.standing.state.has_cards() {
        return Err(refused(&before.standing, new, None));
    }
    Ok(Decided { events: vec![(new.occurred_ms, new.event.text())], ..after.stored() })
}

/// The fault of an act that does not fit, with why if that is not its time.
fn refused(before: &Standing, new: &Happened, why: Option<String>) -> Fault {
    let Standing { state, since_ms, .. } = before;
    let is_early = since_ms.is_some_and(|since_ms| new.occurred_ms <= since_ms);
    let since = since_ms.map(date::utc).unwrap_or_default();
    let why = why.filter(|_| !is_early).unwrap_or_else(|| {
        let word = new.event.word();
        format!("a mail item that is {state} since {since} takes no {word} of before: see occurred_time")
    });
    Fault::new(Reason::ItemState, why).with("state", state.as_str())
}

/// What is kept of an envelope that is stored.
pub(crate) fn details(row: &ItemRow) -> Result<Details, Fault> {
    serde_json::from_str(&row.details).map_err(|_| unreadable())
}

/// The fault of a history that cannot be read.
pub(crate) fn unreadable() -> Fault {
    Fault::new(Reason::Internal, "the stored history is unreadable: tell the operator")
}
