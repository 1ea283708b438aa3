//! Promise: a deadline that passes for want of something that its caller owes, or that nobody owes, is never
//! held against a relay, whoever of the two notices it first.

use std::time::Duration;

use todoke::{
    domain::pool_notes::View,
    wire::pb::{WatchViewRequest, WatchViewResponse, pool_service_client::PoolServiceClient},
};
use tonic::{Code, Request};

use super::harness::{Pool, WARDS, ask, eventually, quick};
use crate::issuance::harness::Party;

/// Calls and bad ones of relay-1's callers, as it reports them itself.
async fn seen(pool: &Pool) -> (u64, u64) {
    let explained = pool.explained("relay-1").await;
    let votes = explained["votes"].as_array().expect("a list").iter();
    let mut own = votes.filter(|vote| vote["observer"] == "relay/relay-1");
    let count = |vote: &serde_json::Value, name: &str| vote[name].as_u64().expect("a count");
    own.next().map_or((0, 0), |vote| (count(vote, "calls"), count(vote, "bad")))
}

/// Asks for the view after this version until the deadline, and returns those that came.
async fn watch(ward: &Party, after_version: u64) -> Vec<Vec<u8>> {
    // Once there is an answer this client waits for more of it as long as it comes, so that it is the
    // relay that notices the deadline.
    let mut request = Request::new(WatchViewRequest { after_version });
    request.set_timeout(Duration::from_secs(3));
    let stream = PoolServiceClient::new(ward.channel.clone()).watch_view(request).await;
    let mut stream = stream.expect("it is answered").into_inner();
    let mut views = Vec::new();
    loop {
        match stream.message().await {
            Ok(view) => views.push(view.expect("it ends with a status").view),
            Err(status) => {
                assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
                return views;
            }
        }
    }
}

/// After a call that is answered: what became of the calls before it.
async fn bad(pool: &Pool, ward: &Party) -> u64 {
    ask(ward).await.expect("it serves");
    let seen = eventually("the call behind them was reported", || async {
        Some(seen(pool).await).filter(|(calls, _)| *calls > 0)
    });
    seen.await.1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_its_callers_deadline_ends_says_nothing_against_its_relay() {
    let pool = Pool::start(quick()).await;
    let relays = pool.relays(1).await;
    let ward = pool.ward(WARDS[0], &relays[0]);
    let mut newest = 0;
    for _ in 0..5 {
        let views = watch(&ward, 0).await;
        let view = View::open(views.last().expect("there is one"), &pool.issuer.verifier);
        newest = view.expect("it is signed").version;
    }
    let views = watch(&ward, newest).await;
    assert_eq!(views.len(), 0, "headers are all that is answered");
    assert_eq!(bad(&pool, &ward).await, 0, "calls of the relay's own callers that went bad");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_caller_sends_no_end_of_it_says_nothing_against_its_relay() {
    let pool = Pool::start(quick()).await;
    let relays = pool.relays(1).await;
    let ward = pool.ward(WARDS[0], &relays[0]);
    let ours = "/todoke.v1.PoolService/WatchView";
    // This one is answered by headers before anything is asked.
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    for path in [ours, ours, ours, reflection, reflection] {
        let mut grpc = tonic::client::Grpc::new(ward.channel.clone());
        grpc.ready().await.expect("it is there");
        let mut request = Request::new(tokio_stream::pending::<WatchViewRequest>());
        request.metadata_mut().insert("grpc-timeout", "7S".parse().expect("ascii"));
        let path = http::uri::PathAndQuery::from_static(path);
        let codec = tonic_prost::ProstCodec::<WatchViewRequest, WatchViewResponse>::default();
        let ended = match grpc.streaming(request, path, codec).await {
            Ok(stream) => stream.into_inner().message().await.err(),
            Err(status) => Some(status),
        };
        let code = ended.map(|status| status.code());
        // Longer than calls may be at first, whoever of the two notices it.
        assert!(matches!(code, Some(Code::DeadlineExceeded | Code::Cancelled)), "{code:?}");
    }
    assert_eq!(bad(&pool, &ward).await, 0, "calls of the relay's own callers that went bad");
}
