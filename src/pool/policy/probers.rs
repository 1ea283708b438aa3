//! One observer cannot keep a unit out: of the deep probes that let it in, those of the one that saw most of
//! them fail are left out, as the rule leaves one observer out where it judges.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::pool::evidence::Observer;

/// Observers of a unit that are told apart: every relay, and some issuers. Of more, all count.
const OBSERVERS_MAX: usize = 72;

/// Observers that probe a unit from which on one is left out: of two, nobody can say which lies.
const OBSERVERS_MIN: usize = 3;

/// Seconds after its last probe for which an observer is known to probe the unit.
const MEMORY_S: u64 = 60;

/// Seconds within which every observer probes a unit.
const ALL_HEARD_S: u64 = 10;

/// Deep probes of a unit by one observer within a second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbesOf {
    /// Whose.
    pub observer: Observer,
    /// How many.
    pub n: u32,
    /// How many of them failed.
    pub failed: u32,
}

/// What each observer's deep probes of a unit found since it came to its state, and who they are.
/// What another version wrote and this one does not know is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probers {
    /// Probes, and failed ones of them.
    of: BTreeMap<Observer, (u32, u32)>,
    /// The second of the last probe of each observer that probes it by now.
    #[serde(default)]
    last: BTreeMap<Observer, u64>,
}

impl Probers {
    /// Whether none is known.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what was seen in a second, if it is said by whom.
    pub(super) fn add(&mut self, second: u64, seen: &[ProbesOf]) {
        if seen.is_empty() {
            return;
        }
        if let Some(newest) = self.last.values().max() {
            // Nobody was heard of for a while: none is gone for that.
            let silent_s = second.saturating_sub(newest.saturating_add(ALL_HEARD_S));
            self.last.values_mut().for_each(|last| *last = last.saturating_add(silent_s));
        } else {
            self.last = self.of.keys().cloned().map(|observer| (observer, second)).collect();
        }
        self.last.retain(|_, last| last.saturating_add(MEMORY_S) >= second);
        for ProbesOf { observer, n, failed } in seen {
            if self.last.len() < OBSERVERS_MAX || self.last.contains_key(observer) {
                self.last.insert(observer.clone(), second);
            }
            if self.of.len() < OBSERVERS_MAX || self.of.contains_key(observer) {
                let sum = self.of.entry(observer.clone()).or_default();
                *sum = (sum.0.saturating_add(*n), sum.1.saturating_add((*failed).min(*n)));
            }
        }
    }

    /// Forgets what they saw, and not who they are.
    pub(super) fn begin_anew(&mut self) {
        self.of.clear();
    }

    /// Whether enough of them are known for one to be left out.
    fn are_enough(&self) -> bool {
        self.last.len() >= OBSERVERS_MIN || self.last.is_empty() && self.of.len() >= OBSERVERS_MIN
    }

    /// Whether it may be that more of them will be heard of, of whom one would be left out.
    pub(super) fn may_be_more(&self, seconds: u64) -> bool {
        !self.last.is_empty() && !self.are_enough() && seconds <= ALL_HEARD_S
    }

    /// The observer that is left out, with its probes and failed ones: the one with the most failed ones; of
    /// equals the first by name. While too few probe the unit it is none, nor while no probe failed.
    pub(super) fn worst(&self) -> Option<(&Observer, (u32, u32))> {
        let worst = self.of.iter().rev().max_by_key(|(_, (_, failed))| *failed);
        let worst = worst.filter(|(_, (_, failed))| self.are_enough() && *failed > 0);
        worst.map(|(observer, seen)| (observer, *seen))
    }

    /// Its probes, and failed ones of them.
    pub(super) fn left_out(&self) -> (u32, u32) {
        self.worst().map(|(_, seen)| seen).unwrap_or_default()
    }

