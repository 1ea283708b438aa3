//! One bet a second: wealth grows while a share of bad calls is beyond what is allowed, and else shrinks.

use serde::{Deserialize, Serialize};

use super::fixed::Fixed;

/// The terms of one kind of bet in one second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// The excess that is allowed.
    pub(super) p0: f64,
    /// The part of the wealth that is staked.
    pub(super) stake: f64,
    /// Seconds of the scale: windows overlap, so each second counts as one part of so many.
    pub(super) scale: u32,
    /// S at which it is decided.
    pub(super) limit: f64,
    /// S that is never passed.
    pub(super) most: f64,
    /// Seconds without a bet after which S is 0.
    pub(super) silence_s: u32,
}

impl Terms {
    /// What S gains in a second of this excess: (1/τ)·ln(1 + (η/p0)·(d − p0)).
    ///
    /// Source: testing by betting (G. Shafer, J. Royal Statistical Society A 184, 2021); the factor has mean
    /// ≤ 1 while the mean of d is ≤ p0, whatever the law of the errors is.
    pub(super) fn gain(&self, d: f64) -> f64 {
        (1.0 + self.stake / self.p0 * (d - self.p0)).max(1e-9).ln() / f64::from(self.scale)
    }

    /// Seconds from S to the limit at this excess; `None` if it will never be there.
    pub(super) fn seconds_to_limit(&self, s: f64, d: f64) -> Option<u64> {
        if s >= self.limit {
            return Some(0);
        }
        let gain = self.gain(d);
        (gain > 0.0).then(|| ((self.limit - s) / gain).ceil() as u64)
    }

    /// Seconds from S to below `level` at this excess; `None` if it will never be there.
    pub(super) fn seconds_to_fall(&self, s: f64, level: f64, d: f64) -> Option<u64> {
        if s < level {
            return Some(0);
        }
        let gain = self.gain(d);
        (gain < 0.0).then(|| ((s - level) / -gain).ceil() as u64)
    }
}

/// The logarithm of the wealth of one bet, S, and for how long it was not played.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Wealth {
    s: Fixed,
    idle_s: u32,
}

impl Wealth {
    pub(super) fn s(self) -> f64 {
        self.s.get()
    }

    pub(super) fn is_nothing(self) -> bool {
        self.s == Fixed::default()
    }

    /// S ← max(0, S + gain): one who has lost all starts again with 1.
    ///
    /// Source: CUSUM (E. S. Page, "Continuous inspection schemes", Biometrika 41, 1954).
    pub(super) fn play(&mut self, gain: f64, terms: &Terms) {
        self.s = Fixed::of((self.s() + gain).clamp(0.0, terms.most));
        self.idle_s = 0;
    }

    /// There was too little to bet on.
    pub(super) fn pass(&mut self, terms: &Terms) {
        if self.is_nothing() {
            return;
        }
        self.idle_s += 1;
        if self.idle_s > terms.silence_s {
            *self = Self::default();
        }
    }
}
