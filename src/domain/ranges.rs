//! A set of numbers as ranges: however numbers are put in, the ranges are sorted, apart and as few as can be.

/// A set of `u64`, kept as inclusive ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges {
    // Sorted; between two ranges at least one number is missing.
    ranges: Vec<(u64, u64)>,
}

impl Ranges {
    /// Puts one number in.
    pub fn insert(&mut self, number: u64) {
        self.insert_range(number, number);
    }

    /// Puts `first` to `last` in, both inclusive; nothing if `last` is before `first`.
    pub fn insert_range(&mut self, first: u64, last: u64) {
        if last < first {
            return;
        }
        // The ranges that touch or overlap the new one become one with it.
        let begin = self.ranges.partition_point(|&(_, end)| end.saturating_add(1) < first);
        let end = self.ranges.partition_point(|&(start, _)| start <= last.saturating_add(1));
        if begin == end {
            self.ranges.insert(begin, (first, last));
            return;
        }
        let merged = (first.min(self.ranges[begin].0), last.max(self.ranges[end - 1].1));
        self.ranges[begin] = merged;
        self.ranges.drain(begin + 1..end);
    }

    /// Whether `number` is in the set.
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        let at = self.ranges.partition_point(|&(_, end)| end < number);
        self.ranges.get(at).is_some_and(|&(start, _)| start <= number)
    }

    /// Whether any number from `first` to `last`, both inclusive, is in the set.
    #[must_use]
    pub fn touches(&self, first: u64, last: u64) -> bool {
        let at = self.ranges.partition_point(|&(_, end)| end < first);
        self.ranges.get(at).is_some_and(|&(start, _)| start <= last)
    }

    /// How many numbers are in the set; `u64::MAX` if there is one more than that.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.ranges
            .iter()
            .fold(0, |sum: u64, (first, last)| sum.saturating_add(last - first).saturating_add(1))
    }

    /// Whether no number is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The ranges in order, first and last inclusive.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.ranges.iter().copied()
    }

    /// Returns the numbers below `count` that are not in the set.
    #[must_use]
    pub fn missing(&self, count: u64) -> Ranges {
        let mut missing = Ranges::default();
        let mut next = 0;
        for &(first, last) in &self.ranges {
            if first >= count {
                break;
            }
            if first > next {
                missing.ranges.push((next, first - 1));
            }
            next = last.saturating_add(1);
        }
        if next < count {
            missing.ranges.push((next, count - 1));
        }
        missing
    }
}

impl FromIterator<u64> for Ranges {
    fn from_iter<I: IntoIterator<Item = u64>>(numbers: I) -> Self {
        let mut ranges = Self::default();
        numbers.into_iter().for_each(|number| ranges.insert(number));
        ranges
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn apart(ranges: &Ranges) -> bool {
        let ordered = ranges.iter().all(|(first, last)| first <= last);
        ordered && ranges.ranges.windows(2).all(|two| two[0].1 + 1 < two[1].0)
    }

    proptest! {
        #[test]
        fn ranges_are_the_set_of_what_was_put_in(
            puts in prop::collection::vec((0u64..60, 0u64..8), 0..30),
            count in 0u64..80,
        ) {
            let mut ranges = Ranges::default();
            let mut set = BTreeSet::new();
            for (first, length) in puts {
                ranges.insert_range(first, first + length);
                set.extend(first..=first + length);
                prop_assert!(apart(&ranges), "{ranges:?}");
            }
            prop_assert_eq!(ranges.len(), set.len() as u64);
            prop_assert_eq!(&set.iter().copied().collect::<Ranges>(), &ranges);
            let missing = ranges.missing(count);
            prop_assert!(apart(&missing), "{missing:?}");
            for number in 0..90 {
                prop_assert_eq!(ranges.contains(number), set.contains(&number));
                prop_assert_eq!(missing.contains(number), number < count && !set.contains(&number));
                let some = set.range(number..=number + 3).next().is_some();
                prop_assert_eq!(ranges.touches(number, number + 3), some);
            }
        }
    }

    proptest! {
        // `from` puts the same questions at both ends of the number line.
        #[test]
        fn neither_order_nor_cut_nor_place_of_what_is_put_in_shows(
            puts in prop::collection::vec((0u64..60, 0u64..8), 0..30),
            turned: prop::sample::Index,
            from in prop_oneof![Just(0), Just(u64::MAX - 67), 0..u64::MAX - 67],
        ) {
            let mut ranges = Ranges::default();
            for (first, length) in &puts {
                ranges.insert_range(from + first, from + first + length);
            }
            let mut other = Ranges::default();
            let (ahead, behind) = puts.split_at(turned.index(puts.len() + 1));
            for (first, length) in behind.iter().chain(ahead).rev() {
                (*first..=first + length).rev().for_each(|number| other.insert(from + number));
            }
            prop_assert_eq!(&other, &ranges);
            // What is sent are first and last of each range: reading them gives the same set.
            let mut read = Ranges::default();
            ranges.iter().for_each(|(first, last)| read.insert_range(first, last));
            prop_assert_eq!(&read, &ranges);
            let set: BTreeSet<u64> =
                puts.iter().flat_map(|(first, length)| from + first..=from + first + length).collect();
            let number = |n: usize| from + n as u64;
            for n in 0..68 {
                prop_assert_eq!(ranges.contains(number(n)), set.contains(&number(n)));
            }
            // What is missing of what is missing is there, as far as was asked.
            let count = from.saturating_add(40);
            let there: Ranges = set.iter().copied().filter(|number| *number < count).collect();
            prop_assert_eq!(ranges.missing(count).missing(count), there.clone());
            prop_assert_eq!(ranges.missing(count).len() + there.len(), count);
        }
    }

    #[test]
    fn the_ends_of_the_number_line_are_numbers_too() {
        let mut ranges = Ranges::default();
        ranges.insert(u64::MAX);
        ranges.insert(0);
        ranges.insert_range(5, 4);
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [(0, 0), (u64::MAX, u64::MAX)]);
        assert_eq!(ranges.missing(u64::MAX).iter().collect::<Vec<_>>(), [(1, u64::MAX - 1)]);
        ranges.insert_range(0, u64::MAX);
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [(0, u64::MAX)]);
        assert!(ranges.missing(u64::MAX).is_empty());
    }
}
