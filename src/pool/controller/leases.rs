//! Who is probed how often, and whose lease is given.

use super::{Controller, Core, intake::LEASE_MS};
use crate::{
    pool::{
        evidence::UnitId,
        notes::Lease,
        policy::{State, Unit},
    },
    wire::pb::ProbeTarget,
};

/// Mean time between two deep probes of one observer, in ms: of a unit that nothing is known against, and of
/// one that something is to be found out about.
const EVERY_MS: (u32, u32) = (5_000, 1_000);

/// Time between two shallow probes of one observer, in ms, give or take a tenth.
const SHALLOW_EVERY_MS: u32 = 1_000;

/// How long a process that gave its lease back, and reports so each second, has to be silent to be gone, in
/// ms.
const LEFT_MS: i64 = 3_000;

impl Core {
    /// Whether a process reports for a unit, as far as can be told: one that may only be silent for a moment
    /// does, too.
    pub(super) fn is_heard(&self, unit: &UnitId, now_ms: i64) -> bool {
        self.intake.units.get(unit).is_some_and(|asked| {
            let silent_ms = if asked.leaving { LEFT_MS } else { LEASE_MS };
            now_ms - asked.last_ms <= silent_ms
        })
    }

    /// The units that an observer is to probe: all but itself.
    pub(super) fn targets(&self, observer: Option<&UnitId>) -> Vec<ProbeTarget> {
        let others = self.policy.units().values().filter(|unit| Some(unit.id()) != observer);
        let target = |unit: &Unit| ProbeTarget {
            unit: unit.id().to_string(),
            address: unit.about.address.clone(),
            deep_every_ms: self.probe_every_ms(unit),
            shallow_every_ms: if self.policy.may_probe(unit.id()) { SHALLOW_EVERY_MS } else { 0 },
            threshold_us: self.judge.threshold_us(unit.id()),
        };
        others.map(target).collect()
    }

    pub(super) fn probe_every_ms(&self, unit: &Unit) -> u32 {
        let (slow, fast) = EVERY_MS;
        if !self.policy.may_probe(unit.id()) {
            return 0;
        }
        match unit.state {
            State::Joining | State::Probation | State::Returning(_) | State::Suspect => fast,
            _ if self.is_beside_a_suspect(unit) => fast,
            _ => slow,
        }
    }

    /// Whether this unit is suspect, or beside one that is: its peer in a small pool, and in a large one of
    /// those that may share something with it.
    fn is_beside_a_suspect(&self, unit: &Unit) -> bool {
        let suspect = |id: &UnitId| self.judgement.units.get(id).is_some_and(|judged| judged.suspect);
        if suspect(unit.id()) {
            return true;
        }
        let few = self.policy.judged().count() <= self.policy.parameters().probe_peers_max;
        let peers = few && unit.state.serves();
        // What is unknown of both may be the same.
        let named = unit.about.named();
        let shared = |(name, value): (&String, &String)| named.get(name) == Some(value);
        let near = |other: &&Unit| peers || other.about.named().iter().any(shared);
        self.policy.units().values().filter(near).any(|other| suspect(other.id()))
    }

    /// The lease of a unit that asks for it now, if it may have one; else why not.
    pub(super) fn lease(&self, unit: &UnitId, now_ms: i64) -> Result<Lease, String> {
        let Some(known) = self.policy.units().get(unit) else {
            let why = self.refusals.why(unit).map(|why| format!(", and it may not do so itself: {why}"));
            return Err(format!("nobody registered it (`todoke pool register`){}", why.unwrap_or_default()));
        };
        if !self.policy.grants_lease(unit) || known.state == State::Probation {
            return Err(format!("{}: {}", known.state, known.why.words));
        }
        let (unit, generation, epoch) = (unit.clone(), known.generation, self.epoch);
        Ok(Lease { unit, generation, epoch, from_ms: now_ms, until_ms: now_ms + LEASE_MS })
    }
}

impl Controller {
    /// Signs a text with the issuer's key.
    pub(super) fn signed(&self, text: &str) -> Vec<u8> {
        (self.0.sign)(text)
    }
}
