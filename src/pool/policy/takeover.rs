//! That a process took over from another one which had not given its lease back is on record, and no more
//! than once a minute of one unit, however often processes take its name from each other.

use serde::{Deserialize, Serialize};

use super::{Kind, Note, Policy, Process, Rule, Turn, unit::Lease};
use crate::pool::{evidence::UnitId, explain::time_of};

/// Seconds between two such decisions of one unit.
const GAP_S: u64 = 60;

/// One that is not on record yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Takeover {
    /// The process that served before.
    before: Process,
    /// Where the one that serves now is reached, by its own word.
    address: Option<String>,
    /// It is the last of so many.
    count: u32,
}

/// What is known of processes that took a unit's name from each other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Takeovers {
    /// In which second one was put on record.
    said: Option<u64>,
    waits: Option<Takeover>,
}

impl Takeovers {
    /// Whether nothing is known.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// When a process was started, by its own clock.
fn started(process: Process) -> String {
    match process.incarnation / 1_000 {
        0 => "it does not say when".to_owned(),
        second => time_of(second),
    }
}

impl Policy {
    /// Another process serves as a unit than this one, whose lease may still run: that a process gave it
    /// back, or lost it, is on record by itself.
    pub(super) fn note_takeover(&mut self, id: &UnitId, before: Process, address: Option<&str>) {
        let Some(unit) = self.units.get_mut(id).filter(|unit| unit.lease == Lease::Live) else { return };
        let count = unit.takeovers.waits.as_ref().map_or(0, |waits| waits.count).saturating_add(1);
        unit.takeovers.waits = Some(Takeover { before, address: address.map(str::to_owned), count });
    }

    /// J3: the last of them, where none was said for a minute.
    pub(super) fn say_takeovers(&mut self, turn: &mut Turn<'_>) {
        let second = turn.second;
        for id in self.names(|unit| unit.takeovers.waits.is_some()) {
            let Some(unit) = self.units.get_mut(&id) else { continue };
            let last = unit.takeovers.said;
            if last.is_some_and(|last| second < last.saturating_add(GAP_S)) {
                continue;
            }
            let (waits, process) = (unit.takeovers.waits.take(), unit.drills.process);
            let Some((Takeover { before, address, count }, now)) = waits.zip(process) else { continue };
            unit.takeovers.said = Some(second);
            let is_later = now.incarnation > before.incarnation;
            let (now, before) = (started(now), started(before));
            let address = address.map(|address| format!(", reached at {address}")).unwrap_or_default();
            let mut reason = match is_later {
                true => format!(
                    "another process serves as {id} now, started: {now}{address}. The one before it, \
                     started: {before}, did not give its lease back, and is refused if it runs still"
                ),
                false => format!(
                    "the earlier process serves as {id} again, started: {now}{address}. The later one, \
                     started: {before}, fell silent"
                ),
            };
            if let Some(last) = last.filter(|_| count > 1) {
                let within = second - last;
                reason += &format!("; {count} took the name from each other within {within} s");
            }
            let note = Note::new(Kind::TakeOver, Rule::J3, reason).count("processes", count);
            turn.say(Some(&id), None, note);
        }
    }
}
