//! Each chunk holds what was announced, and each of its records is exactly one order or one other entry,
//! equal to it in every column.

use std::collections::{BTreeSet, HashSet};

use zeroize::Zeroizing;

use crate::{
    domain::{
        batch::Counts,
        chunk,
        disposition::{Disposition, DispositionKind},
        merkle,
        record::Record,
        totals::{Totals, TotalsBuilder},
    },
    issuance::{
        chunks::{self, chunk_aad},
        recount,
    },
    store::{self, NewOrder, RawOrder, WholeChunk, WorkKey},
};

use super::{
    FILE_REPAIR, Finding, Look, Told,
    batch::{Subject, finding},
    entries::{differs, from_orders, unlike},
};

pub(super) const BY_RESUME: &str = "its sender can send it again: `todoke resume FILE`";
/// What puts the list of records that are no orders right: there is no second copy of it here.
pub(super) const BY_LIST: &str = "restore the rows of `disposition` of this batch from a backup";
pub(super) const GONE: &str = "it is gone";
const BY_CHOICE: &str = "another batch holds its order id, and none is taken from it: decide which of the \
                         two cards stands, and restore the rows from a backup";

/// What the chunks and their entries came to so far.
#[derive(Default)]
pub(super) struct Books {
    totals: TotalsBuilder,
    pub(super) counts: Counts,
    /// Orders and other entries that stand at places of the batch.
    pub(super) entries: u64,
    /// Records by code, and the lines of those that were not accepted.
    pub(super) codes: std::collections::BTreeMap<String, u64>,
    pub(super) rejects: merkle::Accumulator,
    /// Chunks that are not what was announced, and could not be put right.
    pub(super) damaged: Vec<u32>,
    /// Chunks that are not there.
    pub(super) gone: Vec<u32>,
    /// Chunks that the database does not give.
    pub(super) hidden: Vec<u32>,
    /// Chunks of whose records the entries cannot be read.
    pub(super) unread: Vec<u32>,
    /// Findings about chunks that only their sender still has: told when it is known what became of them.
    pub(super) untold: Vec<Finding>,
}

impl Books {
    pub(super) fn finish(mut self) -> (Self, Totals) {
        let totals = std::mem::take(&mut self.totals).finish();
        (self, totals)
    }
}

/// The entries at the places of one chunk.
struct Entries {
    orders: Vec<RawOrder>,
    others: Vec<Disposition>,
}

/// A place at which not the right entry stands.
struct Wrong {
    index: u64,
    table: &'static str,
    what: String,
    /// Whether no entry stands there.
    gone: bool,
    /// The order that is to stand there, if that is proved.
    order: Option<NewOrder>,
}

