//! A drill is on record from its beginning to its end, which comes by itself, by an operator's order, or with
//! the process that plays it; whoever decides next goes on with it.

use serde::{Deserialize, Serialize};

use super::{Kind, Note, Policy, Rule, Turn, Unit, order::Operator};
use crate::pool::{
    drill::{Fault, SECONDS_MAX},
    evidence::UnitId,
};

/// The process that serves as a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Differs from start to start.
    pub incarnation: u64,
    /// Whether it was started with `--drills`.
    pub drills: bool,
}

/// A fault that a unit plays on an operator's order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drill {
    /// What is played.
    pub fault: Fault,
    /// On whose order.
    pub by: Operator,
    /// Since which second.
    pub since: u64,
    /// It ends by itself at this one.
    pub until: u64,
}

/// What is known of a unit's drills.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drills {
    /// Rises with each beginning and each end, so that a relay can tell an older answer.
    pub number: u64,
    /// Who would play it; `None` until it reports.
    pub process: Option<Process>,
    /// What is played now.
    pub now: Option<Drill>,
}

impl Drills {
    /// Whether nothing is known.
    pub(super) fn is_unknown(&self) -> bool {
        *self == Self::default()
    }

    /// The latest process that served, 0 if none did: an older one must not come back by asking first.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.process.map_or(0, |process| process.incarnation)
    }

    /// What this process has to play, and for how many ms.
    ///
    /// A crash is for the one process that was there when it was ordered: the next one must not crash again.
    #[must_use]
    pub fn of(&self, incarnation: u64, now_ms: i64) -> Option<(&Drill, u64)> {
        let until_ms = |drill: &Drill| i64::try_from(drill.until).unwrap_or(i64::MAX).saturating_mul(1000);
        let drill = self.now.as_ref()?;
        let left = u64::try_from(until_ms(drill).saturating_sub(now_ms)).ok().filter(|left| *left > 0)?;
        let same = self.process.is_some_and(|process| process.incarnation == incarnation);
        (same || drill.fault != Fault::Crash).then_some((drill, left))
    }

    fn turn_over(&mut self, second: u64) {
        self.number = second.max(self.number + 1);
    }
}

impl Policy {
    /// Has a unit play a fault.
    pub(super) fn drill(
        &mut self,
        turn: &mut Turn<'_>,
        by: &Operator,
        id: &UnitId,
        (fault, seconds): (Fault, u64),
    ) -> Result<(), String> {
        let drills = &self.known(id)?.drills;
        if !(1..=SECONDS_MAX).contains(&seconds) {
            return Err(format!("a fault is played for 1 to {SECONDS_MAX} s, not for {seconds}"));
        }
        match drills.process {
            Some(process) if process.drills => {}
            Some(_) => {
                return Err(format!(
                    "{id} was not started with --drills: only where that is given may faults be played"
                ));
            }
            None => return Err(format!("{id} has not reported yet: wait until it serves")),
        }
        self.end_drill(turn, id, Rule::O1, &format!("{by} has it play {fault} instead"));
        let (since, until) = (turn.second, turn.second.saturating_add(seconds));
        self.units.entry(id.clone()).and_modify(|unit| {
            unit.drills.turn_over(since);
            unit.drills.now = Some(Drill { fault, by: by.clone(), since, until });
        });
        let reason = format!("{by} has {id} play {fault} for {seconds} s: a drill");
        turn.say(Some(id), None, Note::new(Kind::Drill, Rule::O1, reason).count("seconds", seconds));
        Ok(())
    }

    /// Ends what a unit plays before its time.
    pub(super) fn stop_drill(
        &mut self,
        turn: &mut Turn<'_>,
        by: &Operator,
        id: &UnitId,
    ) -> Result<(), String> {
        if self.known(id)?.drills.now.is_none() {
            return Err(format!("{id} plays no fault"));
        }
        self.end_drill(turn, id, Rule::O1, &format!("{by} ends it"));
        Ok(())
    }

    /// Ends every drill whose time is over.
    pub(super) fn end_drills(&mut self, turn: &mut Turn<'_>) {
        let second = turn.second;
        let is_over = |unit: &Unit| unit.drills.now.as_ref().is_some_and(|drill| drill.until <= second);
        for id in self.names(is_over) {
            self.end_drill(turn, &id, Rule::O2, "its time is over");
        }
    }

    /// A process says that it serves as a unit from now on.
    pub(super) fn note_start(
        &mut self,
        turn: &mut Turn<'_>,
        id: &UnitId,
        process: Process,
        address: Option<&str>,
    ) {
        let Some(unit) = self.units.get_mut(id).filter(|_| !self.database_away) else { return };
        let before = unit.drills.process.replace(process);
        if before == Some(process) {
            return;
        }
        if let Some(before) = before.filter(|before| before.incarnation != process.incarnation) {
            if unit.state.is_leased() {
                // The one before may run still: what it holds is void from here on.
                unit.generation += 1;
            }
            self.note_takeover(id, before, address);
        }
        let Some(drill) = self.units.get(id).and_then(|unit| unit.drills.now.as_ref()) else { return };
        if !process.drills {
            self.end_drill(turn, id, Rule::O2, "it was started anew, without --drills");
        } else if drill.fault == Fault::Crash {
            self.end_drill(turn, id, Rule::O2, "it ended, and was started anew");
        }
    }

    fn end_drill(&mut self, turn: &mut Turn<'_>, id: &UnitId, rule: Rule, why: &str) {
        let Some(unit) = self.units.get_mut(id) else { return };
        let Some(Drill { fault, by, since, .. }) = unit.drills.now.take() else { return };
        unit.drills.turn_over(turn.second);
        let lasted = turn.second.saturating_sub(since);
        let reason = format!("{id} plays {fault} no more, after {lasted} s, ordered by {by}: {why}");
        turn.say(Some(id), None, Note::new(Kind::DrillOver, rule, reason).count("seconds", lasted));
    }
}
