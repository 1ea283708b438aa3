//! Promise: each party may do and see only what is its own, and what is stored tells nobody who applies.

use todoke::store::Cause;

use super::*;

on_both!(each_party_may_do_only_what_is_its_own, async {
    let world = World::start().await;
    let number = world.apply("s-1", MOTHER, 1).await.expect("it is taken").application_number;
    let form = pb::IssueFormRequest {
        request_id: "f-1".to_owned(),
        municipality_code: WARD.to_owned(),
        order_id: MOTHER.to_owned(),
        occurred_time: world.at(1),
    };
    let press = world.issuer.party("producer/press-1").await;
    let printed = calls(&press).issue_form(form.clone()).await.expect("who prints it").into_inner();
    assert_eq!(printed.application_id, world.form(MOTHER).await, "the same whoever asks");
    let unnamed = pb::IssueFormRequest { municipality_code: String::new(), ..form.clone() };
    let unnamed = calls(&press).issue_form(unnamed).await.map_err(fault).expect_err("whose?");
    assert_eq!(unnamed.violations[0].0, "municipality_code");
    let auditor = world.issuer.party("auditor/a").await;
    for party in
        [&world.issuer.party("postal/office-1").await, &world.issuer.party("operator/alice").await, &auditor]
    {
        let refused = calls(party).issue_form(form.clone()).await.map_err(fault).expect_err("no press");
        assert_eq!(refused.reason, Reason::WrongRole);
    }
    for party in [&press, &auditor] {
        let mut calls = calls(party);
        let submit = world.submission("x-1", &printed.application_id, born(MOTHER), 1);
        let submitted = taken(calls.submit_application(submit).await);
        let review = pb::ReviewApplicationRequest::default();
        let reviewed = taken(calls.review_application(review).await);
        let confirmed = taken(calls.confirm_identity(pb::ConfirmIdentityRequest::default()).await);
        let resubmitted = taken(calls.resubmit_application(pb::ResubmitApplicationRequest::default()).await);
        let voided = taken(calls.void_application(pb::VoidApplicationRequest::default()).await);
        let restored = taken(calls.restore_application(pb::RestoreApplicationRequest::default()).await);
        for answer in [submitted, reviewed, confirmed, resubmitted, voided, restored] {
            assert_eq!(answer.expect_err("no office").reason, Reason::WrongRole);
        }
    }
    let get = |code: &str| pb::GetApplicationRequest {
        municipality_code: code.to_owned(),
        application_number: number.clone(),
        with_history: false,
    };
    let read = calls(&auditor).get_application(get(WARD)).await.expect("an auditor reads").into_inner();
    assert_eq!(read.application.expect("it").state(), pb::ApplicationState::Received);
    assert!(read.events.is_empty(), "nobody asked for the history");
    let listed = pb::ListApplicationsRequest { municipality_code: WARD.to_owned(), ..Default::default() };
    let listed = calls(&auditor).list_applications(listed).await.expect("an auditor reads").into_inner();
    assert_eq!(listed.applications.len(), 1);
    let refused = calls(&auditor).get_application(get("")).await.map_err(fault).expect_err("whose?");
    assert_eq!(refused.reason, Reason::FieldInvalid);
    let refused = calls(&press).get_application(get(WARD)).await.map_err(fault).expect_err("not the press");
    assert_eq!(refused.reason, Reason::WrongRole);
});

