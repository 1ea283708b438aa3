//! Promise: a report is recorded whole or not at all, with everything named that is wrong, and what is
//! bad is made anew.

use super::*;

on_both!(of_a_report_with_one_wrong_line_nothing_is_recorded_and_it_is_named, async {
    let world = World::start(6).await;
    world.allocate("a-1", "L-1", 9).await.expect("allocated");
    let cards = world.pulled("p-1", "L-1", 4).await;
    let with = |at: usize, wrong: pb::ProducedCard| {
        let mut report: Vec<_> = cards.iter().map(|id| ok(id)).collect();
        report[at] = wrong;
        report
    };
    let good = |key: Vec<u8>, self_test: &str| {
        let (self_test, unmet_accommodations) = (self_test.to_owned(), Vec::new());
        let good = pb::GoodCard { chip_key: key, self_test, unmet_accommodations };
        pb::ProducedCard { card_id: cards[2].clone(), result: Some(Came::Ok(good)) }
    };
    let mut off_curve = chip_key();
    off_curve[64] ^= 1;
    let compressed = [&[2][..], &chip_key()[1..33]].concat();
    let wrong = [
        (with(2, good(Vec::new(), "PASS")), "cards[2].ok.chip_key"),
        (with(2, good(off_curve, "PASS")), "cards[2].ok.chip_key"),
        (with(2, good(compressed, "PASS")), "cards[2].ok.chip_key"),
        (with(2, good(chip_key(), "")), "cards[2].ok.self_test"),
        (with(2, pb::ProducedCard { card_id: cards[2].clone(), result: None }), "cards[2]"),
        (with(2, pb::ProducedCard { result: Some(Came::Nok(String::new())), ..ok("x") }), "cards[2].nok"),
        (with(2, ok(&cards[1])), "cards[2].card_id"),
        (with(2, ok("K 0")), "cards[2].card_id"),
        (Vec::new(), "cards"),
        ((0..501).map(|n| ok(&format!("X-{n}"))).collect(), "cards"),
    ];
    for (report, field) in wrong {
        let refused = world.report("r-1", "L-1", report).await.expect_err(field);
        assert_eq!((refused.reason, refused.violations[0].0.as_str()), (Reason::FieldInvalid, field));
        assert_eq!(refused.violations.len(), 1, "{refused:?}");
    }
    // Those that are known and do not fit: each is named.
    let mut report = with(1, ok("K-005"));
    report.extend([ok("X-1"), nok("K-004")]);
    let refused = world.report("r-1", "L-1", report).await.expect_err("three do not fit");
    let fields: Vec<_> = refused.violations.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(refused.reason, Reason::ItemState);
    assert_eq!(fields, ["cards[1].card_id", "cards[4].card_id", "cards[5].card_id"], "{refused:?}");
    assert_eq!(world.states(&cards).await, BTreeSet::from(["ORDERED".to_owned()]), "nothing is recorded");
    assert_eq!(world.closes("L-1").await.scrapped, 0);
    // A field that is wrong does not hide a card that does not fit.
    let both = vec![good(Vec::new(), "PASS"), ok("K-005")];
    let refused = world.report("r-1", "L-1", both).await.expect_err("two are wrong");
    let fields: Vec<_> = refused.violations.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["cards[0].ok.chip_key", "cards[1].card_id"]);
    // Two chips with one key.
    let key = chip_key();
    let twice =
        vec![good(key.clone(), "PASS"), pb::ProducedCard { card_id: cards[0].clone(), ..good(key, "PASS") }];
    let refused = world.report("r-1", "L-1", twice).await.expect_err("one key, two chips");
    assert_eq!(refused.violations[0].0, "cards[1].ok.chip_key");
    world.report("r-1", "L-1", with(2, ok(&cards[2]))).await.expect("a refusal is not kept");
    assert_eq!(world.states(&cards).await, BTreeSet::from(["QC_PASSED".to_owned()]));
});

