//! One event of one envelope: what is asked is checked, decided on what is committed, and recorded.

use tonic::Request;

use crate::{
    domain::{
        date::Date,
        digest::Digest,
        identity::Role,
        item::{Hold, HoldKind, ItemKey},
        life::mail::{
            MailState,
            disposal::{BadClerk, Clerk, Retention},
        },
    },
    store::{Decided, Found},
    wire::{
        fault::{Fault, Reason},
        pb,
    },
};

use super::{
    super::{
        core::{Core, store_fault},
        deadline::Deadline,
        mutation::{Begun, OfItem, begin, id_of, not_after_restore, of_item, overtaken},
    },
    event::{Event, Kept},
    life::{Happened, Life, decide, details, unreadable},
    retention, view,
};

/// Cards in one envelope at the most.
const ORDERS_MAX: usize = 100;

of_item! { mail_item_id:
    RecordProducedRequest(municipality_code),
    RecordPostedRequest(municipality_code),
    RecordDeliveredRequest(municipality_code),
    RecordReturnedRequest(municipality_code),
    StoreReturnedRequest,
    HandOverRequest,
    RequestRedeliveryRequest,
    ProposeDisposalRequest,
    ConfirmDisposalRequest,
    ClaimEmptyEnvelopeRequest,
    VoidMailItemRequest,
}

/// What an event may depend on beside the request: the envelope so far, the day in Japan, and the retention.
pub(super) struct At<'a> {
    life: &'a Life,
    today: Date,
    retention: Retention,
}

/// Records what `event` makes of the request, and returns the envelope after it.
pub(super) async fn record<M: OfItem + Send + Sync + 'static>(
    core: &Core,
    request: Request<M>,
    roles: &[Role],
    event: impl Fn(&M, &At<'_>) -> Result<Event, Fault> + Send + Sync + 'static,
) -> Result<pb::MailItem, Fault> {
    with_cards(core, request, roles, &[], event).await
}

/// The same for a request that names the cards of the envelope.
///
/// They belong to it as long as they are in it, so far as anybody knows; what another has meanwhile stays
/// there.
pub(super) async fn with_cards<M: OfItem + Send + Sync + 'static>(
    core: &Core,
    request: Request<M>,
    roles: &[Role],
    named: &[String],
    event: impl Fn(&M, &At<'_>) -> Result<Event, Fault> + Send + Sync + 'static,
) -> Result<pb::MailItem, Fault> {
    let Begun { request, caller, municipality, id, deadline, mutation } = begin(core, request, roles)?;
    let key = view::key(municipality, id);
    let named_holds = holds(named)?;
    not_after_restore(core, &caller, deadline).await?;
    orders_exist(core, &key, named, deadline).await?;
    let known = deadline.wait(core.store.item(&key)).await?.map_err(store_fault)?;
    let known = known.as_ref().map(details).transpose()?.unwrap_or_default().order_ids;
    let all = if known.is_empty() { named_holds } else { holds(&known)? };
    // No scan depends on it.
    let retention = match caller.role() {
        Role::Municipality => retention::of(core, municipality, deadline).await?,
        _ => Retention::national(),
    };
    let (request_id, occurred_ms) = (mutation.request_id.clone(), mutation.occurred_ms);
    let actor = mutation.actor.clone();
    let today = Date::in_japan(mutation.now_ms);
    let (id, asked) = (key.id.clone(), all.clone());
    let decided = move |found: &Found| -> Result<Decided, Fault> {
        let life = Life::of(&found.history).map_err(|_| unreadable())?;
        let cards = life.order_ids().to_vec();
        if !cards.is_empty() && holds(&cards)? != all {
            return Err(overtaken()); // the press has just named them
        }
        let event = event(&request, &At { life: &life, today, retention })?;
        let new = Happened { event, occurred_ms, actor: actor.clone(), request_id: request_id.clone() };
        let decided = decide(life, &new)?;
        let others = || found.held.iter().filter(|(_, holder)| **holder != id);
        if !has_cards(&decided)? {
            return Ok(Decided { leave: all.clone(), ..decided });
        }
        if let (true, Some((_, other))) = (cards.is_empty(), others().next()) {
            let words = format!("a card of this list is in envelope {other} already: look at both");
            return Err(Fault::new(Reason::OrderInEnvelope, words).with("mail_item_id", other.as_str()));
        }
        let is_free = |hold: &Hold| others().all(|(other, _)| other != hold);
        let take = all.iter().copied().filter(is_free).collect();
        Ok(Decided { take, ..decided })
    };
    let item = view::mail_item(mutation.change(core, deadline, key, asked, decided).await?)?;
    Ok(view::shown_to(&caller, item))
}

