//! Promise: a card that is lost is suspended at once, what has ended never comes back, what was made in
//! vain is made anew once, and a last day ends a card by itself.

use super::*;

on_both!(a_card_is_suspended_resumed_revoked_and_given_back, async {
    let world = World::start().await;
    world.active("K-2").await;
    let lost = || "lost".to_owned();
    let (none, reason) = (String::new, lost);
    let suspend = async |request: &str| {
        act!(world, suspend_card, SuspendCardRequest, request, "K-2", reason: lost(),
            municipality_code: none())
    };
    let suspended = suspend("s-1").await.expect("at once").card.expect("it");
    assert_eq!(suspended.state(), pb::CardState::Suspended);
    assert_eq!(suspend("s-2").await.expect("it stays so").card.expect("it").state_time, suspended.state_time);
    let why = act!(world, suspend_card, SuspendCardRequest, "s-3", "K-2", reason: none(),
        municipality_code: none());
    assert_eq!(why.expect_err("no reason").reason, Reason::ReasonRequired);
    let resumed = act!(world, resume_card, ResumeCardRequest, "u-1", "K-2").expect("found");
    assert_eq!(resumed.card.expect("it").state(), pb::CardState::Active);
    let again = act!(world, resume_card, ResumeCardRequest, "u-2", "K-2").expect_err("it is active");
    assert_eq!((again.reason, again.get("state")), (Reason::ItemState, Some("ACTIVE")));
    // An operator suspends at night, and names whose card it is.
    let operator = world.issuer.party("operator/night").await;
    let by_night = |code: &str, id: &str| pb::SuspendCardRequest {
        request_id: id.to_owned(),
        card_id: "K-2".to_owned(),
        reason: lost(),
        municipality_code: code.to_owned(),
        occurred_time: world.at(8),
    };
    let unnamed = operator.cards().suspend_card(by_night("", "o-1")).await.map_err(fault);
    assert_eq!(unnamed.expect_err("whose").violations[0].0, "municipality_code");
    let other = operator.cards().suspend_card(by_night("011002", "o-1")).await.map_err(fault);
    assert_eq!(other.expect_err("not theirs").reason, Reason::NotFound);
    operator.cards().suspend_card(by_night(WARD, "o-1")).await.expect("suspended");
    let revoke = act!(world, revoke_card, RevokeCardRequest, "v-1", "K-2", reason: reason());
    assert_eq!(revoke.expect("for good").card.expect("it").state(), pb::CardState::Revoked);
    let back = act!(world, resume_card, ResumeCardRequest, "u-3", "K-2");
    assert_eq!(back.expect_err("never").reason, Reason::ItemState);
    let given = act!(world, surrender_card, SurrenderCardRequest, "w-1", "K-2", reason: none());
    assert_eq!(given.expect("all the same").card.expect("it").state(), pb::CardState::Surrendered);
    // The person can have another one.
    let actors: Vec<String> = world.get("K-2").await.events.into_iter().map(|one| one.actor).collect();
    assert_eq!(actors.iter().filter(|actor| *actor == "operator/night").count(), 1);
});

