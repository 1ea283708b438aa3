//! What an office finds, whose identity is proved to it, and what an applicant sends again: the acts that
//! change an application alone.

use std::collections::BTreeSet;

use tonic::Request;

use crate::{
    domain::life::{
        BadWord,
        evidence::Document,
        mail::disposal::{BadClerk, Clerk},
    },
    wire::{
        fault::{Fault, Reason},
        pb::{self, review_application_request::Finding},
    },
};

use super::{
    super::{core::Core, orders::Order},
    event::{Doubt, Event},
    photo::Seen,
    record::{Act, At},
    suspects, view,
};

/// The longest text that says why, in characters.
const WHY_CHARS_MAX: usize = 200;

/// Records what an office finds.
pub(super) async fn review(
    core: &Core,
    request: Request<pb::ReviewApplicationRequest>,
) -> Result<pb::Application, Fault> {
    let act = Act::begin(core, request).await?;
    let finding = act.request.finding.clone().ok_or_else(|| {
        let words = "what was found is missing: defect, approve, reject or no_swap";
        Fault::new(Reason::FieldInvalid, words).violation("finding", "one of the four")
    })?;
    let event = match finding {
        Finding::Defect(what) => Event::FindDefect { what: why(&what, "defect")? },
        Finding::Approve(true) => Event::Approve,
        Finding::Approve(false) => {
            let words = "approve must be true: leave it out, or say a defect or why it is rejected";
            return Err(Fault::new(Reason::FieldInvalid, words).violation("approve", "true"));
        }
        Finding::Reject(reason) => Event::Reject { why: why(&reason, "reject")? },
        Finding::NoSwap(no_swap) => return confirm(core, act, &no_swap).await,
    };
    act.record(core, move |_| Ok(event.clone())).await
}

/// Records that what is suspected at this moment is no swap.
async fn confirm(
    core: &Core,
    act: Act<pb::ReviewApplicationRequest>,
    no_swap: &pb::NoSwap,
) -> Result<pb::Application, Fault> {
    let clerk: Clerk = no_swap.clerk.parse().map_err(|wrong: BadClerk| {
        let words = wrong.to_string();
        Fault::new(Reason::FieldInvalid, format!("no_swap.clerk: {words}")).violation("no_swap.clerk", words)
    })?;
    let named = view::read_suspicions(&no_swap.suspicions)?;
    let others =
        suspects::together(core, act.key.municipality, &act.key.id, &act.before, act.deadline).await?;
    let clerk = clerk.to_string();
    act.record(core, move |at| confirmed(at, &clerk, &others, &named)).await
}

/// What is suspected is decided on at the last moment: of the photograph as it is now.
fn confirmed(
    at: &At<'_>,
    clerk: &str,
    others: &BTreeSet<Doubt>,
    named: &BTreeSet<Doubt>,
) -> Result<Event, Fault> {
    let (id, state) = (&at.key.id, at.life.state);
    let refused = |words: String| {
        let fault = Fault::new(Reason::ItemState, format!("application {id}: {words}"));
        Err(fault.with("application_number", id.as_str()).with("state", state.as_str()))
    };
    if !state.is_live() {
        return refused(format!("one that is {state} needs no word that it is no swap"));
    }
    let mut suspected = others.clone();
    suspected.extend(&at.life.details.doubts);
    if suspected.is_empty() {
        return refused("nothing is suspected: no word is needed".to_owned());
    }
    if *named != suspected {
        let count = suspected.len();
        return refused(format!("{count} suspicions stand now, and others are named: look at all of them"));
    }
    Ok(Event::ConfirmNoSwap { clerk: clerk.to_owned(), suspicions: named.iter().copied().collect() })
}

/// Records by which documents somebody proved who applies.
pub(super) async fn identity(
    core: &Core,
    request: Request<pb::ConfirmIdentityRequest>,
) -> Result<pb::Application, Fault> {
    let act = Act::begin(core, request).await?;
    let mut documents = BTreeSet::new();
    for (at, word) in act.request.documents.iter().enumerate() {
        let document: Document = word.parse().map_err(|wrong: BadWord| {
            let (field, words) = (format!("documents[{at}]"), wrong.to_string());
            Fault::new(Reason::FieldInvalid, format!("{field} {words}")).violation(field, words)
        })?;
        documents.insert(document);
    }
    let documents = documents.into_iter().map(|document| document.as_str().to_owned()).collect();
    let event = Event::CheckIdentity { documents };
    act.record(core, move |_| Ok(event.clone())).await
}

/// Records that an applicant sent it again, with a photograph that is held against the record anew.
pub(super) async fn resubmit(
    core: &Core,
    request: Request<pb::ResubmitApplicationRequest>,
) -> Result<pb::Application, Fault> {
    let act = Act::begin(core, request).await?;
    let seen = Seen::read(act.request.photo.as_ref())?;
    let order = Order::by_id(core, act.key.municipality, &act.before.order_id, act.deadline).await?;
    let doubts = seen.doubts(&order, act.occurred_ms);
    let event = Event::Resubmit { photo: seen.reference, doubts };
    act.record(core, move |_| Ok(event.clone())).await
}

/// Records that an application was void by mistake.
pub(super) async fn restore(
    core: &Core,
    request: Request<pb::RestoreApplicationRequest>,
) -> Result<pb::Application, Fault> {
    let act = Act::begin(core, request).await?;
    act.record(core, |at| {
        let other_is_live = at.life.other(at.found, &at.key.id)?.is_some();
        Ok(Event::Restore { other_is_live, fraud_suspected: at.life.details.fraud_suspected })
    })
    .await
}

/// Reads a text that says why.
fn why(text: &str, field: &'static str) -> Result<String, Fault> {
    let words = format!("{field} must say why in 1 to {WHY_CHARS_MAX} characters, without personal data");
    let fault = |reason| Err(Fault::new(reason, words.clone()).violation(field, words.clone()));
    if text.trim().is_empty() {
        return fault(Reason::ReasonRequired);
    }
    if text.chars().count() > WHY_CHARS_MAX || text.contains(char::is_control) {
        return fault(Reason::FieldInvalid);
    }
    Ok(text.to_owned())
}
