//! A relay plays a fault when an operator wants to see what the pool does about it: for a stated time, which
//! ends whether anybody is there to say so or not, and only if it was started for that.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::time::Instant;

use crate::pool::drill::{Fault, Played, SECONDS_MAX};

/// What is played now.
#[derive(Debug, Default)]
pub(super) struct Drill {
    /// Whether this relay plays anything, whoever orders it.
    allowed: bool,
    /// Of the last order: whoever knows of an older one only is not heard.
    number: AtomicU64,
    running: ArcSwapOption<Running>,
    fresh: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Running {
    fault: Fault,
    since: Instant,
    until: Instant,
}

/// What an issuer says of drills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Said {
    /// Rises with each beginning and each end.
    pub(super) number: u64,
    /// What is to be played, and for how long from then on.
    pub(super) fault: Option<(Fault, Duration)>,
}

impl Drill {
    pub(super) fn new(allowed: bool) -> Self {
        Self { allowed, ..Self::default() }
    }

    pub(super) fn is_allowed(&self) -> bool {
        self.allowed
    }

    /// Takes what an issuer answered to what it was asked then. Only one task may.
    pub(super) fn hear(&self, said: Said, asked: Instant) {
        // Of several issuers one may not know yet what another has decided.
        if !self.allowed || said.number <= self.number.fetch_max(said.number, Relaxed) {
            return;
        }
        let Some((fault, left)) = said.fault else { return self.end() };
        let until = asked + left.min(Duration::from_secs(SECONDS_MAX));
        tracing::warn!("a drill begins: this relay plays {fault}");
        self.running.store(Some(Running { fault, since: Instant::now(), until }.into()));
        self.fresh.store(true, Relaxed);
    }

    fn end(&self) {
        if self.running.swap(None).is_some() {
            tracing::warn!("the drill is over");
        }
    }

    /// Ends what is over, and returns what has begun since the last look.
    pub(super) fn look(&self) -> Option<Fault> {
        let running = self.running.load_full();
        if running.as_ref().is_some_and(|running| running.until <= Instant::now()) {
            self.end();
        }
        running.filter(|_| self.fresh.swap(false, Relaxed)).map(|running| running.fault)
    }

    /// What is played now.
    pub(super) fn now(&self) -> Option<Fault> {
        let running = self.running.load();
        running.as_ref().filter(|running| Instant::now() < running.until).map(|running| running.fault)
    }

    /// What becomes of a call; `chance` is from 0 to 1, another for each.
    pub(super) fn play(&self, chance: impl FnOnce() -> f64) -> Played {
        let running = self.running.load();
        let Some(running) = running.as_ref() else { return Played::Nothing };
        let now = Instant::now();
        if now >= running.until {
            return Played::Nothing;
        }
        running.fault.play(now.saturating_duration_since(running.since), chance())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(number: u64, fault: &str, seconds: u64) -> Said {
        let fault = fault.parse().ok().map(|fault| (fault, Duration::from_secs(seconds)));
        Said { number, fault }
    }

    #[tokio::test(start_paused = true)]
    async fn a_drill_goes_on_while_it_is_said_again_and_ends_by_itself() {
        let drill = Drill::new(true);
        assert_eq!((drill.play(|| 0.0), drill.look()), (Played::Nothing, None));
        drill.hear(said(7, "flap:3s:2s", 10), Instant::now());
        assert_eq!([drill.look(), drill.look()], ["flap:3s:2s".parse().ok(), None], "it begins once");
        assert_eq!(drill.play(|| 0.0), Played::Nothing);
        tokio::time::advance(Duration::from_secs(4)).await;
        drill.hear(said(7, "flap:3s:2s", 6), Instant::now());
        assert_eq!(drill.play(|| 0.0), Played::Fail, "it did not begin anew");
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(drill.play(|| 0.0), Played::Fail);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(drill.play(|| 0.0), Played::Nothing, "it is over, and nobody said so");
        drill.hear(said(7, "flap:3s:2s", 6), Instant::now());
        assert_eq!((drill.look(), drill.play(|| 0.0)), (None, Played::Nothing), "it was played");
    }

    #[tokio::test(start_paused = true)]
    async fn who_knows_of_an_older_order_is_not_heard_and_the_longest_drill_has_ten_minutes() {
        let drill = Drill::new(true);
        drill.hear(said(5, "hang", 10_000), Instant::now());
        drill.hear(said(4, "", 0), Instant::now());
        assert_eq!(drill.play(|| 0.0), Played::Hang, "an issuer that has not read of it yet ends nothing");
        drill.hear(said(6, "", 0), Instant::now());
        drill.hear(said(5, "hang", 10_000), Instant::now());
        assert_eq!(drill.play(|| 0.0), Played::Nothing, "nor does it begin anew what was ended");
        drill.hear(said(8, "hang", 10_000), Instant::now());
        tokio::time::advance(Duration::from_millis(599_999)).await;
        assert_eq!(drill.play(|| 0.0), Played::Hang);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(drill.play(|| 0.0), Played::Nothing);
    }

    #[tokio::test(start_paused = true)]
    async fn a_relay_that_was_not_started_for_it_plays_nothing_whoever_orders_it() {
        let drill = Drill::new(false);
        drill.hear(said(1, "hang", 10), Instant::now());
        assert_eq!((drill.look(), drill.play(|| 0.0)), (None, Played::Nothing));
    }
}
