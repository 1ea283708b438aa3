//! What observers saw of units: buckets of one second, which say how many calls there were and how many of
//! them went wrong in a way that a relay can cause.

use std::fmt;

use serde::{Deserialize, Serialize};

pub use crate::domain::unit::UnitId;
use crate::domain::{
    identity::{Identity, Role},
    municipality::MunicipalityCode,
};

/// Who measured: a relay or an issuer. Displays as `relay/relay-2`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Observer(Identity);

/// Only relays and issuers observe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no observer: only relay/NAME and issuer/NAME are")]
pub struct NoObserver(String);

impl Observer {
    /// The observer that this identity is.
    ///
    /// # Errors
    /// [`NoObserver`] for any other role.
    pub fn new(identity: Identity) -> Result<Self, NoObserver> {
        match identity.role() {
            Role::Relay | Role::Issuer => Ok(Self(identity)),
            _ => Err(NoObserver(identity.to_string())),
        }
    }

    /// Its identity.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.0
    }

    /// Whether what it says of callers' calls on a unit is only what callers told it: a relay sees its own.
    #[must_use]
    pub fn has_hearsay_of(&self, unit: &UnitId) -> bool {
        self.0.role() == Role::Relay && !self.is(unit)
    }

    /// Whether it is the unit itself, speaking of itself.
    #[must_use]
    pub fn is(&self, unit: &UnitId) -> bool {
        self.0.role() == Role::Relay && self.0.name() == unit.as_str()
    }
}

impl TryFrom<String> for Observer {
    type Error = NoObserver;

    fn try_from(text: String) -> Result<Self, NoObserver> {
        Self::new(text.parse().map_err(|_| NoObserver(text))?)
    }
}

impl From<Observer> for String {
    fn from(observer: Observer) -> String {
        observer.0.to_string()
    }
}

impl fmt::Display for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What kind of call was seen. The order is that of every table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A caller's own.
    Traffic,
    /// A deep probe: a call without effect through the relay to an issuer and back.
    Probe,
}

/// How many calls took how long. The bound of place i is 1 ms · 2^(i/2); what took longer is in the last.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Latencies(
    /// Counts, of at most [`Latencies::PLACES`]; places that are left out are 0.
    pub Vec<u32>,
);

impl Latencies {
    /// Places of a histogram: the last bound is some 92 s.
    pub const PLACES: usize = 34;

    /// The place of a call that took so many microseconds.
    #[must_use]
    pub fn place(us: u64) -> usize {
        // 2^(i/2) ms, squared, so that no root is taken: bound² = 2^i ms².
        let square = u128::from(us) * u128::from(us);
        let over = |i: &usize| square > (1_000_000u128 << i);
        (0..Self::PLACES - 1).find(|i| !over(i)).unwrap_or(Self::PLACES - 1)
    }

    /// The upper bound of a place, in microseconds.
    #[must_use]
    pub fn bound_us(place: usize) -> u64 {
        (1_000_000u64 << place).isqrt()
    }

    /// Counts one call.
    pub fn add(&mut self, us: u64) {
        let place = Self::place(us);
        if self.0.len() <= place {
            self.0.resize(place + 1, 0);
        }
        self.0[place] = self.0[place].saturating_add(1);
    }
}

/// What one observer saw of one unit within one second.
///
/// `bad` counts calls that failed for a reason that a relay can cause, or that are older than the unit's
/// threshold, finished or still in flight: those count once, in the second in which their age passes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// The second, by the observer's clock, since 1970.
    pub second: u64,
    /// Who saw it.
    pub observer: Observer,
    /// Of which unit.
    pub unit: UnitId,
    /// What kind of calls.
    pub class: Class,
    /// Whose calls they were, for the heaviest callers of a second; `None` for all others together.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub caller: Option<MunicipalityCode>,
    /// Calls.
    pub n: u32,
    /// Bad ones of them: at most `n`.
    pub bad: u32,
    /// How long those took that ended; of all callers together, so only where `caller` is `None`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub latencies: Option<Latencies>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_stands_in_the_first_place_whose_bound_it_does_not_pass() {
        for place in 0..Latencies::PLACES - 1 {
            let bound = Latencies::bound_us(place);
            assert_eq!(Latencies::place(bound - 1), place, "{bound}");
            assert_eq!(Latencies::place(bound + 1), place + 1, "{bound}");
        }
        assert_eq!(Latencies::place(u64::MAX), Latencies::PLACES - 1);
    }

    #[test]
    fn only_relays_and_issuers_observe() {
        for (text, observes) in
            [("relay/r", true), ("issuer/i", true), ("operator/alice", false), ("", false)]
        {
            assert_eq!(Observer::try_from(text.to_owned()).is_ok(), observes, "{text}");
        }
    }
}
