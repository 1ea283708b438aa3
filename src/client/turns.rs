//! Retries that find nothing left of the budget wait their turn, in their order and as long as they have
//! patience; how many go at a time shows how well the system answers.
//!
//! While it is down it is asked about once a second, however many wait. Each answer then lets one more go, so
//! that all of them are through soon after it is back, and none of them comes before another was answered.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout_at},
};

use super::{picker::locked, retry::Budget};

/// The budget of one client, and who waits for it.
#[derive(Debug)]
pub(super) struct Turns {
    budget: Mutex<Budget>,
    /// Who has this is first in the queue; it is given in order.
    first: tokio::sync::Mutex<()>,
    waiting: AtomicUsize,
    earned: Notify,
}

/// One that waits, as long as this lives.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn begin(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Relaxed);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Turns {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            budget: Mutex::new(Budget::new(now)),
            first: tokio::sync::Mutex::default(),
            waiting: AtomicUsize::new(0),
            earned: Notify::new(),
        }
    }

    /// A call begins.
    pub(super) fn call(&self) {
        locked(&self.budget).earn();
    }

    /// An attempt was answered: one of those who wait may go.
    pub(super) fn answered(&self) {
        if self.waiting.load(Relaxed) > 0 {
            locked(&self.budget).pay();
            self.earned.notify_one();
        }
    }

    /// Takes a token if one is there that nobody waits for.
    pub(super) fn at_once(&self) -> bool {
        self.waiting.load(Relaxed) == 0 && locked(&self.budget).take_now(Instant::now()).is_ok()
    }

    /// Takes the next token to grow and says how long until it is there; `None` if that is not before `limit`
    /// is over.
    pub(super) fn take(&self, limit: Duration) -> Option<Duration> {
        locked(&self.budget).take(Instant::now(), limit)
    }

    /// Waits for a token and takes it; whether there was one until then.
    pub(super) async fn wait(&self, until: Instant) -> bool {
        let _waits = Waits::begin(&self.waiting);
        let turn = async {
            let _first = self.first.lock().await;
            loop {
                let earned = self.earned.notified();
                let Err(grows) = locked(&self.budget).take_now(Instant::now()) else { return };
                tokio::select! {
                    () = earned => {}
                    () = sleep(grows) => {}
                }
            }
        };
        timeout_at(until, turn).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::task::JoinSet;

    use super::*;

    /// Seventy who wait for as long as this; what comes out is when each of them had its turn.
    fn seventy(turns: &Arc<Turns>, patience: Duration) -> JoinSet<Option<u64>> {
        let begun = Instant::now();
        let mut waiting = JoinSet::new();
        for _ in 0..70 {
            let turns = Arc::clone(turns);
            waiting.spawn(async move {
                turns.wait(begun + patience).await.then(|| begun.elapsed().as_millis() as u64 / 1000)
            });
        }
        waiting
    }

    #[tokio::test(start_paused = true)]
    async fn while_nothing_is_answered_one_goes_a_second_and_each_waits_as_long_as_it_can() {
        let turns = Arc::new(Turns::new(Instant::now()));
        let begun = Instant::now();
        let waited = seventy(&turns, Duration::from_millis(60_500)).join_all().await;
        let mut had: Vec<u64> = waited.iter().copied().flatten().collect();
        had.sort_unstable();
        assert_eq!(had, std::iter::repeat_n(0, 10).chain(1..=60).collect::<Vec<u64>>());
        assert!(begun.elapsed() < Duration::from_secs(61), "{:?}", begun.elapsed());
        let begun = Instant::now();
        let waited = seventy(&turns, Duration::from_millis(20_500)).join_all().await;
        assert!((20..=21).contains(&waited.iter().flatten().count()), "{waited:?}");
        assert_eq!(begun.elapsed().as_millis(), 20_500, "who had no turn waited to its end");
        assert_eq!(turns.waiting.load(Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn each_answer_lets_one_go_and_what_is_sent_beside_never_comes_before_them() {
        let turns = Arc::new(Turns::new(Instant::now()));
        let mut waiting = seventy(&turns, Duration::from_secs(60));
        for _ in 0..10 {
            assert_eq!(waiting.join_next().await.expect("there are more").expect("no panic"), Some(0));
        }
        let begun = Instant::now();
        assert!(!turns.at_once(), "others wait");
        for _ in 0..60 {
            turns.answered();
            waiting.join_next().await.expect("there are more").expect("no panic").expect("it has its turn");
        }
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        for _ in 0..100 {
            turns.answered();
        }
        assert!(!turns.at_once(), "an answer that nobody waited for is worth nothing");
    }
}
