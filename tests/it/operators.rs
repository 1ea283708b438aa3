//! Promise: an operator sees which relays are in use and why, and an order is carried out once, on the
//! record, and for operators only.

use std::time::Duration;

use serde_json::Value;
use todoke::{client::receipts::load_key, pool::notes::View};
use tokio::time::{Instant, sleep};

use super::system::{Dev, Folder, Said, Signal, http, signal};

/// The flags of a call as this party.
pub(super) fn by(folder: &Folder, party: &str) -> [String; 4] {
    let endpoints = folder.path("dev/endpoints.json").display().to_string();
    ["--endpoints".to_owned(), endpoints, "--as".to_owned(), party.to_owned()]
}

pub(super) async fn pool(folder: &Folder, party: &str, words: &[&str]) -> Said {
    folder.todoke(&[&["pool"], words].concat(), &by(folder, party)).await
}

/// What a command says if it succeeds: each line with its event.
pub(super) async fn said(folder: &Folder, words: &[&str]) -> Vec<Value> {
    let said = pool(folder, "operator/alice", words).await;
    assert_eq!(said.code, Some(0), "{words:?}: {}", said.all());
    said.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

pub(super) fn of<'a>(lines: &'a [Value], event: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event"] == event).collect()
}

/// Waits until these units are in this state.
pub(super) async fn until(folder: &Folder, units: &[&str], state: &str) {
    let begun = Instant::now();
    loop {
        let lines = said(folder, &["list"]).await;
        let there = of(&lines, "unit").into_iter().filter(|unit| unit["state"] == state).count();
        if there >= units.len() {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "waited for {state}: {lines:?}");
        sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test]
async fn an_operator_sees_why_and_gives_orders_and_nobody_else_does() {
    let folder = Folder::new();
    let mut dev = Dev::start(&folder, &["--relays", "2"]).await;
    until(&folder, &["relay-1", "relay-2"], "HEALTHY").await;
    sees(&folder).await;
    orders(&folder).await;
    drills(&folder).await;
    is_refused(&folder).await;
    let ops = folder.endpoints()["issuers"][0]["ops"].as_str().and_then(|ops| ops.parse().ok());
    let metrics = http(ops.expect("the issuer's ops port"), "/metrics").await;
    for line in [
        "todoke_pool_unit_state{unit=\"relay-1\",state=\"HEALTHY\"} 1",
        "todoke_pool_decisions_total{kind=\"drain\"} 1",
        "todoke_pool_frozen 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in {metrics}");
    }
    assert_eq!(dev.stop().await, Some(0));
}

#[tokio::test]
async fn a_system_starts_again_with_a_relay_that_is_out_of_use() {
    let folder = Folder::new();
    let mut dev = Dev::start(&folder, &["--relays", "2"]).await;
    until(&folder, &["relay-1", "relay-2"], "HEALTHY").await;
    said(&folder, &["drain", "relay-2", "--reason", "its disk is replaced"]).await;
    until(&folder, &["relay-2"], "DRAINED").await;
    assert_eq!(dev.stop().await, Some(0));
    let mut dev = Dev::start(&folder, &["--relays", "2"]).await;
    until(&folder, &["relay-1"], "HEALTHY").await;
    until(&folder, &["relay-2"], "DRAINED").await;
    assert_eq!(dev.stop().await, Some(0));
}

