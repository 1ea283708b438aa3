//! Something happened to a holder: every card and application of the person that it concerns changes in one
//! step, or none does. What is found before the step is looked at again in it: if any of it has changed
//! meanwhile, the caller is told to ask again. With several issuers an application that comes in at the very
//! moment of the commit counts as one that came later.
//!
//! An order that no producer has been given is ended by a move or a death like a card.
//!
//! A suspicion of fraud suspends what is active, calls back what is in flight, and makes what is applied for
//! void; whatever else is ordered for the person is given to no producer, and where there is nothing else,
//! the suspicion is noted with the order, and ends it. Once it is cleared, the office resumes, remakes and
//! restores what is right; before that it cannot.

use std::collections::BTreeMap;

use tonic::Request;

use crate::{
    domain::{
        identity::Role,
        item::{Hold, HoldKind, ItemId, ItemKey, ItemKind, Link, LinkKind},
        life::{
            application::{ApplicationState, VoidReason},
            card::CardCommand,
        },
        municipality::MunicipalityCode,
    },
    store::{Decided, Found, ItemRow},
    wire::{
        fault::{Fault, Reason},
        pb,
    },
};

use super::{
    super::{
        application,
        caller::{one_of, whose},
        core::{Core, store_fault},
        deadline::Deadline,
        mutation::{Mutation, id_of, not_after_restore, overtaken},
        orders::Order,
    },
    blanks::{self, Tally},
    event::Event,
    fields, find,
    life::{Life, details, unreadable},
    ordered, view,
};

/// Cards and applications of one person at the most.
const ITEMS_MAX: usize = 100;
/// Items of a page, where all are looked at.
const PAGE: u32 = 100;

/// What happened, with what has to be said of it.
#[derive(Debug, Clone)]
enum Happened {
    Moved,
    Died,
    FraudSuspected { why: String },
    FraudCleared { why: String },
}

impl Happened {
    fn read(request: &pb::RecordHolderEventRequest) -> Result<Self, Fault> {
        let why = || fields::reason(&request.reason);
        match pb::HolderEvent::try_from(request.event) {
            Ok(pb::HolderEvent::Moved) => Ok(Happened::Moved),
            Ok(pb::HolderEvent::Died) => Ok(Happened::Died),
            Ok(pb::HolderEvent::FraudSuspected) => Ok(Happened::FraudSuspected { why: why()? }),
            Ok(pb::HolderEvent::FraudCleared) => Ok(Happened::FraudCleared { why: why()? }),
            Ok(pb::HolderEvent::Unspecified) | Err(_) => {
                let words = "event is missing: say what happened to the holder";
                Err(Fault::new(Reason::FieldInvalid, words).violation("event", "a known event"))
            }
        }
    }

    /// What that is to a card.
    fn of_card(&self) -> Event {
        match self {
            Happened::Moved => Event::Move,
            Happened::Died => Event::Die,
            Happened::FraudSuspected { why } => Event::SuspectFraud { why: why.clone() },
            Happened::FraudCleared { why } => Event::ClearFraud { why: why.clone() },
        }
    }

    /// What that is to an application.
    fn of_application(&self) -> application::event::Event {
        use application::event::Event as Is;
        let void = |reason: VoidReason| Is::Void { reason: reason.as_str().to_owned() };
        match self {
            Happened::Moved => void(VoidReason::Moved),
            Happened::Died => void(VoidReason::Died),
            Happened::FraudSuspected { why } => Is::SuspectFraud { why: why.clone() },
            Happened::FraudCleared { why } => Is::ClearFraud { why: why.clone() },
        }
    }

    /// The orders without a card that it changes, with what each begins with.
    ///
    /// A suspicion that stands with a card or an application holds orders by that, and they go on once it is
    /// cleared.
    async fn to_ordered(
        &self,
        core: &Core,
        order: &Order,
        items: &[ItemRow],
        deadline: Deadline,
    ) -> Result<BTreeMap<ItemKey, Event>, Fault> {
        let is_noted = match self {
            Happened::Moved | Happened::Died => false,
            Happened::FraudCleared { .. } => true,
            Happened::FraudSuspected { .. } => {
                let mut noted = false;
                for item in items {
                    noted |= self.concerns(item)?;
                }
                noted
            }
        };
        if is_noted { Ok(BTreeMap::new()) } else { ordered::of_person(core, order, deadline).await }
    }

    /// Whether it changes an item, as that stands.
    fn concerns(&self, item: &ItemRow) -> Result<bool, Fault> {
        if item.key.kind == ItemKind::Application {
            let state: ApplicationState = item.state.parse().map_err(|_| application::life::unreadable())?;
            return match self.of_application().command().map_err(|_| application::life::unreadable())? {
                Some(command) => Ok(state.is_live() && state.after(&command).is_ok()),
                None => Ok(application::life::details(item)?.fraud_suspected),
            };
        }
        let command = match self {
            Happened::Moved => CardCommand::Move,
            Happened::Died => CardCommand::Die,
            Happened::FraudSuspected { .. } => CardCommand::SuspectFraud,
            Happened::FraudCleared { .. } => return Ok(details(item)?.fraud_suspected),
        };
        Ok(view::state(item)?.after(&command).is_ok())
    }
}

