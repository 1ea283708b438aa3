//! Orders of a person that no producer has been given: what happens to the person happens to them, too.

use std::collections::BTreeMap;

use crate::{
    domain::{item::ItemKey, record::Field},
    wire::fault::{Fault, Reason},
};

use super::{
    super::{
        core::{Core, store_fault},
        deadline::Deadline,
        orders::Order,
    },
    event::Event,
    find, ids,
    life::unreadable,
};

/// Orders of one person at the most.
const ORDERS_MAX: usize = 100;

/// The cards that are to be made for the person of this order and of which there is nothing yet, each with
/// the event that it begins with.
pub(super) async fn of_person(
    core: &Core,
    order: &Order,
    deadline: Deadline,
) -> Result<BTreeMap<ItemKey, Event>, Fault> {
    let municipality = order.row.municipality;
    let rows = match order.record.get(Field::IndividualNumber) {
        Some(number) => {
            let blind = core.vault.blind_index(municipality, Field::IndividualNumber.as_str(), number);
            let count = u32::try_from(ORDERS_MAX + 1).expect("small");
            let rows = core.store.cards_by_person(municipality, &blind, count);
            deadline.wait(rows).await?.map_err(store_fault)?
        }
        None => vec![order.row.clone()],
    };
    if rows.len() > ORDERS_MAX {
        let words = format!("the person has more than {ORDERS_MAX} orders: tell the operator");
        return Err(Fault::new(Reason::LimitExceeded, words));
    }
    let mut found = BTreeMap::new();
    for row in rows.into_iter().filter(|row| row.kind == ids::KIND) {
        let known = find::Known::of(core, row, deadline).await?;
        if known.item.is_some() {
            continue;
        }
        let (_, begins) = known.begins(core, deadline).await?;
        let own = ids::key(municipality, ids::nth(&known.order.order_id, 1));
        let taken = deadline.wait(core.store.item(&own)).await?.map_err(store_fault)?.is_some();
        let other = || ids::key(municipality, ids::other(&known.order.order_id, 1));
        found.insert(if taken { other() } else { own }, begins.ok_or_else(unreadable)?);
    }
    Ok(found)
}
