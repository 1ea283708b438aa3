//! A caller's `grpc-timeout` goes on with the time taken off that the relay spent.

use std::{fmt::Write as _, time::Duration};

use http::{HeaderName, HeaderValue};

/// How long a caller waits.
pub(super) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Longest that is believed: nobody waits for longer, and no timer has to hold more.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// Reads a `grpc-timeout`: at most eight digits and a unit; `None` if it is something else.
///
/// Source: gRPC over HTTP/2, "Timeout".
pub(super) fn parse(value: &HeaderValue) -> Option<Duration> {
    let (unit, digits) = value.as_bytes().split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let n = digits.iter().fold(0u64, |n, digit| n * 10 + u64::from(digit - b'0'));
    let named = match unit {
        b'H' => Duration::from_secs(n * 3600),
        b'M' => Duration::from_secs(n * 60),
        b'S' => Duration::from_secs(n),
        b'm' => Duration::from_millis(n),
        b'u' => Duration::from_micros(n),
        b'n' => Duration::from_nanos(n),
        _ => return None,
    };
    Some(named.min(LONGEST))
}

/// Writes a `grpc-timeout` in the finest unit that eight digits hold; never more than `left`.
pub(super) fn format(left: Duration) -> HeaderValue {
    const MAX: u128 = 99_999_999;
    let units = [(1, 'n'), (1_000, 'u'), (1_000_000, 'm'), (1_000_000_000, 'S')];
    let nanos = left.as_nanos();
    let (n, unit) = units
        .into_iter()
        .map(|(size, unit)| (nanos / size, unit))
        .find(|(n, _)| *n <= MAX)
        .unwrap_or((MAX, 'S'));
    let mut text = String::with_capacity(9);
    write!(text, "{n}{unit}").expect("a String takes everything");
    HeaderValue::try_from(text).expect("digits and a letter")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_read_in_every_unit_and_nonsense_is_not() {
        let read = |text: &'static str| parse(&HeaderValue::from_static(text));
        assert_eq!(read("2H"), Some(Duration::from_secs(7200)));
        assert_eq!(read("3M"), Some(Duration::from_secs(180)));
        assert_eq!(read("150m"), Some(Duration::from_millis(150)));
        assert_eq!(read("99999999n"), Some(Duration::from_nanos(99_999_999)));
        assert_eq!(read("99999999H"), Some(LONGEST));
        for bad in ["", "S", "1", "123456789S", "-1S", "1x", "+1S", "1 S"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_written_is_read_back_and_is_never_longer() {
        for nanos in [0, 1, 99_999_999, 100_000_000, 1_234_567_891, 86_400_000_000_123, u64::MAX] {
            let left = Duration::from_nanos(nanos);
            let value = format(left);
            let back = parse(&value).expect("well-formed");
            assert!(back <= left, "{value:?} is longer than {left:?}");
            assert!(left.min(LONGEST) - back <= left / 10_000, "{value:?} is too far from {left:?}");
        }
    }
}