/// Records what happened to a holder, and returns what it changed.
pub(super) async fn record(
    core: &Core,
    request: Request<pb::RecordHolderEventRequest>,
) -> Result<pb::RecordHolderEventResponse, Fault> {
    let caller = one_of(&request, &[Role::Municipality])?;
    let deadline = Deadline::of(request.metadata(), core.options.call_deadline);
    let request = request.into_inner();
    let common = (request.request_id.as_str(), request.occurred_time.as_ref());
    let mutation = Mutation::of(core, &caller, "RecordHolderEventRequest", &request, common)?;
    let municipality = whose(&caller, None)?;
    let order_id = id_of(&request.order_id, "order_id")?;
    let happened = Happened::read(&request)?;
    not_after_restore(core, &caller, deadline).await?;
    let order = Order::by_id(core, municipality, order_id.as_str(), deadline).await?;
    let person = order.person(core);
    let items = of_person(core, municipality, person, deadline).await?;
    let ordered = happened.to_ordered(core, &order, &items, deadline).await?;
    // An order of which a producer got the card between the two looks is in neither.
    if of_person(core, municipality, person, deadline).await? != items {
        return Err(overtaken());
    }
    let (actor, request_id) = (mutation.actor.clone(), mutation.request_id.clone());
    let key = first(core, (&mutation, &happened), (&items, &ordered), municipality, deadline).await?;
    let mut with: Vec<ItemKey> = items.iter().map(|item| &item.key).chain(ordered.keys()).cloned().collect();
    with.retain(|one| *one != key);
    for item in items.iter().filter(|item| item.key.kind == ItemKind::Card) {
        with.extend(blanks::of_unmade(item)?.filter(|share| !with.contains(share)));
    }
    let holds = [HoldKind::ActiveCard, HoldKind::LiveApplication].map(|kind| Hold { kind, of: person });
    let occurred_ms = mutation.occurred_ms;
    let main = key.clone();
    let decided = move |found: &Found| {
        if !is_as_it_was(found, &main, &items) {
            return Err(overtaken());
        }
        decide(found, &main, (&happened, &ordered), occurred_ms)
    };
    mutation.change_with(core, deadline, key, (with, holds.to_vec()), decided).await?;
    changed(core, municipality, (person, &actor, &request_id), deadline).await
}

/// Whether fraud is suspected of a person, by any card or application of theirs.
pub(crate) async fn is_suspected(
    core: &Core,
    municipality: MunicipalityCode,
    person: [u8; 32],
    deadline: Deadline,
) -> Result<bool, Fault> {
    let link = Link { kind: LinkKind::Person, of: person };
    for kind in [ItemKind::Card, ItemKind::Application] {
        let mut after: Option<ItemId> = None;
        loop {
            let page = core.store.linked(municipality, link, kind, after.as_ref(), PAGE);
            let page = deadline.wait(page).await?.map_err(store_fault)?;
            for item in &page {
                let suspected = match kind {
                    ItemKind::Application => application::life::details(item)?.fraud_suspected,
                    _ => details(item)?.fraud_suspected,
                };
                if suspected {
                    return Ok(true);
                }
            }
            if page.len() < PAGE as usize {
                break;
            }
            after = page.into_iter().next_back().map(|item| item.key.id);
        }
    }
    Ok(false)
}

/// Every card and application of a person.
async fn of_person(
    core: &Core,
    municipality: MunicipalityCode,
    person: [u8; 32],
    deadline: Deadline,
) -> Result<Vec<ItemRow>, Fault> {
    let link = Link { kind: LinkKind::Person, of: person };
    let count = u32::try_from(ITEMS_MAX + 1).expect("small");
    let mut items = Vec::new();
    for kind in [ItemKind::Card, ItemKind::Application] {
        let linked = core.store.linked(municipality, link, kind, None, count);
        items.extend(deadline.wait(linked).await?.map_err(store_fault)?);
    }
    if items.len() > ITEMS_MAX {
        let words = format!("the person has more than {ITEMS_MAX} cards and applications: tell the operator");
        return Err(Fault::new(Reason::LimitExceeded, words));
    }
    Ok(items)
}

/// The item under which the request stands: if it was carried out the same one, else the first that changes.
async fn first(
    core: &Core,
    (mutation, happened): (&Mutation, &Happened),
    (items, ordered): (&[ItemRow], &BTreeMap<ItemKey, Event>),
    municipality: MunicipalityCode,
    deadline: Deadline,
) -> Result<ItemKey, Fault> {
    let carried = core.store.carried_out(municipality, &mutation.actor, &mutation.request_id);
    if let Some(key) = deadline.wait(carried).await?.map_err(store_fault)? {
        return Ok(key);
    }
    for item in items {
        if happened.concerns(item)? {
            return Ok(item.key.clone());
        }
    }
    ordered.keys().next().cloned().ok_or_else(nothing_open)
}

