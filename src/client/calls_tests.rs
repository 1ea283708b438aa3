//! Promise: a call is answered as long as one relay is well, whatever the others say or leave unsaid, and
//! soon also while one hangs; a refusal is believed when two of them say it, or when nobody else can be asked
//! in time.

use std::{
    future::pending,
    sync::atomic::{AtomicUsize, Ordering},
};

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
    FailsUntil(Instant),
    /// Has no issuer behind it, and asks to be left alone for 5 s.
    IsCutOff,
    /// Serves under a lease that is void.
    IsStale,
    Hangs,
    /// Says nothing for this long on a new connection, and then passes on.
    Slow(Duration),
}

async fn relay(manner: Manner, tasks: &mut JoinSet<()>) -> Channel {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a port");
    let address = listener.local_addr().expect("bound");
    let answers = move |request: Request<()>| match manner {
        Manner::Refuses => Err(Fault::new(Reason::WrongRole, "not yours").into()),
        Manner::Fails => Err(Status::unavailable("about to stop")),
        Manner::FailsUntil(end) if Instant::now() < end => Err(Status::unavailable("not now")),
        Manner::IsCutOff => {
            Err(Fault::new(Reason::UpstreamUnavailable, "no issuer").after(Duration::from_secs(5)).into())
        }
        Manner::IsStale => Err(Fault::new(Reason::GenerationStale, "let in again since").into()),
        Manner::PassesOn | Manner::Hangs | Manner::Slow(_) | Manner::FailsUntil(_) => Ok(request),
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
                if let Manner::Slow(span) = manner {
                    let _ = timeout(span, pending::<()>()).await;
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

/// Makes a call and counts how often it is sent.
async fn counted(caller: &Caller, weight: Weight, sent: &AtomicUsize) -> Result<usize, CallError> {
    let send = |attempt: Attempt| {
        sent.fetch_add(1, Ordering::Relaxed);
        let request = attempt.request(pb::ListBatchesRequest::default());
        async move { attempt.batches().list_batches(request).await }
    };
    caller.call_over("ListBatches", weight, send).await.map(|(_, relay)| relay)
}

#[tokio::test]
async fn an_attempt_that_is_slow_is_not_given_up_for_one_beside_it_and_the_first_answer_counts() {
    let slow = Duration::from_millis(900);
    for (other, expected) in [(Manner::Hangs, 0), (Manner::PassesOn, 1)] {
        let (mut tasks, mut beside) = (JoinSet::new(), 0);
        for seed in 0..6 {
            let channels = relays(&[Manner::Slow(slow), other], &mut tasks).await;
            let options = CallOptions { attempt_unknown: slow * 2 / 3, ..options(20_000) };
            let (caller, sent) = (Caller::new(channels, options, seed), AtomicUsize::new(0));
            let relay = counted(&caller, Weight::Light, &sent).await;
            assert_eq!(relay.ok(), Some(expected), "seed {seed}");
            let sent = sent.into_inner();
            assert!(sent <= 2, "seed {seed}: sent {sent} times");
            beside += sent - 1;
        }
        assert!(beside > 0, "none of them was sent beside another");
    }
}

#[tokio::test]
async fn of_two_hundred_calls_beside_a_relay_that_hangs_none_fails_and_few_are_slow_or_sent_twice() {
    let mut tasks = JoinSet::new();
    let channels = relays(&[Manner::Hangs, Manner::PassesOn, Manner::PassesOn], &mut tasks).await;
    let caller = Caller::new(channels, options(20_000), 7);
    let (sent, begun) = (AtomicUsize::new(0), Instant::now());
    let mut slow = 0;
    for call in 0..200 {
        let began = Instant::now();
        let answer = counted(&caller, Weight::Light, &sent).await;
        assert!(answer.is_ok(), "call {call}: {:?}", answer.err());
        slow += u32::from(began.elapsed() > Duration::from_secs(3));
    }
    let (twice, seconds) = (sent.into_inner() - 200, begun.elapsed().as_secs());
    // It is tried again once its penalty is forgotten, after half a minute.
    let most = 3 + usize::try_from(seconds / 10).expect("a test is short");
    assert!((1..=most).contains(&twice), "{twice} were sent twice, and may be {most}");
    assert!(slow <= 2, "{slow} took longer than it takes to be sent beside, and an answer");
}

#[tokio::test]
async fn what_is_sent_beside_costs_of_the_budget_and_a_heavy_call_is_never_sent_so() {
    let mut tasks = JoinSet::new();
    let channels = relays(&[Manner::Hangs; 2], &mut tasks).await;
    let options = CallOptions { attempt_unknown: Duration::from_millis(20), ..options(600_000) };
    let caller = Caller::new(channels, options, 7);
    for (weight, calls) in [(Weight::Heavy, 20), (Weight::Light, 100)] {
        let (sent, begun) = (Arc::new(AtomicUsize::new(0)), Instant::now());
        let mut calling = JoinSet::new();
        for _ in 0..calls {
            let (caller, sent) = (caller.clone(), Arc::clone(&sent));
            calling.spawn(async move {
                let call = counted(&caller, weight, &sent);
                let ended = timeout(Duration::from_millis(400), call).await;
                assert!(!matches!(ended, Ok(Ok(_))), "nobody answers");
            });
        }
        calling.join_all().await;
        let again = sent.load(Ordering::Relaxed) - calls;
        // Ten at first, a tenth of one for each call, and one a second.
        let most = 10 + calls / 10 + usize::try_from(begun.elapsed().as_secs()).expect("a test is short") + 1;
        let is_right = if weight == Weight::Heavy { again == 0 } else { (10..=most).contains(&again) };
        assert!(is_right, "{weight:?}: {again} of {calls} were sent again, and may be {most}");
    }
}

#[tokio::test]
async fn calls_that_meet_an_outage_of_all_relays_wait_for_its_end_and_do_not_hammer() {
    let mut tasks = JoinSet::new();
    let begun = Instant::now();
    let outage = Duration::from_secs(4);
    let channels = relays(&[Manner::FailsUntil(begun + outage); 2], &mut tasks).await;
    let options = CallOptions { delay_max: Duration::from_millis(500), ..options(60_000) };
    let (caller, sent) = (Caller::new(channels, options, 7), Arc::new(AtomicUsize::new(0)));
    let mut calling = JoinSet::new();
    for _ in 0..100 {
        let (caller, sent) = (caller.clone(), Arc::clone(&sent));
        calling.spawn(async move { counted(&caller, Weight::Light, &sent).await });
    }
    let early = timeout(outage.saturating_sub(begun.elapsed()), calling.join_next()).await;
    assert!(early.is_err(), "one ended while nobody served: {early:?}");
    let during = sent.load(Ordering::Relaxed);
    // A call each; ten of the budget, a tenth of one for each call, and one a second.
    let most = 100 + 10 + 10 + usize::try_from(begun.elapsed().as_secs()).expect("a test is short") + 1;
    assert!((100..=most).contains(&during), "{during} were sent, and may be {most}");
    for answer in calling.join_all().await {
        answer.expect("it had patience for longer");
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "one went a second: {:?}", begun.elapsed());
}

#[tokio::test]
async fn what_one_relay_asks_for_keeps_no_call_from_another() {
    let mut tasks = JoinSet::new();
    let channels = relays(&[Manner::IsCutOff, Manner::PassesOn], &mut tasks).await;
    let mut twice = 0;
    for seed in 0..8 {
        let (caller, sent) = (Caller::new(channels.clone(), options(60_000), seed), AtomicUsize::new(0));
        let begun = Instant::now();
        assert_eq!(counted(&caller, Weight::Light, &sent).await.ok(), Some(1), "seed {seed}");
        assert!(begun.elapsed() < Duration::from_secs(4), "seed {seed}: {:?}", begun.elapsed());
        twice += sent.into_inner() - 1;
    }
    assert!(twice > 0, "the other was never asked first");
    let alone = relays(&[Manner::IsCutOff], &mut tasks).await;
    let error = ask(&Caller::new(alone, options(1_000), 7), Weight::Light).await.expect_err("it is cut off");
    assert!(error.attempts == 1 && error.transient, "the only one is left alone: {error}");
}

#[tokio::test]
async fn a_relay_under_a_void_lease_is_left_for_another_and_alone_is_a_reason_to_come_later() {
    let mut tasks = JoinSet::new();
    let channels = relays(&[Manner::IsStale, Manner::PassesOn], &mut tasks).await;
    for seed in 0..8 {
        let caller = Caller::new(channels.clone(), options(20_000), seed);
        assert_eq!(ask(&caller, Weight::Light).await.ok(), Some(1), "seed {seed}");
    }
    let alone = relays(&[Manner::IsStale], &mut tasks).await;
    let error = ask(&Caller::new(alone, options(300), 7), Weight::Light).await.expect_err("it is void");
    assert!(error.is(Reason::GenerationStale) && error.transient && error.attempts > 1, "{error}");
    assert!(error.to_string().contains("else start it anew"), "{error}");
}
