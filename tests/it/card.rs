//! Promise: an office says by commands alone what becomes of a card, sees where it stands and why, and
//! whoever says it wrongly hears what to do.

use serde_json::{Value, json};

use super::system::Imported;

const WARD: &str = "municipality/131229";
const SESSION: [&str; 2] = ["--session", "0192f0c1-2345-7abc-8def-0123456789ab"];
const FRAUD: &str = "FRAUD_SUSPECTED";

#[tokio::test]
async fn an_order_is_scrapped_and_remade_and_its_person_moves_by_commands() {
    let as_cards = |text: String| text.replace("NOTIFICATION_CARD", "INDIVIDUAL_NUMBER_CARD");
    let mut world = Imported::start_with("card", as_cards).await;
    let order = world.orders[0].clone();
    let id = order.as_str();
    let kept = world.piped(WARD, &["show", "--order-id", id], "").await;
    assert!(kept.stdout.contains("state              ORDERED"), "{}", kept.all());
    let again = ["--request-id", "x-1", "--at", "2020-11-20T09:30:00+09:00", "--reason", "a typo"];
    for _ in 0..2 {
        let scrapped = world.done(WARD, &["scrap", id], &again).await;
        assert_eq!(scrapped["state"], "SCRAPPED");
        assert_eq!(scrapped["state_time"], "2020-11-20T00:30:00.000Z");
    }
    let remade = world.done(WARD, &["remake", id], &[]).await;
    let new = format!("{id}~2");
    assert_eq!(remade["remade_card_id"], new.as_str());
    assert_eq!(world.done(WARD, &["list", "--state", "ORDERED"], &[]).await["cards"], 1);
    assert_eq!(world.done(WARD, &["list", "--lot", "L-1"], &[]).await["cards"], 0);
    let of = ["--order-id", id];
    world.refused(WARD, (&["holder", FRAUD], &of), "REASON_REQUIRED").await;
    let moved = world.said(WARD, &["holder", "MOVED"], &of).await;
    assert_eq!(moved.code, Some(0), "{}", moved.all());
    assert_eq!((&moved.result()["cards"], &moved.result()["applications"]), (&json!(1), &json!(0)));
    let shown = world.said(WARD, &["get", &new], &["--history"]).await;
    let events: Vec<Value> =
        shown.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let kinds: Vec<_> = events.iter().filter_map(|event| event["kind"].as_str()).collect();
    assert_eq!((&kinds[1..], &events[0]["instead_of"]), (&["ORDER", "MOVE"][..], &json!(id)));
    let said = world.piped(WARD, &["get", id, "--history"], "").await;
    assert!(said.stdout.contains("SCRAP") && said.stdout.contains("a typo"), "{}", said.all());
    let source = ["--source", "DECLARED"];
    let said = world.piped(WARD, &[&["correct-reading", id], &source[..]].concat(), "ヨシダ\n").await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    assert!(!said.stdout.contains("ヨシダ"), "it is not shown again: {}", said.all());
    let said = world.piped(WARD, &["get", "--order-id", id, "--purpose", "correction"], "").await;
    assert!(said.stdout.contains("reading            ヨシダ"), "{}", said.all());
    assert_eq!(world.dev.stop().await, Some(0));
}

#[tokio::test]
async fn what_does_not_fit_a_card_is_refused_by_every_command_with_its_reason() {
    let mut world = Imported::start("card").await;
    let order = world.orders[1].clone();
    let id = order.as_str();
    let signature = "0f".repeat(64);
    let signed = ["--chip-signature", &signature];
    let reason = ["--reason", "lost"];
    let begin = [&SESSION[..], &["--terminal", "T-1", "--document", "PASSPORT"]].concat();
    let give_up = [&SESSION[..], &reason].concat();
    let confirm = [&SESSION[..], &signed].concat();
    let query = [&["--chip-state", "BLANK"][..], &signed].concat();
    let acts: [(&[&str], &[&str], &str); 11] = [
        (&["arrive", id], &["--office", "亀有"], "ITEM_STATE"),
        (&["pre-issue", id], &["--self-test", "PASS"], "ITEM_STATE"),
        (&["notify", id], &[], "ITEM_STATE"),
        (&["begin", id], &begin, "ITEM_STATE"),
        (&["confirm", id], &confirm, "ITEM_STATE"),
        (&["query", id], &query, "NOT_FOUND"),
        (&["give-up", id], &give_up, "ITEM_STATE"),
        (&["suspend", id], &reason, "ITEM_STATE"),
        (&["resume", id], &[], "ITEM_STATE"),
        (&["revoke", id], &reason, "ITEM_STATE"),
        (&["surrender", id], &[], "ITEM_STATE"),
    ];
    for (words, more, reason) in acts {
        world.refused(WARD, (words, more), reason).await;
    }
    let night = [&reason[..], &["--municipality", "131229"]].concat();
    world.refused("operator/alice", (&["suspend", id], &night), "ITEM_STATE").await;
    world.refused("operator/alice", (&["revoke", id], &reason), "WRONG_ROLE").await;
    world.refused("municipality/011002", (&["revoke", id], &reason), "NOT_FOUND").await;
    for (words, more) in [
        (["begin", id], &["--session", "7"][..]),
        (["confirm", id], &["--chip-signature", "0f"][..]),
        (["holder", "MARRIED"], &["--order-id", "K-1"][..]),
        (["list", "--office"], &["亀有"][..]),
    ] {
        let said = world.said(WARD, &words, more).await;
        assert_eq!(said.code, Some(2), "{words:?}: {}", said.all());
    }
    assert_eq!(world.dev.stop().await, Some(0));
}