on_both!(what_was_made_in_vain_is_made_anew_once, async {
    let world = World::start().await;
    world.made("K-2").await;
    world.arrive("r-1", &["K-2"]).await.expect("there");
    let remake = async |request: &str, card: &str| act!(world, remake_card, RemakeCardRequest, request, card);
    assert_eq!(remake("m-0", "K-2").await.expect_err("it is good").reason, Reason::ItemState);
    let failed = act!(world, record_pre_issuance, RecordPreIssuanceRequest, "t-1", "K-2",
        self_test: "ROM 7".to_owned());
    assert_eq!(failed.expect("said").card.expect("it").state(), pb::CardState::Scrapped);
    assert_eq!(world.get("K-2").await.events.last().expect("it").why, "ROM 7");
    let remade = remake("m-1", "K-2").await.expect("another is made");
    assert_eq!(remade.remade_card_id, "K-2~2");
    assert_eq!(remake("m-1", "K-2").await, Ok(remade.clone()), "the same again");
    assert_eq!(remade.card.expect("it").remade_as, "K-2~2");
    let twice = remake("m-2", "K-2").await.expect_err("once");
    assert!(twice.reason == Reason::ItemState && twice.message.contains("remade already"), "{twice:?}");
    let new = world.get("K-2~2").await.card.expect("the new one");
    assert_eq!((new.state(), new.order_id.as_str(), new.index), (pb::CardState::Ordered, "K-2", 2));
    assert_eq!((new.instead_of.as_str(), new.lot_id.as_str()), ("K-2", ""));
    // One that nobody has made yet is scrapped without any lot, and remade likewise.
    let scrap = async |request: &str, card: &str| {
        let reason = "a typo".to_owned();
        act!(world, scrap_card, ScrapCardRequest, request, card, reason: reason)
    };
    assert_eq!(scrap("x-1", "K-2~2").await.expect("never made").card.expect("it").state(), SCRAPPED);
    assert_eq!(remake("m-3", "K-2~2").await.expect("a third").remade_card_id, "K-2~3");
    let figures = world.making.figures().await;
    assert_eq!(scrap("x-2", "K-7").await.expect("an order").card.expect("it").state(), SCRAPPED);
    let events: Vec<String> = world.get("K-7").await.events.into_iter().map(|one| one.event).collect();
    assert_eq!(events, ["ORDER", "SCRAP"]);
    assert_eq!(world.making.figures().await, figures);
    // One that was made stays one of its lot; of one that is leased and not made the blank card is left.
    world.made("K-3").await;
    assert_eq!(scrap("x-3", "K-3").await.expect("at the producer").card.expect("it").state(), SCRAPPED);
    assert_eq!(world.making.figures().await, figures);
    world.made_and("K-4", Vec::new(), "ORDERED").await;
    let scrapped = scrap("x-4", "K-4").await.expect("nobody has begun").card.expect("it");
    assert_eq!((scrapped.state(), scrapped.lot_id.as_str()), (SCRAPPED, ""));
    assert_eq!(world.making.figures().await[5], figures[5] + 1);
    world.replayed().await;
    assert_eq!(remake("m-4", "K-99").await.expect_err("no card").reason, Reason::NotFound);
    assert_eq!(remake("m-5", "K-8").await.expect_err("it waits").reason, Reason::ItemState);
});

const SCRAPPED: pb::CardState = pb::CardState::Scrapped;

on_both!(a_card_whose_last_day_is_over_expires_by_itself, async {
    let world = World::start().await;
    let today = todoke::domain::date::Date::in_japan(world.issuer.clock.now_ms()).to_string();
    let card = async |order_id: &str, then, state: &str| {
        let (person, application) = (world.person(order_id), None);
        let made = Made { id: order_id, order_id, person, application, last_day: &today, then, state };
        world.making.card(&made).await
    };
    let mut held = card("K-2", to_the_counter(), "NOTIFIED").await;
    card("K-3", to_the_counter(), "NOTIFIED").await;
    card("K-4", vec![json!({"event": "SHIP", "shipment": "S-1"})], "SHIPPED").await;
    world.notified("K-5").await;
    let mut open = card("K-6", to_the_counter(), "NOTIFIED").await;
    let (first, second) = (session(1), session(2));
    world.begin("b-1", "K-2", &first).await.expect("begun");
    held.says = Says::Committed(first.clone());
    world.confirm("c-1", &held, &first).await.expect("active");
    world.begin("b-2", "K-6", &second).await.expect("begun");
    world.issuer.clock.advance(86_400_000);
    for id in ["K-2", "K-3"] {
        eventually("it expires", || async {
            (world.state(id).await == pb::CardState::Expired).then_some(())
        })
        .await;
    }
    let last = world.get("K-2").await.events.pop().expect("its end");
    assert_eq!((last.event.as_str(), last.actor.as_str()), ("EXPIRE", "issuer/expiry"));
    // Those on their way and those being activated end afterwards; others live.
    assert_eq!(world.state("K-4").await, pb::CardState::Shipped);
    assert_eq!(world.state("K-6").await, pb::CardState::Activating);
    assert_eq!(world.state("K-5").await, pb::CardState::Notified);
    open.says = Says::Committed(second.clone());
    world.confirm("c-2", &open, &second).await.expect("what was begun is finished");
    eventually("it expires", || async { (world.state("K-6").await == pb::CardState::Expired).then_some(()) })
        .await;
});
