//! The words of an explanation: an operator who reads them from the top learns where the unit stands, why,
//! what comes next, and then what that rests on.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Discarded, Explanation, Shallow, Sibling, Suspect, Told, Vote};
use crate::{
    pool::{
        judgement::{Verdict, shared_words},
        other_tools::Opinion,
        policy::{Approval, Bundle, Description, Drill, Floor, Lease, Raised, State, grouped},
    },
    wire::text::one_line,
};

/// A second since 1970 as people read it, in UTC.
#[must_use]
pub fn time_of(second: u64) -> String {
    let time = i64::try_from(second).ok().and_then(|second| OffsetDateTime::from_unix_timestamp(second).ok());
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| format!("second {second}"))
}

/// What a verdict means where so many units are in use.
#[must_use]
pub fn verdict_words(verdict: &Verdict, units: usize) -> String {
    let listed = |units: &[crate::pool::evidence::UnitId]| {
        units.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let words = match verdict {
        Verdict::None => "nothing is wrong that can be seen".to_owned(),
        Verdict::Unit { unit } => format!("{unit} is sick, and every other unit is shown to be well"),
        Verdict::Units { units } => {
            format!("{} are sick, and share nothing that the others lack", listed(units))
        }
        Verdict::Attribute { units, attributes } => format!(
            "{} are sick, and are exactly those with {}: which of these it is cannot be told",
            listed(units),
            attributes.join(", ")
        ),
        Verdict::Shared => shared_words(units).to_owned(),
        Verdict::Caller { caller } => format!("the calls of municipality {caller} fail wherever they go"),
        Verdict::Observer { observer, link: None } => {
            format!("{observer} sees failures that nobody else does")
        }
        Verdict::Observer { observer, link: Some(unit) } => {
            format!("{observer} alone sees {unit} fail: look at the way between them")
        }
        Verdict::Undecided { seconds: Some(seconds) } => {
            format!("there is evidence, and not enough of it: {seconds} s more, if all goes on as now")
        }
        Verdict::Undecided { seconds: None } => {
            "there is evidence, and not enough of it, or too few observers; nobody can say for how long"
                .to_owned()
        }
    };
    format!("{}: {words}", verdict.name())
}

/// Who signed what.
#[must_use]
pub fn signed_words(Approval { by, intervention }: &Approval) -> String {
    format!("{by}: {}, to test: {}", intervention.changed, intervention.hypothesis)
}

/// A time span in its largest whole unit, once there are two of it.
pub(super) fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// `thing`, or `things` unless there is one.
fn many(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

impl Explanation {
    /// All of it in words, without a line break at the end.
    #[must_use]
    pub fn text(&self) -> String {
        let parts = [
            self.standing(),
            self.evidence(),
            self.votes(),
            self.others(),
            self.arithmetic(),
            self.elsewhere(),
            self.past(),
        ];
        parts.map(|lines| lines.iter().map(|line| one_line(line)).collect::<Vec<_>>().join("\n")).join("\n\n")
    }

    fn standing(&self) -> Vec<String> {
        let mut lines = vec![
            format!(
                "{} is {} since {}, for {}, and gets {} % of a full share of calls",
                self.unit,
                self.stands.words,
                time_of(self.since),
                span(self.seconds),
                self.share_percent
            ),
            format!("Why:   {}", self.why),
            format!("Rule:  {:?}, {}", self.rule, self.rule_words),
            format!("Next:  {}", self.next),
            format!("Lease: {}", self.lease_words()),
            format!("Where: {}{}", self.about.address, self.elsewhere_reported()),
        ];
        if self.kept {
            lines.push("Kept in use only because nobody else is: somebody has to carry the calls".to_owned());
        }
        if let Some(until) = self.override_until {
            lines.push(format!("Let back by an operator with no cause found, until {}", time_of(until)));
        }
        let pending = self.signatures.iter();
        lines.extend(pending.map(|one| format!("Signed off by {}", signed_words(one))));
        if let Some(until) = self.probes_paused_until {
            lines.push(format!("Not probed until {}, on an operator's order", time_of(until)));
        }
        if let Some(Drill { fault, by, since, until }) = &self.drill {
            let (since, until) = (time_of(*since), time_of(*until));
            lines.push(format!("A drill: plays {fault} since {since}, on the order of {by}, until {until}"));
        }
        if let Some(Bundle { name, bytes }) = self.bundles.last() {
            let (bytes, unit) = (grouped(*bytes as f64), &self.unit);
            lines.push(format!(
                "Left {name}, {bytes} bytes, in the --bundle-dir of {unit}: what it saw before"
            ));
        }
        lines.extend(self.raised.iter().map(raised));
        lines
    }

    /// What its process says of its address. With two processes the alarm says what to do; one alone may well
    /// be reached where it is registered, as behind a translated address.
    fn elsewhere_reported(&self) -> String {
        let Some(said) = &self.reported_address else { return String::new() };
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
        let reports = if self.stands.reports { "reports" } else { "does not report" };
        let none = |why: &str| format!("none {why}, generation {generation}; its process {reports}");
        let state = self.state;
        match (self.lease_until_ms.and_then(|ms| u64::try_from(ms / 1_000).ok()), self.stands.state) {
            (Some(until), _) if self.lease == Lease::Live => {
                format!("live until {} unless renewed, generation {generation}", time_of(until))
            }
            (_, State::Draining) => {
                format!("not renewed while it drains: what runs may end, generation {generation}")
            }
            (_, State::Probation) => none("on probation: it is probed and serves no caller"),
            (_, State::Evicted | State::Quarantined | State::Drained) => {
                none(&format!("while it is {state}: it may not serve"))
            }
            _ if self.lease == Lease::Released => {
                format!("given back by the unit, generation {generation}")
            }
            _ => format!("lapsed: the unit does not ask for one, generation {generation}"),
        }
    }

    fn votes(&self) -> Vec<String> {
        let counted = self.votes.iter().filter(|vote| vote.discarded.is_none() && vote.calls > 0);
        let (n, k) = (counted.clone().count(), counted.filter(|vote| vote.bad > 0).count());
        let discarded = self.votes.iter().filter(|vote| vote.discarded.is_some()).count();
        let mut lines = vec![format!(
            "Votes: {k} of {} saw bad calls of it in the last minute, {} discarded",
            many(n, "observer"),
            many(discarded, "vote")
        )];
        lines.extend(self.votes.iter().map(vote));
        let Shallow { probes, bad, .. } = self.shallow;
        lines.push(match self.shallow.colour {
            "NONE" => "Shallow probes, which nobody is judged by: none lately".to_owned(),
            colour => format!(
                "Shallow probes, which nobody is judged by: {}, {bad} bad of the last {probes}",
                colour.to_lowercase()
            ),
        });
        lines
    }

    fn others(&self) -> Vec<String> {
        let whom = if self.stands.some_out { "the units in use" } else { "all units" };
        let mut lines =
            vec![format!("Verdict on {whom}: {}", verdict_words(&self.verdict, self.stands.in_use))];
        if self.siblings.is_empty() {
            lines.push("Siblings: none shares an attribute with it".to_owned());
        } else {
            lines.push("Siblings, which share what may be the cause:".to_owned());
            lines.extend(self.siblings.iter().map(sibling));
        }
        if self.suspects.is_empty() {
            lines.push("Suspect attributes of it: none".to_owned());
        } else {
            lines.push(
                "Suspect attributes of it, until two operators say that it is mended (`todoke pool absolve`):"
                    .to_owned(),
            );
            lines.extend(self.suspects.iter().map(suspect));
        }
        lines
    }

    fn arithmetic(&self) -> Vec<String> {
        let Floor { peak_calls_per_s, unit_calls_per_s, needed, full } = self.floor;
        let may = match (self.stands.state.serves(), self.may_be_taken_out) {
            (false, _) => "it takes no calls",
            (true, true) => "it may be taken out",
            (true, false) => "it may not be taken out",
        };
        let (fast, slow) = (grouped(self.penalties.fast), grouped(self.penalties.slow));
        let (out, reuse) = (grouped(self.limits.fast.0.into()), grouped(self.limits.fast.1.into()));
        let (fast_half, slow_half) = self.limits.half_lives_s;
        let held = if self.penalties.quarantined { ", in quarantine" } else { "" };
        let kept = if self.penalties.suppressed { ", kept out" } else { "" };
        vec![
            format!(
                "Floor: {} needed, max(1, {} calls/s at peak / {} of one unit); {full} in full use: {may}",
                many(needed, "unit"),
                grouped(peak_calls_per_s.into()),
                grouped(unit_calls_per_s.into())
            ),
            format!(
                "Penalties: fast {fast}, out from {out} until {reuse}, halves in {}{kept}; slow {slow}, \
                 quarantine from {}, halves in {}{held}",
                span(fast_half),
                grouped(self.limits.slow.into()),
                span(slow_half)
            ),
            format!("Evictions in a row: {}; each doubles the back-off", self.evictions),
        ]
    }

    fn elsewhere(&self) -> Vec<String> {
        let since = self.elsewhere_since.map(time_of).unwrap_or_else(|| "now".to_owned());
        let mut lines = vec![format!("Default rules elsewhere, with the same evidence since {since}:")];
        if self.elsewhere.is_empty() {
            lines.push("  nothing was seen of it yet".to_owned());
        }
        lines.extend(self.elsewhere.iter().map(opinion));
        lines
    }

    fn past(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.decisions.is_empty() {
            lines.push("Decisions about it: none yet".to_owned());
        } else {
            lines.push("Last decisions about it, newest first:".to_owned());
            lines.extend(self.decisions.iter().map(told));
        }
        let name = &self.issuer.name;
        lines.push(match (self.issuer.frozen, self.issuer.decides) {
            (true, _) => format!(
                "{name} says this. FROZEN: its database is away, and nothing changes until it is back"
            ),
            (false, true) => format!("{name} says this, which decides, epoch {}", self.issuer.epoch),
            (false, false) => {
                format!("{name} says this, which does not decide: the one that does knows more")
            }
        });
        lines
    }
}

fn vote(vote: &Vote) -> String {
    let Vote { observer, calls, bad, weight_percent, discarded } = vote;
    let note = match discarded {
        Some(Discarded::Starved) => "; DISCARDED: it misses its own timers".to_owned(),
        Some(Discarded::LeftOut) => "; DISCARDED: left out, as nobody may evict alone".to_owned(),
        None if *weight_percent < 100 => format!("; counts {weight_percent} %: it misses its own timers"),
        None => String::new(),
    };
    format!("  {:24} {bad} bad of {calls}{note}", observer.to_string())
}

fn sibling(sibling: &Sibling) -> String {
    let Sibling { unit, state, s, shares } = sibling;
    let s = s.map(|s| format!(", evidence {s:.1}")).unwrap_or_default();
    format!("  {unit} {state}{s}: {}", shares.join(", "))
}

fn suspect(suspect: &Suspect) -> String {
    let Suspect { attribute, suspicion } = suspect;
    let units: Vec<String> = suspicion.units.iter().map(ToString::to_string).collect();
    let chance = match suspicion.chance_ppm {
        0 => String::new(),
        ppm => format!("; by chance p = {}", percent(f64::from(ppm) / 1e6)),
    };
    let signed = suspicion.signed.as_ref();
    let signed =
        signed.map(|first| format!("; said to be mended by {}", signed_words(first))).unwrap_or_default();
    format!(
        "  {attribute}, since {}, rule {:?}: {} failed with it{chance}{signed}",
        time_of(suspicion.since),
        suspicion.rule,
        units.join(", ")
    )
}

fn raised(raised: &Raised) -> String {
    format!("RAISED since {}: {}", time_of(raised.since), raised.reason)
}

fn opinion(opinion: &Opinion) -> String {
    let Opinion { rule, first, last, why } = opinion;
    match (first, last) {
        (Some(first), Some(last)) => {
            let again = if last > first { format!(", last at {}", time_of(*last)) } else { String::new() };
            format!("  {}: EJECTED at {}{again}; {why}", rule.name(), time_of(*first))
        }
        _ => format!("  {}: nothing; {why}", rule.name()),
    }
}

fn told(told: &Told) -> String {
    let Told { number, decision } = told;
    format!(
        "  {number:>5}  {}  {:15} {:?}: {}",
        time_of(decision.second),
        decision.kind.name(),
        decision.rule,
        decision.reason
    )
}
