//! Promise: where a card is follows from what was recorded, terminal, server and chip come to one answer,
//! and a person has at most one card that is active or may become so.

use prost_types::Timestamp;
use serde_json::json;
use todoke::{
    domain::{note, record::Field},
    issuance::replay,
    wire::{
        convert::timestamp,
        fault::{Fault, Reason},
        pb::{self, get_card_request::Key},
    },
};
use tonic::Response;

use self::fixture::{Chip, LAST_DAY, LOT, Made, Making, PULLED, Says, to_the_counter};
use super::{
    databases::on_both,
    harness::{Issuer, Party, eventually, fault, id, records},
};

const WARD: &str = "131229";
/// The number of the person that has the orders K-0 and K-1.
const NUMBER: &str = "123456789018";
const OFFICE: &str = "亀有";

/// An issuer with an accepted batch of ten orders, and a producer of cards.
struct World {
    issuer: Issuer,
    ward: Party,
    making: Making,
}

impl World {
    async fn start() -> Self {
        let mut all = records("K", 10);
        all[..2].iter_mut().for_each(|record| record.set(Field::IndividualNumber, NUMBER));
        // Of the first nothing is made by itself: it brings a form.
        all[1..].iter_mut().for_each(|record| record.set(Field::Kind, "INDIVIDUAL_NUMBER_CARD"));
        let (issuer, ward) = Issuer::with_batch(&all).await;
        let making = Making::of(&issuer).await;
        making.share().await;
        Self { issuer, ward, making }
    }

    /// Fails if something does not stand as its history says.
    async fn replayed(&self) {
        let mut different = Vec::new();
        let replayed = replay(&self.issuer.store, false, &mut |one| different.push(one.clone())).await;
        assert!(replayed.expect("it is read").items > 0 && different.is_empty(), "{different:?}");
    }

    /// A moment `minutes` after an hour ago.
    fn at(&self, minutes: i64) -> Option<Timestamp> {
        Some(timestamp(self.issuer.clock.now_ms() - 3_600_000 + minutes * 60_000))
    }

    /// Whose an order is.
    fn person(&self, order_id: &str) -> [u8; 32] {
        match order_id {
            "K-0" | "K-1" => self.making.person("individual_number", NUMBER),
            _ => self.making.person("order_id", order_id),
        }
    }

    /// A card for an order that the producer found good.
    async fn made(&self, order_id: &str) -> Chip {
        self.made_and(order_id, Vec::new(), "QC_PASSED").await
    }

    async fn made_and(&self, order_id: &str, then: Vec<serde_json::Value>, state: &str) -> Chip {
        let (person, last_day) = (self.person(order_id), LAST_DAY);
        let made = Made { id: order_id, order_id, person, application: None, last_day, then, state };
        self.making.card(&made).await
    }

    /// A card whose holder was asked to come.
    async fn notified(&self, order_id: &str) -> Chip {
        self.made_and(order_id, to_the_counter(), "NOTIFIED").await
    }

    /// A card that its holder has.
    async fn active(&self, order_id: &str) -> Chip {
        let mut chip = self.notified(order_id).await;
        let session = session(order_id.len() as u128 * 1000 + u128::from(order_id.as_bytes()[2]));
        self.begin(&format!("b-{order_id}"), order_id, &session).await.expect("it begins");
        chip.says = Says::Committed(session.clone());
        self.confirm(&format!("c-{order_id}"), &chip, &session).await.expect("it is confirmed");
        chip
    }

    async fn begin(
        &self,
        request: &str,
        card: &str,
        session: &str,
    ) -> Result<pb::BeginActivationResponse, Fault> {
        let request = self.beginning(request, card, session);
        self.ward.cards().begin_activation(request).await.map(Response::into_inner).map_err(fault)
    }

    fn beginning(&self, request: &str, card: &str, session: &str) -> pb::BeginActivationRequest {
        pb::BeginActivationRequest {
            request_id: request.to_owned(),
            card_id: card.to_owned(),
            session_id: session.to_owned(),
            terminal: "T-1".to_owned(),
            documents: vec!["PASSPORT".to_owned()],
            surrendered_card_id: String::new(),
            occurred_time: self.at(5),
        }
    }

    async fn confirm(
        &self,
        request: &str,
        chip: &Chip,
        session: &str,
    ) -> Result<pb::ConfirmActivationResponse, Fault> {
        let request = pb::ConfirmActivationRequest {
            request_id: request.to_owned(),
            card_id: chip.card_id.clone(),
            session_id: session.to_owned(),
            chip: Some(chip.statement()),
            occurred_time: self.at(6),
        };
        self.ward.cards().confirm_activation(request).await.map(Response::into_inner).map_err(fault)
    }

