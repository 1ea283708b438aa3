//! Nothing stalls in silence: a round looks at every open batch, and at every one that is damaged, and leaves
//! a heartbeat.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use crate::{
    domain::{
        batch::{Flag, FlagKind},
        batch_id::BatchId,
        date::japan,
        municipality::MunicipalityCode,
    },
    store::{self, BatchRow, Standing},
    telemetry::names,
};

use super::{compare, core::Core, expected, ledger, options::ms, view};

/// The name of the heartbeat that another process may look at.
pub const HEARTBEAT: &str = "sweeper";
/// A sweeper that was silent for longer looks at nothing any more: municipalities are told, and
/// deploy/alerts.yml raises an alarm. It is the same for all, so that no client has to be told of it.
pub const SILENT_MAX: Duration = Duration::from_secs(60);
/// By how much the clocks of two issuers may differ, in ms, before it looks as if one was set back.
const CLOCKS_APART_MAX_MS: i64 = 5_000;
/// Batches read together.
const PAGE: u32 = 500;
/// Municipalities that are named in one round, with holes or with receipts still to be compared.
const MUNICIPALITIES_MAX: u32 = 2000; // there are 1,741
/// Batches that are counted anew in one round.
const MISCOUNTED_MAX: u32 = 10;
/// Lost batches that are named in one round.
const LOST_MAX: u32 = 20_000;
/// Raised flags that are remembered, so that each is told once; beyond, they are told again in each round,
/// and the gauge does not count them.
const RAISED_MAX: usize = 100_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Raised {
    municipality: MunicipalityCode,
    batch: Option<BatchId>,
    kind: FlagKind,
    /// What else tells two of a kind apart: the highest number missing of a sequence, a restore, a due
    /// moment.
    which: u64,
}

/// Looks whether the clock was set back since the last round, or since this database was last swept by
/// whatever clock, and then forgets the moments that have not come yet. A clock that was set forward only
/// ends leases early and raises flags early: the epoch of a lease keeps that safe, and the next progress
/// takes the flags down.
pub(crate) async fn set_back(core: &Core, last_ms: &mut Option<i64>) -> Result<(), store::Error> {
    let now_ms = core.clock.now_ms();
    let (before, apart_ms) = match *last_ms {
        Some(before) => (Some(before), 0),
        None => (core.store.heartbeat(HEARTBEAT).await?, CLOCKS_APART_MAX_MS),
    };
    if let Some(before) = before.filter(|before| now_ms + apart_ms < *before) {
        let wait_max = core.options.lease.max(core.options.retry.1);
        let rows = core.store.pull_back(now_ms, ms(wait_max)).await?;
        metrics::counter!(names::CLOCK_SET_BACK).increment(1);
        tracing::warn!(
            by_ms = before - now_ms,
            rows,
            "the clock was set back by {} ms: {rows} moments of open batches lay ahead of it",
            before - now_ms
        );
    }
    *last_ms = Some(now_ms);
    Ok(())
}

/// Looks at everything that is open, and at what is accepted and damaged, once.
pub(crate) async fn round(core: &Core, raised: &mut HashSet<Raised>) -> Result<(), store::Error> {
    counted(core).await?;
    let mut standing = HashSet::new();
    let mut after = None;
    loop {
        let page = core.store.open_batches(after, PAGE).await?;
        of_batches(core, &page.rows, &mut standing, raised);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    loop {
        let page = core.store.damaged_batches(after, PAGE).await?;
        of_batches(core, &page.rows, &mut standing, raised);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let mut with_holes = HashSet::new();
    for holes in core.store.municipalities_with_holes(MUNICIPALITIES_MAX).await? {
        let municipality = holes.municipality;
        with_holes.insert(municipality);
        let detail =
            format!("{} sequence numbers were never opened, the highest is {}", holes.count, holes.highest);
        let flag = Flag { kind: FlagKind::SequenceHole, since_ms: core.clock.now_ms(), detail };
        let key = Raised { municipality, batch: None, kind: flag.kind, which: holes.highest };
        stand(&mut standing, raised, key, &flag);
    }
    after_a_restore(core, &mut standing, raised).await?;
    expected_and_missing(core, &mut standing, raised).await?;
    for cleared in over(raised, &standing, &with_holes) {
        let batch = cleared.batch.map(|id| id.to_string()).unwrap_or_default();
        tracing::info!(municipality.code = %cleared.municipality, batch.id = batch,
            flag = cleared.kind.as_str(), "{} of {} is over", cleared.kind, cleared.municipality);
    }
    gauges(&standing);
    *raised = standing;
    core.store.write_heartbeat(HEARTBEAT, core.clock.now_ms()).await
}

/// Returns what stood in the last round and does not in this one; nothing while there is too much to
/// remember, since what is missing may be what was left out.
fn over<'a>(
    before: &'a HashSet<Raised>,
    standing: &'a HashSet<Raised>,
    with_holes: &'a HashSet<MunicipalityCode>,
) -> impl Iterator<Item = &'a Raised> {
    let known = standing.len() < RAISED_MAX;
    before.difference(standing).filter(move |one| {
        // Where there still are holes, only the highest is another one now.
        known && !(one.kind == FlagKind::SequenceHole && with_holes.contains(&one.municipality))
    })
}

