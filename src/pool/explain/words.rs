//! The words of an explanation: an operator who reads them from the top learns where the unit stands, why,
//! what comes next, and then what that rests on.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Discarded, Explanation, Issuer, Shallow, Sibling, Suspect, Told, Vote};
use crate::{
    pool::{
        evidence::UnitId,
        judgement::{Verdict, shared_words},
        other_tools::Opinion,
        policy::{Approval, Floor, REMEDY_BEGINS, Rule, grouped, units_are},
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
    let listed = |units: &[UnitId]| units.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
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
            format!("there is evidence, but not enough yet: enough in {seconds} s if all goes on as now")
        }
        Verdict::Undecided { seconds: None } => {
            "there is evidence, but not enough yet, or too few observers; nobody can say for how long"
                .to_owned()
        }
    };
    format!("{}: {words}", verdict.name())
}

/// Who signed what.
#[must_use]
pub fn signed_words(Approval { by, intervention }: &Approval) -> String {
    format!("{by}; changed: {}; hypothesis: {}", intervention.changed, intervention.hypothesis)
}

/// A time span in its largest whole unit, once there are two of it.
#[must_use]
pub fn span(seconds: u64) -> String {
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

/// Characters of a line, beyond which it goes on in the next one, indented; what is in backticks is to be
/// copied, and stays whole.
const WIDTH: usize = 110;

/// The words of a line, what is in backticks being one of them.
fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut is_quoted = false;
    for word in line.split(' ') {
        match words.last_mut().filter(|_| is_quoted) {
            Some(last) => {
                last.push(' ');
                *last += word;
            }
            None => words.push(word.to_owned()),
        }
        is_quoted ^= word.matches('`').count() % 2 == 1;
    }
    words
}

