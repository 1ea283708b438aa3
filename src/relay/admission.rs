//! Nobody gets more than their share: each caller has limits of its own, all together have one, and of both
//! no lane takes what is kept for those above it.
//!
//! A call's lane is told by its path, so that nothing of its body is read for it. A stream holds its place as
//! long as it lasts. What stands in no lane (the pool's own calls, and what is not ours) is bounded by what
//! its caller may have, and by the limit of all.
//!
//! Everything on the way of a call is an atomic; the only lock is taken once a connection.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::{
    domain::{
        identity::Identity,
        lane::{Lane, Shares},
    },
    net::lanes::Lanes,
};

use super::{
    options::Options,
    refusal::{Limit, Refusal},
    seen::Tally,
};

/// Callers that are remembered although they have no connection; beyond it the idle ones are forgotten.
const IDLE_CALLERS_MAX: usize = 4_096;

/// A token bucket in one atomic.
///
/// It is the generic cell rate algorithm: `full_at` is the time at which the bucket would be full again; a
/// call moves it on by one interval, and is refused if that is more than the burst away from now.
///
/// Source: ITU-T I.371, "virtual scheduling".
struct Bucket {
    full_at_ns: AtomicU64,
    interval_ns: u64,
    burst_ns: u64,
}

impl Bucket {
    fn new(rate: u32, burst: u32) -> Self {
        let interval_ns = 1_000_000_000 / u64::from(rate.max(1));
        Self { full_at_ns: AtomicU64::new(0), interval_ns, burst_ns: interval_ns * u64::from(burst.max(1)) }
    }

    /// Takes one, of so many per cent of the burst: what is above them is kept for others. Or says how long
    /// it is until there is one.
    fn take(&self, percent: usize, now_ns: u64) -> Result<(), Duration> {
        let burst_ns = (self.burst_ns * percent as u64 / 100).max(self.interval_ns);
        let mut full_at = self.full_at_ns.load(Relaxed);
        loop {
            let next = full_at.max(now_ns) + self.interval_ns;
            if next > now_ns + burst_ns {
                return Err(Duration::from_nanos(next - now_ns - burst_ns));
            }
            match self.full_at_ns.compare_exchange_weak(full_at, next, Relaxed, Relaxed) {
                Ok(_) => return Ok(()),
                Err(other) => full_at = other,
            }
        }
    }

    /// Takes one even if there is none: it has happened already. The debt is never above one burst.
    fn charge(&self, now_ns: u64) {
        let charge =
            |full_at: u64| Some((full_at.max(now_ns) + self.interval_ns).min(now_ns + 2 * self.burst_ns));
        // The closure never refuses.
        let _ = self.full_at_ns.fetch_update(Relaxed, Relaxed, charge);
    }

    /// Says how long it is until there is one, if there is none.
    fn wait(&self, now_ns: u64) -> Option<Duration> {
        let next = self.full_at_ns.load(Relaxed) + self.interval_ns;
        (next > now_ns + self.burst_ns).then(|| Duration::from_nanos(next - now_ns - self.burst_ns))
    }

    fn is_full(&self, now_ns: u64) -> bool {
        self.full_at_ns.load(Relaxed) <= now_ns
    }
}

/// How long a caller waits for a call in flight to end: there is no telling, so a moment.
const MOMENT: Duration = Duration::from_millis(100);

/// What one caller uses, over all its connections and shards.
pub(super) struct Tenant {
    in_flight: AtomicU32,
    /// Its calls by lane: what it asks for lists takes nothing from its counters.
    lanes: Lanes,
    connections: AtomicU32,
    unread: AtomicU32,
    /// What became of its calls.
    pub(super) seen: Tally,
    starts: Bucket,
    resets: Bucket,
}

impl Tenant {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            in_flight: AtomicU32::new(0),
            lanes: Lanes::new(options.caller_calls_max as usize, Shares::OF_A_CALLER),
            connections: AtomicU32::new(0),
            unread: AtomicU32::new(0),
            seen: Tally::default(),
            starts: Bucket::new(options.caller_rate, options.caller_burst),
            resets: Bucket::new(options.caller_reset_rate, options.caller_reset_burst),
        }
    }

    /// Takes a place for a connection; `false` if there is none.
    pub(super) fn connect(&self, max: u32) -> bool {
        take(&self.connections, max)
    }

    pub(super) fn disconnect(&self) {
        self.connections.fetch_sub(1, Relaxed);
    }

    /// The caller broke a call off.
    pub(super) fn reset(&self, now_ns: u64) {
        self.resets.charge(now_ns);
    }

    /// An answer begins to wait for its caller; `false` if too many do already.
    pub(super) fn begin_unread(&self, max: u32) -> bool {
        take(&self.unread, max)
    }

    pub(super) fn end_unread(&self) {
        self.unread.fetch_sub(1, Relaxed);
    }

    fn is_idle(&self, now_ns: u64) -> bool {
        self.connections.load(Relaxed) == 0 && self.starts.is_full(now_ns) && self.resets.is_full(now_ns)
    }
}

