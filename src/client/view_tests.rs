//! Promise: a client goes by the last view that the issuer signed, wherever it comes from, and is never left
//! without a relay by one that is old, forged, damaged or empty.

use std::{
    convert::Infallible,
    fs,
    future::{Future, Ready, ready},
    sync::{Arc, Mutex},
};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, task::JoinSet};
use tonic::{
    Response,
    server::{Grpc, UnaryService},
    transport::Endpoint,
};
use tonic_prost::ProstCodec;

use super::*;
use crate::{
    client::{
        calls::CallOptions,
        issuer_double::{receipt_key, signed_text},
        picker::locked,
    },
    wire::pb::GetViewResponse,
};

/// A relay that knows nothing but a view; without one it says that there is none.
#[derive(Clone, Default)]
pub(super) struct Tells(Arc<Mutex<Option<Vec<u8>>>>);

impl UnaryService<GetViewRequest> for Tells {
    type Response = GetViewResponse;
    type Future = Ready<Result<Response<GetViewResponse>, Status>>;

    fn call(&mut self, _: Request<GetViewRequest>) -> Self::Future {
        let view = locked(&self.0).clone().ok_or_else(|| Fault::new(Reason::ViewNotReady, "none yet"));
        ready(view.map_err(Status::from).map(|view| Response::new(GetViewResponse { view })))
    }
}

pub(super) struct World {
    folder: tempfile::TempDir,
    tasks: JoinSet<()>,
    said: Arc<Mutex<Vec<String>>>,
}

impl World {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder, tasks: JoinSet::new(), said: Arc::default() }
    }

    /// Starts a relay; returns where it is, and what it tells.
    pub(super) async fn relay(&mut self) -> (String, Tells) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a port");
        let address = listener.local_addr().expect("bound").to_string();
        let tells = Tells(Arc::default());
        let told = tells.clone();
        self.tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let told = told.clone();
                let service = tower::service_fn(move |request| {
                    let told = told.clone();
                    let mut grpc = Grpc::new(ProstCodec::default());
                    async move { Ok::<_, Infallible>(grpc.unary(told, request).await) }
                });
                connections.spawn(async move {
                    let http2 = Builder::new(TokioExecutor::new()).http2_only();
                    let service = TowerToHyperService::new(service);
                    let _ = http2.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        (address, tells)
    }

    /// A client that was given these relays.
    pub(super) fn client(&self, given: &[(&str, &str)]) -> (Caller, Follower) {
        let channel = |address: &str| {
            Endpoint::from_shared(format!("http://{address}")).expect("an address").connect_lazy()
        };
        let channels = given.iter().map(|(name, address)| ((*name).to_owned(), channel(address)));
        let caller = Caller::new(channels.collect(), CallOptions::default(), 5);
        let names = given.iter().map(|(name, _)| (*name).to_owned());
        let said = Arc::clone(&self.said);
        let tell: Tell = Arc::new(move |event| {
            if let Event::ViewIgnored { why } = event {
                locked(&said).push(why.clone());
            }
        });
        let connect = Box::new(move |address: &str| Some(channel(address)));
        let follower = Follower::begin(caller.clone(), names, receipt_key(), self.file(), connect, (tell, 5));
        (caller, follower)
    }

    pub(super) fn file(&self) -> PathBuf {
        self.folder.path().join("endpoints.json.todoke-view")
    }

    fn said(&self) -> Vec<String> {
        locked(&self.said).clone()
    }
}

pub(super) fn view(version: u64, members: &[(&str, &str, u8)]) -> View {
    let member = |(unit, address, share_percent): &(&str, &str, u8)| Member {
        unit: unit.parse().expect("a name"),
        address: (*address).to_owned(),
        share_percent: *share_percent,
        generation: 1,
    };
    View { version, epoch: 1, made_ms: 0, members: members.iter().map(member).collect() }
}

impl Tells {
    pub(super) fn tell(&self, view: &View) {
        *locked(&self.0) = Some(signed_text(&view.text()));
    }
}

