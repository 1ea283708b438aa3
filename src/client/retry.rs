//! When a call may be sent again: full-jitter waits, a budget that keeps retries a small share of the calls,
//! and attempt time-outs learnt from the calls that succeeded.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// SplitMix64: small, seeded from outside, and random enough for waits and choices; never for secrets.
///
/// Source: G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`, which must not be 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).expect("it is below a usize")
    }

    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The longest wait that a relay can ask for. Ours ask for a second at the most; one that asked for an hour
/// would otherwise keep a sender from the others.
pub(super) const ASKED_MAX: Duration = Duration::from_secs(5);

/// Returns how long to wait before attempt number `attempt` (the first retry is 1).
///
/// Full jitter: uniform in `[0, min(delay_max, delay_base · 2^(attempt−1))]`, so that clients which failed
/// together do not come back together. A server's RetryInfo, if longer, wins, up to [`ASKED_MAX`].
///
/// Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
pub(crate) fn wait_before(
    attempt: u32,
    delay_base: Duration,
    delay_max: Duration,
    asked: Option<Duration>,
    dice: &mut Dice,
) -> Duration {
    let ceiling = delay_base.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(delay_max);
    ceiling.mul_f64(dice.fraction()).max(asked.unwrap_or_default().min(ASKED_MAX))
}

/// Tokens for retries: each call earns a tenth of one, each retry costs one, and one grows back each second,
/// so that a system that is down is asked about once a second and not hammered. Who finds none waits: see
/// [`Turns`](super::turns::Turns).
#[derive(Debug)]
pub(crate) struct Budget {
    tokens: f64,
    at: Instant,
}

const TOKENS_MAX: f64 = 10.0;
const EARNED_PER_CALL: f64 = 0.1;
const GROWN_PER_SECOND: f64 = 1.0;

impl Budget {
    pub(crate) fn new(now: Instant) -> Self {
        Self { tokens: TOKENS_MAX, at: now }
    }

    pub(crate) fn earn(&mut self) {
        self.tokens = (self.tokens + EARNED_PER_CALL).min(TOKENS_MAX);
    }

    /// Adds a token.
    pub(crate) fn pay(&mut self) {
        self.tokens = (self.tokens + 1.0).min(TOKENS_MAX);
    }

    /// Takes a token that is there.
    ///
    /// # Errors
    /// How long until one is, if none comes beside those that grow.
    pub(crate) fn take_now(&mut self, now: Instant) -> Result<(), Duration> {
        let Some(wait) = self.take(now, Duration::from_nanos(1)) else {
            let lacking = (1.0 - self.tokens) / GROWN_PER_SECOND;
            // Never before it has grown, whatever a float makes of it.
            return Err(Duration::from_secs_f64(lacking) + Duration::from_millis(1));
        };
        debug_assert!(wait.is_zero(), "it is there");
        Ok(())
    }

    /// Takes a token and says how long until it is there; `None`, and none is taken, if that is not before
    /// `limit` is over.
    pub(crate) fn take(&mut self, now: Instant, limit: Duration) -> Option<Duration> {
        let grown = now.saturating_duration_since(self.at).as_secs_f64() * GROWN_PER_SECOND;
        self.tokens = (self.tokens + grown).min(TOKENS_MAX);
        self.at = now;
        let left = self.tokens - 1.0;
        let wait = Duration::from_secs_f64((-left).max(0.0) / GROWN_PER_SECOND);
        if wait >= limit {
            return None;
        }
        self.tokens = left;
        Some(wait)
    }
}

/// How long the last calls of one kind took.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    last: VecDeque<Duration>,
}

const REMEMBERED: usize = 128;
const ENOUGH: usize = 8;

impl Latencies {
    pub(crate) fn add(&mut self, took: Duration) {
        if self.last.len() == REMEMBERED {
            self.last.pop_front();
        }
        self.last.push_back(took);
    }

