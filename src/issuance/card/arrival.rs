//! Cards arrive at an office: all that are named, with the figures of their lots, or none of them.

use std::collections::{BTreeSet, HashMap};

use tonic::Request;

use crate::{
    domain::{
        identity::Role,
        item::{ItemId, ItemKey},
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
        caller::{one_of, whose},
        core::{Core, store_fault},
        deadline::Deadline,
        mutation::{Mutation, id_of, not_after_restore, overtaken},
        office,
    },
    blanks::{self, Tally},
    event::Event,
    find, ids,
    life::{Life, unreadable},
};

/// Cards of one call at the most.
const CARDS_MAX: usize = 500;

/// Records an arrival, and returns the cards after it, in the order of the call.
pub(super) async fn record(
    core: &Core,
    request: Request<pb::RecordArrivalRequest>,
) -> Result<pb::RecordArrivalResponse, Fault> {
    let caller = one_of(&request, &[Role::Municipality])?;
    let deadline = Deadline::of(request.metadata(), core.options.call_deadline);
    let request = request.into_inner();
    let common = (request.request_id.as_str(), request.occurred_time.as_ref());
    let mutation = Mutation::of(core, &caller, "RecordArrivalRequest", &request, common)?;
    let municipality = whose(&caller, None)?;
    let keys = keys(municipality, &request.card_ids)?;
    let office = office::read(&request.office)?;
    not_after_restore(core, &caller, deadline).await?;
    let before = stored(core, &keys, deadline).await?;
    let mut shares: Vec<ItemKey> = Vec::new();
    for item in &before {
        let share = blanks::of(item)?.ok_or_else(|| unmade(&item.key.id, &item.state))?;
        if !shares.contains(&share) {
            shares.push(share);
        }
    }
    // The request stands under the lot of the first card, which it keeps.
    let key = shares.remove(0);
    let with: Vec<ItemKey> = shares.into_iter().chain(keys.iter().cloned()).collect();
    let (occurred_ms, cards, share) = (mutation.occurred_ms, keys.clone(), key.clone());
    let decided = move |found: &Found| -> Result<Decided, Fault> {
        let (mut tally, mut with) = (Tally::default(), Vec::with_capacity(cards.len() + 1));
        for key in &cards {
            let history = &found.with.get(key).ok_or_else(unreadable)?.history;
            let life = Life::of(history).map_err(|_| unreadable())?;
            let event = arrives(&life, &office);
            let after = life.clone().then(&key.id, std::slice::from_ref(&event), occurred_ms)?;
            tally.note(&life, &event, &after)?;
            with.push((key.clone(), after.decided(&[event], occurred_ms)?));
        }
        let mut shares = tally.decided(municipality, found, occurred_ms)?;
        let own = shares.iter().position(|(key, _)| *key == share).ok_or_else(overtaken)?;
        let (_, main) = shares.swap_remove(own);
        with.extend(shares);
        Ok(Decided { with, ..main })
    };
    mutation.change_with(core, deadline, key, (with, Vec::new()), decided).await?;
    let after = stored(core, &keys, deadline).await?;
    Ok(pb::RecordArrivalResponse { cards: find::cards(core, &after, deadline).await? })
}

/// What an arrival is to a card: one that was lost is found again.
fn arrives(life: &Life, office: &str) -> Event {
    let office = office.to_owned();
    match life.state {
        CardState::LostInTransit | CardState::Recalled if life.details.lost => {
            Event::FindAgain { office, remade: life.details.remade_as.is_some() }
        }
        _ => Event::Arrive { office },
    }
}

fn keys(municipality: MunicipalityCode, ids: &[String]) -> Result<Vec<ItemKey>, Fault> {
    let wrong = |words: &str| {
        Err(Fault::new(Reason::FieldInvalid, format!("card_ids {words}")).violation("card_ids", words))
    };
    if !(1..=CARDS_MAX).contains(&ids.len()) {
        return wrong("must name 1 to 500 cards");
    }
    let ids: Vec<ItemId> = ids.iter().map(|id| id_of(id, "card_ids")).collect::<Result<_, _>>()?;
    if ids.iter().collect::<BTreeSet<_>>().len() < ids.len() {
        return wrong("name a card twice: name each once");
    }
    Ok(ids.into_iter().map(|id| ids::key(municipality, id)).collect())
}

/// These cards as they stand, in this order.
async fn stored(core: &Core, keys: &[ItemKey], deadline: Deadline) -> Result<Vec<ItemRow>, Fault> {
    let items = deadline.wait(core.store.items_of(keys)).await?.map_err(store_fault)?;
    let mut items: HashMap<ItemKey, ItemRow> =
        items.into_iter().map(|item| (item.key.clone(), item)).collect();
    let mut found = Vec::with_capacity(keys.len());
    for (at, key) in keys.iter().enumerate() {
        if let Some(item) = items.remove(key) {
            found.push(item);
            continue;
        }
        let order = core.store.card_by_order_id(key.municipality, key.id.as_str());
        return Err(match deadline.wait(order).await?.map_err(store_fault)? {
            Some(_) => unmade(&key.id, CardState::Ordered.as_str()),
            None => Fault::new(Reason::NotFound, format!("card_ids[{at}] is no card of yours: check it")),
        });
    }
    Ok(found)
}

/// The fault of a card that no producer has.
fn unmade(id: &ItemId, state: &str) -> Fault {
    let words = format!("card {id} is {state} and no producer has it: look at what arrived");
    Fault::new(Reason::ItemState, words).with("card_id", id.as_str()).with("state", state)
}