fn take(places: &AtomicU32, max: u32) -> bool {
    let taken = places.fetch_add(1, Relaxed) < max;
    if !taken {
        places.fetch_sub(1, Relaxed);
    }
    taken
}

/// All callers, and what they use together.
pub(super) struct Admission {
    callers: Mutex<HashMap<Identity, Arc<Tenant>>>,
    in_flight: AtomicUsize,
    lanes: Lanes,
    /// Calls that a lane had no place for: its callers' own, and anybody's.
    refused: [[AtomicU64; 2]; Lane::ALL.len()],
}

impl Admission {
    pub(super) fn new(options: &Options) -> Self {
        let lanes = Lanes::new(options.lane_calls_max(), Shares::OF_ALL);
        Self { callers: Mutex::default(), in_flight: AtomicUsize::new(0), lanes, refused: Default::default() }
    }

    /// Finds the caller's account; once a connection.
    pub(super) fn tenant(&self, caller: &Identity, options: &Options, now_ns: u64) -> Arc<Tenant> {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tenant) = callers.get(caller) {
            return Arc::clone(tenant);
        }
        if callers.len() >= IDLE_CALLERS_MAX {
            callers.retain(|_, tenant| Arc::strong_count(tenant) > 1 || !tenant.is_idle(now_ns));
        }
        let tenant = Arc::new(Tenant::new(options));
        callers.insert(caller.clone(), Arc::clone(&tenant));
        tenant
    }

    /// Lets a call of this lane in; [`Admission::leave`] must follow.
    pub(super) fn enter(
        &self,
        tenant: &Tenant,
        lane: Option<Lane>,
        options: &Options,
        now_ns: u64,
    ) -> Result<(), Refusal> {
        if let Some(wait) = tenant.resets.wait(now_ns) {
            let max = options.caller_reset_rate;
            return Err(Refusal { limit: Limit::CallerResets, lane, max, wait });
        }
        let max = options.caller_calls_max;
        if !take(&tenant.in_flight, max) {
            return Err(Refusal { limit: Limit::CallerCalls, lane, max, wait: MOMENT });
        }
        if let Some(lane) = lane
            && let Err(refusal) = self.enter_lane(tenant, lane)
        {
            tenant.in_flight.fetch_sub(1, Relaxed);
            return Err(refusal);
        }
        // The last of what is the caller's own: who was refused above has used nothing of its rate.
        let refused = if self.in_flight.fetch_add(1, Relaxed) >= options.calls_max {
            Some(Refusal { limit: Limit::AllCalls, lane, max: number(options.calls_max), wait: MOMENT })
        } else {
            let percent = lane.map_or(100, |lane| Shares::OF_A_CALLER.percent(lane));
            let refused = |wait| Refusal { limit: Limit::CallerRate, lane, max: options.caller_rate, wait };
            tenant.starts.take(percent, now_ns).err().map(refused)
        };
        match refused {
            Some(refusal) => {
                self.leave(tenant, lane);
                Err(refusal)
            }
            None => Ok(()),
        }
    }

    /// Takes a place in the lane, of the caller's own and of all.
    fn enter_lane(&self, tenant: &Tenant, lane: Lane) -> Result<(), Refusal> {
        let refused = |limit: Limit, lanes: &Lanes| {
            self.refused[lane as usize][usize::from(limit == Limit::Lane)].fetch_add(1, Relaxed);
            Refusal { limit, lane: Some(lane), max: number(lanes.max(lane)), wait: MOMENT }
        };
        if !tenant.lanes.enter(lane) {
            return Err(refused(Limit::CallerLane, &tenant.lanes));
        }
        if !self.lanes.enter(lane) {
            tenant.lanes.leave(lane);
            return Err(refused(Limit::Lane, &self.lanes));
        }
        Ok(())
    }

    pub(super) fn leave(&self, tenant: &Tenant, lane: Option<Lane>) {
        if let Some(lane) = lane {
            tenant.lanes.leave(lane);
            self.lanes.leave(lane);
        }
        tenant.in_flight.fetch_sub(1, Relaxed);
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// Calls of each lane that are in flight, and how many of it were refused since the last time, for its
    /// callers' own limits and for the lane's.
    pub(super) fn take_lanes(&self) -> impl Iterator<Item = (Lane, usize, [u64; 2])> {
        Lane::ALL.into_iter().zip(&self.refused).map(|(lane, refused)| {
            let [own, full] = refused;
            (lane, self.lanes.in_use(lane), [own.swap(0, Relaxed), full.swap(0, Relaxed)])
        })
    }

    /// Calls and bad ones of each caller that had any since the last time.
    pub(super) fn take_seen(&self) -> Vec<(Identity, (u32, u32))> {
        let callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = callers.iter().map(|(caller, tenant)| (caller.clone(), tenant.seen.take()));
        seen.filter(|(_, (n, _))| *n > 0).collect()
    }

    /// Calls in flight, of all callers.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }
}

fn number(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
