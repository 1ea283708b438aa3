//! The pool never goes below its floor by its own decision, and when it is below it says so.

use super::{Alarm, Kind, Note, Policy, Rule, Turn, Unit, unit::State};
use crate::pool::{evidence::UnitId, judgement::UnitJudgement};

/// The floor's arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Floor {
    /// The most calls a second that the pool must carry.
    pub peak_calls_per_s: u32,
    /// What one unit carries.
    pub unit_calls_per_s: u32,
    /// Units that are needed: max(1, peak over what one unit carries, rounded up).
    pub needed: usize,
    /// Units in full use, steered ones with them.
    pub full: usize,
}

impl Floor {
    /// Whether one unit in this state may be taken out.
    #[must_use]
    pub fn allows(&self, state: State) -> bool {
        if state.is_full() { self.full > self.needed } else { self.full > 0 }
    }
}

/// So many units, with their verb.
pub(in crate::pool) fn units_are(count: usize) -> String {
    if count == 1 { "1 unit is".to_owned() } else { format!("{count} units are") }
}

impl Policy {
    /// The floor now.
    #[must_use]
    pub fn floor(&self) -> Floor {
        let unit_calls_per_s = self.parameters.unit_calls_per_s.max(1);
        Floor {
            peak_calls_per_s: self.peak_calls_per_s,
            unit_calls_per_s,
            needed: self.peak_calls_per_s.div_ceil(unit_calls_per_s).max(1) as usize,
            full: self.units.values().filter(|unit| unit.state.is_full()).count(),
        }
    }

    pub(super) fn hold_the_floor(&mut self, turn: &mut Turn<'_>) {
        self.put_back_who_was_let_in(turn);
        if self.floor().full == 0 {
            self.let_the_best_in(turn);
        }
        self.balance(turn);
        self.say_degraded(turn);
    }

    /// F2: nobody is in full use, so the best that has a lease is. One in quarantine, or taken out by an
    /// operator, never is.
    fn let_the_best_in(&mut self, turn: &mut Turn<'_>) {
        let rank = |unit: &Unit| match unit.state {
            State::Returning(percent) => Some(u16::from(percent) + 10),
            State::Joining => Some(4),
            State::Evicted if unit.why.rule == Rule::E4 => Some(3),
            State::Probation => Some(2),
            State::Evicted => Some(1),
            State::Healthy | State::Suspect | State::Draining | State::Quarantined | State::Drained => None,
        };
        let leased = self.units.values().filter(|unit| unit.is_there());
        // Of equals the first by name: `max_by_key` alone would take the last.
        let best = leased.rev().filter_map(|unit| Some((rank(unit)?, unit))).max_by_key(|(rank, _)| *rank);
        if let Some((_, unit)) = best {
            let (id, from) = (unit.id().clone(), unit.state);
            self.begun = Some(turn.second);
            let kind = if from == State::Joining { Kind::Admit } else { Kind::Return };
            let reason =
                format!("nobody else is in full use, and {id}, {from}, is the best that has a lease");
            self.shift(turn, &id, State::Healthy, Note::new(kind, Rule::F2, reason));
            let unproved = matches!(from, State::Evicted | State::Probation);
            self.units
                .entry(id)
                .and_modify(|unit| unit.let_in_from = unproved.then_some((from, turn.second)));
        } else if self.steered().1 == 0 && self.is_missed(turn.second, &Kind::Alarm(Alarm::NothingServes)) {
            let reason = "no unit may serve: clients keep the last view in which one could";
            self.raise(turn, None, Note::new(Kind::Alarm(Alarm::NothingServes), Rule::F2, reason));
        }
    }

    /// F2: one that was let in as nobody else was there is out again once others are, with what was left of
    /// its back-off, unless it has been in use for as long as a probation lasts and does not fail. Nothing
    /// more is held against it for that.
    fn put_back_who_was_let_in(&mut self, turn: &mut Turn<'_>) {
        let proved_s = self.parameters.probation_s;
        for id in self.names(|unit| unit.let_in_from.is_some()) {
            let Some((from, since)) = self.units[&id].let_in_from else { continue };
            // Alone it is worse than nobody: that it does not fail is all that can be seen.
            let is_well = turn.judged(&id).is_some_and(|judged| !judged.soft && !judged.is_failing());
            if turn.second.saturating_sub(since) >= proved_s && is_well {
                self.units.entry(id).and_modify(|unit| unit.let_in_from = None);
                continue;
            }
            let others = |unit: &Unit| unit.state.is_full() && unit.is_there() && unit.let_in_from.is_none();
            if self.names(others).len() < self.floor().needed {
                continue;
            }
            let reason = format!("others are in full use again: {id}, which was {from}, has to prove itself");
            self.shift(turn, &id, State::Evicted, Note::new(Kind::Leave, Rule::F2, reason));
        }
    }

    /// Whether there is anything to miss: a pool that has only begun is not degraded, nor is one of which
    /// whoever took over could not have heard yet, unless that is known from before.
    fn is_missed(&self, second: u64, raised_as: &Kind) -> bool {
        let has_served = !self.units.is_empty() && !self.last_usable.is_empty();
        has_served && (second >= self.waits_until || self.is_raised(raised_as))
    }

    /// Those in full use that fail, if the rest is too few: a unit without peers, or with none that is well,
    /// has nobody to be worse than.
    fn failing(&self, turn: &Turn<'_>, floor: Floor) -> Vec<UnitId> {
        let judged = |unit: &Unit| turn.judged(unit.id()).is_some_and(UnitJudgement::is_failing);
        let fails = |unit: &Unit| unit.state.is_full() && judged(unit);
        let failing = self.names(fails);
        if floor.full.saturating_sub(failing.len()) < floor.needed { failing } else { Vec::new() }
    }

    fn say_degraded(&mut self, turn: &mut Turn<'_>) {
        let floor = self.floor();
        let mut kept: Vec<UnitId> = std::mem::take(&mut turn.kept_sick);
        let failing = self.failing(turn, floor);
        kept.extend(failing);
        kept.sort();
        kept.dedup();
        let short = floor.full < floor.needed && self.is_missed(turn.second, &Kind::Degraded);
        if !short && kept.is_empty() {
            return;
        }
        let names: Vec<&str> = kept.iter().map(UnitId::as_str).collect();
        let needed = units_are(floor.needed);
        let reason = match kept.len() {
            0 => format!("{} in full use and {} needed: shed load", units_are(floor.full), floor.needed),
            all if all >= floor.full => {
                let verb = if all == 1 { "is" } else { "are" };
                let names = names.join(", ");
                format!("{names} {verb} sick and kept, as {needed} needed, and no other in full use is well")
            }
            1 => format!("{} is sick and kept, as {needed} needed: shed load", names[0]),
            _ => format!("{} are sick and kept, as {needed} needed: shed load", names.join(", ")),
        };
        let note = Note::new(Kind::Degraded, Rule::F1, reason)
            .count("peak_calls_per_s", floor.peak_calls_per_s)
            .count("unit_calls_per_s", floor.unit_calls_per_s)
            .count("floor", floor.needed)
            .count("full", floor.full)
            .count("sick", kept.len());
        self.reword(None, &note);
        self.raise(turn, None, note);
    }
}