on_both!(what_is_bad_is_made_anew_and_its_blank_card_is_scrapped, async {
    let world = World::start(2).await;
    world.allocate("a-1", "L-1", 5).await.expect("allocated");
    assert_eq!(world.pulled("p-1", "L-1", 9).await, ["K-000", "K-001"]);
    // A chip that finds a fault in itself is bad, whatever the producer says.
    let self_test = pb::GoodCard {
        chip_key: Vec::new(),
        self_test: "RAM: bit 7 of byte 12".to_owned(),
        unmet_accommodations: Vec::new(),
    };
    let faulty = pb::ProducedCard { card_id: "K-001".to_owned(), result: Some(Came::Ok(self_test)) };
    let report = vec![nok("K-000"), faulty];
    let done = world.report("r-1", "L-1", report.clone()).await.expect("recorded");
    assert_eq!(done.remade_card_ids, ["K-000~2", "K-001~2"]);
    let again = world.report("r-1", "L-1", report).await.expect("the same");
    assert_eq!(again, done, "the same request does nothing more");
    let share = done.share.expect("it");
    assert_eq!((share.consumed, share.scrapped, share.remaining), (0, 2, 3));
    let old = world.card("K-001").await;
    assert!(old.state == "SCRAPPED" && old.details.contains("\"remade_as\":\"K-001~2\""), "{old:?}");
    let new = world.card("K-001~2").await;
    assert!(new.state == "ORDERED" && new.details.contains("\"instead_of\":\"K-001\""), "{new:?}");
    assert_eq!(world.pulled("p-2", "L-1", 9).await, ["K-000~2", "K-001~2"]);
    let done = world.report("r-2", "L-1", vec![nok("K-000~2"), ok("K-001~2")]).await.expect("recorded");
    assert_eq!(done.remade_card_ids, ["K-000~3"]);
    let late = world.report("r-3", "L-1", vec![ok("K-000~2")]).await.expect_err("it was bad");
    assert!(late.message.contains("reported before"), "{late:?}");
    assert_eq!(world.pulled("p-3", "L-1", 9).await, ["K-000~3"]);
    let share = world.closes("L-1").await;
    assert_eq!((share.consumed, share.scrapped, share.remaining), (2, 3, 0));
});

on_both!(cards_are_sent_and_lost_whole_or_not_at_all, async {
    let world = World::start(4).await;
    world.allocate("a-1", "L-1", 9).await.expect("allocated");
    let cards = world.pulled("p-1", "L-1", 9).await;
    world.report("r-1", "L-1", cards[..3].iter().map(|id| ok(id)).collect()).await.expect("recorded");
    let early = world.ship("s-1", "L-1", &cards, "").await.expect_err("one is not made yet");
    assert_eq!((early.reason, early.violations[0].0.as_str()), (Reason::ItemState, "card_ids[3]"));
    assert_eq!(world.closes("L-1").await.shipped, 0);
    let share = world.ship("s-1", "L-1", &cards[..3], "").await.expect("sent");
    assert_eq!((share.shipped, share.in_transit, share.consumed), (3, 3, 4));
    assert_eq!(world.ship("s-1", "L-1", &cards[..3], "").await.expect("again"), share);
    let twice = world.ship("s-2", "L-1", &cards[..1], "").await.expect_err("it was sent already");
    assert_eq!(twice.reason, Reason::ItemState);
    let lost = world.ship("s-3", "L-1", &cards[1..3], "the van burnt").await.expect("lost");
    assert_eq!((lost.in_transit, lost.lost), (1, 2));
    let lost = world.ship("s-4", "L-1", &cards[2..3], "the van burnt").await.expect_err("it is lost already");
    assert_eq!(lost.reason, Reason::ItemState);
    for (ids, why) in [(vec![], ""), (vec!["K-0".to_owned(); 2], ""), (cards.clone(), "\u{7}")] {
        let refused = world.ship("s-5", "L-1", &ids, why).await.expect_err("it is wrong");
        assert_eq!(refused.reason, Reason::FieldInvalid, "{ids:?}");
    }
    let other = pb::ReportShipmentRequest {
        request_id: "s-6".to_owned(),
        municipality_code: WARD.to_owned(),
        lot_id: "L-1".to_owned(),
        shipment_id: "S-2".to_owned(),
        card_ids: cards[..1].to_vec(),
        lost: "which one?".to_owned(),
        occurred_time: world.now(),
    };
    let refused = of(&world.press).report_shipment(other).await.map_err(fault).expect_err("not with that");
    assert!(refused.violations[0].1.contains("shipment S-1"), "{refused:?}");
    assert_eq!(world.closes("L-1").await.in_transit, 1);
});

on_both!(a_report_that_comes_late_makes_no_card_last_longer, async {
    let world = World::start(2).await;
    world.allocate("a-1", "L-1", 2).await.expect("allocated");
    world.pulled("p-1", "L-1", 2).await;
    world.report("r-1", "L-1", vec![ok("K-000")]).await.expect("recorded");
    let two_years = 731 * DAY_MS;
    let late = pb::ReportProductionRequest {
        request_id: "r-2".to_owned(),
        municipality_code: WARD.to_owned(),
        lot_id: "L-1".to_owned(),
        cards: vec![ok("K-001")],
        occurred_time: Some(timestamp(world.issuer.clock.now_ms() - two_years)),
    };
    of(&world.press).report_production(late).await.map_err(fault).expect("recorded");
    let (soon, late) = (last_year(&world, "K-000").await, last_year(&world, "K-001").await);
    assert_eq!(soon - late, 2, "by the day that each was made");
});

/// The year in which a card ends.
async fn last_year(world: &World, card: &str) -> i32 {
    let details = world.card(card).await.details;
    let details: serde_json::Value = serde_json::from_str(&details).expect("JSON");
    details["last_day"]
        .as_str()
        .and_then(|day| day.get(..4))
        .and_then(|year| year.parse().ok())
        .expect("a day")
}
