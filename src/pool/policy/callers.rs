//! One municipality cannot have a unit taken out that returns, nor keep one from being brought back that is
//! steered away from: the one whose calls failed most often is left out, as the rule does where it judges.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::unit::Progress;
use crate::domain::municipality::MunicipalityCode;

/// Callers of a unit that are told apart within a step of its return; of more, those with most failed calls.
const CALLERS_MAX: usize = 64;

/// Failed calls from which on the worst caller is left out, as by the rule.
const BAD_MIN: u32 = 3;

/// Seconds after the last of its failed calls from which on a caller is left out of what speaks for a unit no
/// more: it may be the only one that calls. As the rule's memory of callers.
const MEMORY_S: u64 = 120;

/// Calls of one caller through one unit within a second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallsOf {
    /// Whose.
    pub caller: MunicipalityCode,
    /// How many.
    pub calls: u32,
    /// How many of them failed for a reason that a relay can cause.
    pub failed: u32,
}

/// Failed calls, and all calls, of each caller within a step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callers(BTreeMap<MunicipalityCode, (u32, u32)>);

impl Callers {
    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what was seen.
    pub(super) fn add(&mut self, seen: &[CallsOf]) {
        for CallsOf { caller, calls, failed } in seen {
            if self.0.len() >= CALLERS_MAX && !self.0.contains_key(caller) {
                let least = self.0.iter().min_by_key(|(_, sum)| **sum).map(|(caller, sum)| (*caller, *sum));
                let Some((least, _)) = least.filter(|(_, sum)| *sum < (*failed, *calls)) else { continue };
                self.0.remove(&least);
            }
            let sum = self.0.entry(*caller).or_default();
            *sum = (sum.0.saturating_add((*failed).min(*calls)), sum.1.saturating_add(*calls));
        }
    }

    /// What was seen, without the worst caller if it is bad enough; of equals the one with the lowest code.
    pub(super) fn without_the_worst(&self, seen: Progress) -> Progress {
        let worst = self.0.values().rev().max_by_key(|(failed, _)| *failed);
        match worst.filter(|(failed, _)| *failed >= BAD_MIN) {
            Some((failed, calls)) => Progress {
                n: seen.n.saturating_sub(*calls),
                failed: seen.failed.saturating_sub(*failed),
                excess_milli: seen.excess_milli.saturating_sub(1_000 * u64::from(*failed)),
                ..seen
            },
            None => seen,
        }
    }

    /// Of calls of a second, and failed ones, those that are not the worst caller's of those of whom one
    /// failed lately, if it is bad enough.
    pub(super) fn of_others(
        &self,
        (n, failed): (u32, u32),
        callers: &[CallsOf],
        lately: &Lately,
    ) -> (u32, u32) {
        let known = self.0.iter().filter(|(caller, _)| lately.0.contains_key(caller));
        let worst = known.rev().max_by_key(|(_, (failed, _))| *failed);
        let Some((worst, _)) = worst.filter(|(_, (failed, _))| *failed >= BAD_MIN) else {
            return (n, failed);
        };
        let own = callers.iter().filter(|of| of.caller == *worst);
        own.fold((n, failed), |left, of| {
            (left.0.saturating_sub(of.calls), left.1.saturating_sub(of.failed.min(of.calls)))
        })
    }
}

/// The second in which a call of each caller failed last, of those of whom one did within [`MEMORY_S`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lately(BTreeMap<MunicipalityCode, u64>);

impl Lately {
    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what was seen in a second.
    pub(super) fn add(&mut self, second: u64, seen: &[CallsOf]) {
        self.0.retain(|_, last| last.saturating_add(MEMORY_S) >= second);
        self.0.extend(seen.iter().filter(|of| of.failed > 0).map(|of| (of.caller, second)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(n: u32, calls: u32, failed: u32) -> CallsOf {
        let digits = format!("{:05}", 13_000 + n);
        let five = std::array::from_fn(|at| digits.as_bytes()[at] - b'0');
        let code = format!("{digits}{}", MunicipalityCode::check_digit(five));
        CallsOf { caller: code.parse().expect("its check digit is right"), calls, failed }
    }

    #[test]
    fn the_worst_caller_is_left_out_and_no_other() {
        let seen = Progress { n: 50, failed: 12, ..Progress::default() };
        let mut callers = Callers::default();
        assert_eq!(callers.without_the_worst(seen), seen);
        callers.add(&[of(1, 10, 2), of(2, 20, 2)]);
        assert_eq!(callers.without_the_worst(seen), seen, "two failed calls are nothing");
        callers.add(&[of(2, 5, 5), of(1, 3, 3)]);
        assert_eq!(callers.without_the_worst(seen), Progress { n: 25, failed: 5, ..seen });
    }

    #[test]
    fn of_too_many_those_with_the_most_failed_calls_are_known() {
        let mut callers = Callers::default();
        for n in 0..200 {
            callers.add(&[of(n, 200, n)]);
        }
        assert_eq!(callers.0.len(), CALLERS_MAX);
        assert_eq!(callers.0.values().map(|(failed, _)| *failed).min(), Some(200 - CALLERS_MAX as u32));
    }
}
