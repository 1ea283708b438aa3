//! An alarm is said once when its cause appears and once when it has been gone for a while.

use serde::{Deserialize, Serialize};

use super::{Alarm, Kind, Note, Policy, Rule, Turn, history::Suspicion};
use crate::pool::{
    evidence::UnitId,
    judgement::{Verdict, shared_words},
};

/// Something that is raised now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Raised {
    /// What.
    pub kind: Kind,
    /// Of which unit, if of one.
    pub unit: Option<UnitId>,
    /// Since when.
    pub since: u64,
    /// When its cause was seen last.
    pub seen: u64,
    /// Seconds since then in which nobody decided, as while the issuer was stopped.
    #[serde(default, skip_serializing_if = "super::is_zero")]
    pub away_s: u64,
    /// By which rule.
    pub rule: Rule,
    /// Why, in words.
    pub reason: String,
}

fn key(kind: &Kind, unit: Option<&UnitId>) -> String {
    match unit {
        Some(unit) => format!("{kind:?} {unit}"),
        None => format!("{kind:?}"),
    }
}

impl Policy {
    /// Raises what a note says, unless it is raised already.
    pub(super) fn raise(&mut self, turn: &mut Turn<'_>, unit: Option<&UnitId>, note: Note) {
        let key = key(&note.kind, unit);
        if let Some(raised) = self.alarms.get_mut(&key) {
            raised.seen = turn.second;
            return;
        }
        let raised = Raised {
            kind: note.kind.clone(),
            unit: unit.cloned(),
            since: turn.second,
            seen: turn.second,
            away_s: 0,
            rule: note.rule,
            reason: note.reason.clone(),
        };
        self.alarms.insert(key, raised);
        turn.say(unit, None, note);
    }

    /// What is raised already is so for what the note says now.
    pub(super) fn reword(&mut self, unit: Option<&UnitId>, note: &Note) {
        if let Some(raised) = self.alarms.get_mut(&key(&note.kind, unit)) {
            raised.reason.clone_from(&note.reason);
        }
    }

    /// Whether it is raised already, of the pool.
    pub(super) fn is_raised(&self, kind: &Kind) -> bool {
        self.alarms.contains_key(&key(kind, None))
    }

    /// Says that it is over.
    pub(super) fn lower_now(&mut self, turn: &mut Turn<'_>, kind: &Kind, unit: Option<&UnitId>) {
        let Some(raised) = self.alarms.remove(&key(kind, unit)) else { return };
        let over = match raised.kind {
            Kind::Alarm(alarm) => Kind::AlarmOver(alarm),
            _ => Kind::DegradedOver,
        };
        let away_s = raised.away_s;
        let lasted = turn.second.saturating_sub(raised.since).saturating_sub(away_s);
        let away = match away_s {
            0 => String::new(),
            _ => format!(", beside {away_s} s in which no issuer decided"),
        };
        let note = Note::new(over, raised.rule, format!("over after {lasted} s{away}: {}", raised.reason));
        turn.say(unit, None, note.count("seconds", lasted));
    }

    /// That the database is away was seen since this second, by whoever decided then.
    pub fn away_since(&mut self, second: u64) {
        if let Some(raised) = self.alarms.get_mut(&key(&Kind::Alarm(Alarm::DatabaseAway), None)) {
            raised.since = raised.since.min(second);
        }
    }

    /// Nobody decided for so many seconds: whether what is raised was so in them is not known.
    pub(super) fn note_away(&mut self, seconds: u64) {
        for raised in self.alarms.values_mut() {
            raised.away_s = raised.away_s.saturating_add(seconds);
        }
    }

    pub(super) fn raise_alarms(&mut self, turn: &mut Turn<'_>) {
        self.say_verdict(turn);
        for id in self.names(|unit| unit.override_until.is_some()) {
            let reason = format!("{id} is let back with no cause found, until its override expires");
            self.raise(turn, Some(&id), Note::new(Kind::Alarm(Alarm::Overridden), Rule::Q3, reason));
        }
        let quiet = self.parameters.alarm_quiet_s;
        // Whoever took over sees for itself whether a cause is gone.
        let looked_since = self.waits_until.saturating_sub(self.parameters.lease_s);
        let over: Vec<(Kind, Option<UnitId>)> = self
            .alarms
            .values()
            .filter(|raised| turn.second.saturating_sub(raised.seen.max(looked_since)) >= quiet.max(1))
            .map(|raised| (raised.kind.clone(), raised.unit.clone()))
            .collect();
        for (kind, unit) in over {
            self.lower_now(turn, &kind, unit.as_ref());
        }
    }

    fn say_verdict(&mut self, turn: &mut Turn<'_>) {
        let (alarm, reason) = match turn.verdict() {
            Verdict::Shared => {
                let units = turn.judgement.map_or(0, |judgement| judgement.units.len());
                (Alarm::SharedCause, shared_words(units).to_owned())
            }
            Verdict::Caller { caller } => {
                let caller = String::from(caller);
                (Alarm::SickCaller, format!("the calls of municipality {caller} fail wherever they go"))
            }
            Verdict::Observer { observer, link: None } => {
                (Alarm::SickObserver, format!("{observer} sees failures that nobody else does"))
            }
            Verdict::Observer { observer, link: Some(unit) } => (
                Alarm::SickObserver,
                format!("{observer} alone sees {unit} fail: look at the way between them"),
            ),
            Verdict::Attribute { units, attributes } => {
                return self.suspect_shared(turn, &units, &attributes);
            }
            Verdict::None | Verdict::Unit { .. } | Verdict::Units { .. } | Verdict::Undecided { .. } => {
                return;
            }
        };
        self.raise(turn, None, Note::new(Kind::Alarm(alarm), Rule::V4, reason));
    }

    fn suspect_shared(&mut self, turn: &mut Turn<'_>, units: &[UnitId], attributes: &[String]) {
        let fresh = attributes.iter().filter(|name| !self.history.suspects().contains_key(*name));
        let fresh: Vec<String> = fresh.take(super::ATTRIBUTES_MAX).cloned().collect();
        if fresh.is_empty() {
            return;
        }
        let suspicion = Suspicion::new(turn.second, Rule::V2, units.to_vec(), 0);
        for attribute in &fresh {
            self.history.suspect(attribute, suspicion.clone());
        }
        let names: Vec<&str> = units.iter().map(UnitId::as_str).collect();
        let reason =
            format!("{} are sick, and are exactly those with {}", names.join(", "), fresh.join(", "));
        turn.say(None, None, Note::new(Kind::Systemic, Rule::V2, reason).about(fresh));
    }
}