    async fn query(&self, chip: &Chip, session: &str) -> Result<pb::QueryActivationResponse, Fault> {
        let request = pb::QueryActivationRequest {
            card_id: chip.card_id.clone(),
            session_id: session.to_owned(),
            chip: Some(chip.statement()),
        };
        self.ward.cards().query_activation(request).await.map(Response::into_inner).map_err(fault)
    }

    async fn get(&self, card: &str) -> pb::GetCardResponse {
        let request = pb::GetCardRequest {
            key: Some(Key::CardId(card.to_owned())),
            purpose: pb::Purpose::Unspecified.into(),
            with_history: true,
        };
        self.ward.cards().get_card(request).await.expect("its own").into_inner()
    }

    async fn state(&self, card: &str) -> pb::CardState {
        self.get(card).await.card.expect("it").state()
    }

    async fn arrive(&self, request: &str, cards: &[&str]) -> Result<Vec<pb::Card>, Fault> {
        let request = pb::RecordArrivalRequest {
            request_id: request.to_owned(),
            card_ids: cards.iter().map(|id| (*id).to_owned()).collect(),
            office: OFFICE.to_owned(),
            occurred_time: self.at(1),
        };
        let arrived = self.ward.cards().record_arrival(request).await.map_err(fault)?;
        Ok(arrived.into_inner().cards)
    }

    async fn happened(
        &self,
        request: &str,
        order_id: &str,
        event: pb::HolderEvent,
    ) -> Result<pb::RecordHolderEventResponse, Fault> {
        let request = pb::RecordHolderEventRequest {
            request_id: request.to_owned(),
            order_id: order_id.to_owned(),
            event: event.into(),
            reason: "a call".to_owned(),
            occurred_time: self.at(9),
        };
        self.ward.cards().record_holder_event(request).await.map(Response::into_inner).map_err(fault)
    }
}

/// The session that ends with `n`.
fn session(n: u128) -> String {
    format!("0192f0c1-2345-7abc-8def-{n:012x}")
}

/// An act on one card, with what the request has beside id, card and time.
macro_rules! act {
    ($world:expr, $call:ident, $request:ident, $id:expr, $card:expr $(, $field:ident: $value:expr)*) => {{
        let request = pb::$request {
            request_id: $id.to_owned(),
            card_id: $card.to_owned(),
            occurred_time: $world.at(4),
            $($field: $value),*
        };
        $world.ward.cards().$call(request).await.map(Response::into_inner).map_err(fault)
    }};
}

mod activation;
mod ends;
mod fixture;
mod fraud;
mod holder;
mod listed;
mod parties;
mod terminal;
mod transit;

on_both!(a_card_goes_from_the_press_to_its_holder_and_its_history_says_how, async {
    let world = World::start().await;
    assert_eq!(world.state("K-2").await, pb::CardState::Ordered, "an order that nobody was given");
    let mut chip = world.made("K-2").await;
    let arrived = world.arrive("r-1", &["K-2"]).await.expect("it was sent, though nobody said so");
    assert_eq!((arrived[0].state(), arrived[0].office.as_str()), (pb::CardState::Arrived, OFFICE));
    assert_eq!(world.making.figures().await, [5, 1, 2, 2, 0, 100 - PULLED], "and so its lot says");
    let passed = "PASS".to_owned();
    act!(world, record_pre_issuance, RecordPreIssuanceRequest, "r-2", "K-2", self_test: passed)
        .expect("good");
    act!(world, notify_holder, NotifyHolderRequest, "r-3", "K-2").expect("asked to come");
    act!(world, notify_holder, NotifyHolderRequest, "r-4", "K-2").expect("and again");
    let session = session(1);
    let begun = world.begin("r-5", "K-2", &session).await.expect("it begins");
    assert_eq!((begun.state(), begun.card.expect("it").state()), (BEGUN, pb::CardState::Activating));
    let step = async |chip: &Chip| world.query(chip, &session).await.expect("the next step").step();
    assert_eq!(step(&chip).await, pb::ActivationStep::PrepareChip);
    chip.says = Says::Prepared(session.clone());
    assert_eq!(step(&chip).await, pb::ActivationStep::CommitChip);
    chip.says = Says::Committed(session.clone());
    assert_eq!(step(&chip).await, pb::ActivationStep::Confirm);
    let confirmed = world.confirm("r-6", &chip, &session).await.expect("the chip is committed");
    assert_eq!((confirmed.state(), confirmed.card.expect("it").state()), (CONFIRMED, pb::CardState::Active));
    assert_eq!(step(&chip).await, pb::ActivationStep::Done);
    let got = world.get("K-2").await;
    let words: Vec<_> = got.events.iter().map(|one| (one.event.as_str(), one.actor.as_str())).collect();
    let (press, ward) = ("producer/press-1", "municipality/131229");
    let expected = [
        ("ORDER", press),
        ("LEASE", press),
        ("PERSONALISE", press),
        ("PASS_QC", press),
        ("ARRIVE", ward),
        ("PRE_ISSUE", ward),
        ("NOTIFY", ward),
        ("NOTIFY", ward),
        ("BEGIN_ACTIVATION", ward),
        ("CONFIRM_ACTIVATION", ward),
    ];
    assert_eq!(words, expected);
    let card = got.card.expect("it");
    assert_eq!((card.order_id.as_str(), card.lot_id.as_str(), card.index), ("K-2", LOT, 2));
    assert_eq!((card.last_day.as_str(), card.session_id), (LAST_DAY, session));
    assert_eq!((card.unmet_accommodations, card.event_count), (vec!["braille".to_owned()], 10));
    world.replayed().await;
});

