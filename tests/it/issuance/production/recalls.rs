//! Promise: a lot that is called back is called back everywhere and nobody else's cards are; what was not
//! made yet waits again.

use todoke::{
    domain::digest::Digest,
    store::{Asked, Changed, Decided, EVENTS_MAX, Found},
};

use super::*;

impl World {
    /// Orders of the city, beside the ward's.
    async fn with_city(&self, count: usize) {
        let city = batch(self.city.code(), 2, Policy::AllOrNothing, &orders("C", count));
        self.city.import(&city).await;
    }

    async fn pull_of_city(&self, request: &str, lot: &str) -> Vec<String> {
        let request =
            pb::PullOrdersRequest { municipality_code: CITY.to_owned(), ..pulling(request, lot, 9) };
        ids(&pull(&self.press, request).await.expect("there are orders"))
    }
}

on_both!(a_recall_reaches_the_cards_of_a_lot_in_every_municipality_and_no_others, async {
    let world = World::start(5).await;
    world.with_city(2).await;
    world.allocate("a-1", "L-1", 4).await.expect("allocated");
    world.allocate("a-2", "L-2", 4).await.expect("another lot");
    world.allocate_to("a-3", (CITY, "L-1", "press-1"), 4).await.expect("the same lot for the city");
    let cards = world.pulled("p-1", "L-1", 4).await;
    assert_eq!(world.pull_of_city("p-2", "L-1").await, ["C-000", "C-001"]);
    assert_eq!(world.pulled("p-3", "L-2", 9).await, ["K-004"]);
    world.report("r-1", "L-1", vec![ok("K-000"), ok("K-001"), nok("K-002")]).await.expect("recorded");
    world.report("r-2", "L-2", vec![ok("K-004")]).await.expect("recorded");
    world.ship("s-1", "L-1", &cards[..1], "").await.expect("sent");
    let recalled = world.recall("x-1", "L-1").await.expect("recalled");
    let brief: Vec<_> = recalled
        .shares
        .iter()
        .map(|one| (one.municipality_code.as_str(), one.recalled, one.ended_before, one.orders_waiting))
        .collect();
    assert_eq!(brief, [(CITY, 0, 0, 2), (WARD, 2, 1, 1)]);
    assert_eq!(world.recall("x-1", "L-1").await.expect("again"), recalled);
    assert_eq!(world.recall("x-2", "L-1").await.expect("by another request"), recalled);
    assert_eq!(world.states(&cards[..2]).await, BTreeSet::from(["RECALLED".to_owned()]));
    assert_eq!(world.card("K-004").await.state, "QC_PASSED", "of another lot");
    assert_eq!(world.card_of(&world.city, "C-000").await.state, "ORDERED");
    let total = world.closes("L-1").await;
    assert_eq!((total.state.as_str(), total.recalled_because.as_str()), ("RECALLED", "faulty chips"));
    assert_eq!((total.consumed, total.scrapped, total.remaining), (2, 1, 5));
    // Nothing is made of it any more, and what was not made yet is pulled from another.
    for refused in [
        world.pull("p-4", "L-1", 1).await.map(|_| ()).expect_err("recalled"),
        world.allocate("a-4", "L-1", 1).await.map(|_| ()).expect_err("recalled"),
        world
            .allocate_to("a-4", ("012025", "L-1", "press-2"), 1)
            .await
            .map(|_| ())
            .expect_err("elsewhere, too"),
        world.report("r-3", "L-1", vec![ok("K-003")]).await.map(|_| ()).expect_err("recalled"),
    ] {
        assert_eq!(refused.reason, Reason::ItemState, "{refused:?}");
        assert!(refused.message.contains("faulty chips"), "{refused:?}");
    }
    let sent = world.ship("s-2", "L-1", &cards[1..2], "").await.expect_err("it is recalled");
    assert_eq!(sent.reason, Reason::ItemState);
    assert_eq!(world.pulled("p-4", "L-2", 9).await, ["K-002~2", "K-003"], "of the same moment");
    world.report("r-3", "L-2", vec![ok("K-003"), ok("K-002~2")]).await.expect("made of the other lot");
    assert_eq!(world.closes("L-2").await.consumed, 3);
});

