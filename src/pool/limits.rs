//! Nobody takes all places of the pool's service, nor all of its time: whoever is over a limit is refused,
//! and the others are served as ever.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::{
    domain::{identity::Identity, pool_notes::UNITS_MAX},
    wire::fault::{Fault, Reason},
};

/// Watchers of the view, all callers together.
const VIEW_WATCHERS_MAX: usize = 4_096;
/// And of one caller.
const VIEW_WATCHERS_OF_ONE: u32 = 4;
/// Those who read decisions or the ledger as a stream.
const DECISION_WATCHERS_MAX: usize = 16;
/// Probes of one prober in a second: twice what it makes of a full pool that is looked at closely.
const PROBES_A_SECOND: u32 = 2 * UNITS_MAX as u32;
/// Reports of one relay in a second, of which one may be in work.
const REPORTS_A_SECOND: u32 = 100;
/// Identities whose seconds are counted; the oldest is forgotten first.
const COUNTED_MAX: usize = 1_024;

/// What the pool's service takes at once.
pub(super) struct Limits {
    views: Arc<Semaphore>,
    decisions: Arc<Semaphore>,
    watching: Counts,
    reporting: Counts,
    probes: Rate,
    reports: Rate,
}

/// How many places each caller has taken.
pub(super) type Counts = Arc<Mutex<BTreeMap<Identity, u32>>>;

