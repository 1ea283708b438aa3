//! Promise: no place is lost, none is taken out of turn, and nobody waits who could have one.

use super::*;

const WARD: &str = "municipality/131229";
const CITY: &str = "municipality/011002";
const LIST: &str = "CardService/ListCards";
const ACTIVATE: &str = "CardService/BeginActivation";
const WAIT: Duration = Duration::from_secs(2);

fn options() -> Options {
    Options { places_max: 40, caller_places_max: 3, caller_import_places_max: 5, wait: WAIT, waiting_max: 0 }
}

/// A call that comes over a relay.
fn call(caller: &str, method: &str) -> http::Request<()> {
    let request = http::Request::post(format!("/todoke.v1.{method}")).header(headers::CALLER, caller);
    let mut request = request.body(()).expect("it is whole");
    let relay = "relay/relay-1".parse().expect("legal");
    request.extensions_mut().insert(PeerIdentity(relay));
    request
}

fn find(lanes: &Arc<Lanes>, caller: &str, method: &str) -> Result<Found, Fault> {
    let (caller, lane) = wanted(&call(caller, method)).expect("it needs a place");
    lanes.find(caller, lane)
}

/// Takes places until there is none, and returns them with the reason.
fn flood(lanes: &Arc<Lanes>, caller: &str, method: &str) -> (Vec<Place>, Reason) {
    let mut places = Vec::new();
    loop {
        match find(lanes, caller, method) {
            Ok(Found::Place(place)) => places.push(place),
            Ok(Found::Queue(_)) => panic!("nobody may wait"),
            Err(fault) => {
                assert_eq!(fault.retry_after, Some(MOMENT), "{fault:?}");
                assert!(fault.get("lane").is_some(), "{fault:?}");
                return (places, fault.reason);
            }
        }
        assert!(places.len() < 1_000, "{method} has no limit");
    }
}

/// Waits for a place that is not there yet.
fn queue(lanes: &Arc<Lanes>, caller: &str, method: &str) -> Waiting {
    match find(lanes, caller, method).expect("it may wait") {
        Found::Queue(waiting) => waiting,
        Found::Place(_) => panic!("it need not wait"),
    }
}

fn are_all_gone(lanes: &Lanes) -> bool {
    let state = lanes.state();
    state.callers.is_empty() && state.waiting.iter().all(VecDeque::is_empty)
}

#[test]
fn a_caller_has_its_places_in_a_lane_and_not_one_more_and_they_come_back() {
    let lanes = Lanes::new(&options());
    let (mine, reason) = flood(&lanes, WARD, LIST);
    assert_eq!((mine.len(), reason), (3, Reason::TerminalLimit));
    assert_eq!(flood(&lanes, WARD, "BatchService/GetBatch").0.len(), 5, "other lanes are others");
    assert_eq!(flood(&lanes, WARD, ACTIVATE).0.len(), 3);
    let (others, reason) = flood(&lanes, CITY, LIST);
    assert_eq!((others.len(), reason), (1, Reason::LaneFull), "a tenth of 40 is all that lists have");
    drop(mine);
    assert_eq!(flood(&lanes, CITY, LIST).0.len(), 2);
    drop(others);
    assert!(are_all_gone(&lanes), "nothing stays of who is gone");
}

#[test]
fn a_flood_of_reports_refuses_nobody_else() {
    let lanes = Lanes::new(&options());
    let mut held = Vec::new();
    for caller in [WARD, CITY, "postal/office-1", "producer/press-1"] {
        held.extend(flood(&lanes, caller, LIST).0);
        held.extend(flood(&lanes, caller, "BatchService/GetBatch").0);
    }
    assert_eq!(held.len(), 14, "35 % of 40");
    for (n, caller) in ["municipality/131211", "municipality/131237", WARD].into_iter().enumerate() {
        let (places, reason) = flood(&lanes, caller, ACTIVATE);
        assert_eq!((places.len(), reason), (3, Reason::TerminalLimit), "caller {n}");
        held.extend(places);
    }
}

#[test]
fn places_are_handed_on_in_order_to_whoever_may_have_them() {
    let lanes = Lanes::new(&Options { waiting_max: 8, ..options() });
    let take = |caller| match find(&lanes, caller, LIST).expect("there is one") {
        Found::Place(place) => place,
        Found::Queue(_) => panic!("there is none"),
    };
    let (mut wards, city) = (vec![take(WARD), take(WARD), take(WARD)], take(CITY));
    let mut first = queue(&lanes, WARD, LIST);
    let mut second = queue(&lanes, CITY, LIST);
    let mut third = queue(&lanes, CITY, LIST);
    drop(city);
    assert!(first.place.try_recv().is_err(), "its own limit is not its turn");
    let given = second.place.try_recv().expect("who may have it does");
    assert!(third.place.try_recv().is_err());
    wards.pop();
    let ward = first.place.try_recv().expect("it was the first, and may now");
    drop(given);
    drop(third.place.try_recv().expect("the last"));
    drop((ward, wards, first, second, third));
    assert!(are_all_gone(&lanes), "{lanes:?}");
    assert_eq!(lanes.all.in_use(Lane::Reports), 0);
}

