//! A caller's `grpc-timeout` goes on with the time taken off that the relay spent.

use std::{fmt::Write as _, time::Duration};

use http::{HeaderName, HeaderValue};

use crate::wire::timeout;

/// How long a caller waits.
pub(super) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static(timeout::GRPC_TIMEOUT);

/// Longest that is believed: nobody waits for longer, and no timer has to hold more.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// Reads a caller's `grpc-timeout`; `None` if it is no such thing.
pub(super) fn read(value: &HeaderValue) -> Option<Duration> {
    timeout::parse(value.as_bytes()).map(|named| named.min(LONGEST))
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
    fn who_waits_for_longer_than_anybody_does_is_cut_short() {
        assert_eq!(read(&HeaderValue::from_static("150m")), Some(Duration::from_millis(150)));
        assert_eq!(read(&HeaderValue::from_static("99999999H")), Some(LONGEST));
        assert_eq!(read(&HeaderValue::from_static("soon")), None);
    }

    #[test]
    fn what_is_written_is_read_back_and_is_never_longer() {
        for nanos in [0, 1, 99_999_999, 100_000_000, 1_234_567_891, 86_400_000_000_123, u64::MAX] {
            let left = Duration::from_nanos(nanos);
            let value = format(left);
            let back = read(&value).expect("well-formed");
            assert!(back <= left, "{value:?} is longer than {left:?}");
            assert!(left.min(LONGEST) - back <= left / 10_000, "{value:?} is too far from {left:?}");
        }
    }
}
