//! How a batch's row looks to its owner, with the flags that hold at the moment of the answer.

use crate::{
    domain::{
        batch::{BatchState, BatchView, Counts, Flag, FlagOptions, flags},
        disposition::{Disposition, DispositionKind},
        ranges::Ranges,
    },
    store::BatchRow,
    wire::{convert::timestamp, pb},
};

use super::options::{Options, ms};

/// Returns how patient the flags are.
pub(crate) fn patience(options: &Options) -> FlagOptions {
    FlagOptions { stall_after_ms: ms(options.stall_after), stuck_after_ms: ms(options.stuck_after) }
}

/// Returns the flags of one batch.
pub(crate) fn flags_of(row: &BatchRow, options: &Options, now_ms: i64) -> Vec<Flag> {
    let view = BatchView {
        state: row.state,
        counts: row.counts,
        opened_ms: row.opened_ms,
        progress_ms: row.progress_ms,
        seal_by_ms: row.seal_by_ms,
        sealed_ms: row.sealed_ms,
        finished_ms: row.finished_ms,
        chunk_count: u64::from(row.chunk_count),
        chunks_stored: u64::from(row.chunks_stored),
        conflict_ms: row.conflict_ms,
        damaged_ms: row.damaged_ms,
        lease_live: row.lease_until_ms.is_some_and(|until| until > now_ms),
    };
    flags(&view, &patience(options), now_ms)
}

/// Returns the batch as its owner sees it.
pub(crate) fn batch(row: &BatchRow, options: &Options, now_ms: i64) -> pb::Batch {
    let flags = flags_of(row, options, now_ms).into_iter().map(|flag| pb::Flag {
        name: flag.kind.as_str().to_owned(),
        since_time: Some(timestamp(flag.since_ms)),
        detail: flag.detail,
    });
    pb::Batch {
        municipality_code: row.municipality.to_string(),
        batch_id: row.batch_id.to_string(),
        sequence: row.sequence,
        state: state(row.state).into(),
        attempt: row.attempt,
        record_count: row.record_count,
        chunk_records: row.chunk_records,
        chunk_count: row.chunk_count,
        manifest_digest: row.manifest_digest.as_bytes().to_vec(),
        counts: Some(counts(&row.counts)),
        flags: flags.collect(),
        open_time: Some(timestamp(row.opened_ms)),
        progress_time: Some(timestamp(row.progress_ms)),
        seal_by_time: Some(timestamp(row.seal_by_ms)),
        seal_time: row.sealed_ms.map(timestamp),
        finish_time: row.finished_ms.map(timestamp),
        chunks_worked: row.chunks_worked,
        discrepancy: row.discrepancy.clone().unwrap_or_default(),
    }
}

fn counts(counts: &Counts) -> pb::BatchCounts {
    pb::BatchCounts {
        missing: counts.missing,
        stored: counts.stored,
        accepted: counts.accepted,
        rejected: counts.rejected,
        duplicate: counts.duplicate,
        quarantined: counts.quarantined,
    }
}

fn state(state: BatchState) -> pb::BatchState {
    match state {
        BatchState::Announced => pb::BatchState::Announced,
        BatchState::Receiving => pb::BatchState::Receiving,
        BatchState::Sealed => pb::BatchState::Sealed,
        BatchState::Importing => pb::BatchState::Importing,
        BatchState::Reconciling => pb::BatchState::Reconciling,
        BatchState::Accepted => pb::BatchState::Accepted,
        BatchState::AcceptedWithRejects => pb::BatchState::AcceptedWithRejects,
        BatchState::Discrepant => pb::BatchState::Discrepant,
        BatchState::Repairing => pb::BatchState::Repairing,
        BatchState::Aborted => pb::BatchState::Aborted,
    }
}

/// Returns one line of the list of dispositions.
pub(crate) fn disposition(one: Disposition) -> pb::Disposition {
    let kind = match one.kind {
        DispositionKind::Accepted => pb::DispositionKind::Accepted,
        DispositionKind::Rejected => pb::DispositionKind::Rejected,
        DispositionKind::Duplicate => pb::DispositionKind::Duplicate,
        DispositionKind::Quarantined => pb::DispositionKind::Quarantined,
    };
    let (batch, index) = one.duplicate_of.map_or((String::new(), 0), |(id, index)| (id.to_string(), index));
    pb::Disposition {
        index: one.index,
        order_id: one.order_id,
        kind: kind.into(),
        code: one.code.unwrap_or_default(),
        field: one.field.unwrap_or_default(),
        duplicate_of_batch_id: batch,
        duplicate_of_index: index,
    }
}

/// Returns chunk numbers as ranges of the wire.
pub(crate) fn chunk_ranges(ranges: &Ranges) -> Vec<pb::ChunkRange> {
    let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    ranges.iter().map(|(first, last)| pb::ChunkRange { first: number(first), last: number(last) }).collect()
}

/// Returns the record ranges that the missing chunks of a grid leave, and how many records they are.
pub(crate) fn missing_records(durable: &Ranges, row: &BatchRow) -> (Vec<(u64, u64)>, u64) {
    let size = u64::from(row.chunk_records);
    let mut count = 0;
    let gaps = durable.missing(u64::from(row.chunk_count));
    let ranges = gaps.iter().map(|(first, last)| {
        let range = (first * size, ((last + 1) * size).min(row.record_count) - 1);
        count += range.1 - range.0 + 1;
        range
    });
    let ranges = ranges.collect();
    (ranges, count)
}