on_both!(a_recall_while_orders_are_pulled_and_reported_leaves_none_of_the_lot_in_use, async {
    let world = World::start(30).await;
    world.allocate("a-1", "L-1", 30).await.expect("allocated");
    let made = world.pulled("p-1", "L-1", 10).await;
    let pulls = futures_util::future::join_all((0..4).map(|n| {
        let world = &world;
        async move { world.pull(&format!("q-{n}"), "L-1", 5).await }
    }));
    let report = world.report("r-1", "L-1", made.iter().map(|id| ok(id)).collect());
    let (pulled, reported, recalled) = tokio::join!(pulls, report, world.recall("x-1", "L-1"));
    recalled.expect("recalled");
    for refused in pulled.into_iter().filter_map(Result::err).chain(reported.err()) {
        assert_eq!(refused.reason, Reason::ItemState, "{refused:?}");
    }
    world.closes("L-1").await;
    let request = pb::GetLotRequest { lot_id: "L-1".to_owned(), ..Default::default() };
    let got = of(&world.operator).get_lot(request).await.expect("it is there").into_inner();
    let states: Vec<&String> = got.counts[0].cards_by_state.keys().collect();
    assert!(states.iter().all(|state| *state == "RECALLED"), "{states:?}");
});

on_both!(a_recall_says_why_and_of_what, async {
    let world = World::start(1).await;
    let none = world.recall("x-1", "L-9").await.expect_err("no such lot");
    assert_eq!(none.reason, Reason::NotFound);
    world.allocate("a-1", "L-1", 1).await.expect("allocated");
    for reason in [String::new(), "x".repeat(201), "a\nb".to_owned()] {
        let request = pb::RecallLotRequest { request_id: "x-1".to_owned(), lot_id: "L-1".to_owned(), reason };
        let refused = of(&world.operator).recall_lot(request).await.map_err(fault).expect_err("no reason");
        assert_eq!(refused.reason, Reason::ReasonRequired);
    }
    world.recall("x-1", "L-1").await.expect("recalled");
    let request = pb::RecallLotRequest {
        request_id: "x-1".to_owned(),
        lot_id: "L-1".to_owned(),
        reason: "another".to_owned(),
    };
    let reused = of(&world.operator).recall_lot(request).await.map_err(fault).expect_err("another request");
    assert_eq!(reused.reason, Reason::RequestIdReused);
});

/// Fills the history of the city's share up, as no call does.
async fn fill(world: &World, lot: &str) {
    let (store, municipality) = (&world.issuer.store, world.city.code());
    let key = ItemKey { municipality, kind: ItemKind::Lot, id: lot.parse().expect("an id") };
    let share = store.item(&key).await.expect("it answers").expect("it is there");
    let nothing = r#"{"event":"GIVE_BACK","cards":0}"#.to_owned();
    let events = vec![(share.since_ms, nothing); EVENTS_MAX - share.events as usize];
    let ItemRow { state, since_ms, cards, details, .. } = share;
    let decided = Decided { events, state, since_ms, cards, details, ..Decided::default() };
    let asked = Asked {
        key,
        with: Vec::new(),
        request_id: "fill".to_owned(),
        fingerprint: Digest::of(b"fill"),
        actor: "operator/nobody".to_owned(),
        holds: Vec::new(),
        now_ms: world.issuer.clock.now_ms(),
    };
    let changed = store.change_item(asked, move |_: &Found| Ok::<_, ()>(decided.clone())).await;
    assert!(matches!(changed, Ok(Changed::Done(_))), "{changed:?}");
}

on_both!(a_share_that_takes_no_more_events_is_named_and_the_lot_is_called_back_elsewhere, async {
    let world = World::start(2).await;
    world.allocate("a-1", "L-1", 2).await.expect("allocated");
    world.allocate_to("a-2", (CITY, "L-1", "press-1"), 2).await.expect("the same lot for the city");
    let cards = world.pulled("p-1", "L-1", 1).await;
    world.report("r-1", "L-1", vec![ok(&cards[0])]).await.expect("recorded");
    fill(&world, "L-1").await;
    let refused = world.recall("x-1", "L-1").await.expect_err("not everywhere");
    assert_eq!((refused.reason, refused.get("municipality_code")), (Reason::LimitExceeded, Some(CITY)));
    assert!(refused.message.contains("in 1 municipalities and not in 1"), "{refused:?}");
    assert_eq!(world.card(&cards[0]).await.state, "RECALLED", "the ward's is called back");
});
