//! Facts are taken in before anything is decided; while the database is away only leases are noted.

use super::{
    Alarm, Kind, Note, Policy, ProbesOf, Rule, Turn,
    order::{Fact, Order},
    unit::{Lease, State},
};
use crate::pool::evidence::UnitId;

impl Policy {
    /// Takes in what is told, and returns the orders among it.
    pub(super) fn take_in<'a>(&mut self, turn: &mut Turn<'_>, facts: &'a [Fact]) -> Vec<&'a Order> {
        let mut orders = Vec::new();
        for fact in facts {
            match fact {
                Fact::LeaseRenewed { unit, generation } => self.note_lease(unit, *generation, Lease::Live),
                Fact::LeaseLapsed { unit, generation } => self.note_lease(unit, *generation, Lease::Lapsed),
                Fact::LeaseReleased { unit, generation } => {
                    self.note_lease(unit, *generation, Lease::Released);
                }
                Fact::Elsewhere { unit, address } => self.note_elsewhere(unit, address.as_deref()),
                Fact::Started { unit, process, address } => {
                    self.note_start(turn, unit, *process, address.as_deref());
                }
                Fact::Reports { unit } => {
                    turn.reports.insert(unit.clone());
                }
                Fact::Bundle { unit, bundle } => self.note_bundle(turn, unit, bundle),
                Fact::DeepProbes { unit, n, failed, by } => {
                    self.note_probes(turn.second, unit, (*n, *failed), by);
                }
                Fact::ShallowProbes { unit, n, failed } => {
                    turn.health.insert(unit.clone(), (*n, *failed));
                }
                Fact::Traffic { .. } => {} // all of them together, below
                Fact::Database { away } => self.note_database(turn, *away),
                Fact::Controller { epoch, restored } => {
                    self.note_controller(turn.second, *epoch, *restored);
                }
                Fact::Observers { count } => self.observers = *count,
                Fact::Peak { calls_per_s } => self.peak_calls_per_s = *calls_per_s,
                Fact::Order(order) => orders.push(order),
            }
        }
        self.note_calls(turn.second, facts);
        orders
    }

    /// A lease of another generation counts for nothing: it was taken before the unit was evicted.
    fn note_lease(&mut self, unit: &UnitId, generation: u64, lease: Lease) {
        if let Some(unit) = self.units.get_mut(unit).filter(|unit| unit.generation == generation) {
            unit.lease = lease;
            if lease != Lease::Live {
                unit.elsewhere = None; // no two are there any more
            }
        }
    }

    fn note_probes(&mut self, second: u64, unit: &UnitId, (n, failed): (u32, u32), by: &[ProbesOf]) {
        let known = self.units.get_mut(unit).filter(|unit| !self.database_away && unit.counts_probes());
        let Some(unit) = known else { return };
        unit.probers.add(second, by);
        if !matches!(unit.state, State::Returning(_)) {
            return unit.progress.add(n, failed);
        }
        let unnamed = if by.is_empty() { failed } else { 0 };
        let failed = unit.probers.failed().saturating_add(unnamed);
        unit.progress.add_probes(n, failed);
        if failed > 0 {
            unit.probers.begin_anew();
        }
    }

    fn note_database(&mut self, turn: &mut Turn<'_>, away: bool) {
        if away == self.database_away {
            return;
        }
        self.database_away = away;
        let kind = Kind::Alarm(Alarm::DatabaseAway);
        if away {
            let reason = "the database is away: until it is back no unit is let in or taken out, no share \
                          changes, and leases are extended";
            self.raise(turn, None, Note::new(kind, Rule::B1, reason));
        } else {
            self.leases_believed_until = turn.second.saturating_add(self.parameters.lease_s);
            self.lower_now(turn, &kind, None);
        }
    }

    /// A new controller does not know when leases were renewed last: it believes all of them for one life.
    fn note_controller(&mut self, second: u64, epoch: u64, restored: bool) {
        if epoch > self.epoch {
            self.epoch = epoch;
            self.leases_believed_until = second.saturating_add(self.parameters.lease_s);
            self.waits_until = self.leases_believed_until;
            if !restored {
                self.judge_began(second);
            }
        }
    }
}
