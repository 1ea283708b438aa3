//! What the default rules of Envoy, gRPC and HAProxy would have done with the same evidence, second by
//! second, and if nothing, why: shown beside our own verdict, never acted upon.
//!
//! Sources of the numbers: Envoy, `envoy/config/cluster/v3/outlier_detection.proto` (its defaults), and its
//! detector, which takes the standard deviation of the whole set; gRPC, proposal A50 "xDS Outlier Detection";
//! HAProxy 2.6, configuration manual, `fall`, `inter`, `observe`, `error-limit`, `on-error`.
//!
//! All of them are off until somebody asks for them at all. Each is given more than it would have had: the
//! calls of all observers together, as if one proxy carried them, calls that are only slow as failures, and
//! our deep probes as HAProxy's checks, which by default only connect. Within a second failures are taken to
//! be spread evenly among the calls. Not modelled: that an ejected unit gets no calls, and that Envoy takes
//! it back as soon as an active health check passes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    evidence::{Bucket, Class, UnitId},
    policy::UNITS_MAX,
};

/// Envoy, `consecutive_5xx`: failed calls in a row.
const CONSECUTIVE: u64 = 5;
/// Envoy and gRPC, `interval`: seconds between two sweeps.
const INTERVAL_S: u64 = 10;
/// Envoy and gRPC, `success_rate_minimum_hosts` and `failure_percentage_minimum_hosts`.
const HOSTS_MIN: usize = 5;
/// Envoy and gRPC, `success_rate_request_volume`: calls of a host in an interval.
const SUCCESS_CALLS_MIN: u64 = 100;
/// Envoy and gRPC, `success_rate_stdev_factor`, 1900 thousandths.
const STDEV_FACTOR: f64 = 1.9;
/// gRPC, `failure_percentage_request_volume`.
const FAILURE_CALLS_MIN: u64 = 50;
/// gRPC, `failure_percentage_threshold`: more than so many per cent.
const FAILURE_PERCENT: u64 = 85;
/// Envoy and gRPC, `base_ejection_time`, times the number of ejections.
const EJECTION_S: u64 = 30;
/// Envoy and gRPC, `max_ejection_time`.
const EJECTION_MAX_S: u64 = 300;
/// Envoy and gRPC, `max_ejection_percent`; one host is ejected in any case.
const EJECTED_PERCENT_MAX: usize = 10;
/// HAProxy, `inter`: seconds between two checks.
const CHECK_S: u64 = 2;
/// HAProxy, `fall`: failed checks in a row.
const FALL: u64 = 3;
/// HAProxy, `error-limit`: failed calls in a row that `on-error fail-check` takes for one failed check.
const ERROR_LIMIT: u64 = 10;

/// A default rule of another tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DefaultRule {
    /// Envoy: five failures in a row.
    EnvoyConsecutive,
    /// Envoy: success rate against the mean.
    EnvoySuccessRate,
    /// gRPC, A50: the same.
    GrpcSuccessRate,
    /// gRPC, A50: failure percentage, which is off unless it is asked for.
    GrpcFailurePercentage,
    /// HAProxy: three failed checks in a row.
    HaproxyCheck,
    /// HAProxy: `observe layer7`, which is off unless it is asked for, on top of the checks.
    HaproxyObserve,
}

impl DefaultRule {
    /// All of them.
    pub const ALL: [DefaultRule; 6] = [
        DefaultRule::EnvoyConsecutive,
        DefaultRule::EnvoySuccessRate,
        DefaultRule::GrpcSuccessRate,
        DefaultRule::GrpcFailurePercentage,
        DefaultRule::HaproxyCheck,
        DefaultRule::HaproxyObserve,
    ];

