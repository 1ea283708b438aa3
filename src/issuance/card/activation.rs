//! An activation is begun, confirmed on the chip's proof, or given up; asked again under its session it is
//! answered by what became of it, and nothing is written twice.

use std::collections::BTreeSet;

use tonic::Request;

use crate::{
    domain::{
        date::Date,
        identity::{Identity, Role},
        item::{Hold, ItemId, ItemKey},
        life::{
            IllegalTransition, Why,
            activation::{Intent, IntentCommand, IntentState, SessionId},
            card::CardState,
            evidence::Document,
        },
        municipality::MunicipalityCode,
    },
    store::{Decided, Found, ItemRow},
    wire::{
        fault::{Fault, Reason},
        pb,
    },
};

use super::{
    super::{
        caller::{not_yours, one_of, whose},
        core::{Core, store_fault},
        deadline::Deadline,
        mutation::{Mutation, OfItem, id_of, not_after_restore, of_item},
    },
    act::{naming, not_over},
    chip,
    event::Event,
    fields, find, ids,
    life::{self, Life, details, refused, unreadable},
    view,
};

/// Why nothing is written.
enum Stop {
    /// The session is known already: it is answered by what became of it.
    Settled,
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Stop::Fault(fault)
    }
}

/// What the three calls have in common, checked: one card, one session.
struct Asked {
    mutation: Mutation,
    municipality: MunicipalityCode,
    deadline: Deadline,
    key: ItemKey,
    session: SessionId,
    card: find::Known,
    /// The card as it stands; of an order that nobody was given, none.
    item: ItemRow,
    hold: Hold,
}

of_item! { card_id: BeginActivationRequest, ConfirmActivationRequest, AbortActivationRequest }

impl Asked {
    async fn of<M: OfItem>(
        core: &Core,
        caller: &Identity,
        request: &M,
        session_id: &str,
        deadline: Deadline,
    ) -> Result<Self, Fault> {
        let mutation = Mutation::of_item(core, caller, request)?;
        let municipality = whose(caller, None)?;
        let id = id_of(request.item_id(), M::FIELD)?;
        let session = fields::session(session_id, "session_id")?;
        not_after_restore(core, caller, deadline).await?;
        let mut card = find::by_id(core, municipality, &id, deadline).await?;
        let Some(item) = card.item.take() else {
            let words = format!("card {id} is ORDERED and no producer has been given it");
            let fault = Fault::new(Reason::ItemState, words).with("card_id", id.as_str());
            return Err(fault.with("state", "ORDERED"));
        };
        let hold = life::hold(&details(&item)?).map_err(|_| unreadable())?;
        let key = ids::key(municipality, id);
        Ok(Self { mutation, municipality, deadline, key, session, card, item, hold })
    }

    /// Carries a decision out, and answers with the card and what became of the session.
    async fn answered(
        self,
        core: &Core,
        with: Vec<ItemKey>,
        decide: impl Fn(&Found) -> Result<Decided, Stop> + Send + Sync + 'static,
    ) -> Result<(pb::Card, pb::ActivationState), Fault> {
        let Self { mutation, deadline, key, session, card, hold, .. } = self;
        let carried = mutation.carry_out(core, deadline, key.clone(), (with, vec![hold]), decide).await;
        let item = match carried {
            Ok(carried) => carried.item,
            Err(Stop::Fault(fault)) => return Err(fault),
            Err(Stop::Settled) => {
                let item = deadline.wait(core.store.item(&key)).await?.map_err(store_fault)?;
                item.ok_or_else(not_yours)?
            }
        };
        let state = became(core, &item, session, deadline).await?;
        Ok((view::card(&card.order, Some(&item))?, view::pb_intent(state)))
    }
}

/// What became of a session of this card.
async fn became(
    core: &Core,
    item: &ItemRow,
    session: SessionId,
    deadline: Deadline,
) -> Result<IntentState, Fault> {
    let is_open = item.state == CardState::Activating.as_str();
    if is_open && details(item)?.session == Some(session.to_string()) {
        return Ok(IntentState::Begun);
    }
    let history = deadline.wait(core.store.item_history(&item.key)).await?.map_err(store_fault)?;
    let life = Life::of(&history).map_err(|_| unreadable())?;
    life.intent(session).map(|intent| intent.state()).ok_or_else(unreadable)
}