/// Whether nothing of the person has changed since these items were read, so far as these and the holds say:
/// what was applied for or made anew at that moment would be left out.
fn is_as_it_was(found: &Found, key: &ItemKey, items: &[ItemRow]) -> bool {
    let known = found.with.iter().map(|(key, known)| (key, known.item.as_ref()));
    let now: BTreeMap<&ItemKey, u32> = std::iter::once((key, found.item.as_ref()))
        .chain(known)
        .filter_map(|(key, item)| Some((key, item?.events)))
        .collect();
    let is_known = |id: &ItemId| items.iter().any(|item| item.key.id == *id);
    items.iter().all(|item| now.get(&item.key) == Some(&item.events)) && found.held.values().all(is_known)
}

fn decide(
    found: &Found,
    key: &ItemKey,
    (happened, ordered): (&Happened, &BTreeMap<ItemKey, Event>),
    occurred_ms: i64,
) -> Result<Decided, Fault> {
    let (mut tally, mut main, mut with) = (Tally::default(), None, Vec::new());
    let known = found.with.iter().map(|(key, known)| (key, known.item.as_ref(), &known.history));
    let all = std::iter::once((key, found.item.as_ref(), &found.history)).chain(known);
    for (one, item, history) in all {
        let decided = match (item, ordered.get(one)) {
            (Some(item), _) if one.kind == ItemKind::Card && happened.concerns(item)? => {
                let life = Life::of(history).map_err(|_| unreadable())?;
                of_card(&one.id, &life, happened, occurred_ms, &mut tally)?
            }
            (Some(item), _) if one.kind == ItemKind::Application && happened.concerns(item)? => {
                let life =
                    application::life::Life::of(history).map_err(|_| application::life::unreadable())?;
                of_application(&one.id, life, happened, occurred_ms)?
            }
            (None, Some(begins)) => of_order(&one.id, begins, happened, occurred_ms)?,
            _ => continue,
        };
        if one == key {
            main = Some(decided);
        } else {
            with.push((one.clone(), decided));
        }
    }
    let Some(main) = main else {
        return Err(if with.is_empty() { nothing_open() } else { overtaken() });
    };
    with.extend(tally.decided(key.municipality, found, occurred_ms)?);
    Ok(Decided { with, ..main })
}

fn of_card(
    id: &ItemId,
    life: &Life,
    happened: &Happened,
    occurred_ms: i64,
    tally: &mut Tally,
) -> Result<Decided, Fault> {
    let event = happened.of_card();
    let events = blanks::given_up(life, event.clone());
    let after = life.clone().then(id, &events, occurred_ms)?;
    tally.note(life, &event, &after)?;
    after.decided(&events, occurred_ms)
}

/// Of an order that no producer has been given.
fn of_order(id: &ItemId, begins: &Event, happened: &Happened, occurred_ms: i64) -> Result<Decided, Fault> {
    let events = [begins.clone(), happened.of_card()];
    let life = Life::of(&[]).map_err(|_| unreadable())?;
    life.then(id, &events, occurred_ms)?.decided(&events, occurred_ms)
}

fn of_application(
    id: &ItemId,
    life: application::life::Life,
    happened: &Happened,
    occurred_ms: i64,
) -> Result<Decided, Fault> {
    let event = happened.of_application();
    let after = life.then(id, std::slice::from_ref(&event), occurred_ms)?;
    after.decided(&[event], occurred_ms)
}

/// What this request has changed, as it stands now.
async fn changed(
    core: &Core,
    municipality: MunicipalityCode,
    (person, actor, request_id): ([u8; 32], &str, &str),
    deadline: Deadline,
) -> Result<pb::RecordHolderEventResponse, Fault> {
    let (mut cards, mut application_numbers) = (Vec::new(), Vec::new());
    for item in of_person(core, municipality, person, deadline).await? {
        let history = deadline.wait(core.store.item_history(&item.key)).await?.map_err(store_fault)?;
        if !history.iter().any(|row| row.actor == actor && row.request_id == request_id) {
            continue;
        }
        if item.key.kind == ItemKind::Application {
            application_numbers.push(item.key.id.to_string());
        } else {
            cards.push(item);
        }
    }
    let cards = find::cards(core, &cards, deadline).await?;
    Ok(pb::RecordHolderEventResponse { cards, application_numbers })
}

fn nothing_open() -> Fault {
    let words = "no card or application of the person is open for that: look at its cards";
    Fault::new(Reason::ItemState, words)
}

#[cfg(test)]
#[path = "holder_tests.rs"]
mod tests;
