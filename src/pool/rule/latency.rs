//! T, the age at which a call is bad: twice what 99 % of the calls on other units took in the last 5 min.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::super::evidence::Latencies;
use super::parameters::Parameters;

/// Seconds of one block of evidence, and between two looks at T.
const BLOCK_S: u64 = 10;
/// Blocks that are looked at: 5 min.
const BLOCKS: u64 = 30;

/// How long calls took, by block and unit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Waits {
    blocks: VecDeque<Block>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Block {
    number: u64,
    units: Vec<Latencies>,
}

impl Waits {
    /// Adds what was seen of a unit in a second.
    pub(super) fn add(&mut self, unit: usize, second: u64, latencies: &Latencies) {
        let number = second / BLOCK_S;
        let at = match self.blocks.binary_search_by_key(&number, |block| block.number) {
            Ok(at) => at,
            Err(at) => {
                self.blocks.insert(at, Block { number, units: Vec::new() });
                at
            }
        };
        let units = &mut self.blocks[at].units;
        if units.len() <= unit {
            units.resize(unit + 1, Latencies::default());
        }
        let counts = &mut units[unit].0;
        if counts.len() < latencies.0.len() {
            counts.resize(latencies.0.len(), 0);
        }
        for (count, more) in counts.iter_mut().zip(&latencies.0) {
            *count = count.saturating_add(*more);
        }
    }

    pub(super) fn forget_unit(&mut self, unit: u8) {
        for block in &mut self.blocks {
            if let Some(latencies) = block.units.get_mut(usize::from(unit)) {
                latencies.0.clear();
            }
        }
    }

    /// Forgets what is older than 5 min; true if this second is one in which T is to be looked at.
    pub(super) fn turn(&mut self, second: u64) -> bool {
        while self.blocks.front().is_some_and(|block| block.number + BLOCKS <= second / BLOCK_S) {
            self.blocks.pop_front();
        }
        second.is_multiple_of(BLOCK_S)
    }

    /// What 99 % of a unit's calls take at most, by the bound of their place; `None` of too few calls.
    pub(super) fn p99_us(&self, unit: usize, count_min: u32) -> Option<u64> {
        let mut counts = [0u64; Latencies::PLACES];
        for latencies in self.blocks.iter().filter_map(|block| block.units.get(unit)) {
            for (sum, count) in counts.iter_mut().zip(&latencies.0) {
                *sum += u64::from(*count);
            }
        }
        let all: u64 = counts.iter().sum();
        if all < u64::from(count_min) {
            return None;
        }
        let mut slower = 0;
        let place = (0..Latencies::PLACES).rev().find(|place| {
            slower += counts[*place];
            slower > all / 100
        });
        place.map(Latencies::bound_us)
    }
}

/// The lower median: of two values the smaller, so that one sick unit of two cannot raise its own bar.
pub(super) fn lower_median<T: Copy + Ord>(mut values: Vec<T>) -> Option<T> {
    values.sort_unstable();
    values.get(values.len().checked_sub(1)? / 2).copied()
}

/// T of one who is measured against these p99; `None` if there are none.
pub(super) fn threshold_us(p99_us: Vec<u64>, parameters: &Parameters) -> Option<u64> {
    let median = lower_median(p99_us)?;
    let threshold = (parameters.threshold_factor * median as f64) as u64;
    Some(threshold.max(parameters.threshold_min_us))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(calls_us: &[(u64, u32)]) -> Waits {
        let mut waits = Waits::default();
        for (us, count) in calls_us {
            let mut latencies = Latencies::default();
            latencies.add(*us);
            latencies.0.last_mut().map(|last| *last = *count).expect("a call was added");
            waits.add(0, 1000, &latencies);
        }
        waits
    }

    #[test]
    fn one_call_of_a_hundred_may_be_slower_than_the_p99() {
        assert_eq!(waits(&[(900, 99), (60_000, 1)]).p99_us(0, 20), Some(1000));
        assert_eq!(waits(&[(900, 98), (60_000, 2)]).p99_us(0, 20), Some(64_000));
        assert_eq!(waits(&[(900, 19)]).p99_us(0, 20), None);
        assert_eq!(waits(&[(900, 19)]).p99_us(7, 20), None);
    }

    #[test]
    fn what_is_older_than_five_minutes_is_forgotten() {
        let mut waits = waits(&[(900, 50)]);
        assert!(waits.turn(1290));
        assert_eq!(waits.p99_us(0, 20), Some(1000));
        assert!(!waits.turn(1301));
        assert_eq!(waits.p99_us(0, 20), None);
    }

    #[test]
    fn the_threshold_is_twice_the_lower_median_of_the_others() {
        let parameters = Parameters::default();
        assert_eq!(threshold_us(vec![512_000, 90_509, 256_000, 1_024_000], &parameters), Some(512_000));
        assert_eq!(threshold_us(vec![1000], &parameters), Some(100_000), "the least");
        assert_eq!(threshold_us(Vec::new(), &parameters), None);
    }
}
