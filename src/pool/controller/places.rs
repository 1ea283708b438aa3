//! Where a unit's process says that it is reached is told to the policy whenever that is news.

use super::intake::Intake;
use crate::{
    pool::{
        evidence::UnitId,
        policy::{Fact, Policy},
    },
    wire::pb::UnitAttributes,
};

/// Characters of an address that are kept: a host name has at most 253.
const ADDRESS_MAX: usize = 260;

impl Intake {
    /// The process that asks for a unit's lease says this of itself.
    pub(super) fn is_at(&mut self, policy: &Policy, unit: &UnitId, said: Option<&UnitAttributes>) {
        let Some(known) = policy.units().get(unit) else { return };
        let said = said.map(|said| said.address.as_str()).filter(|address| !address.is_empty());
        let other = said.filter(|address| !known.about.may_be_at(address));
        let address: Option<String> = other.map(|address| address.chars().take(ADDRESS_MAX).collect());
        self.facts.retain(|fact| !matches!(fact, Fact::Elsewhere { unit: of, .. } if of == unit));
        if known.elsewhere != address {
            self.facts.push(Fact::Elsewhere { unit: unit.clone(), address });
        }
    }
}
