//! One observer's deep probes, at the random times of the real prober, and one at a time for each unit: one
//! that is too old is bad, and not waited for.

use todoke::pool::evidence::Latencies;

use super::plan::Trouble;
use crate::random::Random;

/// What of a unit is probed, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Aim {
    /// Mean time between two probes; 0: they are paused.
    pub(crate) every_us: u64,
    /// An answer that takes longer is bad.
    pub(crate) threshold_us: u64,
}

/// The probes of one unit.
#[derive(Debug, Clone)]
struct Probing {
    last_us: u64,
    wait: f64,
    /// Whether one is on its way.
    is_out: bool,
    n: u32,
    bad: u32,
    latencies: Latencies,
}

/// An observer.
pub(crate) struct Eyes {
    dice: Random,
    units: Vec<Probing>,
}

/// What becomes of a probe: when its outcome is known, and whether it is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fate {
    pub(crate) known_us: u64,
    pub(crate) bad: bool,
}

impl Fate {
    /// Of a probe that begins now and is answered then, if ever; whether what comes is right.
    pub(crate) fn of(now_us: u64, takes_us: Option<u64>, good: bool, aim: Aim) -> Self {
        match takes_us.filter(|takes| *takes <= aim.threshold_us) {
            Some(takes) => Self { known_us: now_us + takes, bad: !good },
            None => Self { known_us: now_us + aim.threshold_us, bad: true },
        }
    }
}

impl Eyes {
    pub(crate) fn new(units: usize, mut dice: Random) -> Self {
        let mut probing = || Probing {
            last_us: 0,
            wait: dice.exponential(1.0).min(4.0),
            is_out: false,
            n: 0,
            bad: 0,
            latencies: Latencies::default(),
        };
        let units = (0..units).map(|_| probing()).collect();
        Self { dice, units }
    }

    /// When the next probe of a unit is to begin, if that is before `end_us`.
    pub(crate) fn due(&mut self, unit: usize, aim: Aim, now_us: u64, end_us: u64) -> Option<u64> {
        let of = &mut self.units[unit];
        if of.is_out {
            return None;
        }
        if aim.every_us == 0 {
            of.last_us = now_us;
            return None;
        }
        let due = of.last_us + (aim.every_us as f64 * of.wait) as u64;
        (due < end_us).then_some(due.max(now_us))
    }

    /// A probe of a unit is on its way.
    pub(crate) fn begin(&mut self, unit: usize, now_us: u64) {
        let wait = self.dice.exponential(1.0).min(4.0);
        let of = &mut self.units[unit];
        (of.last_us, of.wait, of.is_out) = (now_us, wait, true);
    }

    /// What became of it; the next one may begin.
    pub(crate) fn count(&mut self, unit: usize, bad: bool, took_us: u64) {
        let of = &mut self.units[unit];
        of.is_out = false;
        of.n += 1;
        of.bad += u32::from(bad);
        if !bad {
            of.latencies.add(took_us);
        }
    }

    /// What was found of each unit since the last time, by the word of an observer that may lie.
    pub(crate) fn take(&mut self, own: usize, troubles: &[Trouble]) -> Vec<(usize, (u32, u32), Latencies)> {
        let mut found = Vec::new();
        for (unit, of) in self.units.iter_mut().enumerate() {
            let lie = troubles.iter().find_map(|trouble| match trouble {
                Trouble::Liar { observer, unit: about, times } if (*observer, *about) == (own, unit) => {
                    Some(*times)
                }
                _ => None,
            });
            let (n, bad) = (std::mem::take(&mut of.n), std::mem::take(&mut of.bad));
            let seen = match lie {
                Some(times) => (n.max(1) * times, n.max(1) * times),
                None => (n, bad),
            };
            if seen.0 > 0 {
                found.push((unit, seen, std::mem::take(&mut of.latencies)));
            }
        }
        found
    }
}