    /// Twice the p99, within `floor..=cap`; `unknown` until there are enough calls to tell.
    pub(crate) fn time_out(&self, floor: Duration, cap: Duration, unknown: Duration) -> Duration {
        if self.last.len() < ENOUGH {
            return unknown;
        }
        let mut sorted: Vec<Duration> = self.last.iter().copied().collect();
        sorted.sort_unstable();
        let p99 = sorted[(sorted.len() * 99).div_ceil(100).saturating_sub(1)];
        (p99 * 2).clamp(floor, cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_limit_and_obey_the_server() {
        let mut dice = Dice::new(7);
        let (base, max) = (Duration::from_millis(50), Duration::from_secs(3));
        for (attempt, ceiling_ms) in [(1, 50), (2, 100), (3, 200), (6, 1_600), (7, 3_000), (199, 3_000)] {
            let ceiling = Duration::from_millis(ceiling_ms);
            let mut wait = || wait_before(attempt, base, max, None, &mut dice);
            let waits: Vec<Duration> = (0..200).map(|_| wait()).collect();
            assert!(waits.iter().all(|wait| *wait <= ceiling), "attempt {attempt}: {waits:?}");
            let long = waits.iter().filter(|wait| **wait > ceiling / 2).count();
            assert!((60..140).contains(&long), "{long} of 200 waits before attempt {attempt} are long");
        }
        let asked = |asked| wait_before(1, base, max, Some(asked), &mut Dice::new(7));
        assert_eq!(asked(Duration::from_secs(1)), Duration::from_secs(1));
    }

    #[test]
    fn no_relay_can_ask_for_a_wait_above_the_limit() {
        let (base, max) = (Duration::from_millis(50), Duration::from_secs(3));
        let asked = |asked| wait_before(1, base, max, Some(asked), &mut Dice::new(7));
        assert_eq!(asked(ASKED_MAX), ASKED_MAX);
        for above in [ASKED_MAX + Duration::from_nanos(1), Duration::from_secs(3600), Duration::MAX] {
            assert_eq!(asked(above), ASKED_MAX);
        }
    }

    #[test]
    fn the_budget_is_ten_then_one_a_second() {
        let begin = Instant::now();
        let mut budget = Budget::new(begin);
        let taken = |budget: &mut Budget, now| {
            (0..100).filter(|_| budget.take(now, Duration::from_nanos(1)).is_some()).count()
        };
        assert_eq!(taken(&mut budget, begin), 10);
        let later = begin + Duration::from_secs(3);
        assert_eq!(taken(&mut budget, later), 3);
        (0..25).for_each(|_| budget.earn());
        assert_eq!(taken(&mut budget, later), 2, "a tenth of a token for each call");
    }

    #[test]
    fn calls_that_wait_at_the_same_time_come_back_one_a_second() {
        let begin = Instant::now();
        let mut budget = Budget::new(begin);
        let limit = Duration::from_secs(60);
        let waits: Vec<u64> =
            (0..70).filter_map(|_| budget.take(begin, limit)).map(|wait| wait.as_secs()).collect();
        let expected: Vec<u64> = std::iter::repeat_n(0, 10).chain(1..60).collect();
        assert_eq!(waits, expected, "and nobody takes what comes too late");
        let later = begin + limit;
        assert_eq!(budget.take(later, limit), Some(Duration::ZERO), "what was not taken is there");
        assert_eq!(budget.take(later, limit), Some(Duration::from_secs(1)));
    }

    #[test]
    fn the_time_out_is_twice_the_p99_within_its_limits() {
        let (floor, cap, unknown) =
            (Duration::from_millis(250), Duration::from_secs(10), Duration::from_secs(2));
        let mut latencies = Latencies::default();
        assert_eq!(latencies.time_out(floor, cap, unknown), unknown);
        (0..100).for_each(|_| latencies.add(Duration::from_millis(3)));
        assert_eq!(latencies.time_out(floor, cap, unknown), floor);
        (0..128).for_each(|_| latencies.add(Duration::from_millis(400)));
        assert_eq!(latencies.time_out(floor, cap, unknown), Duration::from_millis(800));
        (0..128).for_each(|_| latencies.add(Duration::from_secs(60)));
        assert_eq!(latencies.time_out(floor, cap, unknown), cap);
    }
}
