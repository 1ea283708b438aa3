//! Every number of the policy has a name, a default that works, and a reason or a source.

use serde::{Deserialize, Serialize};

use super::unit::{Progress, Unit};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Most units of a pool, in or out of use: an order to register one more is refused.
pub const UNITS_MAX: usize = 64;
/// Evictions that are remembered; the oldest is forgotten for one more.
pub const EPISODES_MAX: usize = 256;
/// Slots with their boxes and images whose penalties are remembered; the one that counts least is forgotten.
pub const PENALTIES_MAX: usize = 256;
/// Attributes that are suspect at once; the oldest is forgotten for one more.
pub const SUSPECTS_MAX: usize = 64;
/// Attributes that a unit has beside its model and image.
pub const ATTRIBUTES_MAX: usize = 16;
/// Bytes of a unit's serial, model, image, slot, or of an attribute's name or value.
pub const NAME_BYTES_MAX: usize = 64;
/// Bytes of what an operator writes down: a reason, what was changed, a hypothesis. The longest text that is
/// taken has 1,000 characters.
pub const WORDS_BYTES_MAX: usize = 4_000;

/// The policy's numbers. Those without a source are the design's own (`relay-pool.md`, `pool-rule.md`) or,
/// where it says so, ours and not simulated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// Changes the jitter of every back-off. Default 0.
    pub seed: u64,
    /// Seconds between two evictions by evidence: the peers change, so all is judged anew. Default 10.
    pub eviction_gap_s: u64,
    /// Observers below which a unit is only steered away from, never evicted by evidence: with two, either
    /// may lie and nobody can say which. Default 3.
    pub observers_min: u32,
    /// Seconds after which a judgement is too old to act upon; the rule itself lags by 2. Default 10; ours.
    pub judgement_age_max_s: u64,
    /// Seconds that calls have to end in before the connections of an evicted unit are reset. Default 10.
    pub drain_s: u64,
    /// Seconds that leases are believed after a database or a controller was away. Default 15, a lease's
    /// life.
    pub lease_s: u64,

    /// Calls a second that one unit carries: the floor is the peak demand over it, rounded up, and at least
    /// 1. Default 2,000; ours: measure it where it runs.
    pub unit_calls_per_s: u32,
    /// Share of a steered unit at first, in per cent of a full one. Not 0: without calls there is no
    /// evidence, and a unit whose probes are green and whose traffic is red would come back for its silence.
    /// Default 5.
    pub trickle_percent: u8,
    /// The largest share of a steered unit, to which it is doubled, again and again, while too few calls come
    /// to judge it by and nothing else would tell that it is well. Default 50; ours, by the simulation.
    pub trickle_percent_max: u8,
    /// Calls of it in ten seconds that are too few: the design's one a second. Default 10; each is counted by
    /// whoever reports it, as a rule its relay and its issuer, of whom one is left out.
    pub trickle_calls_min: u32,
    /// Calls of it in ten seconds above which its share is halved, down to 1 %. Default 30; ours.
    pub trickle_calls_max: u32,
    /// Units in use up to which all are probed each second while one is suspect: it is judged by how its
    /// peers do in the same seconds, and of a few peers a probe each in five seconds says too little. Of
    /// more, only those are that share something with it. As the rule was simulated, but for the limit, which
    /// keeps the load of probes, units times observers, small. Default 8; ours.
    pub probe_peers_max: usize,
    /// Calls in a row that must go well before a unit whose traffic was red behind green probes is steered
    /// back. Default 100, which one that fails 1 call of 10 passes in one of 200 rows; ours.
    pub red_calls: u32,
    /// Seconds on end with enough of a steered unit to judge it by, and nothing against it, that a judge
    /// which began anew, as after a restart, needs before it steers it back: it knows nothing at first.
    /// Default 30: twice what the first evidence against a hanging relay took on a busy machine; ours.
    pub anew_s: u64,
    /// Seconds without a call or probe after which it steers it back all the same. Default 60, the silence
    /// after which the rule forgets; ours.
    pub anew_silence_s: u64,

    /// Deep probes without a failure that a unit that joins must pass. Default 10; ours.
    pub join_probes: u32,
    /// The shortest back-off in seconds; it doubles with each eviction. Default 30.
    pub back_off_base_s: u64,
    /// The longest back-off in seconds, before jitter. Default 1,800.
    pub back_off_max_s: u64,
    /// Jitter of a back-off in per cent, to either side. Default 20.
    pub back_off_jitter_percent: u64,
    /// Seconds of health after which earlier evictions no longer lengthen a back-off. Default 7 days, the
    /// slow half-life; ours.
    pub forgive_s: u64,
    /// Deep probes of a probation. Default 200.
    pub probation_probes: u32,
    /// Failed ones of them that are borne. Default 1.
    pub probation_failures_max: u32,
    /// Shortest probation in seconds. Default 60.
    pub probation_s: u64,
    /// Shares at which a unit returns, in per cent, rising, ending in 100. Default 1, 5, 25, 50, 100.
    pub steps_percent: Vec<u8>,
    /// Shortest step in seconds. Default 60.
    pub step_s: u64,
    /// Least calls of a step. Default 50.
    pub step_calls: u32,
    /// Seconds after which a step that had fewer calls is passed by deep probes, if no call failed in it, or
    /// so many passed since: where callers are few, one call in a hundred would take hours to come 50 times.
    /// Default 120; ours.
    pub quiet_step_s: u64,
    /// Deep probes in a row, all good, that such a step needs. Never enough for a unit whose traffic was red
    /// behind green probes. Default 100, twice the calls; ours.
    pub quiet_step_probes: u32,
    /// Calls in a row that must go well after one that failed in such a step. Default 20; ours.
    pub quiet_step_calls: u32,
    /// Failed calls within a step, beyond those that its peers failed in the same seconds, that are a burst,
    /// if they are `burst_percent` of its calls. Default 5; ours.
    pub burst_failures: u32,
    /// Share of a step's calls whose failing is a burst, in per cent. Default 20; ours: a burst of the
    /// simulation's law fails 20 to 100 % of calls while it lasts.
    pub burst_percent: u32,

    /// Penalty of one eviction, on both scales. Default 1,000.
    ///
    /// Source of the mechanism, and of 1,000 and 750: RFC 2439, BGP Route Flap Damping, as routers have it.
    pub penalty: u32,
    /// Half-life of the fast penalty in seconds. Default 30 min.
    pub fast_half_life_s: u64,
    /// Fast penalty from which a unit stays out. Default 3,000.
    pub fast_suppress: u32,
    /// Fast penalty down to which it stays out then. Default 750.
    pub fast_reuse: u32,
    /// Half-life of the slow penalty in seconds. Default 7 days.
    pub slow_half_life_s: u64,
    /// Slow penalty from which a unit is quarantined. Default 1,800: two evictions within 52 hours.
    pub slow_quarantine: u32,
    /// Seconds after which an override ends. Default 24 h.
    pub override_s: u64,
    /// Longest pause of probes in seconds. Default 1 h; ours.
    pub probe_pause_max_s: u64,

    /// λ: evictions of one unit in a year by chance alone. Default 1: two units of one attribute that fail
    /// 5 days apart have p = 1.4 %.
    pub failures_per_unit_year: f64,
    /// p of a recurrence by chance below which an attribute is suspect. Default 0.05.
    pub chance_max: f64,
    /// Seconds for which an alarm's cause must be gone before the alarm is over. Default 60; ours.
    pub alarm_quiet_s: u64,
    /// S at which evidence of one class alone is red. Default 5, the soft level.
    pub red_s: f64,
    /// S below which it is green. Default 1, where a steered unit is steered back.
    pub green_s: f64,
}

