//! A receipt says what was declared beside what was computed, and what became of every record; its text is
//! what the issuer signs, and its digest is the SHA-256 of that text.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use super::{
    batch::{BatchState, Counts},
    batch_id::BatchId,
    date::utc,
    digest::Digest,
    manifest::{check_kind, check_name},
    merkle,
    municipality::MunicipalityCode,
    record::DISTRICT_BYTES_MAX,
    text::{Lines, TextFault, Value, or_dash},
    totals::{DistrictTotals, Totals},
};

/// Longest text of a receipt, in bytes: a manifest's with each number twice.
pub const TEXT_BYTES_MAX: usize = (2 << 20) - 4096;

const TITLE: &str = "todoke receipt v1";

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Whose batch it is.
    pub municipality: MunicipalityCode,
    /// Which one.
    pub batch_id: BatchId,
    /// Its number among the municipality's batches.
    pub sequence: u64,
    /// How often the batch was worked off, with this time.
    pub attempt: u32,
    /// ACCEPTED or ACCEPTED_WITH_REJECTS.
    pub outcome: BatchState,
    /// Digest of the manifest.
    pub manifest: Digest,
    /// Digest of the receipt before, as the manifest named it.
    pub previous_receipt: Option<Digest>,
    /// What the manifest declared.
    pub declared: Totals,
    /// What was computed from the database.
    pub computed: Totals,
    /// Records by what became of them.
    pub counts: Counts,
    /// How many records were not accepted, by code.
    pub codes: BTreeMap<String, u64>,
    /// RFC 6962 root over the lines of the records that were not accepted, in order.
    pub reject_root: Digest,
    /// When the batch was accepted, ms since the Unix epoch.
    pub committed_ms: i64,
}

impl Receipt {
    /// The receipt's text: the bytes that are signed.
    #[must_use]
    pub fn to_text(&self) -> String {
        let (d, c) = (&self.declared, &self.computed);
        let mut out = format!(
            "{TITLE}\nmunicipality {}\nbatch {}\nsequence {}\nattempt {}\noutcome {}\nmanifest {}\n\
             previous-receipt {}\nrecords {} {}\nbytes {} {}\nhouseholds {} {}\n",
            self.municipality,
            self.batch_id,
            self.sequence,
            self.attempt,
            self.outcome,
            self.manifest,
            or_dash(self.previous_receipt),
            d.records,
            c.records,
            d.bytes,
            c.bytes,
            d.households,
            c.households
        );
        for name in names(&d.kinds, &c.kinds) {
            let _ =
                writeln!(out, "kind {} {} {name}", or_dash(d.kinds.get(name)), or_dash(c.kinds.get(name)));
        }
        for name in names(&d.districts, &c.districts) {
            let side = |of: Option<&DistrictTotals>| {
                of.map_or("- -".to_owned(), |district| {
                    format!("{} {}", district.households, district.records)
                })
            };
            let _ = writeln!(
                out,
                "district {} {} {name}",
                side(d.districts.get(name)),
                side(c.districts.get(name))
            );
        }
        let Counts { missing, stored, accepted, rejected, duplicate, quarantined } = self.counts;
        let _ = write!(
            out,
            "hash-total {:032x} {:032x}\nmerkle-root {} {}\nmissing {missing}\nstored {stored}\n\
             accepted {accepted}\nrejected {rejected}\nduplicate {duplicate}\nquarantined {quarantined}\n",
            d.hash_total, c.hash_total, d.merkle_root, c.merkle_root
        );
        for (code, records) in &self.codes {
            let _ = writeln!(out, "code {records} {code}");
        }
        let _ = write!(out, "reject-root {}\ncommitted {}\n", self.reject_root, utc(self.committed_ms));
        out
    }

    /// Reads a receipt's text.
    ///
    /// # Errors
    /// [`TextFault`] for a text that no receipt has. Whether its sums close is another question:
    /// [`Receipt::faults`].
    pub fn parse(text: &str) -> Result<Self, TextFault> {
        let mut lines = Lines::new(text.as_bytes(), TEXT_BYTES_MAX, TITLE)?;
        let municipality = lines.value("municipality")?.parse()?;
        let batch_id = lines.value("batch")?.parse()?;
        let sequence = lines.value("sequence")?.number()?;
        let value = lines.value("attempt")?;
        let attempt = u32::try_from(value.number()?).map_err(|_| value.fault("is too large"))?;
        let outcome = lines.value("outcome")?.parse()?;
        let manifest = lines.value("manifest")?.parse()?;
        let previous_receipt = lines.value("previous-receipt")?.optional()?;
        let (declared, computed) = totals(&mut lines)?;
        let counts = counts(&mut lines)?;
        let codes = codes(&mut lines)?;
        let reject_root = lines.value("reject-root")?.parse()?;
        let committed_ms = lines.value("committed")?.moment()?;
        lines.end("committed")?;
        let receipt = Self {
            municipality,
            batch_id,
            sequence,
            attempt,
            outcome,
            manifest,
            previous_receipt,
            declared,
            computed,
            counts,
            codes,
            reject_root,
            committed_ms,
        };
        if receipt.to_text() == text {
            return Ok(receipt);
        }
        Err(TextFault::new(1, "text", "is not in canonical form: kinds, districts and codes must be sorted"))
    }

