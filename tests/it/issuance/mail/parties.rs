//! Promise: each party may say and see only what is its own, and no more than an envelope can bear.

use super::*;

on_both!(reports_have_a_limit_and_leave_room_for_what_the_owner_does, async {
    let world = World::start().await;
    world.produce("E-1", &["K-0"]).await;
    for n in 1..100 {
        scan!(world, post, record_returned, RecordReturnedRequest, format!("r-{n}"), "E-1", 2)
            .expect("taken");
    }
    let more =
        scan!(world, post, record_posted, RecordPostedRequest, "r-100", "E-1", 3).expect_err("one above");
    assert_eq!(more.reason, Reason::LimitExceeded);
    let request = pb::StoreReturnedRequest {
        request_id: "s-1".to_owned(),
        mail_item_id: "E-1".to_owned(),
        office: "亀有".to_owned(),
        occurred_time: world.at(4),
    };
    mail_of(&world.ward).store_returned(request).await.expect("it is the owner's");
});

on_both!(each_party_may_say_only_what_is_its_own, async {
    let world = World::start().await;
    world.produce("E-1", &["K-0"]).await;
    let other = world.issuer.party("municipality/011002").await;
    let wrong = |reason: Fault| reason.reason == Reason::WrongRole;
    let request = world.produced("x-1", "E-2", &["K-1"], 1);
    for party in [&world.ward, &world.post] {
        let refused =
            mail_of(party).record_produced(request.clone()).await.map_err(fault).expect_err("no press");
        assert!(wrong(refused));
    }
    assert!(wrong(
        scan!(world, ward, record_posted, RecordPostedRequest, "x", "E-1", 2).expect_err("no post")
    ));
    assert!(wrong(
        scan!(world, press, record_delivered, RecordDeliveredRequest, "x", "E-1", 2).expect_err("no post")
    ));
    assert!(wrong(
        scan!(world, press, record_returned, RecordReturnedRequest, "x", "E-1", 2).expect_err("no post")
    ));
    for party in [&world.press, &world.post] {
        let (id, mail) = ("x".to_owned(), "E-1".to_owned());
        let request = pb::HandOverRequest { request_id: id, mail_item_id: mail, occurred_time: world.at(2) };
        assert!(wrong(mail_of(party).hand_over(request).await.map_err(fault).expect_err("no office")));
        let listed = mail_of(party).list_mail_items(pb::ListMailItemsRequest::default()).await;
        assert!(wrong(listed.map_err(fault).expect_err("no office")));
        let counted = mail_of(party).submit_stocktake(pb::SubmitStocktakeRequest::default()).await;
        assert!(wrong(counted.map_err(fault).expect_err("no office")));
    }
    // Another's is as one that does not exist, to whoever asks.
    let ask = |mail: &str, code: &str| pb::GetMailItemRequest {
        mail_item_id: mail.to_owned(),
        municipality_code: code.to_owned(),
        with_history: true,
    };
    let mut answers = BTreeSet::new();
    for (party, mail, code) in
        [(&other, "E-1", ""), (&other, "E-9", ""), (&other, "E-1", WARD), (&world.post, "E-1", WARD)]
    {
        let refused =
            mail_of(party).get_mail_item(ask(mail, code)).await.map_err(fault).expect_err("not its own");
        answers.insert((refused.reason.as_str(), refused.message));
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    scan!(world, post, record_posted, RecordPostedRequest, "p-E-1", "E-1", 2).expect("its id is its own");
    let own = mail_of(&world.post).get_mail_item(ask("E-1", WARD)).await.expect("it has reported it");
    let own = own.into_inner();
    let events: Vec<_> = own.events.iter().map(|one| one.event.as_str()).collect();
    assert_eq!(events, ["POST"], "and sees that alone");
    let item = own.mail_item.expect("it");
    assert_eq!((item.state(), item.order_ids.len()), (pb::MailState::Posted, 0));
    let acted = pb::HandOverRequest {
        request_id: "x".to_owned(),
        mail_item_id: "E-1".to_owned(),
        occurred_time: world.at(2),
    };
    let refused = mail_of(&other).hand_over(acted).await.map_err(fault).expect_err("another's");
    assert_eq!(refused.reason, Reason::NotFound);
});

on_both!(what_press_and_post_say_under_one_id_is_told_apart, async {
    let world = World::start().await;
    scan!(world, press, record_posted, RecordPostedRequest, "q-1", "E-1", 1).expect("taken");
    scan!(world, post, record_returned, RecordReturnedRequest, "q-2", "E-1", 2).expect("taken");
    scan!(world, post, record_posted, RecordPostedRequest, "q-1", "E-1", 3).expect("taken, and does not fit");
    let events = world.get("E-1").await.events;
    let fits: Vec<_> = events.iter().map(|one| one.out_of_place.is_empty()).collect();
    assert_eq!(fits, [true, true, false], "{events:?}");
});
