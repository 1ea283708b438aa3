//! What all changes of items have in common: the request's own id, its fingerprint and its time are checked
//! before anything is read, and each outcome has one answer.

use prost::Message;
use prost_types::Timestamp;
use tonic::Request;

use crate::{
    domain::{
        digest::Digest,
        identity::{Identity, Role},
        item::{Hold, ItemId, ItemKey},
        municipality::MunicipalityCode,
        record::ORDER_ID_BYTES_MAX,
    },
    store::{Asked, Changed, Decided, EVENTS_MAX, Found, ItemRow},
    wire::{
        convert::millis,
        fault::{Fault, Reason},
    },
};

use super::{
    caller::{one_of, whose},
    core::{Core, store_fault},
    deadline::Deadline,
};

/// How far the clock of a sender may be ahead, in ms.
const AHEAD_MAX_MS: i64 = 10 * 60_000;

/// What every request has that changes one item.
pub(crate) trait OfItem: Message {
    /// The call's own name, which is part of the request's fingerprint.
    const CALL: &'static str;
    /// The field that names the item.
    const FIELD: &'static str;
    fn request_id(&self) -> &str;
    fn item_id(&self) -> &str;
    fn occurred_time(&self) -> Option<&Timestamp>;
    /// The municipality, where its caller may have to name one.
    fn municipality_code(&self) -> Option<&str>;
}

/// Says of requests that they change the item that this field names; behind each, the field that names its
/// municipality, if there is one.
macro_rules! of_item {
    ($id:ident: $($request:ident $(($code:ident))?),* $(,)?) => {
        $(impl $crate::issuance::mutation::OfItem for $crate::wire::pb::$request {
            const CALL: &'static str = stringify!($request);
            const FIELD: &'static str = stringify!($id);

            fn request_id(&self) -> &str {
                &self.request_id
            }

            fn item_id(&self) -> &str {
                &self.$id
            }

            fn occurred_time(&self) -> Option<&prost_types::Timestamp> {
                self.occurred_time.as_ref()
            }

            fn municipality_code(&self) -> Option<&str> {
                None::<&str>$(.or(Some(&self.$code)))?
            }
        })*
    };
}
pub(crate) use of_item;

/// A change of one item that may be made by its caller, so far as that can be told before anything is read.
pub(crate) struct Begun<M> {
    pub(crate) request: M,
    pub(crate) caller: Identity,
    pub(crate) municipality: MunicipalityCode,
    pub(crate) id: ItemId,
    pub(crate) deadline: Deadline,
    pub(crate) mutation: Mutation,
}

/// Reads what all requests have in common that change one item, from a caller of these roles.
pub(crate) fn begin<M: OfItem>(core: &Core, request: Request<M>, roles: &[Role]) -> Result<Begun<M>, Fault> {
    let caller = one_of(&request, roles)?;
    let deadline = Deadline::of(request.metadata(), core.options.call_deadline);
    let request = request.into_inner();
    let mutation = Mutation::of_item(core, &caller, &request)?;
    let municipality = whose(&caller, request.municipality_code())?;
    let id = id_of(request.item_id(), M::FIELD)?;
    Ok(Begun { request, caller, municipality, id, deadline, mutation })
}

/// What came with a change, checked as far as all of them are checked alike.
#[derive(Debug, Clone)]
pub(crate) struct Mutation {
    pub(crate) actor: String,
    pub(crate) request_id: String,
    pub(crate) fingerprint: Digest,
    /// When it happened, as its sender says.
    pub(crate) occurred_ms: i64,
    pub(crate) now_ms: i64,
}

/// A change that was carried out.
#[derive(Debug)]
pub(crate) struct Carried {
    /// The item as it stands.
    pub(crate) item: ItemRow,
    /// It was done by this call, and not by an earlier one of the same request.
    pub(crate) is_new: bool,
}

impl Mutation {
    /// Reads what is common to all; `call` is the call's own name.
    ///
    /// The fingerprint is over the decoded request in one encoding, so that the same request has one whoever
    /// sent it over which client, and over its sender: nobody is answered for somebody else.
    pub(crate) fn of<M: Message>(
        core: &Core,
        caller: &Identity,
        call: &'static str,
        request: &M,
        (request_id, occurred): (&str, Option<&Timestamp>),
    ) -> Result<Self, Fault> {
        let request_id = id_of(request_id, "request_id")?.to_string();
        let now_ms = core.clock.now_ms();
        let occurred_ms = occurred_ms(occurred, now_ms)?;
        let actor = caller.to_string();
        let mut bytes = format!("{call}\n{actor}\n").into_bytes();
        request.encode(&mut bytes).expect("a vector takes every message");
        Ok(Self { actor, request_id, fingerprint: Digest::of(&bytes), occurred_ms, now_ms })
    }