fn wrapped(line: &str) -> String {
    let indent = match line.find(": ") {
        Some(colon) if colon < 6 && !line.starts_with(' ') => 7,
        _ => line.chars().take_while(|one| *one == ' ').count() + 4,
    };
    let (mut lines, mut now) = (Vec::new(), String::new());
    for (at, word) in words(line).into_iter().enumerate() {
        if at > 0 && now.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(std::mem::replace(&mut now, " ".repeat(indent)).trim_end().to_owned());
        } else if at > 0 {
            now.push(' ');
        }
        now += &word;
    }
    lines.push(now);
    lines.join("\n")
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
        let shown = |lines: Vec<String>| {
            lines.iter().map(|line| wrapped(&one_line(line))).collect::<Vec<_>>().join("\n")
        };
        parts.map(shown).join("\n\n")
    }

    fn votes(&self) -> Vec<String> {
        let counted = self.votes.iter().filter(|vote| vote.discarded.is_none() && vote.calls > 0);
        let (n, k) = (counted.clone().count(), counted.filter(|vote| vote.bad > 0).count());
        let discarded = match self.votes.iter().filter(|vote| vote.discarded.is_some()).count() {
            0 => "none discarded".to_owned(),
            more => format!("{more} discarded"),
        };
        let mut lines = vec![match (n, self.votes.len()) {
            (_, 0) => "Votes: none, as nobody saw a call on it in the last minute".to_owned(),
            _ => format!(
                "Votes: {k} of {} (relays, issuers) saw bad calls on it in the last minute{}; {discarded}:",
                many(n, "counted observer"),
                self.in_use_lately()
            ),
        }];
        lines.extend(self.votes.iter().map(|vote| self.vote(vote)));
        let Shallow { probes, bad, .. } = self.shallow;
        lines.push(match self.shallow.colour {
            "NONE" => "Health checks (shallow probes, which judge nobody): none lately".to_owned(),
            colour => format!(
                "Health checks (shallow probes, which judge nobody): {}, {bad} bad of the last {probes}",
                colour.to_lowercase()
            ),
        });
        lines
    }

    /// Of one that is out: that the votes tell of the time before, too.
    fn in_use_lately(&self) -> &'static str {
        let taken_out = self.evicted_by.as_ref().filter(|_| !self.stands.state.serves());
        match taken_out.is_some_and(|told| told.decision.second.saturating_add(60) > self.now_s()) {
            true => ", in part before it was taken out",
            false => "",
        }
    }

    fn vote(&self, vote: &Vote) -> String {
        let Vote { observer, calls, bad, weight_percent, discarded } = vote;
        let mut notes = Vec::new();
        if observer.to_string() == format!("relay/{}", self.unit) {
            notes.push("what the unit says of itself".to_owned());
        }
        match discarded {
            Some(Discarded::Starved) => {
                notes.push("DISCARDED: its own timers are late, so it may see its own slowness".to_owned());
            }
            Some(Discarded::LeftOut) => {
                notes.push("DISCARDED: left out of S, as said above".to_owned());
            }
            None if *weight_percent < 100 => {
                notes.push(format!("its word counts {weight_percent} %, as its own timers are late"));
            }
            None => {}
        }
        let notes: String = notes.iter().map(|note| format!("; {note}")).collect();
        let saw = match calls {
            0 => "no call seen".to_owned(),
            _ => format!("{:>6} bad of {}", grouped((*bad).into()), grouped((*calls).into())),
        };
        format!("  {:24} {saw}{notes}", observer.to_string())
    }

    fn others(&self) -> Vec<String> {
        let whom = if self.stands.some_out { "the units in use" } else { "all units" };
        let held: Vec<&str> = self.stands.held_against.iter().map(UnitId::as_str).collect();
        let against = match self.verdict {
            Verdict::Undecided { .. } if !held.is_empty() => {
                format!(". The evidence is against {}", held.join(", "))
            }
            _ => String::new(),
        };
        let verdict = match &self.verdict {
            // What it forecasts is not acted upon.
            Verdict::Undecided { .. } if self.issuer.frozen => &Verdict::Undecided { seconds: None },
            verdict => verdict,
        };
        let unjudged = match (verdict, self.stands.in_use, self.stands.some_out) {
            (Verdict::None, 0, _) => ", as none is in use, and only those in use are judged",
            (Verdict::None, _, true) => "; those that are out of use are not judged",
            _ => "",
        };
        let words = verdict_words(verdict, self.stands.in_use);
        let mut lines = vec![format!("Verdict on {whom}: {words}{unjudged}{against}")];
        if self.siblings.is_empty() {
            lines.push("Siblings: none, as no other unit shares an attribute with it".to_owned());
        } else {
            lines.push(
                "Siblings: units that share an attribute with it. If they fail too, what they share may be \
                 the cause"
                    .to_owned(),
            );
            lines.extend(self.siblings.iter().map(sibling));
        }
        if self.suspects.is_empty() {
            lines.push("Suspect attributes of it: none".to_owned());
        } else {
            lines.push(
                "Suspect attributes of it, each until two operators sign that it is mended (`todoke pool \
                 absolve`):"
                    .to_owned(),
            );
            lines.extend(self.suspects.iter().map(suspect));
        }
        lines
    }

    fn arithmetic(&self) -> Vec<String> {
        let Floor { peak_calls_per_s, unit_calls_per_s, needed, full } = self.floor;
        let may = match (self.stands.state.serves(), self.may_be_taken_out) {
            (false, _) => "",
            (true, true) => ": it can be spared",
            (true, false) => ": it cannot be spared",
        };
        let (fast, slow) = (grouped(self.penalties.fast), grouped(self.penalties.slow));
        let (out, reuse) = (grouped(self.limits.fast.0.into()), grouped(self.limits.fast.1.into()));
        let (fast_half, slow_half) = self.limits.half_lives_s;
        let held = if self.penalties.quarantined { ", as now" } else { "" };
        let kept = if self.penalties.suppressed { ", as now" } else { "" };
        let peak = match peak_calls_per_s {
            0 => "no peak is configured".to_owned(),
            some => format!("the peak is {} calls/s by configuration", grouped(some.into())),
        };
        vec![
            format!(
                "Floor: at least {} must stay in full use ({peak}, and a unit carries {} calls/s); now {} in \
                 full use{may}",
                many(needed, "unit"),
                grouped(unit_calls_per_s.into()),
                units_are(full)
            ),
            format!("Penalties: an eviction adds {} to each", grouped(self.stands.penalty.into())),
            format!(
                "  fast: {fast}, halves every {}. From {out} on it is kept out until {reuse} is left{kept}",
                span(fast_half)
            ),
            format!(
                "  slow: {slow}, halves every {}. From {} on it is quarantined{held}",
                span(slow_half),
                grouped(self.limits.slow.into())
            ),
            format!(
                "Evictions in a row: {}; each doubles the back-off, the time that it stays out",
                self.evictions
            ),
        ]
    }

    fn elsewhere(&self) -> Vec<String> {
        let since = self.elsewhere_since.map(time_of).unwrap_or_else(|| "now".to_owned());
        let mut lines = vec![format!(
            "Default rules elsewhere decide nothing here. What they would have done with the same evidence, \
             since {since}:"
        )];
        if self.elsewhere.is_empty() {
            lines.push("  nothing was seen of it yet".to_owned());
        }
        lines.extend(self.elsewhere.iter().map(opinion));
        lines
    }

    fn past(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.decisions.is_empty() {
            lines.push("Decisions about it: none on record".to_owned());
        } else {
            lines.push("Last decisions about it, newest first:".to_owned());
            lines.extend((0..self.decisions.len()).map(|at| self.told(at)));
        }
        let Issuer { name, decides, epoch, .. } = &self.issuer;
        let now = time_of(self.now_s());
        lines.push(match decides {
            true => format!(
                "Told at {now} by {name}, which decides for the pool (epoch {epoch} of its own lease)"
            ),
            false => format!("Told at {now} by {name}, which does not decide"),
        });
        lines
    }

    fn told(&self, at: usize) -> String {
        let Told { number, decision } = &self.decisions[at];
        let newer = at.checked_sub(1).map(|newer| &self.decisions[newer]);
        let newer = newer.filter(|newer| newer.decision.reason == decision.reason);
        let is_raised = self.raised.iter().any(|raised| raised.reason == decision.reason);
        let reason = match newer {
            _ if is_raised => "as the alarm above says".to_owned(),
            Some(newer) => format!("as decision {} says", newer.number),
            None => as_of_then(decision.rule, &decision.reason),
        };
        let (kind, rule) = (decision.kind.name(), decision.rule);
        format!("  {number:>5}  {}  {kind:15}  {rule:?}: {reason}", time_of(decision.second))
    }
}

