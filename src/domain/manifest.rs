//! A manifest says what a batch will be before any of it is sent; it has one text, whose bytes are what is
//! signed, stored and hashed, and a text that breaks a limit or does not add up is none.

use std::{collections::BTreeMap, fmt::Write as _, ops::RangeInclusive};

use super::{
    batch_id::BatchId,
    date::utc,
    digest::Digest,
    municipality::MunicipalityCode,
    record::{DISTRICT_BYTES_MAX, KIND_BYTES_MAX, RECORD_BYTES_MAX, kind_fault},
    text::{Lines, TextFault, Value, or_dash},
    totals::{DistrictTotals, Totals},
};

/// Most records of a batch.
pub const RECORDS_MAX: u64 = 10_000_000;
/// Most chunks of a batch.
pub const CHUNKS_MAX: u64 = 65_536;
/// Most districts of a batch.
pub const DISTRICTS_MAX: usize = 10_000;
/// Most kinds of records in a batch.
pub const KINDS_MAX: usize = 16;
/// Longest text of a manifest, in bytes: 1 MiB.
pub const MANIFEST_BYTES_MAX: usize = 1 << 20;
/// How many records a chunk may have; a power of two.
pub const CHUNK_RECORDS: RangeInclusive<u32> = 1..=65_536;
/// How many records a chunk has unless told otherwise.
pub const CHUNK_RECORDS_DEFAULT: u32 = 2048;

const TITLE: &str = "todoke manifest v1";

/// What a batch is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BatchKind {
    /// Each record is the order of one card.
    CardOrders,
}

impl BatchKind {
    /// The word that stands in the manifest.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            BatchKind::CardOrders => "CARD_ORDERS",
        }
    }
}

/// What happens when records are rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Policy {
    /// One reject makes the batch discrepant.
    AllOrNothing,
    /// The others are accepted as long as there are not more rejects than this.
    AcceptValid {
        /// Most rejects.
        max_rejects: u64,
    },
}

/// What a batch will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Whose batch it is.
    pub municipality: MunicipalityCode,
    /// Its id, made by the sender.
    pub batch_id: BatchId,
    /// Its number among the municipality's batches: 1, 2, 3 and so on, without holes.
    pub sequence: u64,
    /// Digest of the receipt before, if there is one.
    pub previous_receipt: Option<Digest>,
    /// What it is of.
    pub kind: BatchKind,
    /// What happens when records are rejected.
    pub policy: Policy,
    /// Records in each chunk but the last; a power of two.
    pub chunk_records: u32,
    /// What it adds up to.
    pub totals: Totals,
    /// When it should be sealed at the latest, ms since the Unix epoch; the text ends with the year 9999.
    pub seal_by_ms: i64,
}

impl Manifest {
    /// How many chunks the batch has; none if it has no records.
    #[must_use]
    pub fn chunk_count(&self) -> u32 {
        let chunks = self.totals.records.div_ceil(u64::from(self.chunk_records.max(1)));
        u32::try_from(chunks).unwrap_or(u32::MAX)
    }

    /// How many records chunk `number` has; none if there is no such chunk.
    #[must_use]
    pub fn chunk_len(&self, number: u32) -> u32 {
        let before = u64::from(number) * u64::from(self.chunk_records);
        let left = self.totals.records.saturating_sub(before);
        u32::try_from(left).map_or(self.chunk_records, |left| left.min(self.chunk_records))
    }

    /// The manifest's text: the bytes that are signed.
    #[must_use]
    pub fn to_text(&self) -> String {
        let totals = &self.totals;
        let policy = match self.policy {
            Policy::AllOrNothing => "ALL_OR_NOTHING".to_owned(),
            Policy::AcceptValid { max_rejects } => format!("ACCEPT_VALID {max_rejects}"),
        };
        let mut out = format!(
            "{TITLE}\nmunicipality {}\nbatch {}\nsequence {}\nprevious-receipt {}\nbatch-kind {}\n\
             policy {policy}\nchunk-records {}\nseal-by {}\nrecords {}\nbytes {}\nhouseholds {}\n",
            self.municipality,
            self.batch_id,
            self.sequence,
            or_dash(self.previous_receipt),
            self.kind.as_str(),
            self.chunk_records,
            utc(self.seal_by_ms),
            totals.records,
            totals.bytes,
            totals.households
        );
        for (name, records) in &totals.kinds {
            let _ = writeln!(out, "kind {records} {name}");
        }
        for (name, district) in &totals.districts {
            let _ = writeln!(out, "district {} {} {name}", district.households, district.records);
        }
        let _ = write!(out, "hash-total {:032x}\nmerkle-root {}\n", totals.hash_total, totals.merkle_root);
        out
    }

    /// Reads a manifest's exact bytes.
    ///
    /// # Errors
    /// [`TextFault`] for bytes that no manifest has as its text, that break a limit, or whose totals do not
    /// add up.
    pub fn parse(bytes: &[u8]) -> Result<Self, TextFault> {
        let mut lines = Lines::new(bytes, MANIFEST_BYTES_MAX, TITLE)?;
        let municipality = lines.value("municipality")?.parse()?;
        let batch_id = lines.value("batch")?.parse()?;
        let sequence = sequence(&lines.value("sequence")?)?;
        let previous_receipt = lines.value("previous-receipt")?.optional()?;
        let kind = lines.value("batch-kind")?;
        if kind.text != BatchKind::CardOrders.as_str() {
            return Err(kind.fault("must be CARD_ORDERS"));
        }
        let policy = policy(&lines.value("policy")?)?;
        let chunk_records = chunk_records(&lines.value("chunk-records")?)?;
        let seal_by_ms = lines.value("seal-by")?.moment()?;
        let totals = totals(&mut lines, chunk_records)?;
        lines.end("merkle-root")?;
        let kind = BatchKind::CardOrders;
        let manifest = Self {
            municipality,
            batch_id,
            sequence,
            previous_receipt,
            kind,
            policy,
            chunk_records,
            totals,
            seal_by_ms,
        };
        // Whatever was overlooked above cannot come back: one manifest has one text.
        if manifest.to_text().as_bytes() == bytes {
            return Ok(manifest);
        }
        Err(TextFault::new(
            1,
            "text",
            "is not in canonical form: kinds and districts must be sorted by bytes",
        ))
    }
}

