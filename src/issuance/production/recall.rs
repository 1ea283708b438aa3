//! A lot that is called back is called back everywhere: first no card is made of it any more, then each
//! card of it is RECALLED that has not ended; what broke off goes on where it was.

use std::collections::BTreeSet;

use tonic::Request;

use crate::{
    domain::{
        digest::Digest,
        identity::Role,
        item::{Hold, ItemId, ItemKey, ItemKind, Link},
        life::card::CardState,
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
        caller::{not_yours, one_of},
        card,
        core::{Core, store_fault},
        deadline::Deadline,
        mutation::{Mutation, id_of},
    },
    asked::{is_why, now, why_words},
    lot::{self, Event, Share, TakenBack},
};

/// Cards that are called back in one step: of a share with as many as it can have, all steps have a place
/// in its history.
const PAGE: u32 = 1000;

/// Why a step is not taken.
enum Stop {
    /// Another call has taken it.
    Overtaken,
    Failed(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Stop::Failed(fault)
    }
}

/// Calls a lot back.
pub(super) async fn recall(
    core: &Core,
    request: Request<pb::RecallLotRequest>,
) -> Result<pb::RecallLotResponse, Fault> {
    let caller = one_of(&request, &[Role::Operator])?;
    let deadline = Deadline::of(request.metadata(), core.options.call_deadline);
    let request = request.into_inner();
    let mutation = now(core, &caller, "RecallLotRequest", &request, &request.request_id)?;
    let lot = id_of(&request.lot_id, "lot_id")?;
    if !is_why(&request.reason) {
        let words = format!("reason {}", why_words());
        return Err(Fault::new(Reason::ReasonRequired, words.clone()).violation("reason", words));
    }
    let mut done: BTreeSet<MunicipalityCode> = BTreeSet::new();
    let (mut shares, mut full) = (Vec::new(), Vec::new());
    // Again, as one may have been allocated meanwhile.
    loop {
        let places = core.store.municipalities_linked(Link::of_lot(&lot));
        let mut places = deadline.wait(places).await?.map_err(store_fault)?;
        places.retain(|place| !done.contains(place));
        if places.is_empty() {
            break;
        }
        // Everywhere no card is made any more before the first is called back.
        for place in &places {
            let share = lot::key(*place, lot.clone());
            match begin(core, deadline, &share, mutation.clone(), &request.reason).await {
                Ok(()) => {}
                // One share that takes no more events holds up no recall elsewhere.
                Err(fault) if fault.reason == Reason::LimitExceeded => full.push(*place),
                Err(fault) => return Err(fault),
            }
        }
        for place in places {
            if !full.contains(&place) {
                shares.push(of_share(core, deadline, &lot::key(place, lot.clone()), &mutation).await?);
            }
            done.insert(place);
        }
    }
    if let Some(place) = full.first() {
        let (called, not) = (shares.len(), full.len());
        let words = format!(
            "lot {lot} is called back in {called} municipalities and not in {not}, the first {place}: its \
             share takes no more events: revoke or scrap its cards one by one, and tell the operator"
        );
        return Err(Fault::new(Reason::LimitExceeded, words).with("municipality_code", place.to_string()));
    }
    if shares.is_empty() {
        return Err(not_yours());
    }
    tracing::warn!(lot.id = %lot, "lot {lot} is called back in {} municipalities", shares.len());
    shares.sort_by(|a, b| a.municipality_code.cmp(&b.municipality_code));
    Ok(pb::RecallLotResponse { shares })
}

/// Says that no card of this share is made any more; of one that is called back already, nothing more.
pub(super) async fn begin(
    core: &Core,
    deadline: Deadline,
    share: &ItemKey,
    mutation: Mutation,
    why: &str,
) -> Result<(), Fault> {
    let (lot, why, now_ms) = (share.id.clone(), why.to_owned(), mutation.now_ms);
    let decided = move |found: &Found| -> Result<Decided, Stop> {
        let before = Share::of(&found.history).map_err(|_| lot::unreadable())?;
        if before.recalled.is_some() {
            return Err(Stop::Overtaken);
        }
        let events = [Event::Recall { why: why.clone() }];
        Ok(before.then(&lot, &events, now_ms)?.decided(&lot, &events, now_ms))
    };
    let nothing = (Vec::new(), Vec::new());
    match mutation.carry_out(core, deadline, share.clone(), nothing, decided).await {
        Ok(_) | Err(Stop::Overtaken) => Ok(()),
        Err(Stop::Failed(fault)) => Err(fault),
    }
}

