//! What a card is called: as the order or the application that it is for, and what takes its place if it
//! was made in vain as that with a number; no two cards of a municipality ever have one id.

use crate::{
    domain::{
        digest::Digest,
        item::{ItemId, ItemKey, ItemKind},
        municipality::MunicipalityCode,
    },
    wire::fault::{Fault, Reason},
};

use super::super::{
    core::{Core, store_fault},
    deadline::Deadline,
};

/// Orders of which cards are made here: a notification card goes by mail, and has no life of its own.
pub(crate) const KIND: &str = "INDIVIDUAL_NUMBER_CARD";
/// Cards that one order or application gets at the most.
const CARDS_MAX: u32 = 1000;

/// The key of a card.
pub(crate) fn key(municipality: MunicipalityCode, id: ItemId) -> ItemKey {
    ItemKey { municipality, kind: ItemKind::Card, id }
}

/// The id of the card number `n` of an order or an application: `base`, `base~2`, `base~3` …
///
/// An order may be called as nothing else can be, with spaces, or have no room for a number.
pub(crate) fn nth(base: &str, n: u32) -> ItemId {
    let text = if n < 2 { base.to_owned() } else { format!("{base}~{n}") };
    text.parse().unwrap_or_else(|_| other(base, n))
}

/// The same for an order whose own id is another card's.
pub(crate) fn other(base: &str, n: u32) -> ItemId {
    let digest = Digest::of(base.as_bytes()).to_string();
    let text = format!("card-{}", &digest[..32]);
    let text = if n < 2 { text } else { format!("{text}~{n}") };
    text.parse().expect("it is short and visible")
}

/// The first id from number `from` on that no card has, and no order that may get one.
pub(crate) async fn next(
    core: &Core,
    municipality: MunicipalityCode,
    base: &str,
    from: u32,
    deadline: Deadline,
) -> Result<ItemKey, Fault> {
    for n in from..=CARDS_MAX {
        let key = key(municipality, nth(base, n));
        if deadline.wait(core.store.item(&key)).await?.map_err(store_fault)?.is_some() {
            continue;
        }
        let order = core.store.card_by_order_id(municipality, key.id.as_str());
        let order = deadline.wait(order).await?.map_err(store_fault)?;
        if order.is_none_or(|order| order.order_id == base) {
            return Ok(key);
        }
    }
    let words = format!("{CARDS_MAX} cards were made for it in vain: tell the operator");
    Err(Fault::new(Reason::LimitExceeded, words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_has_a_card_id_and_so_has_each_card_in_its_place() {
        assert_eq!(nth("K-1", 1).as_str(), "K-1");
        assert_eq!(nth("K-1", 2).as_str(), "K-1~2");
        let long = "x".repeat(64);
        assert_eq!(nth(&long, 1).as_str(), long);
        for odd in [nth(&long, 2), nth("K 1", 1), other("K-1", 1), nth("K 1", 1000)] {
            assert!(odd.as_str().starts_with("card-") && odd.as_str().len() < 48, "{odd}");
        }
        assert_ne!(nth("K 1", 1), nth("K 2", 1));
        assert_ne!(nth("K 1", 1), nth("K 1", 2));
    }
}
