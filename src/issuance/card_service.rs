//! Card orders of accepted batches, shown only to their own municipality; personal data only with a purpose.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::{
    domain::{
        record::{Field, Record},
        rules,
    },
    store::CardRow,
    telemetry::names,
    wire::{
        convert::{page_size, timestamp},
        fault::{Fault, Reason},
        pb::{self, card_service_server::CardService},
    },
};

use super::{
    caller::municipality_of,
    chunks::record_aad,
    core::{Core, batch_id, store_fault},
    deadline::Deadline,
    pages,
};

/// Cards, as the API has them.
#[derive(Clone)]
pub(crate) struct Cards {
    pub(crate) core: Arc<Core>,
}

#[tonic::async_trait]
impl CardService for Cards {
    #[tracing::instrument(name = "get_card", skip_all)]
    async fn get_card(
        &self,
        request: Request<pb::GetCardRequest>,
    ) -> Result<Response<pb::GetCardResponse>, Status> {
        let municipality = municipality_of(&request)?;
        let deadline = Deadline::of(request.metadata(), self.core.options.call_deadline);
        let request = request.into_inner();
        let purpose = pb::Purpose::try_from(request.purpose).map_err(|_| {
            Fault::new(Reason::FieldInvalid, "this purpose does not exist")
                .violation("purpose", "a known purpose")
        })?;
        let store = &self.core.store;
        let found = match request.key {
            Some(pb::get_card_request::Key::OrderId(order_id)) => {
                deadline.wait(store.card_by_order_id(municipality, &order_id)).await?.map_err(store_fault)?
            }
            Some(pb::get_card_request::Key::IndividualNumber(number)) => {
                if purpose == pb::Purpose::Unspecified {
                    let words = "a look-up by individual number needs a purpose: state it";
                    return Err(Fault::new(Reason::PurposeRequired, words)
                        .violation("purpose", "required")
                        .into());
                }
                let field = Field::IndividualNumber.as_str();
                let blind = self.core.vault.blind_index(municipality, field, &number);
                let newest = store.cards_by_person(municipality, &blind, 1);
                deadline.wait(newest).await?.map_err(store_fault)?.pop()
            }
            None => {
                return Err(Fault::new(Reason::FieldInvalid, "name the card: order_id or individual_number")
                    .violation("key", "order_id or individual_number")
                    .into());
            }
        };
        let card = found.ok_or_else(|| {
            Fault::new(Reason::NotFound, "no accepted order has this key: check it, and the batch's state")
        })?;
        let card = self.open(card, purpose).await?;
        Ok(Response::new(pb::GetCardResponse { card: Some(card) }))
    }

    #[tracing::instrument(name = "list_cards", skip_all)]
    async fn list_cards(
        &self,
        request: Request<pb::ListCardsRequest>,
    ) -> Result<Response<pb::ListCardsResponse>, Status> {
        let municipality = municipality_of(&request)?;
        let deadline = Deadline::of(request.metadata(), self.core.options.call_deadline);
        let request = request.into_inner();
        let size = page_size(request.page_size, 100, 1000)?;
        let batch = match request.batch_id.as_str() {
            "" => None,
            text => Some(batch_id(text)?),
        };
        let after = match pages::position("cards", &request.page_token)? {
            None => None,
            Some(text) => Some(place(&text).ok_or_else(pages::invalid)?),
        };
        let listed = self.core.store.list_cards(municipality, after, batch, size);
        let rows = deadline.wait(listed).await?.map_err(store_fault)?;
        let full = rows.len() == size as usize;
        let next = rows.last().filter(|_| full);
        let next = next.map(|row| pages::token("cards", &format!("{} {}", row.batch_id, row.index)));
        Ok(Response::new(pb::ListCardsResponse {
            cards: rows.into_iter().map(card).collect(),
            next_page_token: next.unwrap_or_default(),
        }))
    }
}

fn place(text: &str) -> Option<(crate::domain::batch_id::BatchId, u64)> {
    let (batch, index) = text.split_once(' ')?;
    Some((batch.parse().ok()?, index.parse().ok()?))
}

impl Cards {
    /// Opens the sealed record for what it says of its name, and of the person if a purpose is given.
    async fn open(&self, row: CardRow, purpose: pb::Purpose) -> Result<pb::Card, Fault> {
        let unreadable = || Fault::new(Reason::Internal, "the stored order is unreadable: tell the operator");
        let batch = self.core.batch(row.municipality, row.batch_id).await?;
        let key = self.core.data_key(&batch)?;
        let aad = record_aad(row.municipality, row.batch_id, row.index);
        let canonical = key.open(&aad, &row.sealed).map_err(|_| unreadable())?;
        let record = Record::decode(&canonical).map_err(|_| unreadable())?;
        let mut card = card(row);
        let flags = rules::name_flags(record.text(Field::Name));
        card.name_flags = flags.into_iter().map(str::to_owned).collect();
        if purpose != pb::Purpose::Unspecified {
            metrics::counter!(names::DISCLOSURES, names::PURPOSE => purpose.as_str_name()).increment(1);
            card.personal_data = Some(personal(&record));
        }
        Ok(card)
    }
}

fn personal(record: &Record) -> pb::PersonalData {
    let text = |field: Field| record.text(field).to_owned();
    pb::PersonalData {
        name: text(Field::Name),
        substitute_name: text(Field::SubstituteName),
        reading: text(Field::Reading),
        reading_source: text(Field::ReadingSource),
        birth_date: text(Field::BirthDate),
        sex: text(Field::Sex),
        address: text(Field::Address),
        delivery_address: text(Field::DeliveryAddress),
        individual_number: text(Field::IndividualNumber),
    }
}

fn card(row: CardRow) -> pb::Card {
    let kind = match row.kind.as_str() {
        "NOTIFICATION_CARD" => pb::CardKind::NotificationCard,
        "INDIVIDUAL_NUMBER_CARD" => pb::CardKind::IndividualNumberCard,
        _ => pb::CardKind::Unspecified,
    };
    pb::Card {
        municipality_code: row.municipality.to_string(),
        order_id: row.order_id,
        batch_id: row.batch_id.to_string(),
        index: row.index,
        kind: kind.into(),
        state: pb::CardState::Ordered.into(),
        district: row.district,
        protected: row.protected,
        accommodations: row
            .accommodations
            .split(';')
            .filter(|one| !one.is_empty())
            .map(str::to_owned)
            .collect(),
        name_flags: Vec::new(),
        order_time: Some(timestamp(row.ordered_ms)),
        personal_data: None,
    }
}
