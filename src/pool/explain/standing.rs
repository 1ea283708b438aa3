//! Where a unit stands, in the first lines: since when and why, what is to be done and what comes by itself,
//! what is raised, and where it is.

use super::{
    Explanation, signed_words,
    words::{span, time_of},
};
use crate::pool::policy::{Bundle, Description, Drill, Kind, Lease, Raised, State, grouped};

impl Explanation {
    pub(super) fn standing(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "{} is {} since {}, for {}, and gets {}",
            self.unit,
            self.stands.words.clone() + self.left_in_order(),
            time_of(self.since),
            span(self.seconds),
            match self.share_percent {
                0 => "no calls".to_owned(),
                100 => "its full share of calls".to_owned(),
                share => format!("{share} % of a full share of calls"),
            }
        )];
        lines.extend(self.teller_warns());
        let (rule, words) = (self.stands.because.0, &self.stands.because.1);
        lines.extend([
            format!("Why:   {}", self.why_once()),
            format!("Rule:  {rule:?}, {words}"),
            format!("Do:    {}", self.action),
            format!("Next:  {}", self.next),
        ]);
        lines.extend(self.alarms());
        if self.kept {
            lines.push(
                "Kept:  in use only because nobody else is: somebody has to carry the calls".to_owned(),
            );
        }
        if let Some(until) = self.override_until {
            lines.push(format!(
                "Let back by an operator with no cause found, until {}: then it is QUARANTINED again",
                time_of(until)
            ));
        }
        lines.extend(self.signatures.iter().map(|one| format!("Signed off by {}", signed_words(one))));
        if let Some(until) = self.probes_paused_until {
            lines.push(format!("Not probed until {}, on an operator's order", time_of(until)));
        }
        if let Some(Drill { fault, by, since, until }) = &self.drill {
            let (since, until) = (time_of(*since), time_of(*until));
            lines.push(format!(
                "Drill: it plays {fault} on purpose since {since}, ordered by {by}, until {until}"
            ));
        }
        if let Some(Bundle { name, bytes }) = self.bundles.last() {
            let (bytes, unit) = (grouped(*bytes as f64), &self.unit);
            lines.push(format!(
                "Left:  {name}, {bytes} bytes, in the --bundle-dir of {unit}: what it recorded before it was \
                 last taken out"
            ));
        }
        lines.extend([
            format!("Lease: {}", self.lease_words()),
            format!("Where: {}{}", self.about.address, self.elsewhere_reported()),
        ]);
        lines
    }

    /// Why, unless an alarm says the same.
    fn why_once(&self) -> &str {
        let why = &self.stands.because.2;
        let said = self.raised.iter().any(|raised| raised.reason == *why);
        if said { "as the alarm below says" } else { why }
    }

    /// What makes all that is said less than it seems.
    fn teller_warns(&self) -> Option<String> {
        let name = &self.issuer.name;
        match (self.issuer.frozen, self.issuer.decides) {
            (true, _) => {
                Some(format!("FROZEN: the database of {name} is away, and nothing changes until it is back"))
            }
            (false, true) => None,
            (false, false) => {
                Some(format!("Told by {name}, which does not decide: the issuer that does knows more"))
            }
        }
    }

    /// Whether an alarm's cause is gone. Nobody looks while the database is away.
    fn is_over(&self, raised: &Raised) -> bool {
        !self.issuer.frozen && self.now_s().saturating_sub(raised.seen) > SEEN_WITHIN_S
    }

    /// Of one that joins: that it is not new, but was stopped.
    fn left_in_order(&self) -> &'static str {
        match (self.stands.state, self.lease) {
            (State::Joining, Lease::Released) => " (it left in order, and joins when it is back)",
            _ => "",
        }
    }

    fn alarms(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.raised.iter().map(|raised| self.alarm(raised)).collect();
        if self.raised.iter().any(|raised| self.is_over(raised)) {
            lines.push(format!(
                "Over:  an alarm whose cause is not seen any more is shown for {} of looking, and ends by \
                 itself",
                span(self.stands.alarm_quiet_s)
            ));
        }
        lines
    }

    fn alarm(&self, raised: &Raised) -> String {
        let name = match &raised.kind {
            Kind::Alarm(alarm) => alarm.name(),
            _ => "DEGRADED",
        };
        let over = match self.is_over(raised) {
            true => format!(" (not seen since {})", time_of(raised.seen)),
            false => String::new(),
        };
        format!("Alarm: {name} since {}: {}{over}", time_of(raised.since), raised.reason)
    }

    /// What its process says of its address. With two processes the alarm says what to do; one alone may well
    /// be reached where it is registered, as behind a translated address.
    fn elsewhere_reported(&self) -> String {
        let other = self.reported_address.as_ref().filter(|said| **said != self.about.address);
        let Some(said) = other else { return String::new() };
        let words = format!("; but the process that serves as it says that it is reached at {said}");
        if self.stands.two {
            return words;
        }
        let there = match self.shallow.colour {
            "GREEN" => {
                ". It answers where it is registered, as behind a translated address: then all is well"
            }
            "RED" => ". It does not answer where it is registered",
            _ => "",
        };
        let moved = Description { address: said.clone(), ..self.about.clone() };
        let unit = &self.unit;
        let remedy = match moved.faults().is_empty() {
            true => format!("drain it, and `todoke pool register {unit} --address {said}`"),
            false => "that is no address that it could be registered at".to_owned(),
        };
        format!("{words}{there}. If it has moved there: {remedy}")
    }

    fn lease_words(&self) -> String {
        let generation = self.generation;
        let reports = if self.stands.reports { "runs and reports" } else { "does not report" };
        let none = |why: &str| format!("none (generation {generation}): {why}; its process {reports}");
        let state = self.state;
        match (self.lease_until_ms.and_then(|ms| u64::try_from(ms / 1_000).ok()), self.stands.state) {
            (Some(until), _) if self.lease == Lease::Live => {
                format!("live until {} unless renewed (generation {generation})", time_of(until))
            }
            (_, State::Draining) => {
                format!("not renewed while it drains (generation {generation}): what runs may end")
            }
            (_, State::Probation) => none("it is probed and serves no caller"),
            (_, State::Evicted | State::Quarantined | State::Drained) => {
                none(&format!("it may not serve while it is {state}"))
            }
            _ if self.lease == Lease::Released => {
                format!("given back by the unit in order (generation {generation})")
            }
            _ if !self.issuer.decides => "not known here: ask the issuer that decides".to_owned(),
            _ => format!("none (generation {generation}): the unit does not ask for one"),
        }
    }
}

/// Seconds since which an alarm's cause must have been seen to be there still.
const SEEN_WITHIN_S: u64 = 3;

#[cfg(test)]
#[path = "standing_tests.rs"]
mod tests;
