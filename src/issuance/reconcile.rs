//! A batch is accepted only when every total, recomputed from the orders and rejects that the database holds,
//! is the one declared; the receipt and the acceptance are one transaction.
//!
//! What is read back was committed before, by this claim, and nobody else changes it as long as the claim
//! holds: so it can be read while later chunks are stored.

use std::{collections::BTreeMap, sync::Arc};

use zeroize::Zeroizing;

use crate::{
    crash::{self, Point},
    domain::{
        batch::{BatchState, Counts},
        chunk,
        digest::Digest,
        disposition::{Disposition, DispositionKind},
        merkle, note,
        receipt::Receipt,
        record::{Field, Record},
        totals::{Totals, TotalsBuilder},
    },
    store::{Acceptance, OrderRow, StoredChunk},
};

use super::{
    chunks::{chunk_aad, record_aad},
    work::{Job, Stop},
};

/// What is added up over the stored orders and rejects.
#[derive(Default)]
struct Books {
    totals: TotalsBuilder,
    counts: Counts,
    codes: BTreeMap<String, u64>,
    rejects: merkle::Accumulator,
}

/// One chunk's part of what the database holds.
struct Page {
    first: u64,
    len: u64,
    orders: Vec<OrderRow>,
    others: Vec<Disposition>,
    /// Only read if a record of the chunk was not accepted: there its bytes stand.
    chunk: Option<StoredChunk>,
}

/// Reads back what is left, and accepts the batch if every identity closes.
pub(crate) async fn reconcile(job: &mut Job, mut back: ReadBack) -> Result<(), Stop> {
    while back.next < job.row.chunk_count {
        job.keep().await?;
        let end = job.together(back.next).end;
        back = back.go_on(job, end).await?;
    }
    accept(job, back.books).await
}

/// What was read back so far: the chunks before `next`.
#[derive(Default)]
pub(crate) struct ReadBack {
    next: u32,
    books: Books,
}

impl ReadBack {
    /// The first chunk that was not read back.
    pub(crate) fn next(&self) -> u32 {
        self.next
    }

    /// Reads back the chunks before `end`, which must be stored. While one is added up, the next is read.
    pub(crate) async fn go_on(mut self, job: &Job, end: u32) -> Result<Self, Stop> {
        let mut ahead = page(job, self.next, end).await?;
        while let Some(page_of) = ahead.take() {
            let next = page(job, self.next + 1, end);
            let (added, next) = tokio::join!(self.add(job, page_of), next);
            (self, ahead) = (added?, next?);
        }
        Ok(self)
    }

    async fn add(self, job: &Job, page: Page) -> Result<Self, Stop> {
        let (key, municipality, batch) = (Arc::clone(&job.key), job.row.municipality, job.row.batch_id);
        let Self { next: number, mut books } = self;
        let added = job.core.on_core(move || {
            let payload = match &page.chunk {
                Some(stored) => {
                    let aad = chunk_aad(municipality, batch, number);
                    Some(key.open(&aad, &stored.sealed).map_err(|_| Stop::Damaged(number))?)
                }
                None => None,
            };
            let open = |order: &OrderRow| {
                key.open(&record_aad(municipality, batch, order.index), &order.sealed).ok()
            };
            let payload = payload.as_ref().map(|payload| payload.as_slice());
            books.add(&page, payload, open).map(|()| books).map_err(Stop::Discrepant)
        });
        Ok(Self { next: number + 1, books: added.await? })
    }
}

/// Reads what the database holds of a chunk, if it is one before `end`.
async fn page(job: &Job, number: u32, end: u32) -> Result<Option<Page>, Stop> {
    if number >= end {
        return Ok(None);
    }
    crash::point(Point::ReconcileReading);
    read(job, number).await.map(Some)
}

async fn read(job: &Job, number: u32) -> Result<Page, Stop> {
    let (municipality, batch, attempt) = (job.row.municipality, job.row.batch_id, job.claim.attempt);
    let first = u64::from(number) * u64::from(job.row.chunk_records);
    let len = job.manifest.chunk_len(number);
    let store = &job.core.store;
    let orders = store.orders_page(municipality, batch, attempt, first, len).await?;
    let mut orders: Vec<OrderRow> = orders;
    orders.retain(|order| order.index < first + u64::from(len));
    let mut page = Page { first, len: u64::from(len), orders, others: Vec::new(), chunk: None };
    if (page.orders.len() as u64) < page.len {
        page.others = store.dispositions_page(municipality, batch, attempt, first, len, true).await?;
        page.others.retain(|one| one.index < first + u64::from(len));
        let chunk = store.chunk_payload(municipality, batch, number).await?;
        page.chunk = Some(chunk.ok_or(Stop::Damaged(number))?);
    }
    Ok(page)
}

