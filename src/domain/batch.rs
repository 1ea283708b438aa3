//! The life of a batch: which step may follow which, what has become of its records, and which conditions
//! need somebody's eyes.

use std::{fmt, str::FromStr};

/// Where a batch is. Only RECONCILING reaches ACCEPTED.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BatchState {
    /// The manifest is stored, no chunk yet.
    Announced,
    /// Chunks are coming in.
    Receiving,
    /// Everything is there and adds up; waits for a worker.
    Sealed,
    /// A worker makes orders of the chunks.
    Importing,
    /// Every total is recomputed from the orders.
    Reconciling,
    /// Every sum closed; there is a receipt.
    Accepted,
    /// The same, with rejects within the policy.
    AcceptedWithRejects,
    /// Something does not add up; its owner has to decide.
    Discrepant,
    /// To be worked off again from the stored chunks.
    Repairing,
    /// Given up by its owner.
    Aborted,
}

/// What can happen to a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BatchCommand {
    /// A chunk becomes durable.
    StoreChunk,
    /// Nothing is missing and every total is the one declared.
    Seal,
    /// A worker takes it, for the first time or after another lost its lease.
    Work,
    /// Every chunk is worked off.
    Reconcile,
    /// Every sum closes.
    Accept,
    /// Every sum closes, and the rejects are within the policy.
    AcceptWithRejects,
    /// Something does not add up.
    FindDiscrepancy,
    /// Its owner asks for another attempt.
    Repair,
    /// The same, and chunks have to be sent again first.
    SendAgain,
    /// Its owner gives it up.
    Abort,
}

/// The command is not for a batch in this state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a batch that is {state} cannot take {command:?}: ask for its state and decide again")]
pub struct IllegalTransition {
    /// Where the batch is.
    pub state: BatchState,
    /// What was asked for.
    pub command: BatchCommand,
}

/// The word is no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a state of a batch in capitals, such as ACCEPTED")]
pub struct BadBatchState;

impl BatchState {
    /// Every state, in the order of the life.
    pub const ALL: [BatchState; 10] = [
        BatchState::Announced,
        BatchState::Receiving,
        BatchState::Sealed,
        BatchState::Importing,
        BatchState::Reconciling,
        BatchState::Accepted,
        BatchState::AcceptedWithRejects,
        BatchState::Discrepant,
        BatchState::Repairing,
        BatchState::Aborted,
    ];

    /// Returns the state after `command`. Pure, so the whole table is tested in one place.
    ///
    /// # Errors
    /// [`IllegalTransition`] for a pair that is not in the table.
    pub fn after(self, command: BatchCommand) -> Result<Self, IllegalTransition> {
        use BatchCommand as Do;
        use BatchState as Is;
        match (self, command) {
            (Is::Announced | Is::Receiving, Do::StoreChunk) | (Is::Discrepant, Do::SendAgain) => {
                Ok(Is::Receiving)
            }
            // A batch without records is sealed as soon as it is announced.
            (Is::Announced | Is::Receiving, Do::Seal) => Ok(Is::Sealed),
            (Is::Sealed | Is::Repairing | Is::Importing, Do::Work) => Ok(Is::Importing),
            // A worker that takes it over goes on where the last commit was.
            (Is::Reconciling, Do::Work) | (Is::Importing | Is::Reconciling, Do::Reconcile) => {
                Ok(Is::Reconciling)
            }
            (Is::Reconciling, Do::Accept) => Ok(Is::Accepted),
            (Is::Reconciling, Do::AcceptWithRejects) => Ok(Is::AcceptedWithRejects),
            (
                Is::Announced | Is::Receiving | Is::Sealed | Is::Importing | Is::Reconciling | Is::Repairing,
                Do::FindDiscrepancy,
            ) => Ok(Is::Discrepant),
            (Is::Discrepant, Do::Repair) => Ok(Is::Repairing),
            (Is::Accepted | Is::AcceptedWithRejects, Do::Abort) => {
                Err(IllegalTransition { state: self, command })
            }
            (_, Do::Abort) => Ok(Is::Aborted),
            (state, command) => Err(IllegalTransition { state, command }),
        }
    }

    /// Whether it changes no more unless its owner acts: accepted, aborted or discrepant.
    #[must_use]
    pub fn is_final(self) -> bool {
        match self {
            BatchState::Accepted
            | BatchState::AcceptedWithRejects
            | BatchState::Discrepant
            | BatchState::Aborted => true,
            BatchState::Announced
            | BatchState::Receiving
            | BatchState::Sealed
            | BatchState::Importing
            | BatchState::Reconciling
            | BatchState::Repairing => false,
        }
    }

