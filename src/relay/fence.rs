//! A relay serves while it holds a lease; without one it takes no call, says so, and ends within its drain
//! what it began.

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
    },
    /// None: its lease ended, and nobody gave another.
    Lapsed,
}

/// What stands between callers and the relay.
pub(super) struct Fence {
    standing: watch::Sender<Standing>,
    /// The same in one bit, for the way of each call.
    open: AtomicBool,
    generation: AtomicU64,
}

impl Fence {
    /// `bound`: whether a lease is needed at all.
    pub(super) fn new(bound: bool) -> Self {
        let standing = if bound { Standing::Waiting } else { Standing::Unbound };
        Self {
            standing: watch::Sender::new(standing),
            open: AtomicBool::new(!bound),
            generation: AtomicU64::new(0),
        }
    }

    /// Whether calls may be taken.
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Relaxed)
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
        let open = matches!(standing, Standing::Unbound | Standing::Leased { .. });
        if let Standing::Leased { generation, .. } = &standing {
            self.generation.store(*generation, Relaxed);
        }
        self.open.store(open, Relaxed);
        self.standing.send_if_modified(|now| {
            let changed = *now != standing;
            *now = standing;
            changed
        });
    }

    /// Closes the fence when a lease ends without another, and before that does what is to be done then;
    /// never returns.
    pub(super) async fn mind(&self, lapses: impl Fn()) {
        let mut standing = self.watch();
        loop {
            let until = match *standing.borrow_and_update() {
                Standing::Leased { until, .. } => Some(until),
                _ => None,
            };
            tokio::select! {
                changed = standing.changed() => if changed.is_err() { return },
                () = end(until) => {
                    let over = until.is_some_and(|until| until <= Instant::now());
                    // Another one may have come meanwhile.
                    if over && !standing.has_changed().unwrap_or(false) {
                        lapses();
                        self.set(Standing::Lapsed);
                    }
                }
            }
        }
    }

    /// What a call is told, and why, while the fence is closed.
    pub(super) fn fault(&self) -> Fault {
        let words = format!("this relay does not serve: {}; use another", self.reason().unwrap_or_default());
        Fault::new(Reason::RelayFenced, words).after(Duration::from_millis(100))
    }

    /// Why calls are not taken, if they are not.
    pub(super) fn reason(&self) -> Option<String> {
        match &*self.standing.borrow() {
            Standing::Unbound | Standing::Leased { .. } => None,
            Standing::Waiting => Some("it waits for its first lease from an issuer".to_owned()),
            Standing::Ordered { why } => Some(format!("{TAKEN_OUT}: {why}")),
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
        fence.set(Standing::Ordered { why: "it fails 30 % of its calls".to_owned() });
        assert!(!fence.is_open() && fence.reason().is_some_and(|why| why.contains("30 %")));
        mind.abort();
    }

    #[test]
    fn without_a_pool_the_fence_is_always_open() {
        assert!(Fence::new(false).is_open());
    }
}