impl Books {
    /// Adds a chunk's records in order; each must be an order or stand in the list of the others, never both.
    fn add(
        &mut self,
        page: &Page,
        payload: Option<&[u8]>,
        open: impl Fn(&OrderRow) -> Option<Zeroizing<Vec<u8>>>,
    ) -> Result<(), String> {
        let mut orders = page.orders.iter().peekable();
        let mut others = page.others.iter().peekable();
        let mut stored = payload.map(chunk::Reader::new);
        for index in page.first..page.first + page.len {
            let bytes = stored.as_mut().and_then(Iterator::next);
            match (orders.next_if(|o| o.index == index), others.next_if(|o| o.index == index)) {
                (Some(order), None) => {
                    let opened =
                        open(order).ok_or_else(|| format!("the order of record {index} is unreadable"))?;
                    let record = self.count(index, &opened)?;
                    if record.1 != order.leaf || record.0.text(Field::OrderId) != order.order_id {
                        return Err(format!(
                            "the order of record {index} is not the record that was received"
                        ));
                    }
                    self.counts.accepted += 1;
                }
                (None, Some(other)) => {
                    let bytes = bytes.and_then(Result::ok);
                    let bytes = bytes.ok_or_else(|| format!("record {index} is not in its stored chunk"))?;
                    self.count(index, bytes)?;
                    self.other(other);
                }
                (None, None) => return Err(format!("nothing says what became of record {index}")),
                (Some(_), Some(_)) => {
                    return Err(format!("record {index} is accepted and not accepted at once"));
                }
            }
        }
        match (orders.next(), others.next()) {
            (None, None) => Ok(()),
            _ => Err(format!("the chunk at record {} has more entries than records", page.first)),
        }
    }

    fn count(&mut self, index: u64, canonical: &[u8]) -> Result<(Record, Digest), String> {
        let record = Record::decode(canonical).map_err(|_| format!("record {index} is unreadable"))?;
        let leaf = self.totals.add(&record, canonical);
        Ok((record, leaf))
    }

    fn other(&mut self, other: &Disposition) {
        self.rejects.push(other.leaf());
        match other.kind {
            DispositionKind::Accepted => self.counts.accepted += 1,
            DispositionKind::Rejected => self.counts.rejected += 1,
            DispositionKind::Duplicate => self.counts.duplicate += 1,
            DispositionKind::Quarantined => self.counts.quarantined += 1,
        }
        if let Some(code) = &other.code {
            *self.codes.entry(code.clone()).or_default() += 1;
        }
    }
}

async fn accept(job: &mut Job, books: Books) -> Result<(), Stop> {
    let (municipality, id) = (job.row.municipality, job.row.batch_id);
    let core = Arc::clone(&job.core);
    let row = core.store.batch(municipality, id).await?.ok_or(Stop::LeaseLost)?;
    if row.counts != books.counts {
        return Err(Stop::Discrepant("the counts of the batch are not those of its dispositions".to_owned()));
    }
    let clean = books.counts.rejected + books.counts.quarantined == 0;
    let state = if clean { BatchState::Accepted } else { BatchState::AcceptedWithRejects };
    let now_ms = core.clock.now_ms();
    let receipt = receipt(job, state, books, now_ms);
    let faults = receipt.faults();
    if !faults.is_empty() {
        return Err(Stop::Discrepant(faults.iter().take(5).cloned().collect::<Vec<_>>().join("; ")));
    }
    let (note, receipt_digest) = match core.store.lost_receipt(municipality, id).await? {
        Some(note) => before_the_restore(&receipt, note)?,
        None => {
            let text = receipt.to_text();
            (core.vault.sign_note(&text), Digest::of(text.as_bytes()))
        }
    };
    job.keep().await?;
    let acceptance = Acceptance { state, receipt: &note, receipt_digest, now_ms };
    if !core.store.accept(&job.claim, &acceptance).await? {
        return Err(Stop::LeaseLost);
    }
    crash::point(Point::BatchAccepted);
    tracing::info!(municipality.code = %municipality, batch.id = %id, records = job.row.record_count,
        "batch {id} of {municipality} is {state}");
    Ok(())
}

/// Returns the receipt that a lost batch was given before, byte for byte, if the batch comes out as it says:
/// a promise that was signed is neither broken nor made a second time in other words.
fn before_the_restore(now: &Receipt, note: Vec<u8>) -> Result<(Vec<u8>, Digest), Stop> {
    let Some((before, digest)) = read_before(&note) else {
        return Err(Stop::Discrepant("the receipt from before the restore is unreadable".to_owned()));
    };
    let as_before = Receipt { attempt: before.attempt, committed_ms: before.committed_ms, ..now.clone() };
    if as_before != before {
        let counts = |of: &Receipt| format!("{:?}", of.counts);
        return Err(Stop::Discrepant(format!(
            "it comes out otherwise than its receipt from before the restore says: {} then, {} now. The \
             operator may give that receipt up with `todoke restore release`; then repair the batch",
            counts(&before),
            counts(now)
        )));
    }
    Ok((note, digest))
}

/// Reads a receipt that this issuer has kept, with the digest of its text.
pub(crate) fn read_before(note: &[u8]) -> Option<(Receipt, Digest)> {
    let text = note::text_of(note).ok()?;
    Some((Receipt::parse(text).ok()?, Digest::of(text.as_bytes())))
}

fn receipt(job: &Job, outcome: BatchState, books: Books, committed_ms: i64) -> Receipt {
    let computed: Totals = books.totals.finish();
    Receipt {
        municipality: job.row.municipality,
        batch_id: job.row.batch_id,
        sequence: job.row.sequence,
        attempt: job.claim.attempt,
        outcome,
        manifest: job.row.manifest_digest,
        previous_receipt: job.manifest.previous_receipt,
        declared: job.manifest.totals.clone(),
        computed,
        counts: books.counts,
        codes: books.codes,
        reject_root: books.rejects.root(),
        committed_ms,
    }
}
