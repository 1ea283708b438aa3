//! The reading of a name can be put right after its record was accepted: the record stays as it was received,
//! and the reading that is right now is sealed beside it, with where it comes from.

use serde::{Deserialize, Serialize};
use tonic::Request;

use crate::{
    domain::{
        identity::Role,
        item::{ItemKey, ItemKind},
        record::FIELD_BYTES_MAX,
    },
    store::{CardRow, Decided, Found, ItemRow},
    vault::{Aad, DataKey, Purpose},
    wire::{
        fault::{Fault, Reason},
        pb,
    },
};

use super::{
    caller::one_of,
    core::Core,
    deadline::Deadline,
    mutation::{Mutation, id_of, not_after_restore},
    orders::Order,
};

/// Where a reading can come from.
const SOURCES: [&str; 3] = ["DECLARED", "VENDOR", "INFERRED"];

/// A reading as it is stored: sealed under the key of its batch, as hex.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    sealed: String,
}

/// Puts a reading right, and returns how often that was done.
pub(crate) async fn correct(
    core: &Core,
    request: Request<pb::CorrectReadingRequest>,
) -> Result<pb::CorrectReadingResponse, Fault> {
    let caller = one_of(&request, &[Role::Municipality])?;
    let municipality = caller.municipality().expect("the role says so");
    let deadline = Deadline::of(request.metadata(), core.options.call_deadline);
    let request = request.into_inner();
    let common = (request.request_id.as_str(), request.occurred_time.as_ref());
    let mutation = Mutation::of(core, &caller, "CorrectReadingRequest", &request, common)?;
    let id = id_of(&request.order_id, "order_id")?;
    let wrong = |field: &str, words: &str| {
        Err(Fault::new(Reason::FieldInvalid, format!("{field} {words}")).violation(field, words))
    };
    if request.reading.is_empty() || request.reading.len() > FIELD_BYTES_MAX {
        return wrong("reading", "must have 1 to 4,096 bytes of UTF-8");
    }
    if !SOURCES.contains(&request.reading_source.as_str()) {
        return wrong("reading_source", "must be DECLARED, VENDOR or INFERRED");
    }
    not_after_restore(core, &caller, deadline).await?;
    let order = Order::by_id(core, municipality, id.as_str(), deadline).await?;
    let batch = deadline.wait(core.batch(municipality, order.row.batch_id)).await??;
    let text = format!("{}\n{}", request.reading_source, request.reading);
    let sealed = core.data_key(&batch)?.seal(&aad(&order.row), text.as_bytes());
    let kept = serde_json::to_string(&Kept { sealed: hex::encode(sealed) }).expect("it is a text");
    let (occurred_ms, key) = (mutation.occurred_ms, ItemKey { municipality, kind: ItemKind::Reading, id });
    let decide = move |_: &Found| {
        Ok(Decided {
            events: vec![(occurred_ms, kept.clone())],
            state: "CORRECTED".to_owned(),
            since_ms: occurred_ms,
            cards: 1,
            details: kept.clone(),
            ..Decided::default()
        })
    };
    let item = mutation.change(core, deadline, key, Vec::new(), decide).await?;
    Ok(pb::CorrectReadingResponse { correction_count: item.events })
}

/// Returns the reading that is right now, and where it comes from.
pub(crate) fn read(order: &CardRow, item: &ItemRow, key: &DataKey) -> Result<(String, String), Fault> {
    let unreadable = || Fault::new(Reason::Internal, "the stored reading is unreadable: tell the operator");
    let kept: Kept = serde_json::from_str(&item.details).map_err(|_| unreadable())?;
    let sealed = hex::decode(kept.sealed).map_err(|_| unreadable())?;
    let text = key.open(&aad(order), &sealed).map_err(|_| unreadable())?;
    let text = std::str::from_utf8(&text).map_err(|_| unreadable())?;
    let (source, reading) = text.split_once('\n').ok_or_else(unreadable)?;
    Ok((reading.to_owned(), source.to_owned()))
}

/// What a reading is bound to.
fn aad(order: &CardRow) -> Aad {
    let CardRow { municipality, batch_id, index, .. } = *order;
    Aad { municipality, batch: batch_id, index, purpose: Purpose::Reading }
}
