//! Promise: a person has one live application, a request is carried out once, and a mix-up gives the right
//! person back what they can do.

use std::collections::BTreeSet;

use super::*;

on_both!(the_same_request_is_one_application_and_another_under_its_id_is_refused, async {
    let world = World::start().await;
    let id = world.form(MOTHER).await;
    let request = world.submission("s-1", &id, born(MOTHER), 1);
    let at_once = (0..8).map(|_| world.submit(request.clone()));
    let answers = futures_util::future::join_all(at_once).await;
    let numbers: BTreeSet<_> =
        answers.into_iter().map(|one| one.expect("it is taken").application_number).collect();
    assert_eq!(numbers.len(), 1, "{numbers:?}");
    let number = numbers.first().expect("one").as_str();
    assert!(number.parse::<uuid::Uuid>().is_ok());
    let other = pb::SubmitApplicationRequest { photo: Some(photo("P-9", 0, 0, 0)), ..request.clone() };
    assert_eq!(world.submit(other).await.expect_err("another photograph").reason, Reason::RequestIdReused);
    let wrong = pb::SubmitApplicationRequest { application_id: nobodys(3), ..request.clone() };
    assert_eq!(world.submit(wrong).await.expect_err("another ID").reason, Reason::RequestIdReused);
    let approved = world.approve(number).await;
    assert_eq!(world.submit(request).await.expect("as it stands now"), approved);
    assert_eq!(world.approve(number).await, approved, "each act once");
    let reused = world.review("s-1", number, Finding::Approve(true)).await.expect_err("it was a submission");
    assert_eq!(reused.reason, Reason::RequestIdReused);
    assert_eq!(world.get(number).await.events.len(), 3);
});

on_both!(a_person_has_one_live_application_by_whichever_form, async {
    let world = World::start().await;
    let forms = [(MOTHER, world.form(MOTHER).await), (MOTHER_AGAIN, world.form(MOTHER_AGAIN).await)];
    let at_once = (0..6).map(|n| {
        let (order, id) = &forms[n % 2];
        world.submit(world.submission(&format!("s-{n}"), id, born(order), 1))
    });
    let answers = futures_util::future::join_all(at_once).await;
    let (taken, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    let [Ok(taken)] = taken.as_slice() else { panic!("one of them: {taken:?}") };
    let number = taken.application_number.as_str();
    for fault in refused.into_iter().map(|one| one.expect_err("it is refused")) {
        assert_eq!(
            (fault.reason, fault.get("other_application_number")),
            (Reason::OtherApplication, Some(number))
        );
    }
    let request = pb::ListApplicationsRequest::default();
    let listed = world.calls().list_applications(request).await.expect("a page").into_inner();
    assert_eq!(listed.applications.len(), 1);
});

on_both!(after_a_mix_up_the_person_applies_again_at_once_and_the_photograph_is_still_named, async {
    let world = World::start().await;
    let first = world.apply("s-1", MOTHER, 1).await.expect("it is taken").application_number;
    world.approve(&first).await;
    let void = world.void("v-1", &first, pb::VoidReason::MixedUp).await.expect("it is void");
    assert_eq!((void.state(), void.photo_reference.as_str()), (pb::ApplicationState::VoidedMixedUp, "P-s-1"));
    let second = world.apply("s-2", MOTHER_AGAIN, 70).await.expect("at once").application_number;
    let other = world.restore("u-1", &first).await.expect_err("there is another one");
    let named = other.get("other_application_number");
    assert_eq!((other.reason, named), (Reason::OtherApplication, Some(second.as_str())));
    let live = world.restore("u-1", &second).await.expect_err("it is not void");
    assert_eq!(live.reason, Reason::ItemState);
    world.void("v-2", &second, pb::VoidReason::Withdrawn).await.expect("it is void");
    let restored = world.restore("u-1", &first).await.expect("a refusal is not kept");
    assert_eq!(restored.state(), pb::ApplicationState::Received, "it begins anew");
    assert_eq!((restored.documents.len(), restored.event_count), (0, 5));
    assert_eq!(world.restore("u-2", &second).await.expect_err("now").reason, Reason::OtherApplication);
    assert_eq!(
        world.apply("s-3", MOTHER, 71).await.expect_err("it is live").reason,
        Reason::OtherApplication
    );
    let approved = world.identity("i-9", &first, &["DRIVING_LICENCE"]).await.expect("once more");
    assert_eq!(approved.state(), pb::ApplicationState::IdentityChecked);
});

on_both!(what_a_move_or_a_death_has_ended_stays_ended, async {
    let world = World::start().await;
    for (n, (order, reason, state)) in [
        (MOTHER, pb::VoidReason::Moved, pb::ApplicationState::VoidedMoved),
        (FATHER, pb::VoidReason::Died, pb::ApplicationState::VoidedDied),
    ]
    .into_iter()
    .enumerate()
    {
        let number = world.apply(&format!("s-{n}"), order, 1).await.expect("it is taken").application_number;
        let void = world.void(&format!("v-{n}"), &number, reason).await.expect("it is void");
        assert_eq!(void.state(), state);
        let again = world.void(&format!("v-{n}"), &number, reason).await.expect("the same request again");
        assert_eq!(again, void);
        let twice = world.void(&format!("w-{n}"), &number, reason).await.expect_err("it is void already");
        assert_eq!(twice.reason, Reason::ItemState);
        let back = world.restore(&format!("u-{n}"), &number).await.expect_err("it is applied for anew");
        assert_eq!(back.reason, Reason::ItemState);
    }
});

on_both!(a_notification_card_alone_proves_no_identity, async {
    let world = World::start().await;
    let number = world.apply("s-1", MOTHER, 1).await.expect("it is taken").application_number;
    for shown in [&["NOTIFICATION_CARD"][..], &["NOTIFICATION_CARD", "PENSION_BOOK"], &["PENSION_BOOK"], &[]]
    {
        let refused = world.identity("i-1", &number, shown).await.expect_err("it proves a number only");
        assert_eq!(refused.reason, Reason::IdentityNotProved, "{shown:?}");
    }
    let twice = world.identity("i-1", &number, &["PENSION_BOOK", "PENSION_BOOK"]).await;
    assert_eq!(twice.expect_err("one book").reason, Reason::IdentityNotProved);
    let proved = world.identity("i-1", &number, &["NOTIFICATION_CARD", "INDIVIDUAL_NUMBER_CARD"]).await;
    assert_eq!(proved.expect("the other one does").state(), pb::ApplicationState::IdentityChecked);
});
