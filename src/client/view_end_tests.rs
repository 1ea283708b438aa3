//! Promise: the end of a command keeps the view for the next start, and waits neither for what nobody needs
//! nor for who says nothing.

use std::{convert::Infallible, future::ready, sync::Arc};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{io::DuplexStream, net::TcpListener};
use tonic::{server::Grpc, transport::Endpoint};
use tonic_prost::ProstCodec;

use super::{
    tests::{HOUR, Tells, World, view},
    *,
};
use crate::client::{calls::CallOptions, issuer_double::receipt_key};

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

#[tokio::test(start_paused = true)]
#[expect(clippy::disallowed_methods, reason = "what is served here ends with the test")]
async fn a_silent_relay_holds_nobody_up_where_another_says_that_there_is_no_view() {
    // In memory, so that the clock stands still until nothing happens any more.
    let channel = |serve: fn(DuplexStream)| {
        let connect = move |_| {
            let (ours, theirs) = tokio::io::duplex(1 << 16);
            serve(theirs);
            ready(Ok::<_, Infallible>(TokioIo::new(ours)))
        };
        Endpoint::from_static("http://r").connect_with_connector_lazy(tower::service_fn(connect))
    };
    let silent = channel(|socket| {
        tokio::spawn(async move {
            std::future::pending::<()>().await;
            drop(socket);
        });
    });
    let has_none = channel(|socket| {
        let service = tower::service_fn(|request| async {
            let mut grpc = Grpc::new(ProstCodec::default());
            Ok::<_, Infallible>(grpc.unary(Tells::default(), request).await)
        });
        tokio::spawn(async move {
            let http2 = Builder::new(TokioExecutor::new()).http2_only();
            let _ = http2.serve_connection(TokioIo::new(socket), TowerToHyperService::new(service)).await;
        });
    });
    let world = World::new();
    for (others, waits) in [(vec![("r-2", has_none)], false), (vec![], true)] {
        let relays = [vec![("r-1", silent.clone())], others].concat();
        let names: Vec<String> = relays.iter().map(|(name, _)| (*name).to_owned()).collect();
        let channels = relays.into_iter().map(|(name, channel)| (name.to_owned(), channel)).collect();
        let caller = Caller::new(channels, CallOptions::default(), 5);
        let (key, tell): (_, Tell) = (receipt_key(), Arc::new(|_| ()));
        let follower =
            Follower::begin(caller.clone(), names, key, world.file(), Box::new(|_| None), (tell, 5));
        drop(caller.picker().pick(&[], Instant::now()));
        let begun = Instant::now();
        assert!(Following::start(follower).end(HOUR).await);
        assert_eq!(begun.elapsed() >= ANSWER_MAX, waits, "{:?}", begun.elapsed());
    }
}
