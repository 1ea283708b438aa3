//! A seal succeeds only when nothing is missing and every total, recomputed from what the database holds, is
//! the one declared; otherwise it names what is missing or what differs.

use std::sync::Arc;

use crate::{
    crash::{self, Point},
    domain::{
        batch::BatchState,
        batch_id::BatchId,
        digest::Digest,
        manifest::Manifest,
        merkle,
        municipality::MunicipalityCode,
        ranges::Ranges,
        totals::{Difference, Totals},
    },
    store::{BatchRow, Damage},
    telemetry::names,
    wire::fault::{Fault, Reason},
};

use super::{
    chunks,
    core::{Core, store_fault},
    deadline::Deadline,
    recount::{self, Recount, by_district, in_words},
    view,
};

/// Bytes of ranges and of districts that the fault for gaps carries; ListGaps has the rest.
const RANGES_BYTES_MAX: usize = 2200;
const DISTRICTS_BYTES_MAX: usize = 1600;
/// Ranges in that fault at the most.
const RANGES_MAX: usize = 1000;

/// Seals a batch; one that is sealed already is answered as it stands.
pub(crate) async fn seal(
    core: &Arc<Core>,
    municipality: MunicipalityCode,
    id: BatchId,
    manifest_digest: &[u8],
    deadline: Deadline,
) -> Result<BatchRow, Fault> {
    let row = core.batch(municipality, id).await?;
    if row.manifest_digest.as_bytes() != manifest_digest {
        return Err(Fault::new(Reason::ManifestInvalid, format!("batch {id} has another manifest digest"))
            .violation("manifest_digest", "must be the SHA-256 of the manifest that opened the batch"));
    }
    if !open(row.state) {
        return Ok(row);
    }
    let (manifest, stored) = core.manifest(&row).await?;
    refuse_gaps(core, &row, &manifest).await?;
    let _turn = deadline.wait(core.seals.wait(municipality, core.options.seal_wait)).await??;
    let row = core.batch(municipality, id).await?; // somebody else may have sealed it while we waited
    if !open(row.state) {
        return Ok(row);
    }
    let (totals, damaged) = recompute(core, &row, &stored.chunk_roots, deadline).await?;
    if !damaged.is_empty() {
        set_aside(core, &row, &damaged, &totals).await?;
        let row = core.batch(municipality, id).await?;
        refuse_gaps(core, &row, &manifest).await?;
        return Err(Fault::new(Reason::OutcomeUnknown, format!("batch {id} changed meanwhile: ask again")));
    }
    let differences = manifest.totals.differences(&totals);
    if !differences.is_empty() {
        return Err(discrepant(core, &row, &differences).await?);
    }
    if core.store.mark_sealed(municipality, id, core.clock.now_ms()).await.map_err(store_fault)? {
        crash::point(Point::BatchSealed);
        tracing::info!(municipality.code = %municipality, batch.id = %id,
            "batch {id} of {municipality} sealed");
    }
    core.changed(municipality, id);
    core.work.notify_waiters();
    core.batch(municipality, id).await
}

fn open(state: BatchState) -> bool {
    matches!(state, BatchState::Announced | BatchState::Receiving)
}

async fn refuse_gaps(core: &Core, row: &BatchRow, manifest: &Manifest) -> Result<(), Fault> {
    // What is counted as stored and is not there is damage, which the look at every chunk finds.
    if row.counts.missing == 0 {
        return Ok(());
    }
    let durable = core.store.durable_chunks(row.municipality, row.batch_id).await.map_err(store_fault)?;
    let (ranges, missing) = view::missing_records(&durable, row);
    let stored = core.store.stored_per_district(row.municipality, row.batch_id).await.map_err(store_fault)?;
    let districts = manifest.totals.districts.iter().filter_map(|(name, declared)| {
        let stored = stored.get(name).copied().unwrap_or_default();
        let gap = declared.records.saturating_sub(stored);
        (gap > 0).then(|| serde_json::json!({"district": name, "missing": gap}).to_string())
    });
    let listed = ranges.iter().take(RANGES_MAX).map(|(first, last)| format!("[{first},{last}]"));
    let words = format!("{missing} of {} records are missing: send them, then seal again", row.record_count);
    Err(Fault::new(Reason::BatchHasGaps, words)
        .with("missing_count", missing.to_string())
        .with("range_count", ranges.len().to_string())
        .with("ranges", json_list(listed, RANGES_BYTES_MAX))
        .with("districts", json_list(districts, DISTRICTS_BYTES_MAX)))
}

/// Writes as many items as fit, as one JSON array.
fn json_list(items: impl Iterator<Item = String>, bytes_max: usize) -> String {
    let mut out = String::from("[");
    for item in items {
        if out.len() + item.len() + 2 > bytes_max {
            break;
        }
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(&item);
    }
    out.push(']');
    out
}

