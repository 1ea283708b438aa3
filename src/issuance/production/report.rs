//! What came out of a producer's orders is recorded whole or not at all; for each card that is bad a new
//! order waits at once.

use std::collections::{BTreeSet, HashMap};

use futures_util::{StreamExt as _, stream};
use tonic::Request;

use crate::{
    domain::{
        date::Date,
        digest::Digest,
        identity::Role,
        item::{Hold, HoldKind, ItemId, ItemKey, ItemKind},
        record::Field,
        rules,
    },
    store::{Found, ItemRow},
    telemetry::names,
    wire::{
        fault::{Fault, Reason},
        pb,
    },
};

use super::{
    super::{
        card,
        core::{Core, store_fault},
        orders::Order,
    },
    asked::{Of, Wrong},
    made::{self, Line, Made, Outcome},
    view,
};

/// Orders that are opened at once.
const AT_ONCE: usize = 16;

/// Records what came out, and returns the share and the new orders.
pub(super) async fn report(
    core: &Core,
    request: Request<pb::ReportProductionRequest>,
) -> Result<pb::ReportProductionResponse, Fault> {
    let (of, request) = Of::read(core, request, Role::Producer)?;
    let mut wrong = Wrong::default();
    let lines = made::lines(&request.cards, of.municipality, &mut wrong);
    of.own_share().await?;
    let keys: Vec<ItemKey> = lines.iter().map(|line| line.card.clone()).collect();
    let rows = by_id(of.deadline.wait(core.store.items_of(&keys)).await?.map_err(store_fault)?);
    let mut outcomes = Vec::new();
    let mut found = stream::iter(lines).map(|line| outcome(&of, line, &rows)).buffered(AT_ONCE);
    while let Some(outcome) = found.next().await {
        outcomes.push(outcome?);
    }
    drop(found);
    unmet_fit(&outcomes, &mut wrong);
    if !wrong.is_empty() {
        // Nothing of it was ever recorded, so the rest can be held against how the cards stand.
        made::stand(&outcomes, &rows, (&of.name, of.lot.as_str()), &mut wrong);
        wrong.check(Reason::FieldInvalid)?;
    }
    let bad: Vec<ItemKey> = outcomes.iter().filter(|one| one.remake.is_some()).map(Outcome::card).collect();
    let unmet: u64 = outcomes.iter().map(Outcome::unmet).sum();
    record(&of, outcomes, unmet).await?;
    answer(&of, &bad).await
}

fn by_id(rows: Vec<ItemRow>) -> HashMap<ItemId, ItemRow> {
    rows.into_iter().map(|row| (row.key.id.clone(), row)).collect()
}

/// What an outcome depends on beside the report: of a good card the order that it is for, of a bad one
/// what the next is called.
async fn outcome(of: &Of<'_>, line: Line, rows: &HashMap<ItemId, ItemRow>) -> Result<Outcome, Fault> {
    let Of { core, deadline, municipality, .. } = *of;
    let Some(row) = rows.get(&line.card.id) else { return Ok(Outcome::unknown(line)) };
    let details = card::life::details(row)?;
    let own = (details.producer.as_deref(), details.lot.as_deref());
    if own != (Some(of.name.as_str()), Some(of.lot.as_str())) {
        return Ok(Outcome::unknown(line)); // of what is another's nothing is said
    }
    let application = details.application.as_deref().map(str::parse);
    let application = application.transpose().map_err(|_| card::life::unreadable())?;
    let application = application.map(|id| ItemKey { municipality, kind: ItemKind::Application, id });
    let person: Digest = details.person.parse().map_err(|_| card::life::unreadable())?;
    let hold = Hold { kind: HoldKind::LiveApplication, of: person.0 };
    let hold = application.is_some().then_some(hold);
    let mut outcome = Outcome { application, hold, ..Outcome::unknown(line) };
    match outcome.made {
        Made::Good { .. } => {
            let order = Order::by_id(core, municipality, &details.order_id, deadline).await;
            let order = order.map_err(|fault| {
                let message = format!("cards[{}]: its order: {}", outcome.at, fault.message);
                Fault { message, ..fault }
            })?;
            let birth = Date::parse(order.record.text(Field::BirthDate));
            // A report that comes late makes no card last longer.
            let made = Date::in_japan(of.mutation.occurred_ms);
            // Of some only the year or the month of birth is known.
            outcome.last_day = birth.and_then(|birth| rules::card_expiry(made, birth, None));
            outcome.ordered = Some(view::accommodations(&order).map(str::to_owned).collect());
        }
        Made::Bad { .. } => {
            let base = details.application.as_deref().unwrap_or(&details.order_id);
            outcome.remake = Some(card::ids::next(core, municipality, base, 2, deadline).await?);
        }
    }
    Ok(outcome)
}

/// What is unmet must have been ordered.
fn unmet_fit(outcomes: &[Outcome], wrong: &mut Wrong) {
    for one in outcomes {
        let (Made::Good { unmet, .. }, Some(ordered)) = (&one.made, &one.ordered) else { continue };
        for need in unmet.iter().filter(|need| !ordered.contains(*need)) {
            let known = ordered.join(", ");
            let known = if known.is_empty() { "none was".to_owned() } else { format!("those were: {known}") };
            let shown: String = need.chars().filter(char::is_ascii_graphic).take(32).collect();
            wrong.say(
                format!("cards[{}].ok.unmet_accommodations", one.at),
                format!("{shown} was not ordered; {known}"),
            );
        }
    }
}

/// Records all of it in one change, under the first card.
async fn record(of: &Of<'_>, outcomes: Vec<Outcome>, unmet: u64) -> Result<(), Fault> {
    let share = of.share();
    let mut with: BTreeSet<ItemKey> = BTreeSet::from([share.clone()]);
    let mut holds: BTreeSet<Hold> = BTreeSet::new();
    for one in &outcomes {
        with.insert(one.card());
        with.extend(one.application.clone());
        with.extend(one.remake.clone());
        holds.extend(one.hold);
    }
    let first = outcomes.first().map(Outcome::card).ok_or_else(card::life::unreadable)?;
    with.remove(&first);
    let items = (with.into_iter().collect(), holds.into_iter().collect());
    let recording = made::Recording {
        share,
        first: first.clone(),
        producer: of.name.clone(),
        occurred_ms: of.mutation.occurred_ms,
        outcomes,
    };
    let decided = move |found: &Found| recording.decide(found);
    let carried = of.mutation.clone().carry_out(of.core, of.deadline, first, items, decided).await;
    if carried?.is_new && unmet > 0 {
        metrics::counter!(names::ACCOMMODATIONS_UNMET).increment(unmet);
    }
    Ok(())
}

/// The share as it stands, and the cards that take the place of these.
async fn answer(of: &Of<'_>, bad: &[ItemKey]) -> Result<pb::ReportProductionResponse, Fault> {
    let share = of.own_share().await?;
    let rows = by_id(of.deadline.wait(of.core.store.items_of(bad)).await?.map_err(store_fault)?);
    let mut remade_card_ids = Vec::with_capacity(bad.len());
    for key in bad {
        let row = rows.get(&key.id).ok_or_else(card::life::unreadable)?;
        remade_card_ids.push(card::life::details(row)?.remade_as.unwrap_or_default());
    }
    Ok(pb::ReportProductionResponse { share: Some(view::share(&share)?), remade_card_ids })
}
