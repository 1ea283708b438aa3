//! Where a unit's process says that it is reached is told to the policy if another process, started earlier,
//! runs under the same name. Its word alone takes nobody out of use: behind a translated address it may well
//! be reached where it is registered, and if it is not, its probes say so.

use super::intake::{Intake, LEASE_MS};
use crate::{
    pool::{
        evidence::UnitId,
        policy::{Fact, Policy},
    },
    wire::pb::UnitAttributes,
};

/// Characters of an address that are kept: a host name has at most 253.
const ADDRESS_MAX: usize = 260;

/// As much of an address as is kept.
pub(super) fn kept(address: &str) -> String {
    address.chars().take(ADDRESS_MAX).collect()
}

impl Intake {
    /// Takes in what the process that asks for a unit's lease says of its address.
    pub(super) fn take_address(
        &mut self,
        policy: &Policy,
        unit: &UnitId,
        said: Option<&UnitAttributes>,
        now_ms: i64,
    ) {
        let Some(known) = policy.units().get(unit) else { return };
        let said = said.map(|said| said.address.as_str()).filter(|address| !address.is_empty());
        let other = said.filter(|address| !known.about.may_be_at(address));
        let other = other.map(kept);
        match &other {
            Some(address) => drop(self.addresses.insert(unit.clone(), address.clone())),
            None => drop(self.addresses.remove(unit)),
        }
        let asked = self.units.get(unit).filter(|asked| !asked.leaving);
        let older_ms = asked.and_then(|asked| asked.older_ms);
        let address = other.filter(|_| older_ms.is_some_and(|older_ms| now_ms - older_ms <= LEASE_MS));
        self.facts.retain(|fact| !matches!(fact, Fact::Elsewhere { unit: of, .. } if of == unit));
        if known.elsewhere != address {
            self.facts.push(Fact::Elsewhere { unit: unit.clone(), address });
        }
    }
}
