//! Whoever stands at a counter has a place at this issuer, whatever others ask for: each call holds a place
//! of its lane until its answer is read or given up, and no caller has more of a lane than it may.
//!
//! Streams hold none: uploads and watchers have limits of their own (`places`), and what they do is done in
//! turns that have limits, too. Nor does what stands in no lane, such as the calls of the pool.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    domain::{
        identity::{Identity, Role},
        lane::{Lane, Shares},
    },
    net::{self, PeerIdentity, headers},
    telemetry::names,
    wire::{
        self,
        fault::{Fault, Reason},
    },
};

/// How long to wait for a place: calls take milliseconds.
const MOMENT: Duration = Duration::from_millis(100);

/// How many calls are worked on at once.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Options {
    /// Calls worked on at once, but for streams; one more is refused with LANE_FULL. Of these 25 % are kept
    /// for counter activation, 25 % for counter look-up, 15 % for pre-issuance, 25 % for imports and 10 % for
    /// reports; a lane may use what those below leave. Default 256.
    pub places_max: usize,
    /// Calls of one caller in one lane at once; one more is refused with TERMINAL_LIMIT. Default 16.
    pub caller_places_max: usize,
    /// The same for imports. Default 64.
    pub caller_import_places_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { places_max: 256, caller_places_max: 16, caller_import_places_max: 64 }
    }
}

/// The places of an issuer.
#[derive(Debug)]
pub(crate) struct Lanes {
    options: Options,
    all: net::lanes::Lanes,
    /// How many places each caller has in each lane; who has none does not stand here.
    callers: Mutex<HashMap<(Identity, Lane), usize>>,
}

/// A call's place in its lane; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    lanes: Arc<Lanes>,
    caller: Identity,
    lane: Lane,
}

impl Lanes {
    pub(crate) fn new(options: &Options) -> Arc<Self> {
        for lane in Lane::ALL {
            metrics::gauge!(names::LANE_PLACES, names::LANE => lane.as_str()).set(0.0);
            for reason in [Reason::TerminalLimit, Reason::LaneFull] {
                counted(lane, reason).increment(0);
            }
        }
        let all = net::lanes::Lanes::new(options.places_max, Shares::OF_ALL);
        Arc::new(Self { options: options.clone(), all, callers: Mutex::default() })
    }

    /// Takes a place for a call, if it needs one. Nobody knows whose a call without an identity is: the
    /// service refuses it.
    ///
    /// # Errors
    /// As for [`Lanes::take`].
    pub(crate) fn enter<T>(self: &Arc<Self>, request: &http::Request<T>) -> Result<Option<Place>, Fault> {
        let path = request.uri().path();
        let Some(lane) = Lane::of_path(path).filter(|_| wire::streams(path) == wire::Streams::default())
        else {
            return Ok(None);
        };
        let caller = whose(request);
        caller.map(|caller| self.take(caller, lane)).transpose()
    }

    /// # Errors
    /// `TERMINAL_LIMIT` if the caller has as many places of the lane as it may, `LANE_FULL` if there are no
    /// more for anybody in it.
    fn take(self: &Arc<Self>, caller: Identity, lane: Lane) -> Result<Place, Fault> {
        let refused = |reason, words: String| {
            counted(lane, reason).increment(1);
            Fault::new(reason, words).with("lane", lane.as_str()).after(MOMENT)
        };
        let max = match lane {
            Lane::Import => self.options.caller_import_places_max,
            Lane::CounterActivation | Lane::CounterLookUp | Lane::PreIssuance | Lane::Reports => {
                self.options.caller_places_max
            }
        };
        if !self.count_in(&caller, lane, max) {
            let words = format!(
                "{caller} has {max} calls in lane {} under way, its limit: wait until one ends",
                lane.as_str()
            );
            return Err(refused(Reason::TerminalLimit, words));
        }
        if !self.all.enter(lane) {
            self.count_out(&caller, lane);
            let words = format!("all places of lane {} are taken: wait and try again", lane.as_str());
            return Err(refused(Reason::LaneFull, words));
        }
        metrics::gauge!(names::LANE_PLACES, names::LANE => lane.as_str()).increment(1.0);
        Ok(Place { lanes: Arc::clone(self), caller, lane })
    }

    fn count_in(&self, caller: &Identity, lane: Lane, max: usize) -> bool {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = callers.entry((caller.clone(), lane)).or_default();
        let fits = *taken < max.max(1);
        *taken += usize::from(fits);
        fits
    }

