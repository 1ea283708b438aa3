//! Promise: with a void application the card that is made for it ends in the same step, and the sums of its
//! lot close.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use todoke::wire::pb::production_service_client::ProductionServiceClient;

use super::*;

/// Who makes cards, and who gives them blank ones.
struct Makers {
    press: ProductionServiceClient<Channel>,
    operator: ProductionServiceClient<Channel>,
}

impl Makers {
    /// Those who make cards of a lot of five for the ward.
    async fn of(world: &World) -> Self {
        let client =
            async |name| ProductionServiceClient::new(world.issuer.party(name).await.channel.clone());
        let (press, mut operator) = (client("producer/press-1").await, client("operator/alice").await);
        let request = pb::AllocateQuotaRequest {
            request_id: "q-1".to_owned(),
            municipality_code: WARD.to_owned(),
            lot_id: "L-1".to_owned(),
            producer: "press-1".to_owned(),
            cards: 5,
        };
        operator.allocate_quota(request).await.expect("it is allocated");
        Self { press, operator }
    }

    /// The card that the press is given next, and the application that it is for.
    async fn pull(&mut self, request: &str) -> (String, String) {
        let request = pb::PullOrdersRequest {
            request_id: request.to_owned(),
            municipality_code: WARD.to_owned(),
            lot_id: "L-1".to_owned(),
            orders_max: 1,
            ..Default::default()
        };
        let pulled = self.press.pull_orders(request).await.expect("there is one").into_inner();
        let order = pulled.orders.into_iter().next().expect("one");
        (order.card_id, order.application_number)
    }

    async fn report(&mut self, world: &World, card: &str) {
        let chip = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        let good = pb::GoodCard {
            chip_key: chip.public_key().as_ref().to_vec(),
            self_test: "PASS".to_owned(),
            unmet_accommodations: Vec::new(),
        };
        let result = Some(pb::produced_card::Result::Ok(good));
        let request = pb::ReportProductionRequest {
            request_id: "m-1".to_owned(),
            municipality_code: WARD.to_owned(),
            lot_id: "L-1".to_owned(),
            cards: vec![pb::ProducedCard { card_id: card.to_owned(), result }],
            occurred_time: world.at(90),
        };
        self.press.report_production(request).await.expect("it is taken");
    }

    /// How many blank cards are used and left, after every sum was found closed.
    async fn share(&mut self) -> (u64, u64) {
        let request = pb::GetLotRequest { lot_id: "L-1".to_owned(), ..Default::default() };
        let lot = self.operator.get_lot(request).await.expect("it is there").into_inner();
        let open: Vec<_> = lot.counts.iter().flat_map(|count| &count.differences).collect();
        assert!(open.is_empty(), "{open:?}");
        let total = lot.total.expect("of one share");
        assert_eq!((total.allocated, total.scrapped), (5, 0));
        (total.consumed, total.remaining)
    }
}

impl World {
    async fn card(&self, id: &str) -> pb::CardState {
        let key = Some(pb::get_card_request::Key::CardId(id.to_owned()));
        let request = pb::GetCardRequest { key, ..Default::default() };
        let got = self.ward.cards().get_card(request).await.expect("its own").into_inner();
        got.card.expect("it").state()
    }
}

on_both!(the_card_of_a_mix_up_is_scrapped_before_it_is_made_and_recalled_after, async {
    let world = World::start().await;
    let mut makers = Makers::of(&world).await;
    let number = world.apply("s-1", MOTHER, 1).await.expect("it is taken").application_number;
    world.approve(&number).await;
    let (first, of) = makers.pull("p-1").await;
    assert_eq!((&first, &of), (&number, &number), "called as the application that it is for");
    let making = world.get(&number).await.application.expect("it");
    assert_eq!((making.state(), &making.card_id), (pb::ApplicationState::InProduction, &first));
    assert_eq!(makers.share().await, (1, 4));
    let void = world.void("v-1", &number, pb::VoidReason::MixedUp).await.expect("it is void");
    assert_eq!(void.state(), pb::ApplicationState::VoidedMixedUp);
    assert_eq!(world.void("v-1", &number, pb::VoidReason::MixedUp).await.expect("again"), void);
    assert_eq!(world.card(&first).await, pb::CardState::Scrapped);
    assert_eq!(makers.share().await, (0, 5), "its blank card is left for another");
    // It was void by mistake: it begins anew, and leads to another card.
    let restored = world.restore("u-1", &number).await.expect("it was void by mistake");
    assert_eq!((restored.state(), restored.card_id.as_str()), (pb::ApplicationState::Received, ""));
    world.identity("i-2", &number, &["PASSPORT"]).await.expect("it proves who it is");
    world.review("a-2", &number, Finding::Approve(true)).await.expect("it is approved");
    let (second, of) = makers.pull("p-2").await;
    assert!(of == number && second != first, "{second} for {of}");
    makers.report(&world, &second).await;
    let made = world.get(&number).await.application.expect("it");
    assert_eq!((made.state(), &made.card_id), (pb::ApplicationState::WithCard, &second));
    let moved = world.void("v-2", &number, pb::VoidReason::Moved).await.expect_err("there is a card");
    assert_eq!((moved.reason, world.card(&second).await), (Reason::ItemState, pb::CardState::QcPassed));
    world.void("v-3", &number, pb::VoidReason::MixedUp).await.expect("a mix-up is often found late");
    assert_eq!(world.card(&second).await, pb::CardState::Recalled);
    assert_eq!(makers.share().await, (1, 4), "a card was made of it");
    world.apply("s-2", MOTHER_AGAIN, 95).await.expect("the right person applies at once");
});
