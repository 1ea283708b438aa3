//! What the store takes and gives: rows as the rest of the program sees them, in types that cannot be wrong.

use std::{collections::BTreeMap, sync::Arc};

use crate::domain::{
    batch::{BatchState, Counts},
    batch_id::BatchId,
    digest::Digest,
    manifest::Manifest,
    municipality::MunicipalityCode,
};
use crate::vault::BlindIndex;

/// A data key, wrapped by the vault.
pub type WrappedKey = Vec<u8>;

/// A batch that is to be opened.
#[derive(Debug)]
pub struct NewBatch<'a> {
    /// What it announces.
    pub manifest: &'a Manifest,
    /// The exact bytes that were signed.
    pub manifest_bytes: &'a [u8],
    /// The sender's signature over them.
    pub signature: &'a [u8],
    /// The sender's certificate and those above it, DER.
    pub certificate_chain: &'a [Vec<u8>],
    /// The root of each chunk, in order.
    pub chunk_roots: &'a [Digest],
    /// The key of the batch's data, wrapped; unused if the batch is there already.
    pub wrapped_key: WrappedKey,
    /// Now.
    pub now_ms: i64,
    /// How many batches its municipality may have open, with this one.
    pub open_max: u32,
    /// How far its sequence may be above the municipality's highest.
    pub ahead_max: u64,
}

/// Some of the batches that have not come to their end.
#[derive(Debug)]
pub struct OpenPage {
    /// Those that can be read.
    pub rows: Vec<BatchRow>,
    /// Where the next page begins; `None` if this is the last.
    pub next: Option<OpenAfter>,
}

/// Where an [`OpenPage`] ended.
#[derive(Debug)]
pub struct OpenAfter {
    pub(super) code: String,
    pub(super) id: sqlx::types::Uuid,
}

/// What is missing in a municipality's sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holes {
    /// Whose.
    pub municipality: MunicipalityCode,
    /// How many numbers below the highest no batch has; those that were lost and given up do not count.
    pub count: u64,
    /// The highest of them.
    pub highest: u64,
}

/// How opening a batch came out.
#[derive(Debug, Clone, PartialEq)]
pub enum Opened {
    /// It is new.
    Created(BatchRow),
    /// The same one was there; its uploader epoch is one higher now.
    Again(BatchRow),
    /// Another manifest stands under this id.
    IdReused,
    /// Another batch has this sequence.
    SequenceReused,
    /// The municipality has as many batches open as it may.
    TooManyOpen,
    /// Its sequence is too far above this one, the municipality's highest.
    TooFarAhead(u64),
    /// The database was restored, and something is to be done first.
    Forgotten(Forgotten),
}

/// What comes before a new batch after a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgotten {
    /// The municipality's receipts were not compared since.
    ReconcileFirst,
    /// The batch names a receipt as the one before that is not here.
    ReceiptUnknown,
    /// The batch was lost, and so was the one of this sequence, which must come before.
    LostBefore(u64),
}

/// A batch as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchRow {
    /// Whose it is.
    pub municipality: MunicipalityCode,
    /// Its id.
    pub batch_id: BatchId,
    /// Its place among the municipality's batches, from 1.
    pub sequence: u64,
    /// Where it is in its life.
    pub state: BatchState,
    /// How often it has been worked off, from 1.
    pub attempt: u32,
    /// Records announced.
    pub record_count: u64,
    /// Records in each chunk but the last.
    pub chunk_records: u32,
    /// Chunks announced.
    pub chunk_count: u32,
    /// SHA-256 of the manifest's bytes.
    pub manifest_digest: Digest,
    /// The key of its data, wrapped.
    pub wrapped_key: WrappedKey,
    /// The epoch of the uploader that opened it last.
    pub uploader_epoch: u32,
    /// Chunks that are durable.
    pub chunks_stored: u32,
    /// Chunks that this attempt has worked off.
    pub chunks_worked: u32,
    /// Chunks of this attempt whose persons can be looked up; all of them before it is accepted.
    pub chunks_indexed: u32,
    /// What has become of its records; they add up to `record_count`.
    pub counts: Counts,
    /// When it was opened first.
    pub opened_ms: i64,
    /// When it last moved.
    pub progress_ms: i64,
    /// When it must be sealed.
    pub seal_by_ms: i64,
    /// When it was sealed.
    pub sealed_ms: Option<i64>,
    /// When it came to its end.
    pub finished_ms: Option<i64>,
    /// When a chunk first came with other content than announced.
    pub conflict_ms: Option<i64>,
    /// When a part of it was first found damaged in the database.
    pub damaged_ms: Option<i64>,
    /// When the lease on its work ends, if somebody has it.
    pub lease_until_ms: Option<i64>,
    /// Why it is DISCREPANT or ABORTED, without personal data.
    pub discrepancy: Option<String>,
}

impl BatchRow {
    /// How many records these chunks of the grid have.
    #[must_use]
    pub fn records_in(&self, chunks: &[u32]) -> u64 {
        let size = u64::from(self.chunk_records);
        let len = |number: &u32| self.record_count.saturating_sub(u64::from(*number) * size).min(size);
        chunks.iter().map(len).sum()
    }
}

