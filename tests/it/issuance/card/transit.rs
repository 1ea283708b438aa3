//! Promise: a card that is called back on its way is counted where it ends, and is never handed over.

use pb::{CardState as Is, production_service_client::ProductionServiceClient};

use super::*;

impl World {
    async fn recall(&self, lot: &str) -> pb::RecalledShare {
        let operator = self.issuer.party("operator/alice").await;
        let request = pb::RecallLotRequest {
            request_id: "x-1".to_owned(),
            lot_id: lot.to_owned(),
            reason: "faulty chips".to_owned(),
        };
        let mut calls = ProductionServiceClient::new(operator.channel.clone());
        let recalled = calls.recall_lot(request).await.expect("recalled").into_inner();
        recalled.shares.into_iter().next().expect("the ward's")
    }
}

fn shipped() -> Vec<serde_json::Value> {
    vec![json!({"event": "SHIP", "shipment": "S-1"})]
}

/// Says as the press that cards of a shipment are lost, or sent.
async fn ship(world: &World, request: &str, (card, shipment): (&str, &str), lost: &str) -> Result<(), Fault> {
    let press = world.issuer.party_again("producer/press-1");
    let request = pb::ReportShipmentRequest {
        request_id: request.to_owned(),
        municipality_code: WARD.to_owned(),
        lot_id: LOT.to_owned(),
        shipment_id: shipment.to_owned(),
        card_ids: vec![card.to_owned()],
        lost: lost.to_owned(),
        occurred_time: world.at(3),
    };
    let mut calls = ProductionServiceClient::new(press.channel.clone());
    calls.report_shipment(request).await.map(drop).map_err(fault)
}

on_both!(what_was_called_back_on_its_way_arrives_or_is_lost_and_its_lot_says_so, async {
    let world = World::start().await;
    world.issuer.party("producer/press-1").await; // has a certificate from now on
    world.made_and("K-2", shipped(), "SHIPPED").await;
    world.made_and("K-3", shipped(), "SHIPPED").await;
    world.made("K-4").await; // sent, though nobody said so
    let lost = [shipped(), vec![json!({"event": "LOSE_IN_TRANSIT", "why": "no parcel"})]].concat();
    world.made_and("K-5", lost, "LOST_IN_TRANSIT").await;
    world.notified("K-6").await;
    // Shipped, arrived, in transit, lost: as the fixture has it.
    let before = world.making.figures().await;
    assert_eq!(before[..4], [4, 0, 2, 2]);
    assert_eq!(world.recall(LOT).await.recalled, 5);
    assert_eq!(world.making.figures().await[..4], [4, 0, 2, 2], "a recall moves none");
    let arrived = world.arrive("r-1", &["K-2"]).await.expect("the van comes all the same");
    assert_eq!((arrived[0].state(), arrived[0].office.as_str()), (Is::Recalled, OFFICE));
    assert_eq!(world.making.figures().await[..4], [4, 1, 1, 2]);
    ship(&world, "l-1", ("K-3", "S-1"), "the van burnt").await.expect("it is lost for good");
    assert_eq!(world.making.figures().await[..4], [4, 1, 0, 3], "nothing is in transit for ever");
    world.arrive("r-2", &["K-4", "K-5"]).await.expect("one nobody had sent, one found again");
    assert_eq!(world.making.figures().await[..4], [5, 3, 0, 2]);
    world.arrive("r-3", &["K-3"]).await.expect("it did not burn");
    assert_eq!(world.making.figures().await[..4], [5, 4, 0, 1]);
    // Each once, and in no other way.
    for card in ["K-2", "K-3", "K-4", "K-5", "K-6"] {
        assert_eq!(world.state(card).await, Is::Recalled, "{card}");
        let again = world.arrive(&format!("a-{card}"), &[card]).await.expect_err("it is there");
        assert_eq!(again.reason, Reason::ItemState, "{card}");
        let lost = ship(&world, &format!("t-{card}"), (card, "S-1"), "gone").await;
        assert_eq!(lost.expect_err("it is there").reason, Reason::ItemState, "{card}");
    }
    ship(&world, "s-4", ("K-4", "S-2"), "").await.expect("the press says it late");
    assert_eq!(world.making.figures().await[..4], [5, 4, 0, 1], "which is counted already");
    let passed = || "PASS".to_owned();
    let pre = act!(world, record_pre_issuance, RecordPreIssuanceRequest, "q-1", "K-2", self_test: passed());
    assert_eq!(pre.expect_err("nobody gets it").reason, Reason::ItemState);
    let reason = "called back".to_owned();
    act!(world, scrap_card, ScrapCardRequest, "x-2", "K-2", reason: reason).expect("it is destroyed");
    world.replayed().await;
});

