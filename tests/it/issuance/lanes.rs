//! Promise: whatever others ask an issuer for, a call of the counter finds a place; who is refused is told in
//! which lane and when to come back, and is served again once the others' calls have ended.

use std::{sync::Arc, time::Duration};

use todoke::{
    telemetry,
    wire::{
        convert::timestamp,
        fault::{Fault, Reason},
        pb::{self, card_service_client::CardServiceClient, mail_service_client::MailServiceClient},
    },
};
use tokio::task::JoinSet;
use tonic::{Code, Status, transport::Channel};

use super::harness::{Issuer, Party, eventually, fault, id};

const WARD: &str = "municipality/131229";
const CITY: &str = "municipality/011002";
const TOWN: &str = "municipality/131211";

fn mail_of(party: &Party) -> MailServiceClient<Channel> {
    MailServiceClient::new(party.channel.clone())
}

/// A report that writes, so that it waits as long as nobody may.
async fn stocktake(issuer: &Issuer, party: &Party, request: String) -> Result<(), Status> {
    let request = pb::SubmitStocktakeRequest {
        request_id: request,
        office: "亀有".to_owned(),
        mail_item_ids: vec!["E-1".to_owned()],
        occurred_time: Some(timestamp(issuer.clock.now_ms() - 60_000)),
        ..Default::default()
    };
    mail_of(party).submit_stocktake(request).await.map(drop)
}

/// What a clerk does, which waits in the same way; there is no such envelope.
async fn hand_over(issuer: &Issuer, party: &Party, request: String) -> Result<(), Status> {
    let request = pb::HandOverRequest {
        request_id: request,
        mail_item_id: "E-1".to_owned(),
        occurred_time: Some(timestamp(issuer.clock.now_ms() - 60_000)),
    };
    mail_of(party).hand_over(request).await.map(drop)
}

async fn list(party: &Party) -> Result<(), Status> {
    mail_of(party).list_mail_items(pb::ListMailItemsRequest::default()).await.map(drop)
}

/// Calls of the lanes above the reports, which find nothing; each that found no place is returned.
async fn without_a_place(party: &Party) -> Vec<&'static str> {
    let mut cards = CardServiceClient::new(party.channel.clone());
    let get_batch = pb::GetBatchRequest { batch_id: id(9).to_string() };
    let get_item = pb::GetMailItemRequest { mail_item_id: "E-9".to_owned(), ..Default::default() };
    let ended = [
        ("activation", cards.begin_activation(pb::BeginActivationRequest::default()).await.map(drop)),
        ("look-up", mail_of(party).get_mail_item(get_item).await.map(drop)),
        ("arrival", cards.record_arrival(pb::RecordArrivalRequest::default()).await.map(drop)),
        ("import", party.batches().get_batch(get_batch).await.map(drop)),
    ];
    let full = |ended: &Result<(), Status>| {
        ended.as_ref().is_err_and(|status| status.code() == Code::ResourceExhausted)
    };
    ended.into_iter().filter(|(_, ended)| full(ended)).map(|(name, _)| name).collect()
}

/// Waits until so many calls of a lane are under way.
async fn under_way(lane: &str, calls: usize) {
    gauge("todoke_lane_calls", lane, calls).await;
}

async fn gauge(name: &str, lane: &str, calls: usize) {
    let line = format!("{name}{{lane=\"{lane}\"}} {calls}\n");
    eventually(&line, || async { telemetry::prometheus().render().contains(&line).then_some(()) }).await;
}

fn refused(ended: Result<(), Status>, lane: &str) -> Reason {
    let fault: Fault = fault(ended.expect_err("there is no place"));
    assert_eq!(fault.get("lane"), Some(lane), "{fault:?}");
    assert!(fault.retry_after.is_some_and(|wait| wait > Duration::ZERO), "{fault:?}");
    fault.reason
}

