//! Everybody below `cli/` takes the time from here, so that a test can hold it still.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

/// Where the time comes from. A clone shows the same time.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Ahead(i64),
    Fixed(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's own clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// The machine's own clock, set ahead by `by_ms`, or back: for `todoke demo`, which skips days.
    #[must_use]
    pub fn ahead(by_ms: i64) -> Self {
        Self(Source::Ahead(by_ms))
    }

    /// A clock that stands still at `now_ms` until it is advanced.
    #[must_use]
    pub fn fixed(now_ms: i64) -> Self {
        Self(Source::Fixed(Arc::new(AtomicI64::new(now_ms))))
    }

    /// Milliseconds since the Unix epoch; negative before it.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        match &self.0 {
            Source::System => system_ms(),
            Source::Ahead(by_ms) => system_ms().saturating_add(*by_ms),
            Source::Fixed(now_ms) => now_ms.load(Ordering::SeqCst),
        }
    }

    /// Moves a fixed clock, and each of its clones, by `by_ms`.
    ///
    /// # Panics
    /// If this is the machine's clock: nobody may move that.
    pub fn advance(&self, by_ms: i64) {
        match &self.0 {
            Source::System | Source::Ahead(_) => panic!("only a fixed clock can be advanced"),
            Source::Fixed(now_ms) => drop(now_ms.fetch_add(by_ms, Ordering::SeqCst)),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place below cli/ that reads the clock")]
fn system_ms() -> i64 {
    let ms = |span: std::time::Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => ms(since),
        Err(before) => -ms(before.duration()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_clock_moves_only_when_told_and_with_its_clones() {
        let clock = Clock::fixed(1_000);
        let clone = clock.clone();
        assert_eq!(clone.now_ms(), 1_000);
        clock.advance(250);
        clone.advance(-50);
        assert_eq!((clock.now_ms(), clone.now_ms()), (1_200, 1_200));
    }

    #[test]
    fn the_system_clock_shows_this_century() {
        let now_ms = Clock::system().now_ms();
        assert!((1_700_000_000_000..4_102_444_800_000).contains(&now_ms), "{now_ms}");
    }

    #[test]
    fn a_clock_that_is_ahead_shows_that_much_more() {
        let (now_ms, back_ms) = (Clock::system().now_ms(), Clock::ahead(-86_400_000).now_ms());
        assert!((0..60_000).contains(&(back_ms + 86_400_000 - now_ms)), "{now_ms}, {back_ms}");
    }

    #[test]
    #[should_panic(expected = "only a fixed clock")]
    fn the_system_clock_cannot_be_moved() {
        Clock::system().advance(1);
    }
}
