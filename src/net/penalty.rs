//! What failures of one of several servers are worth to who calls them, as those of a relay to a client, and
//! of an issuer to a relay: for a while it loses against the others, and then it is tried anew with few calls
//! at first, which become more with each that goes well.

use std::time::Duration;

use tokio::time::Instant;

/// A penalty halves in this time.
const HALF_LIFE: Duration = Duration::from_secs(5);
/// What one failure weighs, in calls in flight.
pub(crate) const FAILURE: f64 = 8.0;
/// What is left of a penalty below this is forgotten.
const FORGOTTEN: f64 = 0.1;
/// The most that failures can weigh together.
const PENALTY_MAX: f64 = 64.0;
/// The part of the draws that a server takes part in: after a failure a quarter of what it was, and not less
/// than this, so that one that is well for seconds, as one that flaps, does not get all of its calls back at
/// once.
const TRUST_MIN: f64 = 0.02;
/// It doubles in this time, for clients that call seldom.
const TRUST_DOUBLES: Duration = Duration::from_secs(30);

/// What is remembered against one server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Penalty {
    /// In calls in flight, at the time of the last failure.
    weight: f64,
    /// At the time of the last failure or answer.
    trust: f64,
    last: Instant,
    trusted: Instant,
}

impl Penalty {
    pub(crate) fn new(now: Instant) -> Self {
        Self { weight: 0.0, trust: 1.0, last: now, trusted: now }
    }

    /// What is left of it, in calls in flight.
    pub(crate) fn left(&self, now: Instant) -> f64 {
        let left = self.weight * 0.5f64.powf(times(self.last, now, HALF_LIFE));
        // Forgotten at last: otherwise it would lose every tie for ever.
        if left < FORGOTTEN { 0.0 } else { left }
    }

    /// The part of the draws that the server takes part in, up to 1.
    pub(crate) fn trust(&self, now: Instant) -> f64 {
        if self.trust >= 1.0 {
            return 1.0;
        }
        (self.trust * 2f64.powf(times(self.trusted, now, TRUST_DOUBLES))).min(1.0)
    }

    /// It failed, or did not answer.
    pub(crate) fn failed(&mut self, now: Instant) {
        let (left, trust) = (self.left(now), self.trust(now));
        (self.weight, self.last) = ((left + FAILURE).min(PENALTY_MAX), now);
        (self.trust, self.trusted) = ((trust / 4.0).max(TRUST_MIN), now);
    }

    /// It refused for want of room, which says nothing of its health: it weighs as a failure does, and is
    /// trusted as before.
    pub(crate) fn refused(&mut self, now: Instant) {
        (self.weight, self.last) = ((self.left(now) + FAILURE).min(PENALTY_MAX), now);
    }

    /// It answered: thirteen times in a row are enough for full trust.
    pub(crate) fn answered(&mut self, now: Instant) {
        if self.trust < 1.0 {
            (self.trust, self.trusted) = ((self.trust(now) * 1.25 + 0.01).min(1.0), now);
        }
    }
}

fn times(since: Instant, now: Instant, one: Duration) -> f64 {
    now.saturating_duration_since(since).as_secs_f64() / one.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_forgotten_after_half_a_minute_and_many_of_one_spell_a_little_later() {
        let now = Instant::now();
        let lasts = |penalty: &Penalty| {
            (0..100).find(|seconds| penalty.left(now + Duration::from_secs(*seconds)) <= 0.0)
        };
        let mut penalty = Penalty::new(now);
        penalty.failed(now);
        assert_eq!(lasts(&penalty), Some(32));
        (0..100).for_each(|_| penalty.failed(now));
        assert_eq!(lasts(&penalty), Some(47));
    }

    #[test]
    fn a_refusal_for_want_of_room_weighs_and_costs_no_trust() {
        let now = Instant::now();
        let mut penalty = Penalty::new(now);
        penalty.refused(now);
        assert!(penalty.left(now) >= FAILURE && penalty.trust(now) >= 1.0);
    }

    #[test]
    fn trust_is_lost_at_once_and_comes_back_with_answers_or_with_time() {
        let now = Instant::now();
        let mut penalty = Penalty::new(now);
        penalty.failed(now);
        assert!((penalty.trust(now) - 0.25).abs() < 1e-9);
        (0..9).for_each(|_| penalty.failed(now));
        assert!((penalty.trust(now) - TRUST_MIN).abs() < 1e-9, "and never all of it");
        let mut answered = penalty;
        let needed = (1..100).find(|_| {
            answered.answered(now);
            answered.trust(now) >= 1.0
        });
        assert_eq!(needed, Some(13));
        assert!(penalty.trust(now + 5 * TRUST_DOUBLES) < 1.0);
        assert!(penalty.trust(now + 6 * TRUST_DOUBLES) >= 1.0);
    }
}
