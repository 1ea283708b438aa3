//! Step (d): an operator allocates blank cards, the press pulls what waits, and reports each card; one comes
//! out bad, and is made again.

use prost_types::Duration;

use super::{
    super::{narrator::Narrator, trouble::Trouble},
    parties::{Parties, ask, asked, now, reason},
    swap,
};
use crate::{
    domain::{item::ItemId, municipality::MunicipalityCode},
    sample::Chip,
    wire::pb::{self, produced_card::Result as Made},
};

/// The ward.
const CODE: &str = "131229";
/// The lot.
const LOT: &str = "LOT-1";
/// Where cards arrive.
const OFFICE: &str = "区役所";

/// A card with its chip.
pub(super) struct Card {
    pub(super) id: String,
    pub(super) chip: Chip,
}

/// (d). Returns the cards that have arrived.
///
/// # Errors
/// [`Trouble`].
pub(super) async fn told(
    parties: &Parties,
    tale: &mut Narrator,
    applications: &[String],
) -> Result<Vec<Card>, Trouble> {
    allocate(parties, 3).await?;
    let pulled = pull(parties).await.map_err(asked)?;
    let held = pulled.held.iter().filter(|one| one.why == "HOUSEHOLD_SWAP_SUSPECTED").count();
    tale.same("approved, and held for the suspicion of a swap", 3, held as u64);
    tale.same("orders that the press gets before somebody has looked", 0, pulled.orders.len() as u64);
    for number in applications {
        swap::cleared(parties, number).await?;
    }
    let orders = pull(parties).await.map_err(asked)?.orders;
    tale.same("orders after a clerk has looked at each", 3, orders.len() as u64);
    let mut cards = Vec::new();
    for order in &orders {
        cards.push(Card { id: order.card_id.clone(), chip: chip(&order.card_id)? });
    }
    let bad = cards.pop().map(|card| card.id).unwrap_or_default();
    let mut reports: Vec<pb::ProducedCard> = cards.iter().map(good).collect();
    let nok = Some(Made::Nok("scratched".to_owned()));
    reports.push(pb::ProducedCard { card_id: bad.clone(), result: nok });
    let remade = report(parties, reports).await?.remade_card_ids;
    tale.say(&format!("Card {bad} comes out scratched, and is ordered again as {}.", remade.join(" ")));
    let refused = reason(pull(parties).await)?;
    tale.holds("a pull with no blank card left", "QUOTA_USED_UP", refused, refused == "QUOTA_USED_UP");
    allocate(parties, 1).await?;
    for order in pull(parties).await.map_err(asked)?.orders {
        let card = Card { id: order.card_id.clone(), chip: chip(&order.card_id)? };
        report(parties, vec![good(&card)]).await?;
        cards.push(card);
    }
    arrive(parties, &cards).await?;
    figures(parties, tale).await?;
    Ok(cards)
}

async fn allocate(parties: &Parties, cards: u32) -> Result<(), Trouble> {
    let request = pb::AllocateQuotaRequest {
        request_id: parties.request_id(),
        municipality_code: CODE.to_owned(),
        lot_id: LOT.to_owned(),
        producer: "press-1".to_owned(),
        cards,
    };
    ask!(parties.operator, production.allocate_quota, request).map(drop).map_err(asked)
}

async fn pull(parties: &Parties) -> Result<pb::PullOrdersResponse, crate::client::calls::CallError> {
    let request = pb::PullOrdersRequest {
        request_id: parties.request_id(),
        municipality_code: CODE.to_owned(),
        lot_id: LOT.to_owned(),
        orders_max: 100,
        lease: Some(Duration { seconds: 3600, nanos: 0 }),
        page_token: String::new(),
    };
    ask!(parties.press, production.pull_orders, request)
}

fn chip(card_id: &str) -> Result<Chip, Trouble> {
    let unreadable = || Trouble::NoNode(format!("card {card_id}"));
    let card: ItemId = card_id.parse().map_err(|_| unreadable())?;
    let ward: MunicipalityCode = CODE.parse().map_err(|_| unreadable())?;
    Ok(Chip::make(ward, card))
}

fn good(card: &Card) -> pb::ProducedCard {
    let ok = pb::GoodCard {
        chip_key: card.chip.public_key(),
        self_test: "PASS".to_owned(),
        unmet_accommodations: Vec::new(),
    };
    pb::ProducedCard { card_id: card.id.clone(), result: Some(Made::Ok(ok)) }
}

async fn report(
    parties: &Parties,
    cards: Vec<pb::ProducedCard>,
) -> Result<pb::ReportProductionResponse, Trouble> {
    let request = pb::ReportProductionRequest {
        request_id: parties.request_id(),
        municipality_code: CODE.to_owned(),
        lot_id: LOT.to_owned(),
        cards,
        occurred_time: now(),
    };
    ask!(parties.press, production.report_production, request).map_err(asked)
}

async fn arrive(parties: &Parties, cards: &[Card]) -> Result<(), Trouble> {
    let card_ids: Vec<String> = cards.iter().map(|card| card.id.clone()).collect();
    let request = pb::ReportShipmentRequest {
        request_id: parties.request_id(),
        municipality_code: CODE.to_owned(),
        lot_id: LOT.to_owned(),
        shipment_id: "SHIP-1".to_owned(),
        card_ids: card_ids.clone(),
        lost: String::new(),
        occurred_time: now(),
    };
    ask!(parties.press, production.report_shipment, request).map_err(asked)?;
    let request = pb::RecordArrivalRequest {
        request_id: parties.request_id(),
        card_ids,
        office: OFFICE.to_owned(),
        occurred_time: now(),
    };
    ask!(parties.ward, cards.record_arrival, request).map(drop).map_err(asked)
}

async fn figures(parties: &Parties, tale: &mut Narrator) -> Result<(), Trouble> {
    let request = pb::GetLotRequest { lot_id: LOT.to_owned(), municipality_code: CODE.to_owned() };
    let lot = ask!(parties.operator, production.get_lot, request).map_err(asked)?;
    let total = lot.total.unwrap_or_default();
    let found = [total.allocated, total.consumed, total.scrapped, total.remaining];
    tale.all_same("of the lot: allocated / consumed / scrapped / left", &[4, 3, 1, 0], &found);
    let open: Vec<String> = lot.counts.into_iter().flat_map(|count| count.differences).collect();
    let found = if open.is_empty() { "none".to_owned() } else { open.join("; ") };
    tale.holds("sums of the lot that do not close", "none", &found, open.is_empty());
    Ok(())
}
