//! Of two processes under a unit's name the later one holds its lease. While that one is reached at another
//! address than the registered one, where the earlier one refuses every call, the unit takes none.

use super::{Alarm, Kind, Note, Policy, Rule, Turn, unit::State};
use crate::pool::evidence::UnitId;

/// What an ELSEWHERE reason tells an operator to do begins so: it holds only as long as the alarm is raised.
pub(in crate::pool) const REMEDY_BEGINS: &str = ". End the later one";

impl Policy {
    /// It was told where the later of two processes is reached, or that there are no two any more.
    pub(super) fn note_elsewhere(&mut self, id: &UnitId, address: Option<&str>) {
        if let Some(unit) = self.units.get_mut(id) {
            unit.elsewhere = address.map(str::to_owned);
        }
    }

    /// E6: it is out of use, without a penalty, and proves itself by its probes once that is over. The floor
    /// does not hold it, as nobody gets through to it.
    pub(super) fn end_what_is_elsewhere(&mut self, turn: &mut Turn<'_>) {
        let kind = Kind::Alarm(Alarm::Elsewhere);
        for id in self.names(|unit| unit.elsewhere.is_none()) {
            self.lower_now(turn, &kind, Some(&id));
            let over =
                self.units.get_mut(&id).filter(|unit| unit.why.rule == Rule::E6 && !unit.state.serves());
            if let Some(unit) = over {
                unit.why.words = format!("{id} proves itself by its probes: two processes served as it");
            }
        }
        for id in self.names(|unit| unit.elsewhere.is_some()) {
            let unit = &self.units[&id];
            let (state, registered) = (unit.state, &unit.about.address);
            let Some(address) = &unit.elsewhere else { continue };
            let reason = format!(
                "two processes serve as {id}: the later one, which has the lease, says that it is reached \
                 at {address}, and {id} is registered at {registered}, where the earlier one refuses every \
                 call{REMEDY_BEGINS}; or end the earlier one, and `todoke pool register {id} --address \
                 {address}`"
            );
            self.raise(turn, Some(&id), Note::new(kind.clone(), Rule::E6, reason.clone()));
            self.reword(Some(&id), &Note::new(kind.clone(), Rule::E6, reason.clone()));
            if state.serves() || state == State::Probation {
                let to = if state == State::Healthy { State::Joining } else { State::Evicted };
                self.shift(turn, &id, to, Note::new(Kind::Leave, Rule::E6, reason));
            } else if let Some(unit) = self.units.get_mut(&id).filter(|unit| unit.why.rule == Rule::E6) {
                unit.why.words = reason;
            }
        }
    }
}