on_both!(a_card_that_never_left_the_press_is_not_lost_on_its_way, async {
    let world = World::start().await;
    world.issuer.party("producer/press-1").await; // has a certificate from now on
    world.made("K-2").await;
    world.recall(LOT).await;
    let lost = ship(&world, "l-1", ("K-2", "S-1"), "gone").await.expect_err("nobody sent it");
    assert_eq!(lost.reason, Reason::ItemState);
    assert_eq!(world.making.figures().await[..4], [4, 0, 2, 2]);
});

on_both!(a_lot_with_active_cards_is_called_back_and_another_card_may_be_active, async {
    let world = World::start().await;
    world.active("K-0").await;
    let mut other = world.notified("K-3").await;
    let begun = session(77);
    world.begin("b-3", "K-3", &begun).await.expect("it begins");
    let recalled = world.recall(LOT).await;
    assert_eq!((recalled.recalled, recalled.ended_before), (2, 0));
    assert_eq!((world.state("K-0").await, world.state("K-3").await), (Is::Recalled, Is::Recalled));
    other.says = Says::Committed(begun.clone());
    let late = world.confirm("c-3", &other, &begun).await.expect_err("its activation is given up");
    assert!(late.reason == Reason::ItemState, "{late:?}");
    let resume = act!(world, resume_card, ResumeCardRequest, "u-1", "K-0").expect_err("never");
    assert_eq!(resume.reason, Reason::ItemState);
    // The person is free for another card.
    world.active("K-1").await;
    world.replayed().await;
});

on_both!(a_holder_gives_back_what_was_called_back_and_nobody_else_does, async {
    let world = World::start().await;
    world.active("K-0").await;
    world.active("K-2").await;
    world.notified("K-1").await;
    world.recall(LOT).await;
    let surrender = async |request: &str, card: &str| {
        let reason = String::new();
        act!(world, surrender_card, SurrenderCardRequest, request, card, reason: reason)
    };
    let never = surrender("w-1", "K-1").await.expect_err("no holder has it");
    assert_eq!((never.reason, never.get("state")), (Reason::ItemState, Some("RECALLED")));
    let given = surrender("w-2", "K-2").await.expect("its holder brings it");
    assert_eq!(given.card.expect("it").state(), Is::Surrendered);
    let remade = act!(world, remake_card, RemakeCardRequest, "m-1", "K-2").expect("and gets another");
    assert_eq!((remade.remade_card_id.as_str(), world.state("K-2~2").await), ("K-2~2", Is::Ordered));
    world.active("K-3").await;
    surrender("w-3", "K-3").await.expect("of its own accord");
    let another = act!(world, remake_card, RemakeCardRequest, "m-2", "K-3").expect_err("for nothing");
    assert_eq!((another.reason, another.get("state")), (Reason::ItemState, Some("SURRENDERED")));
    // In the step in which its holder gets another.
    let new = Made {
        id: "K-1~2",
        order_id: "K-1",
        person: world.person("K-1"),
        application: None,
        last_day: LAST_DAY,
        then: to_the_counter(),
        state: "NOTIFIED",
    };
    world.making.card(&new).await;
    let request = pb::BeginActivationRequest {
        surrendered_card_id: "K-0".to_owned(),
        ..world.beginning("b-9", "K-1~2", &session(9))
    };
    world.ward.cards().begin_activation(request).await.map_err(fault).expect("it begins");
    assert_eq!(world.state("K-0").await, Is::Surrendered);
    world.replayed().await;
});

on_both!(an_arrival_that_cannot_be_names_the_state_that_hinders_it, async {
    let world = World::start().await;
    world.happened("h-1", "K-7", pb::HolderEvent::Died).await.expect("it is not made any more");
    let refused = world.arrive("r-1", &["K-7"]).await.expect_err("nobody made it");
    assert_eq!((refused.reason, refused.get("state")), (Reason::ItemState, Some("SCRAPPED")));
    let refused = world.arrive("r-2", &["K-8"]).await.expect_err("nobody was given it");
    assert_eq!((refused.reason, refused.get("state")), (Reason::ItemState, Some("ORDERED")));
});
