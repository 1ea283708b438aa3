//! A chunk that went from the database before the seal is found when its batch is opened, sent or swept: it
//! is told, its records are missing again, and the counts say what is there.

use std::sync::Arc;

use crate::{
    domain::{batch_id::BatchId, municipality::MunicipalityCode},
    store::{Damage, Miscounted, Store},
    telemetry::names,
    wire::fault::{Fault, Reason},
};

use super::{
    core::{Core, store_fault},
    recount::{self, Recount, by_district, in_words},
};

/// How often the chunks are looked at before the caller has to ask again: they may change meanwhile.
const LOOKS_MAX: u32 = 3;

/// Sets a batch's counts right if it is not sealed and they are not what is stored; every chunk that is there
/// is looked at then. Returns whether anything was to be set right.
pub(crate) async fn set_right(
    core: &Core,
    municipality: MunicipalityCode,
    id: BatchId,
) -> Result<bool, Fault> {
    let store: &Store = &core.store;
    for _ in 0..LOOKS_MAX {
        let Some(then) = store.miscounted(municipality, id).await.map_err(store_fault)? else {
            return Ok(false);
        };
        if counted_again(core, &then).await? {
            return Ok(true);
        }
    }
    Err(Fault::new(Reason::OutcomeUnknown, format!("batch {id} changed meanwhile: ask again")))
}

async fn counted_again(core: &Core, then: &Miscounted) -> Result<bool, Fault> {
    let row = &then.row;
    let (_, stored) = core.manifest(row).await?;
    let key = Arc::new(core.data_key(row)?);
    let mut recount = Recount::default();
    for number in then.durable.iter().flat_map(|(first, last)| first..=last) {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let payload = recount::read(core, row, &key, number, &stored.chunk_roots).await;
        recount = recount.add(core, number, payload.map_err(store_fault)?).await;
    }
    let (whole, damaged) = recount.finish();
    let mut chunks = then.gone_chunks();
    chunks.extend(&damaged);
    let damage = Damage { chunks: &chunks, districts: &by_district(&whole), now_ms: core.clock.now_ms() };
    let (id, gone) = (row.batch_id, then.gone());
    if !core.store.count_again(then, &damage).await.map_err(store_fault)? {
        return Ok(false);
    }
    metrics::counter!(names::CHUNKS_DAMAGED).increment(gone + damaged.len() as u64);
    let altered = if damaged.is_empty() { String::new() } else { format!(", {}", in_words(&damaged)) };
    tracing::error!(municipality.code = %row.municipality, batch.id = %id, gone,
        "batch {id}: {gone} of {} chunks that were stored are gone from the database{altered}; it is counted \
         anew, and what is missing is to be sent again", row.chunks_stored);
    core.changed(row.municipality, id);
    Ok(true)
}
