//! A call goes to the issuer with the fewest calls in flight among those that are connected and answer, in
//! turn where that is the same, or waits a bounded time for a place. One that fails calls counts as slow for
//! a while, so that quick failures attract nothing, and gets its calls back by and by; one that does not
//! answer gets none while another does. The last one is never left: where all are alike, all are used.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use h2::{
    RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
};
use http::Request;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::refusal::{Limit, Refusal};
use crate::{
    net::penalty::Penalty,
    wire::fault::{Fault, Reason},
};

/// Answered calls whose streams may wait for the next request.
const ENDED_MAX: usize = 16;
/// A longer answer does not wait: what it took of the connection's window is wanted back.
const ENDED_BYTES_MAX: u64 = 4 * 1024;

/// One live connection to an issuer. Cheap to share; only one thread uses it.
pub(super) struct Link {
    id: u64,
    issuer: usize,
    ask: Mutex<SendRequest<Bytes>>,
    /// Never sends anything: polling a handle takes the waker from the call that it was used for.
    probe: Mutex<SendRequest<Bytes>>,
    slots: Arc<Semaphore>,
    slots_max: usize,
    graves: Mutex<Vec<Grave>>,
    ended: Mutex<Vec<RecvStream>>,
    driver: AtomicWaker,
    gone: CancellationToken,
    severed: AtomicBool,
    silent: AtomicBool,
    penalty: Arc<Mutex<Penalty>>,
}

/// What is left of a call that nobody waits for any more; dropping it resets the stream.
///
/// An HTTP/2 server closes the whole connection when too many streams are reset before it has looked at
/// them, and all callers share this one. So nothing is reset before the issuer has answered a ping that
/// was sent after the stream's HEADERS.
#[expect(dead_code, reason = "held until it is dropped")]
pub(super) struct Grave(Box<dyn Send>);

impl Grave {
    pub(super) fn new(remains: impl Send + 'static) -> Self {
        Self(Box::new(remains))
    }
}

/// A place on a link; given back when dropped.
pub(super) struct Slot {
    pub(super) link: Arc<Link>,
    permit: OwnedSemaphorePermit,
}

