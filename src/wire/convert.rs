//! Values of the domain to and from protobuf; what cannot be right is refused here, once.

use super::fault::{Fault, Reason};

/// Milliseconds since the epoch as a protobuf time.
#[must_use]
pub fn timestamp(ms: i64) -> prost_types::Timestamp {
    let nanos = i32::try_from(ms.rem_euclid(1000) * 1_000_000).expect("below 10^9");
    prost_types::Timestamp { seconds: ms.div_euclid(1000), nanos }
}

/// A protobuf time as milliseconds since the epoch, rounded down.
#[must_use]
pub fn millis(time: &prost_types::Timestamp) -> i64 {
    time.seconds.saturating_mul(1000).saturating_add(i64::from(time.nanos) / 1_000_000)
}

/// A protobuf span in milliseconds, rounded up; less than none is none.
#[must_use]
pub fn span_ms(span: &prost_types::Duration) -> u64 {
    let nanos = u64::try_from(span.nanos).unwrap_or_default();
    u64::try_from(span.seconds)
        .unwrap_or_default()
        .saturating_mul(1000)
        .saturating_add(nanos.div_ceil(1_000_000))
}

/// A span as protobuf has it; the longest that it can hold for one that is longer.
#[must_use]
pub fn span(span: std::time::Duration) -> prost_types::Duration {
    let seconds = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    prost_types::Duration { seconds, nanos: span.subsec_nanos().cast_signed() }
}

/// Reads a page size: 0 means the default.
///
/// # Errors
/// FIELD_INVALID above `max`.
pub fn page_size(asked: u32, default: u32, max: u32) -> Result<u32, Fault> {
    match asked {
        0 => Ok(default),
        n if n <= max => Ok(n),
        n => Err(Fault::new(Reason::FieldInvalid, format!("page_size {n} is too large: use 1 to {max}"))
            .violation("page_size", format!("1 to {max}, or 0 for {default}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_also_before_the_epoch() {
        for ms in [0, 1, 999, 1000, 1_790_000_000_123, -1, -1001] {
            assert_eq!(millis(&timestamp(ms)), ms);
        }
    }

    #[test]
    fn a_span_is_what_it_was_up_to_a_millisecond() {
        for (us, ms) in [(0, 0), (1, 1), (999, 1), (1_000, 1), (3_600_000_000, 3_600_000)] {
            assert_eq!(span_ms(&span(std::time::Duration::from_micros(us))), ms);
        }
        assert_eq!(span_ms(&prost_types::Duration { seconds: -1, nanos: -1 }), 0);
        assert_eq!(span_ms(&span(std::time::Duration::MAX)), u64::MAX);
    }

    #[test]
    fn a_page_size_above_the_maximum_is_refused() {
        assert_eq!(page_size(0, 50, 500), Ok(50));
        assert_eq!(page_size(500, 50, 500), Ok(500));
        assert_eq!(page_size(501, 50, 500).expect_err("too large").reason, Reason::FieldInvalid);
    }
}
