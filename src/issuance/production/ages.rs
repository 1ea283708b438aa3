//! How long the cards of a municipality took, and how long what is not done has been waiting.

use std::{collections::HashMap, time::Duration};

use tonic::Request;

use crate::{
    domain::{
        identity::Role,
        item::{ItemId, ItemKey, ItemKind},
        life::{application::ApplicationState, card::CardState},
        municipality::MunicipalityCode,
    },
    store::{ItemRow, WhichItems},
    wire::{convert::span, fault::Fault, pb},
};

use super::super::{
    application,
    caller::{one_of, whose},
    card,
    core::{Core, store_fault},
    deadline::Deadline,
};

/// Items of a page.
const PAGE: u32 = 1000;
/// Items of one state that are looked at.
const ITEMS_MAX: usize = 100_000;
/// What was sent so long ago is looked at, in ms.
const SENT_MS: i64 = 31 * 24 * 3_600_000;

/// A look at the items of a municipality.
struct Look<'a> {
    core: &'a Core,
    municipality: MunicipalityCode,
    now_ms: i64,
    deadline: Deadline,
}

/// Returns the ages of a municipality's applications and cards by stage.
pub(super) async fn list(
    core: &Core,
    request: Request<pb::ListStageAgesRequest>,
) -> Result<pb::ListStageAgesResponse, Fault> {
    let caller = one_of(&request, &[Role::Municipality, Role::Operator, Role::Auditor])?;
    let deadline = Deadline::of(request.metadata(), core.options.call_deadline);
    let municipality = whose(&caller, Some(&request.get_ref().municipality_code))?;
    let look = Look { core, municipality, now_ms: core.clock.now_ms(), deadline };
    let mut stages = vec![stage("APPLICATION_TO_SHIPMENT", look.to_shipment().await?)];
    for state in ApplicationState::ALL.iter().filter(|state| state.is_live()) {
        let ages = look.waiting(ItemKind::Application, state.as_str()).await?;
        stages.push(stage(&format!("APPLICATION {state}"), ages));
    }
    for state in CardState::ALL.iter().copied().filter(|state| waits(*state)) {
        let ages = look.waiting(ItemKind::Card, state.as_str()).await?;
        stages.push(stage(&format!("CARD {state}"), ages));
    }
    stages.retain(|stage| stage.count > 0);
    Ok(pb::ListStageAgesResponse { stages })
}

/// Whether a card in this state waits for somebody.
fn waits(state: CardState) -> bool {
    (state.is_live() && state != CardState::Active) || state == CardState::LostInTransit
}

impl Look<'_> {
    /// How long what is in this state has been in it.
    async fn waiting(&self, kind: ItemKind, state: &str) -> Result<Vec<i64>, Fault> {
        let mut ages = Vec::new();
        let mut pages = Pages::of(state, None);
        while let Some(rows) = self.next(kind, &mut pages).await? {
            ages.extend(rows.iter().map(|row| self.now_ms - row.since_ms));
        }
        Ok(ages)
    }

    /// How long it took from the application to the shipment of its card, of what was sent lately.
    async fn to_shipment(&self) -> Result<Vec<i64>, Fault> {
        let from_ms = self.now_ms.saturating_sub(SENT_MS);
        let mut ages = Vec::new();
        for state in CardState::ALL.iter().filter(|state| may_be_sent(**state)) {
            // Nothing has been in its state for longer than since it was sent.
            let mut pages = Pages::of(state.as_str(), Some(from_ms));
            while let Some(rows) = self.next(ItemKind::Card, &mut pages).await? {
                let mut sent: HashMap<ItemKey, i64> = HashMap::new();
                for row in &rows {
                    let details = card::life::details(row)?;
                    let shipped_ms = details.shipped_ms.filter(|shipped_ms| *shipped_ms >= from_ms);
                    if let (Some(number), Some(shipped_ms)) = (details.application, shipped_ms) {
                        let id: ItemId = number.parse().map_err(|_| card::life::unreadable())?;
                        let (municipality, kind) = (self.municipality, ItemKind::Application);
                        sent.insert(ItemKey { municipality, kind, id }, shipped_ms);
                    }
                }
                let keys: Vec<ItemKey> = sent.keys().cloned().collect();
                let found = self.deadline.wait(self.core.store.items_of(&keys)).await?;
                for row in found.map_err(store_fault)? {
                    let received_ms = application::life::details(&row)?.received_ms;
                    ages.push(sent[&row.key] - received_ms);
                }
            }
        }
        Ok(ages)
    }

    async fn next(&self, kind: ItemKind, pages: &mut Pages) -> Result<Option<Vec<ItemRow>>, Fault> {
        if pages.is_over {
            return Ok(None);
        }
        let rows = self.core.store.list_items(self.municipality, kind, &pages.which, PAGE);
        let rows = self.deadline.wait(rows).await?.map_err(store_fault)?;
        pages.which.after = rows.last().map(|row| (row.since_ms, row.key.id.clone()));
        pages.seen += rows.len();
        pages.is_over = rows.len() < PAGE as usize || pages.seen >= ITEMS_MAX;
        Ok(Some(rows))
    }
}

/// Pages of the items in one state, the longest in it first.
struct Pages {
    which: WhichItems,
    seen: usize,
    is_over: bool,
}

impl Pages {
    /// All of a state, or those that came into it from then on.
    fn of(state: &str, from_ms: Option<i64>) -> Self {
        let lowest: ItemId = "!".parse().expect("it is visible");
        let after = from_ms.map(|from_ms| (from_ms, lowest));
        let which = WhichItems { state: Some(state.to_owned()), after, ..WhichItems::default() };
        Self { which, seen: 0, is_over: false }
    }
}

/// Whether a card in this state may have been sent.
fn may_be_sent(state: CardState) -> bool {
    !matches!(state, CardState::Ordered | CardState::Personalised | CardState::QcPassed)
}

fn stage(name: &str, mut ages: Vec<i64>) -> pb::StageAge {
    ages.sort_unstable();
    let of = |percent| span(Duration::from_millis(percentile(&ages, percent)));
    let (p50, p95) = (Some(of(50)), Some(of(95)));
    pb::StageAge { stage: name.to_owned(), count: ages.len() as u64, p50, p95 }
}

/// The smallest age that so many of a hundred do not exceed (nearest rank); 0 of none, and of what lies
/// ahead.
fn percentile(sorted: &[i64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).map_or(0, |age| u64::try_from(*age).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_an_age_that_was_there() {
        assert_eq!((percentile(&[], 50), percentile(&[7], 50), percentile(&[7], 95)), (0, 7, 7));
        let hundred: Vec<i64> = (1..=100).collect();
        assert_eq!((percentile(&hundred, 50), percentile(&hundred, 95)), (50, 95));
        assert_eq!((percentile(&[1, 2, 3], 50), percentile(&[1, 2, 3], 95)), (2, 3));
        assert_eq!(percentile(&[-5], 50), 0, "by a clock that is ahead");
    }
}
