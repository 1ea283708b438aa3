//! Blank cards of a lot are given to one producer for one municipality, and never of a lot that is called
//! back.

use tonic::Request;

use crate::{
    domain::{
        identity::{Identity, Role},
        item::{ItemId, ItemKey, Link},
    },
    store::{Decided, Found, ItemRow},
    wire::{
        fault::{Fault, Reason},
        pb,
    },
};

use super::{
    super::{
        core::{Core, store_fault},
        deadline::Deadline,
        mutation::Mutation,
    },
    asked::Of,
    lot::{self, Event, Share},
    recall,
};

/// Blank cards of one call at the most.
const CARDS_MAX: u32 = 10_000_000;

/// Gives a producer blank cards, and returns the share.
pub(super) async fn allocate(
    core: &Core,
    request: Request<pb::AllocateQuotaRequest>,
) -> Result<ItemRow, Fault> {
    let (of, request) = Of::read(core, request, Role::Operator)?;
    let wrong = |field: &str, words: String| {
        Err(Fault::new(Reason::FieldInvalid, format!("{field} {words}")).violation(field, words))
    };
    if !(1..=CARDS_MAX).contains(&request.cards) {
        return wrong("cards", format!("must be 1 to {CARDS_MAX}"));
    }
    if Identity::new(Role::Producer, &request.producer).is_err() {
        return wrong("producer", "must be the name in its certificate, such as press-1".to_owned());
    }
    let (share, lot, deadline) = (of.share(), of.lot.clone(), of.deadline);
    not_recalled(core, &lot, deadline).await?;
    let (cards, producer, now_ms) = (u64::from(request.cards), request.producer, of.mutation.now_ms);
    let decided = move |found: &Found| -> Result<Decided, Fault> {
        let before = Share::of(&found.history).map_err(|_| lot::unreadable())?;
        before.is_in_use(&lot)?;
        if before.is_allocated() && before.producer != producer {
            let words = format!("lot {lot} is {}'s here: use another lot for {producer}", before.producer);
            return Err(Fault::new(Reason::ItemState, words).with("producer", &before.producer));
        }
        let events = [Event::Allocate { cards, producer: producer.clone() }];
        Ok(before.then(&lot, &events, now_ms)?.decided(&lot, &events, now_ms))
    };
    let again = of.mutation.clone();
    let row = of.mutation.change(core, deadline, share.clone(), Vec::new(), decided).await?;
    // A recall that began before this was recorded may have looked for shares before it was, too.
    if let Err(fault) = not_recalled(core, &share.id, deadline).await {
        recall_too(core, deadline, &share, again, fault.get("why").unwrap_or_default()).await?;
        return Err(fault);
    }
    Ok(row)
}

/// Fails if the lot is called back, in whatever municipality.
async fn not_recalled(core: &Core, lot: &ItemId, deadline: Deadline) -> Result<(), Fault> {
    let places = core.store.municipalities_linked(Link::of_lot(lot));
    let places = deadline.wait(places).await?.map_err(store_fault)?;
    let keys: Vec<ItemKey> = places.into_iter().map(|place| lot::key(place, lot.clone())).collect();
    for row in deadline.wait(core.store.items_of(&keys)).await?.map_err(store_fault)? {
        if let Some(why) = lot::details(&row)?.recalled {
            let words = format!("lot {lot} is called back ({why}): allocate another one");
            return Err(Fault::new(Reason::ItemState, words).with("lot_id", lot.as_str()).with("why", why));
        }
    }
    Ok(())
}

/// Calls a share back that a recall did not see.
async fn recall_too(
    core: &Core,
    deadline: Deadline,
    share: &ItemKey,
    mutation: Mutation,
    why: &str,
) -> Result<(), Fault> {
    let request_id = recall::derived(&mutation.request_id, "too late");
    let mutation = Mutation { request_id, ..mutation };
    recall::begin(core, deadline, share, mutation, why).await.map(|_| ())
}
