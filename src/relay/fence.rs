//! A relay serves while it holds a lease; without one it says so, takes no call, and ends within its drain
//! what it began. An order to stop may grant a grace: for that long calls that come all the same are taken.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::wire::fault::{Fault, Reason};

/// How the reason begins for which a relay is not ready that the pool took out: all is well with the process.
pub const TAKEN_OUT: &str = "the pool's controller took it out";

/// Longest time for which calls are taken after an order to stop.
const GRACE_MAX: Duration = Duration::from_secs(5);

/// By what right a relay serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// None yet: no issuer was asked.
    Waiting,
    /// Its issuers keep no pool.
    Unbound,
    /// A lease.
    Leased {
        /// It ends then, unless another one comes.
        until: Instant,
        /// Of the unit's life in the pool.
        generation: u64,
    },
    /// None: it was told to stop serving.
    Ordered {
        /// By the controller's words.
        why: String,
        /// For how long calls are taken that come all the same, while callers hear of it.
        grace: Duration,
    },
    /// None: its lease ended, and nobody gave another.
    Lapsed,
}

impl Standing {
    /// Whether it is an order that lets calls be taken for a moment.
    pub(super) fn is_graced(&self) -> bool {
        matches!(self, Self::Ordered { grace, .. } if !grace.is_zero())
    }
}

/// What stands between callers and the relay.
pub(super) struct Fence {
    standing: watch::Sender<Standing>,
    /// Whether it is one to serve, in one bit.
    serves: AtomicBool,
    /// Whether calls are taken, for the way of each; written under the lock of `standing`.
    open: AtomicBool,
    generation: AtomicU64,
}

impl Fence {
    /// `bound`: whether a lease is needed at all.
    pub(super) fn new(bound: bool) -> Self {
        let standing = if bound { Standing::Waiting } else { Standing::Unbound };
        Self {
            standing: watch::Sender::new(standing),
            serves: AtomicBool::new(!bound),
            open: AtomicBool::new(!bound),
            generation: AtomicU64::new(0),
        }
    }

    /// Whether calls may be taken, as they are for a moment after it serves no more.
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Relaxed)
    }

    /// Whether it may say that it serves, and keep its callers.
    pub(super) fn serves(&self) -> bool {
        self.serves.load(Relaxed)
    }

    /// For how long calls are taken after this standing began, though it is none to serve.
    pub(super) fn grace(&self) -> Duration {
        match (&*self.standing.borrow(), self.is_open()) {
            (Standing::Ordered { grace, .. }, true) => (*grace).min(GRACE_MAX),
            _ => Duration::ZERO,
        }
    }

    /// The generation of the last lease; 0: there was none.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Relaxed)
    }

    /// Follows the standing.
    pub(super) fn watch(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Takes a new standing; a lease that is over already is none.
    pub(super) fn set(&self, standing: Standing) {
        let serves = matches!(standing, Standing::Unbound | Standing::Leased { .. });
        let graced = standing.is_graced();
        if let Standing::Leased { generation, .. } = &standing {
            self.generation.store(*generation, Relaxed);
        }
        self.standing.send_if_modified(|now| {
            self.serves.store(serves, Relaxed);
            self.open.store(serves || graced && self.is_open(), Relaxed);
            let changed = *now != standing;
            *now = standing;
            changed
        });
    }

    /// Closes the fence when a lease ends without another, and before that does what is to be done then; and
    /// when an order's grace is over. Never returns.
    pub(super) async fn mind(&self, lapses: impl Fn()) {
        let mut standing = self.watch();
        let mut ordered = None;
        loop {
            let now = standing.borrow_and_update().clone();
            // However often it is said in other words, it counts from the first.
            ordered = match &now {
                Standing::Ordered { .. } if self.is_open() => ordered.or_else(|| Some(Instant::now())),
                _ => None,
            };
            let until = match now {
                Standing::Leased { until, .. } => Some(until),
                _ => ordered.map(|ordered| ordered + self.grace()),
            };
            tokio::select! {
                changed = standing.changed() => if changed.is_err() { return },
                () = end(until) => {
                    let over = until.is_some_and(|until| until <= Instant::now());
                    if over && ordered.take().is_some() {
                        self.close();
                    } else if over && !standing.has_changed().unwrap_or(false) {
                        // No other one came meanwhile.
                        lapses();
                        self.set(Standing::Lapsed);
                    }
                }
            }
        }
    }

    /// Takes no more calls, if it still is not to serve.
    fn close(&self) {
        self.standing.send_if_modified(|_| {
            self.open.store(self.serves(), Relaxed);
            false
        });
    }

    /// What a call is told, and why, while the fence is closed.
    pub(super) fn fault(&self) -> Fault {
        let words = format!("this relay does not serve: {}; use another", self.reason().unwrap_or_default());
        Fault::new(Reason::RelayFenced, words).after(Duration::from_millis(100))
    }

    /// Why it is not to serve, if it is not: calls are not taken then, but in the grace of an order.
    pub(super) fn reason(&self) -> Option<String> {
        match &*self.standing.borrow() {
            Standing::Unbound | Standing::Leased { .. } => None,
            Standing::Waiting => Some("it waits for its first lease from an issuer".to_owned()),
            Standing::Ordered { why, .. } => Some(format!("{TAKEN_OUT}: {why}")),
            Standing::Lapsed => Some("its lease ended and no issuer renewed it".to_owned()),
        }
    }
}

