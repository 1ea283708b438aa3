//! The work on a chunk that needs a core and no wait: check what came, seal it, open it, make orders of it.

use std::collections::BTreeMap;

use crate::{
    domain::{
        batch_id::BatchId,
        chunk,
        date::Date,
        digest::Digest,
        disposition::{Disposition, DispositionKind},
        manifest::Manifest,
        merkle,
        municipality::MunicipalityCode,
        record::{Field, Record},
        totals::TotalsBuilder,
        validation,
    },
    store::{NewOrder, WorkKey},
    vault::{Aad, DataKey, Purpose, Vault},
    wire::fault::{Fault, Reason},
};

/// A chunk that is what its manifest announced, sealed and ready to be stored.
pub(crate) struct Sealed {
    pub(crate) payload: Vec<u8>,
    pub(crate) district_records: BTreeMap<String, u64>,
}

/// Checks a chunk's payload in the order of the design: root over the payload, content announced, grid,
/// structure. `announced` is the chunk's root as given when the batch was opened.
pub(crate) fn check(
    manifest: &Manifest,
    number: u32,
    frame_root: &[u8],
    announced: Digest,
    payload: &[u8],
) -> Result<BTreeMap<String, u64>, Fault> {
    let mut tree = merkle::Accumulator::default();
    let mut whole = true;
    for canonical in chunk::Reader::new(payload) {
        match canonical {
            Ok(bytes) => tree.push(merkle::leaf_hash(bytes)),
            Err(_) => whole = false,
        }
    }
    if !whole || tree.root().as_bytes() != frame_root {
        return Err(at(
            number,
            Reason::ChunkDigestMismatch,
            "its root is not the one in its frame: send it again",
        ));
    }
    if frame_root != announced.as_bytes() {
        return Err(at(
            number,
            Reason::ChunkContentConflict,
            "its content is not what was announced when the batch was opened: stop and compare the files",
        ));
    }
    if tree.count() != u64::from(manifest.chunk_len(number)) {
        let needed = manifest.chunk_len(number);
        let words = format!("it has {} records where the manifest's grid has {needed}", tree.count());
        return Err(at(number, Reason::ChunkOutsideManifest, &words));
    }
    structure(manifest, number, payload)
}

/// Checks the structure of each record and counts them by district.
fn structure(manifest: &Manifest, number: u32, payload: &[u8]) -> Result<BTreeMap<String, u64>, Fault> {
    let first = u64::from(number) * u64::from(manifest.chunk_records);
    let mut districts: BTreeMap<String, u64> = BTreeMap::new();
    for (index, canonical) in (first..).zip(chunk::Reader::new(payload)) {
        let canonical = canonical.map_err(|fault| at(number, Reason::ChunkInvalid, &fault.to_string()))?;
        let record = Record::decode(canonical).and_then(|record| record.check_structure().map(|()| record));
        let record = record.map_err(|fault| {
            at(number, Reason::ChunkInvalid, &format!("record {index}: {fault}"))
                .violation(format!("records[{index}].{}", fault.field), fault.problem)
        })?;
        let district = record.text(Field::District);
        match districts.get_mut(district) {
            Some(records) => *records += 1,
            None => drop(districts.insert(district.to_owned(), 1)),
        }
    }
    Ok(districts)
}

fn at(number: u32, reason: Reason, words: &str) -> Fault {
    Fault::new(reason, format!("chunk {number}: {words}")).with("chunk_number", number.to_string())
}

/// Returns what a chunk's sealed payload is bound to.
pub(crate) fn chunk_aad(municipality: MunicipalityCode, batch: BatchId, number: u32) -> Aad {
    Aad { municipality, batch, index: u64::from(number), purpose: Purpose::Chunk }
}

/// Returns what a sealed record is bound to.
pub(crate) fn record_aad(municipality: MunicipalityCode, batch: BatchId, index: u64) -> Aad {
    Aad { municipality, batch, index, purpose: Purpose::Record }
}

/// Adds every record of an opened payload to `totals`; `false` if the payload is not whole.
pub(crate) fn add_to(totals: &mut TotalsBuilder, payload: &[u8]) -> bool {
    chunk::Reader::new(payload).all(|canonical| {
        let Ok(canonical) = canonical else { return false };
        let Ok(record) = Record::decode(canonical) else { return false };
        totals.add(&record, canonical);
        true
    })
}

/// What a chunk's records become before the store looks for duplicates.
pub(crate) struct Exploded {
    pub(crate) orders: Vec<NewOrder>,
    pub(crate) rejects: Vec<Disposition>,
}

/// Who the records are of, and the day that ages are judged at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) municipality: MunicipalityCode,
    pub(crate) batch: BatchId,
    pub(crate) today: Date,
}

/// Makes orders of an opened payload whose first record has the index `first`; a record with a fault of
/// meaning becomes a reject. `None` if the payload is not whole.
pub(crate) fn explode(
    origin: Origin,
    first: u64,
    payload: &[u8],
    vault: &Vault,
    key: &DataKey,
) -> Option<Exploded> {
    let of = WorkKey { municipality: origin.municipality, batch_id: origin.batch };
    let mut exploded = Exploded { orders: Vec::new(), rejects: Vec::new() };
    for (index, canonical) in (first..).zip(chunk::Reader::new(payload)) {
        let canonical = canonical.ok()?;
        let record = Record::decode(canonical).ok()?;
        match validation::check(&record, origin.today) {
            Ok(()) => exploded.orders.push(order(of, index, &record, canonical, vault, key)),
            Err(reject) => exploded.rejects.push(Disposition {
                index,
                order_id: record.text(Field::OrderId).to_owned(),
                kind: DispositionKind::Rejected,
                code: Some(reject.code.to_owned()),
                field: Some(reject.field.as_str().to_owned()),
                duplicate_of: None,
            }),
        }
    }
    Some(exploded)
}

/// Returns the order that a record of this batch becomes.
pub(crate) fn order(
    of: WorkKey,
    index: u64,
    record: &Record,
    canonical: &[u8],
    vault: &Vault,
    key: &DataKey,
) -> NewOrder {
    let blind = |text: &str| vault.blind_index(of.municipality, Field::IndividualNumber.as_str(), text);
    NewOrder {
        index,
        order_id: record.text(Field::OrderId).to_owned(),
        leaf: merkle::leaf_hash(canonical),
        kind: record.text(Field::Kind).to_owned(),
        district: record.text(Field::District).to_owned(),
        person_index: record.get(Field::IndividualNumber).map(blind),
        protected: record.text(Field::Protected) == "1",
        accommodations: record.text(Field::Accommodations).to_owned(),
        sealed: key.seal(&record_aad(of.municipality, of.batch_id, index), canonical),
    }
}