/// Begins an activation; the person's card of before is given back in the same step if it is named.
pub(super) async fn begin(
    core: &Core,
    request: Request<pb::BeginActivationRequest>,
) -> Result<pb::BeginActivationResponse, Fault> {
    let caller = one_of(&request, &[Role::Municipality])?;
    let deadline = Deadline::of(request.metadata(), core.options.call_deadline);
    let request = request.into_inner();
    let documents = fields::documents(&request.documents)?;
    let terminal = fields::terminal(&request.terminal)?;
    let former = match request.surrendered_card_id.as_str() {
        "" => None,
        same if same == request.card_id => {
            let words = "surrendered_card_id is the card itself: name the one of before, or none";
            return Err(Fault::new(Reason::FieldInvalid, words).violation("surrendered_card_id", "another"));
        }
        text => Some(id_of(text, "surrendered_card_id")?),
    };
    let asked = Asked::of(core, &caller, &request, &request.session_id, deadline).await?;
    let former = match former {
        Some(id) => {
            let known = find::by_id(core, asked.municipality, &id, deadline).await?;
            Some(known.item.ok_or_else(|| not_of_the_person(&id))?.key)
        }
        None => None,
    };
    let with: Vec<ItemKey> = former.iter().cloned().collect();
    let begin = Begin {
        key: asked.key.clone(),
        session: asked.session,
        terminal,
        documents,
        former,
        hold: asked.hold,
        occurred_ms: asked.mutation.occurred_ms,
        today: Date::in_japan(asked.mutation.now_ms),
    };
    let (card, state) = asked.answered(core, with, move |found: &Found| begin.decide(found)).await?;
    Ok(pb::BeginActivationResponse { card: Some(card), state: state.into() })
}

/// A begin of an activation, as it is decided.
struct Begin {
    key: ItemKey,
    session: SessionId,
    terminal: String,
    documents: BTreeSet<Document>,
    /// The person's card of before.
    former: Option<ItemKey>,
    hold: Hold,
    occurred_ms: i64,
    today: Date,
}

impl Begin {
    fn decide(&self, found: &Found) -> Result<Decided, Stop> {
        let (id, occurred_ms) = (&self.key.id, self.occurred_ms);
        let life = Life::of(&found.history).map_err(|_| unreadable())?;
        if life.intent(self.session).is_some() {
            self.gave_back(found, &life)?;
            return Err(Stop::Settled);
        }
        Intent::begin(self.session, &self.documents).map_err(|why| refused(id, &illegal(&life, why)))?;
        let given_back = self.former.as_ref().map(|key| self.given_back(key, found, &life));
        let given_back = given_back.transpose()?.flatten();
        let former = self.former.as_ref().map(|key| &key.id);
        let other = found.held.get(&self.hold).filter(|holder| *holder != id && Some(*holder) != former);
        let event = Event::BeginActivation {
            session: self.session.to_string(),
            terminal: self.terminal.clone(),
            documents: self.documents.iter().map(ToString::to_string).collect(),
            other_may_be_active: other.is_some(),
        };
        let after = life.clone().then(id, std::slice::from_ref(&event), occurred_ms);
        let after = after.map_err(|fault| naming(fault, other))?;
        not_over(id.as_str(), &life, self.today)?;
        let mut decided = after.decided(&[event], occurred_ms)?;
        decided.with.extend(self.former.clone().zip(given_back));
        Ok(decided)
    }

    /// Fails if the session was begun without giving back what is named now: nobody is to think that it was.
    fn gave_back(&self, found: &Found, life: &Life) -> Result<(), Fault> {
        let Some(key) = &self.former else { return Ok(()) };
        if self.given_back(key, found, life)?.is_none() {
            return Ok(());
        }
        let id = &key.id;
        let words = format!(
            "surrendered_card_id: the session was begun without giving back {id}: give it back by itself \
             (SurrenderCard)"
        );
        Err(Fault::new(Reason::FieldInvalid, words).violation("surrendered_card_id", "as it was begun"))
    }