    /// Failed probes of all others.
    pub(super) fn failed(&self) -> u32 {
        let all = self.of.values().fold(0u32, |sum, (_, failed)| sum.saturating_add(*failed));
        all.saturating_sub(self.left_out().1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        Fact, Kind, Request,
        fixture::{Pool, about, id, order},
    };
    use super::*;

    /// What these saw of a unit in a second: probes and failed ones.
    fn said(n: usize, by: &[(&str, u32, u32)]) -> Fact {
        let of = |(observer, n, failed): &(&str, u32, u32)| {
            let observer = (*observer).to_owned().try_into().expect("an observer");
            ProbesOf { observer, n: *n, failed: *failed }
        };
        let by: Vec<ProbesOf> = by.iter().map(of).collect();
        let sum = |which: fn(&ProbesOf) -> u32| by.iter().map(which).sum();
        Fact::DeepProbes { unit: id(n), n: sum(|of| of.n), failed: sum(|of| of.failed), by }
    }

    /// A probe each by two relays and an issuer, and two of a fourth observer, so many of them failed.
    fn beside(n: usize, failed: u32) -> Fact {
        said(
            n,
            &[
                ("issuer/issuer-1", 1, 0),
                ("relay/relay-1", 1, 0),
                ("relay/relay-3", 1, 0),
                ("relay/relay-4", 2, failed),
            ],
        )
    }

    /// A pool of 4 whose unit 2 is at this decision of its way back; nobody probes or calls but as told.
    fn back(kind: &Kind) -> Pool {
        let mut pool = Pool::of(4);
        pool.sick(2, 30.0);
        pool.until(&Kind::Evict, 2, 1);
        pool.well(2);
        pool.until(kind, 2, 200);
        pool.quiet = true;
        pool
    }

    /// Seconds until something is decided of a unit, with this in each; `None`: it is not in ten minutes.
    fn seconds(pool: &mut Pool, (kind, n): (&Kind, usize), fact: impl Fn(u64) -> Fact) -> Option<u64> {
        (1..=600).find(|second| {
            let decided = pool.tell(vec![fact(*second)]);
            decided.iter().any(|one| one.kind == *kind && one.unit == Some(id(n)))
        })
    }

    #[test]
    fn one_observer_alone_fails_no_probation_and_the_others_probes_are_as_many_as_ever() {
        let mut pool = back(&Kind::StartProbation);
        assert_eq!(seconds(&mut pool, (&Kind::Step(1), 2), |_| beside(2, 2)), Some(67), "200 of three");
        let mut pool = back(&Kind::StartProbation);
        assert_eq!(seconds(&mut pool, (&Kind::Step(1), 2), |_| beside(2, 0)), Some(60), "300 of four");
    }

    #[test]
    fn what_two_observers_saw_fail_fails_a_probation() {
        let mut pool = back(&Kind::StartProbation);
        let two = |second| match second {
            10 | 20 => said(2, &[("relay/relay-1", 1, 1), ("relay/relay-3", 1, 0), ("relay/relay-4", 2, 0)]),
            _ => beside(2, 2),
        };
        let failed = Kind::FailProbation;
        assert_eq!(seconds(&mut pool, (&failed, 2), two), Some(20), "one is borne of those that count");
    }

    #[test]
    fn of_two_observers_both_count_and_so_does_one_that_is_left_alone() {
        let two = |_| said(2, &[("relay/relay-1", 1, 0), ("relay/relay-4", 1, 1)]);
        let mut pool = back(&Kind::StartProbation);
        assert_eq!(seconds(&mut pool, (&Kind::FailProbation, 2), two), Some(11), "no third was heard of");
        let gone = |second| match second {
            ..30 => beside(2, 0),
            _ => said(2, &[("relay/relay-1", 4, u32::from(second == 40))]),
        };
        let mut pool = back(&Kind::StartProbation);
        assert_eq!(seconds(&mut pool, (&Kind::Step(1), 2), gone), Some(90), "all else are forgotten");
    }

    #[test]
    fn one_observer_that_is_heard_before_the_others_fails_no_probation() {
        let first = |second| if second <= 5 { said(2, &[("relay/relay-4", 2, 2)]) } else { beside(2, 2) };
        let mut pool = back(&Kind::StartProbation);
        assert_eq!(seconds(&mut pool, (&Kind::Step(1), 2), first), Some(72), "200 of three");
        let none_else = |_| said(2, &[("relay/relay-4", 2, 2)]);
        let mut pool = back(&Kind::StartProbation);
        assert_eq!(seconds(&mut pool, (&Kind::FailProbation, 2), none_else), Some(11));
    }

    #[test]
    fn one_observer_that_is_heard_first_after_a_silence_fails_no_probation() {
        let after = |second| match second {
            ..=30 | 93.. => beside(2, 2),
            92 => said(2, &[("relay/relay-4", 2, 2)]),
            _ => Fact::DeepProbes { unit: id(2), n: 0, failed: 0, by: Vec::new() },
        };
        let mut pool = back(&Kind::StartProbation);
        let decided = seconds(&mut pool, (&Kind::FailProbation, 2), after);
        assert_eq!(decided, None);
    }

    #[test]
    fn who_is_left_out_is_known_after_a_restart() {
        let mut pool = back(&Kind::StartProbation);
        for _ in 0..60 {
            pool.tell(vec![beside(2, 2)]);
            let kept = serde_json::to_string(&pool.policy).expect("it has a JSON form");
            pool.policy = serde_json::from_str(&kept).expect("it is read again");
        }
        assert_eq!(seconds(&mut pool, (&Kind::Step(1), 2), |_| beside(2, 2)), Some(7));
    }

    #[test]
    fn one_observer_alone_keeps_nobody_from_joining_and_two_do() {
        let joins = |fact: fn(u64) -> Fact| {
            let mut pool = Pool::of(4);
            pool.quiet = true;
            pool.tell(vec![order("alice", Request::Register(Box::new(about(5))))]);
            seconds(&mut pool, (&Kind::Admit, 5), fact)
        };
        assert_eq!(joins(|_| beside(5, 2)), Some(4), "ten of three");
        assert_eq!(joins(|_| said(5, &[("issuer/i", 1, 0), ("relay/a", 1, 1), ("relay/b", 1, 1)])), None);
    }

    #[test]
    fn whose_probes_do_not_count_is_said_with_what_comes_next_and_nobody_else_is() {
        let note = "relay/relay-4, of which 20 of 20 failed, do not count: no observer alone keeps it out";
        let next = |pool: &Pool, n: usize| pool.policy.outlook(&id(n)).unwrap_or_default();
        for kind in [Kind::StartProbation, Kind::Step(1)] {
            let mut pool = back(&kind);
            (0..10).for_each(|_| drop(pool.tell(vec![beside(2, 2)])));
            assert!(next(&pool, 2).ends_with(note), "{}", next(&pool, 2));
            let mut pool = back(&kind);
            (0..10).for_each(|_| drop(pool.tell(vec![beside(2, 0)])));
            assert!(!next(&pool, 2).contains("do not count"), "{}", next(&pool, 2));
        }
        let mut pool = Pool::of(4);
        pool.quiet = true;
        pool.tell(vec![order("alice", Request::Register(Box::new(about(5))))]);
        pool.tell(vec![beside(5, 2)]);
        assert!(next(&pool, 5).contains("relay/relay-4, of which 2 of 2 failed"), "{}", next(&pool, 5));
    }

    #[test]
    fn one_observer_alone_holds_no_step_and_two_do() {
        let step = (&Kind::Step(5), 2);
        let mut pool = back(&Kind::Step(1));
        assert_eq!(seconds(&mut pool, step, |_| beside(2, 2)), Some(120), "two minutes, as ever");
        let mut pool = back(&Kind::Step(1));
        let two = |second: u64| match second % 20 {
            0 => said(2, &[("issuer/i", 1, 0), ("relay/relay-3", 1, 1), ("relay/relay-4", 1, 0)]),
            _ => beside(2, 2),
        };
        assert_eq!(seconds(&mut pool, step, two), None, "never 100 in a row");
    }
}