    /// Its name, for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            DefaultRule::EnvoyConsecutive => "Envoy, 5 failures in a row",
            DefaultRule::EnvoySuccessRate => "Envoy, success rate",
            DefaultRule::GrpcSuccessRate => "gRPC, success rate",
            DefaultRule::GrpcFailurePercentage => "gRPC, failure percentage (off by default)",
            DefaultRule::HaproxyCheck => "HAProxy, 3 failed checks (here: deep probes) in a row",
            DefaultRule::HaproxyObserve => "HAProxy, observe layer7 (off by default)",
        }
    }

    /// Whether it leaves a unit in when too many are out already.
    fn is_limited(self) -> bool {
        !matches!(self, DefaultRule::HaproxyCheck | DefaultRule::HaproxyObserve)
    }
}

/// What one default rule would have done with one unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Opinion {
    /// Which.
    pub rule: DefaultRule,
    /// The second in which it would have ejected the unit first.
    pub first: Option<u64>,
    /// And last.
    pub last: Option<u64>,
    /// What it saw last, and if it did nothing, why.
    pub why: String,
}

/// Calls, and failed ones.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    n: u64,
    bad: u64,
}

impl Count {
    fn add(&mut self, other: Count) {
        self.n += other.n;
        self.bad += other.bad;
    }

    fn success_percent(self) -> f64 {
        (self.n - self.bad) as f64 * 100.0 / self.n as f64
    }
}

/// Failures in a row: now, and at most.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    now: u64,
    longest: u64,
}

impl Run {
    /// Goes on with a second's calls, the failures spread evenly among the successes; returns the longest run
    /// in it.
    fn go_on(&mut self, seen: Count) -> u64 {
        let well = seen.n - seen.bad;
        let longest = if well == 0 {
            self.now += seen.bad;
            self.now
        } else {
            let gap = seen.bad / (well + 1);
            let longest = (self.now + gap).max(seen.bad.div_ceil(well + 1));
            self.now = gap;
            longest
        };
        self.longest = self.longest.max(longest);
        longest
    }
}

/// HAProxy's failures in a row of real calls: each tenth makes a failed check of its own.
#[derive(Debug, Clone, Copy, Default)]
struct Errors(u64);

impl Errors {
    /// Goes on as [`Run::go_on`]; returns how many failed checks are simulated.
    fn go_on(&mut self, seen: Count) -> u64 {
        let well = seen.n - seen.bad;
        let gap = seen.bad / (well + 1);
        let head = self.0 + gap;
        let inner = well.saturating_sub(1) * (gap / ERROR_LIMIT);
        let tail = if well == 0 { head } else { gap };
        self.0 = tail % ERROR_LIMIT;
        head / ERROR_LIMIT + inner + if well == 0 { 0 } else { tail / ERROR_LIMIT }
    }
}

/// What is counted of one unit.
#[derive(Debug, Clone, Default)]
struct Tally {
    traffic: Run,
    errors: Errors,
    interval: Count,
    check: Count,
    checks: Run,
    observed: Run,
    /// Until when each rule has it out, and how often it has had.
    ejected: BTreeMap<DefaultRule, (u64, u64)>,
    found: BTreeMap<DefaultRule, (u64, u64)>,
    whys: BTreeMap<DefaultRule, String>,
}

impl Tally {
    fn is_out(&self, second: u64, rule: DefaultRule) -> bool {
        self.ejected.get(&rule).is_some_and(|(until, _)| *until > second)
    }
}

/// The other tools, watching: each rule as if it were the only one.
#[derive(Debug, Clone, Default)]
pub struct OtherTools {
    units: BTreeMap<UnitId, Tally>,
    swept: Option<u64>,
    checked: Option<u64>,
}

impl OtherTools {
    /// Nobody has seen anything yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in one second. Units beyond the pool's limit are not looked at.
    pub fn second(&mut self, second: u64, buckets: &[Bucket]) {
        self.sums(second, buckets.iter().map(|bucket| (&bucket.unit, bucket.class, (bucket.n, bucket.bad))));
    }