/// The names of all relays over which calls go now.
fn used(caller: &Caller) -> BTreeSet<String> {
    (0..300).map(|_| caller.picker().pick(&[], Instant::now()).name().to_owned()).collect()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Waits until calls go over these relays only.
async fn until_used<F: Future<Output = ()>>(caller: &Caller, expected: &[&str], run: F) {
    let until = Instant::now() + Duration::from_secs(60);
    let seen = async {
        while used(caller) != names(expected) {
            assert!(Instant::now() < until, "used are {:?}", used(caller));
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = seen => (),
        () = run => panic!("it follows until it is dropped"),
    }
}

#[tokio::test]
async fn a_relay_that_is_drained_gets_nothing_and_a_new_one_is_used_once_it_has_answered() {
    let mut world = World::new();
    let [(a, tells), (b, _), (c, third)] = [world.relay().await, world.relay().await, world.relay().await];
    let (caller, mut follower) = world.client(&[("r-1", &a), ("r-2", &b), ("before-all", &b)]);
    tells.tell(&view(7, &[("r-1", "10.0.0.1:1", 100), ("r-2", "10.0.0.2:1", 0), ("r-3", &c, 100)]));
    assert!(follower.ask(false).await);
    assert_eq!(used(&caller), names(&["r-1", "before-all"]), "r-3 has not answered");
    third.tell(&view(6, &[("r-1", "10.0.0.1:1", 100)]));
    follower.turn = 2;
    assert!(follower.ask(true).await, "r-1 is asked, whose turn it is, and r-3, which is not known");
    assert_eq!(used(&caller), names(&["r-1", "r-3", "before-all"]));
    assert_eq!(world.said().len(), 1, "what r-3 told is old: {:?}", world.said());
    // No view names "before-all", which may be a door to all of them; r-2 was named and is no more.
    tells.tell(&view(8, &[("r-1", "10.0.0.1:1", 0), ("r-3", &c, 100)]));
    assert!(follower.ask(false).await);
    assert_eq!(used(&caller), names(&["r-3", "before-all"]));
    caller.picker().distrust(2);
    let picked = caller.picker().pick(&[], Instant::now());
    assert_eq!(picked.name(), "r-3");
    (0..2).for_each(|_| picked.failed(Instant::now()));
    assert_eq!(used(&caller), names(&["r-1"]), "r-2 is gone, whatever fails");
}

#[tokio::test]
async fn a_relay_of_the_view_at_another_address_is_another_one() {
    let mut world = World::new();
    let [(a, tells), (c, third), (d, fourth)] =
        [world.relay().await, world.relay().await, world.relay().await];
    let (caller, mut follower) = world.client(&[("r-1", &a)]);
    for (version, address, told) in [(1, &c, &third), (2, &d, &fourth)] {
        let now = view(version, &[("r-1", "10.0.0.1:1", 0), ("r-3", address, 100)]);
        tells.tell(&now);
        told.tell(&now);
        assert!(follower.ask(false).await && follower.ask(false).await);
        assert_eq!(used(&caller), names(&["r-3"]));
        let index = caller.picker().pick(&[], Instant::now()).index();
        assert_eq!(u64::try_from(index), Ok(version), "calls go over the channel to where it is now");
    }
    let nowhere = view(3, &[("r-1", "10.0.0.1:1", 0), ("r-3", &d, 100), ("r-4", "0.0.0.0:4", 100)]);
    tells.tell(&nowhere);
    assert!(follower.ask(false).await);
    assert_eq!(caller.picker().all_count(), 3, "nobody is reached at 0.0.0.0");
}

#[tokio::test]
async fn what_is_older_forged_or_empty_is_said_and_not_gone_by() {
    let mut world = World::new();
    let [(a, first), (b, second)] = [world.relay().await, world.relay().await];
    let (caller, mut follower) = world.client(&[("r-1", &a), ("r-2", &b)]);
    let good = view(7, &[("r-1", &a, 100), ("r-2", &b, 0)]);
    first.tell(&good);
    second.tell(&view(6, &[("r-1", &a, 0), ("r-2", &b, 100)]));
    assert!(follower.ask(false).await);
    assert_eq!(used(&caller), names(&["r-1"]), "the newer wins, in whatever order they come");
    let forged = String::from_utf8(signed_text(&good.text())).expect("a text").replace("on 7", "on 9");
    *locked(&second.0) = Some(forged.into_bytes());
    first.tell(&view(10, &[("r-1", &a, 0), ("r-2", &b, 0)]));
    assert!(!follower.ask(false).await);
    first.tell(&view(11, &[]));
    assert!(!follower.ask(false).await);
    assert_eq!(used(&caller), names(&["r-1"]));
    let said = world.said().join("\n");
    for words in ["r-2 is older", "r-2: the signature does not fit", "r-1 names nobody to use"] {
        let is_raced = words.contains("older") && !said.contains(words);
        assert!(said.contains(words) || is_raced, "{words} is not in: {said}");
    }
    second.tell(&view(6, &[("r-1", &a, 0), ("r-2", &b, 100)]));
    first.tell(&good);
    assert!(follower.ask(false).await);
    assert!(world.said().join("\n").contains("is older than the one that is known"), "{:?}", world.said());
    assert_eq!(follower.known.map(|view| view.version), Some(7));
}

#[tokio::test]
async fn the_view_that_was_kept_is_used_when_no_relay_that_was_given_answers() {
    let mut world = World::new();
    let [(a, first), (c, third)] = [world.relay().await, world.relay().await];
    let now = view(7, &[("r-1", &a, 100), ("r-2", "10.0.0.2:1", 0), ("r-3", &c, 100)]);
    first.tell(&now);
    let (_, mut follower) = world.client(&[("r-1", &a)]);
    assert!(follower.ask(false).await);
    *locked(&first.0) = None;
    third.tell(&now);
    // The next start: nobody who is given answers, and one of them the view never named.
    let (caller, follower) = world.client(&[("r-1", &a), ("r-2", &a), ("r-9", &a)]);
    assert_eq!(used(&caller), names(&["r-1", "r-9"]), "what is kept takes away only who is not to be used");
    until_used(&caller, &["r-1", "r-3", "r-9"], follower.run()).await;
}

#[tokio::test]
async fn a_file_that_is_damaged_or_too_large_or_names_nobody_is_said_and_replaced_by_the_next_view() {
    let mut world = World::new();
    let (a, first) = world.relay().await;
    let now = view(7, &[("r-1", &a, 100)]);
    let whole = signed_text(&now.text());
    first.tell(&now);
    let empty = signed_text(&view(9, &[("r-1", &a, 0)]).text());
    let damaged: [&[u8]; 5] =
        [b"", &whole[..whole.len() / 2], &[0xFF; 100], &vec![b'x'; NOTE_BYTES_MAX + 1], &empty];
    for (at, bytes) in damaged.into_iter().enumerate() {
        fs::write(world.file(), bytes).expect("writable");
        let (caller, mut follower) = world.client(&[("r-1", &a)]);
        assert_eq!(world.said().len(), at + 1, "{:?}", world.said());
        assert!(follower.ask(false).await);
        assert_eq!(used(&caller), names(&["r-1"]));
        let kept = kept_view::read(&world.file(), &receipt_key());
        assert_eq!(kept.ok().flatten().map(|view| view.version), Some(7));
    }
}

#[tokio::test]
async fn an_older_view_never_takes_the_place_of_a_later_one_on_the_disk() {
    let world = World::new();
    let keep = |version| {
        let view = view(version, &[("r-1", "10.0.0.1:1", 100)]);
        kept_view::keep(&world.file(), &receipt_key(), &signed_text(&view.text()), &view).expect("writable");
        let kept = kept_view::read(&world.file(), &receipt_key()).expect("it is whole");
        kept.expect("it is there").version
    };
    assert_eq!([5, 4, 6, 6, 1].map(keep), [5, 5, 6, 6, 6]);
    let left: Vec<_> = fs::read_dir(world.folder.path()).expect("it is there").collect();
    assert_eq!(left.len(), 2, "nothing else is left beside its lock: {left:?}");
}

#[test]
fn of_two_who_keep_a_view_at_the_same_time_the_later_view_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("endpoints.json.todoke-view");
    let views = [1, 2].map(|version| view(version, &[("r-1", "10.0.0.1:1", 100)]));
    for round in 0..300 {
        let start = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            for view in &views {
                scope.spawn(|| {
                    let note = signed_text(&view.text());
                    start.wait();
                    kept_view::keep(&file, &receipt_key(), &note, view).expect("writable");
                });
            }
        });
        let kept = kept_view::read(&file, &receipt_key()).expect("it is whole").expect("it is there");
        assert_eq!(kept.version, 2, "in round {round}");
        fs::remove_file(&file).expect("it is there");
    }
}