    /// What becomes of the card of before; nothing, if it was given back already.
    fn given_back(&self, key: &ItemKey, found: &Found, life: &Life) -> Result<Option<Decided>, Fault> {
        let known = found.with.get(key).ok_or_else(unreadable)?;
        let former = Life::of(&known.history).map_err(|_| unreadable())?;
        if former.details.person != life.details.person {
            return Err(not_of_the_person(&key.id));
        }
        if former.state == CardState::Surrendered {
            return Ok(None);
        }
        let surrender = Event::Surrender { why: format!("for card {}", self.key.id) };
        let after = former.then(&key.id, std::slice::from_ref(&surrender), self.occurred_ms)?;
        after.decided(&[surrender], self.occurred_ms).map(Some)
    }
}

fn not_of_the_person(id: &ItemId) -> Fault {
    let words = format!("surrendered_card_id: {id} is no card that this person has had: look at both");
    Fault::new(Reason::FieldInvalid, words).violation("surrendered_card_id", "must be of the same person")
}

fn illegal(life: &Life, why: Why) -> IllegalTransition {
    IllegalTransition { life: "a card", state: life.state.as_str(), command: "BEGIN_ACTIVATION", why }
}

/// Confirms an activation: the chip has proved that it is committed.
pub(super) async fn confirm(
    core: &Core,
    request: Request<pb::ConfirmActivationRequest>,
) -> Result<pb::ConfirmActivationResponse, Fault> {
    let caller = one_of(&request, &[Role::Municipality])?;
    let deadline = Deadline::of(request.metadata(), core.options.call_deadline);
    let request = request.into_inner();
    let asked = Asked::of(core, &caller, &request, &request.session_id, deadline).await?;
    let chip_key = details(&asked.item)?.chip_key;
    let statement = chip::read(&asked.key, request.chip.as_ref(), chip_key.as_deref())?;
    let (id, session, hold) = (asked.key.id.clone(), asked.session, asked.hold);
    let occurred_ms = asked.mutation.occurred_ms;
    let decide = move |found: &Found| -> Result<Decided, Stop> {
        let command = IntentCommand::Confirm { session, chip: statement.chip };
        let life = goes_on(found, &id, session, &command)?;
        let other = found.held.get(&hold).filter(|holder| **holder != id);
        let event = Event::ConfirmActivation {
            session: session.to_string(),
            signature: statement.signature.clone(),
            other_may_be_active: other.is_some(),
        };
        let after = life.then(&id, std::slice::from_ref(&event), occurred_ms);
        let after = after.map_err(|fault| naming(fault, other))?;
        Ok(after.decided(&[event], occurred_ms)?)
    };
    let (card, state) = asked.answered(core, Vec::new(), decide).await?;
    Ok(pb::ConfirmActivationResponse { card: Some(card), state: state.into() })
}

/// Gives an activation up.
pub(super) async fn abort(
    core: &Core,
    request: Request<pb::AbortActivationRequest>,
) -> Result<pb::AbortActivationResponse, Fault> {
    let caller = one_of(&request, &[Role::Municipality])?;
    let deadline = Deadline::of(request.metadata(), core.options.call_deadline);
    let request = request.into_inner();
    let why = fields::reason(&request.reason)?;
    let asked = Asked::of(core, &caller, &request, &request.session_id, deadline).await?;
    let (id, session) = (asked.key.id.clone(), asked.session);
    let occurred_ms = asked.mutation.occurred_ms;
    let decide = move |found: &Found| -> Result<Decided, Stop> {
        let life = goes_on(found, &id, session, &IntentCommand::Abort { session })?;
        let event = Event::AbortActivation { session: session.to_string(), why: why.clone() };
        let after = life.then(&id, std::slice::from_ref(&event), occurred_ms)?;
        Ok(after.decided(&[event], occurred_ms)?)
    };
    let (card, state) = asked.answered(core, Vec::new(), decide).await?;
    Ok(pb::AbortActivationResponse { card: Some(card), state: state.into() })
}

/// The card whose activation goes on by `command`; it stops if the command has been done already.
fn goes_on(found: &Found, id: &ItemId, session: SessionId, command: &IntentCommand) -> Result<Life, Stop> {
    let life = Life::of(&found.history).map_err(|_| unreadable())?;
    let Some(intent) = life.intent(session) else {
        let words = format!("card {id} has no activation {session}: begin it, or query the card");
        return Err(Fault::new(Reason::NotFound, words).into());
    };
    let after = intent.after(command).map_err(|illegal| refused(id, &illegal))?;
    if after == intent { Err(Stop::Settled) } else { Ok(life) }
}
