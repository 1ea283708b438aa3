//! A unit takes no calls while whoever holds its lease is not where it is registered: whatever answers there
//! is fenced, and nobody tells callers of the other address.

use super::{
    Alarm, Kind, Note, Policy, Rule, Turn, Unit,
    unit::{Lease, State},
};
use crate::pool::evidence::UnitId;

impl Policy {
    pub(super) fn is_elsewhere(&mut self, id: &UnitId, address: Option<&str>) {
        if let Some(unit) = self.units.get_mut(id) {
            unit.elsewhere = address.map(str::to_owned);
        }
    }

    /// E6: it is out of use, without a penalty, and proves itself by its probes once it is where it is
    /// registered. The floor does not hold it, as nobody gets through to it.
    pub(super) fn end_what_is_elsewhere(&mut self, turn: &mut Turn<'_>) {
        let kind = Kind::Alarm(Alarm::Elsewhere);
        let is_elsewhere = |unit: &Unit| unit.lease == Lease::Live && unit.elsewhere.is_some();
        for id in self.names(|unit| !is_elsewhere(unit)) {
            self.lower_now(turn, &kind, Some(&id));
        }
        for id in self.names(is_elsewhere) {
            let unit = &self.units[&id];
            let (state, registered) = (unit.state, &unit.about.address);
            let Some(address) = &unit.elsewhere else { continue };
            let reason = format!(
                "the process that serves as {id} says that it is reached at {address}, and is registered at \
                 {registered}: end one of the two, if there are two; or `todoke pool register {id} --address \
                 {address}`; or, where {registered} leads to it, start it with `--advertise {registered}`"
            );
            self.raise(turn, Some(&id), Note::new(kind.clone(), Rule::E6, reason.clone()));
            if state.serves() || state == State::Probation {
                let to = if state == State::Healthy { State::Joining } else { State::Evicted };
                self.shift(turn, &id, to, Note::new(Kind::Leave, Rule::E6, reason));
            }
        }
    }
}