#[test]
fn who_is_kept_waiting_for_the_lock_gives_up_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("endpoints.json.todoke-view");
    let lock = fs::File::create(folder.path().join("endpoints.json.todoke-view.lock")).expect("writable");
    lock.lock().expect("nobody else has it");
    let view = view(1, &[("r-1", "10.0.0.1:1", 100)]);
    let keep = || kept_view::keep(&file, &receipt_key(), &signed_text(&view.text()), &view);
    let error = keep().expect_err("another process keeps one").to_string();
    assert!(error.contains("another process holds") && !file.exists(), "{error}");
    drop(lock);
    keep().expect("the lock is free");
}

#[tokio::test(start_paused = true)]
async fn all_relays_are_asked_less_and_less_often_while_none_answers() {
    let world = World::new();
    let asked = Arc::new(Mutex::new(Vec::new()));
    // Nothing is sent here: what is seen is when a channel is asked for a connection.
    let channel = |name: &'static str| {
        let asked = Arc::clone(&asked);
        let begun = Instant::now();
        Endpoint::from_static("http://r").connect_with_connector_lazy(tower::service_fn(move |_| {
            locked(&asked).push((name, begun.elapsed()));
            ready(Err::<TokioIo<tokio::net::TcpStream>, _>(std::io::Error::other("nobody")))
        }))
    };
    let channels = ["r-1", "r-2"].map(|name| (name.to_owned(), channel(name)));
    let caller = Caller::new(channels.into(), CallOptions::default(), 5);
    let names = ["r-1", "r-2"].map(str::to_owned);
    let tell: Tell = Arc::new(|_| ());
    let follower =
        Follower::begin(caller.clone(), names, receipt_key(), world.file(), Box::new(|_| None), (tell, 5));
    let _ = timeout(Duration::from_secs(60), follower.run()).await;
    let times: Vec<u64> =
        locked(&asked).iter().filter(|(name, _)| *name == "r-1").map(|(_, at)| at.as_secs()).collect();
    assert_eq!(times[..5], [0, 1, 3, 7, 15], "less and less often: {times:?}");
    assert_eq!(locked(&asked).len(), times.len() * 2, "all of them while none answers");
}

#[tokio::test]
async fn a_call_that_failed_has_the_view_asked_for_long_before_it_is_due() {
    let mut world = World::new();
    let [(a, first), (b, second)] = [world.relay().await, world.relay().await];
    let (caller, mut follower) = world.client(&[("r-1", &a), ("r-2", &b)]);
    let both = view(7, &[("r-1", &a, 100), ("r-2", &b, 100)]);
    first.tell(&both);
    assert!(follower.ask(false).await);
    let tell_both = |view: &View| [&first, &second].iter().for_each(|tells| tells.tell(view));
    tell_both(&view(8, &[("r-1", &a, 100), ("r-2", &b, 0)]));
    let run = follower.run();
    tokio::pin!(run);
    until_used(&caller, &["r-1"], run.as_mut()).await; // as it is asked at the start
    tell_both(&View { version: 9, ..both });
    let begun = Instant::now();
    // So long ago that the picker itself has forgotten it.
    caller.picker().pick(&[], begun).failed(begun - HOUR);
    until_used(&caller, &["r-1", "r-2"], run.as_mut()).await;
    assert!(begun.elapsed() < EVERY * 8 / 10, "{:?}: nobody asked", begun.elapsed());
}

pub(super) const HOUR: Duration = Duration::from_secs(3600);