#[tokio::test]
async fn a_flood_of_reports_refuses_no_other_lane_and_wears_off() {
    let _ = telemetry::prometheus(); // counts from now on
    let issuer = Issuer::start(|options| {
        (options.lanes.places_max, options.lanes.caller_places_max) = (40, 2);
        options.lanes.waiting_max = 0;
    });
    let issuer = Arc::new(issuer.await);
    let [ward, city, town] = [WARD, CITY, TOWN].map(|name| issuer.party(name));
    let (ward, city, town) = tokio::join!(ward, city, town);
    let (ward, city) = (Arc::new(ward), Arc::new(city));
    let held = issuer.hold_writes().await;
    let mut reports = JoinSet::new();
    for (calls, party) in [(2, &ward), (4, &city)] {
        for n in 0..2 {
            let (issuer, party) = (Arc::clone(&issuer), Arc::clone(party));
            reports.spawn(async move { stocktake(&issuer, &party, format!("t-{calls}-{n}")).await });
        }
        under_way("reports", calls).await;
        assert_eq!(refused(list(party).await, "reports"), Reason::TerminalLimit, "its own two are there");
    }
    assert_eq!(refused(list(&town).await, "reports"), Reason::LaneFull, "a tenth of 40 is all there is");
    for party in [&*ward, &*city, &town] {
        assert_eq!(without_a_place(party).await, [""; 0]);
    }
    held.close().await;
    while let Some(ended) = reports.join_next().await {
        ended.expect("it does not panic").expect("who had a place is served");
    }
    under_way("reports", 0).await;
    for party in [&*ward, &*city, &town] {
        list(party).await.expect("there is room again");
    }
    let text = telemetry::prometheus().render();
    for line in ["reason=\"TERMINAL_LIMIT\"} 2\n", "reason=\"LANE_FULL\"} 1\n"] {
        let line = format!("todoke_lane_refusals_total{{lane=\"reports\",{line}");
        assert!(text.contains(&line), "{line} is not in {text}");
    }
}

#[tokio::test]
async fn clerks_use_what_lanes_below_leave_and_nothing_that_is_kept_for_activations() {
    let _ = telemetry::prometheus(); // counts from now on
    let issuer = Issuer::start(|options| {
        (options.lanes.places_max, options.lanes.waiting_max) = (20, 0);
    });
    let issuer = Arc::new(issuer.await);
    let (ward, city) = (Arc::new(issuer.party(WARD).await), issuer.party(CITY).await);
    let held = issuer.hold_writes().await;
    let mut clerks = JoinSet::new();
    for n in 0..15 {
        let (issuer, ward) = (Arc::clone(&issuer), Arc::clone(&ward));
        clerks.spawn(async move { hand_over(&issuer, &ward, format!("h-{n}")).await });
    }
    under_way("counter_look_up", 15).await;
    let refused = refused(hand_over(&issuer, &city, "h".to_owned()).await, "counter_look_up");
    assert_eq!(refused, Reason::LaneFull, "three quarters of 20 is all they may have");
    assert_eq!(without_a_place(&city).await, ["look-up", "arrival", "import"], "who is below has to wait");
    held.close().await;
    while let Some(ended) = clerks.join_next().await {
        let ended = fault(ended.expect("it does not panic").expect_err("there is no such envelope"));
        assert_eq!(ended.reason, Reason::NotFound, "{ended:?}");
    }
    under_way("counter_look_up", 0).await;
    assert_eq!(without_a_place(&city).await, [""; 0]);
}

#[tokio::test]
async fn calls_that_come_all_at_once_wait_for_their_places_and_all_are_served() {
    let _ = telemetry::prometheus(); // counts from now on
    let issuer = Issuer::start(|options| {
        (options.lanes.places_max, options.lanes.caller_places_max) = (20, 12);
        options.lanes.wait = Duration::from_secs(60);
    });
    let issuer = Arc::new(issuer.await);
    let (ward, city) = (Arc::new(issuer.party(WARD).await), Arc::new(issuer.party(CITY).await));
    let held = issuer.hold_writes().await;
    let mut clerks = JoinSet::new();
    for (party, name) in [(&ward, "ward"), (&city, "city")] {
        for n in 0..14 {
            let (issuer, party) = (Arc::clone(&issuer), Arc::clone(party));
            clerks.spawn(async move { hand_over(&issuer, &party, format!("{name}-{n}")).await });
        }
    }
    under_way("counter_look_up", 15).await;
    gauge("todoke_lane_waiting", "counter_look_up", 28 - 15).await;
    held.close().await;
    while let Some(ended) = clerks.join_next().await {
        let ended = fault(ended.expect("it does not panic").expect_err("there is no such envelope"));
        assert_eq!(ended.reason, Reason::NotFound, "{ended:?}");
    }
    gauge("todoke_lane_waiting", "counter_look_up", 0).await;
    under_way("counter_look_up", 0).await;
}
