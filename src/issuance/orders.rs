//! An order of an accepted batch, opened: for whom a card, an application or a form is.

use crate::{
    domain::{
        item::{ItemKey, ItemKind},
        municipality::MunicipalityCode,
        record::{Field, Record},
    },
    store::CardRow,
    wire::fault::{Fault, Reason},
};

use super::{
    caller::not_yours,
    chunks::record_aad,
    core::{Core, store_fault},
    deadline::Deadline,
    reading,
};

/// An order with its record. Personal data: it has no debug form.
pub(crate) struct Order {
    pub(crate) row: CardRow,
    pub(crate) record: Record,
    /// The reading that was put right, and where it comes from.
    pub(crate) reading: Option<(String, String)>,
}

impl Order {
    /// Returns the municipality's order of this id.
    ///
    /// # Errors
    /// NOT_FOUND unless it is one of an accepted batch of this municipality.
    pub(crate) async fn by_id(
        core: &Core,
        municipality: MunicipalityCode,
        order_id: &str,
        deadline: Deadline,
    ) -> Result<Self, Fault> {
        let row = core.store.card_by_order_id(municipality, order_id);
        let row = deadline.wait(row).await?.map_err(store_fault)?.ok_or_else(not_yours)?;
        Self::open(core, row, deadline).await
    }

    /// Opens an order.
    pub(crate) async fn open(core: &Core, row: CardRow, deadline: Deadline) -> Result<Self, Fault> {
        let unreadable = || Fault::new(Reason::Internal, "the stored order is unreadable: tell the operator");
        let batch = deadline.wait(core.batch(row.municipality, row.batch_id)).await??;
        let key = core.data_key(&batch)?;
        let aad = record_aad(row.municipality, row.batch_id, row.index);
        let canonical = key.open(&aad, &row.sealed).map_err(|_| unreadable())?;
        let record = Record::decode(&canonical).map_err(|_| unreadable())?;
        let reading = match row.order_id.parse() {
            Ok(id) => {
                let item = ItemKey { municipality: row.municipality, kind: ItemKind::Reading, id };
                let corrected = deadline.wait(core.store.item(&item)).await?.map_err(store_fault)?;
                corrected.map(|item| reading::read(&row, &item, &key)).transpose()?
            }
            Err(_) => None, // an order id from before ids were held to visible characters
        };
        Ok(Self { row, record, reading })
    }

    /// Whose it is: the blind index of the individual number, or of the order if none was given.
    pub(crate) fn person(&self, core: &Core) -> [u8; 32] {
        let blind = |field: &str, text: &str| core.vault.blind_index(self.row.municipality, field, text);
        match self.record.get(Field::IndividualNumber) {
            Some(number) => blind(Field::IndividualNumber.as_str(), number),
            None => blind(Field::OrderId.as_str(), &self.row.order_id),
        }
    }

    /// The blind index of the household.
    pub(crate) fn household(&self, core: &Core) -> [u8; 32] {
        let field = Field::HouseholdId;
        core.vault.blind_index(self.row.municipality, field.as_str(), self.record.text(field))
    }
}
