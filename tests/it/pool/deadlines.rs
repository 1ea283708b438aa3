//! Promise: a stream that a relay answered and that ends with its caller's deadline is never held against
//! that relay, whoever of the two notices the deadline first.

use std::time::Duration;

use todoke::wire::pb::{WatchViewRequest, pool_service_client::PoolServiceClient};
use tonic::{Code, Request};

use super::harness::{Pool, WARDS, ask, eventually, quick};

/// Calls and bad ones of relay-1's callers, as it reports them itself.
async fn seen(pool: &Pool) -> (u64, u64) {
    let explained = pool.explained("relay-1").await;
    let votes = explained["votes"].as_array().expect("a list").iter();
    let mut own = votes.filter(|vote| vote["observer"] == "relay/relay-1");
    let count = |vote: &serde_json::Value, name: &str| vote[name].as_u64().expect("a count");
    own.next().map_or((0, 0), |vote| (count(vote, "calls"), count(vote, "bad")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_its_callers_deadline_ends_says_nothing_against_its_relay() {
    let pool = Pool::start(quick()).await;
    let relays = pool.relays(1).await;
    let ward = pool.ward(WARDS[0], &relays[0]);
    for _ in 0..5 {
        // Once there is an answer this client waits for more of it as long as it comes, so that it is the
        // relay that notices the deadline.
        let mut request = Request::new(WatchViewRequest::default());
        request.set_timeout(Duration::from_secs(3));
        let stream = PoolServiceClient::new(ward.channel.clone()).watch_view(request).await;
        let mut stream = stream.expect("there is a view").into_inner();
        let end = loop {
            match stream.message().await {
                Ok(view) => assert!(view.is_some(), "it ends with a status"),
                Err(status) => break status,
            }
        };
        assert_eq!(end.code(), Code::DeadlineExceeded, "{end}");
    }
    ask(&ward).await.expect("it serves");
    let seen = eventually("the call behind them was reported", || async {
        Some(seen(&pool).await).filter(|(calls, _)| *calls > 0)
    });
    assert_eq!(seen.await.1, 0, "calls of the relay's own callers that went bad");
}