// Databases count in signed numbers.
fn sequence(value: &Value<'_>) -> Result<u64, TextFault> {
    let number = value.at_most(i64::MAX.unsigned_abs(), "the largest sequence")?;
    if number == 0 { Err(value.fault("must be at least 1")) } else { Ok(number) }
}

fn policy(value: &Value<'_>) -> Result<Policy, TextFault> {
    if value.text == "ALL_OR_NOTHING" {
        return Ok(Policy::AllOrNothing);
    }
    let Some(number) = value.text.strip_prefix("ACCEPT_VALID ") else {
        return Err(value.fault("must be ALL_OR_NOTHING, or ACCEPT_VALID and the most rejects"));
    };
    let max_rejects = value.number_in(number)?;
    if max_rejects > RECORDS_MAX {
        return Err(value.fault(format!("must be at most {RECORDS_MAX} (RECORDS_MAX)")));
    }
    Ok(Policy::AcceptValid { max_rejects })
}

fn chunk_records(value: &Value<'_>) -> Result<u32, TextFault> {
    let number = u32::try_from(value.number()?).ok();
    number.filter(|n| n.is_power_of_two() && CHUNK_RECORDS.contains(n)).ok_or_else(|| {
        let (min, max) = (CHUNK_RECORDS.start(), CHUNK_RECORDS.end());
        value.fault(format!("must be a power of two from {min} to {max} (CHUNK_RECORDS)"))
    })
}

fn totals(lines: &mut Lines<'_>, chunk_records: u32) -> Result<Totals, TextFault> {
    let of_records = lines.value("records")?;
    let records = of_records.at_most(RECORDS_MAX, "RECORDS_MAX")?;
    if records.div_ceil(u64::from(chunk_records)) > CHUNKS_MAX {
        let problem = format!("are more than {CHUNKS_MAX} chunks (CHUNKS_MAX): use larger chunks");
        return Err(of_records.fault(problem));
    }
    let bytes = lines.value("bytes")?.at_most(RECORDS_MAX * RECORD_BYTES_MAX as u64, "RECORD_BYTES_MAX")?;
    let of_households = lines.value("households")?;
    let households = of_households.number()?;
    let kinds = kinds(lines)?;
    let districts = districts(lines)?;
    let hash_total = lines.value("hash-total")?;
    let hash_total = hash_total.hash_total(hash_total.text)?;
    let merkle_root = lines.value("merkle-root")?.parse()?;
    let totals = Totals { records, bytes, households, kinds, districts, hash_total, merkle_root };
    let Some(problem) = totals.unclosed().into_iter().next() else { return Ok(totals) };
    // Records that neither kinds nor districts come to are wrong themselves.
    let value = if totals.counts_its_records() { of_households } else { of_records };
    Err(value.fault(problem))
}

fn kinds(lines: &mut Lines<'_>) -> Result<BTreeMap<String, u64>, TextFault> {
    let mut kinds = BTreeMap::new();
    while let Some(value) = lines.next_if("kind") {
        let ([records], name) = value.words()?;
        if kinds.len() == KINDS_MAX {
            return Err(value.fault(format!("is one too many: at most {KINDS_MAX} (KINDS_MAX)")));
        }
        check_kind(&value, name)?;
        if kinds.insert(name.to_owned(), value.number_in(records)?).is_some() {
            return Err(value.fault("stands there twice"));
        }
    }
    Ok(kinds)
}

fn districts(lines: &mut Lines<'_>) -> Result<BTreeMap<String, DistrictTotals>, TextFault> {
    let mut districts = BTreeMap::new();
    while let Some(value) = lines.next_if("district") {
        let ([households, records], name) = value.words()?;
        if districts.len() == DISTRICTS_MAX {
            return Err(value.fault(format!("is one too many: at most {DISTRICTS_MAX} (DISTRICTS_MAX)")));
        }
        check_name(&value, name, DISTRICT_BYTES_MAX)?;
        let totals =
            DistrictTotals { households: value.number_in(households)?, records: value.number_in(records)? };
        if districts.insert(name.to_owned(), totals).is_some() {
            return Err(value.fault("stands there twice"));
        }
    }
    Ok(districts)
}

/// Checks the name of a kind in a signed text.
pub(super) fn check_kind(value: &Value<'_>, name: &str) -> Result<(), TextFault> {
    check_name(value, name, KIND_BYTES_MAX)?;
    kind_fault(name).map_or(Ok(()), |(problem, _)| Err(value.fault(format!("the name {problem}"))))
}

/// Checks a name in a signed text.
pub(super) fn check_name(value: &Value<'_>, name: &str, bytes_max: usize) -> Result<(), TextFault> {
    if name.is_empty() || name.len() > bytes_max || name.chars().any(char::is_control) {
        return Err(
            value.fault(format!("the name must be 1 to {bytes_max} bytes without control characters"))
        );
    }
    Ok(())
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
