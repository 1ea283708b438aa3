//! Promise: while fraud is suspected of a holder nothing is made for the person, and once it is cleared the
//! office restores, resumes and remakes what was right.

use pb::{
    ApplicationState as Stage, CardState as Is, application_service_client::ApplicationServiceClient,
    production_service_client::ProductionServiceClient,
};

use super::*;

const NUMBER: &str = "8d7ef96f-134a-4fd8-978b-afb9415ddc6f";
const SUSPECTED: pb::HolderEvent = pb::HolderEvent::FraudSuspected;
const CLEARED: pb::HolderEvent = pb::HolderEvent::FraudCleared;

/// What an office and a producer do with applications.
impl World {
    fn applications(&self) -> ApplicationServiceClient<tonic::transport::Channel> {
        ApplicationServiceClient::new(self.ward.channel.clone())
    }

    async fn restore(&self, request: &str) -> Result<Stage, Fault> {
        let request = pb::RestoreApplicationRequest {
            request_id: request.to_owned(),
            application_number: NUMBER.to_owned(),
            occurred_time: self.at(20),
        };
        let done = self.applications().restore_application(request).await.map_err(fault)?;
        Ok(done.into_inner().application.expect("it").state())
    }

    async fn approve(&self, tag: &str) {
        self.approve_of(tag, NUMBER).await;
    }

    /// Proves who applies, and approves it.
    async fn approve_of(&self, tag: &str, number: &str) {
        let mut calls = self.applications();
        let identity = pb::ConfirmIdentityRequest {
            request_id: format!("i-{tag}"),
            application_number: number.to_owned(),
            documents: vec!["PASSPORT".to_owned()],
            occurred_time: self.at(21),
        };
        calls.confirm_identity(identity).await.expect("proved");
        let review = pb::ReviewApplicationRequest {
            request_id: format!("a-{tag}"),
            application_number: number.to_owned(),
            finding: Some(pb::review_application_request::Finding::Approve(true)),
            occurred_time: self.at(22),
        };
        calls.review_application(review).await.expect("approved");
    }

    async fn application(&self) -> pb::GetApplicationResponse {
        let request = pb::GetApplicationRequest {
            application_number: NUMBER.to_owned(),
            with_history: true,
            ..Default::default()
        };
        self.applications().get_application(request).await.expect("its own").into_inner()
    }

    /// What the press is given for this person: for the application, and for the order of a batch.
    async fn pulled(&self, press: &Party, request: &str) -> Vec<String> {
        self.pull(press, request).await.0
    }

    /// The same, and why the rest is held.
    async fn pull(&self, press: &Party, request: &str) -> (Vec<String>, Vec<pb::HeldOrder>) {
        let request = pb::PullOrdersRequest {
            request_id: request.to_owned(),
            municipality_code: WARD.to_owned(),
            lot_id: LOT.to_owned(),
            ..Default::default()
        };
        let mut calls = ProductionServiceClient::new(press.channel.clone());
        let pulled = calls.pull_orders(request).await.expect("there are others").into_inner();
        let own = pulled.orders.into_iter().filter(|one| ["K-0", "K-1"].contains(&one.order_id.as_str()));
        (own.map(|one| one.card_id).collect(), pulled.held)
    }
}

on_both!(no_card_is_made_for_an_application_of_a_holder_under_suspicion, async {
    let world = World::start().await;
    let press = world.issuer.party("producer/press-1").await;
    world.making.application(NUMBER, "K-0", world.person("K-0")).await;
    world.approve("1").await;
    let suspected = world.happened("h-1", "K-1", SUSPECTED).await.expect("an application alone is concerned");
    assert_eq!((suspected.cards.len(), &suspected.application_numbers[..]), (0, &[NUMBER.to_owned()][..]));
    assert_eq!(world.happened("h-1", "K-1", SUSPECTED).await, Ok(suspected), "the same again");
    assert_eq!(world.application().await.application.expect("it").state(), Stage::VoidedFraud);
    let (none, held) = world.pull(&press, "p-1").await;
    assert_eq!(none, Vec::<String>::new(), "nobody makes it, nor what a batch has ordered");
    let brief: Vec<_> = held.iter().map(|one| (one.order_id.as_str(), one.why.as_str())).collect();
    assert_eq!(brief, [("K-1", "FRAUD_SUSPECTED")]);
    let refused = world.restore("u-1").await.expect_err("the suspicion stands");
    assert!(refused.reason == Reason::ItemState && refused.message.contains("fraud"), "{refused:?}");
    let cleared = world.happened("h-2", "K-0", CLEARED).await.expect("it was none");
    assert_eq!(cleared.application_numbers, [NUMBER]);
    assert_eq!(world.application().await.application.expect("it").state(), Stage::VoidedFraud);
    assert_eq!(world.restore("u-1").await, Ok(Stage::Received), "who applies is checked again");
    world.approve("2").await;
    assert_eq!(world.pulled(&press, "p-2").await, [NUMBER, "K-1"], "and now both are made");
    let events: Vec<String> = world.application().await.events.into_iter().map(|one| one.event).collect();
    let restored = ["SUSPECT_FRAUD", "CLEAR_FRAUD", "RESTORE", "CHECK_IDENTITY", "APPROVE"];
    assert_eq!(&events[3..8], restored, "{events:?}");
    world.replayed().await;
});