/// Waits until this line is, or is not, in what the relays say of their readiness.
async fn relays_say(endpoints: &Value, line: &str, wanted: bool) {
    for relay in endpoints["relays"].as_array().expect("relays") {
        let ops = relay["ops"].as_str().and_then(|ops| ops.parse().ok()).expect("an address");
        let begun = Instant::now();
        loop {
            let page = http(ops, "/readyz").await;
            if page.contains(line) == wanted {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{line}: {wanted}, but {page}");
            sleep(Duration::from_millis(200)).await;
        }
    }
}

#[tokio::test]
async fn an_issuer_that_stood_still_for_longer_than_a_lease_lives_holds_it_against_no_relay() {
    let folder = Folder::new();
    let mut dev = Dev::start(&folder, &["--relays", "2"]).await;
    until(&folder, &["relay-1", "relay-2"], "HEALTHY").await;
    let endpoints = folder.endpoints();
    let issuer = endpoints["issuers"][0]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
    let issuer = issuer.expect("a pid");
    signal(Signal::STOP, issuer);
    relays_say(&endpoints, "no issuer renewed it", true).await;
    signal(Signal::CONT, issuer);
    relays_say(&endpoints, "no issuer renewed it", false).await;
    until(&folder, &["relay-1", "relay-2"], "HEALTHY").await;
    let lines = said(&folder, &["decisions", "--limit", "100"]).await;
    let evicted = of(&lines, "decision").into_iter().filter(|one| one["kind"] == "evict").collect::<Vec<_>>();
    assert!(evicted.is_empty(), "{evicted:?}");
    assert_eq!(dev.stop().await, Some(0));
}

#[tokio::test]
async fn a_relay_that_was_drained_stays_so_when_the_system_is_started_again() {
    let folder = Folder::new();
    let mut dev = Dev::start(&folder, &["--relays", "2"]).await;
    until(&folder, &["relay-1", "relay-2"], "HEALTHY").await;
    said(&folder, &["drain", "relay-2", "--reason", "a new disk"]).await;
    until(&folder, &["relay-2"], "DRAINED").await;
    assert_eq!(dev.stop().await, Some(0));
    let mut dev = Dev::start(&folder, &["--relays", "2"]).await;
    let is_out = |value: &Value| {
        let why = value["out"].as_str().unwrap_or_default();
        value["id"] == "relay-2" && why.contains("took it out: DRAINED") && why.contains("a new disk")
    };
    assert!(dev.heard.iter().any(is_out), "{:?}", dev.heard);
    said(&folder, &["undrain", "relay-2"]).await;
    until(&folder, &["relay-2"], "HEALTHY").await;
    assert_eq!(dev.stop().await, Some(0));
}

async fn sees(folder: &Folder) {
    let lines = said(folder, &["list"]).await;
    let result = lines.last().expect("a result");
    assert_eq!((&result["units"], &result["controller"]), (&2.into(), &"issuer-1".into()));
    let (begun, mut lines) = (Instant::now(), said(folder, &["explain", "relay-1"]).await);
    // The first bets are made in the second after the unit joined, when it has a sibling that is judged too.
    let is_judged = |lines: &[Value]| {
        let explained = of(lines, "explanation")[0].clone();
        let bets = explained["evidence"]["bets"].as_array().is_some_and(|bets| !bets.is_empty());
        let elsewhere = explained["elsewhere"].as_array().map_or(0, Vec::len);
        // A busy machine may have it looked at twice.
        bets && elsewhere == 6 && explained["state"] == "HEALTHY"
    };
    while !is_judged(&lines) {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing is bet: {lines:?}");
        sleep(Duration::from_millis(500)).await;
        lines = said(folder, &["explain", "relay-1"]).await;
    }
    let lines = said(folder, &["view"]).await;
    assert_eq!(of(&lines, "member").len(), 2, "{lines:?}");
    is_shown_as_it_was_signed(folder).await;
}

/// What `pool view --raw` prints is the note itself, as anybody may check it.
async fn is_shown_as_it_was_signed(folder: &Folder) {
    let mut command = folder.command(&["pool", "view", "--raw"]);
    let shown = command.args(by(folder, "operator/alice")).output().await.expect("it runs");
    let key = load_key(&folder.path("dev/pki/receipt.pub")).expect("the issuer's key");
    let note = String::from_utf8_lossy(&shown.stdout);
    let view = View::open(&shown.stdout, &key).unwrap_or_else(|error| panic!("{error}: {note}"));
    assert_eq!(view.members.len(), 2, "{note}");
}

async fn orders(folder: &Folder) {
    let drain = ["drain", "relay-2", "--reason", "disk", "--request-id", "drain-1"];
    for _ in 0..2 {
        let lines = said(folder, &drain).await;
        assert_eq!(lines.last().expect("a result")["state"], "DRAINING", "{lines:?}");
    }
    let lines = said(folder, &["decisions", "relay-2", "--limit", "100"]).await;
    let drained = of(&lines, "decision").into_iter().filter(|one| one["kind"] == "drain");
    let whys: Vec<&Value> = drained.map(|one| &one["why"]).collect();
    assert_eq!(whys, ["operator/alice drains relay-2: disk"], "it was carried out once");
    let first = of(&lines, "decision").last().map(|one| one["number"].to_string()).expect("a decision");
    let watched = said(folder, &["watch", "--after", &first, "--count", "1"]).await;
    assert_eq!(of(&watched, "decision").len(), 1, "{watched:?}");
    until(folder, &["relay-2"], "DRAINED").await;
    said(folder, &["undrain", "relay-2"]).await;

    said(folder, &["register", "relay-9", "--address", "127.0.0.1:9"]).await;
    let lines = said(folder, &["unregister", "relay-9", "--reason", "a mistake"]).await;
    let warning = lines.last().expect("a result")["warnings"][0].to_string();
    assert!(warning.contains("operator/alice unregistered relay-9: a mistake"), "{lines:?}");
    let listed = said(folder, &["list"]).await;
    assert_eq!(of(&listed, "unit").len(), 2, "{listed:?}");
}

async fn drills(folder: &Folder) {
    let pid = || folder.endpoints()["relays"][1]["pid"].clone();
    let before = pid();
    let ordered = said(folder, &["drill", "relay-2", "--fault", "crash", "--for", "5m"]).await;
    assert_eq!(ordered.last().expect("a result")["drill"], "crash", "{ordered:?}");
    let over = decided(folder, "drill_over").await;
    assert!(over["why"].as_str().is_some_and(|why| why.contains("started anew")), "{over}");
    let begun = Instant::now();
    while pid() == before {
        assert!(begun.elapsed() < Duration::from_secs(60), "it did not end, or nobody serves in its place");
        sleep(Duration::from_millis(100)).await;
    }
    until(folder, &["relay-1", "relay-2"], "HEALTHY").await;
    let after = pid();

    said(folder, &["drill", "relay-2", "--fault", "fail:0.3"]).await;
    let listed = said(folder, &["list"]).await;
    assert_eq!(of(&listed, "unit")[1]["drill"], "fail:0.3", "{listed:?}");
    said(folder, &["drill", "relay-2", "--stop"]).await;
    let listed = said(folder, &["list"]).await;
    assert_eq!(of(&listed, "unit")[1]["drill"], "", "{listed:?}");
    assert_eq!(pid(), after, "the next process did not crash again");
}

/// Waits for a decision of a kind about the second relay.
async fn decided(folder: &Folder, kind: &str) -> Value {
    let begun = Instant::now();
    loop {
        let lines = said(folder, &["decisions", "relay-2", "--limit", "100"]).await;
        if let Some(found) = of(&lines, "decision").into_iter().find(|one| one["kind"] == kind) {
            return found.clone();
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "waited for {kind}: {lines:?}");
        sleep(Duration::from_millis(500)).await;
    }
}

async fn is_refused(folder: &Folder) {
    for (party, words, reason) in [
        ("municipality/131229", &["list"][..], "WRONG_ROLE"),
        ("auditor/a", &["undrain", "relay-1"], "WRONG_ROLE"),
        ("operator/bob", &["explain", "relay-9"], "relay-9 is not registered any more"),
        ("operator/bob", &["explain", "relay-8"], "UNIT_UNKNOWN"),
        ("auditor/a", &["drill", "relay-1", "--fault", "hang"], "WRONG_ROLE"),
        ("operator/bob", &["drill", "relay-1", "--stop"], "ORDER_REFUSED"),
        ("operator/bob", &["unregister", "relay-1", "--reason", "x"], "ORDER_REFUSED"),
        ("operator/bob", &["absolve", "probe=deep"], "ORDER_REFUSED"),
        ("auditor/a", &["absolve", "probe=deep"], "WRONG_ROLE"),
        ("operator/bob", &["sign-off", "relay-1", "--request-id", "s-1"], "ORDER_REFUSED"),
        // What was refused is not said to be done when it is asked again.
        ("operator/bob", &["sign-off", "relay-1", "--request-id", "s-1"], "ORDER_REFUSED"),
        (
            "operator/bob",
            &["drain", "relay-1", "--reason", "x", "--request-id", "drain-1"],
            "REQUEST_ID_REUSED",
        ),
    ] {
        let said = pool(folder, party, words).await;
        let error = said.result()["error"].to_string();
        assert!(said.code == Some(1) && error.contains(reason), "{party} {words:?}: {}", said.all());
    }
    let said = pool(folder, "operator/carol", &["list"]).await;
    assert_eq!(said.code, Some(64), "she has no certificate: {}", said.all());
}
