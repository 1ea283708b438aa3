//! Every number of the rule, each with a default that was simulated or is explained; wrong ones are named.

use serde::{Deserialize, Serialize};

/// Seconds of a year, in which the budget is counted.
const YEAR_S: f64 = 3.156e7;
/// A unit is bet against on traffic, on deep probes and on both together.
pub(super) const CLASSES: usize = 3;

/// The numbers of the rule. The defaults are those that the prototype of the rule was simulated with (49 unit
/// years without a false eviction), where nothing else is said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// τ, seconds of evidence that one bet looks at. Default 10 and 60: the longest ordinary burst of errors
    /// (5 s gave 76 false evictions), and long enough for thin traffic and for units that fail 5–10 %.
    pub scales: [u32; 2],
    /// Unit-years in which one false eviction is accepted, from which the limits follow. Default 100; 10 is
    /// 5 s sooner, 1,000 is 5 s later.
    pub budget_years: f64,
    /// S from which new calls are steered away. Default 5.
    pub soft_at: f64,
    /// S from which a unit is suspect, and below which it is neither suspect nor soft. Default 1.
    pub suspect_at: f64,
    /// S below which a unit, an observer's view or a caller is taken to be quiet. Default 4.5, half of the
    /// level that is passed once a day.
    pub quiet_below: f64,
    /// A from which a unit that is bad, and yet no worse than its peers, makes the verdict undecided.
    /// Default 9: ln(86,400 / 10), the level that is passed once a day.
    pub alarm_at: f64,
    /// η, the part of the wealth that each bet stakes. Default 0.9: S loses 0.23 a second when all is well.
    pub stake: f64,
    /// How far over its limit S may go, so that what was sick for an hour is not held against it for hours.
    /// Default 10: from there to below 1 is 2 min without a bad call. It only ever lowers S.
    pub surplus_max: f64,

    /// p0 of a pool that knows nothing of itself yet. Default 0.04.
    pub p0_start: f64,
    /// The least p0. Default 0.01: 0.005 gave 3 false evictions in 65 unit-years.
    pub p0_min: f64,
    /// The largest p0. Default 0.05.
    pub p0_max: f64,
    /// κ, how many times the usual excess p0 is. Default 2: below it, bursts that straddle two windows break
    /// the budget.
    pub p0_factor: f64,
    /// z, standard errors of sampling noise that are forgiven. Default 2.
    pub noise_factor: f64,
    /// Calls of the unit, and of its peers, below which there is no bet. Default 3.
    pub calls_min: u32,
    /// Seconds without a bet after which S is 0. Default 60.
    pub silence_s: u32,
    /// An observer's calls on one unit in one second count up to so many times the median observer's.
    /// Default 2.
    pub observer_cap: u32,

    /// How many times the peers' p99 a call may take. Default 2: 1.5 breaks on unequal hardware.
    pub threshold_factor: f64,
    /// That bound before there is evidence, in microseconds. Default 2 s, with 1 s as a p99 of nobody knows.
    pub threshold_start_us: u64,
    /// The least it can be, in microseconds. Default 100 ms, so that in a fast pool a pause of a scheduler
    /// or of a garbage collector is not yet a bad call.
    pub threshold_min_us: u64,
    /// Calls within 5 min from which a unit has a p99. Default 20.
    pub latency_count_min: u32,

    /// Bad calls of one municipality on one unit from which the worst one is left out. Default 3.
    pub caller_bad_min: u32,
    /// Seconds for which they are remembered. Default 120.
    pub caller_memory_s: u32,
    /// Seconds with calls that a unit needs to be shown well. Default 20, of the last 120.
    pub clear_seconds_min: u32,
    /// Part of the sick units' share of bad calls below which it must stay to be well. Default ½.
    pub clear_share: f64,

    /// Seconds between a second and its judgement, in which reports can arrive. Default 2.
    pub lag_s: u32,
    /// Units that take part. Default and most: 64.
    pub units_max: usize,
    /// Observers that are heard. Default and most: 72.
    pub observers_max: usize,
    /// Callers that are told apart in one second; those beyond with the fewest bad calls are merged with all
    /// others. Default 64.
    pub callers_max: usize,
    /// Callers that are bet against: those with the most bad calls. Default 16.
    pub caller_bets_max: usize,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            scales: [10, 60],
            budget_years: 100.0,
            soft_at: 5.0,
            suspect_at: 1.0,
            quiet_below: 4.5,
            alarm_at: 9.0,
            stake: 0.9,
            surplus_max: 10.0,
            p0_start: 0.04,
            p0_min: 0.01,
            p0_max: 0.05,
            p0_factor: 2.0,
            noise_factor: 2.0,
            calls_min: 3,
            silence_s: 60,
            observer_cap: 2,
            threshold_factor: 2.0,
            threshold_start_us: 2_000_000,
            threshold_min_us: 100_000,
            latency_count_min: 20,
            caller_bad_min: 3,
            caller_memory_s: 120,
            clear_seconds_min: 20,
            clear_share: 0.5,
            lag_s: 2,
            units_max: 64,
            observers_max: 72,
            callers_max: 64,
            caller_bets_max: 16,
        }
    }
}

