//! How long a municipality keeps what came back: the national default until it says a later day, and never
//! shorter than it has said.

use tonic::Request;

use crate::{
    domain::{
        date::Date,
        identity::Role,
        item::{ItemKey, ItemKind},
        life::mail::disposal::Retention,
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
        caller::one_of,
        core::{Core, store_fault},
        deadline::Deadline,
        mutation::{Mutation, not_after_restore},
    },
    event::Kept,
    life::unreadable,
};

/// Returns what is in force.
pub(super) async fn of(
    core: &Core,
    municipality: MunicipalityCode,
    deadline: Deadline,
) -> Result<Retention, Fault> {
    let key = key(municipality);
    let row = deadline.wait(core.store.item(&key)).await?.map_err(store_fault)?;
    row.map_or(Ok(Retention::national()), |row| read(&row))
}

/// Makes it longer.
pub(super) async fn extend(
    core: &Core,
    request: Request<pb::ExtendRetentionRequest>,
) -> Result<Retention, Fault> {
    let caller = one_of(&request, &[Role::Municipality])?;
    let municipality = caller.municipality().expect("the role says so");
    let deadline = Deadline::of(request.metadata(), core.options.call_deadline);
    let request = request.into_inner();
    let until = Date::parse(&request.until).ok_or_else(|| {
        let words = "until must be a day as YYYY-MM-DD";
        Fault::new(Reason::FieldInvalid, words).violation("until", words)
    })?;
    not_after_restore(core, &caller, deadline).await?;
    let now = crate::wire::convert::timestamp(core.clock.now_ms());
    let common = (request.request_id.as_str(), Some(&now));
    let mutation = Mutation::of(core, &caller, "ExtendRetentionRequest", &request, common)?;
    let now_ms = mutation.now_ms;
    let decide = move |found: &Found| -> Result<Decided, Fault> {
        let present = found.item.as_ref().map_or(Ok(Retention::national()), read)?;
        let longer = present.extend(until);
        let longer = longer.map_err(|wrong| Fault::new(Reason::ItemState, wrong.to_string()))?;
        let text = serde_json::to_string(&Kept::of(longer)).expect("it has only texts and numbers");
        Ok(Decided {
            events: vec![(now_ms, text.clone())],
            state: "IN_FORCE".to_owned(),
            since_ms: now_ms,
            office: String::new(),
            cards: 0,
            details: text,
            ..Decided::default()
        })
    };
    read(&mutation.change(core, deadline, key(municipality), Vec::new(), decide).await?)
}

/// The one that a municipality has.
fn key(municipality: MunicipalityCode) -> ItemKey {
    let id = "mail".parse().expect("it is an id");
    ItemKey { municipality, kind: ItemKind::Retention, id }
}

fn read(row: &ItemRow) -> Result<Retention, Fault> {
    let kept: Kept = serde_json::from_str(&row.details).map_err(|_| unreadable())?;
    kept.read().map_err(|_| unreadable())
}
