//! What a run tells while it goes on; whoever listens shows it and changes nothing by it.

use std::sync::Arc;

use serde::Serialize;

/// Hears events; must return at once.
pub type Tell = Arc<dyn Fn(&Event) + Send + Sync>;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The first pass has read so many records.
    Scanning {
        /// Records so far.
        records: u64,
    },
    /// The first pass is over.
    Scanned {
        /// Records.
        records: u64,
        /// Households.
        households: u64,
        /// Districts.
        districts: usize,
    },
    /// The batch is in the journal; nothing was sent yet.
    Journalled {
        /// Its id.
        batch_id: String,
        /// Its sequence.
        sequence: u64,
    },
    /// The file is a batch already, which keeps the moment by which it is to be sealed.
    SealByKept {
        /// Its id.
        batch_id: String,
        /// The moment, ms since the Unix epoch.
        seal_by_ms: i64,
    },
    /// The number belongs to another batch, so the file gets the next one.
    NumberTaken {
        /// The number.
        sequence: u64,
        /// Whether the issuer had known the batch under it, and has nothing of it any more.
        lost: bool,
    },
    /// The issuer knows the batch.
    Opened {
        /// Its id.
        batch_id: String,
        /// Its sequence.
        sequence: u64,
        /// Whether it was new to the issuer.
        created: bool,
        /// Records that were durable already.
        durable_records: u64,
        /// Records of the batch.
        records: u64,
    },
    /// More records are durable.
    Uploading {
        /// Records that are durable.
        durable_records: u64,
        /// Records of the batch.
        records: u64,
        /// The relays in use.
        relays: Vec<String>,
    },
    /// A stream was given up and is opened over another relay.
    RelayLeft {
        /// The relay.
        relay: String,
        /// Why.
        why: String,
    },
    /// The seal is asked for; missing ranges, if any, were sent again so many times.
    Sealing {
        /// Rounds of sending again.
        round: u32,
    },
    /// The issuer works on the sealed batch.
    Working {
        /// The batch's state.
        state: String,
        /// Records with a disposition.
        worked_records: u64,
        /// Records of the batch.
        records: u64,
        /// Flags that are up.
        flags: Vec<String>,
    },
    /// The issuer cannot be reached for the moment.
    Waiting {
        /// What was said last.
        why: String,
    },
    /// What was said, or kept, of which relays there are is not gone by.
    ViewIgnored {
        /// Why, and what to do.
        why: String,
    },
    /// The receipt was verified against the file's own totals and written.
    Receipt {
        /// Where.
        path: String,
        /// SHA-256 of its text.
        digest: String,
    },
}