impl Parameters {
    /// h: S of a scale at which a unit is sick.
    ///
    /// The wealth of one bet passes e^h once in τ·e^h seconds at most, in the mean, while the unit is no
    /// worse than allowed; with one bet a class and scale, ln 6 is added.
    ///
    /// Source: CUSUM lies below the Shiryaev–Roberts statistic, whose mean time to a false alarm is known
    /// (M. Pollak, "Average run lengths of an optimal method of detecting a change in distribution", 1987).
    #[must_use]
    pub fn limit(&self, scale: u32) -> f64 {
        let bets = CLASSES as f64 * self.scales.len() as f64;
        (self.budget_years * YEAR_S / f64::from(scale)).ln() + bets.ln()
    }

    /// The longest scale, for which late evidence is still taken.
    #[must_use]
    pub fn longest(&self) -> u32 {
        self.scales[0].max(self.scales[1])
    }

    /// Every value that cannot work: its name, and what is wrong with it.
    #[must_use]
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let mut found = self.unordered();
        for (name, value, least, most) in self.fractions() {
            if !(least..=most).contains(&value) {
                found.push((name, format!("{value} is not within {least} and {most}")));
            }
        }
        for (name, value, least, most) in self.whole() {
            if !(least..=most).contains(&value) {
                found.push((name, format!("{value} is not within {least} and {most}")));
            }
        }
        found
    }

    /// Values that are right alone and wrong beside each other.
    fn unordered(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let mut ask = |right: bool, name, what: &str| {
            if !right {
                found.push((name, what.to_owned()));
            }
        };
        ask(self.scales[0] < self.scales[1], "scales", "the first is to be the shorter one");
        ask(
            self.scales.iter().all(|scale| (2..=600).contains(scale)),
            "scales",
            "each is to be 2 to 600 seconds",
        );
        ask(
            self.longest() <= self.caller_memory_s,
            "caller_memory_s",
            "callers are to be remembered for the longest scale",
        );
        ask(self.suspect_at < self.soft_at, "suspect_at", "it is to be below soft_at");
        ask(self.p0_min <= self.p0_max, "p0_min", "it is above p0_max");
        ask(
            (self.p0_min..=self.p0_max).contains(&self.p0_start),
            "p0_start",
            "it is not within p0_min and p0_max",
        );
        let limit = self.limit(self.longest());
        ask(self.soft_at < limit, "soft_at", "it is above the limit at which a unit is sick");
        found
    }

    fn fractions(&self) -> [(&'static str, f64, f64, f64); 13] {
        [
            ("budget_years", self.budget_years, 0.01, 1e6),
            ("soft_at", self.soft_at, 0.1, 100.0),
            ("suspect_at", self.suspect_at, 0.01, 100.0),
            ("quiet_below", self.quiet_below, 0.1, 100.0),
            ("alarm_at", self.alarm_at, 0.1, 100.0),
            ("stake", self.stake, 0.01, 0.99),
            ("surplus_max", self.surplus_max, 0.0, 1000.0),
            ("p0_min", self.p0_min, 0.0001, 0.5),
            ("p0_max", self.p0_max, 0.0001, 0.5),
            ("p0_factor", self.p0_factor, 1.0, 100.0),
            ("noise_factor", self.noise_factor, 0.0, 10.0),
            ("threshold_factor", self.threshold_factor, 1.0, 100.0),
            ("clear_share", self.clear_share, 0.01, 1.0),
        ]
    }

    fn whole(&self) -> [(&'static str, u64, u64, u64); 13] {
        [
            ("calls_min", self.calls_min.into(), 1, 1000),
            ("silence_s", self.silence_s.into(), 1, 3600),
            ("observer_cap", self.observer_cap.into(), 1, 1000),
            ("threshold_start_us", self.threshold_start_us, self.threshold_min_us, 600_000_000),
            ("threshold_min_us", self.threshold_min_us, 1000, 600_000_000),
            ("latency_count_min", self.latency_count_min.into(), 1, 1_000_000),
            ("caller_bad_min", self.caller_bad_min.into(), 1, 1000),
            ("clear_seconds_min", self.clear_seconds_min.into(), 1, 120),
            ("lag_s", self.lag_s.into(), 0, 30),
            ("units_max", self.units_max as u64, 1, 64),
            ("observers_max", self.observers_max as u64, 1, 72),
            ("callers_max", self.callers_max as u64, 1, 4096),
            ("caller_bets_max", self.caller_bets_max as u64, 1, 256),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_of_a_hundred_years_are_those_that_were_simulated() {
        let parameters = Parameters::default();
        assert!((parameters.limit(10) - 21.36).abs() < 0.01, "{}", parameters.limit(10));
        assert!((parameters.limit(60) - 19.57).abs() < 0.01, "{}", parameters.limit(60));
        let less = Parameters { budget_years: 10.0, ..Parameters::default() };
        assert!((parameters.limit(10) - less.limit(10) - std::f64::consts::LN_10).abs() < 1e-9);
    }

    #[test]
    fn the_defaults_are_without_fault_and_a_wrong_value_is_named() {
        assert_eq!(Parameters::default().faults(), Vec::new());
        let wrong = Parameters {
            scales: [60, 10],
            stake: 1.0,
            p0_start: 0.5,
            budget_years: f64::NAN,
            units_max: 65,
            observers_max: 0,
            ..Parameters::default()
        };
        let names: Vec<&str> = wrong.faults().into_iter().map(|(name, _)| name).collect();
        for name in ["scales", "stake", "p0_start", "budget_years", "units_max", "observers_max"] {
            assert!(names.contains(&name), "{name} is missing in {names:?}");
        }
    }
}
