//! Promise: an activation asked again is answered by what became of it, is confirmed by the chip's own proof
//! alone, and no second card of the person becomes active beside the first.

use super::*;

on_both!(a_session_that_is_asked_again_is_answered_and_nothing_is_written_twice, async {
    let world = World::start().await;
    let mut chip = world.notified("K-2").await;
    let (first, second) = (session(1), session(2));
    let begun = world.begin("b-1", "K-2", &first).await.expect("it begins");
    let events = async || world.get("K-2").await.card.expect("it").event_count;
    let count = events().await;
    assert_eq!(world.begin("b-1", "K-2", &first).await, Ok(begun.clone()), "the same request");
    assert_eq!(world.begin("b-2", "K-2", &first).await, Ok(begun), "another request for the session");
    let open = world.begin("b-3", "K-2", &second).await.expect_err("one is open");
    assert_eq!((open.reason, open.get("state")), (Reason::ItemState, Some("ACTIVATING")));
    let reused = world.begin("b-1", "K-2", &second).await.expect_err("another request under its id");
    assert_eq!(reused.reason, Reason::RequestIdReused);
    assert_eq!(events().await, count, "nothing was written");
    let abort = async |request: &str, session: &str| {
        let (session_id, reason) = (session.to_owned(), "no PIN".to_owned());
        act!(world, abort_activation, AbortActivationRequest, request, "K-2", session_id: session_id,
            reason: reason)
    };
    let aborted = abort("a-1", &first).await.expect("given up");
    assert_eq!((aborted.state(), aborted.card.expect("it").state()), (ABORTED, pb::CardState::Notified));
    assert_eq!(abort("a-2", &first).await.expect("again").state(), ABORTED);
    assert_eq!(world.begin("b-1", "K-2", &first).await.expect("the first request").state(), ABORTED);
    assert_eq!(world.begin("b-4", "K-2", &first).await.expect("the session").state(), ABORTED);
    assert_eq!(events().await, count + 1, "that it was given up");
    // The proof of a session that was given up comes late.
    chip.says = Says::Committed(first.clone());
    let late = world.confirm("c-1", &chip, &first).await.expect_err("it is over");
    assert_eq!((late.reason, late.get("state")), (Reason::ItemState, Some("ABORTED")));
    let query = world.query(&chip, &first).await.expect("what to do");
    assert_eq!((query.step(), query.step_session_id.as_str()), (pb::ActivationStep::ResetChip, &first[..]));
    let permit = note::open(query.permit.as_bytes(), &world.issuer.verifier).expect("the issuer signed it");
    assert_eq!(permit, format!("todoke chip reset v1\n131229\nK-2\n{first}\n"));
    chip.says = Says::Blank;
    let step = world.query(&chip, "").await.expect("by a terminal that remembers nothing");
    assert_eq!((step.step(), step.permit.as_str()), (pb::ActivationStep::BeginAnew, ""));
    world.begin("b-5", "K-2", &second).await.expect("a new one");
    chip.says = Says::Committed(second.clone());
    let confirmed = world.confirm("c-2", &chip, &second).await.expect("confirmed");
    assert_eq!(world.confirm("c-3", &chip, &second).await, Ok(confirmed), "again");
    let undone = abort("a-3", &second).await.expect_err("it is confirmed");
    assert_eq!((undone.reason, undone.get("state")), (Reason::ItemState, Some("CONFIRMED")));
    assert_eq!(world.begin("b-6", "K-2", &second).await.expect("answered").state(), CONFIRMED);
    assert_eq!(events().await, count + 3);
});

on_both!(a_confirmation_needs_this_chips_own_word_that_it_is_committed, async {
    let world = World::start().await;
    let mut chip = world.notified("K-2").await;
    let mut other = world.notified("K-3").await;
    let session = session(1);
    world.begin("b-1", "K-2", &session).await.expect("it begins");
    let refused = async |chip: &Chip| world.confirm("c-1", chip, &session).await.expect_err("refused").reason;
    assert_eq!(refused(&chip).await, Reason::ItemState, "BLANK");
    chip.says = Says::Prepared(session.clone());
    assert_eq!(refused(&chip).await, Reason::ItemState, "PREPARED");
    chip.says = Says::Committed(super::session(2));
    assert_eq!(refused(&chip).await, Reason::ItemState, "to another session");
    // Another card's chip, in its own name and in this one's.
    other.says = Says::Committed(session.clone());
    other.card_id = "K-2".to_owned();
    let forged = world.confirm("c-1", &other, &session).await.expect_err("not its key");
    assert_eq!((forged.reason, forged.get("card_id")), (Reason::ChipProofInvalid, Some("K-2")));
    assert_eq!(
        world.query(&other, "").await.expect_err("nor for a question").reason,
        Reason::ChipProofInvalid
    );
    chip.says = Says::Committed(session.clone());
    let unknown = world.confirm("c-1", &chip, &super::session(3)).await.expect_err("never begun");
    assert_eq!(unknown.reason, Reason::NotFound);
    let no_chip = pb::ConfirmActivationRequest {
        request_id: "c-1".to_owned(),
        card_id: "K-2".to_owned(),
        session_id: session.clone(),
        chip: None,
        occurred_time: world.at(6),
    };
    let none = world.ward.cards().confirm_activation(no_chip).await.map_err(fault).expect_err("no proof");
    assert_eq!(none.violations[0].0, "chip");
    assert_eq!(world.state("K-2").await, pb::CardState::Activating);
    world.confirm("c-1", &chip, &session).await.expect("a refusal is not kept");
});

