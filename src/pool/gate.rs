//! An issuer takes calls only from relays that hold a live lease of their present generation, and gives no
//! relay more than its share of what it can do at once, and ends what stands open of a relay whose lease is
//! over: the only fence that holds against a relay which does not listen. (One that does not read either
//! loses its connection by `net::serve`.)

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::evidence::UnitId;
use crate::{
    domain::identity::Identity,
    telemetry::names,
    wire::fault::{Fault, Reason},
};

/// What a relay that is given no lease may pass on: probes, by which it is seen to be well again. Through one
/// that is given its lease they are let in as callers' calls are, so that no process that refuses those looks
/// well.
const PROBE: &str = "/todoke.v1.PoolService/Probe";
/// And its own report, by which it asks for a lease.
const REPORT: &str = "/todoke.v1.PoolService/Report";
/// What it calls of ours beside those two is a caller's.
const OURS: &str = "/todoke.";

/// What a unit may do at this issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leave {
    /// The generation whose calls are taken.
    pub generation: u64,
    /// Until when, in ms since 1970.
    pub until_ms: i64,
    /// Whether its calls are given the time to end now: there is none after that.
    pub draining: bool,
    /// Whether a deep probe that comes through it must show that lease, too. Where none is given, as on
    /// probation or while it drains, it shows by its probes that it is well again.
    pub shown_by_probes: bool,
}

/// Lets relays' calls in.
#[derive(Debug)]
pub struct Gate {
    calls_max: u32,
    drain: Duration,
    units: ArcSwap<BTreeMap<UnitId, Arc<Unit>>>,
    /// What stands open under leases that are over, and until when it may, in ms since 1970.
    over: Mutex<Vec<(i64, Arc<Share>)>>,
}

#[derive(Debug)]
struct Unit {
    leave: Option<Leave>,
    /// The generation whose lease was live when this was said.
    live: Option<u64>,
    share: Arc<Share>,
    /// Calls that came since somebody asked.
    calls: Arc<AtomicU64>,
}

/// The calls that stand open under one lease.
#[derive(Debug, Default)]
struct Share {
    in_flight: AtomicU32,
    ended: CancellationToken,
}

impl Share {
    fn end(&self) {
        let open = self.in_flight.load(Relaxed);
        if open > 0 {
            tracing::warn!(open, "calls are ended that stood open under a relay's lease that is over");
        }
        self.ended.cancel();
    }
}

/// A call's place in its relay's share; given back when dropped.
#[derive(Debug)]
pub struct Entered(Option<Arc<Share>>);

impl Entered {
    /// Ends once the lease that let the call in is over, and the time that its calls had to end in, too.
    #[must_use]
    pub fn ended(&self) -> Option<WaitForCancellationFutureOwned> {
        self.0.as_ref().map(|share| share.ended.clone().cancelled_owned())
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        if let Some(share) = &self.0 {
            share.in_flight.fetch_sub(1, Relaxed);
        }
    }
}

/// Whether a relay makes this call for itself, with a lease or without.
fn is_own(path: &str) -> bool {
    path == PROBE || path == REPORT
}

/// Refuses a call that a relay makes for itself and that is none of its own: no lease lets it in, ever.
///
/// # Errors
/// `WRONG_ROLE`.
pub fn is_for_a_caller(relay: &Identity, path: &str) -> Result<(), Fault> {
    if is_own(path) || !path.starts_with(OURS) {
        return Ok(());
    }
    let words = format!("{relay} may only report and probe by itself: use the certificate of whoever asks");
    Err(Fault::new(Reason::WrongRole, words))
}

