//! What must not be lost of the pool is kept by a database, and written only by the one that decides.

use crate::domain::digest::Digest;

/// Who decides, and until when if the lease is not renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The issuer's name.
    pub owner: String,
    /// Grows each time that the lease is taken over; never below the seconds since 1970 then, so that it
    /// grows over a database that was restored, too.
    pub epoch: u64,
    /// Milliseconds since 1970.
    pub until_ms: i64,
}

/// What the policy knew when it last wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Of the controller that wrote it.
    pub epoch: u64,
    /// When, in ms since 1970.
    pub written_ms: i64,
    /// The policy's own JSON.
    pub state: String,
}

/// A decision as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptDecision {
    /// From 1, without holes; 0 for one that is not kept yet.
    pub number: u64,
    /// Of the controller that made it.
    pub epoch: u64,
    /// When, in ms since 1970.
    pub decided_ms: i64,
    /// The unit it is about; empty: the pool.
    pub unit: String,
    /// What it is, in one word.
    pub kind: String,
    /// The whole of it as JSON.
    pub record: String,
}

/// An order of an operator and what it was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptOrder {
    /// The operator's own id of it.
    pub request_id: String,
    /// Of what was asked: the same id with another digest is another order.
    pub digest: Digest,
    /// Whose.
    pub operator: String,
    /// When, in ms since 1970.
    pub ordered_ms: i64,
    /// The answer's bytes.
    pub answer: Vec<u8>,
}

/// What one step of the controller leaves behind, all of it or nothing.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// The writer's name.
    pub owner: &'a str,
    /// Its epoch.
    pub epoch: u64,
    /// Now, in ms since 1970.
    pub now_ms: i64,
    /// The policy's JSON.
    pub state: &'a str,
    /// Decisions, in order; their numbers are given here.
    pub decisions: &'a [KeptDecision],
    /// The order that they come from, if they do.
    pub order: Option<&'a KeptOrder>,
}

/// Why nothing was kept, or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeepError {
    /// The database is away, busy or full: nothing was changed.
    #[error("the database is away: {0}")]
    Away(String),
    /// It may have been kept.
    #[error("it is not known whether it was kept: {0}")]
    Unknown(String),
    /// What is kept cannot be read, or will not be taken.
    #[error("{0}")]
    Failed(String),
}

/// Where it is kept. Times are ms since 1970.
#[async_trait::async_trait]
pub trait Keeper: Send + Sync {
    /// Takes or keeps the controller's lease until `now_ms + lease_ms`, and returns the epoch; `None` if
    /// somebody else has it. `held` is the epoch that this owner has held so far; 0 if none: a process that
    /// was started anew is another controller, even under the same name.
    async fn take(
        &self,
        owner: &str,
        held: u64,
        now_ms: i64,
        lease_ms: i64,
    ) -> Result<Option<u64>, KeepError>;

    /// Gives the lease back, so that another may take it at once; nothing happens if it is lost already.
    async fn give_up(&self, owner: &str, epoch: u64, now_ms: i64) -> Result<(), KeepError>;

    /// Returns who had the lease last.
    async fn holder(&self) -> Result<Option<Holder>, KeepError>;

    /// Returns what the policy knew last.
    async fn kept(&self) -> Result<Option<Kept>, KeepError>;

    /// Keeps one step of the controller, and returns the number of its last decision; `None`, and nothing is
    /// kept, if the writer's lease is lost.
    async fn keep(&self, step: &Step<'_>) -> Result<Option<u64>, KeepError>;

    /// Returns decisions numbered below `before`, newest first, `limit` at most; of one unit, if one is named
    /// (the empty name is the pool).
    async fn before(
        &self,
        before: u64,
        limit: u32,
        unit: Option<&str>,
    ) -> Result<Vec<KeptDecision>, KeepError>;

    /// Returns decisions numbered above `after`, oldest first, `limit` at most.
    async fn after(&self, after: u64, limit: u32) -> Result<Vec<KeptDecision>, KeepError>;

    /// Returns the order of this id.
    async fn order(&self, request_id: &str) -> Result<Option<KeptOrder>, KeepError>;
}