    /// The word of the design, such as `ACCEPTED`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            BatchState::Announced => "ANNOUNCED",
            BatchState::Receiving => "RECEIVING",
            BatchState::Sealed => "SEALED",
            BatchState::Importing => "IMPORTING",
            BatchState::Reconciling => "RECONCILING",
            BatchState::Accepted => "ACCEPTED",
            BatchState::AcceptedWithRejects => "ACCEPTED_WITH_REJECTS",
            BatchState::Discrepant => "DISCREPANT",
            BatchState::Repairing => "REPAIRING",
            BatchState::Aborted => "ABORTED",
        }
    }
}

impl fmt::Display for BatchState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for BatchState {
    type Err = BadBatchState;

    fn from_str(text: &str) -> Result<Self, BadBatchState> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(BadBatchState)
    }
}

/// Records of a batch by what has become of them: each is in exactly one, at every moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Announced, and not there.
    pub missing: u64,
    /// Durable in a chunk, and not worked off.
    pub stored: u64,
    /// Orders.
    pub accepted: u64,
    /// Refused, each by index, order id, field and code.
    pub rejected: u64,
    /// There already.
    pub duplicate: u64,
    /// Kept apart until a human has looked.
    pub quarantined: u64,
}

impl Counts {
    /// The sum, which must be the number of records of the batch; `None` if it is beyond any number.
    #[must_use]
    pub fn sum(&self) -> Option<u64> {
        let Self { missing, stored, accepted, rejected, duplicate, quarantined } = *self;
        [missing, stored, accepted, rejected, duplicate, quarantined]
            .into_iter()
            .try_fold(0, u64::checked_add)
    }
}

/// A condition that needs somebody's eyes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FlagKind {
    /// Nothing has moved for too long, and nobody is at work.
    Stalled,
    /// It should have been sealed by now.
    Overdue,
    /// It is sealed and not accepted for too long.
    Stuck,
    /// A batch of the sequence never came.
    SequenceHole,
    /// A chunk came with other content than announced.
    Conflict,
    /// The database was restored, and the municipality's receipts were not compared since.
    ReconcileFirst,
    /// A batch that was accepted once is not here any more, and has not come again.
    LostBatch,
    /// A batch of the calendar is due and did not come.
    ExpectedBatchMissing,
    /// A part of it was damaged in the database.
    Damaged,
}

impl FlagKind {
    /// Every kind.
    pub const ALL: [FlagKind; 9] = [
        FlagKind::Stalled,
        FlagKind::Overdue,
        FlagKind::Stuck,
        FlagKind::SequenceHole,
        FlagKind::Conflict,
        FlagKind::ReconcileFirst,
        FlagKind::LostBatch,
        FlagKind::ExpectedBatchMissing,
        FlagKind::Damaged,
    ];

    /// The name in the API, in metrics and in logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            FlagKind::Stalled => "stalled",
            FlagKind::Overdue => "overdue",
            FlagKind::Stuck => "stuck",
            FlagKind::SequenceHole => "sequence-hole",
            FlagKind::Conflict => "conflict",
            FlagKind::ReconcileFirst => "reconcile-first",
            FlagKind::LostBatch => "lost-batch",
            FlagKind::ExpectedBatchMissing => "expected-batch-missing",
            FlagKind::Damaged => "damaged",
        }
    }
}

impl fmt::Display for FlagKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A condition that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// Which.
    pub kind: FlagKind,
    /// Since when it has been so, ms since the Unix epoch: the last thing that moved, the moment that passed.
    pub since_ms: i64,
    /// In words, with numbers and without personal data.
    pub detail: String,
}

/// How patient the flags are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlagOptions {
    /// Least time without progress that counts as stalled; ten times as long counts however slow a batch was.
    pub stall_after_ms: i64,
    /// Longest time from seal to acceptance.
    pub stuck_after_ms: i64,
}

/// What flags are derived from. Times are ms since the Unix epoch, by the database's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchView {
    /// Where the batch is.
    pub state: BatchState,
    /// What has become of its records.
    pub counts: Counts,
    /// When it was opened.
    pub opened_ms: i64,
    /// When something last moved.
    pub progress_ms: i64,
    /// When it should be sealed at the latest.
    pub seal_by_ms: i64,
    /// When it was sealed.
    pub sealed_ms: Option<i64>,
    /// When it was last accepted, found discrepant or aborted.
    pub finished_ms: Option<i64>,
    /// Chunks announced.
    pub chunk_count: u64,
    /// Chunks that are durable.
    pub chunks_stored: u64,
    /// When a conflict was recorded.
    pub conflict_ms: Option<i64>,
    /// When a part of it was first found damaged in the database.
    pub damaged_ms: Option<i64>,
    /// Whether somebody is at work on it.
    pub lease_live: bool,
}