/// The unit, if it shows its live lease of its present generation.
fn holds<'a>(
    relay: &Identity,
    unit: Option<&'a Arc<Unit>>,
    generation: Option<u64>,
    now_ms: i64,
) -> Result<&'a Arc<Unit>, Fault> {
    let fenced = |why: &str| {
        Fault::new(Reason::RelayFenced, format!("{relay} {why}: use another relay"))
            .after(Duration::from_millis(100))
    };
    let Some((unit, leave)) = unit.and_then(|unit| Some((unit, unit.leave?))) else {
        return Err(fenced("holds no lease"));
    };
    if leave.until_ms <= now_ms {
        return Err(fenced("did not renew its lease"));
    }
    match generation {
        None => return Err(fenced("shows no lease with this call")),
        Some(shown) if shown > leave.generation => {
            return Err(fenced(&format!("shows a lease of generation {shown}, which is not known here")));
        }
        Some(shown) if shown < leave.generation => {
            let now = leave.generation;
            let words = format!(
                "{relay} shows a lease of generation {shown}, and {now} is in force: it was taken out \
                 since, or another process serves under its name: use another relay"
            );
            let stale = Fault::new(Reason::GenerationStale, words);
            return Err(stale.after(Duration::from_millis(100)));
        }
        Some(_) => {}
    }
    Ok(unit)
}

impl Gate {
    /// At most `calls_max` calls of one relay are worked on at once; those of a lease that is over have the
    /// time `drain` to end.
    #[must_use]
    pub fn new(calls_max: u32, drain: Duration) -> Self {
        Self { calls_max, drain, units: ArcSwap::default(), over: Mutex::default() }
    }

    /// Says who may do what from now on; who is not named may nothing. Call it once a second: it ends what
    /// has had its time.
    pub fn set(&self, leaves: &BTreeMap<UnitId, Option<Leave>>, now_ms: i64) {
        let old = self.units.load();
        let unit = |(unit, leave): (&UnitId, &Option<Leave>)| {
            let old = old.get(unit);
            let live = leave.filter(|leave| leave.until_ms > now_ms).map(|leave| leave.generation);
            let share = old.filter(|old| old.live == live).map(|old| Arc::clone(&old.share));
            let calls = old.map(|old| Arc::clone(&old.calls)).unwrap_or_default();
            let share = share.unwrap_or_default();
            (unit.clone(), Arc::new(Unit { leave: *leave, live, share, calls }))
        };
        let new: BTreeMap<UnitId, Arc<Unit>> = leaves.iter().map(unit).collect();
        let drain_ms = i64::try_from(self.drain.as_millis()).unwrap_or(i64::MAX);
        let mut over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        for (unit, old) in old.iter().filter(|(_, old)| old.live.is_some()) {
            let goes_on = new.get(unit).is_some_and(|new| Arc::ptr_eq(&new.share, &old.share));
            if !goes_on {
                let has_drained = old.leave.is_some_and(|leave| leave.draining);
                let more_ms = if has_drained { 0 } else { drain_ms };
                over.push((now_ms.saturating_add(more_ms), Arc::clone(&old.share)));
            }
        }
        // Before anything is ended: whoever comes in a moment too late ends with it.
        self.units.store(Arc::new(new));
        over.retain(|(until_ms, share)| {
            let has_time = *until_ms > now_ms;
            if !has_time {
                share.end();
            }
            has_time
        });
    }

    /// Lets a call in that this relay passed on, or says why not. `generation` is what the relay says of its
    /// lease.
    ///
    /// # Errors
    /// `RELAY_FENCED`; `GENERATION_STALE` under an older lease; `LANE_FULL` beyond its share.
    pub fn enter(
        &self,
        relay: &Identity,
        generation: Option<u64>,
        path: &str,
        now_ms: i64,
    ) -> Result<Entered, Fault> {
        let entered = match path {
            REPORT => Ok(Entered(None)),
            PROBE => self.admit_probe(relay, generation, now_ms),
            _ => self.admit(relay, generation, now_ms),
        };
        entered.inspect_err(|fault| {
            let reason = fault.reason.as_str();
            metrics::counter!(names::POOL_GATE_REFUSALS, names::REASON => reason).increment(1);
        })
    }

    /// A probe takes no place of the relay's share, and counts for no call.
    fn admit_probe(&self, relay: &Identity, generation: Option<u64>, now_ms: i64) -> Result<Entered, Fault> {
        let units = self.units.load();
        let unit = UnitId::of(relay).and_then(|unit| units.get(&unit));
        if unit.and_then(|unit| unit.leave).is_some_and(|leave| leave.shown_by_probes) {
            holds(relay, unit, generation, now_ms)?;
        }
        Ok(Entered(None))
    }