/// A decision's reason for who reads it later: what was to be done then, or was so only at first, is not
/// what is now.
pub(super) fn as_of_then(rule: Rule, reason: &str) -> String {
    match rule {
        Rule::E6 => reason.split(REMEDY_BEGINS).next().unwrap_or(reason).to_owned(),
        Rule::S1 if reason.ends_with('%') => format!("{reason} at first"),
        // Where none is needed none is waited for.
        Rule::J1 => reason.replace(": 0 deep probes passed, none failed", ": no deep probe is needed"),
        _ => reason.to_owned(),
    }
}

fn sibling(sibling: &Sibling) -> String {
    let Sibling { unit, state, nearest, shares, .. } = sibling;
    let s = nearest.map(|(s, limit)| format!("S {s:.1} of {limit:.1}")).unwrap_or_default();
    format!("  {:12}  {state:11}  {s:14}  {}", unit.as_str(), shares.join(", "))
}

fn suspect(suspect: &Suspect) -> String {
    let Suspect { attribute, suspicion } = suspect;
    let units: Vec<String> = suspicion.units.iter().map(ToString::to_string).collect();
    let chance = match suspicion.chance_ppm {
        0 if suspicion.rule != Rule::V1 => String::new(),
        0..500 => "; by chance p < 0.1 %".to_owned(),
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

fn opinion(opinion: &Opinion) -> String {
    let Opinion { rule, first, last, why } = opinion;
    match (first, last) {
        (Some(first), Some(last)) => {
            let again = match last > first {
                true => format!(", and again, last at {}", time_of(*last)),
                false => String::new(),
            };
            format!("  {}: EJECTED at {}{again}; {why}", rule.name(), time_of(*first))
        }
        _ => format!("  {}: not ejected; {why}", rule.name()),
    }
}