on_both!(a_suspicion_ends_application_and_card_that_are_being_made_and_the_blank_card_is_left, async {
    let world = World::start().await;
    let press = world.issuer.party("producer/press-1").await;
    world.making.application(NUMBER, "K-0", world.person("K-0")).await;
    world.approve("1").await;
    let before = world.making.figures().await;
    let pulled = world.pulled(&press, "p-1").await;
    assert_eq!(pulled, [NUMBER, "K-1"], "the press has it");
    let taken = world.making.figures().await;
    world.happened("h-1", "K-0", SUSPECTED).await.expect("at once");
    let state = |got: pb::GetApplicationResponse| got.application.expect("it").state();
    assert_eq!(
        (world.state(NUMBER).await, state(world.application().await)),
        (Is::Scrapped, Stage::VoidedFraud)
    );
    assert_eq!(world.making.figures().await[5], taken[5] + 2, "of {before:?}");
    // Another application, which came in meanwhile, is held too.
    let other = "8d7ef96f-134a-4fd8-978b-000000000009";
    world.making.application(other, "K-0", world.person("K-0")).await;
    world.approve_of("2", other).await;
    let (none, held) = world.pull(&press, "p-2").await;
    let brief: Vec<_> = held.iter().map(|one| (one.application_number.as_str(), one.why.as_str())).collect();
    assert_eq!((none.len(), &brief[..]), (0, &[(other, "FRAUD_SUSPECTED")][..]));
    let void = pb::VoidApplicationRequest {
        request_id: "v-1".to_owned(),
        application_number: other.to_owned(),
        void_reason: pb::VoidReason::Withdrawn.into(),
        occurred_time: world.at(23),
    };
    world.applications().void_application(void).await.expect("void");
    let remake = async |id: &str| act!(world, remake_card, RemakeCardRequest, id, NUMBER);
    let refused = remake("m-1").await.expect_err("the suspicion stands");
    assert!(refused.reason == Reason::ItemState && refused.message.contains("fraud"), "{refused:?}");
    world.happened("h-2", "K-0", CLEARED).await.expect("it was none");
    let refused = remake("m-1").await.expect_err("its application is void");
    assert!(refused.reason == Reason::ItemState && refused.message.contains("VOIDED_FRAUD"), "{refused:?}");
    assert_eq!(world.restore("u-1").await, Ok(Stage::Received));
    let refused = remake("m-1").await.expect_err("nobody has approved it since");
    assert!(refused.reason == Reason::ItemState && refused.message.contains("RECEIVED"), "{refused:?}");
    world.replayed().await;
});

on_both!(a_suspicion_holds_the_remake_of_a_card_that_had_ended_before, async {
    let world = World::start().await;
    let press = world.issuer.party("producer/press-1").await;
    world.made("K-1").await;
    act!(world, scrap_card, ScrapCardRequest, "x-1", "K-1", reason: "bad".to_owned()).expect("scrapped");
    world.making.application(NUMBER, "K-0", world.person("K-0")).await;
    world.happened("h-1", "K-1", SUSPECTED).await.expect("an application is concerned");
    let remake = async |id: &str| act!(world, remake_card, RemakeCardRequest, id, "K-1");
    let refused = remake("m-1").await.expect_err("the suspicion stands");
    assert!(refused.reason == Reason::ItemState && refused.message.contains("fraud"), "{refused:?}");
    assert_eq!(world.pulled(&press, "p-1").await, Vec::<String>::new());
    world.happened("h-2", "K-0", CLEARED).await.expect("it was none");
    assert_eq!(remake("m-1").await.expect("now").remade_card_id, "K-1~2");
    assert_eq!(world.pulled(&press, "p-2").await, ["K-1~2"]);
});

on_both!(a_card_called_back_for_fraud_is_remade_only_when_that_is_cleared, async {
    let world = World::start().await;
    world.notified("K-2").await;
    world.happened("h-1", "K-2", SUSPECTED).await.expect("at once");
    assert_eq!(world.state("K-2").await, Is::Recalled);
    let remake = async |id: &str| act!(world, remake_card, RemakeCardRequest, id, "K-2");
    assert_eq!(remake("m-1").await.expect_err("the suspicion stands").reason, Reason::ItemState);
    assert_eq!(world.get("K-2").await.card.expect("it").remade_as, "");
    world.happened("h-2", "K-2", CLEARED).await.expect("it was none");
    assert_eq!(remake("m-1").await.expect("now").remade_card_id, "K-2~2");
});