    /// Returns everything in which the receipt contradicts itself, in words; one that does proves nothing.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let differences = self.declared.differences(&self.computed);
        let mut faults: Vec<String> = differences
            .into_iter()
            .map(|d| format!("{}: declared {}, computed {}", d.which, d.declared, d.computed))
            .collect();
        faults.extend(self.declared.unclosed());
        let counts = &self.counts;
        let mut check = |holds: bool, words: &str| {
            if !holds {
                faults.push(words.to_owned());
            }
        };
        check(counts.sum() == Some(self.declared.records), "the counts do not add up to the records");
        check(counts.missing == 0, "records are missing");
        check(counts.stored == 0, "records have not been worked off");
        check(self.sequence > 0 && self.attempt > 0, "sequence and attempt begin with 1");
        let refused = counts.rejected.saturating_add(counts.quarantined);
        let outcome = if refused == 0 { BatchState::Accepted } else { BatchState::AcceptedWithRejects };
        check(self.outcome == outcome, "the outcome does not fit the counts");
        // Every reject has a code; a duplicate needs none, as it names the record that came first.
        let coded = self.codes.values().try_fold(0u64, |sum, records| sum.checked_add(*records));
        let possible = refused..=refused.saturating_add(counts.duplicate);
        check(coded.is_some_and(|coded| possible.contains(&coded)), "the codes do not add up to the rejects");
        let listed = refused.saturating_add(counts.duplicate) > 0;
        check(listed != (self.reject_root == merkle::root(&[])), "the reject root does not fit the counts");
        faults
    }
}

fn names<'a, V>(
    declared: &'a BTreeMap<String, V>,
    computed: &'a BTreeMap<String, V>,
) -> BTreeSet<&'a String> {
    declared.keys().chain(computed.keys()).collect()
}

fn pair<T>(value: &Value<'_>, read: impl Fn(&str) -> Result<T, TextFault>) -> Result<(T, T), TextFault> {
    let ([declared], computed) = value.words()?;
    Ok((read(declared)?, read(computed)?))
}

fn totals(lines: &mut Lines<'_>) -> Result<(Totals, Totals), TextFault> {
    let mut numbers = |key: &'static str| {
        let value = lines.value(key)?;
        pair(&value, |word| value.number_in(word))
    };
    let (records, bytes, households) = (numbers("records")?, numbers("bytes")?, numbers("households")?);
    let kinds = kinds(lines)?;
    let districts = districts(lines)?;
    let value = lines.value("hash-total")?;
    let hash_total = pair(&value, |word| value.hash_total(word))?;
    let value = lines.value("merkle-root")?;
    let merkle_root = pair(&value, |word| value.parse_in(word))?;
    let declared = Totals {
        records: records.0,
        bytes: bytes.0,
        households: households.0,
        kinds: kinds.0,
        districts: districts.0,
        hash_total: hash_total.0,
        merkle_root: merkle_root.0,
    };
    let computed = Totals {
        records: records.1,
        bytes: bytes.1,
        households: households.1,
        kinds: kinds.1,
        districts: districts.1,
        hash_total: hash_total.1,
        merkle_root: merkle_root.1,
    };
    Ok((declared, computed))
}

type Both<V> = (BTreeMap<String, V>, BTreeMap<String, V>);

fn put<V>(both: &mut Both<V>, name: &str, declared: Option<V>, computed: Option<V>) {
    if let Some(declared) = declared {
        both.0.insert(name.to_owned(), declared);
    }
    if let Some(computed) = computed {
        both.1.insert(name.to_owned(), computed);
    }
}

fn kinds(lines: &mut Lines<'_>) -> Result<Both<u64>, TextFault> {
    let mut kinds = Both::default();
    while let Some(value) = lines.next_if("kind") {
        let ([declared, computed], name) = value.words()?;
        check_kind(&value, name)?;
        let read = |word| if word == "-" { Ok(None) } else { value.number_in(word).map(Some) };
        put(&mut kinds, name, read(declared)?, read(computed)?);
    }
    Ok(kinds)
}

fn districts(lines: &mut Lines<'_>) -> Result<Both<DistrictTotals>, TextFault> {
    let mut districts = Both::default();
    while let Some(value) = lines.next_if("district") {
        let ([dh, dr, ch, cr], name) = value.words()?;
        check_name(&value, name, DISTRICT_BYTES_MAX)?;
        let read = |households, records| match (households, records) {
            ("-", "-") => Ok(None),
            _ => Ok(Some(DistrictTotals {
                households: value.number_in(households)?,
                records: value.number_in(records)?,
            })),
        };
        put(&mut districts, name, read(dh, dr)?, read(ch, cr)?);
    }
    Ok(districts)
}

fn counts(lines: &mut Lines<'_>) -> Result<Counts, TextFault> {
    let mut number = |key| lines.value(key)?.number();
    Ok(Counts {
        missing: number("missing")?,
        stored: number("stored")?,
        accepted: number("accepted")?,
        rejected: number("rejected")?,
        duplicate: number("duplicate")?,
        quarantined: number("quarantined")?,
    })
}

fn codes(lines: &mut Lines<'_>) -> Result<BTreeMap<String, u64>, TextFault> {
    let mut codes = BTreeMap::new();
    while let Some(value) = lines.next_if("code") {
        let ([records], code) = value.words()?;
        check_name(&value, code, 64)?;
        codes.insert(code.to_owned(), value.number_in(records)?);
    }
    Ok(codes)
}

#[cfg(test)]
#[path = "receipt_tests.rs"]
mod tests;
