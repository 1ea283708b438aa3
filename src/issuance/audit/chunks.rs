//! Each chunk holds what was announced, and each of its records is exactly one order or one other entry,
//! equal to it in every column.

use zeroize::Zeroizing;

use crate::{
    domain::{
        batch::Counts,
        chunk,
        date::Date,
        disposition::{Disposition, DispositionKind},
        merkle,
        record::{Field, Record},
        totals::{Totals, TotalsBuilder},
    },
    issuance::{
        chunks::{self, Origin, chunk_aad, record_aad},
        recount,
    },
    store::{self, NewOrder, RawOrder, WholeChunk},
};

use super::{
    Finding, Look, Told,
    batch::{Subject, finding},
};

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
    /// Chunks that could not be put right.
    pub(super) damaged: Vec<u32>,
    /// Chunks that are not there.
    pub(super) gone: Vec<u32>,
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
        let first = u64::from(number) * u64::from(row.chunk_records);
        let places = first..first + row.records_in(&[number]);
        let Some(entries) = self.entries(on, number, &places).await? else {
            books.damaged.push(number);
            return Ok(books);
        };
        books.entries += (entries.orders.len() + entries.others.len()) as u64;
        let (aad, root) = (chunk_aad(row.municipality, row.batch_id, number), on.roots[number as usize]);
        let found = match self.at.chunk(row, number).await {
            Ok(None) => {
                books.gone.push(number);
                None
            }
            Ok(Some(stored)) => recount::opened(&on.key, &aad, &stored, root, places.end - places.start),
            Err(error) if error.is_transient() => return Err(error),
            Err(_) => None,
        };
        let gone = books.gone.last() == Some(&number);
        // A chunk that was set aside before is no news; its records are counted there, not here.
        let aside = gone && !on.accepted;
        let payload = match found {
            Some(payload) => Some(payload),
            None if aside => None,
            None => self.damaged_chunk(on, number, &entries, gone, &mut books).await?,
        };
        if !aside {
            books.count(&entries);
        }
        if let Some(payload) = payload {
            self.audited.records += places.end - places.start;
            chunks::add_to(&mut books.totals, &payload);
            books.counts.accepted += self.compare(on, number, &payload, &entries).await?;
        }
        Ok(books)
    }

    async fn entries(
        &mut self,
        on: &Subject,
        number: u32,
        places: &std::ops::Range<u64>,
    ) -> Result<Option<Entries>, store::Error> {
        let read = async {
            let orders = self.at.orders(&on.row, places).await.map_err(|error| ("card_order", error))?;
            let others = self.at.others(&on.row, places).await.map_err(|error| ("disposition", error))?;
            Ok(Entries { orders, others })
        };
        match read.await {
            Ok(entries) => Ok(Some(entries)),
            Err((_, error)) if store::Error::is_transient(&error) => Err(error),
            Err((table, error)) => {
                let found = finding(&on.row, table, error.to_string(), on.repair_of_rows());
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
        entries: &Entries,
        gone: bool,
        books: &mut Books,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, store::Error> {
        let row = &on.row;
        let what = if gone { "it is gone" } else { "it is unreadable, or not what was announced" };
        let payload = from_orders(on, number, &entries.orders);
        let mut repaired = false;
        if let Some(payload) = payload.as_ref().filter(|_| self.auditor.repair && on.accepted) {
            let aad = chunk_aad(row.municipality, row.batch_id, number);
            let sealed = on.key.seal(&aad, payload);
            let whole = WholeChunk { number, root: on.roots[number as usize], sealed: &sealed };
            repaired = self.auditor.store.mend_chunk(row, &whole, self.auditor.now_ms).await?;
        }
        let repair = match (&payload, on.accepted) {
            (None, true) if gone && on.lacking() > 0 => "its sender can send it again: `todoke resume FILE`",
            (None, true) => {
                "stop the issuer and set it aside with `todoke report verify-store --repair`; then its \
                 sender can send it again: `todoke resume FILE`"
            }
            _ => on.repair_of_rows(),
        };
        let found = finding(row, "chunk", what, repair);
        self.told(&Finding { chunk: Some(number), repaired, ..found });
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
        let row = &on.row;
        let first = u64::from(number) * u64::from(row.chunk_records);
        let (mut orders, mut others) = (entries.orders.iter().peekable(), entries.others.iter().peekable());
        let worked = number < row.chunks_worked;
        let (mut mended, mut back) = (Vec::new(), 0);
        for (index, canonical) in (first..).zip(chunk::Reader::new(payload)) {
            let Some((record, canonical)) = canonical.ok().and_then(|c| Some((Record::decode(c).ok()?, c)))
            else {
                continue; // its root is the one announced: it came like this
            };
            let order =
                orders.next_if(|order| order.record_index == i64::try_from(index).unwrap_or(i64::MAX));
            let other = others.next_if(|other| other.index == index);
            let (table, what) = match (order, other) {
                (Some(order), None) => {
                    let whole = whole_order(on, index, &record, canonical);
                    let indexed = number < row.chunks_indexed;
                    let Some(what) = differs(on, &whole, order, indexed) else { continue };
                    mended.push((whole, what.clone()));
                    ("card_order", what)
                }
                (None, Some(other)) if other.order_id == record.text(Field::OrderId) => continue,
                (None, Some(_)) => ("disposition", "order_id is not the record's".to_owned()),
                (None, None) if !worked => continue,
                (None, None) => {
                    back += 1;
                    mended.push((whole_order(on, index, &record, canonical), "it is gone".to_owned()));
                    ("card_order", "it is gone: nothing says what became of the record".to_owned())
                }
                (Some(_), Some(_)) => ("card_order", "it is an order and is none at once".to_owned()),
            };
            let repairs =
                self.auditor.repair && on.accepted && mended.last().is_some_and(|m| m.0.index == index);
            let found = finding(row, table, what, on.repair_of_rows());
            self.told(&Finding { chunk: Some(number), record: Some(index), repaired: repairs, ..found });
        }
        if self.auditor.repair && on.accepted && !mended.is_empty() {
            self.auditor.store.mend_orders(row, &mended, self.auditor.now_ms).await?;
            return Ok(back);
        }
        Ok(0)
    }
}

impl Books {
    fn count(&mut self, entries: &Entries) {
        self.counts.accepted += entries.orders.len() as u64;
        for other in &entries.others {
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
    let origin =
        Origin { municipality: on.row.municipality, batch: on.row.batch_id, today: Date::in_japan(0) };
    chunks::order(origin, index, record, canonical, &on.vault, &on.key)
}

/// Names the columns in which an order is not what its record makes of it.
fn differs(on: &Subject, whole: &NewOrder, order: &RawOrder, indexed: bool) -> Option<String> {
    let aad = record_aad(on.row.municipality, on.row.batch_id, whole.index);
    let sealed = if order.sealed == whole.sealed {
        None
    } else if on.key.open(&aad, &order.sealed).is_err() {
        Some("sealed does not open")
    } else {
        Some("sealed is another record")
    };
    let columns = [
        ("order_id is not the record's", order.order_id == whole.order_id),
        ("leaf is not the record's", order.leaf == whole.leaf.as_bytes()),
        ("kind is not the record's", order.kind == whole.kind),
        ("district is not the record's", order.district == whole.district),
        (
            "person_index is not the record's",
            order.person_index.as_deref() == whole.person_index.as_ref().map(<[u8; 32]>::as_slice),
        ),
        ("protected is not the record's", order.protected == whole.protected),
        ("accommodations are not the record's", order.accommodations == whole.accommodations),
        ("its order id does not lead to it (order_key)", order.has_key || !on.accepted),
        ("its person does not lead to it (card_person)", order.has_person || !indexed),
    ];
    let wrong: Vec<&str> =
        sealed.into_iter().chain(columns.iter().filter(|(_, same)| !same).map(|(what, _)| *what)).collect();
    (!wrong.is_empty()).then(|| wrong.join("; "))
}

/// Makes a chunk's payload of its orders, if each of its records is a whole order.
fn from_orders(on: &Subject, number: u32, orders: &[RawOrder]) -> Option<Zeroizing<Vec<u8>>> {
    let row = &on.row;
    if orders.len() as u64 != row.records_in(&[number]) {
        return None;
    }
    let mut writer = chunk::Writer::default();
    for order in orders {
        let index = u64::try_from(order.record_index).ok()?;
        let canonical =
            on.key.open(&record_aad(row.municipality, row.batch_id, index), &order.sealed).ok()?;
        writer.push(&canonical);
    }
    let payload = Zeroizing::new(writer.take());
    let root = merkle::root(&chunk::leaves(&payload).ok()?);
    (root == on.roots[number as usize]).then_some(payload)
}