/// Sets batches right that count chunks as stored which are not there: nobody may open or seal them for long.
async fn counted(core: &Core) -> Result<(), store::Error> {
    for batch in core.store.miscounted_batches(MISCOUNTED_MAX).await? {
        let (municipality, id) = (batch.municipality, batch.batch_id);
        if let Err(fault) = ledger::set_right(core, municipality, id).await {
            tracing::error!(municipality.code = %municipality, batch.id = %id, %fault,
                "batch {id} counts what is not stored, and cannot be set right now: {fault}");
        }
    }
    Ok(())
}

/// Notes the flags of these batches.
fn of_batches(core: &Core, rows: &[BatchRow], standing: &mut HashSet<Raised>, raised: &HashSet<Raised>) {
    let now_ms = core.clock.now_ms();
    for row in rows {
        for flag in view::flags_of(row, &core.options, now_ms) {
            let (municipality, batch) = (row.municipality, Some(row.batch_id));
            stand(standing, raised, Raised { municipality, batch, kind: flag.kind, which: 0 }, &flag);
        }
    }
}

/// Whose receipts are still to be compared, and what has to come again.
async fn after_a_restore(
    core: &Core,
    standing: &mut HashSet<Raised>,
    raised: &HashSet<Raised>,
) -> Result<(), store::Error> {
    let Some(restore) = core.store.restored().await? else {
        compare::progress(std::iter::empty());
        return Ok(());
    };
    let compared = core.store.comparisons(MUNICIPALITIES_MAX).await?;
    for one in compared.iter().filter(|one| one.standing == Standing::Waiting) {
        let (kind, municipality) = (FlagKind::ReconcileFirst, one.municipality);
        let detail = format!("its receipts were not compared since restore {}", restore.id);
        let flag = Flag { kind, since_ms: restore.marked_ms, detail };
        stand(standing, raised, Raised { municipality, batch: None, kind, which: restore.id }, &flag);
    }
    compare::progress(compared.iter().map(|one| one.standing));
    for lost in core.store.lost_batches(LOST_MAX).await? {
        let (kind, municipality) = (FlagKind::LostBatch, lost.municipality);
        let detail = format!(
            "batch {}, sequence {}, of {} records was accepted before the restore and has not come again",
            lost.batch_id, lost.sequence, lost.record_count
        );
        let flag = Flag { kind, since_ms: lost.told_ms, detail };
        stand(standing, raised, Raised { municipality, batch: Some(lost.batch_id), kind, which: 0 }, &flag);
    }
    Ok(())
}

/// What the calendar expected and nobody sent.
async fn expected_and_missing(
    core: &Core,
    standing: &mut HashSet<Raised>,
    raised: &HashSet<Raised>,
) -> Result<(), store::Error> {
    core.expected.refresh();
    for (municipality, due) in expected::missing(core).await? {
        let kind = FlagKind::ExpectedBatchMissing;
        let note = if due.note.is_empty() { String::new() } else { format!(" ({})", due.note) };
        let detail = format!("a batch{note} was due by {} and none was opened", japan(due.at_ms));
        let flag = Flag { kind, since_ms: due.at_ms, detail };
        let which = due.at_ms.unsigned_abs();
        stand(standing, raised, Raised { municipality, batch: None, kind, which }, &flag);
    }
    Ok(())
}

/// Notes a flag that holds; one that is new is told once.
fn stand(standing: &mut HashSet<Raised>, before: &HashSet<Raised>, key: Raised, flag: &Flag) {
    if standing.len() < RAISED_MAX {
        standing.insert(key);
    }
    if before.contains(&key) {
        return;
    }
    metrics::counter!(names::FLAGS_RAISED, names::FLAG => flag.kind.as_str()).increment(1);
    let batch = key.batch.map(|id| id.to_string()).unwrap_or_default();
    tracing::error!(municipality.code = %key.municipality, batch.id = batch,
        flag = flag.kind.as_str(), since_ms = flag.since_ms,
        "{} at {}: {}", flag.kind, key.municipality, flag.detail);
}

/// Shows how many flags of each kind stand.
pub(crate) fn gauges(standing: &HashSet<Raised>) {
    let mut counts: BTreeMap<FlagKind, u32> = FlagKind::ALL.iter().map(|kind| (*kind, 0)).collect();
    for one in standing {
        *counts.entry(one.kind).or_default() += 1;
    }
    for (kind, count) in counts {
        metrics::gauge!(names::FLAGS, names::FLAG => kind.as_str()).set(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_over_because_there_is_too_much_to_remember() {
        let municipality: MunicipalityCode = "131229".parse().expect("Katsushika");
        let due = |which| Raised { municipality, batch: None, kind: FlagKind::ExpectedBatchMissing, which };
        let hole = |which| Raised { kind: FlagKind::SequenceHole, ..due(which) };
        let over = |before: &[Raised], standing: &HashSet<Raised>, with_holes: &[MunicipalityCode]| {
            let (before, with_holes) =
                (before.iter().copied().collect(), with_holes.iter().copied().collect());
            super::over(&before, standing, &with_holes).copied().collect::<Vec<_>>()
        };
        let mut standing: HashSet<Raised> = (0..RAISED_MAX as u64).map(due).collect();
        let left_out = due(u64::MAX);
        assert_eq!(over(&[left_out, due(1)], &standing, &[]), []);
        standing.remove(&due(0));
        assert_eq!(over(&[left_out, due(1)], &standing, &[]), [left_out]);
        assert_eq!(over(&[hole(3)], &standing, &[municipality]), [], "another hole is the highest");
        assert_eq!(over(&[hole(3)], &standing, &[]), [hole(3)]);
    }
}
