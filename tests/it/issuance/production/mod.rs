//! Promise: each order is made by one producer at a time, each blank card is accounted for, and nothing
//! is recorded of a report that is wrong in one place.

use std::collections::BTreeSet;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use prost_types::Timestamp;
use todoke::{
    domain::{
        item::{ItemId, ItemKey, ItemKind},
        manifest::Policy,
        record::{Field, Record},
    },
    store::{Cause, ItemRow},
    wire::{
        convert::timestamp,
        fault::{Fault, Reason},
        pb::{self, produced_card::Result as Came, production_service_client::ProductionServiceClient},
    },
};
use tonic::{Response, transport::Channel};

use super::{
    databases::on_both,
    harness::{Issuer, Party, batch, fault, record},
};

const WARD: &str = "131229";
const CITY: &str = "011002";
const DAY_MS: i64 = 24 * 3_600_000;

/// An issuer with accepted batches of card orders, and everybody who has to do with their production.
struct World {
    issuer: Issuer,
    ward: Party,
    city: Party,
    press: Party,
    other_press: Party,
    operator: Party,
}

/// Card orders whose ids begin with `prefix`.
fn orders(prefix: &str, count: usize) -> Vec<Record> {
    let card = |n: usize| {
        let mut card = record(&format!("{prefix}-{n:03}"), n);
        card.set(Field::Kind, "INDIVIDUAL_NUMBER_CARD");
        card
    };
    (0..count).map(card).collect()
}

impl World {
    /// One with so many orders of the ward.
    async fn start(count: usize) -> Self {
        Self::with(&orders("K", count)).await
    }

    async fn with(records: &[Record]) -> Self {
        let (issuer, ward) = Issuer::with_batch(records).await;
        let city = issuer.party(&format!("municipality/{CITY}")).await;
        let (press, other_press) =
            (issuer.party("producer/press-1").await, issuer.party("producer/press-2").await);
        let operator = issuer.party("operator/alice").await;
        Self { issuer, ward, city, press, other_press, operator }
    }

    fn now(&self) -> Option<Timestamp> {
        Some(timestamp(self.issuer.clock.now_ms()))
    }

    /// Gives the first press blank cards of a lot for the ward.
    async fn allocate(&self, request: &str, lot: &str, cards: u32) -> Result<pb::LotShare, Fault> {
        self.allocate_to(request, (WARD, lot, "press-1"), cards).await
    }

    async fn allocate_to(
        &self,
        request: &str,
        (code, lot, producer): (&str, &str, &str),
        cards: u32,
    ) -> Result<pb::LotShare, Fault> {
        let request = pb::AllocateQuotaRequest {
            request_id: request.to_owned(),
            municipality_code: code.to_owned(),
            lot_id: lot.to_owned(),
            producer: producer.to_owned(),
            cards,
        };
        let done = of(&self.operator).allocate_quota(request).await.map_err(fault)?;
        Ok(done.into_inner().share.expect("the share"))
    }

    /// What the first press gets, or why nothing.
    async fn pull(&self, request: &str, lot: &str, count: u32) -> Result<pb::PullOrdersResponse, Fault> {
        pull(&self.press, pulling(request, lot, count)).await
    }

    /// The ids of what the first press gets.
    async fn pulled(&self, request: &str, lot: &str, count: u32) -> Vec<String> {
        ids(&self.pull(request, lot, count).await.expect("there are orders"))
    }

    /// Reports of the first press.
    async fn report(
        &self,
        request: &str,
        lot: &str,
        cards: Vec<pb::ProducedCard>,
    ) -> Result<pb::ReportProductionResponse, Fault> {
        let request = pb::ReportProductionRequest {
            request_id: request.to_owned(),
            municipality_code: WARD.to_owned(),
            lot_id: lot.to_owned(),
            cards,
            occurred_time: self.now(),
        };
        of(&self.press).report_production(request).await.map(Response::into_inner).map_err(fault)
    }

    /// The first press sends cards, or says that they are lost.
    async fn ship(
        &self,
        request: &str,
        lot: &str,
        cards: &[String],
        lost: &str,
    ) -> Result<pb::LotShare, Fault> {
        let request = pb::ReportShipmentRequest {
            request_id: request.to_owned(),
            municipality_code: WARD.to_owned(),
            lot_id: lot.to_owned(),
            shipment_id: "S-1".to_owned(),
            card_ids: cards.to_vec(),
            lost: lost.to_owned(),
            occurred_time: self.now(),
        };
        let done = of(&self.press).report_shipment(request).await.map_err(fault)?;
        Ok(done.into_inner().share.expect("the share"))
    }

    async fn recall(&self, request: &str, lot: &str) -> Result<pb::RecallLotResponse, Fault> {
        let request = pb::RecallLotRequest {
            request_id: request.to_owned(),
            lot_id: lot.to_owned(),
            reason: "faulty chips".to_owned(),
        };
        of(&self.operator).recall_lot(request).await.map(Response::into_inner).map_err(fault)
    }

    /// The total of a lot, every sum of which closes.
    async fn closes(&self, lot: &str) -> pb::LotShare {
        let request = pb::GetLotRequest { lot_id: lot.to_owned(), ..Default::default() };
        let got = of(&self.operator).get_lot(request).await.expect("it is there").into_inner();
        for count in &got.counts {
            assert!(count.differences.is_empty(), "{lot}: {count:?} of {:?}", got.shares);
        }
        got.total.expect("of all shares")
    }