on_both!(a_person_has_one_card_and_the_one_of_before_is_given_back_in_the_same_step, async {
    let world = World::start().await;
    world.active("K-0").await;
    let mut new = world.notified("K-1").await;
    let session = session(1);
    let refused = world.begin("b-1", "K-1", &session).await.expect_err("the person has one");
    assert_eq!((refused.reason, refused.get("card_id")), (Reason::OtherCard, Some("K-0")));
    let with = |former: &str| pb::BeginActivationRequest {
        surrendered_card_id: former.to_owned(),
        ..world.beginning("b-1", "K-1", &session)
    };
    world.notified("K-5").await;
    for (former, reason) in [
        ("K-1", Reason::FieldInvalid), // itself
        ("K-5", Reason::FieldInvalid), // of somebody else
        ("K-6", Reason::FieldInvalid), // an order that nobody was given
        ("K-99", Reason::NotFound),
    ] {
        let refused = world.ward.cards().begin_activation(with(former)).await.map_err(fault);
        assert_eq!(refused.expect_err(former).reason, reason, "{former}");
    }
    let begun = world.ward.cards().begin_activation(with("K-0")).await.expect("the old one goes");
    assert_eq!(begun.into_inner().card.expect("it").state(), pb::CardState::Activating);
    let old = world.get("K-0").await;
    assert_eq!(old.card.expect("it").state(), pb::CardState::Surrendered);
    assert_eq!(old.events.last().expect("it").why, "for card K-1");
    // Given up and begun anew: what was given back already is no hindrance.
    let (session_id, reason) = (session.clone(), "no PIN".to_owned());
    act!(world, abort_activation, AbortActivationRequest, "a-1", "K-1", session_id: session_id,
        reason: reason)
    .expect("given up");
    let again = super::session(2);
    let request =
        pb::BeginActivationRequest { request_id: "b-2".to_owned(), session_id: again.clone(), ..with("K-0") };
    world.ward.cards().begin_activation(request).await.expect("begun anew");
    new.says = Says::Committed(again.clone());
    world.confirm("c-1", &new, &again).await.expect("active");
});

on_both!(nobody_is_told_that_a_card_was_given_back_that_was_not, async {
    let world = World::start().await;
    let own = session(1);
    let mut old = world.notified("K-0").await;
    world.notified("K-1").await;
    world.begin("b-1", "K-1", &own).await.expect("without another");
    let with = |request: &str| pb::BeginActivationRequest {
        surrendered_card_id: "K-0".to_owned(),
        ..world.beginning(request, "K-1", &own)
    };
    let begin = async |request: &str| world.ward.cards().begin_activation(with(request)).await.map_err(fault);
    // A card that its holder never had cannot be given back, whatever became of the session.
    assert_eq!(begin("b-2").await.expect_err("nobody has it").reason, Reason::ItemState);
    let (session_id, reason) = (own.clone(), "no PIN".to_owned());
    act!(world, abort_activation, AbortActivationRequest, "a-1", "K-1", session_id: session_id,
        reason: reason)
    .expect("given up");
    let other = session(2);
    world.begin("o-1", "K-0", &other).await.expect("the other one");
    old.says = Says::Committed(other.clone());
    world.confirm("o-2", &old, &other).await.expect("is active");
    let refused = begin("b-3").await.expect_err("it is still in use");
    assert_eq!(
        (refused.reason, refused.violations[0].0.as_str()),
        (Reason::FieldInvalid, "surrendered_card_id")
    );
    assert_eq!(world.state("K-0").await, pb::CardState::Active);
    act!(world, surrender_card, SurrenderCardRequest, "w-1", "K-0", reason: String::new())
        .expect("by itself");
    assert_eq!(begin("b-4").await.expect("it was").into_inner().state(), ABORTED);
});

on_both!(nobody_is_handed_a_card_without_proof_or_for_nothing, async {
    let world = World::start().await;
    world.notified("K-2").await;
    let session = session(1);
    let refused = async |request: pb::BeginActivationRequest| {
        world.ward.cards().begin_activation(request).await.map_err(fault).expect_err("refused")
    };
    let with = |documents: &[&str]| pb::BeginActivationRequest {
        documents: documents.iter().map(|word| (*word).to_owned()).collect(),
        ..world.beginning("b-1", "K-2", &session)
    };
    for documents in [&[][..], &["NOTIFICATION_CARD"], &["PENSION_BOOK", "NOTIFICATION_CARD"]] {
        assert_eq!(refused(with(documents)).await.reason, Reason::IdentityNotProved, "{documents:?}");
    }
    assert_eq!(refused(with(&["LIBRARY_CARD"])).await.violations[0].0, "documents");
    let good = world.beginning("b-1", "K-2", &session);
    let bad = [
        pb::BeginActivationRequest { session_id: "1".to_owned(), ..good.clone() },
        pb::BeginActivationRequest { terminal: String::new(), ..good.clone() },
        pb::BeginActivationRequest { terminal: "T 1".to_owned(), ..good.clone() },
        pb::BeginActivationRequest { card_id: String::new(), ..good.clone() },
        pb::BeginActivationRequest { request_id: "\u{7f}".to_owned(), ..good.clone() },
        pb::BeginActivationRequest { occurred_time: None, ..good.clone() },
    ];
    for request in bad {
        assert_eq!(refused(request.clone()).await.reason, Reason::FieldInvalid, "{request:?}");
    }
    let (session_id, reason) = (session.clone(), String::new());
    let why = act!(world, abort_activation, AbortActivationRequest, "a-1", "K-2", session_id: session_id,
        reason: reason);
    assert_eq!(why.expect_err("no reason").reason, Reason::ReasonRequired);
    let unmade = refused(pb::BeginActivationRequest { card_id: "K-9".to_owned(), ..good }).await;
    assert_eq!((unmade.reason, unmade.get("state")), (Reason::ItemState, Some("ORDERED")));
    world.begin("b-1", "K-2", &session).await.expect("a passport");
});
