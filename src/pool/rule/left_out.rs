//! No word of any two observers about others is needed for what the rule says: each bet is made once for
//! every set of observers that may be left out, and the least of them counts. What a unit says of itself
//! always stays: nobody else sees its calls, and by lying it can only harm itself, or hide, which it can
//! anyway.

use super::super::evidence::Class;
use super::counts::Counts;

/// Groups that observers are left out by. Up to nine each is alone in its own; more share them, so that
/// there are 36 pairs for any number of observers. Leaving out a group leaves out the liar in it.
pub(super) const GROUPS: usize = 9;

/// Nobody, each group, each pair of groups.
pub(super) const SETS: usize = 1 + GROUPS + GROUPS * (GROUPS - 1) / 2;

/// A set of groups, by place in the order of [`members`].
pub(super) type Set = usize;

/// Nobody is left out.
pub(super) const NOBODY: Set = 0;

/// The groups of each set, as bits: first nobody, then the single ones, then the pairs.
const MEMBERS: [u16; SETS] = {
    let mut sets = [0u16; SETS];
    let mut next = 1;
    let mut first = 0;
    while first < GROUPS {
        sets[next] = 1 << first;
        next += 1;
        first += 1;
    }
    first = 0;
    while first < GROUPS {
        let mut second = first + 1;
        while second < GROUPS {
            sets[next] = 1 << first | 1 << second;
            next += 1;
            second += 1;
        }
        first += 1;
    }
    sets
};

/// The groups of a set, as bits.
pub(super) fn members(set: Set) -> u16 {
    MEMBERS[set]
}

/// The set of one group alone.
pub(super) fn alone(group: usize) -> Set {
    1 + group
}

/// The set without one of its groups.
pub(super) fn without(set: Set, group: usize) -> Set {
    let rest = members(set) & !(1 << group);
    MEMBERS.iter().position(|bits| *bits == rest).expect("less of a set is one of the sets")
}

/// How many observers are left out of so many: all sets of so many must agree. With one or two observers
/// nobody can be, which is why nobody is evicted then.
pub(super) fn count_of(observers: usize) -> u32 {
    match observers {
        0..=2 => 0,
        3..=5 => 1,
        _ => 2,
    }
}

/// The sets to look at: those of groups that have somebody in them, and of these the ones that count.
#[derive(Debug, Default)]
pub(super) struct Sets {
    /// All that are kept up to date.
    pub(super) kept: Vec<Set>,
    /// Those of which the least counts: all of one size.
    pub(super) counting: Vec<Set>,
    size: u32,
}

impl Sets {
    /// For these groups, as bits, with so many observers that have a vote.
    pub(super) fn of(groups: u16, voters: usize) -> Self {
        let kept: Vec<Set> = (0..SETS).filter(|set| members(*set) & !groups == 0).collect();
        let size = count_of(voters);
        let counting = kept.iter().copied().filter(|set| members(*set).count_ones() == size).collect();
        Self { kept, counting, size }
    }

    /// Whether a set counts.
    pub(super) fn counts(&self, set: Set) -> bool {
        members(set).count_ones() == self.size
    }
}

/// Counts of traffic, of probes, and of both.
pub(super) type Split = [Counts; 3];

/// The place of a class in a [`Split`]; `None` is both.
pub(super) fn place(class: Option<Class>) -> usize {
    match class {
        Some(Class::Traffic) => 0,
        Some(Class::Probe) => 1,
        None => 2,
    }
}

/// The classes in the order of a [`Split`].
pub(super) const ORDER: [Option<Class>; 3] = [Some(Class::Traffic), Some(Class::Probe), None];

/// Counts by group of observers, so that any set can be left out by subtraction.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Parts {
    all: Split,
    groups: [Split; GROUPS],
}

impl Parts {
    /// Adds what an observer of this group said; `None` is the unit itself, which is in none.
    pub(super) fn add(&mut self, group: Option<usize>, class: Class, counts: Counts) {
        let places = [place(Some(class)), place(None)];
        for at in places {
            self.all[at] += counts;
            if let Some(group) = group {
                self.groups[group][at] += counts;
            }
        }
    }

    /// What is left of a class without a set.
    pub(super) fn left(&self, set: Set, at: usize) -> Counts {
        let mut counts = self.all[at];
        let mut bits = members(set);
        while bits != 0 {
            let group = self.groups[bits.trailing_zeros() as usize][at];
            counts.n -= group.n;
            counts.bad -= group.bad;
            bits &= bits - 1;
        }
        counts
    }

    /// The same of all observers.
    pub(super) fn all(&self, at: usize) -> Counts {
        self.all[at]
    }

    pub(super) fn plus(mut self, other: &Self) -> Self {
        for at in 0..3 {
            self.all[at] += other.all[at];
            for group in 0..GROUPS {
                self.groups[group][at] += other.groups[group][at];
            }
        }
        self
    }

    pub(super) fn minus(mut self, other: &Self) -> Self {
        for at in 0..3 {
            self.all[at] -= other.all[at];
            for group in 0..GROUPS {
                self.groups[group][at] -= other.groups[group][at];
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_set_of_nobody_of_each_and_of_each_pair() {
        let mut seen: Vec<u16> = (0..SETS).map(members).collect();
        assert_eq!(seen[NOBODY], 0);
        assert_eq!(members(alone(8)), 1 << 8);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 46);
        assert_eq!(without(alone(3), 3), NOBODY);
    }

    #[test]
    fn one_of_three_to_five_observers_is_left_out_and_two_of_more() {
        let counting = |observers: usize| Sets::of((1 << observers) - 1, observers).counting.len();
        assert_eq!([2, 3, 4, 5, 6, 9].map(counting), [1, 3, 4, 5, 15, 36]);
        assert_eq!(Sets::of((1 << GROUPS) - 1, 17).counting.len(), 36);
    }
}
