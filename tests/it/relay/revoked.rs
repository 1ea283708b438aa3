//! Promise: whoever is revoked loses the connections that stand, on either side of a relay.

use std::time::Duration;

use todoke::wire::fault::{Fault, Reason};

use super::{
    backend::Backend,
    harness::{Caller, EDOGAWA, KATSUSHIKA, Pki, Relay, eventually},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_issuer_is_left_and_gets_no_call_any_more() {
    let pki = Pki::with_crl();
    let stolen = Backend::start(pki.server("issuer-2")).await;
    let often = Duration::from_millis(50);
    let relay = Relay::start(&pki, &[stolen.address], |options| {
        options.upstream_alive_every = often;
        options.away_max = often;
    })
    .await;
    relay.ready().await;
    let caller = Caller::new(&pki, KATSUSHIKA, relay.address());
    assert!(caller.ask("Echo", "x").await.is_ok() && stolen.calls() == 1);
    pki.revoke("issuer/issuer-2");
    relay.reload();
    eventually("it is left", || async { (!relay.not_ready().is_empty()).then_some(()) }).await;
    let answer = caller.ask("Echo", "x").await.map_err(|status| Fault::from_status(&status).expect("ours"));
    assert_eq!(answer.expect_err("there is no other").reason, Reason::UpstreamUnavailable);
    assert_eq!(stolen.calls(), 1, "it heard of nothing more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_caller_is_cut_off_and_its_neighbour_is_not() {
    let pki = Pki::with_crl();
    let backend = Backend::start(pki.server("issuer-1")).await;
    let often = Duration::from_millis(50);
    let relay = Relay::start(&pki, &[backend.address], |options| options.keep_alive_every = often).await;
    relay.ready().await;
    let [thief, neighbour] = [KATSUSHIKA, EDOGAWA].map(|name| Caller::new(&pki, name, relay.address()));
    let hanging = thief.ask("Hang", "x");
    let revoking = async {
        eventually("it hangs", || async { (backend.open() == 1).then_some(()) }).await;
        assert!(neighbour.ask("Echo", "x").await.is_ok());
        pki.revoke(KATSUSHIKA);
        relay.reload();
    };
    let (cut, ()) = tokio::join!(hanging, revoking);
    cut.expect_err("its connection is gone");
    thief.ask("Echo", "x").await.expect_err("it does not come back");
    assert!(neighbour.ask("Echo", "x").await.is_ok());
}
