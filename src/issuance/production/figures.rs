//! The ledger of a lot is held against its cards, counted one by one: whatever does not agree is named.

use std::collections::HashMap;

use tonic::Request;

use crate::{
    domain::{
        identity::Role,
        item::{ItemId, ItemKey, ItemKind, Link},
        life::lot::Figures,
    },
    store::ItemRow,
    wire::{fault::Fault, pb},
};

use super::{
    super::{
        caller::{not_yours, one_of, whose},
        card,
        core::{Core, store_fault},
        deadline::Deadline,
        mutation::id_of,
    },
    lot::{self, Share},
    view,
};

/// Cards of a page.
const PAGE: u32 = 1000;
/// How often a share is counted that changes meanwhile.
const COUNTS_MAX: usize = 5;

/// The cards of a share, as they are.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counted {
    by_state: HashMap<String, u64>,
    /// Without what is allocated and what remains: no card says that.
    figures: Figures,
}

/// Returns the shares of a lot that the caller may see.
pub(super) async fn get(
    core: &Core,
    request: Request<pb::GetLotRequest>,
) -> Result<pb::GetLotResponse, Fault> {
    let roles = [Role::Operator, Role::Auditor, Role::Producer, Role::Municipality];
    let caller = one_of(&request, &roles)?;
    let deadline = Deadline::of(request.metadata(), core.options.call_deadline);
    let request = request.into_inner();
    let id = id_of(&request.lot_id, "lot_id")?;
    let places = if caller.municipality().is_none() && request.municipality_code.is_empty() {
        let places = core.store.municipalities_linked(Link::of_lot(&id));
        deadline.wait(places).await?.map_err(store_fault)?
    } else {
        vec![whose(&caller, Some(&request.municipality_code))?]
    };
    let keys: Vec<ItemKey> = places.into_iter().map(|place| lot::key(place, id.clone())).collect();
    let mut rows = deadline.wait(core.store.items_of(&keys)).await?.map_err(store_fault)?;
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    let mut answer = pb::GetLotResponse::default();
    for row in rows {
        if caller.role() == Role::Producer && lot::details(&row)?.producer != caller.name() {
            continue;
        }
        let (share, count) = of_share(core, row, deadline).await?;
        answer.shares.push(share);
        answer.counts.push(count);
    }
    if answer.shares.is_empty() {
        return Err(not_yours());
    }
    answer.total = Some(total(&answer.shares));
    Ok(answer)
}

/// A share and its count. It is counted again if something was done with it meanwhile.
async fn of_share(
    core: &Core,
    mut row: ItemRow,
    deadline: Deadline,
) -> Result<(pb::LotShare, pb::LotCount), Fault> {
    let key = row.key.clone();
    let mut count = pb::LotCount { municipality_code: key.municipality.to_string(), ..Default::default() };
    for _ in 0..COUNTS_MAX {
        let history = deadline.wait(core.store.item_history(&key)).await?.map_err(store_fault)?;
        let counted = counted(core, &key, deadline).await?;
        let after =
            deadline.wait(core.store.item(&key)).await?.map_err(store_fault)?.ok_or_else(not_yours)?;
        let stood_still = row.events == after.events && history.len() == after.events as usize;
        row = after;
        count.cards_by_state = counted.by_state;
        if stood_still {
            let share = Share::of(&history).map_err(|_| lot::unreadable())?;
            count.differences = differences(&lot::details(&row)?, &share, &counted.figures);
            return Ok((view::share(&row)?, count));
        }
    }
    count.differences = vec!["it changed each time that it was counted: ask again".to_owned()];
    Ok((view::share(&row)?, count))
}

