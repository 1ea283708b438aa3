//! A producer gets orders that wait, each to one producer at a time, and the same ones again for the same
//! request.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt as _, stream};
use prost_types::Timestamp;
use tonic::Request;

use crate::{
    domain::{
        digest::Digest,
        identity::Role,
        item::{ItemId, ItemKey, ItemKind},
        life::card::CardState,
    },
    store::{CardRow, Found, ItemRow},
    telemetry::names,
    wire::{
        convert::{span_ms, timestamp},
        fault::{Fault, Reason},
        pb,
    },
};

use super::{
    super::{
        card,
        core::{Core, store_fault},
        mutation::{self, Mutation},
        orders::Order,
    },
    asked::Of,
    lot,
    taking::{Kept, Stop, Taking, place_before},
    view,
    waiting::{self, FRAUD_SUSPECTED, Origin, Place, Queue, Waiting},
};

/// Orders of one call: the default, and at the most.
const ORDERS_DEFAULT: u32 = 100;
const ORDERS_MAX: u32 = 500;
/// How long a lease may last, in ms: the default, at least and at the most.
const LEASE_DEFAULT_MS: u64 = 24 * 3_600_000;
const LEASE_MIN_MS: u64 = 60_000;
const LEASE_MAX_MS: u64 = 7 * 24 * 3_600_000;
/// Sealed bytes of all orders of one answer, about: what goes beyond waits for the next call, as clients
/// take no answer above 4 MiB.
const ORDER_BYTES_MAX: usize = 3 << 20;
/// Orders that are opened at once.
const AT_ONCE: usize = 16;
/// How often one call looks for others if somebody else took all that it found.
const LOOKS_MAX: usize = 10;
/// What the personal data of an answer is counted under.
const PURPOSE: &str = "PURPOSE_PRODUCTION";

/// One pull.
struct Pull<'a> {
    of: Of<'a>,
    count: usize,
    until_ms: i64,
    /// Under which it is kept what it took.
    kept: ItemKey,
}

/// Leases orders to a producer.
pub(super) async fn pull(
    core: &Core,
    request: Request<pb::PullOrdersRequest>,
) -> Result<pb::PullOrdersResponse, Fault> {
    let (of, request) = Of::read(core, request, Role::Producer)?;
    let wrong = |field: &str, words: &str| {
        Err(Fault::new(Reason::FieldInvalid, format!("{field} {words}")).violation(field, words))
    };
    let count = if request.orders_max == 0 { ORDERS_DEFAULT } else { request.orders_max };
    if count > ORDERS_MAX {
        return wrong("orders_max", "must be 1 to 500, or 0 for 100");
    }
    let lease_ms = request.lease.as_ref().map_or(LEASE_DEFAULT_MS, span_ms);
    if !(LEASE_MIN_MS..=LEASE_MAX_MS).contains(&lease_ms) {
        return wrong("lease", "must be 1 minute to 7 days, or nothing for 1 day");
    }
    let place = Place::of_token(&request.page_token)?;
    let until_ms = of.mutation.now_ms.saturating_add_unsigned(lease_ms);
    let kept = kept_key(&of);
    Pull { of, count: count as usize, until_ms, kept }.run(place).await
}

fn kept_key(of: &Of<'_>) -> ItemKey {
    let Mutation { actor, request_id, .. } = &of.mutation;
    let digest = Digest::of(format!("{actor}\n{request_id}").as_bytes()).to_string();
    let id = format!("pull-{}", &digest[..40]).parse().expect("it is short and visible");
    ItemKey { municipality: of.municipality, kind: ItemKind::Pull, id }
}

