//! Every stored chunk is held against what its sender announced: what is whole is added up, what is not is
//! named.

use std::{collections::BTreeMap, sync::Arc};

use zeroize::Zeroizing;

use crate::{
    domain::{
        chunk,
        digest::Digest,
        merkle,
        totals::{Totals, TotalsBuilder},
    },
    store::{self, BatchRow, StoredChunk},
    vault::{Aad, DataKey},
};

use super::{
    chunks::{self, chunk_aad},
    core::Core,
};

/// What the chunks of a batch came to so far.
#[derive(Default)]
pub(crate) struct Recount {
    /// What the whole ones add up to.
    pub(crate) totals: TotalsBuilder,
    /// Those that are gone, cannot be opened, or hold something else than was announced.
    pub(crate) damaged: Vec<u32>,
}

/// Reads and opens a chunk, of which `roots` has the root that was announced; `None` if it is damaged, or if
/// none of this number was announced.
pub(crate) async fn read(
    core: &Core,
    row: &BatchRow,
    key: &Arc<DataKey>,
    number: u32,
    roots: &[Digest],
) -> Result<Option<Zeroizing<Vec<u8>>>, store::Error> {
    let (municipality, batch) = (row.municipality, row.batch_id);
    let Some(announced) = roots.get(number as usize).copied() else { return Ok(None) };
    let stored = match core.store.chunk_payload(municipality, batch, number).await {
        Ok(Some(stored)) => stored,
        Ok(None) | Err(store::Error::Corrupt(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let (key, len) = (Arc::clone(key), row.records_in(&[number]));
    let aad = chunk_aad(municipality, batch, number);
    Ok(core.on_core(move || opened(&key, &aad, &stored, announced, len)).await)
}

impl Recount {
    /// Adds up the payload of a chunk as [`read`] gave it.
    pub(crate) async fn add(mut self, core: &Core, number: u32, payload: Option<Zeroizing<Vec<u8>>>) -> Self {
        let added = core.on_core(move || {
            if !payload.is_some_and(|payload| chunks::add_to(&mut self.totals, &payload)) {
                self.damaged.push(number);
            }
            self
        });
        added.await
    }

    /// Returns the totals of what is whole, and the chunks that are not.
    pub(crate) fn finish(self) -> (Totals, Vec<u32>) {
        (self.totals.finish(), self.damaged)
    }
}

/// The records of each district.
pub(crate) fn by_district(totals: &Totals) -> BTreeMap<String, u64> {
    totals.districts.iter().map(|(name, district)| (name.clone(), district.records)).collect()
}

/// Names chunks that are damaged: the first of them.
pub(crate) fn in_words(damaged: &[u32]) -> String {
    const NAMED: usize = 10;
    let named: Vec<String> = damaged.iter().take(NAMED).map(u32::to_string).collect();
    let more = damaged.len().saturating_sub(NAMED);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    let (noun, verb) = if damaged.len() == 1 { ("chunk", "is") } else { ("chunks", "are") };
    format!("{noun} {}{rest} {verb} unreadable or altered", named.join(", "))
}

/// Opens a chunk if it is, in payload and ledger, what was announced: `len` records under this root.
pub(crate) fn opened(
    key: &DataKey,
    aad: &Aad,
    stored: &StoredChunk,
    announced: Digest,
    len: u64,
) -> Option<Zeroizing<Vec<u8>>> {
    if stored.root != announced || u64::from(stored.records) != len {
        return None;
    }
    let payload = key.open(aad, &stored.sealed).ok()?;
    let leaves = chunk::leaves(&payload).ok()?;
    (leaves.len() as u64 == len && merkle::root(&leaves) == announced).then_some(payload)
}
