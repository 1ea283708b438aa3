//! Deals exactly so many of each kind over exactly so many places, at random places, one after the other.

use super::random::Random;

/// What is left to deal, over what is left of the places.
///
/// Source: selection sampling, D. Knuth, The Art of Computer Programming vol. 2, 3.4.2, algorithm S, with
/// several kinds: each place gets a kind with the chance (left of the kind) / (left of the places), which
/// uses up every kind exactly.
#[derive(Debug, Clone)]
pub(crate) struct Deal<K> {
    places_left: u64,
    kinds: Vec<(K, u64)>,
}

impl<K: Copy> Deal<K> {
    /// Returns a deal over `places`; `None` if there is more to deal than there are places.
    pub(crate) fn new(places: u64, kinds: Vec<(K, u64)>) -> Option<Self> {
        let all = kinds.iter().try_fold(0u64, |sum, (_, count)| sum.checked_add(*count))?;
        (all <= places).then_some(Self { places_left: places, kinds })
    }

    /// What the next place gets.
    pub(crate) fn next(&mut self, random: &mut Random) -> Option<K> {
        if self.kinds.is_empty() || self.places_left == 0 {
            return None;
        }
        let mut drawn = random.below(self.places_left);
        self.places_left -= 1;
        for (kind, left) in &mut self.kinds {
            if drawn < *left {
                *left -= 1;
                return Some(*kind);
            }
            drawn -= *left;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_dealt_exactly_and_not_in_one_heap() {
        let mut deal = Deal::new(1000, vec![('a', 10), ('b', 500)]).expect("there is room");
        let mut random = Random::of(7, "test", 0);
        let dealt: Vec<Option<char>> = (0..1000).map(|_| deal.next(&mut random)).collect();
        let count = |kind| dealt.iter().filter(|got| **got == Some(kind)).count();
        assert_eq!((count('a'), count('b')), (10, 500));
        let in_the_first_half = dealt[..500].iter().filter(|got| **got == Some('b')).count();
        assert!((200..300).contains(&in_the_first_half), "{in_the_first_half}");
        assert_eq!(deal.next(&mut random), None);
    }

    #[test]
    fn more_than_fits_is_no_deal() {
        assert!(Deal::new(3, vec![('a', 2), ('b', 2)]).is_none());
        assert!(Deal::new(4, vec![('a', 2), ('b', 2)]).is_some());
    }
}
