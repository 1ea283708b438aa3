//! An application is taken only if its ID and the birth date belong to one person; a wrong ID is answered as
//! a wrong date is, word for word and as far as feasible in the same time.

use tonic::Request;
use uuid::Uuid;

use crate::{
    domain::{
        date::Date,
        digest::Digest,
        identity::Role,
        item::{Hold, HoldKind, ItemId, ItemKey},
        municipality::MunicipalityCode,
        record::Field,
        rules::ApplicationId,
    },
    store::{Decided, Found},
    wire::{
        fault::{Fault, Reason},
        pb,
    },
};

use super::{
    super::{
        caller::{one_of, whose},
        core::{Core, store_fault},
        deadline::Deadline,
        mutation::{Mutation, not_after_restore},
        orders::Order,
    },
    attempts::{Attempts, Try},
    event::Event,
    forms,
    life::{Life, other_application, unreadable},
    photo::Seen,
    view,
};

/// What an applicant says. Personal data: it has no debug form.
struct Said {
    id: ApplicationId,
    birth: Date,
    session: Option<Uuid>,
    photo: Seen,
}

/// Takes an application, and returns it.
pub(super) async fn submit(
    core: &Core,
    attempts: &Attempts,
    request: Request<pb::SubmitApplicationRequest>,
) -> Result<pb::Application, Fault> {
    let caller = one_of(&request, &[Role::Municipality])?;
    let municipality = whose(&caller, None)?;
    let deadline = Deadline::of(request.metadata(), core.options.call_deadline);
    let request = request.into_inner();
    let common = (request.request_id.as_str(), request.occurred_time.as_ref());
    let mutation = Mutation::of(core, &caller, "SubmitApplicationRequest", &request, common)?;
    let said = Said::read(&request)?;
    not_after_restore(core, &caller, deadline).await?;
    let key = view::key(municipality, number(municipality, &mutation));
    let known = deadline.wait(core.store.item(&key)).await?.map_err(store_fault)?.is_some();
    if known {
        // The same request again, or another one under its id: neither is looked up nor counted once more.
        let row = mutation.change(core, deadline, key, Vec::new(), |_| Err(unreadable())).await?;
        return view::shown(core, row, deadline).await;
    }
    let one = Try {
        municipality,
        id: forms::index(core, municipality, &said.id),
        request: mutation.fingerprint,
        now_ms: mutation.now_ms,
    };
    attempts.begin(&one)?;
    let order = match look_up(core, &one, said.birth, deadline).await {
        Ok(Some(order)) => order,
        Ok(None) => return Err(no_such_pair()),
        Err(fault) => {
            attempts.take_back(&one);
            return Err(fault);
        }
    };
    attempts.take_back(&one);
    record(core, mutation, key, (&said, &order), deadline).await
}

/// Records an application of the person that this order is for.
async fn record(
    core: &Core,
    mutation: Mutation,
    key: ItemKey,
    (said, order): (&Said, &Order),
    deadline: Deadline,
) -> Result<pb::Application, Fault> {
    let (person, occurred_ms) = (order.person(core), mutation.occurred_ms);
    let event = Event::Submit {
        order_id: order.row.order_id.clone(),
        person: Digest(person).to_string(),
        household: Digest(order.household(core)).to_string(),
        session: said.session,
        received_ms: occurred_ms,
        photo: said.photo.reference.clone(),
        doubts: said.photo.doubts(order, occurred_ms),
    };
    let hold = Hold { kind: HoldKind::LiveApplication, of: person };
    let id = key.id.clone();
    let decide = move |found: &Found| -> Result<Decided, Fault> {
        if let Some(other) = found.held.get(&hold) {
            return Err(other_application(other));
        }
        let events = [event.clone()];
        let life = Life::of(&found.history).map_err(|_| unreadable())?;
        life.then(&id, &events, occurred_ms)?.decided(&events, occurred_ms)
    };
    let row = mutation.change(core, deadline, key, vec![hold], decide).await?;
    view::shown(core, row, deadline).await
}

impl Said {
    /// Reads what an applicant says; what is wrong is never repeated.
    fn read(request: &pb::SubmitApplicationRequest) -> Result<Self, Fault> {
        let wrong = |field: &'static str, words: String| {
            Fault::new(Reason::FieldInvalid, format!("{field}: {words}")).violation(field, words)
        };
        let id = request.application_id.parse::<ApplicationId>();
        let id = id.map_err(|error| wrong("application_id", error.to_string()))?;
        let birth = Date::parse(&request.birth_date).ok_or_else(|| {
            wrong("birth_date", "must be a day as YYYY-MM-DD: compare it with the form".to_owned())
        })?;
        let session = match request.session_id.as_str() {
            "" => None,
            text => Some(text.parse::<Uuid>().map_err(|_| {
                wrong("session_id", "must be a UUID, or empty for an application on paper".to_owned())
            })?),
        };
        Ok(Self { id, birth, session, photo: Seen::read(request.photo.as_ref())? })
    }
}

/// Returns the order whose form has this ID, if it is for somebody who was born on that day.
///
/// For an ID that nobody has, the municipality's first order is opened instead and its date compared:
/// whatever the ID, the same steps are taken, so that their time does not tell one from the other.
async fn look_up(core: &Core, one: &Try, birth: Date, deadline: Deadline) -> Result<Option<Order>, Fault> {
    let held = core.store.held_by(one.municipality, forms::hold(one.id));
    let form = deadline.wait(held).await?.map_err(store_fault)?;
    let first = core.store.list_cards(one.municipality, None, None, 1);
    let first = deadline.wait(first).await?.map_err(store_fault)?.pop();
    let form = form.as_ref().map(ItemId::as_str);
    let Some(order_id) = form.or(first.as_ref().map(|row| row.order_id.as_str())) else { return Ok(None) };
    let order = match Order::by_id(core, one.municipality, order_id, deadline).await {
        Ok(order) => order,
        // Whether the first order can be read is nothing to whoever asked for another.
        Err(fault) if form.is_none() || fault.reason == Reason::NotFound => return Ok(None),
        Err(fault) => return Err(fault),
    };
    let born = Date::parse(order.record.text(Field::BirthDate));
    let fits = form.is_some() & (born == Some(birth));
    Ok(fits.then_some(order))
}

/// The answer to a wrong ID and to a wrong date.
fn no_such_pair() -> Fault {
    let words = "no form has this application ID with this birth date: compare both with the form";
    Fault::new(Reason::NotFound, words)
}

/// The number of an application: made of the request, so that the same request has the same application.
fn number(municipality: MunicipalityCode, mutation: &Mutation) -> ItemId {
    let Mutation { actor, request_id, .. } = mutation;
    let text = format!("todoke application number v1\n{municipality}\n{actor}\n{request_id}");
    let digest = Digest::of(text.as_bytes());
    let bytes = digest.as_bytes()[..16].try_into().expect("sixteen bytes");
    let number = uuid::Builder::from_custom_bytes(bytes).into_uuid();
    number.to_string().parse().expect("a UUID is short and visible")
}
