//! The same numbers from the same seed for ever: no dependency can change them, and no machine.

/// A stream of numbers, 64 bits each.
///
/// Source: SplitMix64, from G. Steele, D. Lea and C. Flood, "Fast Splittable Pseudorandom Number
/// Generators", OOPSLA 2014. Good enough to make people up, and nothing else.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// The stream of a seed for one purpose and one index: none depends on how often another was asked.
    pub(crate) fn of(seed: u64, purpose: &str, index: u64) -> Self {
        let mut stream = Self(seed);
        let mut state = stream.next();
        for byte in purpose.bytes() {
            state = Self(state ^ u64::from(byte)).next();
        }
        Self(Self(state ^ index).next())
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which must not be 0. Uneven by less than one part in 2^64 / `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        let wide = u128::from(self.next()) * u128::from(end);
        u64::try_from(wide >> 64).expect("the upper half of 128 bits fits")
    }

    /// A number from `first` to `last`, both included.
    pub(crate) fn between(&mut self, first: u32, last: u32) -> u32 {
        let width = u64::from(last.saturating_sub(first)) + 1;
        first + u32::try_from(self.below(width)).expect("it is below a width of 32 bits")
    }

    /// True in `parts` of a thousand cases.
    pub(crate) fn per_mille(&mut self, parts: u64) -> bool {
        self.below(1000) < parts
    }

    /// One of these, each as likely.
    pub(crate) fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let index = usize::try_from(self.below(of.len() as u64)).expect("it is an index of a slice");
        &of[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_the_published_one() {
        // The first outputs of SplitMix64 from the seed 1234567, as its reference code gives them.
        let mut stream = Random(1_234_567);
        assert_eq!(stream.next(), 6_457_827_717_110_365_317);
        assert_eq!(stream.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn purposes_and_indexes_have_streams_of_their_own() {
        let first = |seed, purpose, index| Random::of(seed, purpose, index).next();
        assert_ne!(first(7, "a", 0), first(7, "b", 0));
        assert_ne!(first(7, "a", 0), first(7, "a", 1));
        assert_ne!(first(7, "a", 0), first(8, "a", 0));
    }

    #[test]
    fn numbers_stay_within_their_bounds_and_reach_them() {
        let mut stream = Random(1);
        let drawn: Vec<u32> = (0..1000).map(|_| stream.between(3, 6)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&3), Some(&6)));
    }
}