/// By what a unit passed a step of its return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Enough {
    /// Callers' calls.
    Calls,
    /// Deep probes, where calls are few.
    Probes,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            seed: 0,
            eviction_gap_s: 10,
            observers_min: 3,
            judgement_age_max_s: 10,
            drain_s: 10,
            lease_s: 15,
            unit_calls_per_s: 2_000,
            trickle_percent: 5,
            trickle_percent_max: 50,
            trickle_calls_min: 10,
            trickle_calls_max: 30,
            probe_peers_max: 8,
            red_calls: 100,
            anew_s: 30,
            anew_silence_s: 60,
            join_probes: 10,
            back_off_base_s: 30,
            back_off_max_s: 30 * MINUTE,
            back_off_jitter_percent: 20,
            forgive_s: 7 * DAY,
            probation_probes: 200,
            probation_failures_max: 1,
            probation_s: 60,
            steps_percent: vec![1, 5, 25, 50, 100],
            step_s: 60,
            step_calls: 50,
            quiet_step_s: 120,
            quiet_step_probes: 100,
            quiet_step_calls: 20,
            burst_failures: 5,
            burst_percent: 20,
            penalty: 1_000,
            fast_half_life_s: 30 * MINUTE,
            fast_suppress: 3_000,
            fast_reuse: 750,
            slow_half_life_s: 7 * DAY,
            slow_quarantine: 1_800,
            override_s: DAY,
            probe_pause_max_s: HOUR,
            failures_per_unit_year: 1.0,
            chance_max: 0.05,
            alarm_quiet_s: 60,
            red_s: 5.0,
            green_s: 1.0,
        }
    }
}

impl Parameters {
    /// Whether what was seen at a step of a return is a burst of failures.
    pub(super) fn is_burst(&self, seen: Progress) -> bool {
        let (failed_milli, calls_milli) = (seen.excess_milli, 1_000 * u64::from(seen.n));
        failed_milli >= 1_000 * u64::from(self.burst_failures)
            && failed_milli * 100 >= u64::from(self.burst_percent) * calls_milli
    }