/// Returns the flags that hold at `now_ms`. They are derived and never stored, so that none can be forgotten.
///
/// A sequence hole is not a batch's own, nor is what was lost or never came: whoever sees the whole derives
/// it.
#[must_use]
pub fn flags(view: &BatchView, options: &FlagOptions, now_ms: i64) -> Vec<Flag> {
    let late = [stalled(view, options, now_ms), overdue(view, now_ms), stuck(view, options, now_ms)];
    late.into_iter().chain([conflict(view), damaged(view)]).flatten().collect()
}

/// A slow batch gets at most so many times `stall_after_ms`.
const SLOW_MAX: i64 = 10;

// The patience is five times the batch's own usual time for a chunk, at least the option and at most ten
// times that: one chunk that took a day must not buy five days of silence.
fn stalled(view: &BatchView, options: &FlagOptions, now_ms: i64) -> Option<Flag> {
    if view.state.is_final() || view.lease_live {
        return None;
    }
    let chunks = i64::try_from(view.chunks_stored).unwrap_or(i64::MAX).max(1);
    let usual_ms = view.progress_ms.saturating_sub(view.opened_ms).max(0) / chunks;
    let patience_ms = usual_ms
        .saturating_mul(5)
        .min(options.stall_after_ms.saturating_mul(SLOW_MAX))
        .max(options.stall_after_ms);
    let still_ms = now_ms.saturating_sub(view.progress_ms);
    (still_ms > patience_ms).then(|| {
        let Counts { missing, stored, .. } = view.counts;
        let detail = format!(
            "nothing has moved for {} s at {}: {missing} records missing, {stored} not worked off",
            still_ms / 1000,
            view.state
        );
        Flag { kind: FlagKind::Stalled, since_ms: view.progress_ms, detail }
    })
}

fn overdue(view: &BatchView, now_ms: i64) -> Option<Flag> {
    let open = matches!(view.state, BatchState::Announced | BatchState::Receiving);
    (open && now_ms > view.seal_by_ms).then(|| {
        let late_s = now_ms.saturating_sub(view.seal_by_ms) / 1000;
        let detail =
            format!("it should have been sealed {late_s} s ago: {} records missing", view.counts.missing);
        Flag { kind: FlagKind::Overdue, since_ms: view.seal_by_ms, detail }
    })
}

// A discrepancy counts from when it was found, and stands until a repair has come through or its owner gives
// the batch up.
fn stuck(view: &BatchView, options: &FlagOptions, now_ms: i64) -> Option<Flag> {
    let since_ms = match view.state {
        BatchState::Sealed
        | BatchState::Importing
        | BatchState::Reconciling
        | BatchState::Discrepant
        | BatchState::Repairing => view.sealed_ms.max(view.finished_ms),
        BatchState::Announced
        | BatchState::Receiving
        | BatchState::Accepted
        | BatchState::AcceptedWithRejects
        | BatchState::Aborted => None,
    }?;
    let held_ms = now_ms.saturating_sub(since_ms);
    (held_ms > options.stuck_after_ms).then(|| {
        let detail = format!("it is {} and not accepted for {} s", view.state, held_ms / 1000);
        Flag { kind: FlagKind::Stuck, since_ms, detail }
    })
}

fn conflict(view: &BatchView) -> Option<Flag> {
    let over =
        matches!(view.state, BatchState::Accepted | BatchState::AcceptedWithRejects | BatchState::Aborted);
    let since_ms = view.conflict_ms.filter(|_| !over)?;
    let detail = "a chunk came with other content than announced: a human must compare the files".to_owned();
    Some(Flag { kind: FlagKind::Conflict, since_ms, detail })
}

// It stands until the batch is accepted, and on an accepted one until every chunk is there again.
fn damaged(view: &BatchView) -> Option<Flag> {
    let lacking = view.chunk_count.saturating_sub(view.chunks_stored);
    let accepted = matches!(view.state, BatchState::Accepted | BatchState::AcceptedWithRejects);
    let over = view.state == BatchState::Aborted || (accepted && lacking == 0);
    let since_ms = view.damaged_ms.filter(|_| !over)?;
    let detail = format!(
        "chunks were damaged in the database and set aside, or are gone; {lacking} are still to be sent"
    );
    Some(Flag { kind: FlagKind::Damaged, since_ms, detail })
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
