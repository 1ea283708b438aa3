//! Days and moments as text, with the proleptic Gregorian calendar and no clock: what is parsed is a day that
//! exists, and has one text.

use std::fmt;

const DAY_MS: i64 = 86_400_000;
/// Japan keeps UTC+9 all year.
pub const JST_MS: i64 = 9 * 3_600_000;
/// 9999-12-31T23:59:59.999Z in ms since the Unix epoch, the last moment that has a text.
pub const LAST_MS: i64 = 253_402_300_799_999;

/// A day of the years 1 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Date {
    year: i32,
    month: u8,
    day: u8,
}

impl Date {
    /// Returns this day; `None` if it does not exist.
    #[must_use]
    pub fn new(year: i32, month: u8, day: u8) -> Option<Self> {
        let exists = (1..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_of(year, month)).contains(&day);
        exists.then_some(Self { year, month, day })
    }

    /// Reads `YYYY-MM-DD` (ISO 8601); `None` if the text is anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: &[u8; 10] = text.as_bytes().try_into().ok()?;
        if bytes[4] != b'-' || bytes[7] != b'-' {
            return None;
        }
        let (year, month) = (digits(&bytes[..4])?, digits(&bytes[5..7])?);
        Self::new(
            i32::try_from(year).ok()?,
            u8::try_from(month).ok()?,
            u8::try_from(digits(&bytes[8..])?).ok()?,
        )
    }

    /// Returns the day that it is in Japan at this moment, ms since the Unix epoch. What lies before the
    /// epoch or after the year 9999 counts as that end.
    #[must_use]
    pub fn in_japan(ms: i64) -> Self {
        Self::of_days(ms.saturating_add(JST_MS).clamp(0, LAST_MS) / DAY_MS)
    }

    /// The year.
    #[must_use]
    pub fn year(self) -> i32 {
        self.year
    }

    /// The month, from 1.
    #[must_use]
    pub fn month(self) -> u8 {
        self.month
    }

    /// The day of the month, from 1.
    #[must_use]
    pub fn day(self) -> u8 {
        self.day
    }

    /// The moment at which the day begins in UTC, ms since the Unix epoch.
    #[must_use]
    pub fn start_ms(self) -> i64 {
        self.days() * DAY_MS
    }

    /// Days since 1970-01-01. Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    fn days(self) -> i64 {
        let (month, day) = (i64::from(self.month), i64::from(self.day));
        let year = i64::from(self.year) - i64::from(month <= 2);
        let era = year.div_euclid(400);
        let of_era = year.rem_euclid(400);
        let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
    }

    /// The inverse of [`Date::days`]; the same source.
    fn of_days(days: i64) -> Self {
        let shifted = days + 719_468;
        let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * march + 2) / 5 + 1;
        let month = if march < 10 { march + 3 } else { march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let small = |n: i64| u8::try_from(n).expect("a month or a day");
        Self { year: i32::try_from(year).expect("below 10,000"), month: small(month), day: small(day) }
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// Returns how many days a month has; months are from 1.
#[must_use]
pub fn days_of(year: i32, month: u8) -> u8 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn is_leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn digits(bytes: &[u8]) -> Option<u32> {
    bytes.iter().try_fold(0, |n: u32, b| b.is_ascii_digit().then(|| n * 10 + u32::from(b - b'0')))
}

/// Writes ms since the Unix epoch as `2026-11-25T15:40:00.000Z` (RFC 3339). What lies before the epoch or
/// after the year 9999 is written as that end.
#[must_use]
pub fn utc(ms: i64) -> String {
    let ms = ms.clamp(0, LAST_MS);
    let (day, rest) = (Date::of_days(ms / DAY_MS), ms % DAY_MS);
    let (hours, minutes) = (rest / 3_600_000, rest / 60_000 % 60);
    format!("{day}T{hours:02}:{minutes:02}:{:02}.{:03}Z", rest / 1000 % 60, rest % 1000)
}

/// Writes ms since the Unix epoch as `2026-11-26T00:40:00+09:00`: in Japan's time, as a calendar is written.
#[must_use]
pub fn japan(ms: i64) -> String {
    format!("{}+09:00", &utc(ms.saturating_add(JST_MS))[..19])
}

/// Reads what [`utc`] writes, as ms since the Unix epoch; `None` if the text is anything else.
#[must_use]
pub fn parse_utc(text: &str) -> Option<i64> {
    let (day, time) = text.split_at_checked(10)?;
    let day = Date::parse(day).filter(|day| day.year >= 1970)?;
    let t: &[u8; 14] = time.as_bytes().try_into().ok()?;
    let part = |range: std::ops::Range<usize>| digits(&t[range]).map(i64::from);
    let (hours, minutes) = (part(1..3)?, part(4..6)?);
    let ms = day.days() * DAY_MS + ((hours * 60 + minutes) * 60 + part(7..9)?) * 1000 + part(10..13)?;
    // Every text has one moment, so a text that does not come back is none of ours.
    (utc(ms) == text).then_some(ms)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_moments_have_their_known_texts() {
        assert_eq!(utc(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(utc(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(utc(1_445_007_599_999), "2015-10-16T14:59:59.999Z");
        assert_eq!(utc(LAST_MS), "9999-12-31T23:59:59.999Z");
        assert_eq!((utc(-1), utc(i64::MAX)), (utc(0), utc(LAST_MS)));
        assert_eq!(japan(1_445_007_599_999), "2015-10-16T23:59:59+09:00");
        assert_eq!((japan(0), japan(i64::MAX).len()), ("1970-01-01T09:00:00+09:00".to_owned(), 25));
        for bad in [
            "",
            "2026-11-25",
            "2026-11-25T15:40:00Z",
            "2026-11-25 15:40:00.000Z",
            "2026-11-25T24:00:00.000Z",
            "2026-11-25T15:60:00.000Z",
            "2026-11-31T15:40:00.000Z",
            "2026-11-25T15:40:00.000z",
            "1969-12-31T23:59:59.999Z",
            "2026-11-25T15:40:00.００",
        ] {
            assert_eq!(parse_utc(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_days_that_exist_are_parsed() {
        for good in ["2000-02-29", "2024-02-29", "1980-01-31", "0001-01-01", "9999-12-31"] {
            assert_eq!(Date::parse(good).expect(good).to_string(), good);
        }
        for bad in [
            "1900-02-29",
            "2023-02-29",
            "1980-02-31",
            "1980-04-31",
            "1980-13-01",
            "1980-00-01",
            "1980-01-00",
            "0000-01-01",
            "80-01-01",
            "1980/01/01",
            "1980-1-1",
            "1980-01-01 ",
            "１９８０-01-01",
            "+980-01-01",
        ] {
            assert_eq!(Date::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_day_is_japans() {
        for (ms, day) in [
            (1_445_007_600_000, "2015-10-17"), // 2015-10-16T15:00:00Z
            (1_445_007_599_999, "2015-10-16"),
            (0, "1970-01-01"),
            (i64::MIN, "1970-01-01"),
            (i64::MAX, "9999-12-31"),
        ] {
            assert_eq!(Date::in_japan(ms).to_string(), day, "{ms}");
        }
    }

    proptest! {
        #[test]
        fn every_moment_comes_back(ms in 0..=LAST_MS) {
            prop_assert_eq!(parse_utc(&utc(ms)), Some(ms));
        }

        #[test]
        fn the_day_after_is_one_more(days in -719_162i64..2_932_896) {
            let (day, next) = (Date::of_days(days), Date::of_days(days + 1));
            prop_assert_eq!(day.days(), days);
            prop_assert!(day < next);
            prop_assert_eq!(Date::new(day.year, day.month, day.day), Some(day));
        }

        #[test]
        fn no_text_makes_them_panic(text: String) {
            let _ = (Date::parse(&text), parse_utc(&text));
        }
    }
}
