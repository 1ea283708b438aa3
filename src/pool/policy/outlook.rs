//! What comes next for a unit if all goes on as now: the last line of an explanation.

use super::{
    Policy, Unit,
    decision::grouped,
    unit::{Lease, State},
};
use crate::pool::{evidence::UnitId, explain::time_of};

/// What becomes of a suspect one otherwise.
const EVICTED: &str = "DRAINING, and then EVICTED, when the evidence against it reaches its limit";

/// What an evicted one begins with.
const PROBATION: &str = "PROBATION (probed, without callers)";

/// Whose deep probes of a unit are left out of what is counted, if anybody's are, and why.
fn whose_do_not_count(unit: &Unit) -> String {
    let words = |(observer, (n, failed))| {
        format!(
            ". The deep probes of {observer}, of which {failed} of {n} failed, do not count: no observer \
             alone keeps it out"
        )
    };
    unit.probers.worst().map(words).unwrap_or_default()
}

impl Policy {
    /// The next transition of a unit and what it waits for, in words; `None` if it is not registered.
    #[must_use]
    pub fn outlook(&self, unit: &UnitId) -> Option<String> {
        let unit = self.units.get(unit)?;
        if self.database_away {
            return Some("nothing changes until the database is back".to_owned());
        }
        if unit.lease == Lease::Released && (unit.state.serves() || unit.state == State::Probation) {
            let to = if unit.state == State::Healthy { State::Joining } else { State::Evicted };
            return Some(format!("{to} at once, without a penalty, as it gave its lease back"));
        }
        Some(match unit.state {
            State::Joining => self.until_admitted(unit),
            State::Healthy => self.until_it_leaves(unit),
            State::Suspect => self.until_steered_back(unit),
            State::Draining => {
                let (until, to) = unit.drain.unwrap_or((self.second, State::Evicted));
                format!("{to} in {} s", until.saturating_sub(self.second))
            }
            State::Evicted => self.until_probation(unit),
            State::Probation => {
                let (seen, wanted) = (unit.probed(), &self.parameters);
                format!(
                    "RETURNING after {} deep probes in at least {} s, of which {} may fail; so far {} in {} \
                     s, of which {} failed. If more fail, EVICTED again with a new back-off{}",
                    wanted.probation_probes,
                    wanted.probation_s,
                    wanted.probation_failures_max,
                    seen.n,
                    seen.seconds,
                    seen.failed,
                    whose_do_not_count(unit)
                )
            }
            State::Returning(percent) => self.until_stepped(unit, percent),
            State::Quarantined => match &unit.approval {
                None => format!("nothing by itself: it stays out until two operators sign; then {PROBATION}"),
                Some(_) => {
                    format!("nothing by itself: it stays out until another operator signs; then {PROBATION}")
                }
            },
            State::Drained => "nothing by itself: it stays out until an operator lets it back".to_owned(),
        })
    }

    fn until_stepped(&self, unit: &Unit, percent: u8) -> String {
        let (seen, wanted) = (unit.probed(), &self.parameters);
        let next = wanted.steps_percent.iter().find(|step| **step > percent).unwrap_or(&100);
        let calls = unit.seen().n;
        let by_calls = format!(
            "{next} % of a full share after {} calls in at least {} s; so far {calls} in {} s",
            wanted.step_calls, wanted.step_s, seen.seconds
        );
        let by_probes = format!(
            "{by_calls}. Or after {} deep probes in at least {} s; so far {}",
            wanted.quiet_step_probes, wanted.quiet_step_s, seen.probes
        );
        let left_out = whose_do_not_count(unit);
        let (passed, needed) = (unit.row.n, wanted.quiet_step_calls);
        match (unit.traffic_red, seen.failed) {
            (true, _) => by_calls,
            (false, failed) if failed == 0 || passed >= needed => by_probes + &left_out,
            (false, _) => {
                format!("{by_probes}, and {needed} calls in a row that went well; so far {passed}{left_out}")
            }
        }
    }

    fn until_it_leaves(&self, unit: &Unit) -> String {
        if let Some(until) = unit.override_until {
            return format!("QUARANTINED again at {}, when its override is over", time_of(until));
        }
        if unit.let_in_from.is_some() {
            return format!(
                "EVICTED again once others are in full use, to prove itself, unless it does well for {} s",
                self.parameters.probation_s
            );
        }
        "it stays HEALTHY while there is little evidence against it".to_owned()
    }

    fn until_admitted(&self, unit: &Unit) -> String {
        if let Some(address) = unit.elsewhere.as_ref().filter(|_| unit.lease == Lease::Live) {
            format!("HEALTHY once its lease is held where it is registered, and not at {address}")
        } else if unit.lease == Lease::Live {
            let (seen, wanted) = (unit.probed().n, self.parameters.join_probes);
            let left_out = whose_do_not_count(unit);
            format!("HEALTHY after {wanted} deep probes without a failure; so far {seen}{left_out}")
        } else {
            let wanted = self.parameters.join_probes;
            format!("HEALTHY once it asks for a lease, and {wanted} deep probes pass without a failure")
        }
    }

    fn until_steered_back(&self, unit: &Unit) -> String {
        if unit.is_by_calls() {
            let (passed, needed) = (unit.row.n, self.parameters.red_calls);
            format!(
                "HEALTHY after {needed} calls in a row that went well, so far {passed}, as its green probes \
                 prove nothing; {EVICTED}"
            )
        } else if let Some(anew) = unit.anew.filter(|_| !self.may_probe(unit.id())) {
            let (heard, needed) = (anew.heard_s, self.parameters.anew_s);
            format!(
                "HEALTHY when little is held against it, and its callers' calls were seen to be good for \
                 {needed} s on end, so far {heard}, as its probes are paused, and silence says nothing for \
                 it; {EVICTED}"
            )
        } else if let Some(anew) = unit.anew {
            let (heard, needed) = (anew.heard_s, self.parameters.anew_s);
            format!(
                "HEALTHY when nothing spoke against it for {needed} s on end, so far {heard}, as its judge \
                 began anew or its probes were paused; {EVICTED}"
            )
        } else {
            format!("HEALTHY when the evidence against it is nearly gone; {EVICTED}")
        }
    }

    fn until_probation(&self, unit: &Unit) -> String {
        let penalties = self.penalties(unit);
        let mut waits = Vec::new();
        let back_off = unit.back_off_until.saturating_sub(self.second);
        if back_off > 0 {
            waits.push(format!("its back-off ends in {back_off} s"));
        }
        if penalties.suppressed {
            let reuse = f64::from(self.parameters.fast_reuse);
            let halvings = (penalties.fast / reuse.max(1.0)).log2().max(0.0);
            let seconds = (halvings * self.parameters.fast_half_life_s as f64).ceil();
            let (fast, reuse) = (grouped(penalties.fast), grouped(reuse));
            waits.push(format!("its fast penalty falls from {fast} to {reuse}, in {} s", grouped(seconds)));
        }
        if unit.lease != Lease::Live {
            waits.push("it asks for a lease".to_owned());
        } else if unit.elsewhere.is_some() {
            waits.push("its lease is held where it is registered".to_owned());
        }
        if waits.is_empty() {
            format!("{PROBATION} at once")
        } else {
            format!("{PROBATION} when {}", waits.join(", and "))
        }
    }
}
