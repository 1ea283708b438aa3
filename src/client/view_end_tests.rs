//! Promise: the end of a command keeps the view for the next start, and waits neither for what nobody needs
//! nor for who says nothing.

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    sync::Arc,
};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{io::DuplexStream, net::TcpListener};
use tonic::{
    Response,
    server::{Grpc, UnaryService},
    transport::Endpoint,
};
use tonic_prost::ProstCodec;

use super::{
    tests::{HOUR, Tells, World, view},
    *,
};
use crate::{
    client::{calls::CallOptions, issuer_double::receipt_key},
    wire::pb::GetViewResponse,
};

#[tokio::test]
async fn who_ends_right_after_the_first_call_has_the_view_kept_if_anybody_has_one_to_give() {
    let mut world = World::new();
    let (a, first) = world.relay().await;
    let (caller, follower) = world.client(&[("r-1", &a)]);
    drop(caller.picker().pick(&[], Instant::now()));
    assert!(Following::start(follower).end(HOUR).await, "who says that there is none holds nobody up");
    assert!(!world.file().exists());
    first.tell(&view(7, &[("r-1", &a, 100)]));
    let (caller, follower) = world.client(&[("r-1", &a)]);
    let following = Following::start(follower);
    drop(caller.picker().pick(&[], Instant::now()));
    assert!(following.end(HOUR).await);
    let kept = kept_view::read(&world.file(), &receipt_key()).expect("it is whole");
    assert_eq!(kept.map(|view| view.version), Some(7));
    // Nobody says anything: it is waited for no longer than that.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a port");
    let address = silent.local_addr().expect("bound").to_string();
    let (caller, follower) = world.client(&[("r-1", &address)]);
    drop(caller.picker().pick(&[], Instant::now()));
    assert!(!Following::start(follower).end(Duration::from_millis(10)).await);
}

#[tokio::test]
async fn who_sends_nothing_asks_nobody_and_waits_for_nothing() {
    let (mut idle, mut busy) = (World::new(), World::new());
    let (a, first) = idle.relay().await;
    first.tell(&view(7, &[("r-1", &a, 100)]));
    let (_caller, follower) = idle.client(&[("r-1", &a)]);
    let following = Following::start(follower);
    // Meanwhile others ask and keep what they hear, one after the other.
    let (b, second) = busy.relay().await;
    for version in 1..=5 {
        second.tell(&view(version, &[("r-1", &b, 100)]));
        let (caller, follower) = busy.client(&[("r-1", &b)]);
        drop(caller.picker().pick(&[], Instant::now()));
        assert!(Following::start(follower).end(HOUR).await && busy.file().exists());
    }
    assert!(following.end(Duration::ZERO).await, "nothing was sent");
    assert!(!idle.file().exists(), "nobody was asked");
}

/// A relay that refuses whatever is asked.
#[derive(Clone, Copy)]
struct Refuses(Reason);

impl UnaryService<GetViewRequest> for Refuses {
    type Response = GetViewResponse;
    type Future = Ready<Result<Response<GetViewResponse>, Status>>;

    fn call(&mut self, _: Request<GetViewRequest>) -> Self::Future {
        ready(Err(Fault::new(self.0, "as it always says").into()))
    }
}

/// A channel to a relay in memory, so that the clock stands still until nothing happens any more.
fn channel<F: Future<Output = ()> + Send + 'static>(serve: fn(DuplexStream) -> F) -> Channel {
    let connect = move |_| {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        #[expect(clippy::disallowed_methods, reason = "what is served here ends with the test")]
        tokio::spawn(serve(theirs));
        ready(Ok::<_, Infallible>(TokioIo::new(ours)))
    };
    Endpoint::from_static("http://r").connect_with_connector_lazy(tower::service_fn(connect))
}

/// Answers every call with this, some time later.
async fn answer<S>(socket: DuplexStream, relay: S, later: Duration)
where
    S: UnaryService<GetViewRequest, Response = GetViewResponse, Future: Send> + Clone + Send + 'static,
{
    let service = tower::service_fn(move |request| {
        let relay = relay.clone();
        async move {
            let _ = timeout(later, std::future::pending::<()>()).await;
            Ok::<_, Infallible>(Grpc::new(ProstCodec::default()).unary(relay, request).await)
        }
    });
    let http2 = Builder::new(TokioExecutor::new()).http2_only();
    let _ = http2.serve_connection(TokioIo::new(socket), TowerToHyperService::new(service)).await;
}

/// A client of these relays that has called, and what it follows the view with.
fn called(world: &World, relays: Vec<(&str, Channel)>) -> Following {
    let names: Vec<String> = relays.iter().map(|(name, _)| (*name).to_owned()).collect();
    let channels = relays.into_iter().map(|(name, channel)| (name.to_owned(), channel)).collect();
    let caller = Caller::new(channels, CallOptions::default(), 5);
    let (key, tell): (_, Tell) = (receipt_key(), Arc::new(|_| ()));
    let follower = Follower::begin(caller.clone(), names, key, world.file(), Box::new(|_| None), (tell, 5));
    drop(caller.picker().pick(&[], Instant::now()));
    Following::start(follower)
}

fn silent() -> Channel {
    channel(|socket| async {
        std::future::pending::<()>().await;
        drop(socket);
    })
}

#[tokio::test(start_paused = true)]
async fn a_silent_relay_holds_nobody_up_where_another_says_that_there_is_no_view() {
    let has_none = channel(|socket| answer(socket, Tells::default(), Duration::ZERO));
    let world = World::new();
    for (others, waits) in [(vec![("r-2", has_none)], false), (vec![], true)] {
        let following = called(&world, [vec![("r-1", silent())], others].concat());
        let begun = Instant::now();
        assert!(following.end(HOUR).await);
        assert_eq!(begun.elapsed() >= ANSWER_MAX, waits, "{:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_is_drained_does_not_end_the_wait_for_the_view_that_another_gives() {
    let world = World::new();
    let drained = channel(|socket| answer(socket, Refuses(Reason::RelayFenced), Duration::ZERO));
    let well = channel(|socket| {
        let relay = Tells::default();
        relay.tell(&view(7, &[("r-1", "127.0.0.1:1", 100), ("r-2", "127.0.0.1:2", 100)]));
        answer(socket, relay, Duration::from_secs(1))
    });
    assert!(called(&world, vec![("r-1", drained), ("r-2", well)]).end(HOUR).await);
    let kept = kept_view::read(&world.file(), &receipt_key()).expect("it is whole");
    assert_eq!(kept.map(|view| view.version), Some(7));
}