    /// A card of the ward as it is stored.
    async fn card(&self, id: &str) -> ItemRow {
        self.card_of(&self.ward, id).await
    }

    async fn card_of(&self, party: &Party, id: &str) -> ItemRow {
        let (municipality, id): (_, ItemId) = (party.code(), id.parse().expect("an id"));
        let key = ItemKey { municipality, kind: ItemKind::Card, id };
        self.issuer.store.item(&key).await.expect("it answers").expect("it is there")
    }

    async fn states(&self, ids: &[String]) -> BTreeSet<String> {
        let mut states = BTreeSet::new();
        for id in ids {
            states.insert(self.card(id).await.state);
        }
        states
    }
}

fn of(party: &Party) -> ProductionServiceClient<Channel> {
    ProductionServiceClient::new(party.channel.clone())
}

fn pulling(request: &str, lot: &str, count: u32) -> pb::PullOrdersRequest {
    pb::PullOrdersRequest {
        request_id: request.to_owned(),
        municipality_code: WARD.to_owned(),
        lot_id: lot.to_owned(),
        orders_max: count,
        ..Default::default()
    }
}

async fn pull(party: &Party, request: pb::PullOrdersRequest) -> Result<pb::PullOrdersResponse, Fault> {
    of(party).pull_orders(request).await.map(Response::into_inner).map_err(fault)
}

fn ids(pulled: &pb::PullOrdersResponse) -> Vec<String> {
    pulled.orders.iter().map(|order| order.card_id.clone()).collect()
}

/// The public key of a chip that nobody else has.
fn chip_key() -> Vec<u8> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
    pair.public_key().as_ref().to_vec()
}

fn ok(id: &str) -> pb::ProducedCard {
    let good =
        pb::GoodCard { chip_key: chip_key(), self_test: "PASS".to_owned(), unmet_accommodations: Vec::new() };
    pb::ProducedCard { card_id: id.to_owned(), result: Some(Came::Ok(good)) }
}

fn nok(id: &str) -> pb::ProducedCard {
    pb::ProducedCard { card_id: id.to_owned(), result: Some(Came::Nok("the print is smeared".to_owned())) }
}

mod applications;
mod pages;
mod parties;
mod pulls;
mod recalls;
mod reports;
mod sums;

on_both!(a_card_is_ordered_made_and_sent_and_each_blank_card_is_accounted_for, async {
    let world = World::start(3).await;
    let share = world.allocate("a-1", "L-1", 5).await.expect("allocated");
    assert_eq!((share.state.as_str(), share.allocated, share.remaining), ("OPEN", 5, 5));
    assert_eq!(world.allocate("a-1", "L-1", 5).await.expect("again"), share, "the same request does nothing");
    let pulled = world.pull("p-1", "L-1", 2).await.expect("there are orders");
    assert_eq!(ids(&pulled), ["K-000", "K-001"], "the oldest first");
    assert_eq!(pulled.lease_end_time, Some(timestamp(world.issuer.clock.now_ms() + DAY_MS)));
    let order = &pulled.orders[0];
    let person = order.personal_data.clone().expect("what is printed");
    assert_eq!((person.name.as_str(), person.birth_date.as_str()), ("カナリヤ 𠮷田", "1980-02-29"));
    assert_eq!(
        (order.order_id.as_str(), &order.name_flags[..]),
        ("K-000", &["supplementary".to_owned()][..])
    );
    let share = world.closes("L-1").await;
    assert_eq!((share.consumed, share.remaining), (2, 3));
    let done = world.report("r-1", "L-1", vec![ok("K-000"), nok("K-001")]).await.expect("recorded");
    assert_eq!(done.remade_card_ids, ["K-001~2"]);
    assert_eq!(world.card("K-000").await.state, "QC_PASSED");
    let details = world.card("K-000").await.details;
    let day = world.issuer.clock.now_ms();
    let year = todoke::domain::date::Date::in_japan(day).year();
    assert!(
        [9, 10]
            .map(|years| format!("\"last_day\":\"{}-02-28\"", year + years))
            .iter()
            .any(|last| { details.contains(last.as_str()) }),
        "ten birthdays: {details}"
    );
    let share = world.closes("L-1").await;
    assert_eq!((share.consumed, share.scrapped, share.remaining), (1, 1, 3));
    let again = world.pulled("p-2", "L-1", 9).await;
    assert_eq!(again, ["K-001~2", "K-002"], "the new order for what was bad, and the rest");
    let shipped = world.ship("s-1", "L-1", &["K-000".to_owned()], "").await.expect("sent");
    assert_eq!((shipped.shipped, shipped.in_transit), (1, 1));
    let lost = world.ship("s-2", "L-1", &["K-000".to_owned()], "the van burnt").await.expect("lost");
    assert_eq!((lost.shipped, lost.in_transit, lost.lost), (1, 0, 1));
    assert_eq!(world.card("K-000").await.state, "LOST_IN_TRANSIT");
    assert_eq!(world.closes("L-1").await.lost, 1);
    let ages = pb::ListStageAgesRequest::default();
    let ages = of(&world.ward).list_stage_ages(ages).await.expect("its own").into_inner();
    let ages: Vec<_> = ages.stages.iter().map(|one| (one.stage.as_str(), one.count)).collect();
    assert_eq!(ages, [("CARD ORDERED", 2), ("CARD LOST_IN_TRANSIT", 1)]);
});