/// Re-reads every chunk from the database and adds up what is whole. While one is added up, the next is read
/// and opened, so that two are held at a time.
async fn recompute(
    core: &Arc<Core>,
    row: &BatchRow,
    roots: &[Digest],
    deadline: Deadline,
) -> Result<(Totals, Vec<u32>), Fault> {
    let key = Arc::new(core.data_key(row)?);
    let mut recount = Recount::default();
    let mut ahead = recount::read(core, row, &key, 0, roots).await.map_err(store_fault)?;
    for number in 0..row.chunk_count {
        deadline.check()?;
        crash::point(Point::SealReading);
        let next = recount::read(core, row, &key, number + 1, roots); // nothing, after the last
        let (added, next) = tokio::join!(recount.add(core, number, ahead), next);
        (recount, ahead) = (added, next.map_err(store_fault)?);
    }
    Ok(recount.finish())
}

/// Sets damaged chunks aside, so that their sender can send them again.
async fn set_aside(core: &Core, row: &BatchRow, damaged: &[u32], whole: &Totals) -> Result<(), Fault> {
    let (id, now_ms) = (row.batch_id, core.clock.now_ms());
    let damage = Damage { chunks: damaged, districts: &by_district(whole), now_ms };
    if core.store.quarantine_unsealed(row.municipality, id, &damage).await.map_err(store_fault)? {
        metrics::counter!(names::CHUNKS_DAMAGED).increment(damaged.len() as u64);
        tracing::error!(municipality.code = %row.municipality, batch.id = %id,
            "batch {id}: {} in the database; set aside, to be sent again", in_words(damaged));
        core.changed(row.municipality, id);
    }
    Ok(())
}

async fn discrepant(core: &Core, row: &BatchRow, differences: &[Difference]) -> Result<Fault, Fault> {
    let words = words(differences);
    let id = row.batch_id;
    core.store
        .mark_discrepant(row.municipality, id, &words, core.clock.now_ms())
        .await
        .map_err(store_fault)?;
    core.changed(row.municipality, id);
    tracing::error!(municipality.code = %row.municipality, batch.id = %id,
        "batch {id} is discrepant: {words}");
    let mut fault = Fault::new(Reason::ControlTotalMismatch, format!("batch {id} does not add up: {words}"));
    for (at, one) in differences.iter().take(20).enumerate() {
        fault = fault
            .with(format!("which.{at}"), &one.which)
            .with(format!("declared.{at}"), &one.declared)
            .with(format!("computed.{at}"), &one.computed);
    }
    Ok(fault)
}

/// Returns the first differences in words.
pub(crate) fn words(differences: &[Difference]) -> String {
    let listed: Vec<String> = differences
        .iter()
        .take(5)
        .map(|d| format!("{}: declared {}, computed {}", d.which, d.declared, d.computed))
        .collect();
    let more = differences.len().saturating_sub(listed.len());
    let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!("{}{rest}", listed.join("; "))
}

/// Returns the path from a record to the batch's root, and its leaf hash; `None` if there is no such record
/// stored.
pub(crate) async fn inclusion(
    core: &Arc<Core>,
    row: &BatchRow,
    index: u64,
) -> Result<Option<(Digest, Vec<Digest>)>, Fault> {
    if index >= row.record_count {
        return Ok(None);
    }
    let (_, stored_manifest) = core.manifest(row).await?;
    let number = u32::try_from(index / u64::from(row.chunk_records)).expect("at most CHUNKS_MAX chunks");
    let within = usize::try_from(index % u64::from(row.chunk_records)).expect("within a chunk");
    let stored =
        core.store.chunk_payload(row.municipality, row.batch_id, number).await.map_err(store_fault)?;
    let Some(stored) = stored else { return Ok(None) };
    let key = core.data_key(row)?;
    let aad = chunks::chunk_aad(row.municipality, row.batch_id, number);
    let leaves = core.on_core(move || {
        let payload = key.open(&aad, &stored.sealed).ok()?;
        let leaves = crate::domain::chunk::Reader::new(&payload).map(|r| r.map(merkle::leaf_hash));
        leaves.collect::<Result<Vec<_>, _>>().ok()
    });
    let Some(leaves) = leaves.await else {
        return Err(Fault::new(Reason::Internal, "the stored chunk is unreadable: tell the operator"));
    };
    let Some(leaf) = leaves.get(within).copied() else { return Ok(None) };
    let mut path = merkle::path(&leaves, within);
    path.extend(merkle::path(&stored_manifest.chunk_roots, number as usize));
    Ok(Some((leaf, path)))
}

/// Returns the gaps of a batch as ranges of records.
pub(crate) async fn gaps(core: &Core, row: &BatchRow) -> Result<(Vec<(u64, u64)>, u64), Fault> {
    let durable: Ranges =
        core.store.durable_chunks(row.municipality, row.batch_id).await.map_err(store_fault)?;
    Ok(view::missing_records(&durable, row))
}