/// Counts the cards of a share.
async fn counted(core: &Core, share: &ItemKey, deadline: Deadline) -> Result<Counted, Fault> {
    let mut counted = Counted::default();
    let mut after: Option<ItemId> = None;
    loop {
        let link = Link::of_lot(&share.id);
        let page = core.store.linked(share.municipality, link, ItemKind::Card, after.as_ref(), PAGE);
        let page = deadline.wait(page).await?.map_err(store_fault)?;
        for row in &page {
            let details = card::life::details(row)?;
            if details.lot.as_deref() == Some(share.id.as_str()) {
                counted.add(row, &details);
            }
        }
        if page.len() < PAGE as usize {
            return Ok(counted);
        }
        after = page.into_iter().next_back().map(|row| row.key.id);
    }
}

impl Counted {
    fn add(&mut self, row: &ItemRow, details: &card::life::Details) {
        *self.by_state.entry(row.state.clone()).or_default() += 1;
        let figures = &mut self.figures;
        if details.nok {
            figures.scrapped += 1;
            return;
        }
        figures.consumed += 1;
        // Whatever became of it later: it has been at an office, it is lost, or it is under way.
        let has_arrived = !row.office.is_empty();
        if has_arrived || details.shipment.is_some() {
            figures.shipped += 1;
            figures.arrived += u64::from(has_arrived);
            figures.lost += u64::from(!has_arrived && details.lost);
            figures.in_transit += u64::from(!has_arrived && !details.lost);
        }
    }
}

/// Everything that does not agree: the stored figures with their history and with each other, and with
/// the cards.
fn differences(stored: &lot::Details, share: &Share, counted: &Figures) -> Vec<String> {
    let figures = Figures {
        allocated: stored.allocated,
        consumed: stored.consumed,
        scrapped: stored.scrapped,
        remaining: stored.remaining,
        shipped: stored.shipped,
        arrived: stored.arrived,
        in_transit: stored.in_transit,
        lost: stored.lost,
    };
    let mut found: Vec<String> = figures.differences().iter().map(ToString::to_string).collect();
    if *stored != share.details() {
        found.push("the stored figures are not those that follow from the history".to_owned());
    }
    let pairs = [
        ("consumed", figures.consumed, counted.consumed),
        ("scrapped", figures.scrapped, counted.scrapped),
        ("shipped", figures.shipped, counted.shipped),
        ("arrived", figures.arrived, counted.arrived),
        ("in transit", figures.in_transit, counted.in_transit),
        ("lost", figures.lost, counted.lost),
    ];
    for (what, ledger, cards) in pairs.into_iter().filter(|(_, ledger, cards)| ledger != cards) {
        found.push(format!("{what}: {ledger} in the ledger, {cards} by its cards"));
    }
    found
}

/// All of it together.
fn total(shares: &[pb::LotShare]) -> pb::LotShare {
    let mut total = pb::LotShare::default();
    for share in shares {
        total.lot_id.clone_from(&share.lot_id);
        total.allocated += share.allocated;
        total.consumed += share.consumed;
        total.scrapped += share.scrapped;
        total.remaining += share.remaining;
        total.shipped += share.shipped;
        total.arrived += share.arrived;
        total.in_transit += share.in_transit;
        total.lost += share.lost;
        if !share.recalled_because.is_empty() {
            total.recalled_because.clone_from(&share.recalled_because);
        }
    }
    let one = |state: &str| shares.iter().any(|share| share.state == state);
    let state = ["RECALLED", "OPEN"].into_iter().find(|state| one(state)).unwrap_or("USED_UP");
    state.clone_into(&mut total.state);
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_ledger_has_and_the_cards_have_not_is_named() {
        let share = Share::default();
        assert_eq!(differences(&share.details(), &share, &Figures::default()), Vec::<String>::new());
        let stored = lot::Details { allocated: 3, consumed: 2, remaining: 1, ..share.details() };
        let found = differences(&stored, &share, &Figures { consumed: 1, ..Figures::default() });
        let history = "the stored figures are not those that follow from the history";
        assert_eq!(found, [history, "consumed: 2 in the ledger, 1 by its cards"]);
        let open = lot::Details { remaining: 0, ..stored };
        assert!(differences(&open, &share, &Figures::default())[0].contains("of 3, 1 are unknown"));
    }
}
