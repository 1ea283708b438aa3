//! How much an observer's word counts: less, the later its own timers are, and nothing from a second on.

/// How late its timers may be before its word counts less, in ms; and how late it has no vote.
const LATE_MS: (u32, u32) = (250, 1_000);

/// What is later counts as this late: a vote is back after five reports at the latest.
const LATE_MAX_MS: u32 = 8_000;

/// How late an observer was last, or half of that a report ago; in time, if it never said.
#[derive(Debug, Default)]
pub(super) struct Vote(u32);

impl Vote {
    /// It says how late its timers were; returns its weight. It gets that back by halves: one good second
    /// between bad ones is no reason to believe it.
    pub(super) fn weigh(&mut self, late_ms: u32) -> u8 {
        self.0 = late_ms.max(self.0 / 2).min(LATE_MAX_MS);
        self.weight()
    }

    /// Its weight in per cent.
    pub(super) fn weight(&self) -> u8 {
        let (from, to) = LATE_MS;
        let less = (self.0.clamp(from, to) - from) * 100 / (to - from);
        u8::try_from(100 - less).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_good_second_between_bad_ones_gives_no_vote_back_and_five_good_ones_do() {
        let mut vote = Vote::default();
        assert_eq!(vote.weight(), 100, "it did not say");
        let mut weights = |late: &[u32]| -> Vec<u8> { late.iter().map(|late| vote.weigh(*late)).collect() };
        assert_eq!(weights(&[2_400, 0, 2_400, 3]), [0; 4], "stopped for most of the time");
        assert_eq!(weights(&[0, 0, 0]), [54, 94, 100]);
        assert_eq!(weights(&[3_600_000, 0, 0, 0, 0, 0]), [0, 0, 0, 0, 67, 100], "whatever it was");
        assert_eq!(weights(&[250, 251]), [100, 100], "that happens on a busy machine");
    }
}
