//! The pool's seconds follow the clock and never run backwards: after a clock was set back they go on from
//! where they were, and what observers saw is put into them by when it was sent.

use crate::domain::unit::UnitId;

/// How far the clock may be behind before it counts as set back, in seconds: less is only waited for.
const BACK_S: u64 = 2;
/// How far it may leap before that counts as set right again.
const AHEAD_S: u64 = 10;
/// From how far on an observer's clock counts as another than ours.
const SKEW_S: i64 = 2;
/// For how many reports in a row it must, and must not, for it to be said. One comes each second.
const SKEWED_REPORTS: u8 = 30;

/// The seconds by which is judged and decided.
#[derive(Debug, Default)]
pub(super) struct Seconds {
    /// By how much they are ahead of the clock.
    ahead: u64,
    last: u64,
}

impl Seconds {
    /// The second now, when the clock shows this one.
    pub(super) fn at(&mut self, clock: u64) -> u64 {
        let mut now = clock + self.ahead;
        if now + BACK_S < self.last {
            self.ahead = self.last - clock;
            now = self.last;
            let by = self.ahead;
            tracing::error!("the clock was set back: the pool's seconds go on, {by} s ahead of it");
        } else if self.ahead > 0 && now > self.last + AHEAD_S {
            let less = (now - self.last - 1).min(self.ahead);
            (self.ahead, now) = (self.ahead - less, now - less);
        }
        self.last = self.last.max(now);
        self.last
    }

    /// Goes on after a second that another one, or the last run, came to.
    pub(super) fn after(&mut self, second: u64) {
        self.last = self.last.max(second);
    }

    /// What is added to the seconds of what an observer saw, which sent it in `sent` by its own clock when
    /// ours showed `clock`; 0: it does not say. Also how far its clock is ahead of ours.
    pub(super) fn shift(&mut self, clock: u64, sent: i64) -> (i64, i64) {
        let whole = |second: u64| i64::try_from(second).unwrap_or(i64::MAX);
        let ahead = whole(self.at(clock)) - whole(clock);
        let skew = if sent == 0 { 0 } else { sent.saturating_sub(whole(clock)) };
        (if skew.abs() < SKEW_S { ahead } else { ahead.saturating_sub(skew) }, skew)
    }
}

/// What was said of a unit's clock.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Skew {
    /// Whether that it is wrong.
    wrong: bool,
    /// Reports in a row that say otherwise.
    otherwise: u8,
}

impl Skew {
    /// Says once that a unit's clock is wrong, and once that it is right again. A report that waited for its
    /// turn looks like a clock that is behind, so that one alone says nothing.
    pub(super) fn say(&mut self, unit: &UnitId, skew_s: i64) {
        if (skew_s.abs() >= SKEW_S) == self.wrong {
            self.otherwise = 0;
            return;
        }
        self.otherwise += 1;
        if self.otherwise < SKEWED_REPORTS {
            return;
        }
        *self = Self { wrong: !self.wrong, otherwise: 0 };
        if self.wrong {
            let what = "what it sees is counted by when it comes; look at its time service, or at what holds \
                        its reports up";
            tracing::warn!(%unit, skew_s, "the clock of {unit} differs by {skew_s} s from ours: {what}");
        } else {
            tracing::info!(%unit, "the clock of {unit} is right again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_go_on_when_the_clock_is_set_back_and_when_it_is_set_right_again() {
        let mut seconds = Seconds::default();
        assert_eq!([1_000, 1_001, 1_000, 1_002].map(|clock| seconds.at(clock)), [1_000, 1_001, 1_001, 1_002]);
        assert_eq!([500, 501, 502].map(|clock| seconds.at(clock)), [1_002, 1_003, 1_004], "set back");
        assert_eq!([1_003, 1_004].map(|clock| seconds.at(clock)), [1_005, 1_006], "set right again");
        assert_eq!(seconds.at(2_000), 2_000, "and it may leap");
        seconds.after(3_000);
        assert_eq!([2_001, 2_002].map(|clock| seconds.at(clock)), [3_000, 3_001], "the last run was ahead");
    }

    #[test]
    fn what_an_observer_saw_is_put_where_it_was_sent_whatever_its_clock_says() {
        let mut seconds = Seconds::default();
        assert_eq!(seconds.shift(1_000, 0), (0, 0), "it does not say");
        assert_eq!(seconds.shift(1_000, 1_001), (0, 1), "a report may take a while");
        assert_eq!(seconds.shift(1_000, 4_600), (-3_600, 3_600));
        assert_eq!(seconds.shift(1_000, 900), (100, -100));
        assert_eq!(seconds.at(500), 1_000);
        assert_eq!(seconds.shift(501, 501), (500, 0), "both were set back");
        assert_eq!(seconds.shift(502, 1_002), (0, 500), "only ours was");
    }

    #[test]
    fn a_wrong_clock_is_said_once_and_a_report_that_waited_is_no_wrong_clock() {
        let (unit, mut skew) = ("relay-2".parse().expect("a name"), Skew::default());
        let mut said = |seconds: &[i64], times: usize| {
            for skew_s in seconds.iter().cycle().take(times) {
                skew.say(&unit, *skew_s);
            }
            skew.wrong
        };
        assert!(!said(&[-2, -11, -6, 1], 400), "a busy machine");
        assert!(!said(&[3_600], 29), "not yet");
        assert!(said(&[3_600], 1));
        assert!(said(&[-1, -2], 400), "it may be so still");
        assert!(!said(&[0], 30));
    }
}
