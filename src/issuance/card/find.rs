//! Cards as they are looked up: the order of an accepted batch that says for whom one is, with what became of
//! it; only ever of the caller's own municipality.

use std::collections::HashMap;

use crate::{
    domain::{
        batch_id::BatchId,
        digest::Digest,
        item::{Hold, HoldKind, ItemId, ItemKey, ItemKind, Link},
        municipality::MunicipalityCode,
        record::Field,
        rules,
    },
    store::{CardRow, ItemRow},
    telemetry::names,
    wire::{
        convert::page_size,
        fault::{Fault, Reason},
        pb::{self, get_card_request::Key},
    },
};

use super::{
    super::{
        caller::not_yours,
        core::{Core, batch_id, store_fault},
        deadline::Deadline,
        lists::{self, Wanted},
        mutation::id_of,
        orders::Order,
        pages,
    },
    event::Event,
    ids,
    life::{self, details, unreadable},
    view,
};

/// A card: the order that says for whom, and its item once a producer has been given it.
pub(super) struct Known {
    pub(super) order: CardRow,
    pub(super) item: Option<ItemRow>,
}

/// Returns the municipality's card of this id.
///
/// # Errors
/// NOT_FOUND unless it is one of this municipality.
pub(super) async fn by_id(
    core: &Core,
    municipality: MunicipalityCode,
    id: &ItemId,
    deadline: Deadline,
) -> Result<Known, Fault> {
    let key = ids::key(municipality, id.clone());
    let item = deadline.wait(core.store.item(&key)).await?.map_err(store_fault)?;
    let Some(item) = item else {
        let order = core.store.card_by_order_id(municipality, id.as_str());
        let order = deadline.wait(order).await?.map_err(store_fault)?.ok_or_else(not_yours)?;
        return Ok(Known { order, item: None });
    };
    Ok(Known { order: order_of(core, &item, deadline).await?, item: Some(item) })
}

/// The order that says for whom a card is.
pub(super) async fn order_of(core: &Core, item: &ItemRow, deadline: Deadline) -> Result<CardRow, Fault> {
    let order_id = details(item)?.order_id;
    let order = core.store.card_by_order_id(item.key.municipality, &order_id);
    deadline.wait(order).await?.map_err(store_fault)?.ok_or_else(unreadable)
}

impl Known {
    /// The first card of an order, as far as anything became of it.
    pub(super) async fn of(core: &Core, order: CardRow, deadline: Deadline) -> Result<Self, Fault> {
        // Another card may be called as the order is.
        for id in [ids::nth(&order.order_id, 1), ids::other(&order.order_id, 1)] {
            let key = ids::key(order.municipality, id);
            let item = deadline.wait(core.store.item(&key)).await?.map_err(store_fault)?;
            let Some(item) = item else { continue };
            let details = details(&item)?;
            if details.order_id == order.order_id && details.application.is_none() {
                return Ok(Self { order, item: Some(item) });
            }
        }
        Ok(Self { order, item: None })
    }

    pub(super) fn card(&self) -> Result<pb::Card, Fault> {
        view::card(&self.order, self.item.as_ref())
    }

    /// The hold by which its person has one active card, and of an order that nobody has been given the event
    /// with which its card begins.
    pub(super) async fn begins(
        &self,
        core: &Core,
        deadline: Deadline,
    ) -> Result<(Hold, Option<Event>), Fault> {
        if let Some(item) = &self.item {
            return Ok((life::hold(&details(item)?).map_err(|_| unreadable())?, None));
        }
        let order = Order::open(core, self.order.clone(), deadline).await?;
        let person = order.person(core);
        let event = Event::Order {
            order_id: order.row.order_id,
            application: None,
            instead_of: None,
            person: Digest(person).to_string(),
            photo: None,
        };
        Ok((Hold { kind: HoldKind::ActiveCard, of: person }, Some(event)))
    }
}

