//! Calls and bad ones of them, in whole thousandths, so that sums never drift; and by how much one share of
//! bad calls is beyond another.

use std::ops::{Add, AddAssign, Sub, SubAssign};

use serde::{Deserialize, Serialize};

/// What one call is counted as, so that a part of a call can be counted: an observer may be capped or weak.
pub(super) const CALL: u64 = 1000;

/// Calls, and bad ones of them, in thousandths of a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    pub(super) n: u64,
    pub(super) bad: u64,
}

impl Counts {
    /// The part `of / whole` of so many calls; rounded down, so that bad ≤ n stays true.
    pub(super) fn part(n: u32, bad: u32, of: u64, whole: u64) -> Self {
        let scaled = |calls: u32| u64::from(calls) * CALL * of / whole.max(1);
        Self { n: scaled(n), bad: scaled(bad) }
    }

    /// As an observer of this weight, in per cent, says it.
    pub(super) fn weighed(self, weight: u8) -> Self {
        match weight {
            100.. => self,
            _ => Self { n: self.n * u64::from(weight) / 100, bad: self.bad * u64::from(weight) / 100 },
        }
    }

    pub(super) fn calls(self) -> f64 {
        self.n as f64 / CALL as f64
    }

    pub(super) fn bad_calls(self) -> f64 {
        self.bad as f64 / CALL as f64
    }

    /// The share of bad calls; 0 of none.
    pub(super) fn share(self) -> f64 {
        if self.n == 0 { 0.0 } else { self.bad as f64 / self.n as f64 }
    }

    pub(super) fn is_enough(self, calls_min: u32) -> bool {
        self.n >= u64::from(calls_min) * CALL
    }

    /// Whole calls, rounded: bad ones, and all.
    pub(super) fn shown(self) -> (u64, u64) {
        ((self.bad + CALL / 2) / CALL, (self.n + CALL / 2) / CALL)
    }
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { n: self.n + other.n, bad: self.bad + other.bad }
    }
}

impl Sub for Counts {
    type Output = Self;

    /// What is taken away was added before, so nothing goes below 0.
    fn sub(self, other: Self) -> Self {
        Self { n: self.n - other.n, bad: self.bad - other.bad }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Counts {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

/// The noise of the difference of two shares, in standard errors: both are taken to be samples of the peers'
/// share, with half a bad call added so that a peer without bad calls is not taken to be perfect.
pub(super) fn noise(n: f64, peers: Counts, factor: f64) -> f64 {
    let (calls, bad) = (peers.calls(), peers.bad_calls());
    let q = (bad + 0.5) / (calls + 1.0);
    factor * (q * (1.0 - q) * (1.0 / n + 1.0 / calls)).sqrt()
}

/// d: by how much the share of bad calls is over the peers', beyond noise; never below 0.
pub(super) fn excess(own: Counts, peers: Counts, factor: f64) -> f64 {
    if own.bad == 0 {
        return 0.0;
    }
    (own.share() - peers.share() - noise(own.calls(), peers, factor)).max(0.0)
}
