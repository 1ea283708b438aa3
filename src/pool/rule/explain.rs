//! The judgement says what it was made of: every bet that decided, and the same one with nobody left out.

use std::collections::BTreeMap;

use super::super::evidence::{Observer, UnitId};
use super::super::judgement::{Bet, UnitJudgement};
use super::left_out::{NOBODY, ORDER, Set, members};
use super::roster::{Roster, group_of};
use super::unit::{Line, Look, Unit, scale_of};
use super::verdict::Case;

impl Case<'_> {
    /// What is said of each unit.
    pub(super) fn units(&self) -> BTreeMap<UnitId, UnitJudgement> {
        self.units.iter().map(|(_, unit)| (unit.id.clone(), self.of(unit))).collect()
    }

    fn of(&self, unit: &Unit) -> UnitJudgement {
        UnitJudgement {
            s: unit.s(),
            beyond: unit.beyond(self.parameters),
            soft: unit.soft,
            sick: self.is_sick(unit),
            hearsay: self.is_beyond(unit) && !unit.witnessed,
            suspect: unit.s() >= self.parameters.suspect_at,
            seconds_to_sick: self.seconds_to_sick(unit),
            threshold_us: unit.threshold_us,
            left_out_caller: unit.left_out_caller,
            absolute: unit.absolute.s_least(),
            bets: self.bets(unit),
        }
    }

    fn bets(&self, unit: &Unit) -> Vec<Bet> {
        let mut bets = Vec::new();
        for (at, line) in unit.lines.iter().enumerate() {
            bets.push(self.bet(at, line, line.least, &line.least_look));
            if line.least != NOBODY {
                bets.push(self.bet(at, line, NOBODY, &line.nobody_look));
            }
        }
        bets
    }

    fn bet(&self, at: usize, line: &Line, set: Set, look: &Look) -> Bet {
        let scale = scale_of(at, self.parameters);
        Bet {
            class: ORDER[at % ORDER.len()],
            scale,
            left_out: observers_of(self.roster, set),
            s: line.s(set),
            limit: self.parameters.limit(scale),
            d: look.d.get(),
            own: look.own.shown(),
            peers: look.peers.shown(),
            played: look.played,
        }
    }
}

/// The observers of a set, in the order of their names.
fn observers_of(roster: &Roster, set: Set) -> Vec<Observer> {
    let inside = roster.present().filter(|(place, _)| members(set) & 1 << group_of(*place) != 0);
    let mut observers: Vec<Observer> = inside.map(|(_, observer)| observer.clone()).collect();
    observers.sort();
    observers
}
