//! Promise: everybody can ask which relays to use, through any relay, and believes the answer by its
//! signature alone.

use todoke::{
    domain::pool_notes::View,
    wire::{
        fault::Reason,
        pb::{self, pool_service_client::PoolServiceClient},
    },
};
use tonic::{Response, transport::Channel};

use super::{
    harness::{Pool, WARDS, drain, eventually, quick},
    puppet::Puppet,
};
use crate::issuance::harness::fault;

/// Names and shares of a view that is believed.
fn shares(pool: &Pool, note: &[u8]) -> (u64, Vec<(String, u8)>) {
    let view = View::open(note, &pool.issuer.verifier).expect("the issuer signed it");
    let members = view.members.iter().map(|member| (member.unit.to_string(), member.share_percent));
    (view.version, members.collect())
}

async fn asked(client: &mut PoolServiceClient<Channel>) -> Vec<u8> {
    client.get_view(pb::GetViewRequest {}).await.expect("everybody may ask").into_inner().view
}

#[tokio::test]
async fn there_is_no_view_before_there_is_a_relay() {
    let pool = Pool::start(quick()).await;
    let mut ward = PoolServiceClient::new(pool.issuer.party_again(WARDS[0]).channel);
    let refused = fault(ward.get_view(pb::GetViewRequest {}).await.expect_err("there is none"));
    assert_eq!(refused.reason, Reason::ViewNotReady);
    let puppet = Puppet::new(&pool, "relay-1").await;
    puppet.leased(&pool).await;
    assert_eq!(shares(&pool, &asked(&mut ward).await).1, [("relay-1".to_owned(), 100)]);
}

#[tokio::test]
async fn a_municipality_that_asks_over_a_relay_learns_the_view_and_each_change_of_it() {
    let pool = Pool::start(quick()).await;
    let relays = pool.relays(2).await;
    let mut ward = PoolServiceClient::new(pool.ward(WARDS[0], &relays[0]).channel);
    let whole = ["relay-1", "relay-2"].map(|unit| (unit.to_owned(), 100));
    let note = asked(&mut ward).await;
    let (version, members) = shares(&pool, &note);
    assert_eq!(members, whole);
    let mut changed = note.clone();
    let at = note.windows(3).position(|text| text == b"100").expect("a share");
    changed[at] = b'0';
    assert!(View::open(&changed, &pool.issuer.verifier).is_err(), "no relay can change it on the way");

    let mut from_now = ward.watch_view(pb::WatchViewRequest { after_version: version }).await;
    let from_now = from_now.as_mut().expect("everybody may").get_mut();
    let mut from_start = ward.watch_view(pb::WatchViewRequest { after_version: 0 }).await;
    let from_start = from_start.as_mut().expect("everybody may").get_mut();
    let first = from_start.message().await.expect("it goes on").expect("it comes at once");
    assert_eq!(shares(&pool, &first.view), (version, whole.to_vec()));
    pool.order(drain("d-1", "relay-2")).await.expect("one of two may go");
    for stream in [from_now, from_start] {
        let next = stream.message().await.expect("it goes on").expect("it does not end");
        let (newer, members) = shares(&pool, &next.view);
        assert!(newer > version, "{newer} after {version}");
        let served: Vec<&str> =
            members.iter().filter(|(_, share)| *share > 0).map(|(unit, _)| unit.as_str()).collect();
        assert_eq!(served, ["relay-1"]);
    }
    eventually("relays learn it, too", || async {
        (pool.controller.views().borrow().as_ref()?.version > version).then_some(())
    })
    .await;
}

#[tokio::test]
async fn nobody_takes_all_places_of_those_who_watch() {
    let pool = Pool::start(quick()).await;
    let watch = || async {
        let asked = pb::WatchViewRequest { after_version: 0 };
        pool.ops().watch_view(asked).await.map(Response::into_inner).map_err(fault)
    };
    let mut watching = Vec::new();
    for _ in 0..4 {
        watching.push(watch().await.expect("a place"));
    }
    assert_eq!(watch().await.map(drop).map_err(|fault| fault.reason), Err(Reason::LaneFull));
    watching.pop();
    eventually("a place is free again", || async { watch().await.ok() }).await;

    let follow = || async {
        let asked = pb::WatchDecisionsRequest { after_number: None };
        pool.ops().watch_decisions(asked).await.map(Response::into_inner).map_err(fault)
    };
    let mut following = Vec::new();
    for _ in 0..16 {
        following.push(follow().await.expect("a place"));
    }
    assert_eq!(follow().await.map(drop).map_err(|fault| fault.reason), Err(Reason::LaneFull));
}