    /// The same for a change of one item.
    pub(crate) fn of_item<M: OfItem>(core: &Core, caller: &Identity, request: &M) -> Result<Self, Fault> {
        Self::of(core, caller, M::CALL, request, (request.request_id(), request.occurred_time()))
    }

    /// Changes an item as `decide` says.
    pub(crate) async fn change(
        self,
        core: &Core,
        deadline: Deadline,
        key: ItemKey,
        holds: Vec<Hold>,
        decide: impl Fn(&Found) -> Result<Decided, Fault> + Send + Sync + 'static,
    ) -> Result<ItemRow, Fault> {
        self.change_with(core, deadline, key, (Vec::new(), holds), decide).await
    }

    /// The same, with other items of the municipality that it is decided on.
    pub(crate) async fn change_with(
        self,
        core: &Core,
        deadline: Deadline,
        key: ItemKey,
        (with, holds): (Vec<ItemKey>, Vec<Hold>),
        decide: impl Fn(&Found) -> Result<Decided, Fault> + Send + Sync + 'static,
    ) -> Result<ItemRow, Fault> {
        self.carry_out(core, deadline, key, (with, holds), decide).await.map(|carried| carried.item)
    }

    /// The same for whoever has something else to say than a fault, or asks whether it was done just now.
    pub(crate) async fn carry_out<R: From<Fault> + Send + 'static>(
        self,
        core: &Core,
        deadline: Deadline,
        key: ItemKey,
        (with, holds): (Vec<ItemKey>, Vec<Hold>),
        decide: impl Fn(&Found) -> Result<Decided, R> + Send + Sync + 'static,
    ) -> Result<Carried, R> {
        let asked = Asked {
            key,
            with,
            request_id: self.request_id,
            fingerprint: self.fingerprint,
            actor: self.actor,
            holds,
            now_ms: self.now_ms,
        };
        let changed = deadline.wait(core.store.change_item(asked, decide)).await?.map_err(store_fault)?;
        match changed {
            Changed::Done(item) => Ok(Carried { item, is_new: true }),
            Changed::Again(item) => Ok(Carried { item, is_new: false }),
            Changed::Refused(why) => Err(why),
            Changed::RequestReused => {
                let words = "request_id stands for another request: use a fresh one";
                Err(Fault::new(Reason::RequestIdReused, words).into())
            }
            Changed::HistoryFull => {
                let words = format!("it has {EVENTS_MAX} events, and takes no more: tell the operator");
                Err(Fault::new(Reason::LimitExceeded, words).into())
            }
        }
    }
}

/// Refuses a municipality's changes after a restore until it has compared its receipts: what was done since
/// the backup is not here, and could be done twice.
pub(crate) async fn not_after_restore(
    core: &Core,
    caller: &Identity,
    deadline: Deadline,
) -> Result<(), Fault> {
    match caller.municipality() {
        Some(municipality) => compared(core, municipality, deadline).await,
        None => Ok(()),
    }
}

/// Refuses what would be done about a municipality's orders after a restore until it has compared its
/// receipts.
pub(crate) async fn compared(
    core: &Core,
    municipality: MunicipalityCode,
    deadline: Deadline,
) -> Result<(), Fault> {
    let waits = core.store.waits_for_comparison(municipality);
    if deadline.wait(waits).await?.map_err(store_fault)? {
        let words = format!(
            "a backup was restored: {municipality} compares receipts first (`todoke reconcile --all FILES`)"
        );
        return Err(Fault::new(Reason::ReconcileFirst, words));
    }
    Ok(())
}

/// The fault of a change that was decided on what is not so any more.
pub(crate) fn overtaken() -> Fault {
    Fault::new(Reason::UpstreamUnavailable, "it was changed by somebody else at this moment: try again")
        .after(std::time::Duration::from_millis(100))
}

/// Reads an id of 1 to 64 visible ASCII characters.
pub(crate) fn id_of(text: &str, field: &'static str) -> Result<ItemId, Fault> {
    text.parse().map_err(|_| {
        let words = format!("{field} must be 1 to {ORDER_ID_BYTES_MAX} visible ASCII characters");
        Fault::new(Reason::FieldInvalid, words.clone()).violation(field, words)
    })
}

fn occurred_ms(time: Option<&Timestamp>, now_ms: i64) -> Result<i64, Fault> {
    let wrong = |words: &str| {
        Fault::new(Reason::FieldInvalid, format!("occurred_time {words}")).violation("occurred_time", words)
    };
    let Some(time) = time else { return Err(wrong("is missing: say when it happened")) };
    let occurred_ms = millis(time);
    if occurred_ms <= 0 || !(0..1_000_000_000).contains(&time.nanos) {
        return Err(wrong("is no time after 1970: say when it happened"));
    }
    if occurred_ms > now_ms + AHEAD_MAX_MS {
        return Err(wrong("is more than 10 minutes ahead of the issuer's clock: look at the sender's clock"));
    }
    Ok(occurred_ms)
}
