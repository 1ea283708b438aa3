//! A stocktake names what is missing on an office's shelves and what is there beyond it; one that breaks off
//! goes on where it was when the same call comes again, and one that has ended is answered as before.
//!
//! Where more lies than one takes, each is of a range of ids: they are the one thing that shelves and
//! database have in the same order.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tonic::Request;

use crate::{
    domain::{
        digest::Digest,
        identity::Role,
        item::{ItemId, ItemKey, ItemKind},
        life::mail::MailState,
        municipality::MunicipalityCode,
    },
    store::{Asked, Changed, Decided, EventRow, Found, ItemRow, WhichItems},
    wire::{
        fault::{Fault, Reason},
        pb,
    },
};

use super::{
    super::{
        caller::one_of,
        core::{Core, store_fault},
        deadline::Deadline,
        mutation::{Mutation, id_of, not_after_restore},
        office,
    },
    event::Event,
    life::{Happened, Life, decide, unreadable},
    view,
};

/// Envelopes of a stocktake at the most: that lie there, and that should.
const ITEMS_MAX: usize = 20_000;
/// What to do about more.
const IN_PARTS: &str = "count in parts, each with a range of ids (from_mail_item_id, until_mail_item_id) and \
                        a request_id of its own";
/// Envelopes that are noted at once.
const AT_ONCE: usize = 64;
/// Envelopes of a page.
const PAGE: u32 = 1000;

/// States of a stocktake.
const BEGUN: &str = "BEGUN";
const ENDED: &str = "ENDED";

/// What a stocktake found, as it is stored.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Findings {
    counted: u32,
    missing: Vec<String>,
    found_again: Vec<String>,
    surplus: Vec<(String, String)>,
    still_missing: Vec<String>,
}

/// What a stocktake finds about one envelope.
#[derive(Debug)]
enum Finding {
    Counted,
    Missing,
    FoundAgain,
    Surplus(String),
    /// It was missing before, and still is.
    StillMissing,
    /// It should not be there.
    Nothing,
}

/// Why nothing is noted.
enum Stop {
    Found(Finding),
    Failed(Fault),
}

/// One stocktake while it is carried out.
struct Stocktake<'a> {
    core: &'a Core,
    municipality: MunicipalityCode,
    office: Arc<str>,
    range: Range,
    mutation: Mutation,
    deadline: Deadline,
}

/// The ids that are counted: from one on, and up to another without it.
#[derive(Debug, Default)]
struct Range {
    from: Option<ItemId>,
    until: Option<ItemId>,
}

impl Range {
    fn of(request: &pb::SubmitStocktakeRequest) -> Result<Self, Fault> {
        let end = |text: &str, field| (!text.is_empty()).then(|| id_of(text, field)).transpose();
        let from = end(&request.from_mail_item_id, "from_mail_item_id")?;
        let until = end(&request.until_mail_item_id, "until_mail_item_id")?;
        if from.is_some() && until.is_some() && from >= until {
            let words = "until_mail_item_id must come after from_mail_item_id: nothing is between";
            let what = "after from_mail_item_id, by its bytes";
            return Err(Fault::new(Reason::FieldInvalid, words).violation("until_mail_item_id", what));
        }
        Ok(Self { from, until })
    }

    fn contains(&self, id: &ItemId) -> bool {
        self.from.as_ref().is_none_or(|from| id >= from) && self.until.as_ref().is_none_or(|until| id < until)
    }
}

/// Holds what lies in an office against what should.
pub(super) async fn take(
    core: &Core,
    request: Request<pb::SubmitStocktakeRequest>,
) -> Result<pb::SubmitStocktakeResponse, Fault> {
    let caller = one_of(&request, &[Role::Municipality])?;
    let municipality = caller.municipality().expect("the role says so");
    let deadline = Deadline::of(request.metadata(), core.options.call_deadline);
    let request = request.into_inner();
    let common = (request.request_id.as_str(), request.occurred_time.as_ref());
    let mutation = Mutation::of(core, &caller, "SubmitStocktakeRequest", &request, common)?;
    if request.mail_item_ids.len() > ITEMS_MAX {
        let words = format!("a stocktake takes {ITEMS_MAX} envelopes at the most: {IN_PARTS}");
        return Err(Fault::new(Reason::LimitExceeded, words));
    }
    let range = Range::of(&request)?;
    let mut seen = BTreeSet::new();
    for (at, id) in request.mail_item_ids.iter().enumerate() {
        let id = id_of(id, "mail_item_ids")?;
        if !range.contains(&id) {
            let words = format!("mail_item_ids[{at}] is outside the range: count it in the part that has it");
            let field = format!("mail_item_ids[{at}]");
            return Err(Fault::new(Reason::FieldInvalid, words).violation(field, "in the range"));
        }
        if !seen.insert(id) {
            let words = format!("mail_item_ids[{at}] stands there twice: count it once");
            return Err(Fault::new(Reason::FieldInvalid, words).violation("mail_item_ids", "each once"));
        }
    }
    let office = office::read(&request.office)?.into();
    not_after_restore(core, &caller, deadline).await?;
    Stocktake { core, municipality, office, range, mutation, deadline }.run(&seen).await
}

