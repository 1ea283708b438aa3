//! A terminal that remembers nothing is told which step to do next: the server's intent and the chip's own
//! statement are enough, and the same question always has the same answer.

use tonic::Request;

use crate::{
    domain::{
        identity::Role,
        item::ItemKey,
        life::activation::{Chip, Intent, IntentState, SessionId, Step, next_step},
    },
    wire::{fault::Fault, pb},
};

use super::{
    super::{
        caller::{not_yours, one_of, whose},
        core::{Core, store_fault},
        deadline::Deadline,
        mutation::id_of,
    },
    chip, fields, find,
    life::{Life, unreadable},
    view,
};

/// Answers QueryActivation.
pub(super) async fn query(
    core: &Core,
    request: Request<pb::QueryActivationRequest>,
) -> Result<pb::QueryActivationResponse, Fault> {
    let caller = one_of(&request, &[Role::Municipality])?;
    let deadline = Deadline::of(request.metadata(), core.options.call_deadline);
    let request = request.into_inner();
    let municipality = whose(&caller, None)?;
    let id = id_of(&request.card_id, "card_id")?;
    let asked = match request.session_id.as_str() {
        "" => None, // whoever remembers nothing
        text => Some(fields::session(text, "session_id")?),
    };
    let known = find::by_id(core, municipality, &id, deadline).await?;
    let item = known.item.as_ref().ok_or_else(not_yours)?;
    let history = deadline.wait(core.store.item_history(&item.key)).await?.map_err(store_fault)?;
    let life = Life::of(&history).map_err(|_| unreadable())?;
    let statement = chip::read(&item.key, request.chip.as_ref(), life.details.chip_key.as_deref())?;
    let (intent, step) = next(&life, statement.chip)?;
    let shown = asked.and_then(|session| life.intent(session)).or(intent);
    let answer = pb::QueryActivationResponse {
        card: Some(known.card()?),
        state: shown.map_or(pb::ActivationState::Unspecified, |one| view::pb_intent(one.state())).into(),
        ..pb::QueryActivationResponse::default()
    };
    Ok(said(core, &item.key, step, answer))
}

/// The activation that decides, and the step that brings server and chip closer to one answer.
///
/// The one that is open decides; else the one that the chip is at; else the last. A chip is at none that the
/// server does not know unless the server has forgotten it after a restore: then a new one is begun, from
/// which the chip is reset.
fn next(life: &Life, chip: Chip) -> Result<(Option<Intent>, Step), Fault> {
    let open = life.intents.iter().find(|(_, state)| **state == IntentState::Begun);
    let open = open.map(|(session, state)| Intent::stored(*session, *state));
    let at_chip = match chip {
        Chip::Blank => None,
        Chip::Prepared(session) | Chip::Committed(session) => life.intent(session),
    };
    let last = match &life.details.session {
        Some(text) => life.intent(text.parse().map(SessionId).map_err(|_| unreadable())?),
        None => None,
    };
    let Some(intent) = open.or(at_chip).or(last) else { return Ok((None, Step::BeginAnew)) };
    let step = match next_step(&intent, chip) {
        Step::Ask(_) => Step::BeginAnew,
        Step::ResetChip(session) if is_confirmed(life, session) => Step::Stop,
        step => step,
    };
    Ok((Some(intent), step))
}

fn is_confirmed(life: &Life, session: SessionId) -> bool {
    life.intents.get(&session) == Some(&IntentState::Confirmed)
}

/// Says a step; one that resets the chip comes with the permit.
fn said(
    core: &Core,
    key: &ItemKey,
    step: Step,
    answer: pb::QueryActivationResponse,
) -> pb::QueryActivationResponse {
    let step_only = |step: pb::ActivationStep| pb::QueryActivationResponse { step: step.into(), ..answer };
    match step {
        Step::PrepareChip => step_only(pb::ActivationStep::PrepareChip),
        Step::CommitChip => step_only(pb::ActivationStep::CommitChip),
        Step::Confirm => step_only(pb::ActivationStep::Confirm),
        Step::Done => step_only(pb::ActivationStep::Done),
        Step::BeginAnew => step_only(pb::ActivationStep::BeginAnew),
        Step::Stop => step_only(pb::ActivationStep::Stop),
        Step::Ask(session) => pb::QueryActivationResponse {
            step_session_id: session.to_string(),
            ..step_only(pb::ActivationStep::Ask)
        },
        Step::ResetChip(session) => {
            let note = core.vault.sign_note(&chip::reset_text(key, session));
            pb::QueryActivationResponse {
                step_session_id: session.to_string(),
                permit: String::from_utf8(note).expect("a note is text"),
                ..step_only(pb::ActivationStep::ResetChip)
            }
        }
    }
}

#[cfg(test)]
#[path = "query_tests.rs"]
mod tests;
