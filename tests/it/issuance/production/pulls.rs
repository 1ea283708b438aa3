//! Promise: no two pulls get the same order, no order is made without a blank card, and what broke off is
//! answered with the same orders.

use futures_util::future::join_all;
use todoke::wire::convert::span;

use super::*;

on_both!(at_the_end_of_a_quota_orders_wait_and_say_so, async {
    let world = World::start(5).await;
    world.allocate("a-1", "L-1", 3).await.expect("allocated");
    let first = world.pull("p-1", "L-1", 4).await.expect("three can be made");
    assert_eq!(first.orders.len(), 3, "exactly as many as there are blank cards");
    assert!(!first.next_page_token.is_empty(), "there are more");
    assert_eq!(world.closes("L-1").await.state, "USED_UP");
    for token in ["", first.next_page_token.as_str()] {
        let request = pb::PullOrdersRequest { page_token: token.to_owned(), ..pulling("p-2", "L-1", 4) };
        let refused = pull(&world.press, request).await.expect_err("none is left");
        assert_eq!((refused.reason, refused.get("lot_id")), (Reason::QuotaUsedUp, Some("L-1")));
        assert!(refused.message.contains("the 3 blank cards"), "{refused:?}");
    }
    world.allocate("a-2", "L-1", 10).await.expect("more of them");
    let request = pb::PullOrdersRequest { page_token: first.next_page_token, ..pulling("p-2", "L-1", 4) };
    let rest = pull(&world.press, request).await.expect("a refusal is not kept");
    assert_eq!(
        (ids(&rest), rest.next_page_token.as_str()),
        (vec!["K-003".to_owned(), "K-004".to_owned()], "")
    );
    let none = world.pull("p-3", "L-1", 4).await.expect("nothing waits");
    assert_eq!((none.orders.len(), none.next_page_token.as_str()), (0, ""));
    let share = world.closes("L-1").await;
    assert_eq!((share.allocated, share.consumed, share.remaining), (13, 5, 8));
});

on_both!(the_same_request_again_is_answered_with_the_same_orders, async {
    let world = World::start(6).await;
    world.allocate("a-1", "L-1", 9).await.expect("allocated");
    let first = world.pull("p-1", "L-1", 2).await.expect("there are orders");
    let again = world.pull("p-1", "L-1", 2).await.expect("the same");
    assert_eq!(again, first);
    let other = world.pull("p-1", "L-1", 3).await.expect_err("another request");
    assert_eq!(other.reason, Reason::RequestIdReused);
    // Sent twice at once, as clients do that hear nothing.
    let twice = join_all((0..6).map(|_| world.pull("p-2", "L-1", 3))).await;
    let twice: Vec<_> = twice.into_iter().map(|one| ids(&one.expect("answered"))).collect();
    assert!(twice.iter().all(|one| one.len() == 3 && *one == twice[0]), "{twice:?}");
    let share = world.closes("L-1").await;
    assert_eq!((share.consumed, share.remaining), (5, 4));
    // What is made is not to be printed again.
    world.report("r-1", "L-1", vec![ok("K-000")]).await.expect("recorded");
    let again = world.pull("p-1", "L-1", 2).await.expect("the same");
    assert_eq!(ids(&again), ["K-001"]);
    world.issuer.clock.advance(DAY_MS);
    let late = world.pull("p-1", "L-1", 2).await.expect("its lease is over");
    assert!(late.orders.is_empty());
});

