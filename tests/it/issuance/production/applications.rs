//! Promise: no card is made for an application that may be swapped with another of its household, and one
//! that is made leads to its card, however often that is made anew.

use pb::application_service_client::ApplicationServiceClient;

use super::*;

const SESSION: &str = "0192f0c1-2345-4abc-8def-000000000007";

fn applications(party: &Party) -> ApplicationServiceClient<Channel> {
    ApplicationServiceClient::new(party.channel.clone())
}

/// Orders that bring no card by themselves.
fn notices(count: usize) -> Vec<Record> {
    let mut records = orders("K", count);
    records.iter_mut().for_each(|record| record.set(Field::Kind, "NOTIFICATION_CARD"));
    records
}

impl World {
    /// Applies with the form of an order, proves who applies and approves it; its number.
    async fn approved(&self, order: &str, session: &str) -> String {
        let mut ward = applications(&self.ward);
        let form = pb::IssueFormRequest {
            request_id: format!("f-{order}"),
            order_id: order.to_owned(),
            occurred_time: self.now(),
            ..Default::default()
        };
        let form = ward.issue_form(form).await.expect("a form").into_inner();
        let submit = pb::SubmitApplicationRequest {
            request_id: format!("s-{order}"),
            application_id: form.application_id,
            birth_date: "1980-02-29".to_owned(),
            session_id: session.to_owned(),
            photo: Some(pb::Photo { reference: format!("P-{order}"), ..Default::default() }),
            occurred_time: self.now(),
        };
        let submitted = ward.submit_application(submit).await.expect("taken").into_inner();
        let number = submitted.application.expect("it").application_number;
        let identity = pb::ConfirmIdentityRequest {
            request_id: format!("i-{order}"),
            application_number: number.clone(),
            documents: vec!["PASSPORT".to_owned()],
            occurred_time: self.now(),
        };
        ward.confirm_identity(identity).await.expect("proved");
        let approve = pb::review_application_request::Finding::Approve(true);
        self.review(&format!("a-{order}"), &number, approve).await;
        number
    }

    async fn review(&self, request: &str, number: &str, finding: pb::review_application_request::Finding) {
        let request = pb::ReviewApplicationRequest {
            request_id: request.to_owned(),
            application_number: number.to_owned(),
            finding: Some(finding),
            occurred_time: self.now(),
        };
        applications(&self.ward).review_application(request).await.expect("reviewed");
    }

    async fn application(&self, number: &str) -> pb::Application {
        let request =
            pb::GetApplicationRequest { application_number: number.to_owned(), ..Default::default() };
        let got = applications(&self.ward).get_application(request).await.expect("its own").into_inner();
        got.application.expect("it")
    }

    /// Somebody has compared the papers, and it is no swap.
    async fn no_swap(&self, number: &str) {
        let suspicions = self.application(number).await.suspicions;
        assert!(!suspicions.is_empty(), "{number} is suspected");
        let finding = pb::NoSwap { clerk: "sato".to_owned(), suspicions };
        let finding = pb::review_application_request::Finding::NoSwap(finding);
        self.review(&format!("n-{number}"), number, finding).await;
    }
}

on_both!(two_that_may_be_swapped_are_held_until_each_is_confirmed, async {
    let world = World::with(&notices(4)).await;
    world.allocate("a-1", "L-1", 9).await.expect("allocated");
    // Parent and child of one household, in one session.
    let (parent, child) = (world.approved("K-000", SESSION).await, world.approved("K-001", SESSION).await);
    let none = world.pull("p-1", "L-1", 9).await.expect("nothing can be made");
    let mut held: Vec<_> = none.held.iter().map(|one| one.application_number.clone()).collect();
    held.sort_unstable();
    let mut both = vec![parent.clone(), child.clone()];
    both.sort_unstable();
    assert_eq!((held, none.orders.len(), none.next_page_token.as_str()), (both, 0, ""));
    assert!(none.held.iter().all(|one| one.why == "HOUSEHOLD_SWAP_SUSPECTED"), "{:?}", none.held);
    world.no_swap(&parent).await;
    let first = world.pull("p-1", "L-1", 9).await.expect("the one that is confirmed");
    let brief: Vec<_> = first
        .orders
        .iter()
        .map(|one| {
            [&one.card_id, &one.application_number, &one.order_id, &one.photo_reference].map(String::as_str)
        })
        .collect();
    assert_eq!(brief, [[parent.as_str(), parent.as_str(), "K-000", "P-K-000"]]);
    assert_eq!(first.held.len(), 1, "the other one still");
    assert_eq!(world.application(&parent).await.state(), pb::ApplicationState::InProduction);
    assert_eq!(world.application(&child).await.state(), pb::ApplicationState::Approved);
    world.no_swap(&child).await;
    assert_eq!(world.pulled("p-2", "L-1", 9).await, [child.as_str()]);
    assert_eq!(world.closes("L-1").await.consumed, 2);
});