impl Stocktake<'_> {
    async fn run(&self, seen: &BTreeSet<ItemId>) -> Result<pb::SubmitStocktakeResponse, Fault> {
        let begun = self.note(&self.mutation.request_id, BEGUN, "{}".to_owned()).await?;
        if begun.state == ENDED {
            return read(&begun);
        }
        let mut all = self.expected().await?;
        all.extend(seen.iter().cloned());
        let findings = stream::iter(all).map(|id| async {
            let found = self.look(&id, seen.contains(&id)).await;
            found.map(|found| (id, found))
        });
        let mut findings = findings.buffer_unordered(AT_ONCE);
        let mut result = Findings::default();
        while let Some(found) = findings.next().await {
            let (id, finding) = found?;
            match finding {
                Finding::Counted => result.counted += 1,
                Finding::Missing => result.missing.push(id.to_string()),
                Finding::FoundAgain => result.found_again.push(id.to_string()),
                Finding::Surplus(why) => result.surplus.push((id.to_string(), why)),
                Finding::StillMissing => result.still_missing.push(id.to_string()),
                Finding::Nothing => {}
            }
        }
        result.missing.sort_unstable();
        result.found_again.sort_unstable();
        result.surplus.sort_unstable();
        result.still_missing.sort_unstable();
        let details = serde_json::to_string(&result).expect("it has only texts and numbers");
        read(&self.note(&self.derived("end"), ENDED, details).await?)
    }

    /// Writes down that it began, or what it found.
    async fn note(&self, request_id: &str, state: &'static str, details: String) -> Result<ItemRow, Fault> {
        let id = self.mutation.request_id.parse().map_err(|_| unreadable())?;
        let key = ItemKey { municipality: self.municipality, kind: ItemKind::Stocktake, id };
        let (office, occurred_ms) = (self.office.to_string(), self.mutation.occurred_ms);
        let mutation = Mutation { request_id: request_id.to_owned(), ..self.mutation.clone() };
        let decide = move |_: &Found| {
            // What it found is in the event too: how it stands follows from its history alone.
            let findings: serde_json::Value = serde_json::from_str(&details).unwrap_or_default();
            let event = serde_json::json!({"event": state, "office": office, "findings": findings});
            Ok(Decided {
                events: vec![(occurred_ms, event.to_string())],
                state: state.to_owned(),
                since_ms: occurred_ms,
                office: office.clone(),
                cards: 0,
                details: details.clone(),
                ..Decided::default()
            })
        };
        mutation.change(self.core, self.deadline, key, Vec::new(), decide).await
    }

    /// What should lie in the office, and what was missing there.
    async fn expected(&self) -> Result<BTreeSet<ItemId>, Fault> {
        let mut all = BTreeSet::new();
        for state in [MailState::Stored, MailState::Missing] {
            let mut which = WhichItems {
                state: Some(state.as_str().to_owned()),
                office: self.office.to_string(),
                ..WhichItems::default()
            };
            loop {
                let page = self.core.store.list_items(self.municipality, ItemKind::Mail, &which, PAGE);
                let page = self.deadline.wait(page).await?.map_err(store_fault)?;
                which.after = page.last().map(|item| (item.since_ms, item.key.id.clone()));
                let is_last = page.len() < PAGE as usize;
                all.extend(page.into_iter().map(|item| item.key.id).filter(|id| self.range.contains(id)));
                if all.len() > ITEMS_MAX {
                    let words = format!("more than {ITEMS_MAX} envelopes should lie there: {IN_PARTS}");
                    return Err(Fault::new(Reason::LimitExceeded, words));
                }
                if is_last {
                    break;
                }
            }
        }
        Ok(all)
    }

    /// Notes what is found about one envelope, once.
    async fn look(&self, id: &ItemId, is_seen: bool) -> Result<Finding, Fault> {
        let request_id = self.of_item(id);
        let asked = Asked {
            key: view::key(self.municipality, id.clone()),
            with: Vec::new(),
            request_id: request_id.clone(),
            fingerprint: self.mutation.fingerprint,
            actor: self.mutation.actor.clone(),
            holds: Vec::new(),
            now_ms: self.mutation.now_ms,
        };
        let (office, occurred_ms) = (Arc::clone(&self.office), self.mutation.occurred_ms);
        let actor = self.mutation.actor.clone();
        let decided = move |found: &Found| -> Result<Decided, Stop> {
            let event = noted(found.item.as_ref(), &office, is_seen, occurred_ms).map_err(Stop::Found)?;
            let life = Life::of(&found.history).map_err(|_| Stop::Failed(unreadable()))?;
            let new = Happened { event, occurred_ms, actor: actor.clone(), request_id: request_id.clone() };
            decide(life, &new).map_err(|fault| match fault.reason {
                Reason::ItemState => Stop::Found(beyond(is_seen, fault.message)),
                _ => Stop::Failed(fault),
            })
        };
        let changed = self.core.store.change_item(asked, decided);
        match self.deadline.wait(changed).await?.map_err(store_fault)? {
            Changed::Refused(Stop::Found(finding)) => Ok(finding),
            Changed::Refused(Stop::Failed(fault)) => Err(fault),
            Changed::HistoryFull => Ok(beyond(is_seen, "its history is full: tell the operator".to_owned())),
            Changed::RequestReused => Err(unreadable()),
            Changed::Done(item) | Changed::Again(item) if is_seen => {
                let again = self.was_found_again(&item).await?;
                Ok(if again { Finding::FoundAgain } else { Finding::Counted })
            }
            Changed::Done(_) | Changed::Again(_) => Ok(Finding::Missing),
        }
    }

    async fn was_found_again(&self, item: &ItemRow) -> Result<bool, Fault> {
        let request_id = self.of_item(&item.key.id);
        let history = self.core.store.item_history(&item.key);
        let history = self.deadline.wait(history).await?.map_err(store_fault)?;
        let own = history.iter().rfind(|event| event.request_id == request_id);
        let event = own.map(|event| Event::read(&event.event)).transpose().map_err(|_| unreadable())?;
        Ok(matches!(event, Some(Event::FindAgain { .. })))
    }

    /// The id under which one envelope is noted. No id has a line feed, so no envelope's is that of the end.
    fn of_item(&self, id: &ItemId) -> String {
        self.derived(&format!("item\n{id}"))
    }

    /// The id of one step of this stocktake, the same each time.
    fn derived(&self, of: &str) -> String {
        let digest = Digest::of(format!("{}\n{of}", self.mutation.request_id).as_bytes());
        format!("stocktake-{}", &digest.to_string()[..40])
    }
}

