//! A relay plays a fault when an operator wants to see what the pool does about it, for a stated time.

use arc_swap::ArcSwapOption;
use tokio::time::Instant;

use crate::pool::drill::{Fault, Played};

/// What is played now.
#[derive(Debug, Default)]
pub(super) struct Drill(ArcSwapOption<Running>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Running {
    fault: Fault,
    since: Instant,
    until: Instant,
}

impl Drill {
    /// Plays this fault until then; `None` ends what is played.
    pub(super) fn set(&self, fault: Option<(Fault, Instant)>) {
        let now = self.0.load();
        match fault {
            // The same one goes on where it is.
            Some((fault, until)) if now.as_ref().is_some_and(|now| now.fault == fault) => {
                let since = now.as_ref().map_or_else(Instant::now, |now| now.since);
                self.0.store(Some(Running { fault, since, until }.into()));
            }
            Some((fault, until)) => {
                tracing::warn!("a drill begins: this relay plays {fault}");
                self.0.store(Some(Running { fault, since: Instant::now(), until }.into()));
            }
            None if now.is_some() => {
                tracing::warn!("the drill is over");
                self.0.store(None);
            }
            None => {}
        }
    }

    /// What becomes of a call; `chance` is from 0 to 1, another for each.
    pub(super) fn play(&self, chance: impl FnOnce() -> f64) -> Played {
        let running = self.0.load();
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
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_drill_ends_by_itself_and_one_that_is_ordered_again_goes_on() {
        let drill = Drill::default();
        assert_eq!(drill.play(|| 0.0), Played::Nothing);
        let flap = Fault::Flap(2, 3);
        let set = |seconds| drill.set(Some((flap, Instant::now() + Duration::from_secs(seconds))));
        set(10);
        assert_eq!(drill.play(|| 0.0), Played::Fail);
        tokio::time::advance(Duration::from_secs(3)).await;
        set(10);
        assert_eq!(drill.play(|| 0.0), Played::Nothing, "it did not begin anew");
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(drill.play(|| 0.0), Played::Nothing, "it is over");
        set(10);
        drill.set(None);
        assert_eq!(drill.play(|| 0.0), Played::Nothing);
    }
}