impl Slot {
    /// Leaves the link and keeps the place, for what is buried there.
    pub(super) fn into_permit(self) -> (Arc<Link>, OwnedSemaphorePermit) {
        (self.link, self.permit)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Link {
    fn new(id: u64, to: (usize, &Arc<Mutex<Penalty>>), ask: SendRequest<Bytes>, calls_max: u32) -> Self {
        let slots_max = (calls_max as usize).min(ask.current_max_send_streams()).max(1);
        let (issuer, penalty) = to;
        Self {
            id,
            issuer,
            probe: Mutex::new(ask.clone()),
            ask: Mutex::new(ask),
            slots: Arc::new(Semaphore::new(slots_max)),
            slots_max,
            graves: Mutex::default(),
            ended: Mutex::default(),
            driver: AtomicWaker::new(),
            gone: CancellationToken::new(),
            severed: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            penalty: Arc::clone(penalty),
        }
    }

    /// Tells this link from all others of its shard.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Whether requests can be sent: the connection lives, and nobody said GOAWAY.
    pub(super) fn is_open(&self) -> bool {
        let mut probe = locked(&self.probe);
        matches!(probe.poll_ready(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(())))
    }

    /// Sends a request; the error says that nothing of it was sent.
    pub(super) fn send(
        &self,
        request: Request<()>,
        end: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        let mut ask = locked(&self.ask);
        // Near its limit `h2` ties a handle to the stream that it opened last, which may have to wait.
        let sent = if self.slots.available_permits() <= self.slots_max / 8 {
            ask.clone().send_request(request, end)
        } else {
            ask.send_request(request, end)
        };
        self.let_go();
        sent
    }

    /// Keeps the stream of an answered call for a while. `h2` has a connection's task woken when the last
    /// handle of a stream that is over goes, and that alone; right after a request it is awake anyhow.
    pub(super) fn ended(&self, stream: RecvStream, bytes: u64) {
        let mut ended = locked(&self.ended);
        if bytes <= ENDED_BYTES_MAX && ended.len() < ENDED_MAX && !self.slots.is_closed() {
            ended.push(stream);
        }
    }

    /// Lets go of the streams of answered calls.
    pub(super) fn let_go(&self) {
        locked(&self.ended).clear();
    }

    /// Leaves a call to be reset as soon as that harms nobody.
    pub(super) fn bury(&self, grave: Grave) {
        locked(&self.graves).push(grave);
        self.driver.wake();
    }

    /// Everything buried since the last time.
    pub(super) fn take_graves(&self) -> Vec<Grave> {
        std::mem::take(&mut *locked(&self.graves))
    }

    /// Registers the task that drives the connection.
    pub(super) fn driven_by(&self, waker: &Waker) {
        self.driver.register(waker);
    }

    /// Cancelled when the link takes no more requests.
    pub(super) fn gone(&self) -> CancellationToken {
        self.gone.clone()
    }

    /// Whether the connection is to end at once, with all calls on it.
    pub(super) fn is_severed(&self) -> bool {
        self.severed.load(Relaxed)
    }

    /// Says whether its issuer is asked and does not answer; returns whether that is new.
    pub(super) fn is_silent_now(&self, silent: bool) -> bool {
        self.silent.swap(silent, Relaxed) != silent
    }

    /// A call on it went well, or failed in a way that an issuer can cause.
    pub(super) fn took(&self, bad: bool) {
        let (mut penalty, now) = (locked(&self.penalty), Instant::now());
        if bad { penalty.failed(now) } else { penalty.answered(now) }
    }

    /// It refused a call for want of room: it has more in hand than is seen here.
    pub(super) fn was_full(&self) {
        locked(&self.penalty).refused(Instant::now());
    }

    /// By what it loses against others, the first of these first: it does not answer; it has just refused the
    /// call; it has no place; it stands back in this draw of 0 to 1; its share of the calls that it may have,
    /// with what failures weigh.
    fn rank(&self, avoid: Avoid, draw: f64, now: Instant) -> (bool, bool, bool, bool, u64) {
        let penalty = locked(&self.penalty);
        let in_flight = self.slots_max - self.slots.available_permits();
        let load = (in_flight as f64 + penalty.left(now)) / self.slots_max as f64;
        let (silent, full) = (self.silent.load(Relaxed), in_flight >= self.slots_max);
        (silent, Some(self.id) == avoid, full, penalty.trust(now) < draw, (load * 65_536.0) as u64)
    }
}

/// A call that must not take one link again.
pub(super) type Avoid = Option<u64>;

/// The connections of one shard to all issuers.
pub(super) struct Upstreams {
    links: Mutex<Vec<Option<Arc<Link>>>>,
    next_id: AtomicU64,
    connected: AtomicUsize,
    changed: Notify,
    wait: Duration,
    /// By issuer: it outlives its connections.
    penalties: Vec<Arc<Mutex<Penalty>>>,
    turn: AtomicUsize,
}

impl Upstreams {
    pub(super) fn new(issuers: usize, wait: Duration) -> Self {
        Self {
            links: Mutex::new(vec![None; issuers]),
            next_id: AtomicU64::new(0),
            connected: AtomicUsize::new(0),
            changed: Notify::new(),
            wait,
            penalties: (0..issuers).map(|_| Arc::new(Mutex::new(Penalty::new(Instant::now())))).collect(),
            turn: AtomicUsize::new(0),
        }
    }

    /// A link to an issuer that has answered; it is not in use yet.
    pub(super) fn link(&self, issuer: usize, ask: SendRequest<Bytes>, calls_max: u32) -> Arc<Link> {
        let id = self.next_id.fetch_add(1, Relaxed);
        Arc::new(Link::new(id, (issuer, &self.penalties[issuer]), ask, calls_max))
    }

    /// How many issuers are connected.
    pub(super) fn connected(&self) -> usize {
        self.connected.load(Relaxed)
    }

    /// Puts a link into use.
    pub(super) fn join(&self, link: &Arc<Link>) {
        let mut links = locked(&self.links);
        links[link.issuer] = Some(Arc::clone(link));
        self.connected.store(links.iter().flatten().count(), Relaxed);
        drop(links);
        self.changed.notify_waiters();
    }

    /// Takes a link out of use; calls on it go on, and those that wait for a place go elsewhere.
    pub(super) fn leave(&self, link: &Link) {
        let mut links = locked(&self.links);
        if links[link.issuer].as_ref().is_some_and(|current| current.id == link.id) {
            links[link.issuer] = None;
        }
        self.connected.store(links.iter().flatten().count(), Relaxed);
        drop(links);
        link.slots.close();
        link.let_go();
        link.gone.cancel();
        link.driver.wake();
    }

    /// Takes every link out of use, for good.
    pub(super) fn close(&self) {
        let links: Vec<_> = locked(&self.links).iter().flatten().cloned().collect();
        links.iter().for_each(|link| self.leave(link));
    }

    /// Drops every connection with the calls on it, as if the network had; others are dialled at once.
    pub(super) fn sever(&self) {
        let links: Vec<_> = locked(&self.links).iter().flatten().cloned().collect();
        for link in links {
            link.severed.store(true, Relaxed);
            self.leave(&link);
        }
    }

    /// The link that answers and has the fewest calls in flight, by share of what it may have.
    fn least(&self, avoid: Avoid) -> Option<Arc<Link>> {
        let links = locked(&self.links);
        if let [only] = links.as_slice() {
            return only.clone();
        }
        let (turn, now) = (self.turn.fetch_add(1, Relaxed), Instant::now());
        let draw = draw(turn);
        // Of the first one of equals each has its turn.
        let (before, from) = links.split_at(turn % links.len().max(1));
        let open = from.iter().chain(before).flatten();
        open.min_by_key(|link| link.rank(avoid, draw, now)).cloned()
    }

    /// Takes a place at once, if there is one.
    pub(super) fn try_slot(&self) -> Option<Slot> {
        let link = self.least(None)?;
        let permit = Arc::clone(&link.slots).try_acquire_owned().ok()?;
        if link.is_open() {
            return Some(Slot { link, permit });
        }
        self.leave(&link);
        None
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// LANE_FULL if every place stays taken, UPSTREAM_UNAVAILABLE if no issuer is connected.
    pub(super) async fn slot(&self, avoid: Avoid) -> Result<Slot, Fault> {
        let until = Instant::now() + self.wait;
        loop {
            let changed = self.changed.notified();
            let Some(link) = self.least(avoid) else {
                timeout_at(until, changed).await.map_err(|_| away())?;
                continue;
            };
            match timeout_at(until, Arc::clone(&link.slots).acquire_owned()).await {
                Ok(Ok(permit)) if link.is_open() => return Ok(Slot { link, permit }),
                Ok(Ok(_)) => self.leave(&link),
                // Closed while we waited: whoever closed it took it out of use.
                Ok(Err(_)) => {}
                Err(_) => return Err(full(link.slots_max)),
            }
        }
    }
}

/// A number from 0 to 1 for each turn; any few turns in a row have them spread evenly.
fn draw(turn: usize) -> f64 {
    (turn as f64 * 0.618_033_988_749_894_9).fract()
}

/// What a call is told while no issuer is connected.
pub(super) fn away() -> Fault {
    Fault::new(Reason::UpstreamUnavailable, "no issuer can be reached from here: wait, or try another relay")
        .after(Duration::from_secs(1))
}

fn full(slots_max: usize) -> Fault {
    let max = u32::try_from(slots_max).unwrap_or(u32::MAX);
    Refusal { limit: Limit::UpstreamCalls, lane: None, max, wait: Duration::from_millis(250) }.fault()
}
