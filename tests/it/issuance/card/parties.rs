//! Promise: a municipality alone acts on its cards and sees them, after a restore only when it has
//! compared its receipts, and no row or line of a log has anything of a person.

use todoke::store::Cause;

use super::{super::noticing::listen, *};

/// Makes each call that changes one card, as a party, and returns the reasons of the refusals.
async fn acts(world: &World, party: &Party, tag: &str) -> Vec<Reason> {
    let (request_id, card_id) = (|n: usize| format!("{tag}-{n}"), || "K-2".to_owned());
    let (occurred_time, reason) = (world.at(20), || "lost".to_owned());
    let session_id = session(7);
    let mut reasons = Vec::new();
    macro_rules! refused {
        ($call:ident, $request:ident { $($field:ident: $value:expr),* $(,)? }) => {{
            let request = pb::$request {
                request_id: request_id(reasons.len()),
                occurred_time,
                $($field: $value),*
            };
            let done = party.cards().$call(request).await.map_err(fault);
            reasons.push(done.expect_err(stringify!($call)).reason);
        }};
    }
    refused!(record_arrival, RecordArrivalRequest { card_ids: vec![card_id()], office: OFFICE.to_owned() });
    refused!(
        record_pre_issuance,
        RecordPreIssuanceRequest { card_id: card_id(), self_test: "PASS".to_owned() }
    );
    refused!(notify_holder, NotifyHolderRequest { card_id: card_id() });
    refused!(
        abort_activation,
        AbortActivationRequest { card_id: card_id(), session_id: session_id.clone(), reason: reason() }
    );
    refused!(resume_card, ResumeCardRequest { card_id: card_id() });
    refused!(revoke_card, RevokeCardRequest { card_id: card_id(), reason: reason() });
    refused!(surrender_card, SurrenderCardRequest { card_id: card_id(), reason: reason() });
    refused!(scrap_card, ScrapCardRequest { card_id: card_id(), reason: reason() });
    refused!(remake_card, RemakeCardRequest { card_id: card_id() });
    refused!(
        record_holder_event,
        RecordHolderEventRequest {
            order_id: card_id(),
            event: pb::HolderEvent::Moved.into(),
            reason: String::new(),
        }
    );
    refused!(
        correct_reading,
        CorrectReadingRequest {
            order_id: card_id(),
            reading: "ヨシダ".to_owned(),
            reading_source: "DECLARED".to_owned(),
        }
    );
    refused!(
        begin_activation,
        BeginActivationRequest {
            card_id: card_id(),
            session_id: session_id.clone(),
            terminal: "T-1".to_owned(),
            documents: vec!["PASSPORT".to_owned()],
            surrendered_card_id: String::new(),
        }
    );
    reasons
}

on_both!(a_card_is_its_municipalitys_own, async {
    let world = World::start().await;
    let chip = world.notified("K-2").await;
    let before = world.get("K-2").await;
    for (identity, reason) in [
        ("municipality/011002", Reason::NotFound),
        ("producer/press-1", Reason::WrongRole),
        ("postal/office-1", Reason::WrongRole),
        ("operator/night", Reason::WrongRole),
        ("auditor/a-1", Reason::WrongRole),
    ] {
        let party = world.issuer.party(identity).await;
        let reasons = acts(&world, &party, "x").await;
        assert!(reasons.iter().all(|one| *one == reason), "{identity}: {reasons:?}");
        let query = pb::QueryActivationRequest {
            card_id: "K-2".to_owned(),
            session_id: String::new(),
            chip: Some(chip.statement()),
        };
        let query = party.cards().query_activation(query).await.map_err(fault);
        assert_eq!(query.expect_err("not its own").reason, reason, "{identity}");
        let get = pb::GetCardRequest { key: Some(Key::CardId("K-2".to_owned())), ..Default::default() };
        let get = party.cards().get_card(get).await.map_err(fault);
        assert_eq!(get.expect_err("not its own").reason, reason, "{identity}");
    }
    let other = world.issuer.party_again("municipality/011002");
    let suspend = pb::SuspendCardRequest {
        request_id: "x-99".to_owned(),
        card_id: "K-2".to_owned(),
        reason: "lost".to_owned(),
        municipality_code: WARD.to_owned(),
        occurred_time: world.at(20),
    };
    let refused = other.cards().suspend_card(suspend.clone()).await.map_err(fault).expect_err("another's");
    assert_eq!(refused.reason, Reason::NotFound);
    let press = world.issuer.party_again("producer/press-1");
    let refused = press.cards().suspend_card(suspend).await.map_err(fault).expect_err("no operator");
    assert_eq!(refused.reason, Reason::WrongRole);
    assert_eq!(world.get("K-2").await, before, "nothing of it was done");
});

on_both!(after_a_restore_nothing_is_done_before_receipts_are_compared, async {
    let world = World::start().await;
    world.notified("K-2").await;
    let now_ms = world.issuer.clock.now_ms();
    world.issuer.store.mark_restored(Cause::Operator, "a test", now_ms).await.expect("it is marked");
    let reasons = acts(&world, &world.ward, "r").await;
    assert!(reasons.iter().all(|reason| *reason == Reason::ReconcileFirst), "{reasons:?}");
});

on_both!(nothing_of_a_person_stands_in_rows_or_logs, async {
    let (lines, _guard) = listen();
    let world = World::start().await;
    world.active("K-0").await;
    let correct = pb::CorrectReadingRequest {
        request_id: "q-1".to_owned(),
        order_id: "K-0".to_owned(),
        reading: "カナリヤ".to_owned(),
        reading_source: "DECLARED".to_owned(),
        occurred_time: world.at(1),
    };
    world.ward.cards().correct_reading(correct).await.expect("put right");
    world.happened("h-1", "K-0", pb::HolderEvent::Moved).await.expect("moved");
    let mut rows = lines.text();
    for kind in todoke::domain::item::ItemKind::ALL {
        let all = todoke::store::WhichItems::default();
        for item in world.issuer.store.list_items(world.ward.code(), kind, &all, 100).await.expect("reads") {
            rows.push_str(&item.details);
            for event in world.issuer.store.item_history(&item.key).await.expect("reads") {
                rows.push_str(&event.event);
            }
        }
    }
    assert!(rows.contains("CONFIRM_ACTIVATION"), "the rows are being read");
    for canary in ["カナリヤ", NUMBER, "1980-02-29"] {
        assert!(!rows.contains(canary), "{canary}");
    }
});