async fn end(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn leased(seconds: u64) -> Standing {
        Standing::Leased { until: Instant::now() + Duration::from_secs(seconds), generation: 1 }
    }

    fn ordered(why: &str, grace_ms: u64) -> Standing {
        Standing::Ordered { why: why.to_owned(), grace: Duration::from_millis(grace_ms) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_opens_the_fence_until_it_ends_and_a_new_one_keeps_it_open() {
        let fence = Arc::new(Fence::new(true));
        assert!(!fence.is_open(), "nobody was asked yet");
        let minded = Arc::clone(&fence);
        let tasks = tokio_util::task::TaskTracker::new();
        let mind = tasks.spawn(async move { minded.mind(|| {}).await });
        let mut watch = fence.watch();
        fence.set(leased(15));
        tokio::time::advance(Duration::from_secs(10)).await;
        fence.set(leased(15));
        tokio::time::advance(Duration::from_secs(10)).await;
        tokio::task::yield_now().await;
        assert!(fence.is_open(), "it was renewed");
        watch.wait_for(|now| *now == Standing::Lapsed).await.expect("it ends");
        assert!(!fence.is_open());
        assert_eq!(fence.fault().reason, Reason::RelayFenced);
        fence.set(leased(15));
        assert!(fence.is_open() && fence.reason().is_none(), "a new lease opens it again");
        fence.set(ordered("it fails 30 % of its calls", 0));
        assert!(!fence.is_open() && fence.reason().is_some_and(|why| why.contains("30 %")));
        mind.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_drained_takes_calls_for_a_moment_after_it_has_said_that_it_serves_no_more() {
        let fence = Arc::new(Fence::new(true));
        let minded = Arc::clone(&fence);
        let tasks = tokio_util::task::TaskTracker::new();
        let mind = tasks.spawn(async move { minded.mind(|| panic!("no lease ends")).await });
        let pass = async |ms| {
            for _ in 0..3 {
                tokio::task::yield_now().await; // what is minded begins to wait, too
            }
            tokio::time::advance(Duration::from_millis(ms)).await;
            tokio::task::yield_now().await;
        };
        fence.set(ordered("a drain", 1000));
        assert!(!fence.is_open(), "it took none before");
        fence.set(leased(15));
        pass(0).await;
        fence.set(ordered("a drain", 1000));
        assert!(fence.is_open() && !fence.serves());
        pass(900).await;
        fence.set(ordered("in other words", 1000));
        pass(99).await;
        assert!(fence.is_open(), "{:?}", fence.grace());
        pass(1).await;
        assert!(!fence.is_open(), "its time counts from the first order");
        fence.set(ordered("again in others", 1000));
        assert!(!fence.is_open(), "what is closed is not opened by an order to stop");
        fence.set(leased(15));
        fence.set(ordered("a long one", 60_000));
        pass(0).await;
        assert!(fence.is_open());
        pass(5_000).await;
        assert!(!fence.is_open(), "there is a limit");
        fence.set(leased(15));
        pass(0).await;
        fence.set(ordered("a drain", 1000));
        pass(300).await;
        fence.set(ordered("by another issuer, too", 400));
        pass(99).await;
        assert!(fence.is_open());
        pass(1).await;
        assert!(!fence.is_open(), "whoever gives less counts from the first order, too");
        fence.set(leased(15));
        fence.set(ordered("a drain", 1000));
        fence.set(ordered("it looks sick now", 0));
        assert!(!fence.is_open(), "at once");
        mind.abort();
    }

    #[test]
    fn without_a_pool_the_fence_is_always_open() {
        assert!(Fence::new(false).is_open());
    }
}