on_both!(no_order_goes_to_two_producers_however_many_pull_at_once, async {
    let world = World::start(40).await;
    world.allocate("a-1", "L-1", 30).await.expect("allocated");
    world.allocate_to("a-2", (WARD, "L-2", "press-2"), 30).await.expect("allocated");
    let world = &world;
    let both = [(&world.press, "L-1"), (&world.other_press, "L-2")];
    let mut seen = BTreeSet::new();
    for round in 0..20 {
        let pulls = (0..4)
            .flat_map(|n| both.map(|(party, lot)| pull(party, pulling(&format!("p-{round}-{n}"), lot, 3))));
        for pulled in join_all(pulls).await {
            for id in ids(&pulled.expect("none is refused, as blank cards are left")) {
                assert!(seen.insert(id.clone()), "{id} went to two");
            }
        }
        if seen.len() == 40 {
            break;
        }
    }
    assert_eq!(seen.len(), 40, "every order was given");
    let (ours, theirs) = (world.closes("L-1").await, world.closes("L-2").await);
    assert_eq!(ours.consumed + theirs.consumed, 40);
    assert_eq!(ours.remaining + theirs.remaining, 20);
});

on_both!(what_nobody_makes_in_time_is_pulled_by_another, async {
    let world = World::start(3).await;
    world.allocate("a-1", "L-1", 2).await.expect("allocated");
    world.allocate_to("a-2", (WARD, "L-2", "press-2"), 5).await.expect("allocated");
    let request = pb::PullOrdersRequest {
        lease: Some(span(std::time::Duration::from_secs(60))),
        ..pulling("p-1", "L-1", 2)
    };
    let ours = ids(&pull(&world.press, request).await.expect("two"));
    let theirs = ids(&pull(&world.other_press, pulling("q-1", "L-2", 9)).await.expect("the third"));
    assert_eq!(theirs, ["K-002"]);
    world.issuer.clock.advance(60_000);
    let late = ids(&pull(&world.other_press, pulling("q-2", "L-2", 1)).await.expect("the lease is over"));
    assert_eq!(late, ["K-000"]);
    let (share, other) = (world.closes("L-1").await, world.closes("L-2").await);
    assert_eq!((share.consumed, share.remaining), (1, 1), "its blank card is given back");
    assert_eq!((other.consumed, other.remaining), (2, 3));
    let refused = world.report("r-1", "L-1", vec![ok("K-000"), ok("K-001")]).await.expect_err("not its own");
    assert_eq!(refused.reason, Reason::ItemState);
    assert_eq!(refused.violations.len(), 1, "{refused:?}");
    assert_eq!(refused.violations[0].0, "cards[0].card_id");
    // Nobody has taken the other one: it is made all the same.
    world.report("r-1", "L-1", vec![ok("K-001")]).await.expect("late, and nobody else has it");
    assert_eq!(ours, ["K-000", "K-001"]);
    // Of the same lot again, no other blank card is taken.
    world.issuer.clock.advance(DAY_MS);
    let again = ids(&pull(&world.other_press, pulling("q-3", "L-2", 9)).await.expect("its own again"));
    assert_eq!(again, ["K-000", "K-002"]);
    assert_eq!(world.closes("L-2").await.consumed, 2);
});

on_both!(an_order_is_made_whatever_it_is_called_and_notification_cards_are_not, async {
    let mut records = orders("K", 4);
    records[1].set(Field::Kind, "NOTIFICATION_CARD");
    records[2].set(Field::OrderId, "K 2");
    records[3].set(Field::OrderId, "K-000~2");
    let world = World::with(&records).await;
    world.allocate("a-1", "L-1", 9).await.expect("allocated");
    assert_eq!(world.pulled("p-1", "L-1", 1).await, ["K-000"]);
    // The next of it is not called as another order.
    let done = world.report("r-1", "L-1", vec![nok("K-000")]).await.expect("recorded");
    assert_eq!(done.remade_card_ids, ["K-000~3"]);
    let pulled = world.pull("p-2", "L-1", 9).await.expect("the rest");
    let brief: Vec<_> =
        pulled.orders.iter().map(|one| (one.card_id.as_str(), one.order_id.as_str())).collect();
    assert_eq!(brief[0], ("K-000~3", "K-000"));
    assert!(brief[1].0.starts_with("card-") && brief[1].1 == "K 2", "{brief:?}");
    assert_eq!(brief[2..], [("K-000~2", "K-000~2")]);
    assert_eq!(world.pull("p-3", "L-1", 9).await.expect("nothing waits").orders.len(), 0);
    assert_eq!(world.closes("L-1").await.scrapped, 1);
});