    /// Whether what was seen at a step of a return is enough, and of that what counts: calls, or where they
    /// are few deep probes.
    pub(super) fn passes(&self, unit: &Unit) -> Option<Enough> {
        let (seen, all) = (unit.seen(), unit.progress);
        let by_calls = seen.seconds >= self.step_s && seen.n >= self.step_calls;
        let passed = all.failed == 0 || unit.row.n >= self.quiet_step_calls;
        let quiet = seen.seconds >= self.quiet_step_s.max(self.step_s) && passed;
        let by_probes = quiet && seen.probes >= self.quiet_step_probes && !unit.traffic_red;
        if by_calls { Some(Enough::Calls) } else { by_probes.then_some(Enough::Probes) }
    }

    /// Says what is wrong with the parameters, all of it at once, each under its name.
    #[must_use]
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        let not_zero = [
            ("observers_min", u64::from(self.observers_min)),
            ("unit_calls_per_s", u64::from(self.unit_calls_per_s)),
            ("trickle_percent", u64::from(self.trickle_percent)),
            ("trickle_calls_max", u64::from(self.trickle_calls_max)),
            ("back_off_base_s", self.back_off_base_s),
            ("penalty", u64::from(self.penalty)),
            ("fast_half_life_s", self.fast_half_life_s),
            ("slow_half_life_s", self.slow_half_life_s),
            ("burst_failures", u64::from(self.burst_failures)),
            ("override_s", self.override_s),
            ("quiet_step_probes", u64::from(self.quiet_step_probes)),
        ];
        let zero = not_zero.iter().filter(|(_, value)| *value == 0);
        faults.extend(zero.map(|(name, _)| (*name, "must not be 0".to_owned())));
        let percents = [
            ("trickle_percent", u64::from(self.trickle_percent)),
            ("trickle_percent_max", u64::from(self.trickle_percent_max)),
            ("back_off_jitter_percent", self.back_off_jitter_percent),
            ("burst_percent", u64::from(self.burst_percent)),
        ];
        let over = percents.iter().filter(|(_, value)| *value > 100);
        faults.extend(over.map(|(name, value)| (*name, format!("is {value} and must be at most 100"))));
        let steps = &self.steps_percent;
        let rising = steps.windows(2).all(|pair| pair[0] < pair[1]);
        if steps.last() != Some(&100) || steps.first() == Some(&0) || !rising {
            faults.push(("steps_percent", "must rise from over 0 and end in 100".to_owned()));
        }
        if self.back_off_base_s > self.back_off_max_s {
            faults.push(("back_off_base_s", "is over back_off_max_s".to_owned()));
        }
        if self.trickle_percent > self.trickle_percent_max {
            let (is, most) = (self.trickle_percent, self.trickle_percent_max);
            faults.push(("trickle_percent", format!("is {is}, over trickle_percent_max, which is {most}")));
        }
        if self.trickle_calls_min > self.trickle_calls_max / 2 {
            let half = "is over half of trickle_calls_max: the share would go up and down all the time";
            faults.push(("trickle_calls_min", half.to_owned()));
        }
        if self.fast_reuse >= self.fast_suppress {
            faults.push(("fast_reuse", "must be below fast_suppress".to_owned()));
        }
        let rates = [
            ("failures_per_unit_year", self.failures_per_unit_year),
            ("chance_max", self.chance_max),
            ("red_s", self.red_s),
            ("green_s", self.green_s),
        ];
        let wrong = rates.iter().filter(|(_, value)| !(value.is_finite() && *value > 0.0));
        faults.extend(wrong.map(|(name, value)| (*name, format!("is {value} and must be over 0"))));
        if self.chance_max >= 1.0 {
            faults.push(("chance_max", "must be below 1: everything would be suspect".to_owned()));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_have_no_fault() {
        assert_eq!(Parameters::default().faults(), []);
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let parameters = Parameters {
            observers_min: 0,
            trickle_percent: 101,
            trickle_percent_max: 100,
            trickle_calls_min: 16,
            steps_percent: vec![5, 5, 100],
            back_off_base_s: 1_801,
            fast_reuse: 3_000,
            failures_per_unit_year: f64::NAN,
            chance_max: 1.0,
            ..Parameters::default()
        };
        let named: Vec<&str> = parameters.faults().iter().map(|(name, _)| *name).collect();
        let expected = [
            "observers_min",
            "trickle_percent",
            "steps_percent",
            "back_off_base_s",
            "trickle_percent",
            "trickle_calls_min",
            "fast_reuse",
            "failures_per_unit_year",
            "chance_max",
        ];
        assert_eq!(named, expected);
    }

    #[test]
    fn the_steps_must_end_in_a_full_share() {
        for (steps, right) in [
            (vec![1, 5, 25, 50, 100], true),
            (vec![100], true),
            (vec![], false),
            (vec![1, 50], false),
            (vec![0, 100], false),
            (vec![50, 25, 100], false),
        ] {
            let parameters = Parameters { steps_percent: steps.clone(), ..Parameters::default() };
            assert_eq!(parameters.faults().is_empty(), right, "{steps:?}");
        }
    }
}