on_both!(an_application_leads_to_its_card_however_often_that_is_made_anew, async {
    let world = World::with(&notices(2)).await;
    world.allocate("a-1", "L-1", 9).await.expect("allocated");
    let number = world.approved("K-000", "").await;
    assert_eq!(world.pulled("p-1", "L-1", 9).await, [number.as_str()]);
    let done = world.report("r-1", "L-1", vec![nok(&number)]).await.expect("recorded");
    let next = format!("{number}~2");
    assert_eq!(done.remade_card_ids, [next.as_str()]);
    let application = world.application(&number).await;
    assert_eq!(application.state(), pb::ApplicationState::InProduction);
    assert_eq!(application.card_id, next, "it leads to the card that is to be made now");
    assert_eq!(world.pulled("p-2", "L-1", 9).await, [next.as_str()]);
    let good = vec![ok(&next)];
    world.report("r-2", "L-1", good.clone()).await.expect("recorded");
    let again = world.report("r-2", "L-1", good).await.expect("the same");
    assert!(again.remade_card_ids.is_empty());
    let application = world.application(&number).await;
    assert_eq!(application.state(), pb::ApplicationState::WithCard);
    world.issuer.clock.advance(DAY_MS);
    world.ship("s-1", "L-1", &[next], "").await.expect("sent");
    let ages = of(&world.ward).list_stage_ages(pb::ListStageAgesRequest::default()).await.expect("its own");
    let ages = ages.into_inner().stages;
    let took = ages.iter().find(|one| one.stage == "APPLICATION_TO_SHIPMENT").expect("one was sent");
    assert_eq!((took.count, took.p50.map(|span| span.seconds)), (1, Some(DAY_MS / 1000)));
    assert_eq!(world.closes("L-1").await.scrapped, 1);
});

/// What else an office does about applications and their cards.
impl World {
    async fn void(&self, request: &str, number: &str) {
        let request = pb::VoidApplicationRequest {
            request_id: request.to_owned(),
            application_number: number.to_owned(),
            void_reason: pb::VoidReason::Withdrawn.into(),
            occurred_time: self.now(),
        };
        applications(&self.ward).void_application(request).await.expect("void");
    }

    async fn scrap(&self, request: &str, card: &str) {
        let request = pb::ScrapCardRequest {
            request_id: request.to_owned(),
            card_id: card.to_owned(),
            reason: "a typo".to_owned(),
            occurred_time: self.now(),
        };
        self.ward.cards().scrap_card(request).await.expect("scrapped");
    }

    async fn remake(&self, request: &str, card: &str) -> Result<String, Fault> {
        let request = pb::RemakeCardRequest {
            request_id: request.to_owned(),
            card_id: card.to_owned(),
            occurred_time: self.now(),
        };
        let remade = self.ward.cards().remake_card(request).await.map_err(fault)?;
        Ok(remade.into_inner().remade_card_id)
    }
}

on_both!(what_was_restored_has_no_card_before_it_is_approved_again, async {
    let world = World::with(&notices(2)).await;
    world.allocate("a-1", "L-1", 9).await.expect("allocated");
    let number = world.approved("K-000", "").await;
    assert_eq!(world.pulled("p-1", "L-1", 9).await, [number.as_str()]);
    world.void("v-1", &number).await;
    assert_eq!(world.card(&number).await.state, "SCRAPPED");
    let restore = pb::RestoreApplicationRequest {
        request_id: "u-1".to_owned(),
        application_number: number.clone(),
        occurred_time: world.now(),
    };
    applications(&world.ward).restore_application(restore).await.expect("it was a mistake");
    let refused = world.remake("m-1", &number).await.expect_err("nobody has approved it");
    assert!(refused.reason == Reason::ItemState && refused.message.contains("RECEIVED"), "{refused:?}");
    assert_eq!(world.pulled("p-2", "L-1", 9).await, [""; 0]);
    let identity = pb::ConfirmIdentityRequest {
        request_id: "i-2".to_owned(),
        application_number: number.clone(),
        documents: vec!["PASSPORT".to_owned()],
        occurred_time: world.now(),
    };
    applications(&world.ward).confirm_identity(identity).await.expect("proved again");
    world.review("a-2", &number, pb::review_application_request::Finding::Approve(true)).await;
    assert_eq!(world.pulled("p-3", "L-1", 9).await, [format!("{number}~2")]);
    world.closes("L-1").await;
});

on_both!(a_person_with_another_application_gets_no_card_of_the_first_made_anew, async {
    let mut records = notices(2);
    records.iter_mut().for_each(|record| record.set(Field::IndividualNumber, "123456789018"));
    let world = World::with(&records).await;
    world.allocate("a-1", "L-1", 9).await.expect("allocated");
    let number = world.approved("K-000", "").await;
    assert_eq!(world.pulled("p-1", "L-1", 9).await, [number.as_str()]);
    world.report("r-1", "L-1", vec![ok(&number)]).await.expect("recorded");
    world.scrap("x-1", &number).await;
    let other = world.approved("K-001", "").await;
    let refused = world.remake("m-1", &number).await.expect_err("the person has applied again");
    assert_eq!(refused.reason, Reason::OtherApplication, "{refused:?}");
    assert_eq!(refused.get("other_application_number"), Some(other.as_str()));
    assert_eq!(world.application(&number).await.state(), pb::ApplicationState::WithCard, "as before");
    world.void("v-1", &other).await;
    let next = format!("{number}~2");
    assert_eq!(world.remake("m-1", &number).await.as_ref(), Ok(&next));
    assert_eq!(world.remake("m-1", &number).await.as_ref(), Ok(&next), "the same again");
    let application = world.application(&number).await;
    assert_eq!((application.state(), application.card_id), (pb::ApplicationState::InProduction, next));
});

on_both!(no_card_is_made_anew_of_what_was_ordered_as_a_notification_card, async {
    let world = World::with(&notices(2)).await;
    world.allocate("a-1", "L-1", 9).await.expect("allocated");
    world.scrap("x-1", "K-000").await;
    let refused = world.remake("m-1", "K-000").await.expect_err("nobody has applied for a card");
    let is_named = refused.message.contains("NOTIFICATION_CARD");
    assert!(refused.reason == Reason::ItemState && is_named, "{refused:?}");
});