    fn count_out(&self, caller: &Identity, lane: Lane) {
        let key = (caller.clone(), lane);
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = callers.get_mut(&key) {
            *taken -= 1;
            if *taken == 0 {
                callers.remove(&key);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lanes.all.leave(self.lane);
        self.lanes.count_out(&self.caller, self.lane);
        metrics::gauge!(names::LANE_PLACES, names::LANE => self.lane.as_str()).decrement(1.0);
    }
}

impl Place {
    /// Whether a person waits for the call at a counter.
    pub(crate) fn is_of_counter(&self) -> bool {
        self.lane.is_of_counter()
    }
}

/// Calls that found no place.
fn counted(lane: Lane, reason: Reason) -> metrics::Counter {
    let (lane, reason) = (lane.as_str(), reason.as_str());
    metrics::counter!(names::LANE_REFUSALS, names::LANE => lane, names::REASON => reason)
}

/// In whose account a call stands: whom a relay names, or else who has the connection. What is wrong with a
/// name is said by the service.
fn whose<T>(request: &http::Request<T>) -> Option<Identity> {
    let PeerIdentity(peer) = request.extensions().get::<PeerIdentity>()?;
    let claim = || request.headers().get(headers::CALLER)?.to_str().ok()?.parse().ok();
    let named = if peer.role() == Role::Relay { claim() } else { None };
    Some(named.unwrap_or_else(|| peer.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WARD: &str = "municipality/131229";
    const CITY: &str = "municipality/011002";
    const LIST: &str = "CardService/ListCards";
    const ACTIVATE: &str = "CardService/BeginActivation";

    fn options() -> Options {
        Options { places_max: 40, caller_places_max: 3, caller_import_places_max: 5 }
    }

    /// A call that comes over a relay.
    fn call(caller: &str, method: &str) -> http::Request<()> {
        let request = http::Request::post(format!("/todoke.v1.{method}")).header(headers::CALLER, caller);
        let mut request = request.body(()).expect("it is whole");
        let relay = "relay/relay-1".parse().expect("legal");
        request.extensions_mut().insert(PeerIdentity(relay));
        request
    }

    /// Takes places until there is none, and returns them with the reason.
    fn flood(lanes: &Arc<Lanes>, caller: &str, method: &str) -> (Vec<Place>, Reason) {
        let mut places = Vec::new();
        loop {
            match lanes.enter(&call(caller, method)) {
                Ok(place) => places.extend(place),
                Err(fault) => {
                    assert_eq!(fault.retry_after, Some(MOMENT), "{fault:?}");
                    assert!(fault.get("lane").is_some(), "{fault:?}");
                    return (places, fault.reason);
                }
            }
            assert!(places.len() < 1_000, "{method} has no limit");
        }
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
        assert!(lanes.callers.lock().expect("sound").is_empty(), "nothing stays of who is gone");
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
    fn streams_and_the_calls_of_the_pool_hold_no_place() {
        let lanes = Lanes::new(&options());
        for method in ["BatchService/UploadChunks", "BatchService/WatchBatch", "PoolService/GetView"] {
            assert!(lanes.enter(&call(WARD, method)).expect("no place is needed").is_none(), "{method}");
        }
    }

    #[test]
    fn a_place_is_that_of_whom_the_relay_names_and_of_nobody_whom_a_caller_names() {
        let lanes = Lanes::new(&options());
        let caller = |request: http::Request<()>| {
            let place = lanes.enter(&request).expect("free").expect("a lane");
            place.caller.to_string()
        };
        assert_eq!(caller(call(WARD, LIST)), WARD);
        assert_eq!(caller(call("nobody at all", LIST)), "relay/relay-1");
        let mut direct = call(CITY, LIST);
        direct.extensions_mut().insert(PeerIdentity(WARD.parse().expect("legal")));
        assert_eq!(caller(direct), WARD);
        let mut unknown = call(WARD, LIST);
        unknown.extensions_mut().clear();
        assert!(lanes.enter(&unknown).expect("the service refuses it").is_none());
    }

    #[test]
    fn who_waits_at_a_counter_is_known() {
        let lanes = Lanes::new(&options());
        for (method, is) in [(ACTIVATE, true), ("CardService/GetCard", true), (LIST, false)] {
            let place = lanes.enter(&call(WARD, method)).expect("free").expect("a lane");
            assert_eq!(place.is_of_counter(), is, "{method}");
        }
    }
}