#[test]
fn the_most_urgent_lane_is_served_first() {
    let lanes = Lanes::new(&Options { places_max: 1, waiting_max: 8, ..options() });
    let Ok(Found::Place(only)) = find(&lanes, WARD, ACTIVATE) else { panic!("there is one") };
    let mut list = queue(&lanes, CITY, LIST);
    let mut activation = queue(&lanes, CITY, ACTIVATE);
    drop(only);
    let place = activation.place.try_recv().expect("it goes first");
    assert!(list.place.try_recv().is_err());
    drop(place);
    list.place.try_recv().expect("it is its turn");
}

#[test]
fn no_more_wait_than_may_in_a_lane_and_of_a_caller() {
    let lanes = Lanes::new(&Options { waiting_max: 4, ..options() });
    let reason = |caller: &str| find(&lanes, caller, LIST).expect_err("too many wait").reason;
    let held: Vec<_> = (0..3).map(|_| find(&lanes, WARD, LIST).expect("there is one")).collect();
    let one = find(&lanes, CITY, LIST).expect("there is one");
    let waiting: Vec<_> = (0..3).map(|_| queue(&lanes, WARD, LIST)).collect();
    assert_eq!(reason(WARD), Reason::TerminalLimit, "as many of its own as it may have places");
    let other = queue(&lanes, CITY, LIST);
    assert_eq!(reason(CITY), Reason::LaneFull);
    drop(other);
    let again = queue(&lanes, CITY, LIST);
    drop((waiting, again, held, one));
    assert!(are_all_gone(&lanes), "{lanes:?}");
}

#[test]
fn a_place_for_one_who_went_away_is_handed_on() {
    let lanes = Lanes::new(&Options { places_max: 1, waiting_max: 8, ..options() });
    let Ok(Found::Place(only)) = find(&lanes, WARD, LIST) else { panic!("there is one") };
    let mut gone = queue(&lanes, CITY, LIST);
    let mut next = queue(&lanes, CITY, LIST);
    // As if it went away in the moment in which it is served.
    gone.place.close();
    drop(only);
    drop(next.place.try_recv().expect("it is handed on"));
    drop((gone, next));
    assert!(are_all_gone(&lanes), "{lanes:?}");
    assert_eq!(lanes.all.in_use(Lane::Reports), 0);
}

#[tokio::test(start_paused = true)]
async fn who_waits_longest_is_refused_in_the_end_and_who_finds_a_place_in_time_is_not() {
    let lanes = Lanes::new(&Options { places_max: 1, waiting_max: 8, ..options() });
    let (caller, lane) = wanted(&call(WARD, LIST)).expect("it needs one");
    let place = lanes.take(caller.clone(), lane).await.expect("it is free");
    let begun = tokio::time::Instant::now();
    let fault = lanes.take(caller.clone(), lane).await.expect_err("it stays taken");
    assert_eq!((fault.reason, begun.elapsed()), (Reason::LaneFull, WAIT));
    let later = async {
        tokio::time::sleep(WAIT / 2).await;
        drop(place);
    };
    let (taken, ()) = tokio::join!(lanes.take(caller, lane), later);
    drop(taken.expect("it was free in time"));
    assert!(are_all_gone(&lanes), "{lanes:?}");
}

#[test]
fn streams_and_the_calls_of_the_pool_hold_no_place() {
    for method in ["BatchService/UploadChunks", "BatchService/WatchBatch", "PoolService/GetView"] {
        assert_eq!(wanted(&call(WARD, method)), None, "{method}");
    }
}

#[test]
fn a_place_is_that_of_whom_the_relay_names_and_of_nobody_whom_a_caller_names() {
    let caller = |request: http::Request<()>| wanted(&request).expect("a lane").0.to_string();
    assert_eq!(caller(call(WARD, LIST)), WARD);
    assert_eq!(caller(call("nobody at all", LIST)), "relay/relay-1");
    let mut direct = call(CITY, LIST);
    direct.extensions_mut().insert(PeerIdentity(WARD.parse().expect("legal")));
    assert_eq!(caller(direct), WARD);
    let mut unknown = call(WARD, LIST);
    unknown.extensions_mut().clear();
    assert_eq!(wanted(&unknown), None, "the service refuses it");
}

#[test]
fn who_waits_at_a_counter_is_known() {
    let lanes = Lanes::new(&options());
    for (method, is) in [(ACTIVATE, true), ("CardService/GetCard", true), (LIST, false)] {
        let Ok(Found::Place(place)) = find(&lanes, WARD, method) else { panic!("it is free") };
        assert_eq!(place.is_of_counter(), is, "{method}");
    }
}