impl Pull<'_> {
    async fn run(&self, place: Place) -> Result<pb::PullOrdersResponse, Fault> {
        if let Some(kept) = self.carried_out().await? {
            return self.answer(&kept, HashMap::new(), Vec::new()).await;
        }
        mutation::compared(self.of.core, self.of.municipality, self.of.deadline).await?;
        let share = self.of.own_share().await?;
        lot::in_use(&self.of.lot, lot::details(&share)?.recalled.as_deref())?;
        let mut held = Vec::new();
        for _ in 0..LOOKS_MAX {
            let what = (self.of.mutation.now_ms, self.count, place);
            let mut queue = waiting::look(self.of.core, self.of.municipality, what, self.of.deadline).await?;
            let orders = self.open(&mut queue).await?;
            held = std::mem::take(&mut queue.held);
            if queue.waiting.is_empty() {
                // Or the same request, sent twice at once, has taken everything.
                return match self.carried_out().await? {
                    Some(kept) => self.answer(&kept, orders, held).await,
                    None => self.nothing(held, queue.next).await,
                };
            }
            match self.take(queue, &orders).await {
                Ok(()) => {
                    let kept = self.carried_out().await?.ok_or_else(lot::unreadable)?;
                    return self.answer(&kept, orders, held).await;
                }
                Err(Stop::Overtaken) => {}
                Err(Stop::Failed(fault)) => return Err(fault),
            }
        }
        self.nothing(held, Some(place)).await
    }

    /// When the last backup was restored, if one was: what was leased since that backup is given again.
    async fn restored(&self) -> Result<Option<Timestamp>, Fault> {
        let restore = self.of.deadline.wait(self.of.core.store.restored()).await?.map_err(store_fault)?;
        Ok(restore.map(|restore| timestamp(restore.marked_ms)))
    }

    async fn nothing(
        &self,
        held: Vec<pb::HeldOrder>,
        next: Option<Place>,
    ) -> Result<pb::PullOrdersResponse, Fault> {
        Ok(pb::PullOrdersResponse {
            orders: Vec::new(),
            lease_end_time: None,
            next_page_token: next.map(Place::token).unwrap_or_default(),
            held,
            restore_time: self.restored().await?,
        })
    }

    /// What this request took, if it was carried out before.
    async fn carried_out(&self) -> Result<Option<Kept>, Fault> {
        let Of { core, deadline, ref mutation, .. } = self.of;
        let row = deadline.wait(core.store.item(&self.kept)).await?.map_err(store_fault)?;
        let Some(row) = row else { return Ok(None) };
        // It is another request if it asks for something else.
        let decided = |_: &Found| Err(Stop::Overtaken);
        let nothing = (Vec::new(), Vec::new());
        match mutation.clone().carry_out(core, deadline, self.of.share(), nothing, decided).await {
            Ok(_) => serde_json::from_str(&row.details).map(Some).map_err(|_| lot::unreadable()),
            Err(Stop::Overtaken) => Err(lot::unreadable()),
            Err(Stop::Failed(fault)) => Err(fault),
        }
    }

    /// Opens what was found; what cannot be made now is named, and what is too much for one answer left over.
    async fn open(&self, queue: &mut Queue) -> Result<HashMap<ItemId, Order>, Fault> {
        let mut rows = std::mem::take(&mut queue.rows);
        let asked: Vec<_> = queue
            .waiting
            .iter()
            .map(|one| {
                let row = rows.remove(&one.card.id);
                (one.card.id.clone(), one.order_id.clone(), row, one.origin.is_application())
            })
            .collect();
        let mut orders = HashMap::new();
        let mut held = HashSet::new();
        let mut opened = stream::iter(asked).map(|asked| self.look_at(asked)).buffered(AT_ONCE);
        while let Some((id, order_id, order)) = opened.next().await {
            match order {
                Ok((_, true)) => {
                    let (application_number, why) = (String::new(), FRAUD_SUSPECTED.to_owned());
                    queue.held.push(pb::HeldOrder { application_number, why, order_id });
                    held.insert(id);
                }
                Ok((order, false)) => {
                    orders.insert(id, order);
                }
                Err(fault) if matches!(fault.reason, Reason::Internal | Reason::NotFound) => {
                    tracing::error!(order.id = %order_id, "order {order_id} cannot be made: {fault}");
                    let why = "it cannot be opened: tell the operator".to_owned();
                    queue.held.push(pb::HeldOrder { application_number: String::new(), why, order_id });
                    held.insert(id);
                }
                Err(fault) => return Err(fault),
            }
        }
        drop(opened);
        queue.waiting.retain(|one| !held.contains(&one.card.id));
        let mut bytes = 0;
        let fits = queue.waiting.iter().take_while(|one| {
            bytes += orders.get(&one.card.id).map_or(0, |order| order.row.sealed.len());
            bytes <= ORDER_BYTES_MAX
        });
        let fits = fits.count();
        let left_over: Vec<&Waiting> = queue.waiting.iter().skip(fits).collect();
        if !left_over.is_empty() {
            queue.next = Some(place_before(&left_over, queue.last));
            queue.waiting.truncate(fits);
        }
        Ok(orders)
    }

    /// Opens an order, and says whether fraud is suspected of the person, unless it is of an application,
    /// which was asked before.
    async fn look_at(
        &self,
        (id, order_id, row, was_asked): (ItemId, String, Option<CardRow>, bool),
    ) -> (ItemId, String, Result<(Order, bool), Fault>) {
        let Of { core, deadline, municipality, .. } = self.of;
        let (id, order_id, order) = self.open_one((id, order_id, row)).await;
        let looked = match order {
            Ok(order) if !was_asked => {
                let person = order.person(core);
                let suspected = card::holder::is_suspected(core, municipality, person, deadline).await;
                suspected.map(|suspected| (order, suspected))
            }
            other => other.map(|order| (order, false)),
        };
        (id, order_id, looked)
    }

    async fn open_one(
        &self,
        (id, order_id, row): (ItemId, String, Option<CardRow>),
    ) -> (ItemId, String, Result<Order, Fault>) {
        let Of { core, deadline, municipality, .. } = self.of;
        let order = match row {
            Some(row) => Order::open(core, row, deadline).await,
            None => Order::by_id(core, municipality, &order_id, deadline).await,
        };
        (id, order_id, order)
    }

    /// Takes what was found, in one change.
    async fn take(&self, queue: Queue, orders: &HashMap<ItemId, Order>) -> Result<(), Stop> {
        let core = self.of.core;
        let with_event = |one: Waiting| {
            let application = match &one.origin {
                Origin::Card { .. } => return (one, None),
                Origin::Application { key, .. } => Some(key.id.to_string()),
                Origin::Batch { .. } => None,
            };
            let person = orders.get(&one.card.id).map(|order| order.person(core)).unwrap_or_default();
            let event = card::event::Event::Order {
                order_id: one.order_id.clone(),
                application,
                instead_of: None,
                person: hex::encode(person),
                photo: one.photo.clone(),
            };
            (one, Some(event))
        };
        let taking = Taking {
            producer: self.of.name.clone(),
            share: self.of.share(),
            kept: self.kept.clone(),
            until_ms: self.until_ms,
            now_ms: self.of.mutation.now_ms,
            waiting: queue.waiting.into_iter().map(with_event).collect(),
            next: queue.next,
            last: queue.last,
        };
        let (with, holds, share) = (taking.with(), taking.holds(), self.of.share());
        let decided = move |found: &Found| taking.decide(found);
        let mutation = self.of.mutation.clone();
        mutation.carry_out(core, self.of.deadline, share, (with, holds), decided).await.map(|_| ())
    }

    /// The orders that were taken and are leased still.
    async fn answer(
        &self,
        kept: &Kept,
        mut orders: HashMap<ItemId, Order>,
        held: Vec<pb::HeldOrder>,
    ) -> Result<pb::PullOrdersResponse, Fault> {
        let Of { core, deadline, municipality, .. } = self.of;
        let id = |text: &String| text.parse::<ItemId>().map_err(|_| lot::unreadable());
        let ids: Vec<ItemId> = kept.card_ids.iter().map(id).collect::<Result<_, _>>()?;
        let keys: Vec<ItemKey> = ids.iter().map(|id| card::ids::key(municipality, id.clone())).collect();
        let rows = deadline.wait(core.store.items_of(&keys)).await?.map_err(store_fault)?;
        let mut leased: HashMap<ItemId, card::life::Details> = HashMap::new();
        for row in rows {
            let details = card::life::details(&row)?;
            if self.is_leased(kept, &row, &details) {
                leased.insert(row.key.id, details);
            }
        }
        let wanted = ids.iter().filter_map(|id| leased.get(id).map(|details| (id, details)));
        let missing = wanted.clone().filter(|(id, _)| !orders.contains_key(*id));
        let missing: Vec<_> = missing.map(|(id, one)| (id.clone(), one.order_id.clone(), None)).collect();
        let mut opened = stream::iter(missing).map(|asked| self.open_one(asked)).buffered(AT_ONCE);
        while let Some((id, _, order)) = opened.next().await {
            orders.insert(id, order?);
        }
        drop(opened);
        let shown = wanted.filter_map(|(id, details)| Some(view::order(id, details, orders.get(id)?)));
        let shown: Vec<pb::CardOrder> = shown.collect();
        metrics::counter!(names::DISCLOSURES, names::PURPOSE => PURPOSE).increment(shown.len() as u64);
        let next = kept.next.as_deref().and_then(Place::read);
        Ok(pb::PullOrdersResponse {
            orders: shown,
            lease_end_time: Some(timestamp(kept.until_ms)),
            next_page_token: next.map(Place::token).unwrap_or_default(),
            held,
            restore_time: self.restored().await?,
        })
    }

    /// Whether a card is leased by this pull still: a later one has a later end.
    fn is_leased(&self, kept: &Kept, row: &ItemRow, details: &card::life::Details) -> bool {
        row.state == CardState::Ordered.as_str()
            && kept.until_ms > self.of.mutation.now_ms
            && details.leased_until_ms == Some(kept.until_ms)
            && details.lot.as_deref() == Some(self.of.lot.as_str())
    }
}
