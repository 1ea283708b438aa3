//! Counts different households exactly, in little more memory than their digests take, however many records
//! they have.

use std::collections::HashMap;

use super::digest::Digest;

/// Parts that grow apart from each other, so that only one is copied at a time.
const PARTS: usize = 64;
/// A district's number and the first 16 bytes of the household's digest.
type Key = [u8; 20];

/// Households, each kept once.
///
/// Sorted lists with a short unsorted end: a hash table doubles when it is full, and holds both tables while
/// it moves, which for a million records was the largest thing in the client.
#[derive(Debug)]
pub(super) struct Households {
    parts: Vec<Vec<Key>>,
}

impl Default for Households {
    fn default() -> Self {
        Self { parts: vec![Vec::new(); PARTS] }
    }
}

impl Households {
    /// Adds a household, unless it is there.
    pub(super) fn add(&mut self, district: u32, household: &Digest) {
        let mut key = [0; 20];
        key[..4].copy_from_slice(&district.to_be_bytes());
        key[4..].copy_from_slice(&household.0[..16]);
        let part = &mut self.parts[usize::from(key[4]) % PARTS];
        if part.len() == part.capacity() {
            compact(part);
            // A quarter of it is free then, so that the next sorting is that far away.
            part.reserve_exact((part.len() / 4).max(64));
        }
        part.push(key);
    }

    /// Returns how many different ones each district has.
    pub(super) fn per_district(self) -> HashMap<u32, u64> {
        let mut counts = HashMap::new();
        for mut part in self.parts {
            compact(&mut part);
            for [a, b, c, d, ..] in part {
                *counts.entry(u32::from_be_bytes([a, b, c, d])).or_default() += 1;
            }
        }
        counts
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
        assert_eq!(households.per_district(), HashMap::from([(0, 6_667), (1, 6_667), (2, 6_666)]));
    }

    #[test]
    fn one_digest_in_two_districts_is_two_households() {
        let mut households = Households::default();
        let digest = Digest::of(b"H1");
        [0, 1, 0, 70_000].into_iter().for_each(|district| households.add(district, &digest));
        assert_eq!(households.per_district(), HashMap::from([(0, 1), (1, 1), (70_000, 1)]));
    }
}