/// Answers GetCard.
pub(super) async fn get(
    core: &Core,
    municipality: MunicipalityCode,
    request: pb::GetCardRequest,
    deadline: Deadline,
) -> Result<pb::GetCardResponse, Fault> {
    let purpose = pb::Purpose::try_from(request.purpose).map_err(|_| {
        Fault::new(Reason::FieldInvalid, "this purpose does not exist")
            .violation("purpose", "a known purpose")
    })?;
    let store = &core.store;
    let order = match request.key {
        Some(Key::OrderId(order_id)) => {
            deadline.wait(store.card_by_order_id(municipality, &order_id)).await?.map_err(store_fault)?
        }
        Some(Key::CardId(card_id)) => {
            let known = by_id(core, municipality, &id_of(&card_id, "card_id")?, deadline).await?;
            return show(core, known, (purpose, request.with_history), deadline).await;
        }
        Some(Key::IndividualNumber(number)) => {
            if purpose == pb::Purpose::Unspecified {
                let words = "a look-up by individual number needs a purpose: state it";
                return Err(Fault::new(Reason::PurposeRequired, words).violation("purpose", "required"));
            }
            let field = Field::IndividualNumber.as_str();
            let blind = core.vault.blind_index(municipality, field, &number);
            let newest = store.cards_by_person(municipality, &blind, 1);
            deadline.wait(newest).await?.map_err(store_fault)?.pop()
        }
        None => {
            let keys = "order_id, card_id or individual_number";
            return Err(
                Fault::new(Reason::FieldInvalid, format!("name the card: {keys}")).violation("key", keys)
            );
        }
    };
    let order = order.ok_or_else(|| {
        Fault::new(Reason::NotFound, "no accepted order has this key: check it, and the batch's state")
    })?;
    let known = Known::of(core, order, deadline).await?;
    show(core, known, (purpose, request.with_history), deadline).await
}

/// Opens the sealed record for what it says of its name, and of the person if a purpose is given.
async fn show(
    core: &Core,
    known: Known,
    (purpose, with_history): (pb::Purpose, bool),
    deadline: Deadline,
) -> Result<pb::GetCardResponse, Fault> {
    let mut card = known.card()?;
    let mut events = Vec::new();
    if let Some(item) = known.item.filter(|_| with_history) {
        let history = deadline.wait(core.store.item_history(&item.key)).await?.map_err(store_fault)?;
        events = view::events(&history)?;
    }
    let Order { record, reading, .. } = Order::open(core, known.order, deadline).await?;
    let flags = rules::name_flags(record.text(Field::Name));
    card.name_flags = flags.into_iter().map(str::to_owned).collect();
    if purpose != pb::Purpose::Unspecified {
        metrics::counter!(names::DISCLOSURES, names::PURPOSE => purpose.as_str_name()).increment(1);
        card.personal_data = Some(view::personal(&record, reading));
    }
    Ok(pb::GetCardResponse { card: Some(card), events })
}

/// Answers ListCards.
pub(super) async fn list(
    core: &Core,
    municipality: MunicipalityCode,
    request: pb::ListCardsRequest,
    deadline: Deadline,
) -> Result<pb::ListCardsResponse, Fault> {
    let size = page_size(request.page_size, 100, 1000)?;
    let wrong = |field: &'static str, words: &str| {
        Err(Fault::new(Reason::FieldInvalid, format!("{field} {words}")).violation(field, words))
    };
    let state = view::read_state(request.state)?;
    let of_state = !request.office.is_empty() || request.state_by_time.is_some();
    if of_state && state.is_none() {
        return wrong("state", "is missing: office and state_by_time go with one");
    }
    if !request.batch_id.is_empty() && (state.is_some() || !request.lot_id.is_empty()) {
        return wrong("batch_id", "goes with no other filter: leave one out");
    }
    if !request.lot_id.is_empty() && state.is_some() {
        return wrong("lot_id", "goes with no other filter: leave one out");
    }
    if !request.lot_id.is_empty() {
        return of_lot(core, municipality, (&request.lot_id, &request.page_token, size), deadline).await;
    }
    let Some(state) = state else {
        return of_batches(core, municipality, (&request.batch_id, &request.page_token, size), deadline)
            .await;
    };
    let wanted = Wanted {
        list: "cards-in-state",
        size,
        page_token: &request.page_token,
        state: Some(state.as_str()),
        office: &request.office,
        state_by_time: request.state_by_time.as_ref(),
    };
    let (items, next_page_token) =
        lists::page(core, (municipality, ItemKind::Card), wanted, deadline).await?;
    Ok(pb::ListCardsResponse { cards: cards(core, &items, deadline).await?, next_page_token })
}