const BEGUN: pb::ActivationState = pb::ActivationState::Begun;
const CONFIRMED: pb::ActivationState = pb::ActivationState::Confirmed;
const ABORTED: pb::ActivationState = pb::ActivationState::Aborted;

on_both!(cards_arrive_together_or_not_at_all_and_what_was_lost_is_found, async {
    let world = World::start().await;
    let shipped = || vec![json!({"event": "SHIP", "shipment": "S-1"})];
    let lost = || [shipped(), vec![json!({"event": "LOSE_IN_TRANSIT", "why": "no parcel"})]].concat();
    world.made("K-2").await;
    world.made("K-3").await;
    world.made_and("K-4", shipped(), "SHIPPED").await;
    world.made_and("K-5", lost(), "LOST_IN_TRANSIT").await;
    world.made_and("K-6", lost(), "LOST_IN_TRANSIT").await;
    let refused =
        async |request: &str, cards: &[&str]| world.arrive(request, cards).await.expect_err("refused");
    let unmade = refused("r-1", &["K-2", "K-9"]).await;
    assert_eq!((unmade.reason, unmade.get("card_id")), (Reason::ItemState, Some("K-9")));
    let none = refused("r-2", &["K-2", "K-99"]).await;
    assert!(none.reason == Reason::NotFound && none.message.contains("card_ids[1]"), "{none:?}");
    assert_eq!(refused("r-3", &["K-2", "K-2"]).await.reason, Reason::FieldInvalid, "twice");
    assert_eq!(refused("r-4", &[]).await.reason, Reason::FieldInvalid, "none");
    let many: Vec<String> = (0..501).map(|n| format!("K-{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(refused("r-5", &many).await.reason, Reason::FieldInvalid, "one above the limit");
    assert_eq!(world.state("K-2").await, pb::CardState::QcPassed, "nothing of it was done");
    let all = ["K-3", "K-2", "K-5", "K-4"];
    let arrived = world.arrive("r-7", &all).await.expect("each in its way");
    let there: Vec<_> = arrived.iter().map(|card| (card.card_id.as_str(), card.state())).collect();
    assert_eq!(there, all.map(|id| (id, pb::CardState::Arrived)), "in the order of the call");
    assert_eq!(world.making.figures().await, [6, 4, 1, 1, 0, 50]);
    assert_eq!(world.arrive("r-7", &all).await, Ok(arrived), "the same again");
    assert_eq!(world.making.figures().await, [6, 4, 1, 1, 0, 50], "does nothing more");
    assert_eq!(refused("r-7", &["K-3"]).await.reason, Reason::RequestIdReused);
    assert_eq!(refused("r-8", &["K-3"]).await.reason, Reason::ItemState, "it is there");
    // One for which another was made is not to be used.
    act!(world, remake_card, RemakeCardRequest, "m-1", "K-6").expect("another is made");
    let found = world.arrive("r-9", &["K-6"]).await.expect("it turned up");
    assert_eq!(found[0].state(), pb::CardState::Recalled);
    assert_eq!(world.making.figures().await, [6, 5, 1, 0, 0, 50]);
    world.replayed().await;
});