/// A place; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    permit: Option<OwnedSemaphorePermit>,
    of: Option<(Counts, Identity)>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((counts, caller)) = &self.of else { return };
        let mut counts = locked(counts);
        if let Some(count) = counts.get_mut(caller) {
            *count -= 1;
            if *count == 0 {
                counts.remove(caller);
            }
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn full(words: String) -> Fault {
    Fault::new(Reason::LaneFull, words).after(Duration::from_secs(1))
}

/// Takes one of the `most` places that this caller has.
pub(super) fn one_of(counts: &Counts, caller: &Identity, most: u32) -> Option<Place> {
    let mut held = locked(counts);
    let count = held.entry(caller.clone()).or_insert(0);
    if *count >= most {
        return None;
    }
    *count += 1;
    Some(Place { permit: None, of: Some((Arc::clone(counts), caller.clone())) })
}

fn of_all(places: &Arc<Semaphore>, what: &str) -> Result<OwnedSemaphorePermit, Fault> {
    let free = Arc::clone(places).try_acquire_owned();
    free.map_err(|_| full(format!("all places of {what} are taken: try again, or ask another issuer")))
}

impl Limits {
    pub(super) fn new() -> Self {
        Self {
            views: Arc::new(Semaphore::new(VIEW_WATCHERS_MAX)),
            decisions: Arc::new(Semaphore::new(DECISION_WATCHERS_MAX)),
            watching: Arc::default(),
            reporting: Arc::default(),
            probes: Rate::default(),
            reports: Rate::default(),
        }
    }

    /// A place of one who watches the view.
    ///
    /// # Errors
    /// `LANE_FULL`.
    pub(super) fn view_watcher(&self, caller: &Identity) -> Result<Place, Fault> {
        let mut place = one_of(&self.watching, caller, VIEW_WATCHERS_OF_ONE).ok_or_else(|| {
            full(format!("{caller} watches the view {VIEW_WATCHERS_OF_ONE} times already: end one of them"))
        })?;
        place.permit = Some(of_all(&self.views, "those who watch the view")?);
        Ok(place)
    }

    /// A place of one who reads decisions or the ledger as a stream.
    ///
    /// # Errors
    /// `LANE_FULL`.
    pub(super) fn decision_watcher(&self) -> Result<Place, Fault> {
        let permit = of_all(&self.decisions, "those who read decisions as a stream")?;
        Ok(Place { permit: Some(permit), of: None })
    }

    /// Lets a probe in.
    ///
    /// # Errors
    /// `TENANT_RATE_LIMIT`.
    pub(super) fn probe(&self, prober: &Identity) -> Result<(), Fault> {
        self.probes.count(prober, PROBES_A_SECOND, "probes")
    }

    /// A relay's place for its report.
    ///
    /// # Errors
    /// `LANE_FULL` while another of its reports is in work, `TENANT_RATE_LIMIT`.
    pub(super) fn report(&self, relay: &Identity) -> Result<Place, Fault> {
        self.reports.count(relay, REPORTS_A_SECOND, "reports")?;
        one_of(&self.reporting, relay, 1)
            .ok_or_else(|| full(format!("a report of {relay} is in work already: wait for its answer")))
    }
}

/// What each caller did in its present second.
#[derive(Debug, Default)]
struct Rate(Mutex<BTreeMap<Identity, (Instant, u32)>>);

impl Rate {
    fn count(&self, caller: &Identity, most: u32, what: &str) -> Result<(), Fault> {
        let (now, mut seconds) = (Instant::now(), locked(&self.0));
        if seconds.len() >= COUNTED_MAX && !seconds.contains_key(caller) {
            let oldest =
                seconds.iter().min_by_key(|(_, (begun, _))| *begun).map(|(caller, _)| caller.clone());
            oldest.map(|oldest| seconds.remove(&oldest));
        }
        let (begun, count) = seconds.entry(caller.clone()).or_insert((now, 0));
        if now.saturating_duration_since(*begun) >= Duration::from_secs(1) {
            (*begun, *count) = (now, 0);
        }
        if *count >= most {
            let words = format!("{caller} sent {most} {what} in this second: wait for the next");
            return Err(Fault::new(Reason::TenantRateLimit, words).after(Duration::from_secs(1)));
        }
        *count += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(text: &str) -> Identity {
        text.parse().expect("an identity")
    }

    fn reason<T: std::fmt::Debug>(taken: Result<T, Fault>) -> Option<Reason> {
        taken.err().map(|fault| fault.reason)
    }

    #[test]
    fn one_caller_watches_the_view_so_often_and_leaves_places_to_the_others() {
        let limits = Limits::new();
        let (one, other) = (caller("municipality/131229"), caller("municipality/131211"));
        let mut places: Vec<Place> =
            (0..VIEW_WATCHERS_OF_ONE).map(|_| limits.view_watcher(&one).expect("a place")).collect();
        assert_eq!(reason(limits.view_watcher(&one)), Some(Reason::LaneFull));
        places.push(limits.view_watcher(&other).expect("it has its own"));
        places.remove(0);
        places.push(limits.view_watcher(&one).expect("a place is free again"));
        drop(places);
        assert!(locked(&limits.watching).is_empty(), "nobody is remembered for nothing");
        assert_eq!(limits.views.available_permits(), VIEW_WATCHERS_MAX);
    }

    #[test]
    fn no_number_of_callers_takes_more_places_than_there_are() {
        let limits = Limits::new();
        let many = Arc::clone(&limits.views).try_acquire_many_owned(VIEW_WATCHERS_MAX as u32).expect("all");
        assert_eq!(reason(limits.view_watcher(&caller("municipality/131229"))), Some(Reason::LaneFull));
        assert!(locked(&limits.watching).is_empty(), "who is refused holds nothing");
        drop(many);
        let all: Vec<Place> =
            (0..DECISION_WATCHERS_MAX).map(|_| limits.decision_watcher().expect("a place")).collect();
        assert_eq!(reason(limits.decision_watcher()), Some(Reason::LaneFull));
        drop(all);
        limits.decision_watcher().expect("a place is free again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_prober_probes_so_often_in_a_second_and_another_is_not_held_up() {
        let limits = Limits::new();
        let (one, other) = (caller("relay/relay-1"), caller("relay/relay-2"));
        for _ in 0..2 {
            for _ in 0..PROBES_A_SECOND {
                limits.probe(&one).expect("it is within its limit");
            }
            assert_eq!(reason(limits.probe(&one)), Some(Reason::TenantRateLimit));
            limits.probe(&other).expect("it is another's");
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        for n in 0..=COUNTED_MAX {
            limits.probe(&caller(&format!("relay/r-{n}"))).expect("it is its first");
        }
        assert_eq!(locked(&limits.probes.0).len(), COUNTED_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_relay_has_one_report_in_work_and_so_many_in_a_second() {
        let limits = Limits::new();
        let (one, other) = (caller("relay/relay-1"), caller("relay/relay-2"));
        let first = limits.report(&one).expect("a place");
        assert_eq!(reason(limits.report(&one)), Some(Reason::LaneFull));
        drop((first, limits.report(&other).expect("its own")));
        for _ in 2..REPORTS_A_SECOND {
            drop(limits.report(&one).expect("one after the other"));
        }
        assert_eq!(reason(limits.report(&one)), Some(Reason::TenantRateLimit));
        tokio::time::advance(Duration::from_secs(1)).await;
        limits.report(&one).expect("in the next second");
    }
}