on_both!(of_whom_a_protection_measure_hides_the_address_no_producer_sees_it, async {
    let mut records = orders("K", 2);
    records[0].set(Field::Protected, "1");
    records[0].set(Field::DeliveryAddress, "カナリヤ病院");
    records[0].set(Field::Accommodations, "BRAILLE;LARGE_PRINT");
    let world = World::with(&records).await;
    world.allocate("a-1", "L-1", 9).await.expect("allocated");
    let pulled = world.pull("p-1", "L-1", 9).await.expect("both").orders;
    let person = |n: usize| pulled[n].personal_data.clone().expect("what is printed");
    assert!(pulled[0].protected && !pulled[1].protected);
    assert_eq!((person(0).address.as_str(), person(0).delivery_address.as_str()), ("", ""));
    assert_eq!((person(0).name, person(1).name), ("カナリヤ 𠮷田".to_owned(), "カナリヤ 𠮷田".to_owned()));
    assert!(person(1).address.contains("立石"));
    assert_eq!(pulled[0].accommodations, ["BRAILLE", "LARGE_PRINT"]);
    // What could not be met must have been ordered.
    let unmet = |n: usize, what: &str| {
        let good = pb::GoodCard {
            chip_key: chip_key(),
            self_test: "PASS".to_owned(),
            unmet_accommodations: vec![what.to_owned()],
        };
        pb::ProducedCard { card_id: pulled[n].card_id.clone(), result: Some(Came::Ok(good)) }
    };
    let refused = world.report("r-1", "L-1", vec![unmet(0, "READ_ALOUD"), unmet(1, "BRAILLE")]).await;
    let refused = refused.expect_err("neither was ordered");
    let fields: Vec<_> = refused.violations.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["cards[0].ok.unmet_accommodations", "cards[1].ok.unmet_accommodations"]);
    world.report("r-1", "L-1", vec![unmet(0, "BRAILLE")]).await.expect("recorded");
    assert!(world.card("K-000").await.details.contains("\"unmet\":[\"BRAILLE\"]"));
    // And nothing that is stored of a card tells who it is for.
    for id in ["K-000", "K-001"] {
        let key = world.card(id).await.key;
        let history = world.issuer.store.item_history(&key).await.expect("it answers");
        let stored = format!("{:?} {history:?}", world.card(id).await);
        assert!(["カナリヤ", "1980-02", "立石"].iter().all(|one| !stored.contains(one)), "{stored}");
    }
});

on_both!(after_a_restore_nothing_is_given_before_receipts_are_compared_and_then_it_is_said, async {
    let world = World::start(4).await;
    world.allocate("a-1", "L-1", 4).await.expect("allocated");
    let before = world.pull("p-1", "L-1", 2).await.expect("there are orders");
    assert_eq!(before.restore_time, None);
    let (store, now_ms) = (&world.issuer.store, world.issuer.clock.now_ms());
    store.mark_restored(Cause::Operator, "a test", now_ms).await.expect("it is marked");
    let refused = world.pull("p-2", "L-1", 2).await.expect_err("who was lost is not known yet");
    assert_eq!(refused.reason, Reason::ReconcileFirst);
    assert_eq!(world.closes("L-1").await.consumed, 2, "nothing was taken");
    let ward = WARD.parse().expect("a municipality");
    assert!(store.release(ward, "its files are lost", now_ms).await.expect("it is released"));
    let after = world.pull("p-2", "L-1", 2).await.expect("a refusal is not kept");
    assert_eq!((after.orders.len(), after.restore_time), (2, Some(timestamp(now_ms))));
    let none = world.pull("p-3", "L-1", 2).await.expect("nothing waits");
    assert_eq!((none.orders.len(), none.restore_time), (0, Some(timestamp(now_ms))));
});
