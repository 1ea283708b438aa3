//! The records of a batch that are no orders, page by page: a million of them are walked through, never kept.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{calls::CallError, outcome::NotAccepted, session::Session};
use crate::{
    domain::{batch_id::BatchId, validation},
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
    /// Walks through everything that was not accepted.
    ///
    /// It is only shown: a failure on the way changes no outcome, and stands in the listing.
    pub async fn of(session: &Session, batch_id: BatchId) -> Self {
        let (mut urgent, mut other, mut more) = (Vec::new(), Vec::new(), BTreeMap::new());
        let mut pages = Pages::new(session, batch_id);
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

/// Asks for one page after the other of what was not accepted.
pub struct Pages<'a> {
    session: &'a Session,
    batch_id: BatchId,
    token: Option<String>,
}

impl<'a> Pages<'a> {
    /// Begins before the first page.
    #[must_use]
    pub fn new(session: &'a Session, batch_id: BatchId) -> Self {
        Self { session, batch_id, token: Some(String::new()) }
    }

    /// Returns the next page, by index; `None` after the last.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn next(&mut self) -> Result<Option<Vec<pb::Disposition>>, CallError> {
        let Some(token) = self.token.take() else { return Ok(None) };
        let answer = self.session.not_accepted(self.batch_id, PAGE, &token).await?;
        self.token = Some(answer.next_page_token).filter(|token| !token.is_empty());
        Ok(Some(answer.dispositions))
    }
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