    fn admit(&self, relay: &Identity, generation: Option<u64>, now_ms: i64) -> Result<Entered, Fault> {
        let units = self.units.load();
        let unit = UnitId::of(relay).and_then(|unit| units.get(&unit));
        let unit = holds(relay, unit, generation, now_ms)?;
        unit.calls.fetch_add(1, Relaxed);
        let entered = Entered(Some(Arc::clone(&unit.share)));
        if unit.share.in_flight.fetch_add(1, Relaxed) >= self.calls_max {
            let words =
                format!("{relay} has its share of {} calls here already: wait a moment", self.calls_max);
            return Err(Fault::new(Reason::LaneFull, words).after(Duration::from_millis(100)));
        }
        Ok(entered)
    }

    /// How many calls of each relay came since the last time.
    #[must_use]
    pub fn take_calls(&self) -> Vec<(UnitId, u64)> {
        let units = self.units.load();
        let taken = units.iter().map(|(unit, of)| (unit.clone(), of.calls.swap(0, Relaxed)));
        taken.filter(|(_, calls)| *calls > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const PATH: &str = "/todoke.v1.BatchService/GetBatch";

    const DRAIN: Duration = Duration::from_secs(10);

    fn set(gate: &Gate, leave: Option<Leave>, now_ms: i64) {
        gate.set(&BTreeMap::from([(unit(), leave)]), now_ms);
    }

    fn relay() -> Identity {
        "relay/relay-2".parse().expect("an identity")
    }

    fn unit() -> UnitId {
        "relay-2".parse().expect("a name")
    }

    fn leave(generation: u64, until_ms: i64) -> Leave {
        Leave { generation, until_ms, draining: false, shown_by_probes: true }
    }

    fn gate(leave: Option<Leave>) -> Gate {
        let gate = Gate::new(2, DRAIN);
        set(&gate, leave, 0);
        gate
    }

    fn reason(entered: Result<Entered, Fault>) -> Option<Reason> {
        entered.err().map(|fault| fault.reason)
    }

    #[test]
    fn only_a_live_lease_of_the_present_generation_opens_the_gate() {
        let open = gate(Some(leave(3, 1_000)));
        let asked = |generation, now_ms| reason(open.enter(&relay(), generation, PATH, now_ms));
        assert_eq!(asked(Some(3), 999), None);
        assert_eq!(asked(Some(3), 1_000), Some(Reason::RelayFenced), "it ends then");
        assert_eq!(asked(Some(2), 0), Some(Reason::GenerationStale));
        for unknown in [None, Some(4), Some(u64::MAX)] {
            assert_eq!(asked(unknown, 0), Some(Reason::RelayFenced), "{unknown:?}: nothing is stale in it");
        }
        assert_eq!(reason(gate(None).enter(&relay(), Some(3), PATH, 0)), Some(Reason::RelayFenced));
        let other = "relay/relay-3".parse().expect("an identity");
        assert_eq!(reason(open.enter(&other, Some(3), PATH, 0)), Some(Reason::RelayFenced));
    }

    #[test]
    fn what_a_relay_calls_for_itself_is_its_own_or_refused_for_good() {
        for own in [PROBE, REPORT, "/grpc.health.v1.Health/Check"] {
            assert!(is_for_a_caller(&relay(), own).is_ok(), "{own}");
        }
        for path in [PATH, "/todoke.v1.PoolService/OrderUnit", "/todoke.v1.PoolService/GetView"] {
            let refused = is_for_a_caller(&relay(), path).expect_err(path);
            assert_eq!(refused.reason, Reason::WrongRole);
            assert!(!refused.reason.safe_to_retry() && refused.message.contains("certificate"), "{refused}");
        }
    }

    #[test]
    fn a_fenced_relay_still_passes_probes_and_reports() {
        for path in [PROBE, REPORT] {
            assert_eq!(reason(gate(None).enter(&relay(), None, path, 0)), None);
        }
        let drains = gate(Some(Leave { shown_by_probes: false, ..leave(3, 9) }));
        assert_eq!(reason(drains.enter(&relay(), None, PROBE, 0)), None, "it may not serve, and knows it");
    }

    #[test]
    fn a_probe_through_a_process_that_callers_are_refused_by_fails_as_they_do() {
        let open = gate(Some(leave(3, 9)));
        for (generation, now_ms) in [(Some(3), 0), (Some(3), 9), (Some(2), 0), (Some(4), 0), (None, 0)] {
            let asked = [PATH, PROBE].map(|path| reason(open.enter(&relay(), generation, path, now_ms)));
            assert_eq!(asked[0], asked[1], "{generation:?} at {now_ms}");
        }
        assert_eq!(reason(open.enter(&relay(), None, REPORT, 0)), None, "by that it asks for its lease");
        let entered: Vec<_> = (0..3).map(|_| open.enter(&relay(), Some(3), PROBE, 0)).collect();
        assert!(entered.iter().all(Result::is_ok), "and takes no place of theirs");
        assert_eq!(open.take_calls(), [(unit(), 1)], "nor counts as one");
    }

    #[test]
    fn a_relay_gets_its_share_and_no_more_and_keeps_it_when_leaves_are_set_anew() {
        let open = gate(Some(leave(1, 9)));
        let enter = || open.enter(&relay(), Some(1), PATH, 0);
        let (one, two) = (enter().expect("a place"), enter().expect("a place"));
        set(&open, Some(leave(1, 8)), 1);
        assert_eq!(reason(enter()), Some(Reason::LaneFull));
        drop(one);
        drop(enter().expect("a place is free again"));
        drop(two);
        assert_eq!(open.take_calls(), [(unit(), 4)]);
        assert_eq!(open.take_calls(), []);
    }

    #[test]
    fn what_stands_open_ends_once_its_lease_is_over_and_its_time_to_drain_too() {
        let second = 1_000;
        let drained = Leave { draining: true, ..leave(1, 90 * second) };
        let ways = [
            ("gave its lease back", vec![(leave(1, 90 * second), 0), (leave(2, 90 * second), 1)], 11),
            ("did not renew it", vec![(leave(1, 5 * second), 0), (leave(1, 5 * second), 5)], 15),
            ("has drained", vec![(drained, 0), (leave(2, 90 * second), 1)], 1),
        ];
        for (way, leaves, over_s) in ways {
            let gate = gate(Some(leaves[0].0));
            let call = gate.enter(&relay(), Some(1), PATH, 0).expect(way);
            let ended = || call.ended().expect("a call under a lease").now_or_never().is_some();
            for (leave, second_s) in leaves {
                set(&gate, Some(leave), second_s * second);
            }
            for second_s in 1..over_s {
                assert!(!ended(), "{way}: ended before {second_s} s");
                set(&gate, None, second_s * second);
            }
            set(&gate, None, over_s * second);
            assert!(ended(), "{way}: stands open after {over_s} s");
        }
    }

    #[test]
    fn a_later_lease_has_a_share_of_its_own_and_its_calls_stand() {
        let gate = gate(Some(leave(1, 9)));
        let enter = |generation| gate.enter(&relay(), Some(generation), PATH, 1);
        let former = [enter(1).expect("a place"), enter(1).expect("a place")];
        set(&gate, Some(leave(2, 90_000)), 1);
        let later = [enter(2).expect("the whole share"), enter(2).expect("the whole share")];
        assert_eq!(reason(enter(2)), Some(Reason::LaneFull));
        set(&gate, Some(leave(2, 90_000)), 20_000);
        let ended = |call: &Entered| call.ended().expect("under a lease").now_or_never().is_some();
        assert!(former.iter().all(ended) && !later.iter().any(ended));
        drop(former);
        assert_eq!(reason(enter(2)), Some(Reason::LaneFull), "the former ones' places were their own");
        assert_eq!(gate.take_calls(), [("relay-2".parse().expect("a name"), 6)], "of both leases");
    }
}
