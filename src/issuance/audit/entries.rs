//! An order is its record in every column, and what is no order says of its record what that comes to.

use zeroize::Zeroizing;

use crate::{
    domain::{
        chunk,
        date::Date,
        disposition::{Disposition, DispositionKind},
        merkle,
        record::{Field, Record},
        validation::{self, ORDER_ID_HELD, ORDER_ID_REUSED},
    },
    issuance::chunks::record_aad,
    store::{NewOrder, RawOrder},
};

use super::batch::Subject;

/// Names the columns in which an order is not what its record makes of it.
pub(super) fn differs(on: &Subject, whole: &NewOrder, order: &RawOrder, indexed: bool) -> Option<String> {
    let aad = record_aad(on.row.municipality, on.row.batch_id, whole.index);
    let sealed = if order.sealed == whole.sealed {
        None
    } else if on.key.open(&aad, &order.sealed).is_err() {
        Some("sealed does not open")
    } else {
        Some("sealed is another record")
    };
    let columns = [
        ("order_id is not the record's", order.order_id == whole.order_id.as_bytes()),
        ("leaf is not the record's", order.leaf == whole.leaf.as_bytes()),
        ("kind is not the record's", order.kind == whole.kind.as_bytes()),
        ("district is not the record's", order.district == whole.district.as_bytes()),
        (
            "person_index is not the record's",
            order.person_index.as_deref() == whole.person_index.as_ref().map(<[u8; 32]>::as_slice),
        ),
        ("protected is not the record's", order.protected == whole.protected),
        ("accommodations are not the record's", order.accommodations == whole.accommodations.as_bytes()),
        ("its order id does not lead to it (order_key)", order.has_key || !on.accepted),
        ("its person does not lead to it (card_person)", order.has_person || !indexed),
    ];
    let wrong: Vec<&str> =
        sealed.into_iter().chain(columns.iter().filter(|(_, same)| !same).map(|(what, _)| *what)).collect();
    (!wrong.is_empty()).then(|| wrong.join("; "))
}

/// Says in what an entry that is no order is not what its record comes to. Its code is looked at only if a
/// whole receipt says that the list is another one: else the rules of this version have no say in it.
pub(super) fn unlike(on: &Subject, record: &Record, other: &Disposition) -> Option<&'static str> {
    if other.order_id != record.text(Field::OrderId) {
        return Some("order_id is not the record's");
    }
    let proof = on.proof.as_ref().filter(|_| !on.proved)?;
    // As the worker had it: what came again after a restore is judged as of the day of its first receipt.
    let today = Date::in_japan(on.row.opened_ms.min(proof.receipt.committed_ms));
    let code = other.code.as_deref();
    let same = match validation::check(record, today) {
        Err(reject) => {
            (other.kind, code, other.field.as_deref(), other.duplicate_of)
                == (DispositionKind::Rejected, Some(reject.code), Some(reject.field.as_str()), None)
        }
        Ok(()) => match other.kind {
            DispositionKind::Duplicate => code.is_none() && other.duplicate_of.is_some(),
            DispositionKind::Rejected => {
                other.duplicate_of.is_some() && matches!(code, Some(ORDER_ID_REUSED | ORDER_ID_HELD))
            }
            DispositionKind::Accepted | DispositionKind::Quarantined => false,
        },
    };
    (!same).then_some("its kind, code, field or first record is not what the record comes to")
}

/// Makes a chunk's payload of its orders, if each of its records is a whole order.
pub(super) fn from_orders(on: &Subject, number: u32, orders: &[RawOrder]) -> Option<Zeroizing<Vec<u8>>> {
    let row = &on.row;
    if orders.len() as u64 != row.records_in(&[number]) {
        return None;
    }
    let mut writer = chunk::Writer::default();
    for order in orders {
        let index = u64::try_from(order.record_index).ok()?;
        let canonical =
            on.key.open(&record_aad(row.municipality, row.batch_id, index), &order.sealed).ok()?;
        writer.push(&canonical);
    }
    let payload = Zeroizing::new(writer.take());
    let root = merkle::root(&chunk::leaves(&payload).ok()?);
    (root == on.roots[number as usize]).then_some(payload)
}
