//! How a run ended: proved, or exactly what is missing and what to do next.

use serde::Serialize;

use super::rejects::Listing;
use crate::{domain::batch::FlagKind, wire::pb};

/// Records that the issuer does not have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Gaps {
    /// How many records are missing.
    pub missing_records: u64,
    /// Their indexes, first and last inclusive, from 0.
    pub ranges: Vec<(u64, u64)>,
    /// How many are missing of each district.
    pub districts: Vec<(String, u64)>,
    /// Whether the issuer said so. Otherwise it could not be asked, and this is what is not known to be
    /// durable, of which it may have some.
    pub confirmed: bool,
}

impl From<pb::ListGapsResponse> for Gaps {
    /// What the issuer says is missing; districts of which nothing is are left out.
    fn from(said: pb::ListGapsResponse) -> Self {
        let missing_of = |d: &pb::DistrictGap| d.declared_records.saturating_sub(d.stored_records);
        let districts = said.districts.into_iter().map(|d| (missing_of(&d), d.district));
        let lacking = districts.filter(|(missing, _)| *missing > 0);
        Self {
            missing_records: said.missing_count,
            ranges: said.ranges.iter().map(|range| (range.first, range.last)).collect(),
            districts: lacking.map(|(missing, district)| (district, missing)).collect(),
            confirmed: true,
        }
    }
}

/// One record that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotAccepted {
    /// Its index in the file, from 0.
    pub index: u64,
    /// Its line in the file, from 1; 0 when the file can no longer be read.
    pub line: u64,
    /// Where the field stands in the line, such as `column 13` or `bytes 31 to 42`; empty when unknown.
    pub place: String,
    /// The municipality's own key.
    pub order_id: String,
    /// What became of it.
    pub disposition: String,
    /// Why.
    pub code: String,
    /// In which field.
    pub field: String,
    /// What the code means.
    pub what: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The receipt is verified and written.
    Receipted {
        /// The batch.
        batch_id: String,
        /// Its sequence.
        sequence: u64,
        /// Where the receipt is.
        receipt: String,
        /// SHA-256 of its text.
        digest: String,
        /// Records of the batch.
        records: u64,
        /// Accepted records.
        accepted: u64,
        /// Rejected records.
        rejected: u64,
        /// Records that were there already.
        duplicate: u64,
        /// Whether the batch was finished before this run.
        again: bool,
        /// Which records were not accepted.
        #[serde(flatten)]
        listing: Listing,
    },
    /// Records are missing, and sending them again did not help.
    Gaps {
        /// The batch.
        batch_id: String,
        /// What is missing.
        gaps: Gaps,
    },
    /// The totals disagree.
    TotalsDiffer {
        /// The batch, if one was begun.
        batch_id: Option<String>,
        /// Each difference, in words.
        differences: Vec<String>,
    },
    /// The run can go on later.
    TryAgain {
        /// The batch.
        batch_id: String,
        /// Why it stopped.
        why: String,
        /// What is missing, as far as it is known.
        gaps: Gaps,
    },
    /// The issuer refused; a person has to look.
    Refused {
        /// The batch.
        batch_id: String,
        /// The stable reason.
        reason: String,
        /// In words.
        message: String,
        /// What to do.
        remedy: String,
    },
    /// The batch ended without receipt.
    NotAccepted {
        /// The batch.
        batch_id: String,
        /// Its state.
        state: String,
        /// Why.
        why: String,
        /// Whether the issuer lost some of it, so that it is to be sent again and not to be mended.
        damaged: bool,
        /// Which records were not accepted.
        #[serde(flatten)]
        listing: Listing,
    },
}

/// Whether chunks of a batch were damaged in the issuer's database.
#[must_use]
pub fn is_damaged(batch: &pb::Batch) -> bool {
    batch.flags.iter().any(|flag| flag.name == FlagKind::Damaged.as_str())
}
