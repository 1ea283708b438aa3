//! What producers and operators ask is checked once, and everything that is wrong with it is said at once.

use prost::Message;
use prost_types::Timestamp;
use tonic::Request;

use crate::{
    domain::{
        identity::{Identity, Role},
        item::{ItemId, ItemKey},
        municipality::MunicipalityCode,
    },
    store::ItemRow,
    wire::{
        convert::timestamp,
        fault::{Fault, Reason},
    },
};

use super::{
    super::{
        caller::{not_yours, one_of, whose},
        core::{Core, store_fault},
        deadline::Deadline,
        mutation::{Mutation, id_of},
    },
    lot,
};

/// Cards of one call at the most.
pub(super) const CARDS_MAX: usize = 500;
/// The longest reason, in characters.
const WHY_CHARS_MAX: usize = 200;
/// Wrong places that are named at the most.
const NAMED_MAX: usize = 100;

/// What every change has that a producer makes of its own share.
pub(super) trait OfShare: Message {
    /// The call's own name, which is part of the request's fingerprint.
    const CALL: &'static str;
    fn request_id(&self) -> &str;
    fn municipality_code(&self) -> &str;
    fn lot_id(&self) -> &str;
    /// When it happened, as it says, or now if it happens when it is asked.
    fn occurred_time<'a>(&'a self, now: &'a Timestamp) -> Option<&'a Timestamp> {
        Some(now)
    }
}

macro_rules! of_share {
    ($($request:ident $([$occurred:ident])?;)*) => {
        $(impl OfShare for crate::wire::pb::$request {
            const CALL: &'static str = stringify!($request);

            fn request_id(&self) -> &str {
                &self.request_id
            }

            fn municipality_code(&self) -> &str {
                &self.municipality_code
            }

            fn lot_id(&self) -> &str {
                &self.lot_id
            }

            $(fn occurred_time<'a>(&'a self, _: &'a Timestamp) -> Option<&'a Timestamp> {
                self.$occurred.as_ref()
            })?
        })*
    };
}

of_share! {
    AllocateQuotaRequest;
    PullOrdersRequest;
    ReportProductionRequest[occurred_time];
    ReportShipmentRequest[occurred_time];
}

/// A change of one share, by whom it may be made.
pub(super) struct Of<'a> {
    pub(super) core: &'a Core,
    pub(super) deadline: Deadline,
    pub(super) mutation: Mutation,
    pub(super) municipality: MunicipalityCode,
    pub(super) lot: ItemId,
    /// The caller's own name.
    pub(super) name: String,
}

impl<'a> Of<'a> {
    /// Reads what all have in common, and gives back the rest.
    pub(super) fn read<M: OfShare>(
        core: &'a Core,
        request: Request<M>,
        role: Role,
    ) -> Result<(Self, M), Fault> {
        let caller = one_of(&request, &[role])?;
        let deadline = Deadline::of(request.metadata(), core.options.call_deadline);
        let request = request.into_inner();
        let now = timestamp(core.clock.now_ms());
        let occurred = request.occurred_time(&now);
        let mutation = Mutation::of(core, &caller, M::CALL, &request, (request.request_id(), occurred))?;
        let municipality = whose(&caller, Some(request.municipality_code()))?;
        let lot = id_of(request.lot_id(), "lot_id")?;
        let name = caller.name().to_owned();
        Ok((Self { core, deadline, mutation, municipality, lot, name }, request))
    }

    /// The share's key.
    pub(super) fn share(&self) -> ItemKey {
        lot::key(self.municipality, self.lot.clone())
    }

    /// The producer's own share; another's is as one that does not exist.
    pub(super) async fn own_share(&self) -> Result<ItemRow, Fault> {
        let (core, key) = (self.core, self.share());
        let row = self.deadline.wait(core.store.item(&key)).await?.map_err(store_fault)?;
        let row = row.ok_or_else(not_yours)?;
        if lot::details(&row)?.producer == self.name { Ok(row) } else { Err(not_yours()) }
    }
}

/// A change that happens now, of no share alone.
pub(super) fn now<M: Message>(
    core: &Core,
    caller: &Identity,
    call: &'static str,
    request: &M,
    request_id: &str,
) -> Result<Mutation, Fault> {
    let now = timestamp(core.clock.now_ms());
    Mutation::of(core, caller, call, request, (request_id, Some(&now)))
}

/// Everything that is wrong with a request, with where.
#[derive(Debug, Default)]
pub(super) struct Wrong {
    named: Vec<(String, String)>,
    count: usize,
}

impl Wrong {
    pub(super) fn say(&mut self, field: impl Into<String>, what: impl Into<String>) {
        self.count += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push((field.into(), what.into()));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Fails if anything is wrong.
    pub(super) fn check(self, reason: Reason) -> Result<(), Fault> {
        let Some((field, what)) = self.named.first() else { return Ok(()) };
        let more = if self.count > 1 { format!(" (and {} more)", self.count - 1) } else { String::new() };
        let mut fault = Fault::new(reason, format!("nothing is recorded, as {field}: {what}{more}"));
        fault.violations = self.named;
        Err(fault.with("wrong_count", self.count.to_string()))
    }
}

/// Whether a reason is one: 1 to 200 characters, without control characters.
pub(super) fn is_why(text: &str) -> bool {
    (1..=WHY_CHARS_MAX).contains(&text.chars().count()) && !text.contains(char::is_control)
}

/// The words for a reason that is none.
pub(super) fn why_words() -> String {
    format!("must say why, in 1 to {WHY_CHARS_MAX} characters without control characters")
}

/// Reads the ids of one call, each once.
pub(super) fn ids<'a>(
    ids: impl ExactSizeIterator<Item = &'a str>,
    (list, field): (&str, impl Fn(usize) -> String),
    wrong: &mut Wrong,
) -> Vec<Option<ItemId>> {
    if !(1..=CARDS_MAX).contains(&ids.len()) {
        wrong.say(list, format!("{} cards are named: name 1 to {CARDS_MAX}", ids.len()));
        return Vec::new();
    }
    let mut seen = std::collections::HashMap::new();
    let one = |(at, text): (usize, &str)| {
        let Ok(id) = text.parse::<ItemId>() else {
            wrong.say(field(at), "must be 1 to 64 visible ASCII characters");
            return None;
        };
        if let Some(before) = seen.insert(id.clone(), at) {
            wrong.say(field(at), format!("is the same as {}: name each card once", field(before)));
            return None;
        }
        Some(id)
    };
    ids.enumerate().map(one).collect()
}