    /// The same of calls, and bad ones of them, that are added up already.
    pub fn sums<'a>(&mut self, second: u64, sums: impl Iterator<Item = (&'a UnitId, Class, (u32, u32))>) {
        let mut seen: BTreeMap<&UnitId, [Count; 2]> = BTreeMap::new();
        for (unit, class, (n, bad)) in sums {
            let count = Count { n: n.into(), bad: bad.min(n).into() };
            seen.entry(unit).or_default()[usize::from(class == Class::Probe)].add(count);
        }
        for (unit, [traffic, probes]) in seen {
            if self.units.len() < UNITS_MAX && !self.units.contains_key(unit) {
                self.units.insert(unit.clone(), Tally::default());
            }
            let Some(tally) = self.units.get_mut(unit) else { continue };
            tally.interval.add(traffic);
            tally.check.add(probes);
            self.calls(second, unit, traffic);
        }
        if due(&mut self.checked, second, CHECK_S) {
            self.check(second);
        }
        if due(&mut self.swept, second, INTERVAL_S) {
            self.sweep(second);
        }
    }

    /// What each default rule would have done with a unit; none is said of one that was never seen.
    #[must_use]
    pub fn opinions(&self, unit: &UnitId) -> Vec<Opinion> {
        let Some(tally) = self.units.get(unit) else { return Vec::new() };
        let opinion = |rule: DefaultRule| {
            let found = tally.found.get(&rule);
            Opinion {
                rule,
                first: found.map(|(first, _)| *first),
                last: found.map(|(_, last)| *last),
                why: tally.whys.get(&rule).cloned().unwrap_or_else(|| "too little was seen yet".to_owned()),
            }
        };
        DefaultRule::ALL.into_iter().map(opinion).collect()
    }

    /// The rules that look at each call.
    fn calls(&mut self, second: u64, unit: &UnitId, seen: Count) {
        let Some(tally) = self.units.get_mut(unit).filter(|_| seen.n > 0) else { return };
        let longest = tally.traffic.go_on(seen);
        let most = tally.traffic.longest;
        let simulated = tally.errors.go_on(seen);
        tally.observed.go_on(Count { n: simulated, bad: simulated });
        let fallen = simulated > 0 && tally.observed.now >= FALL;
        let why = format!("the longest run was {most}; it needs {CONSECUTIVE}");
        self.say(unit, DefaultRule::EnvoyConsecutive, why);
        if longest >= CONSECUTIVE {
            self.eject(second, unit, DefaultRule::EnvoyConsecutive);
        }
        if fallen {
            self.eject(second, unit, DefaultRule::HaproxyObserve);
        }
    }

    /// HAProxy's check: one that most probes of the time failed.
    fn check(&mut self, second: u64) {
        let units: Vec<UnitId> = self.units.keys().cloned().collect();
        for unit in units {
            let Some(tally) = self.units.get_mut(&unit) else { continue };
            let seen = std::mem::take(&mut tally.check);
            if seen.n > 0 {
                let failed = u64::from(2 * seen.bad > seen.n);
                tally.checks.go_on(Count { n: 1, bad: failed });
                tally.observed.go_on(Count { n: 1, bad: failed });
            }
            let (checks, observed) = (tally.checks, tally.observed);
            let (most, errors) = (checks.longest, observed.longest);
            let noun = if most == 1 { "check" } else { "checks" };
            let why = format!("the longest run was {most} failed {noun}; it needs {FALL}");
            self.say(&unit, DefaultRule::HaproxyCheck, why);
            let noun = if errors == 1 { "check" } else { "checks" };
            let why = format!(
                "the longest run was {errors} failed {noun} ({ERROR_LIMIT} failed calls in a row are one); \
                 it needs {FALL}"
            );
            self.say(&unit, DefaultRule::HaproxyObserve, why);
            // Without a check nothing is new.
            if seen.n > 0 && checks.now >= FALL {
                self.eject(second, &unit, DefaultRule::HaproxyCheck);
            }
            if seen.n > 0 && observed.now >= FALL {
                self.eject(second, &unit, DefaultRule::HaproxyObserve);
            }
        }
    }

    /// The rules that look at an interval.
    fn sweep(&mut self, second: u64) {
        let seen: Vec<(UnitId, Count)> = self
            .units
            .iter_mut()
            .map(|(unit, tally)| (unit.clone(), std::mem::take(&mut tally.interval)))
            .collect();
        for rule in [DefaultRule::EnvoySuccessRate, DefaultRule::GrpcSuccessRate] {
            self.by_success_rate(second, rule, &seen);
        }
        let rule = DefaultRule::GrpcFailurePercentage;
        for (unit, count) in &seen {
            let why = if seen.len() < HOSTS_MIN {
                format!("{}; it needs {HOSTS_MIN}", units(seen.len()))
            } else if count.n < FAILURE_CALLS_MIN {
                format!("{} calls in {INTERVAL_S} s; it needs {FAILURE_CALLS_MIN}", count.n)
            } else {
                if count.bad * 100 > FAILURE_PERCENT * count.n {
                    self.eject(second, unit, rule);
                }
                format!("{} % failed; it needs more than {FAILURE_PERCENT} %", count.bad * 100 / count.n)
            };
            self.say(unit, rule, why);
        }
    }

    fn by_success_rate(&mut self, second: u64, rule: DefaultRule, seen: &[(UnitId, Count)]) {
        let enough: Vec<f64> = seen
            .iter()
            .filter(|(unit, count)| count.n >= SUCCESS_CALLS_MIN && !self.is_out(second, unit, rule))
            .map(|(_, count)| count.success_percent())
            .collect();
        let hosts = enough.len().max(1) as f64;
        let mean = enough.iter().sum::<f64>() / hosts;
        let spread = (enough.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>() / hosts).sqrt();
        let threshold = mean - STDEV_FACTOR * spread;
        for (unit, count) in seen {
            let why = if enough.len() < HOSTS_MIN {
                format!(
                    "{} had {SUCCESS_CALLS_MIN} calls in {INTERVAL_S} s; it needs {HOSTS_MIN}",
                    units(enough.len())
                )
            } else if count.n < SUCCESS_CALLS_MIN {
                format!("{} calls in {INTERVAL_S} s; it needs {SUCCESS_CALLS_MIN}", count.n)
            } else {
                let rate = count.success_percent();
                if rate < threshold {
                    self.eject(second, unit, rule);
                }
                format!("{rate:.1} % succeed; below {mean:.1} − 1.9 · {spread:.1} = {threshold:.1} is out")
            };
            self.say(unit, rule, why);
        }
    }

    fn say(&mut self, unit: &UnitId, rule: DefaultRule, why: String) {
        if let Some(tally) = self.units.get_mut(unit) {
            tally.whys.insert(rule, why);
        }
    }

    fn is_out(&self, second: u64, unit: &UnitId, rule: DefaultRule) -> bool {
        self.units.get(unit).is_some_and(|tally| tally.is_out(second, rule))
    }

    /// Notes an ejection, unless the rule has the unit out already, or too many.
    fn eject(&mut self, second: u64, unit: &UnitId, rule: DefaultRule) {
        let out = self.units.values().filter(|tally| tally.is_out(second, rule)).count();
        let limited = rule.is_limited() && out > 0 && out * 100 >= EJECTED_PERCENT_MAX * self.units.len();
        let Some(tally) = self.units.get_mut(unit).filter(|tally| !limited && !tally.is_out(second, rule))
        else {
            return;
        };
        let times = tally.ejected.get(&rule).map_or(1, |(_, times)| times + 1);
        let lasts = (EJECTION_S * times).min(EJECTION_MAX_S);
        tally.ejected.insert(rule, (second + lasts, times));
        tally.found.entry(rule).and_modify(|(_, last)| *last = second).or_insert((second, second));
    }
}

/// Whether so many seconds are over since the last time.
fn due(last: &mut Option<u64>, second: u64, every: u64) -> bool {
    let since = *last.get_or_insert(second.saturating_sub(1));
    let over = second.saturating_sub(since) >= every;
    if over {
        *last = Some(second);
    }
    over
}

fn units(count: usize) -> String {
    format!("{count} unit{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
#[path = "other_tools_tests.rs"]
mod tests;
