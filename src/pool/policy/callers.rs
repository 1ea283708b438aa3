//! One municipality cannot have a unit taken out that returns, nor keep it out, nor hide what its peers do:
//! the one whose calls failed most often is left out, as the rule leaves it out where it judges.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::unit::Progress;
use crate::domain::municipality::MunicipalityCode;

/// Callers of a unit that are told apart while its calls are counted; of more, those with most failed calls.
const CALLERS_MAX: usize = 64;

/// Seconds after the last call of the worst caller that failed, from which on those count again that go well:
/// nobody else may call. It is the rule's memory of callers.
const FORGIVEN_S: u64 = 120;

/// Failed calls from which on the worst caller is left out, as by the rule.
const BAD_MIN: u32 = 3;

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

/// What was seen of one caller.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sum {
    failed: u32,
    n: u32,
    /// The second in which one failed last.
    last: u64,
}

/// What was seen of each caller while a unit's calls are counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Callers(BTreeMap<MunicipalityCode, Sum>);

/// A caller that is left out.
#[derive(Debug, Clone, Copy)]
pub(super) struct LeftOut {
    caller: MunicipalityCode,
    /// Whether only its failed calls are.
    failed_only: bool,
}

/// Failed calls, and all, without those of who is left out.
pub(super) fn without((failed, n): (u32, u32), callers: &[CallsOf], left_out: &[LeftOut]) -> (u32, u32) {
    let whose = |of: &CallsOf| left_out.iter().find(|out| out.caller == of.caller).copied();
    let out = callers.iter().filter_map(|of| Some((of.failed.min(of.calls), of.calls, whose(of)?)));
    out.fold((failed, n), |left, (failed, calls, out)| {
        let calls = if out.failed_only { failed } else { calls };
        (left.0.saturating_sub(failed), left.1.saturating_sub(calls))
    })
}

impl Callers {
    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets them.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds what was seen in a second.
    pub(super) fn add(&mut self, second: u64, seen: &[CallsOf]) {
        for CallsOf { caller, calls, failed } in seen {
            let failed = (*failed).min(*calls);
            if self.0.len() >= CALLERS_MAX && !self.0.contains_key(caller) {
                let least = self.0.iter().min_by_key(|(_, sum)| **sum).map(|(caller, sum)| (*caller, *sum));
                let more = |sum: &Sum| (sum.failed, sum.n) < (failed, *calls);
                let Some((least, _)) = least.filter(|(_, sum)| more(sum)) else { continue };
                self.0.remove(&least);
            }
            let sum = self.0.entry(*caller).or_default();
            (sum.failed, sum.n) = (sum.failed.saturating_add(failed), sum.n.saturating_add(*calls));
            if failed > 0 {
                sum.last = second;
            }
        }
    }

    /// The caller with the most failed calls, of equals the one with the lowest code; `beside` what failed of
    /// it elsewhere.
    fn worst(&self, beside: &Callers) -> Option<(MunicipalityCode, Sum)> {
        let elsewhere = |caller| beside.0.get(caller).map_or(0, |sum: &Sum| sum.failed);
        let sums = self.0.iter().map(|(caller, sum)| {
            (*caller, Sum { failed: sum.failed.saturating_sub(elsewhere(caller)), ..*sum })
        });
        sums.rev().max_by_key(|(_, sum)| sum.failed)
    }

    /// Whose calls of a second count for nothing, if they are bad enough, `beside` what failed elsewhere.
    pub(super) fn left_out(&self, second: u64, beside: &Callers) -> Option<LeftOut> {
        let (caller, sum) = self.worst(beside).filter(|(_, sum)| sum.failed >= BAD_MIN)?;
        Some(LeftOut { caller, failed_only: second > sum.last.saturating_add(FORGIVEN_S) })
    }

    /// What was seen, without the worst caller if it is bad enough, as far as it failed or lately did.
    pub(super) fn without_the_worst(&self, seen: Progress, second: u64) -> Progress {
        let Some(out) = self.left_out(second, &Callers::default()) else { return seen };
        let sum = self.0[&out.caller];
        let n = seen.n.saturating_sub(if out.failed_only { sum.failed } else { sum.n });
        Progress { n, failed: seen.failed.saturating_sub(sum.failed), ..seen }
    }

    /// How many of so many failed calls are left without those of any one caller, however few they are.
    pub(super) fn failed_of_others(&self, failed: u32) -> u32 {
        let worst = self.worst(&Callers::default()).map_or(0, |(_, sum)| sum.failed);
        failed.saturating_sub(worst)
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
        assert_eq!(callers.without_the_worst(seen, 1), seen);
        callers.add(1, &[of(1, 10, 2), of(2, 20, 2)]);
        assert_eq!(callers.without_the_worst(seen, 1), seen, "two failed calls are nothing");
        assert_eq!(callers.failed_of_others(4), 2, "but where any would be too many");
        callers.add(9, &[of(2, 5, 5), of(1, 3, 3)]);
        assert_eq!(callers.without_the_worst(seen, 129), Progress { n: 25, failed: 5, ..seen });
        assert_eq!(callers.without_the_worst(seen, 130), Progress { n: 43, failed: 5, ..seen }, "forgiven");
    }

    #[test]
    fn the_worst_beside_a_unit_is_who_failed_elsewhere() {
        let (mut all, mut own) = (Callers::default(), Callers::default());
        all.add(1, &[of(1, 50, 20), of(2, 50, 5)]);
        own.add(1, &[of(1, 50, 18)]);
        let (own_worst, beside) = (own.left_out(1, &Callers::default()), all.left_out(1, &own));
        let told = [of(1, 10, 4), of(2, 10, 4), of(3, 10, 1)];
        assert_eq!(without((9, 30), &told, beside.as_slice()), (5, 20));
        let both = Vec::from_iter(own_worst.into_iter().chain(beside));
        assert_eq!(without((9, 30), &told, &both), (1, 10));
        let later = all.left_out(122, &own);
        assert_eq!(without((9, 30), &told, later.as_slice()), (5, 26), "what goes well counts again");
    }

    #[test]
    fn of_too_many_those_with_the_most_failed_calls_are_known() {
        let mut callers = Callers::default();
        for n in 0..200 {
            callers.add(1, &[of(n, 200, n)]);
        }
        assert_eq!(callers.0.len(), CALLERS_MAX);
        assert_eq!(callers.0.values().map(|sum| sum.failed).min(), Some(200 - CALLERS_MAX as u32));
    }
}