/// What is noted of an envelope that was seen, or should have been; or what there is to say without a note.
fn noted(item: Option<&ItemRow>, office: &str, is_seen: bool, occurred_ms: i64) -> Result<Event, Finding> {
    let office_of = |item: &ItemRow| item.office == office;
    let named = || office.to_owned();
    // What came or went after the count says nothing of it.
    if let Some(item) = item.filter(|item| item.since_ms > occurred_ms) {
        return Err(beyond(is_seen, format!("it is {} since the count", item.state)));
    }
    match item.map(|item| (item.state.parse::<MailState>(), item)) {
        Some((Ok(MailState::Stored), item)) if office_of(item) => Ok(if is_seen {
            Event::Count { office: named() }
        } else {
            Event::FindMissing { office: named() }
        }),
        Some((Ok(MailState::Missing), item)) if office_of(item) && is_seen => {
            Ok(Event::FindAgain { office: named() })
        }
        Some((Ok(MailState::Missing), item)) if office_of(item) => Err(Finding::StillMissing),
        _ if !is_seen => Err(Finding::Nothing),
        None => Err(Finding::Surplus("nobody has reported this envelope".to_owned())),
        Some((_, item)) if matches!(item.state.as_str(), "STORED" | "MISSING") => {
            Err(Finding::Surplus(format!("it should be at {}", item.office)))
        }
        Some((_, item)) => Err(Finding::Surplus(format!("it is {}", item.state))),
    }
}

/// What there is to say of an envelope that is not noted: something only if it was seen.
fn beyond(is_seen: bool, why: String) -> Finding {
    if is_seen { Finding::Surplus(why) } else { Finding::Nothing }
}

/// How a stocktake stands by its history; `None` if that cannot be read.
pub(crate) fn stands(history: &[EventRow]) -> Option<Decided> {
    let last = history.last()?;
    let event: serde_json::Value = serde_json::from_str(&last.event).ok()?;
    Some(Decided {
        state: event["event"].as_str()?.to_owned(),
        since_ms: last.occurred_ms,
        office: event["office"].as_str()?.to_owned(),
        details: event["findings"].to_string(),
        ..Decided::default()
    })
}

/// Reads what a stocktake found.
fn read(row: &ItemRow) -> Result<pb::SubmitStocktakeResponse, Fault> {
    let found: Findings = serde_json::from_str(&row.details).map_err(|_| unreadable())?;
    let surplus = found.surplus.into_iter().map(|(mail_item_id, why)| pb::Surplus { mail_item_id, why });
    Ok(pb::SubmitStocktakeResponse {
        counted: found.counted,
        missing: found.missing,
        found_again: found.found_again,
        surplus: surplus.collect(),
        still_missing: found.still_missing,
    })
}
