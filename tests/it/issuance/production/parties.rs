//! Promise: each party may do and see only what is its own, and no more than a call can bear.

use super::*;

on_both!(another_producers_share_is_as_one_that_does_not_exist, async {
    let world = World::start(3).await;
    world.allocate("a-1", "L-1", 5).await.expect("allocated");
    world.allocate_to("a-2", (WARD, "L-2", "press-2"), 5).await.expect("allocated");
    let taken = world.allocate_to("a-3", (WARD, "L-1", "press-2"), 1).await.expect_err("it is press-1's");
    assert_eq!((taken.reason, taken.get("producer")), (Reason::ItemState, Some("press-1")));
    let cards = world.pulled("p-1", "L-1", 2).await;
    let mut answers = BTreeSet::new();
    for lot in ["L-1", "L-9"] {
        let refused = pull(&world.other_press, pulling("q-1", lot, 1)).await.expect_err("not its own");
        answers.insert((refused.reason.as_str(), refused.message, refused.metadata));
        let request = pb::ReportProductionRequest {
            request_id: "q-2".to_owned(),
            municipality_code: WARD.to_owned(),
            lot_id: lot.to_owned(),
            cards: vec![nok(&cards[0])],
            occurred_time: world.now(),
        };
        let refused = of(&world.other_press).report_production(request).await.map_err(fault);
        let refused = refused.expect_err("not its own");
        answers.insert((refused.reason.as_str(), refused.message, refused.metadata));
        let request = pb::GetLotRequest { lot_id: lot.to_owned(), ..Default::default() };
        let refused = of(&world.other_press).get_lot(request).await.map_err(fault).expect_err("not its own");
        answers.insert((refused.reason.as_str(), refused.message, refused.metadata));
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    // Nor are another's cards, in a share of one's own.
    let request = pb::ReportProductionRequest {
        request_id: "q-3".to_owned(),
        municipality_code: WARD.to_owned(),
        lot_id: "L-2".to_owned(),
        cards: vec![nok(&cards[0]), nok("K-999")],
        occurred_time: world.now(),
    };
    let refused =
        of(&world.other_press).report_production(request).await.map_err(fault).expect_err("neither");
    assert_eq!(refused.violations.len(), 2);
    assert_eq!(refused.violations[0].1, refused.violations[1].1, "the one says no more than the other");
    assert_eq!(world.states(&cards).await, BTreeSet::from(["ORDERED".to_owned()]));
    // Each sees its own share, operators all.
    let see = async |party: &Party, code: &str| {
        let request = pb::GetLotRequest { lot_id: "L-1".to_owned(), municipality_code: code.to_owned() };
        of(party).get_lot(request).await.map(|got| got.into_inner().shares.len()).map_err(fault)
    };
    assert_eq!(see(&world.press, "").await.map_err(|fault| fault.reason), Ok(1));
    assert_eq!(see(&world.ward, "").await.map_err(|fault| fault.reason), Ok(1));
    assert_eq!(see(&world.operator, WARD).await.map_err(|fault| fault.reason), Ok(1));
    assert_eq!(see(&world.city, "").await.map_err(|fault| fault.reason), Err(Reason::NotFound));
    assert_eq!(see(&world.city, WARD).await.map_err(|fault| fault.reason), Err(Reason::NotFound));
});

on_both!(who_has_another_role_is_refused, async {
    let world = World::start(1).await;
    let auditor = world.issuer.party("auditor/a").await;
    let post = world.issuer.party("postal/office-1").await;
    let wrong = |done: Result<(), tonic::Status>| {
        assert_eq!(done.map_err(fault).expect_err("not its role").reason, Reason::WrongRole);
    };
    for party in [&world.ward, &world.press, &auditor, &post] {
        wrong(of(party).allocate_quota(pb::AllocateQuotaRequest::default()).await.map(|_| ()));
        wrong(of(party).recall_lot(pb::RecallLotRequest::default()).await.map(|_| ()));
    }
    for party in [&world.ward, &world.operator, &auditor, &post] {
        wrong(of(party).pull_orders(pb::PullOrdersRequest::default()).await.map(|_| ()));
        wrong(of(party).report_production(pb::ReportProductionRequest::default()).await.map(|_| ()));
        wrong(of(party).report_shipment(pb::ReportShipmentRequest::default()).await.map(|_| ()));
    }
    wrong(of(&post).get_lot(pb::GetLotRequest::default()).await.map(|_| ()));
    for party in [&post, &world.press] {
        wrong(of(party).list_stage_ages(pb::ListStageAgesRequest::default()).await.map(|_| ()));
    }
    let ages = |code: &str| pb::ListStageAgesRequest { municipality_code: code.to_owned() };
    for party in [&world.operator, &auditor] {
        of(party).list_stage_ages(ages(WARD)).await.expect("it names one");
        let refused = of(party).list_stage_ages(ages("")).await.map_err(fault).expect_err("it names none");
        assert_eq!(refused.reason, Reason::FieldInvalid);
    }
    let refused = of(&world.city).list_stage_ages(ages(WARD)).await.map_err(fault).expect_err("another's");
    assert_eq!(refused.reason, Reason::NotFound);
});

on_both!(what_is_wrong_with_a_request_is_named, async {
    let world = World::start(1).await;
    let allocating = pb::AllocateQuotaRequest {
        request_id: "a-1".to_owned(),
        municipality_code: WARD.to_owned(),
        lot_id: "L-1".to_owned(),
        producer: "press-1".to_owned(),
        cards: 1,
    };
    let all = || allocating.clone();
    let wrong = [
        (pb::AllocateQuotaRequest { request_id: String::new(), ..all() }, "request_id"),
        (pb::AllocateQuotaRequest { municipality_code: String::new(), ..all() }, "municipality_code"),
        (pb::AllocateQuotaRequest { municipality_code: "131220".to_owned(), ..all() }, "municipality_code"),
        (pb::AllocateQuotaRequest { lot_id: "L 1".to_owned(), ..all() }, "lot_id"),
        (pb::AllocateQuotaRequest { producer: "press 1".to_owned(), ..all() }, "producer"),
        (pb::AllocateQuotaRequest { cards: 0, ..all() }, "cards"),
        (pb::AllocateQuotaRequest { cards: 10_000_001, ..all() }, "cards"),
    ];
    for (request, field) in wrong {
        let refused = of(&world.operator).allocate_quota(request).await.map_err(fault).expect_err(field);
        assert_eq!((refused.reason, refused.violations[0].0.as_str()), (Reason::FieldInvalid, field));
    }
    of(&world.operator).allocate_quota(all()).await.expect("the smallest share");
    world.allocate("a-2", "L-1", 10_000_000).await.expect("the most of one call");
    let more = pb::AllocateQuotaRequest { cards: 2, ..all() };
    let reused = of(&world.operator).allocate_quota(more).await.map_err(fault).expect_err("another request");
    assert_eq!(reused.reason, Reason::RequestIdReused);
    let lease = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let wrong = [
        (pulling("p-1", "L-1", 501), Reason::FieldInvalid),
        (pb::PullOrdersRequest { lease: lease(59), ..pulling("p-1", "L-1", 1) }, Reason::FieldInvalid),
        (
            pb::PullOrdersRequest { lease: lease(7 * 86_400 + 1), ..pulling("p-1", "L-1", 1) },
            Reason::FieldInvalid,
        ),
        (
            pb::PullOrdersRequest { page_token: "x".to_owned(), ..pulling("p-1", "L-1", 1) },
            Reason::PageTokenInvalid,
        ),
    ];
    for (request, reason) in wrong {
        let refused = pull(&world.press, request.clone()).await.expect_err("it is wrong");
        assert_eq!(refused.reason, reason, "{request:?}");
    }
    let most = pb::PullOrdersRequest { lease: lease(7 * 86_400), ..pulling("p-1", "L-1", 500) };
    assert_eq!(pull(&world.press, most).await.expect("the most of each").orders.len(), 1);
});