/// Whether its cards are in an envelope that stands so.
fn has_cards(decided: &Decided) -> Result<bool, Fault> {
    let state: MailState = decided.state.parse().map_err(|_| unreadable())?;
    Ok(state.has_cards())
}

/// What the cards of an envelope are held by.
fn holds(order_ids: &[String]) -> Result<Vec<Hold>, Fault> {
    if order_ids.len() > ORDERS_MAX {
        return Err(too_many_or_none());
    }
    for id in order_ids {
        id_of(id, "order_ids")?;
    }
    let of = |id: &String| Hold { kind: HoldKind::Envelope, of: Digest::of(id.as_bytes()).0 };
    let mut holds: Vec<Hold> = order_ids.iter().map(of).collect();
    holds.sort_unstable();
    holds.dedup();
    if holds.len() < order_ids.len() {
        let words = "a card stands twice in the list: name each once";
        return Err(Fault::new(Reason::FieldInvalid, words).violation("order_ids", "each once"));
    }
    Ok(holds)
}

/// Fails unless each of these orders is one of the municipality's, in an accepted batch.
async fn orders_exist(
    core: &Core,
    key: &ItemKey,
    order_ids: &[String],
    deadline: Deadline,
) -> Result<(), Fault> {
    for (at, id) in order_ids.iter().enumerate() {
        let card = core.store.card_by_order_id(key.municipality, id);
        if deadline.wait(card).await?.map_err(store_fault)?.is_none() {
            let words = format!("order_ids[{at}] is no order of an accepted batch of {}", key.municipality);
            return Err(Fault::new(Reason::NotFound, words));
        }
    }
    Ok(())
}

/// What the press says.
pub(super) fn produced(request: &pb::RecordProducedRequest, _: &At<'_>) -> Result<Event, Fault> {
    let order_ids = request.order_ids.clone();
    if !(1..=ORDERS_MAX).contains(&order_ids.len()) {
        return Err(too_many_or_none());
    }
    let Some(evidence) = view::read_evidence(request.insertion_evidence) else {
        return Ok(Event::Print { order_ids });
    };
    Ok(Event::Insert { order_ids, evidence: Some(evidence) })
}

fn too_many_or_none() -> Fault {
    let words = format!("order_ids must name the 1 to {ORDERS_MAX} cards of the envelope");
    Fault::new(Reason::FieldInvalid, words.clone()).violation("order_ids", words)
}

/// The second step of a disposal, with what it depends on.
pub(super) fn disposal(request: &pb::ConfirmDisposalRequest, at: &At<'_>) -> Result<Event, Fault> {
    let confirmed_by = clerk(&request.clerk)?;
    let proposed_by = at.life.standing().proposed_by.clone().ok_or_else(|| {
        let state = at.life.standing().state;
        let words = format!("nobody has proposed it since it is {state}: propose it first");
        Fault::new(Reason::ItemState, words).with("state", state.as_str())
    })?;
    Ok(Event::ConfirmDisposal {
        proposed_by: proposed_by.to_string(),
        confirmed_by: confirmed_by.to_string(),
        on: at.today.to_string(),
        retention: Kept::of(at.retention),
        seen_ms: at.life.counted_ms(),
    })
}

/// Reads the short name of a clerk.
pub(super) fn clerk(text: &str) -> Result<Clerk, Fault> {
    text.parse().map_err(|wrong: BadClerk| {
        Fault::new(Reason::FieldInvalid, wrong.to_string()).violation("clerk", wrong.to_string())
    })
}
