//! What is usual is learned from the past only: by the day, and by the hour for a pool that turns noisy.

use serde::{Deserialize, Serialize};

use super::fixed::Fixed;
use super::latency::lower_median;
use super::parameters::Parameters;

const DAY_S: f64 = 86_400.0;
const HOUR_S: f64 = 3_600.0;

/// Exponential means of one figure of one unit, with half-lives of a day and of an hour.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Means {
    day: Fixed,
    hour: Fixed,
}

impl Means {
    /// As if it had always been so.
    pub(super) fn of(value: f64) -> Self {
        Self { day: Fixed::of(value), hour: Fixed::of(value) }
    }

    /// One second more.
    pub(super) fn add(&mut self, value: f64) {
        let nearer = |mean: Fixed, half_life: f64| {
            Fixed::of(mean.get() + std::f64::consts::LN_2 / half_life * (value - mean.get()))
        };
        self.day = nearer(self.day, DAY_S);
        self.hour = nearer(self.hour, HOUR_S);
    }
}

/// The larger of the two lower medians over units; `None` without units.
pub(super) fn usual(means: &[Means]) -> Option<f64> {
    let median = |of: fn(&Means) -> Fixed| lower_median(means.iter().map(of).collect());
    Some(median(|means| means.day)?.max(median(|means| means.hour)?).get())
}

/// p0: so many times what is usual, within bounds.
pub(super) fn allowed(means: &[Means], parameters: &Parameters) -> f64 {
    let p0 = usual(means).map_or(parameters.p0_start, |usual| parameters.p0_factor * usual);
    p0.clamp(parameters.p0_min, parameters.p0_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_halves_the_mean_of_the_day_and_an_hour_that_of_the_hour() {
        let mut means = Means::of(0.02);
        for _ in 0..3600 {
            means.add(0.0);
        }
        assert!((means.hour.get() - 0.01).abs() < 1e-5, "{means:?}");
        assert!((means.day.get() - 0.02 * 0.5f64.powf(1.0 / 24.0)).abs() < 1e-5, "{means:?}");
    }

    #[test]
    fn p0_is_twice_the_larger_lower_median_within_its_bounds() {
        let parameters = Parameters::default();
        let units = |values: &[f64]| values.iter().map(|value| Means::of(*value)).collect::<Vec<_>>();
        let p0 = |values: &[f64]| (allowed(&units(values), &parameters) * 1e6).round() / 1e6;
        assert_eq!(p0(&[]), 0.04, "a new pool");
        assert_eq!(p0(&[0.012, 0.9]), 0.024, "one sick unit of two does not raise its own bar");
        assert_eq!(p0(&[0.001, 0.013, 0.015, 0.9]), 0.026);
        assert_eq!(p0(&[0.001, 0.001, 0.9]), 0.01, "the least");
        assert_eq!(p0(&[0.1, 0.9]), 0.05, "the most");
        let noisy = Means { day: Fixed::of(0.006), hour: Fixed::of(0.02) };
        assert_eq!(allowed(&[noisy], &parameters), 0.04, "an hour is believed");
    }
}
