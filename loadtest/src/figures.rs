//! Figures with their spread: a median never stands without its quartiles and the number of cycles behind it.

use std::fmt;

use serde::Serialize;

/// Median and quartiles of one figure over all cycles.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) lower_quartile: f64,
    pub(crate) upper_quartile: f64,
    pub(crate) cycles: usize,
}

impl Spread {
    /// The spread of these values; `None` without any.
    ///
    /// Quantiles interpolate between neighbours (Hyndman & Fan, 1996, type 7), as most tools do.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let quantile = |q: f64| {
            let place = q * last as f64;
            let (below, above) = (place.floor() as usize, place.ceil() as usize);
            sorted[below] + (sorted[above] - sorted[below]) * place.fract()
        };
        Some(Self {
            median: quantile(0.5),
            lower_quartile: quantile(0.25),
            upper_quartile: quantile(0.75),
            cycles: sorted.len(),
        })
    }

    /// The spread of the ratios of two sides, each ratio from one cycle.
    pub(crate) fn of_ratios(ours: &[f64], theirs: &[f64]) -> Option<Self> {
        let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
        Self::of(&ratios)
    }
}

/// One line of the report.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    #[serde(flatten)]
    pub(crate) spread: Spread,
}

/// What a scenario found.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    /// What was compared with what, and with which load.
    pub(crate) method: Vec<String>,
    pub(crate) lines: Vec<Line>,
}

impl Report {
    /// Adds a line, unless nothing was measured for it.
    pub(crate) fn add(&mut self, what: impl Into<String>, unit: &'static str, spread: Option<Spread>) {
        if let Some(spread) = spread {
            self.lines.push(Line { what: what.into(), unit, spread });
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for words in &self.method {
            writeln!(f, "{words}")?;
        }
        writeln!(f, "\n| figure | median | quartiles | unit | cycles |\n| --- | --: | --: | --- | --: |")?;
        for Line { what, unit, spread } in &self.lines {
            let Spread { median, lower_quartile, upper_quartile, cycles } = *spread;
            let (median, lower, upper) = (short(median), short(lower_quartile), short(upper_quartile));
            writeln!(f, "| {what} | {median} | {lower} – {upper} | {unit} | {cycles} |")?;
        }
        Ok(())
    }
}

/// A number with about three digits that count.
fn short(value: f64) -> String {
    match value.abs() {
        large if large >= 1000.0 => {
            let digits = format!("{value:.0}");
            let (head, tail) = digits.split_at(digits.len() - 3);
            format!("{head},{tail}")
        }
        middle if middle >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_what_its_names_say() {
        let spread = Spread::of(&[4.0, 1.0, 3.0, 2.0, 5.0]).expect("there are values");
        assert_eq!((spread.lower_quartile, spread.median, spread.upper_quartile), (2.0, 3.0, 4.0));
        assert_eq!(Spread::of(&[1.0, 2.0]).map(|spread| spread.median), Some(1.5));
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn ratios_are_of_the_same_cycle() {
        // A machine that halves its speed between cycles must not show in the ratio.
        let spread = Spread::of_ratios(&[10.0, 5.0, 2.5], &[20.0, 10.0, 5.0]).expect("there are values");
        assert_eq!((spread.lower_quartile, spread.median, spread.upper_quartile), (0.5, 0.5, 0.5));
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0.634, 12.345, 123.4, 25_400.2].map(short);
        assert_eq!(shown, ["0.63", "12.3", "123", "25,400"]);
    }
}
