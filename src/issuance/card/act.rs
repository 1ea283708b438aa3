//! One event of one card: what is asked is checked, decided on what is committed, and recorded.

use tonic::Request;

use crate::{
    domain::{date::Date, identity::Role, item::ItemId, life::card::CardState},
    store::{Decided, Found},
    wire::{
        fault::{Fault, Reason},
        pb,
    },
};

use super::{
    super::{
        caller::not_yours,
        core::Core,
        mutation::{Begun, OfItem, begin, not_after_restore, of_item},
    },
    blanks::{self, Tally},
    event::Event,
    fields, find, ids,
    life::{Life, unreadable},
    view,
};

of_item! { card_id:
    RecordPreIssuanceRequest,
    NotifyHolderRequest,
    SuspendCardRequest(municipality_code),
    ResumeCardRequest,
    RevokeCardRequest,
    SurrenderCardRequest,
    ScrapCardRequest,
    RemakeCardRequest,
}

/// What an event may depend on beside the request: the card so far, another card of the person that may be
/// active, and the day in Japan.
pub(super) struct At<'a> {
    pub(super) life: &'a Life,
    pub(super) other: Option<&'a ItemId>,
    pub(super) today: Date,
}

/// Records what `event` makes of the request, and returns the card after it.
pub(super) async fn record<M: OfItem + Send + Sync + 'static>(
    core: &Core,
    request: Request<M>,
    roles: &[Role],
    event: impl Fn(&M, &At<'_>) -> Result<Event, Fault> + Send + Sync + 'static,
) -> Result<pb::Card, Fault> {
    let Begun { request, caller, municipality, id, deadline, mutation } = begin(core, request, roles)?;
    not_after_restore(core, &caller, deadline).await?;
    let known = find::by_id(core, municipality, &id, deadline).await?;
    let (hold, begins) = known.begins(core, deadline).await?;
    let share = known.item.as_ref().map(blanks::of_unmade).transpose()?.flatten();
    let (key, occurred_ms) = (ids::key(municipality, id), mutation.occurred_ms);
    let (id, today) = (key.id.clone(), Date::in_japan(mutation.now_ms));
    let decided = move |found: &Found| -> Result<Decided, Fault> {
        let (mut events, life) = so_far(found, begins.as_ref(), &id, occurred_ms)?;
        let other = found.held.get(&hold).filter(|holder| **holder != id);
        let event = event(&request, &At { life: &life, other, today })?;
        let given_up = blanks::given_up(&life, event.clone());
        let after = life.clone().then(&id, &given_up, occurred_ms);
        let after = after.map_err(|fault| naming(fault, other))?;
        let mut tally = Tally::default();
        tally.note(&life, &event, &after)?;
        events.extend(given_up);
        let with = tally.decided(municipality, found, occurred_ms)?;
        Ok(Decided { with, ..after.decided(&events, occurred_ms)? })
    };
    let with = share.into_iter().collect();
    let item = mutation.change_with(core, deadline, key, (with, vec![hold]), decided).await?;
    view::card(&known.order, Some(&item))
}

/// The life that is decided on, and what has to be recorded before: the order, if nobody was given it yet.
fn so_far(
    found: &Found,
    begins: Option<&Event>,
    id: &ItemId,
    occurred_ms: i64,
) -> Result<(Vec<Event>, Life), Fault> {
    let life = Life::of(&found.history).map_err(|_| unreadable())?;
    if life.is_ordered() {
        return Ok((Vec::new(), life));
    }
    let begins = vec![begins.ok_or_else(not_yours)?.clone()];
    let life = life.then(id, &begins, occurred_ms)?;
    Ok((begins, life))
}

/// Has a fault for another card name that card.
pub(super) fn naming(fault: Fault, other: Option<&ItemId>) -> Fault {
    let Some(other) = other.filter(|_| fault.reason == Reason::OtherCard) else { return fault };
    let words = format!("card {other} of the person is active, suspended or being activated: end it first");
    Fault::new(Reason::OtherCard, words).with("card_id", other.as_str())
}

/// Fails if the last day of a card that is to become active is over, whether or not it is EXPIRED yet.
pub(super) fn not_over(id: &str, life: &Life, today: Date) -> Result<(), Fault> {
    let Some(last_day) = life.last_day().filter(|last_day| *last_day < today) else { return Ok(()) };
    let words = format!("card {id}: its last day was {last_day}: the holder needs a new one");
    Err(Fault::new(Reason::ItemState, words).with("card_id", id).with("state", life.state.as_str()))
}

/// What a self-test makes of a card.
pub(super) fn tested(request: &pb::RecordPreIssuanceRequest, _: &At<'_>) -> Result<Event, Fault> {
    Ok(match fields::self_test(&request.self_test)? {
        None => Event::PreIssue,
        Some(result) => Event::FailSelfTest { result },
    })
}

/// The holder has it again.
pub(super) fn resumed(request: &pb::ResumeCardRequest, at: &At<'_>) -> Result<Event, Fault> {
    if at.life.state == CardState::Suspended {
        not_over(&request.card_id, at.life, at.today)?;
    }
    Ok(Event::Resume {
        other_may_be_active: at.other.is_some(),
        fraud_suspected: at.life.details.fraud_suspected,
    })
}
