//! By what law calls fail and how long they take while all is well: an assumption, as no figures of real
//! pools are published.
//!
//! Errors come in bursts of 0.2 to 10 s (log-uniform) in which 20 to 100 % of the calls fail; 75 % of the
//! bursts are of one unit, 25 % of all. A tenth of the errors come singly.

use crate::random::Random;

/// The part of all errors that comes in bursts, and the part of those that is of one unit.
const IN_BURSTS: f64 = 0.9;
const OF_ONE: f64 = 0.75;

/// How long bursts last in the mean, and which share of calls fails in them.
const BURST_S: f64 = 9.8 / 3.912_023_005_428_146;
const SEVERITY: f64 = 0.6;

/// How much worse than its peers a unit usually is where so many of all calls fail.
pub(crate) fn usual_excess(errors: f64) -> f64 {
    IN_BURSTS * errors * OF_ONE
}

/// The share of calls that fail singly.
pub(crate) fn single(errors: f64) -> f64 {
    (1.0 - IN_BURSTS) * errors
}

/// Bursts of errors that come and go.
pub(crate) struct Bursts {
    dice: Random,
    share: f64,
    until_s: f64,
    calm_s: f64,
}

impl Bursts {
    /// Of one unit.
    pub(crate) fn of_one(errors: f64, dice: Random) -> Self {
        Self::new(IN_BURSTS * errors * OF_ONE, dice)
    }

    /// Of all.
    pub(crate) fn of_all(errors: f64, dice: Random) -> Self {
        Self::new(IN_BURSTS * errors * (1.0 - OF_ONE), dice)
    }

    fn new(errors: f64, mut dice: Random) -> Self {
        let part = errors / SEVERITY;
        let calm_s = if errors > 0.0 { BURST_S * (1.0 - part) / part } else { f64::INFINITY };
        let until_s = dice.exponential(calm_s);
        Self { dice, share: 0.0, until_s, calm_s }
    }

    /// The share of calls that fail now. Time never runs backwards in here.
    pub(crate) fn at(&mut self, now_s: f64) -> f64 {
        while now_s >= self.until_s {
            if self.share > 0.0 {
                self.share = 0.0;
                self.until_s += self.dice.exponential(self.calm_s);
            } else {
                self.share = 0.2 + 0.8 * self.dice.share();
                self.until_s += 0.2 * (50f64.ln() * self.dice.share()).exp();
            }
        }
        self.share
    }
}

/// How long calls take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Some 20 ms, always the same law.
    Even,
    /// Some 60 ms, with a heavy tail, hours that are slower, units that stop for up to 3 s, and times of up
    /// to 20 s in which everything takes ten times as long.
    Rough,
}

/// What makes all units slower or faster together.
pub(crate) struct Tide {
    dice: Random,
    pace: Pace,
    level: f64,
    second: u64,
    stall_s: (f64, f64),
}

impl Tide {
    pub(crate) fn new(pace: Pace, mut dice: Random) -> Self {
        let stall_s = (dice.exponential(1800.0), 0.0);
        Self { dice, pace, level: 0.0, second: 0, stall_s }
    }

    /// By what times everything takes now.
    pub(crate) fn at(&mut self, now_s: f64) -> f64 {
        if self.pace == Pace::Even {
            return 1.0;
        }
        while self.second < now_s as u64 {
            self.second += 1;
            self.level =
                self.level * (1.0 - 1.0 / 600.0) + 0.3 * (2.0f64 / 600.0).sqrt() * self.dice.normal();
        }
        if now_s > self.stall_s.0 + self.stall_s.1 {
            self.stall_s = (now_s + self.dice.exponential(1800.0), 5.0 + 15.0 * self.dice.share());
        }
        self.level.exp() * if now_s >= self.stall_s.0 { 10.0 } else { 1.0 }
    }
}

/// How long one unit takes, and when it stops for a moment.
pub(crate) struct Gait {
    dice: Random,
    pace: Pace,
    pause_s: (f64, f64),
}

impl Gait {
    pub(crate) fn new(pace: Pace, mut dice: Random) -> Self {
        let pause_s = (dice.exponential(600.0), 0.0);
        Self { dice, pace, pause_s }
    }

    /// Seconds that a call takes that begins now, where everything takes so many times as long.
    pub(crate) fn takes_s(&mut self, now_s: f64, tide: f64) -> f64 {
        if self.pace == Pace::Even {
            return 0.02 * (0.5 * self.dice.normal()).exp();
        }
        let (begin, length) = self.pause_s;
        if now_s > begin + length {
            self.pause_s = (now_s + self.dice.exponential(600.0), 0.5 + 2.5 * self.dice.share());
        }
        let tail = if self.dice.happens(0.01) { self.dice.share().powf(-1.0 / 1.5) } else { 1.0 };
        let pause = if now_s >= begin { (begin + length - now_s).max(0.0) } else { 0.0 };
        0.06 * (0.6 * self.dice.normal()).exp() * tail * tide + pause
    }
}
