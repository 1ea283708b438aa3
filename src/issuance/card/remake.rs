//! A card that was made in vain is made anew, once: its order goes on under a name of its own.

use tonic::Request;

use crate::{
    domain::{
        identity::Role,
        item::{Hold, HoldKind, ItemId, ItemKey, ItemKind},
        life::{IllegalTransition, Why, application::ApplicationState},
        municipality::MunicipalityCode,
    },
    store::{Decided, Found, Known},
    wire::{
        fault::{Fault, Reason},
        pb,
    },
};

use super::{
    super::{
        application,
        core::Core,
        deadline::Deadline,
        mutation::{Begun, begin, not_after_restore, overtaken},
    },
    event::Event,
    find, holder, ids,
    life::{self, Details, Life, details, unreadable},
    view,
};

/// Orders a new card for one that was made in vain.
pub(super) async fn remake(
    core: &Core,
    request: Request<pb::RemakeCardRequest>,
) -> Result<pb::RemakeCardResponse, Fault> {
    let Begun { caller, municipality, id, deadline, mutation, .. } =
        begin(core, request, &[Role::Municipality])?;
    not_after_restore(core, &caller, deadline).await?;
    let known = find::by_id(core, municipality, &id, deadline).await?;
    let Some(item) = &known.item else {
        let words = format!("card {id} is ORDERED and is not made in vain: it waits for a producer");
        let fault = Fault::new(Reason::ItemState, words).with("card_id", id.as_str());
        return Err(fault.with("state", "ORDERED"));
    };
    let old = details(item)?;
    if old.application.is_none() && known.order.kind != ids::KIND {
        let (kind, made) = (&known.order.kind, ids::KIND);
        let words = format!("card {id} is of an order for a {kind}: only an {made} is made anew");
        return Err(Fault::new(Reason::ItemState, words).with("card_id", id.as_str()));
    }
    let new = new_key(core, municipality, &old, deadline).await?;
    let application = application_of(municipality, &old)?;
    let hold = life::hold(&old).map_err(|_| unreadable())?;
    // By whatever it was noted: a card that had ended before is not told of it.
    let suspected = holder::is_suspected(core, municipality, hold.of, deadline).await?;
    let live = Hold { kind: HoldKind::LiveApplication, of: hold.of };
    let with: Vec<ItemKey> = application.iter().cloned().chain([new.clone()]).collect();
    let (key, occurred_ms) = (ids::key(municipality, id), mutation.occurred_ms);
    let id = key.id.clone();
    let decided = move |found: &Found| {
        let other =
            found.held.get(&live).filter(|other| application.as_ref().is_some_and(|own| own.id != **other));
        match other {
            Some(other) => Err(application::life::other_application(other)),
            None => decide(found, (&id, suspected), &new, application.as_ref(), occurred_ms),
        }
    };
    let item = mutation.change_with(core, deadline, key, (with, vec![hold, live]), decided).await?;
    let remade_card_id = details(&item)?.remade_as.unwrap_or_default();
    Ok(pb::RemakeCardResponse { card: Some(view::card(&known.order, Some(&item))?), remade_card_id })
}

fn decide(
    found: &Found,
    (id, suspected): (&ItemId, bool),
    new: &ItemKey,
    application: Option<&ItemKey>,
    occurred_ms: i64,
) -> Result<Decided, Fault> {
    let old = Life::of(&found.history).map_err(|_| unreadable())?;
    if suspected || old.details.fraud_suspected {
        let (state, why) = (old.state.as_str(), Why::FraudSuspected);
        return Err(life::refused(id, &IllegalTransition { life: "a card", state, command: "REMAKE", why }));
    }
    let card_id = new.id.to_string();
    let event = Event::Remake { card_id: card_id.clone(), remade: old.details.remade_as.is_some() };
    let after = old.clone().then(id, std::slice::from_ref(&event), occurred_ms)?;
    let mut decided = after.decided(&[event], occurred_ms)?;
    if let Some(key) = application {
        let known = found.with.get(key).ok_or_else(unreadable)?;
        decided.with.extend(again(key, known, card_id, occurred_ms)?.map(|one| (key.clone(), one)));
    }
    if found.with.get(new).is_none_or(|known| known.item.is_some()) {
        return Err(overtaken()); // somebody has just given that name to another card
    }
    let Details { order_id, application, person, photo, .. } = old.details;
    let order = Event::Order { order_id, application, instead_of: Some(id.to_string()), person, photo };
    let ordered = Life::of(&[]).map_err(|_| unreadable())?;
    let ordered = ordered.then(&new.id, std::slice::from_ref(&order), occurred_ms)?;
    decided.with.push((new.clone(), ordered.decided(&[order], occurred_ms)?));
    Ok(decided)
}

/// What becomes of the application that it was made for: it waits for its card again.
fn again(key: &ItemKey, known: &Known, card_id: String, occurred_ms: i64) -> Result<Option<Decided>, Fault> {
    let life = application::life::Life::of(&known.history).map_err(|_| application::life::unreadable())?;
    match life.state {
        ApplicationState::WithCard | ApplicationState::InProduction => {
            let remake = application::event::Event::Remake { card_id };
            let after = life.then(&key.id, std::slice::from_ref(&remake), occurred_ms)?;
            after.decided(&[remake], occurred_ms).map(Some)
        }
        // One that was restored is checked again, and has a card ordered once it is approved.
        state => {
            let words = format!("the application {} of this card is {state}: no card is made for it", key.id);
            let fault = Fault::new(Reason::ItemState, words).with("application_number", key.id.as_str());
            Err(fault.with("state", state.as_str()))
        }
    }
}

fn application_of(municipality: MunicipalityCode, card: &Details) -> Result<Option<ItemKey>, Fault> {
    let key = |number: &String| {
        let id = number.parse().map_err(|_| unreadable())?;
        Ok(ItemKey { municipality, kind: ItemKind::Application, id })
    };
    card.application.as_ref().map(key).transpose()
}

/// The first name after the order's or the application's that no card has; of one that was remade already the
/// name that it got.
async fn new_key(
    core: &Core,
    municipality: MunicipalityCode,
    card: &Details,
    deadline: Deadline,
) -> Result<ItemKey, Fault> {
    if let Some(remade) = &card.remade_as {
        return Ok(ids::key(municipality, remade.parse().map_err(|_| unreadable())?));
    }
    let base = card.application.as_ref().unwrap_or(&card.order_id);
    ids::next(core, municipality, base, 2, deadline).await
}
