//! How a share of a lot and an order are shown, for people and for programs.

use prost_types::Duration;
use serde_json::{Value, json};

use crate::{
    cli::municipal::many,
    wire::{convert::span_ms, pb},
};

/// A share for programs.
pub(super) fn share_json(share: &pb::LotShare) -> Value {
    json!({
        "municipality_code": share.municipality_code,
        "lot_id": share.lot_id,
        "producer": share.producer,
        "state": share.state,
        "allocated": share.allocated,
        "consumed": share.consumed,
        "scrapped": share.scrapped,
        "remaining": share.remaining,
        "shipped": share.shipped,
        "arrived": share.arrived,
        "in_transit": share.in_transit,
        "lost": share.lost,
        "recalled_because": share.recalled_because,
    })
}

/// A share in one line.
pub(super) fn share_line(share: &pb::LotShare) -> String {
    let pb::LotShare { lot_id, municipality_code, state, allocated, consumed, scrapped, .. } = share;
    let pb::LotShare { remaining, shipped, arrived, in_transit, lost, recalled_because, .. } = share;
    let whose =
        if municipality_code.is_empty() { "in all".to_owned() } else { format!("of {municipality_code}") };
    let why = if recalled_because.is_empty() { String::new() } else { format!(" ({recalled_because})") };
    format!(
        "{lot_id} {whose} is {state}{why}: {allocated} allocated = {consumed} consumed + {scrapped} \
         scrapped + {remaining} left; {shipped} sent = {arrived} arrived + {in_transit} under way + {lost} \
         lost"
    )
}

/// An order with all that is printed.
pub(super) fn order_json(order: &pb::CardOrder) -> Value {
    let person = order.personal_data.clone().unwrap_or_default();
    json!({
        "card_id": order.card_id,
        "order_id": order.order_id,
        "application_number": order.application_number,
        "protected": order.protected,
        "accommodations": order.accommodations,
        "name_flags": order.name_flags,
        "glyph_profile": order.glyph_profile,
        "photo_reference": order.photo_reference,
        "name": person.name,
        "substitute_name": person.substitute_name,
        "reading": person.reading,
        "reading_source": person.reading_source,
        "birth_date": person.birth_date,
        "sex": person.sex,
        "address": person.address,
        "delivery_address": person.delivery_address,
        "individual_number": person.individual_number,
    })
}

/// An order without anything about the person.
pub(super) fn order_line(order: &pb::CardOrder) -> String {
    let pb::CardOrder { card_id, order_id, application_number, accommodations, .. } = order;
    let address = if order.protected { "address hidden" } else { "" };
    format!("{card_id:36}  {order_id:24}  {application_number:36}  {}  {address}", accommodations.join(";"))
        .trim_end()
        .to_owned()
}

/// A span for people: in its largest unit.
pub(super) fn age(span: Option<&Duration>) -> String {
    let seconds = span.map(span_ms).unwrap_or_default() / 1000;
    match seconds {
        0..120 => many(seconds, "second"),
        120..7200 => many(seconds / 60, "minute"),
        7200..172_800 => many(seconds / 3600, "hour"),
        _ => many(seconds / 86_400, "day"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_said_in_its_largest_unit() {
        let said = |seconds| age(Some(&Duration { seconds, nanos: 0 }));
        assert_eq!(said(119), "119 seconds");
        assert_eq!(
            (said(120), said(7200), said(172_800)),
            ("2 minutes".into(), "2 hours".into(), "2 days".into())
        );
        assert_eq!(age(None), "0 seconds");
    }
}