impl Look<'_> {
    pub(super) async fn chunk(
        &mut self,
        on: &Subject,
        number: u32,
        mut books: Books,
    ) -> Result<Books, store::Error> {
        let row = &on.row;
        self.audited.chunks += 1;
        if self.audited.chunks.is_multiple_of(16) {
            (self.tell)(Told::Progress { chunks: self.audited.chunks, of: self.chunks_total });
        }
        let entries = self.entries(on, number).await?;
        if entries.is_none() {
            books.unread.push(number);
        }
        let payload = self.payload(on, number, entries.as_ref(), &mut books).await?;
        if let Some(entries) = &entries {
            books.entries += (entries.orders.len() + entries.others.len()) as u64;
            // A chunk that was set aside before is no news; its records are counted there, not here.
            if on.accepted || books.gone.last() != Some(&number) {
                books.count(entries);
            }
        }
        if let Some(payload) = payload {
            self.audited.records += row.records_in(&[number]);
            chunks::add_to(&mut books.totals, &payload);
            if let Some(entries) = &entries {
                books.counts.accepted += self.compare(on, number, &payload, entries).await?;
            }
        }
        Ok(books)
    }

    /// Returns what a chunk holds: the chunk itself, or else its orders.
    async fn payload(
        &mut self,
        on: &Subject,
        number: u32,
        entries: Option<&Entries>,
        books: &mut Books,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, store::Error> {
        let row = &on.row;
        match self.at.chunk(row, number).await {
            Ok(None) => {
                books.gone.push(number);
                if !on.accepted {
                    return Ok(None);
                }
            }
            Ok(Some(stored)) => {
                let aad = chunk_aad(row.municipality, row.batch_id, number);
                let (root, len) = (on.roots[number as usize], row.records_in(&[number]));
                let whole = recount::opened(&on.key, &aad, &stored, root, len);
                if whole.is_some() {
                    return Ok(whole);
                }
            }
            Err(store::Error::Corrupt(_)) => {}
            Err(error) if error.is_transient() => return Err(error),
            // Whether it is whole nobody knows, so that it stays where it is.
            Err(error) => {
                books.hidden.push(number);
                let found = finding(row, "chunk", error.to_string(), FILE_REPAIR);
                self.told(&Finding { chunk: Some(number), ..found });
                return Ok(None);
            }
        }
        self.damaged_chunk(on, number, entries, books).await
    }

    async fn entries(&mut self, on: &Subject, number: u32) -> Result<Option<Entries>, store::Error> {
        let places = on.places(number);
        let read = async {
            let orders = self.at.orders(&on.row, &places).await.map_err(|error| ("card_order", error))?;
            let others = self.at.others(&on.row, &places).await.map_err(|error| ("disposition", error))?;
            Ok(Entries { orders, others })
        };
        match read.await {
            Ok(entries) => Ok(Some(entries)),
            Err((_, error)) if store::Error::is_transient(&error) => Err(error),
            Err((table, error)) => {
                let repair = if on.accepted { FILE_REPAIR } else { on.repair_of_rows() };
                let found = finding(&on.row, table, error.to_string(), repair);
                self.told(&Finding { chunk: Some(number), ..found });
                Ok(None)
            }
        }
    }

    /// Tells of a chunk that is damaged or gone; returns its payload if its orders hold it whole.
    async fn damaged_chunk(
        &mut self,
        on: &Subject,
        number: u32,
        entries: Option<&Entries>,
        books: &mut Books,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, store::Error> {
        let row = &on.row;
        let gone = books.gone.last() == Some(&number);
        let what = if gone { GONE } else { "it is unreadable, or not what was announced" };
        let payload = entries.and_then(|entries| from_orders(on, number, &entries.orders));
        let mut repaired = false;
        if let Some(payload) = payload.as_ref().filter(|_| self.auditor.repair && on.accepted) {
            let aad = chunk_aad(row.municipality, row.batch_id, number);
            let sealed = on.key.seal(&aad, payload);
            let whole = WholeChunk { number, root: on.roots[number as usize], sealed: &sealed };
            repaired = self.auditor.store.mend_chunk(row, &whole, self.auditor.now_ms).await?;
        }
        let repair = match (&payload, on.accepted) {
            (None, true) if gone && on.lacking() > 0 => BY_RESUME,
            (None, true) => {
                "stop the issuer and set it aside with `todoke report verify-store --repair`; then its \
                 sender can send it again: `todoke resume FILE`"
            }
            _ => on.repair_of_rows(),
        };
        let found = Finding { chunk: Some(number), repaired, ..finding(row, "chunk", what, repair) };
        if self.auditor.repair && on.accepted && payload.is_none() {
            books.untold.push(found);
        } else {
            self.told(&found);
        }
        if repaired {
            books.gone.retain(|one| *one != number);
        } else if !gone {
            books.damaged.push(number);
        }
        Ok(payload.filter(|_| on.accepted))
    }

    /// Holds every entry of a chunk against its record; returns how many orders that were gone are there
    /// again.
    async fn compare(
        &mut self,
        on: &Subject,
        number: u32,
        payload: &[u8],
        entries: &Entries,
    ) -> Result<u64, store::Error> {
        let first = on.places(number).start;
        let (mut orders, mut others) = (entries.orders.iter().peekable(), entries.others.iter().peekable());
        let mut wrong = Vec::new();
        for (index, canonical) in (first..).zip(chunk::Reader::new(payload)) {
            let order = orders.next_if(|order| u64::try_from(order.record_index) == Ok(index));
            let other = others.next_if(|other| other.index == index);
            let Some((record, canonical)) = canonical.ok().and_then(|c| Some((Record::decode(c).ok()?, c)))
            else {
                continue; // its root is the one announced: it came like this
            };
            wrong.extend(match (order, other) {
                (Some(order), None) => {
                    let whole = whole_order(on, index, &record, canonical);
                    let what = differs(on, &whole, order, number < on.row.chunks_indexed);
                    what.map(|what| Wrong::order(index, what, false, Some(whole)))
                }
                (None, Some(other)) => {
                    unlike(on, &record, other).map(|what| Wrong::other(index, what, false))
                }
                (None, None) if number >= on.row.chunks_worked => None,
                (None, None) if on.accepted && !on.proved => {
                    let what = "nothing says what became of the record, and no receipt proves that it was an \
                                order";
                    Some(Wrong::other(index, what, true))
                }
                (None, None) => {
                    let what = "it is gone: nothing says what became of the record".to_owned();
                    Some(Wrong::order(index, what, true, Some(whole_order(on, index, &record, canonical))))
                }
                (Some(_), Some(_)) => {
                    Some(Wrong::order(index, "it is an order and is none at once".to_owned(), false, None))
                }
            });
        }
        self.mend(on, number, wrong).await
    }

    /// Makes orders again that are proved to have been there, then tells of each what came of it; returns how
    /// many that were gone are there again.
    async fn mend(&mut self, on: &Subject, number: u32, wrong: Vec<Wrong>) -> Result<u64, store::Error> {
        let repair = self.auditor.repair && on.proved;
        let proved = wrong.iter().filter(|_| on.proved).filter_map(|one| one.order.as_ref());
        let held = self.held(on, &proved.collect::<Vec<_>>()).await?;
        let (mut orders, mut told) = (Vec::new(), Vec::with_capacity(wrong.len()));
        for one in wrong {
            let (proved, what) = (on.proved && one.order.is_some(), one.what.clone());
            let taken = one.order.as_ref().is_some_and(|order| held.contains(&order.order_id));
            orders.extend(one.order.filter(|_| repair).map(|order| (order, what)));
            told.push((proved, taken, Wrong { order: None, ..one }));
        }
        let mended = match orders.is_empty() {
            true => Ok(BTreeSet::new()),
            false => self.auditor.store.mend_orders(&on.row, &orders, self.auditor.now_ms).await,
        };
        let mut back = 0;
        for (proved, taken, one) in told {
            let repaired = mended.as_ref().is_ok_and(|mended| mended.contains(&one.index));
            back += u64::from(repaired && one.gone);
            let repair = match (on.accepted, proved) {
                (true, false) if one.table == "disposition" => BY_LIST,
                (true, false) => FILE_REPAIR,
                (true, true) if taken && !repaired => BY_CHOICE,
                _ => on.repair_of_rows(),
            };
            let found = finding(&on.row, one.table, one.what, repair);
            self.told(&Finding { chunk: Some(number), record: Some(one.index), repaired, ..found });
        }
        mended.map(|_| back)
    }

    /// Returns those of the orders' ids that another batch holds; none if that cannot be read.
    async fn held(&mut self, on: &Subject, orders: &[&NewOrder]) -> Result<HashSet<String>, store::Error> {
        match self.at.held_by_others(&on.row, orders).await {
            Ok(held) => Ok(held),
            Err(error) if error.is_transient() => Err(error),
            Err(_) => Ok(HashSet::new()),
        }
    }
}

impl Wrong {
    fn order(index: u64, what: String, gone: bool, order: Option<NewOrder>) -> Self {
        Self { index, table: "card_order", what, gone, order }
    }

    fn other(index: u64, what: &str, gone: bool) -> Self {
        Self { index, table: "disposition", what: what.to_owned(), gone, order: None }
    }
}

impl Books {
    fn count(&mut self, entries: &Entries) {
        self.counts.accepted += entries.orders.len() as u64;
        self.list(&entries.others);
    }

    /// Adds what became of records that are no orders.
    pub(super) fn list(&mut self, others: &[Disposition]) {
        for other in others {
            match other.kind {
                DispositionKind::Accepted => self.counts.accepted += 1,
                DispositionKind::Rejected => self.counts.rejected += 1,
                DispositionKind::Duplicate => self.counts.duplicate += 1,
                DispositionKind::Quarantined => self.counts.quarantined += 1,
            }
            self.rejects.push(other.leaf());
            if let Some(code) = &other.code {
                *self.codes.entry(code.clone()).or_default() += 1;
            }
        }
    }
}

fn whole_order(on: &Subject, index: u64, record: &Record, canonical: &[u8]) -> NewOrder {
    let of = WorkKey { municipality: on.row.municipality, batch_id: on.row.batch_id };
    chunks::order(of, index, record, canonical, &on.vault, &on.key)
}
