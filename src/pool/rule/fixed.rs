//! A number of the state survives a snapshot exactly: it is kept as a whole number of 10⁻¹².

use serde::{Deserialize, Serialize};

/// Steps in 1.
const STEPS: f64 = 1e12;

/// A real number in steps of 10⁻¹², from −9.2 to +9.2 million. Text formats may lose the last bit of a float;
/// the wealth of a bet, which is a sum over hours, may not change when another controller takes over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Fixed(i64);

impl Fixed {
    pub(super) fn of(value: f64) -> Self {
        // A cast saturates, and takes NaN as 0.
        Self((value * STEPS).round() as i64)
    }

    pub(super) fn get(self) -> f64 {
        self.0 as f64 / STEPS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_kept_to_twelve_places() {
        for value in [0.0, 21.364_999_999_999, -0.230_258_509_299, 1e-9, 1e6] {
            assert!((Fixed::of(value).get() - value).abs() <= 1e-12, "{value}");
        }
        assert_eq!(Fixed::of(f64::NAN), Fixed::default());
    }
}
