//! Whoever stands at a counter has a place at this issuer, whatever others ask for: each call holds a place
//! of its lane until its answer is read or given up, and no caller has more of a lane than it may.
//!
//! A call that finds none waits for one for a moment, in order, within limits: the calls that a sick relay
//! held come all at once when they are sent again, and to a client that cannot wait a refusal is a failure.
//!
//! Streams hold none: uploads and watchers have limits of their own (`places`), and what they do is done in
//! turns that have limits, too. Nor does what stands in no lane, such as the calls of the pool.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};

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

/// When one that found no place may come back: calls take milliseconds.
const MOMENT: Duration = Duration::from_millis(100);

/// How many calls are worked on at once.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Options {
    /// Calls worked on at once, but for streams; one more waits for `wait`, and is refused with LANE_FULL
    /// then. Of these 25 % are kept for counter activation, 25 % for counter look-up, 15 % for pre-issuance,
    /// 25 % for imports and 10 % for reports; a lane may use what those below leave. Default 256.
    pub places_max: usize,
    /// Calls of one caller in one lane at once; one more waits, and is refused with TERMINAL_LIMIT then.
    /// Default 16.
    pub caller_places_max: usize,
    /// The same for imports. Default 64.
    pub caller_import_places_max: usize,
    /// Longest wait for a place. Default 2 s.
    pub wait: Duration,
    /// Calls of one lane that may wait for a place at once, of one caller as many as it may have places; one
    /// more is refused at once. Default 1,024.
    pub waiting_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            places_max: 256,
            caller_places_max: 16,
            caller_import_places_max: 64,
            wait: Duration::from_secs(2),
            waiting_max: 1_024,
        }
    }
}

/// The places of an issuer.
#[derive(Debug)]
pub(crate) struct Lanes {
    options: Options,
    all: net::lanes::Lanes,
    state: Mutex<State>,
}

/// Who has places, and who waits for one.
///
/// Nobody waits who could have a place: whoever gives one back hands it on before another can take it.
#[derive(Debug, Default)]
struct State {
    /// What each caller has in each lane; who has nothing does not stand here.
    callers: HashMap<Identity, [Standing; Lane::ALL.len()]>,
    /// In each lane those that wait, the longest first.
    waiting: [VecDeque<Waiter>; Lane::ALL.len()],
    /// How many have waited.
    numbers: u64,
}

/// Calls of one caller in one lane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Standing {
    places: usize,
    waiting: usize,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    caller: Identity,
    place: oneshot::Sender<Place>,
}

/// A call that waits for a place; dropped, it waits no more.
#[derive(Debug)]
struct Waiting {
    lanes: Arc<Lanes>,
    caller: Identity,
    lane: Lane,
    number: u64,
    place: oneshot::Receiver<Place>,
}

/// A call's place in its lane; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    lanes: Arc<Lanes>,
    caller: Identity,
    lane: Lane,
}

/// What a call finds.
#[derive(Debug)]
enum Found {
    Place(Place),
    Queue(Waiting),
}

impl State {
    /// Notes a change of what a caller has in a lane.
    fn stand(&mut self, caller: &Identity, lane: Lane, change: impl FnOnce(&mut Standing)) {
        let standings = self.callers.entry(caller.clone()).or_default();
        change(&mut standings[lane as usize]);
        if standings.iter().all(|one| *one == Standing::default()) {
            self.callers.remove(caller);
        }
    }

    fn standing(&self, caller: &Identity, lane: Lane) -> Standing {
        self.callers.get(caller).map_or(Standing::default(), |standings| standings[lane as usize])
    }
}

impl Lanes {
    pub(crate) fn new(options: &Options) -> Arc<Self> {
        for lane in Lane::ALL {
            for gauge in [names::LANE_PLACES, names::LANE_WAITING] {
                metrics::gauge!(gauge, names::LANE => lane.as_str()).set(0.0);
            }
            for reason in [Reason::TerminalLimit, Reason::LaneFull] {
                counted(lane, reason).increment(0);
            }
        }
        let all = net::lanes::Lanes::new(options.places_max, Shares::OF_ALL);
        Arc::new(Self { options: options.clone(), all, state: Mutex::default() })
    }

