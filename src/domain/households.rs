//! Counts different households exactly, in little more memory than their digests take, however many records
//! they have.

use std::collections::HashMap;

use super::digest::Digest;

/// Parts that grow apart from each other, so that only one is copied at a time.
const PARTS: usize = 64;
/// Bytes of a [`Key`].
pub const KEY_BYTES: usize = 20;
/// A household: its district's number, big-endian, and the first 16 bytes of its digest.
pub type Key = [u8; KEY_BYTES];

/// Households, each kept once.
///
/// Sorted lists with a short unsorted end: a hash table doubles when it is full, and holds both tables while
/// it moves, which for a million records was the largest thing in the client.
#[derive(Debug)]
pub(super) struct Households {
    parts: Vec<Vec<Key>>,
    held: usize,
}

impl Default for Households {
    fn default() -> Self {
        Self { parts: vec![Vec::new(); PARTS], held: 0 }
    }
}

impl Households {
    /// Adds a household, unless it is there.
    pub(super) fn add(&mut self, district: u32, household: &Digest) {
        let mut key = [0; KEY_BYTES];
        key[..4].copy_from_slice(&district.to_be_bytes());
        key[4..].copy_from_slice(&household.0[..16]);
        let part = &mut self.parts[usize::from(key[4]) % PARTS];
        if part.len() == part.capacity() {
            self.held -= part.len();
            compact(part);
            self.held += part.len();
            // A quarter of it is free then, so that the next sorting is that far away.
            part.reserve_exact((part.len() / 4).max(64));
        }
        part.push(key);
        self.held += 1;
    }

    /// How many places are taken, which is never less than the households that are held.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Gives the households away, sorted and each once, and begins again with none.
    pub(super) fn take(&mut self) -> Vec<Key> {
        let mut all = Vec::with_capacity(self.held);
        self.parts.iter_mut().for_each(|part| all.append(part));
        compact(&mut all);
        self.held = 0;
        all
    }

    /// Counts them.
    pub(super) fn tally(self) -> Tally {
        let mut tally = Tally::default();
        for mut part in self.parts {
            compact(&mut part);
            part.iter().for_each(|key| tally.add(key));
        }
        tally
    }
}

/// How many different households each district has, of households that come with equal ones together.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    last: Option<Key>,
    per_district: HashMap<u32, u64>,
}

impl Tally {
    /// Counts a household, unless it is the one before.
    pub fn add(&mut self, key: &Key) {
        if self.last.as_ref() != Some(key) {
            self.last = Some(*key);
            let [a, b, c, d, ..] = *key;
            *self.per_district.entry(u32::from_be_bytes([a, b, c, d])).or_default() += 1;
        }
    }

    /// How many a district has, by its number.
    pub(super) fn of(&self, district: u32) -> u64 {
        self.per_district.get(&district).copied().unwrap_or_default()
    }

    /// How many there are.
    pub(super) fn sum(&self) -> u64 {
        self.per_district.values().sum()
    }
}

fn compact(part: &mut Vec<Key>) {
    part.sort_unstable();
    part.dedup();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_household_counts_once_however_often_and_in_whatever_order_it_comes() {
        let mut households = Households::default();
        // Multiplying by an odd number visits all residues, far from their order.
        for n in 0..60_000u32 {
            let id = n.wrapping_mul(7_919) % 20_000;
            households.add(id % 3, &Digest::of(&id.to_be_bytes()));
        }
        let kept: usize = households.parts.iter().map(Vec::capacity).sum();
        assert!(kept < 20_000 * 2, "{kept} places for 20,000 households");
        assert!((20_000..=kept).contains(&households.held()), "{} held", households.held());
        assert_eq!(households.tally().per_district, HashMap::from([(0, 6_667), (1, 6_667), (2, 6_666)]));
    }

    #[test]
    fn one_digest_in_two_districts_is_two_households() {
        let mut households = Households::default();
        let digest = Digest::of(b"H1");
        [0, 1, 0, 70_000].into_iter().for_each(|district| households.add(district, &digest));
        assert_eq!(households.tally().per_district, HashMap::from([(0, 1), (1, 1), (70_000, 1)]));
    }

    #[test]
    fn what_is_given_away_is_sorted_has_each_once_and_is_held_no_more() {
        let mut households = Households::default();
        (0..300u32).for_each(|n| households.add(n % 2, &Digest::of(&(n % 50).to_be_bytes())));
        let taken = households.take();
        assert_eq!(taken.len(), 50);
        assert!(taken.is_sorted_by(|a, b| a < b));
        assert_eq!((households.held(), households.take().len()), (0, 0));
    }
}
