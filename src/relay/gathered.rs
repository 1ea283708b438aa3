//! What a relay saw since its last report is taken once, by caller and by unit; so many callers are named,
//! and no more.

use std::sync::Arc;

use crate::{
    domain::municipality::MunicipalityCode,
    pool::{
        evidence::{Latencies, UnitId},
        prober::Prober,
    },
    wire::pb::{EvidenceBucket, EvidenceClass, ShallowProbes},
};

use super::{
    report::Reporting,
    shard::{Shard, Shared},
};

/// Callers of a second that are named; all others are counted together.
const CALLERS_MAX: usize = 16;

/// What was seen since the last time, of calls and of other units.
pub(super) fn collect(
    shared: &Shared,
    shards: &[Arc<Shard>],
    reporting: &Reporting,
    second: i64,
) -> Vec<EvidenceBucket> {
    let own = reporting.unit.as_str();
    let mut callers: Vec<(MunicipalityCode, (u32, u32))> = Vec::new();
    let mut rest = shared.common.others.take();
    shared.recorder.seen(rest.0, rest.1);
    for (caller, seen) in shared.admission.take_seen() {
        shared.recorder.seen(seen.0, seen.1);
        if let Some(municipality) = caller.municipality() {
            callers.push((municipality, seen));
        }
    }
    callers.sort_by_key(|(code, (n, bad))| (std::cmp::Reverse((*bad, *n)), *code));
    for (_, (n, bad)) in callers.drain(CALLERS_MAX.min(callers.len())..) {
        rest = (rest.0.saturating_add(n), rest.1.saturating_add(bad));
    }
    let mut latencies = Latencies::default();
    shards.iter().for_each(|shard| shard.seen().take(&mut latencies));
    let mut buckets = vec![bucket(second, own, EvidenceClass::Traffic, "", rest, latencies.0)];
    for (code, seen) in callers {
        buckets.push(bucket(second, own, EvidenceClass::Traffic, &code.to_string(), seen, Vec::new()));
    }
    // What a caller says of this relay over this relay is no sight of its own.
    let complaints = shared.common.take_complaints().into_iter().filter(|(unit, _)| *unit != reporting.unit);
    for (unit, code) in complaints {
        let (unit, code) = (unit.as_str(), code.to_string());
        buckets.push(bucket(second, unit, EvidenceClass::Traffic, &code, (1, 1), Vec::new()));
    }
    for (unit, probed) in reporting.prober.take() {
        let (seen, latencies) = ((probed.n, probed.bad), probed.latencies.0);
        buckets.push(bucket(second, unit.as_str(), EvidenceClass::Probe, "", seen, latencies));
    }
    buckets.retain(|bucket| bucket.call_count > 0 || bucket.latencies.iter().any(|n| *n > 0));
    buckets
}

/// What shallow probes found since the last time; an issuer that does not hear it now never will.
pub(super) fn shallow(prober: &Prober) -> Vec<ShallowProbes> {
    let of = |(unit, (call_count, bad_count)): (UnitId, (u32, u32))| ShallowProbes {
        unit: unit.to_string(),
        call_count,
        bad_count,
    };
    prober.take_shallow().into_iter().map(of).collect()
}

fn bucket(
    second: i64,
    unit: &str,
    class: EvidenceClass,
    caller: &str,
    (n, bad): (u32, u32),
    latencies: Vec<u32>,
) -> EvidenceBucket {
    let (unit, caller) = (unit.to_owned(), caller.to_owned());
    EvidenceBucket { second, unit, class: class.into(), caller, call_count: n, bad_count: bad, latencies }
}