    /// Takes a place for a call of this caller; waits for it, if there is none.
    ///
    /// # Errors
    /// `TERMINAL_LIMIT` if the caller still has as many places of the lane as it may, `LANE_FULL` if there
    /// are no more for anybody in it: after the longest wait, or at once if too many wait already.
    pub(crate) async fn take(self: &Arc<Self>, caller: Identity, lane: Lane) -> Result<Place, Fault> {
        let mut waiting = match self.find(caller, lane)? {
            Found::Place(place) => return Ok(place),
            Found::Queue(waiting) => waiting,
        };
        match timeout(self.options.wait, &mut waiting.place).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(self.refusal(&self.state(), &waiting.caller, lane)),
        }
    }

    /// Takes a place, or one in the queue.
    ///
    /// # Errors
    /// If too many wait already.
    fn find(self: &Arc<Self>, caller: Identity, lane: Lane) -> Result<Found, Fault> {
        let mut state = self.state();
        if let Some(place) = self.place(&mut state, &caller, lane) {
            return Ok(Found::Place(place));
        }
        let waiting = state.standing(&caller, lane).waiting;
        if waiting >= self.caller_max(lane) || state.waiting[lane as usize].len() >= self.options.waiting_max
        {
            return Err(self.refusal(&state, &caller, lane));
        }
        state.numbers += 1;
        let (number, (sender, place)) = (state.numbers, oneshot::channel());
        state.stand(&caller, lane, |standing| standing.waiting += 1);
        state.waiting[lane as usize].push_back(Waiter { number, caller: caller.clone(), place: sender });
        waiting_gauge(lane).increment(1.0);
        Ok(Found::Queue(Waiting { lanes: Arc::clone(self), caller, lane, number, place }))
    }

    /// Takes a place if there is one.
    fn place(self: &Arc<Self>, state: &mut State, caller: &Identity, lane: Lane) -> Option<Place> {
        let may = self.may_have_one(state, caller, lane) && self.all.enter(lane);
        may.then(|| self.note(state, caller.clone(), lane))
    }

    fn may_have_one(&self, state: &State, caller: &Identity, lane: Lane) -> bool {
        state.standing(caller, lane).places < self.caller_max(lane)
    }

    /// Notes a place that was taken of all.
    fn note(self: &Arc<Self>, state: &mut State, caller: Identity, lane: Lane) -> Place {
        state.stand(&caller, lane, |standing| standing.places += 1);
        metrics::gauge!(names::LANE_PLACES, names::LANE => lane.as_str()).increment(1.0);
        Place { lanes: Arc::clone(self), caller, lane }
    }

    /// Gives the next of those who wait a place, the most urgent lane first; `None` if none can have one.
    ///
    /// A lane that is full is asked nothing else, however many wait in it: the counter's calls give places
    /// back as well.
    fn serve(self: &Arc<Self>, state: &mut State) -> Option<(oneshot::Sender<Place>, Place)> {
        for lane in Lane::ALL {
            if state.waiting[lane as usize].is_empty() || !self.all.enter(lane) {
                continue;
            }
            let mut waiters = state.waiting[lane as usize].iter();
            let next = waiters.position(|waiter| self.may_have_one(state, &waiter.caller, lane));
            let Some(waiter) = next.and_then(|at| state.waiting[lane as usize].remove(at)) else {
                self.all.leave(lane);
                continue;
            };
            Self::waits_no_more(state, &waiter.caller, lane);
            let place = self.note(state, waiter.caller, lane);
            return Some((waiter.place, place));
        }
        None
    }

    fn waits_no_more(state: &mut State, caller: &Identity, lane: Lane) {
        state.stand(caller, lane, |standing| standing.waiting -= 1);
        waiting_gauge(lane).decrement(1.0);
    }

    /// Says by which limit there is no place, and counts it.
    fn refusal(&self, state: &State, caller: &Identity, lane: Lane) -> Fault {
        let (max, name) = (self.caller_max(lane), lane.as_str());
        let (reason, words) = if state.standing(caller, lane).places >= max {
            let words =
                format!("{caller} has {max} calls in lane {name} under way, its limit: wait until one ends");
            (Reason::TerminalLimit, words)
        } else {
            (Reason::LaneFull, format!("all places of lane {name} are taken: wait and try again"))
        };
        counted(lane, reason).increment(1);
        Fault::new(reason, words).with("lane", name).after(MOMENT)
    }

    fn caller_max(&self, lane: Lane) -> usize {
        let max = match lane {
            Lane::Import => self.options.caller_import_places_max,
            Lane::CounterActivation | Lane::CounterLookUp | Lane::PreIssuance | Lane::Reports => {
                self.options.caller_places_max
            }
        };
        max.max(1)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        metrics::gauge!(names::LANE_PLACES, names::LANE => self.lane.as_str()).decrement(1.0);
        let mut state = self.lanes.state();
        self.lanes.all.leave(self.lane);
        state.stand(&self.caller, self.lane, |standing| standing.places -= 1);
        let served = self.lanes.serve(&mut state);
        drop(state);
        if let Some((waiter, place)) = served {
            // One that went away meanwhile gives its place back as this is dropped.
            let _ = waiter.send(place);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.lanes.state();
        let queue = &mut state.waiting[self.lane as usize];
        if let Some(at) = queue.iter().position(|waiter| waiter.number == self.number) {
            queue.remove(at);
            Lanes::waits_no_more(&mut state, &self.caller, self.lane);
        }
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

fn waiting_gauge(lane: Lane) -> metrics::Gauge {
    metrics::gauge!(names::LANE_WAITING, names::LANE => lane.as_str())
}

/// In whose account a call stands, and in which lane; `None` if it needs no place.
///
/// It is whom a relay names, or else who has the connection. What is wrong with a name is said by the
/// service, which also refuses a call without an identity.
pub(crate) fn wanted<T>(request: &http::Request<T>) -> Option<(Identity, Lane)> {
    let path = request.uri().path();
    let lane = Lane::of_path(path).filter(|_| wire::streams(path) == wire::Streams::default())?;
    let PeerIdentity(peer) = request.extensions().get::<PeerIdentity>()?;
    let claim = || request.headers().get(headers::CALLER)?.to_str().ok()?.parse().ok();
    let named = if peer.role() == Role::Relay { claim() } else { None };
    Some((named.unwrap_or_else(|| peer.clone()), lane))
}

#[cfg(test)]
#[path = "lanes_tests.rs"]
mod tests;
