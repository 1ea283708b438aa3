//! The records of a batch that are no orders, page by page: a million of them are walked through, never kept.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{error::Error, outcome::NotAccepted, session::Session};
use crate::{
    domain::{
        batch_id::BatchId,
        disposition::{Disposition, DispositionKind},
        merkle,
        receipt::Receipt,
        validation,
    },
    wire::pb,
};

/// Most records of a listing that are shown, of those that somebody must mend and of all others alike.
pub const SHOWN: usize = 200;
/// Dispositions asked for at a time.
const PAGE: u32 = 2000;

/// Which records of a batch are no orders: the first of them, and how many more there are of each kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// Rejected and quarantined records first, as somebody must mend them, then what was there already.
    pub not_accepted: Vec<NotAccepted>,
    /// How many more there are, by what became of them.
    pub more_not_accepted: BTreeMap<String, u64>,
    /// Why the listing ends early, if it does.
    pub listing_broke: Option<String>,
}

impl Listing {
    /// One that somebody did not wait for.
    pub(crate) fn interrupted() -> Self {
        Self { listing_broke: Some("it was interrupted".to_owned()), ..Self::default() }
    }

    /// Whether any record was rejected.
    #[must_use]
    pub fn is_rejected(&self) -> bool {
        let rejected = DispositionKind::Rejected.as_str();
        self.more_not_accepted.contains_key(rejected)
            || self.not_accepted.iter().any(|one| one.disposition == rejected)
    }

    /// Walks through everything that was not accepted, and holds it against the receipt if there is one.
    ///
    /// It is only shown: a failure on the way changes no outcome, and stands in the listing.
    pub async fn of(session: &Session, batch_id: BatchId, receipt: Option<&Receipt>) -> Self {
        let (mut urgent, mut other, mut more) = (Vec::new(), Vec::new(), BTreeMap::new());
        let mut pages = Pages::new(session, batch_id, receipt);
        let mut listing_broke = None;
        loop {
            let page = match pages.next().await {
                Ok(Some(page)) => page,
                Ok(None) => break,
                Err(error) => {
                    listing_broke = Some(error.to_string());
                    break;
                }
            };
            for disposition in page {
                let kept = if is_urgent(&disposition) { &mut urgent } else { &mut other };
                if kept.len() < SHOWN {
                    kept.push(shown(disposition));
                } else {
                    *more.entry(kind_name(&disposition)).or_default() += 1;
                }
            }
        }
        let rest = other.split_off(other.len().min(SHOWN.saturating_sub(urgent.len())));
        rest.into_iter().for_each(|record| *more.entry(record.disposition).or_default() += 1);
        urgent.extend(other);
        Self { not_accepted: urgent, more_not_accepted: more, listing_broke }
    }
}

/// Asks for one page after the other of what was not accepted. What relays show is all of it only if it leads
/// to the root that the issuer signed in the receipt.
pub struct Pages<'a> {
    session: &'a Session,
    batch_id: BatchId,
    receipt: Option<&'a Receipt>,
    token: Option<String>,
    /// The least index that may come next.
    next: u64,
    listed: merkle::Accumulator,
}

impl<'a> Pages<'a> {
    /// Begins before the first page.
    #[must_use]
    pub fn new(session: &'a Session, batch_id: BatchId, receipt: Option<&'a Receipt>) -> Self {
        let listed = merkle::Accumulator::default();
        Self { session, batch_id, receipt, token: Some(String::new()), next: 0, listed }
    }

    /// Returns the next page, by index; `None` after the last.
    ///
    /// # Errors
    /// [`Error::Call`], and [`Error::Unconfirmed`] for what is not in order or not what the receipt proves.
    pub async fn next(&mut self) -> Result<Option<Vec<pb::Disposition>>, Error> {
        let Some(token) = self.token.take() else { return self.end() };
        let answer = self.session.not_accepted(self.batch_id, PAGE, &token).await?;
        let more = !answer.next_page_token.is_empty();
        let disorder = || Error::Unconfirmed("the list of what was not accepted is not in order".to_owned());
        if more && answer.dispositions.is_empty() {
            return Err(disorder());
        }
        for one in &answer.dispositions {
            let read = read(one).filter(|read| read.index >= self.next).ok_or_else(disorder)?;
            self.next = read.index.checked_add(1).ok_or_else(disorder)?;
            self.listed.push(read.leaf());
        }
        self.token = more.then_some(answer.next_page_token);
        Ok(Some(answer.dispositions))
    }

    fn end(&self) -> Result<Option<Vec<pb::Disposition>>, Error> {
        let Some(receipt) = self.receipt.filter(|receipt| receipt.reject_root != self.listed.root()) else {
            return Ok(None);
        };
        let (counts, listed) = (&receipt.counts, self.listed.count());
        let proved = receipt.declared.records.saturating_sub(counts.accepted);
        Err(Error::Unconfirmed(format!(
            "the list of what was not accepted, {listed} records, is not the one that the receipt proves, \
             {proved} records"
        )))
    }
}

// The line that the receipt's root stands for; `None` if the issuer has no such line.
fn read(one: &pb::Disposition) -> Option<Disposition> {
    let kind = match one.kind() {
        pb::DispositionKind::Accepted => DispositionKind::Accepted,
        pb::DispositionKind::Rejected => DispositionKind::Rejected,
        pb::DispositionKind::Duplicate => DispositionKind::Duplicate,
        pb::DispositionKind::Quarantined => DispositionKind::Quarantined,
        pb::DispositionKind::Unspecified | pb::DispositionKind::Missing | pb::DispositionKind::Stored => {
            return None;
        }
    };
    let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let duplicate_of = match one.duplicate_of_batch_id.as_str() {
        "" => None,
        id => Some((id.parse().ok()?, one.duplicate_of_index)),
    };
    let (code, field) = (some(&one.code), some(&one.field));
    Some(Disposition { index: one.index, order_id: one.order_id.clone(), kind, code, field, duplicate_of })
}

/// What became of a record, in the words of the design, such as `REJECTED`.
#[must_use]
pub fn kind_name(disposition: &pb::Disposition) -> String {
    let name = disposition.kind().as_str_name();
    name.strip_prefix("DISPOSITION_KIND_").unwrap_or(name).to_owned()
}

fn is_urgent(disposition: &pb::Disposition) -> bool {
    disposition.kind() != pb::DispositionKind::Duplicate
}

fn shown(disposition: pb::Disposition) -> NotAccepted {
    let (what, remedy) = validation::explain(&disposition.code);
    NotAccepted {
        index: disposition.index,
        line: 0,
        place: String::new(),
        disposition: kind_name(&disposition),
        order_id: disposition.order_id,
        code: disposition.code,
        field: disposition.field,
        what,
        remedy,
    }
}