/// Calls the cards of a share back, page by page, from where it was.
async fn of_share(
    core: &Core,
    deadline: Deadline,
    share: &ItemKey,
    mutation: &Mutation,
) -> Result<pb::RecalledShare, Fault> {
    loop {
        let history = deadline.wait(core.store.item_history(share)).await?.map_err(store_fault)?;
        let so_far = Share::of(&history).map_err(|_| lot::unreadable())?.taken_back;
        let link = Link::of_lot(&share.id);
        let after = so_far.last.as_ref();
        let page = core.store.linked(share.municipality, link, ItemKind::Card, after, PAGE);
        let page = deadline.wait(page).await?.map_err(store_fault)?;
        if page.is_empty() {
            let TakenBack { recalled, ended, waiting, .. } = so_far;
            return Ok(pb::RecalledShare {
                municipality_code: share.municipality.to_string(),
                recalled,
                ended_before: ended,
                orders_waiting: waiting,
            });
        }
        match take_back(core, deadline, share, (page, so_far.last), mutation).await {
            Ok(()) | Err(Stop::Overtaken) => {}
            Err(Stop::Failed(fault)) => return Err(fault),
        }
    }
}

/// Calls a page of cards back, if no other call has done so.
async fn take_back(
    core: &Core,
    deadline: Deadline,
    share: &ItemKey,
    (page, after): (Vec<ItemRow>, Option<ItemId>),
    mutation: &Mutation,
) -> Result<(), Stop> {
    let mut holds: BTreeSet<Hold> = BTreeSet::new();
    for row in &page {
        holds.insert(card::life::hold(&card::life::details(row)?).map_err(|_| card::life::unreadable())?);
    }
    let cards: Vec<ItemKey> = page.into_iter().map(|row| row.key).collect();
    let last = cards.last().expect("a page that is looked at has cards").id.to_string();
    let from = after.as_ref().map_or("", ItemId::as_str);
    let request_id = derived(&mutation.request_id, &format!("after {from}"));
    let mutation = Mutation { request_id, ..mutation.clone() };
    let (lot, now_ms, with) = (share.id.clone(), mutation.now_ms, cards.clone());
    let decided = move |found: &Found| -> Result<Decided, Stop> {
        let before = Share::of(&found.history).map_err(|_| lot::unreadable())?;
        if before.taken_back.last != after {
            return Err(Stop::Overtaken);
        }
        let why = before.recalled.clone().unwrap_or_default();
        let (mut recalled, mut ended, mut given_back) = (0, 0, 0);
        let mut all = Vec::new();
        for key in &cards {
            let known = found.with.get(key).expect("it was asked for");
            let life = card::life::Life::of(&known.history).map_err(|_| card::life::unreadable())?;
            let event = match life.state {
                _ if life.details.lot.as_deref() != Some(lot.as_str()) => continue,
                CardState::Ordered => {
                    given_back += 1;
                    card::event::Event::Unlease { lot: lot.to_string(), why: why.clone() }
                }
                state if has_ended(state) => {
                    ended += 1;
                    continue;
                }
                _ => {
                    recalled += 1;
                    card::event::Event::Recall { lot: lot.to_string(), why: why.clone() }
                }
            };
            let events = [event];
            all.push((key.clone(), life.then(&key.id, &events, now_ms)?.decided(&events, now_ms)?));
        }
        let events = [Event::TakeBack { recalled, ended, given_back, last: last.clone() }];
        let decided = before.then(&lot, &events, now_ms)?.decided(&lot, &events, now_ms);
        Ok(Decided { with: all, ..decided })
    };
    let holds = holds.into_iter().collect();
    mutation.carry_out(core, deadline, share.clone(), (with, holds), decided).await.map(|_| ())
}

/// Whether a recall changes nothing any more.
fn has_ended(state: CardState) -> bool {
    match state {
        CardState::Revoked
        | CardState::Expired
        | CardState::Surrendered
        | CardState::Scrapped
        | CardState::Recalled => true,
        CardState::Ordered
        | CardState::Personalised
        | CardState::QcPassed
        | CardState::Shipped
        | CardState::Arrived
        | CardState::PreIssued
        | CardState::Notified
        | CardState::Activating
        | CardState::Active
        | CardState::Suspended
        | CardState::LostInTransit => false,
    }
}

/// The id of one step of a request, the same each time.
pub(super) fn derived(request_id: &str, step: &str) -> String {
    let digest = Digest::of(format!("{request_id}\n{step}").as_bytes());
    format!("recall-{}", &digest.to_string()[..40])
}
