//! A share and an order to be made as the API has them.

use crate::{
    domain::{item::ItemId, record::Field, rules},
    store::ItemRow,
    wire::{fault::Fault, pb},
};

use super::{
    super::{card, orders::Order},
    lot,
};

/// A share as it stands.
pub(super) fn share(row: &ItemRow) -> Result<pb::LotShare, Fault> {
    let of = lot::details(row)?;
    Ok(pb::LotShare {
        municipality_code: row.key.municipality.to_string(),
        lot_id: row.key.id.to_string(),
        producer: of.producer,
        state: row.state.clone(),
        allocated: of.allocated,
        consumed: of.consumed,
        scrapped: of.scrapped,
        remaining: of.remaining,
        shipped: of.shipped,
        arrived: of.arrived,
        in_transit: of.in_transit,
        lost: of.lost,
        recalled_because: of.recalled.unwrap_or_default(),
    })
}

/// An order with all that is printed: of whom a protection measure hides the address, without that.
pub(super) fn order(id: &ItemId, details: &card::life::Details, order: &Order) -> pb::CardOrder {
    let flags = rules::name_flags(order.record.text(Field::Name));
    pb::CardOrder {
        card_id: id.to_string(),
        order_id: details.order_id.clone(),
        application_number: details.application.clone().unwrap_or_default(),
        personal_data: Some(personal(order)),
        protected: order.row.protected,
        accommodations: accommodations(order).map(str::to_owned).collect(),
        name_flags: flags.into_iter().map(str::to_owned).collect(),
        glyph_profile: order.record.text(Field::GlyphProfile).to_owned(),
        photo_reference: details.photo.clone().unwrap_or_default(),
    }
}

/// What the recipient needs.
pub(super) fn accommodations(order: &Order) -> impl Iterator<Item = &str> {
    order.row.accommodations.split(';').filter(|one| !one.is_empty())
}

fn personal(order: &Order) -> pb::PersonalData {
    let text = |field: Field| order.record.text(field).to_owned();
    let address = |field: Field| if order.row.protected { String::new() } else { text(field) };
    let (reading, reading_source) =
        order.reading.clone().unwrap_or_else(|| (text(Field::Reading), text(Field::ReadingSource)));
    pb::PersonalData {
        name: text(Field::Name),
        substitute_name: text(Field::SubstituteName),
        reading,
        reading_source,
        birth_date: text(Field::BirthDate),
        sex: text(Field::Sex),
        address: address(Field::Address),
        delivery_address: address(Field::DeliveryAddress),
        individual_number: text(Field::IndividualNumber),
    }
}