/// What the sender of a batch signed.
#[derive(Debug, Clone, PartialEq)]
pub struct ManifestRow {
    /// The manifest's exact bytes.
    pub bytes: Vec<u8>,
    /// The signature over them.
    pub signature: Vec<u8>,
    /// The certificates that came with it, the sender's own first.
    pub certificate_chain: Vec<Vec<u8>>,
    /// The root of each chunk.
    pub chunk_roots: Vec<Digest>,
}

/// A chunk that is to be made durable.
#[derive(Debug, Clone)]
pub struct NewChunk<'a> {
    /// Its number, from 0.
    pub number: u32,
    /// The root over its records.
    pub root: Digest,
    /// Its records.
    pub records: u32,
    /// Its payload, sealed.
    pub sealed: Arc<Vec<u8>>,
    /// Its records by district.
    pub district_records: BTreeMap<String, u64>,
    /// The epoch that its uploader was given.
    pub uploader_epoch: u32,
    /// The relay it came through; empty if none.
    pub relay: &'a str,
    /// Now.
    pub now_ms: i64,
}

/// What became of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutChunk {
    /// It is durable now.
    Stored,
    /// It was durable already, with the same root.
    Duplicate,
    /// Its row is there with another root, which only damage can have put there: nothing but what was
    /// announced is ever stored.
    Damaged,
    /// The batch counts more than is stored, so that it has no room for the chunk: nothing was stored. Set
    /// its counts right first.
    Miscounted,
    /// Another uploader opened the batch later.
    Fenced,
    /// The batch takes no more chunks.
    Sealed,
    /// There is no such batch.
    NotFound,
}

/// A durable chunk.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredChunk {
    /// The root over its records.
    pub root: Digest,
    /// Its records.
    pub records: u32,
    /// Its payload, sealed.
    pub sealed: Vec<u8>,
}

/// Names a piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WorkKey {
    /// Whose batch.
    pub municipality: MunicipalityCode,
    /// Which batch.
    pub batch_id: BatchId,
}

/// The right to work on a batch, until somebody else claims it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// What was claimed.
    pub key: WorkKey,
    /// The attempt that is being made.
    pub attempt: u32,
    /// Which claim of this attempt it is; a higher one takes the right away.
    pub epoch: u32,
    /// The first chunk that is not worked off.
    pub next_chunk: u32,
    /// How often it was claimed before without moving since.
    pub tries: u32,
}

/// An order that is to be stored unless its id is taken.
#[derive(Debug, Clone, PartialEq)]
pub struct NewOrder {
    /// Its record's place in the batch, from 0.
    pub index: u64,
    /// The municipality's own key.
    pub order_id: String,
    /// The leaf hash of its record.
    pub leaf: Digest,
    /// The kind of card.
    pub kind: String,
    /// The district.
    pub district: String,
    /// The blind index of its person, if a number was given.
    pub person_index: Option<BlindIndex>,
    /// Whether the address is hidden from everyone but the municipality.
    pub protected: bool,
    /// What the recipient needs, separated by semicolons.
    pub accommodations: String,
    /// The canonical record, sealed.
    pub sealed: Vec<u8>,
}

/// What became of a chunk's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// They are stored; the same answer if they were already.
    Done {
        /// Orders.
        accepted: u64,
        /// Records that are orders already.
        duplicate: u64,
        /// Records refused, with their reasons.
        rejected: u64,
    },
    /// Somebody else has the lease now; nothing was stored.
    LeaseLost,
}

/// An order as it is re-read.
#[derive(Debug, Clone, PartialEq)]
pub struct OrderRow {
    /// Its record's place in the batch.
    pub index: u64,
    /// The municipality's own key.
    pub order_id: String,
    /// The leaf hash of its record.
    pub leaf: Digest,
    /// The canonical record, sealed.
    pub sealed: Vec<u8>,
}

/// How a batch is accepted.
#[derive(Debug, Clone, Copy)]
pub struct Acceptance<'a> {
    /// ACCEPTED or ACCEPTED_WITH_REJECTS.
    pub state: BatchState,
    /// The signed receipt.
    pub receipt: &'a [u8],
    /// SHA-256 of its text.
    pub receipt_digest: Digest,
    /// Now.
    pub now_ms: i64,
}

/// How giving a batch up came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abort {
    /// It is aborted, and its order ids are free.
    Done,
    /// It was aborted before.
    Again,
    /// It is accepted: too late.
    WrongState,
    /// There is no such batch.
    NotFound,
}

/// How asking for a repair came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// A new attempt has begun.
    Started,
    /// This very request began one before.
    Again,
    /// The request id stands for another request.
    Reused,
    /// The batch is not discrepant, or has been tried too often.
    WrongState,
    /// There is no such batch.
    NotFound,
}

/// A card order of an accepted batch.
#[derive(Debug, Clone, PartialEq)]
pub struct CardRow {
    /// Whose it is.
    pub municipality: MunicipalityCode,
    /// The municipality's own key.
    pub order_id: String,
    /// The batch that brought it.
    pub batch_id: BatchId,
    /// Its record's place there.
    pub index: u64,
    /// The kind of card.
    pub kind: String,
    /// The district.
    pub district: String,
    /// Whether the address is hidden from everyone but the municipality.
    pub protected: bool,
    /// What the recipient needs, separated by semicolons.
    pub accommodations: String,
    /// When it was ordered.
    pub ordered_ms: i64,
    /// The canonical record, sealed.
    pub sealed: Vec<u8>,
}