/// Card orders by batch and index, with what became of each.
async fn of_batches(
    core: &Core,
    municipality: MunicipalityCode,
    (batch, token, size): (&str, &str, u32),
    deadline: Deadline,
) -> Result<pb::ListCardsResponse, Fault> {
    let batch = if batch.is_empty() { None } else { Some(batch_id(batch)?) };
    let after = pages::position("cards", token)?;
    let after = after.map(|text| batch_and_index(&text).ok_or_else(pages::invalid)).transpose()?;
    let listed = core.store.list_cards(municipality, after, batch, size);
    let orders = deadline.wait(listed).await?.map_err(store_fault)?;
    let last = orders.last().filter(|_| orders.len() == size as usize);
    let next = last.map(|row| pages::token("cards", &format!("{} {}", row.batch_id, row.index)));
    let key = |order: &CardRow| ids::key(municipality, ids::nth(&order.order_id, 1));
    let keys: Vec<ItemKey> = orders.iter().map(key).collect();
    let items = deadline.wait(core.store.items_of(&keys)).await?.map_err(store_fault)?;
    let mut cards: HashMap<String, &ItemRow> = HashMap::new();
    for item in &items {
        cards.insert(details(item)?.order_id, item);
    }
    let card = |order: &CardRow| view::card(order, cards.get(&order.order_id).copied());
    Ok(pb::ListCardsResponse {
        cards: orders.iter().map(card).collect::<Result<_, _>>()?,
        next_page_token: next.unwrap_or_default(),
    })
}

/// The cards of a lot; one that went back to its lot and was made of another is of that one.
async fn of_lot(
    core: &Core,
    municipality: MunicipalityCode,
    (lot, token, size): (&str, &str, u32),
    deadline: Deadline,
) -> Result<pb::ListCardsResponse, Fault> {
    let link = Link::of_lot(&id_of(lot, "lot_id")?);
    let after = pages::position("cards-of-lot", token)?;
    let after = after.map(|text| text.parse().map_err(|_| pages::invalid())).transpose()?;
    let linked = core.store.linked(municipality, link, ItemKind::Card, after.as_ref(), size);
    let mut items = deadline.wait(linked).await?.map_err(store_fault)?;
    let last = items.last().filter(|_| items.len() == size as usize);
    let next = last.map(|item| pages::token("cards-of-lot", item.key.id.as_str()));
    let mut here = Vec::with_capacity(items.len());
    for item in items.drain(..) {
        if details(&item)?.lot.as_deref() == Some(lot) {
            here.push(item);
        }
    }
    let cards = cards(core, &here, deadline).await?;
    Ok(pb::ListCardsResponse { cards, next_page_token: next.unwrap_or_default() })
}

/// These cards as they stand, each with its order.
pub(super) async fn cards(
    core: &Core,
    items: &[ItemRow],
    deadline: Deadline,
) -> Result<Vec<pb::Card>, Fault> {
    let mut cards = Vec::with_capacity(items.len());
    for item in items {
        let order = order_of(core, item, deadline).await?;
        cards.push(view::card(&order, Some(item))?);
    }
    Ok(cards)
}

fn batch_and_index(text: &str) -> Option<(BatchId, u64)> {
    let (batch, index) = text.split_once(' ')?;
    Some((batch.parse().ok()?, index.parse().ok()?))
}