on_both!(what_is_anothers_is_as_what_does_not_exist, async {
    let world = World::start().await;
    let number = world.apply("s-1", MOTHER, 1).await.expect("it is taken").application_number;
    let other = world.issuer.party("municipality/011002").await;
    let nobodys = "0192f0c1-2345-8abc-8def-000000000001";
    let mut answers = Vec::new();
    for number in [number.as_str(), nobodys] {
        let request = pb::VoidApplicationRequest {
            request_id: "v-1".to_owned(),
            application_number: number.to_owned(),
            void_reason: pb::VoidReason::MixedUp.into(),
            occurred_time: world.at(2),
        };
        answers.push(taken(calls(&other).void_application(request).await).expect_err("not its own"));
        let request =
            pb::GetApplicationRequest { application_number: number.to_owned(), ..Default::default() };
        answers.push(calls(&other).get_application(request).await.map_err(fault).expect_err("not its own"));
    }
    let form = |order: &str| pb::IssueFormRequest {
        request_id: "f-1".to_owned(),
        municipality_code: String::new(),
        order_id: order.to_owned(),
        occurred_time: world.at(1),
    };
    for order in [MOTHER, "K-99"] {
        answers.push(calls(&other).issue_form(form(order)).await.map_err(fault).expect_err("not its own"));
    }
    for answer in &answers {
        assert_eq!((answer.reason, &answer.message), (Reason::NotFound, &answers[0].message));
    }
    let named = pb::IssueFormRequest { municipality_code: WARD.to_owned(), ..form(MOTHER) };
    let named = calls(&other).issue_form(named).await.map_err(fault).expect_err("another's");
    assert_eq!(named.reason, Reason::NotFound);
    assert_eq!(world.get(&number).await.events.len(), 1);
});

on_both!(after_a_restore_nothing_is_done_twice_before_receipts_were_compared, async {
    let world = World::start().await;
    let id = world.form(CHILD).await;
    let number = world.apply("s-1", MOTHER, 1).await.expect("it is taken").application_number;
    world.issuer.store.mark_restored(Cause::Operator, "a test", 1).await.expect("a transaction");
    let form = pb::IssueFormRequest {
        request_id: "f-1".to_owned(),
        municipality_code: String::new(),
        order_id: MOTHER.to_owned(),
        occurred_time: world.at(1),
    };
    let refused = [
        world.calls().issue_form(form).await.map(drop).map_err(fault),
        world.submit(world.submission("s-2", &id, born(CHILD), 2)).await.map(drop),
        world.void("v-1", &number, pb::VoidReason::MixedUp).await.map(drop),
        world.identity("i-1", &number, &["PASSPORT"]).await.map(drop),
    ];
    for one in refused {
        assert_eq!(one.expect_err("it may be done already").reason, Reason::ReconcileFirst);
    }
    assert_eq!(world.get(&number).await.events.len(), 1, "it can be read");
});

on_both!(what_is_stored_has_no_application_id_no_birth_date_and_no_face, async {
    let world = World::start().await;
    let id = world.form(MOTHER).await;
    let request = pb::SubmitApplicationRequest {
        session_id: SESSION.to_owned(),
        photo: Some(photo("P-1", 37, 38, 1)),
        ..world.submission("s-1", &id, born(MOTHER), 1)
    };
    let number = world.submit(request).await.expect("it is taken").application_number;
    world.approve(&number).await;
    world.void("v-1", &number, pb::VoidReason::MixedUp).await.expect("it is void");
    let items: Vec<(String, String)> = world.issuer.read("SELECT kind, details FROM item").await;
    let events: Vec<(String, String)> = world.issuer.read("SELECT request_id, event FROM history").await;
    assert_eq!((items.len(), events.len()), (2, 5), "a form and an application");
    for (of, text) in items.iter().chain(&events) {
        for secret in [id.as_str(), &id[..21], "1980-02-29", "123456789018", "カナリヤ", "37", "38"] {
            // The times and digests have digits of their own: a whole number is looked for.
            let found = text.split(|c: char| !c.is_alphanumeric() && c != '-').any(|word| word == secret);
            assert!(!found && (secret.len() < 8 || !text.contains(secret)), "{of}: {secret} in {text}");
        }
    }
    let held: Vec<(String, String)> = world.issuer.read("SELECT kind, item_id FROM hold").await;
    assert_eq!(held, [("APPLICATION_ID".to_owned(), MOTHER.to_owned())], "by its blind index");
});
