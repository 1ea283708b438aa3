//! What each rule says, with the numbers that are in force.

use super::words::{percent, span};
use crate::pool::{
    policy::{Parameters, Rule},
    rule,
};

/// What a rule says.
pub(super) fn words(named: Rule, policy: &Parameters, judge: &rule::Parameters) -> String {
    fixed(named).map_or_else(|| counted(named, policy, judge), str::to_owned)
}

/// Whose deep probes do not count on the way back.
const ONE_LEFT_OUT: &str = ". Where three or more observers probe it, the one that saw the most deep \
                            probes fail is left out";

/// Years of one unit in use, or days if that is less than one.
fn time_in_use(years: f64) -> String {
    match years {
        ..1.0 => format!("{:.0} days", years * 365.0),
        1.0 => "1 year".to_owned(),
        _ => format!("{years} years"),
    }
}

/// What is said with numbers of the configuration.
fn counted(named: Rule, policy: &Parameters, judge: &rule::Parameters) -> String {
    let Parameters { probation_probes, probation_s, probation_failures_max, .. } = policy;
    let Parameters {
        red_calls, step_s, step_calls, quiet_step_s, quiet_step_probes, quiet_step_calls, ..
    } = policy;
    match named {
        Rule::E1 => format!(
            "evicted when the evidence (S) reaches its limit, by which a well unit is evicted at most once \
             in {} of use",
            time_in_use(judge.budget_years)
        ),
        Rule::S1 => format!(
            "new calls go elsewhere when the evidence (S) is {} or more; reversible, and without a penalty",
            judge.soft_at
        ),
        Rule::S2 => format!(
            "new calls come back when the evidence (S) is below {}; where only its calls spoke against it, \
             {red_calls} in a row must have gone well, too",
            judge.suspect_at
        ),
        Rule::R2 => format!(
            "probation is passed with {probation_probes} deep probes over {} and at most \
             {probation_failures_max} failed{ONE_LEFT_OUT}",
            span(*probation_s)
        ),
        Rule::R3 => format!(
            "its share rises after {} and {step_calls} calls without a burst of failures. Where calls are \
             few, it rises after {} and {quiet_step_probes} deep probes, if no call has failed, or \
             {quiet_step_calls} calls in a row have passed since{ONE_LEFT_OUT}",
            span(*step_s),
            span(*quiet_step_s)
        ),
        Rule::D1 => format!("calls have {} to end before connections are reset", span(policy.drain_s)),
        Rule::Q3 => format!("with no cause found, released for {} at most", span(policy.override_s)),
        Rule::V1 => format!(
            "an attribute is suspect when two with it fail so soon after one another that chance has p < {}",
            percent(policy.chance_max)
        ),
        Rule::B2 => {
            format!("with fewer than {} observers nobody is evicted by evidence", policy.observers_min)
        }
        _ => String::new(),
    }
}

fn fixed(named: Rule) -> Option<&'static str> {
    Some(match named {
        Rule::E2 => "evicted after a burst of failures at a step of its return, which its peers did not have",
        Rule::E3 => "taken out when an override with no cause found expires",
        Rule::E4 => "evicted at once when its lease is not renewed",
        Rule::E5 => "when all units lose their leases at once, that is held against none",
        Rule::E6 => "out of use while whoever holds its lease is not where it is registered",
        Rule::S3 => {
            "never is more than half of the pool steered away from, nor more than the rest can replace"
        }
        Rule::F1 => "as many stay in full use as the peak needs, and one at least; the least bad is kept",
        Rule::F2 => "while no other unit is in full use, the best one that has a lease is let in",
        Rule::J1 => "a new unit is let in once its deep probes pass",
        Rule::J2 => "a unit that gives its lease back has left in order",
        Rule::J3 => "of two processes under one name the one that was started later has the lease",
        Rule::R1 => "probation begins when the back-off is over and the unit has a lease",
        Rule::D2 => "before it drains, a relay leaves what it recorded",
        Rule::Q1 => "quarantined when the slow penalty reaches its limit",
        Rule::Q2 => "released when two operators sign what was changed, and what that tests",
        Rule::V2 => "an attribute is suspect when exactly the units that share it are sick",
        Rule::V3 => "what was changed between two failures is not the one cause",
        Rule::V4 => "what all units together point to",
        Rule::V5 => "calls outweigh probes: green probes never bring back a unit that fails callers",
        Rule::V6 => "a probe can be the cause of what it sees",
        Rule::O1 => "an operator's order",
        Rule::O2 => "a drill ends at its time, and with the process that plays it",
        Rule::B1 => {
            "without the database all stays as it is: no unit is let in or taken out, no share changes, and \
             leases are extended"
        }
        Rule::E1 | Rule::S1 | Rule::S2 | Rule::R2 | Rule::R3 | Rule::D1 | Rule::Q3 | Rule::V1 | Rule::B2 => {
            return None;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_says_what_is_configured_and_not_the_defaults() {
        let policy = Parameters { step_s: 5, step_calls: 10, ..Parameters::default() };
        let said = words(Rule::R3, &policy, &rule::Parameters::default());
        assert!(said.starts_with("its share rises after 5 s and 10 calls"), "{said}");
        for named in [Rule::R2, Rule::R3] {
            let said = words(named, &policy, &rule::Parameters::default());
            assert!(said.ends_with("saw the most deep probes fail is left out"), "{said}");
        }
        let judge = rule::Parameters { soft_at: 7.5, ..rule::Parameters::default() };
        assert!(words(Rule::S1, &policy, &judge).contains("is 7.5 or more"));
        for (years, words) in [(0.01, "in 4 days of"), (1.0, "in 1 year of"), (50.0, "in 50 years of")] {
            let judge = rule::Parameters { budget_years: years, ..rule::Parameters::default() };
            assert!(super::words(Rule::E1, &policy, &judge).contains(words), "{years}");
        }
        for named in [Rule::E1, Rule::S2, Rule::R2, Rule::D1, Rule::Q3, Rule::V1, Rule::B2, Rule::E4] {
            assert!(!words(named, &policy, &judge).is_empty(), "{named:?}");
        }
    }
}
