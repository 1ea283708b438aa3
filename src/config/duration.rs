//! One way to write a time span everywhere, in flags, files and environment: a whole number and its unit.

use std::time::Duration;

const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// The longest span that is taken: nobody waits longer, and moments far beyond it could not be reckoned with.
pub const SPAN_MAX: Duration = Duration::from_secs(366 * 86_400);

/// Reads `250ms`, `90s`, `5m`, `24h` or `7d`.
///
/// # Errors
/// Words that say what is needed.
pub fn parse(text: &str) -> Result<Duration, String> {
    let needed = || "must be a whole number with its unit, such as 250ms, 90s, 5m, 24h or 7d".to_owned();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number: u64 = number.parse().map_err(|_| needed())?;
    let (_, ms) = UNITS.iter().find(|(known, _)| *known == unit).ok_or_else(needed)?;
    let span = number.checked_mul(*ms).map(Duration::from_millis);
    span.filter(|span| *span <= SPAN_MAX).ok_or_else(|| format!("is too long: at most {}", show(SPAN_MAX)))
}

/// Writes a time span as it is read, in the longest unit that fits it.
#[must_use]
pub fn show(span: Duration) -> String {
    let all = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let fits = UNITS.iter().find(|(_, ms)| all > 0 && all.is_multiple_of(*ms));
    fits.map_or_else(|| format!("{all}ms"), |(unit, ms)| format!("{}{unit}", all / ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_read_with_its_unit_only_and_shown_as_it_is_read() {
        for (text, ms) in [("250ms", 250), ("90s", 90_000), ("5m", 300_000), ("7h", 25_200_000), ("0ms", 0)] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)));
            assert_eq!(show(Duration::from_millis(ms)), text);
        }
        assert_eq!(show(Duration::from_secs(86_400)), "1d");
        assert_eq!(parse("366d"), Ok(SPAN_MAX));
        for long in ["367d", "4000000000d", "31622400001ms"] {
            assert_eq!(parse(long), Err("is too long: at most 366d".to_owned()));
        }
        for bad in ["", "5", "m", "5x", "-1s", "1年", "99999999999999999999s", "999999999999999999d"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
