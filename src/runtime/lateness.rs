//! How late the timers of this process are: what a process says of itself that gets too little of its
//! processor, or is stopped for moments.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};

/// How often it is looked at: whoever is stopped for longer than this is seen to be.
const EVERY: Duration = Duration::from_millis(100);

/// The longest lateness since it was last asked for.
#[derive(Debug, Clone, Default)]
pub struct Lateness(Arc<AtomicU32>);

impl Lateness {
    /// Looks until it is dropped. Each moment is held against the timer's own schedule, not against the
    /// moment before, which may have been late, too.
    pub async fn watch(self) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let late = ticks.tick().await.elapsed();
            self.0.fetch_max(u32::try_from(late.as_millis()).unwrap_or(u32::MAX), Relaxed);
        }
    }

    /// The longest lateness since the last time, in ms.
    #[must_use]
    pub fn take(&self) -> u32 {
        self.0.swap(0, Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep};

    use super::*;

    /// A second of a process that is stopped for so long in each of its parts.
    async fn second(lateness: &Lateness, stopped_ms: u64, runs_ms: u64) -> u32 {
        for _ in 0..1_000 / (stopped_ms + runs_ms) {
            advance(Duration::from_millis(stopped_ms)).await;
            sleep(Duration::from_millis(runs_ms)).await;
        }
        lateness.take()
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_stopped_again_and_again_is_late_each_second() {
        let lateness = Lateness::default();
        let looked_at = async {
            sleep(Duration::from_millis(250)).await;
            assert!(lateness.take() <= 1, "it runs");
            for _ in 0..20 {
                let late = second(&lateness, 770, 230).await;
                assert!((670..=770).contains(&late), "{late} ms");
            }
            for _ in 0..20 {
                assert!(second(&lateness, 0, 500).await <= 1, "waiting is not being late");
            }
        };
        tokio::select! {
            () = lateness.clone().watch() => unreachable!("it never ends"),
            () = looked_at => {}
        }
    }
}
