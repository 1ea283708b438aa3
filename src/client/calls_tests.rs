//! Promise: a call is answered as long as one relay is well, whatever the others say or leave unsaid; a
//! refusal is believed when two of them say it, or when nobody else can be asked in time.

use std::future::pending;

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, task::JoinSet};
use tonic::transport::Endpoint;

use super::*;
use crate::{
    client::issuer_double::Issuer,
    wire::{fault::Reason, pb},
};

/// What a relay does with every call.
#[derive(Clone, Copy)]
enum Manner {
    PassesOn,
    Refuses,
    Fails,
    Hangs,
}

async fn relay(manner: Manner, tasks: &mut JoinSet<()>) -> Channel {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a port");
    let address = listener.local_addr().expect("bound");
    let answers = move |request: Request<()>| match manner {
        Manner::Refuses => Err(Fault::new(Reason::WrongRole, "not yours").into()),
        Manner::Fails => Err(Status::unavailable("about to stop")),
        Manner::PassesOn | Manner::Hangs => Ok(request),
    };
    let service = pb::batch_service_server::BatchServiceServer::with_interceptor(Issuer::default(), answers);
    let service = TowerToHyperService::new(service);
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((socket, _)) = listener.accept().await {
            let service = service.clone();
            connections.spawn(async move {
                if matches!(manner, Manner::Hangs) {
                    let _held = socket;
                    return pending().await;
                }
                let http2 = Builder::new(TokioExecutor::new()).http2_only();
                let _ = http2.serve_connection(TokioIo::new(socket), service).await;
            });
        }
    });
    Endpoint::from_shared(format!("http://{address}")).expect("an address").connect_lazy()
}

async fn relays(manners: &[Manner], tasks: &mut JoinSet<()>) -> Vec<(String, Channel)> {
    let mut channels = Vec::new();
    for (at, manner) in manners.iter().enumerate() {
        channels.push((format!("relay-{at}"), relay(*manner, tasks).await));
    }
    channels
}

fn options(deadline_ms: u64) -> CallOptions {
    CallOptions {
        deadline: Duration::from_millis(deadline_ms),
        delay_base: Duration::from_millis(1),
        ..CallOptions::default()
    }
}

async fn ask(caller: &Caller, weight: Weight) -> Result<usize, CallError> {
    let send = |attempt: Attempt| {
        let request = attempt.request(pb::ListBatchesRequest::default());
        async move { attempt.batches().list_batches(request).await }
    };
    caller.call_over("ListBatches", weight, send).await.map(|(_, relay)| relay)
}

#[tokio::test]
async fn a_relay_that_refuses_is_not_believed_twice_because_another_fails() {
    let mut tasks = JoinSet::new();
    let channels = relays(&[Manner::Refuses, Manner::Fails, Manner::PassesOn], &mut tasks).await;
    for seed in 0..64 {
        let caller = Caller::new(channels.clone(), options(20_000), seed);
        let relay = ask(&caller, Weight::Light).await;
        assert_eq!(relay.ok(), Some(2), "seed {seed}");
    }
}

#[tokio::test]
async fn a_refusal_by_two_relays_is_believed_at_once() {
    let mut tasks = JoinSet::new();
    let channels = relays(&[Manner::Refuses, Manner::Refuses], &mut tasks).await;
    let caller = Caller::new(channels, options(20_000), 7);
    let error = ask(&caller, Weight::Light).await.expect_err("both refuse");
    assert!(error.is(Reason::WrongRole) && !error.transient && error.attempts == 2, "{error}");
}

#[tokio::test]
async fn a_refusal_that_nobody_else_confirms_in_time_is_what_the_call_ends_with() {
    for other in [Manner::Fails, Manner::Hangs] {
        let mut tasks = JoinSet::new();
        let channels = relays(&[Manner::Refuses, other], &mut tasks).await;
        let mut heard = 0;
        for seed in 0..8 {
            let caller = Caller::new(channels.clone(), options(100), seed);
            let error = ask(&caller, Weight::Light).await.expect_err("nobody serves it");
            // The first attempt over one that hangs takes the whole time, and then nobody has refused.
            if error.attempts > 1 {
                heard += 1;
                assert!(error.is(Reason::WrongRole) && !error.transient, "seed {seed}: {error}");
            }
        }
        assert!(heard > 0);
    }
}

#[tokio::test]
async fn nobody_waits_long_for_a_second_relay_to_hear_a_refusal() {
    let mut tasks = JoinSet::new();
    let channels = relays(&[Manner::Refuses, Manner::Fails], &mut tasks).await;
    let options = CallOptions { opinion_max: Duration::from_millis(100), ..options(60_000) };
    let begun = Instant::now();
    let error = ask(&Caller::new(channels, options, 7), Weight::Light).await.expect_err("one refuses");
    assert!(error.is(Reason::WrongRole) && error.attempts > 1, "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_heavy_call_goes_over_a_second_relay_when_the_first_hangs() {
    let mut tasks = JoinSet::new();
    let channels = relays(&[Manner::Hangs, Manner::PassesOn], &mut tasks).await;
    let mut asked = JoinSet::new();
    for seed in 0..8 {
        let caller = Caller::new(channels.clone(), options(2_000), seed);
        asked.spawn(async move { (seed, ask(&caller, Weight::Heavy).await) });
    }
    for (seed, relay) in asked.join_all().await {
        assert_eq!(relay.ok(), Some(1), "seed {seed}");
    }
}
