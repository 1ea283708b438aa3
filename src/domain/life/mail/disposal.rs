//! Nothing is destroyed before its time, by one person alone, or without having been counted.

use std::{fmt, str::FromStr};

use crate::domain::{date::Date, life::Why};

/// Longest name of a clerk, in characters.
const CLERK_CHARS_MAX: usize = 64;

/// Somebody who works in an office, by the office's own short name for them.
///
/// Only small letters, so that one person is never two by the way it is written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Clerk(String);

/// The text is no clerk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a clerk is 1 to 64 of a-z, 0-9, '-', '.', '_': use the office's short name, no name of a person")]
pub struct BadClerk;

impl FromStr for Clerk {
    type Err = BadClerk;

    fn from_str(text: &str) -> Result<Self, BadClerk> {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b'_');
        let good = (1..=CLERK_CHARS_MAX).contains(&text.len()) && text.bytes().all(legal);
        if good { Ok(Self(text.to_owned())) } else { Err(BadClerk) }
    }
}

impl fmt::Display for Clerk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Until when a municipality keeps what came back. It is versioned, and can only be made longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Retention {
    version: u32,
    until: Date,
}

/// The new day is not later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("returned mail is kept until {until}: a retention can only be extended, so name a later day")]
pub struct NotLonger {
    /// The day that stands.
    pub until: Date,
}

impl Retention {
    /// What holds where a municipality has said nothing: until 31 March 2016, as version 1.
    #[must_use]
    pub fn national() -> Self {
        Self { version: 1, until: Date::new(2016, 3, 31).expect("it exists") }
    }

    /// Returns the retention that was stored so.
    #[must_use]
    pub fn stored(version: u32, until: Date) -> Self {
        Self { version, until }
    }

    /// Returns the next version, which ends later.
    ///
    /// # Errors
    /// [`NotLonger`] for any day that is not after the present one.
    pub fn extend(self, until: Date) -> Result<Self, NotLonger> {
        if until <= self.until {
            return Err(NotLonger { until: self.until });
        }
        Ok(Self { version: self.version.saturating_add(1), until })
    }

    /// The last day on which everything is kept: nothing may be destroyed before the day after it.
    #[must_use]
    pub fn until(self) -> Date {
        self.until
    }

    /// Which version it is, from 1.
    #[must_use]
    pub fn version(self) -> u32 {
        self.version
    }
}

/// What a disposal depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Disposal {
    /// Who proposed it.
    pub proposed_by: Clerk,
    /// Who confirms it.
    pub confirmed_by: Clerk,
    /// The day on which it is confirmed, in Japan.
    pub on: Date,
    /// The municipality's retention on that day.
    pub retention: Retention,
    /// When a stocktake last saw the item, ms since the Unix epoch.
    pub seen_ms: Option<i64>,
}

impl Disposal {
    pub(super) fn check(&self) -> Result<(), Why> {
        if self.on <= self.retention.until {
            Err(Why::Retained)
        } else if self.proposed_by == self.confirmed_by {
            Err(Why::SamePerson)
        } else if self.seen_ms.is_none() {
            Err(Why::NotCounted)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Date {
        Date::parse(text).expect("a day")
    }

    #[test]
    fn a_retention_is_only_ever_extended_and_each_time_a_new_version() {
        let national = Retention::national();
        assert_eq!((national.version(), national.until()), (1, day("2016-03-31")));
        let longer = national.extend(day("2016-10-31")).expect("it is later");
        assert_eq!((longer.version(), longer.until()), (2, day("2016-10-31")));
        for sooner in ["2016-10-31", "2016-10-30", "2016-03-31", "0001-01-01"] {
            assert_eq!(longer.extend(day(sooner)), Err(NotLonger { until: day("2016-10-31") }), "{sooner}");
        }
    }

    #[test]
    fn one_person_has_one_name() {
        let longest = "a".repeat(64);
        for good in ["alice", "desk-3.b_1", &longest] {
            assert_eq!(good.parse::<Clerk>().expect(good).to_string(), good);
        }
        for bad in ["", "Alice", "a b", "アリス", &"a".repeat(65)] {
            assert_eq!(bad.parse::<Clerk>(), Err(BadClerk), "{bad}");
        }
    }
}
