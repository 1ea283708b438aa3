//! What an observer reported is read whole, or refused with the field that is wrong.

use crate::{
    pool::evidence::{Bucket, Class, Latencies, Observer},
    wire::{
        fault::{Fault, Reason},
        pb::{EvidenceBucket, EvidenceClass},
    },
};

/// Reads what an observer said of one second.
///
/// # Errors
/// `FIELD_INVALID` with the place in the report.
pub(super) fn bucket(observer: &Observer, at: usize, said: &EvidenceBucket) -> Result<Bucket, Fault> {
    let fault = |field: &str, what: &str| {
        let field = format!("buckets[{at}].{field}");
        Fault::new(Reason::FieldInvalid, format!("{field} {what}")).violation(field, what)
    };
    let class = match said.class() {
        EvidenceClass::Traffic => Class::Traffic,
        EvidenceClass::Probe => Class::Probe,
        EvidenceClass::Unspecified => return Err(fault("class", "must be TRAFFIC or PROBE")),
    };
    if said.bad_count > said.call_count {
        return Err(fault("bad_count", "must not be more than call_count"));
    }
    if said.latencies.len() > Latencies::PLACES {
        return Err(fault("latencies", "must have at most 34 places"));
    }
    let caller = match said.caller.as_str() {
        "" => None,
        code => Some(code.parse().map_err(|_| fault("caller", "must be a municipality's code, or empty"))?),
    };
    let latencies = Latencies(said.latencies.clone());
    Ok(Bucket {
        second: u64::try_from(said.second).map_err(|_| fault("second", "must be of after 1970"))?,
        observer: observer.clone(),
        unit: said.unit.parse().map_err(|_| fault("unit", "must be a unit's name"))?,
        class,
        caller,
        n: said.call_count,
        bad: said.bad_count,
        latencies: (caller.is_none() && !latencies.0.is_empty()).then_some(latencies),
    })
}
