//! The calls of the mail service: who may make them, what they say, and the envelope after them.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::{
    domain::{identity::Role, item::ItemKind, life::mail::MailState},
    wire::{
        convert::page_size,
        pb::{self, mail_service_server::MailService},
    },
};

use super::{
    super::{
        caller::{not_yours, one_of, whose},
        core::{Core, store_fault},
        deadline::Deadline,
        lists::{self, Wanted},
        mutation::id_of,
        office,
    },
    event::Event,
    record, retention, stocktake, view,
};

/// Envelopes, as the API has them.
#[derive(Clone)]
pub(crate) struct Mail {
    pub(crate) core: Arc<Core>,
}

/// Makes the calls that record one event: the roles that may, and what happened.
macro_rules! record {
    ($self:ident, $request:ident, $roles:expr, $response:ident, $event:expr) => {{
        let mail_item = record::record(&$self.core, $request, $roles, $event).await?;
        Ok(Response::new(pb::$response { mail_item: Some(mail_item) }))
    }};
}

const PRESS: &[Role] = &[Role::Producer];
const PRESS_OR_POST: &[Role] = &[Role::Producer, Role::Postal];
const POST: &[Role] = &[Role::Postal];
const OWNER: &[Role] = &[Role::Municipality];
const ANY: &[Role] = &[Role::Municipality, Role::Producer, Role::Postal];

#[tonic::async_trait]
impl MailService for Mail {
    #[tracing::instrument(name = "record_produced", skip_all)]
    async fn record_produced(
        &self,
        request: Request<pb::RecordProducedRequest>,
    ) -> Result<Response<pb::RecordProducedResponse>, Status> {
        let order_ids = request.get_ref().order_ids.clone();
        let made = record::with_cards(&self.core, request, PRESS, &order_ids, record::produced).await?;
        Ok(Response::new(pb::RecordProducedResponse { mail_item: Some(made) }))
    }

    #[tracing::instrument(name = "record_posted", skip_all)]
    async fn record_posted(
        &self,
        request: Request<pb::RecordPostedRequest>,
    ) -> Result<Response<pb::RecordPostedResponse>, Status> {
        record!(self, request, PRESS_OR_POST, RecordPostedResponse, |_, _| Ok(Event::Post))
    }

    #[tracing::instrument(name = "record_delivered", skip_all)]
    async fn record_delivered(
        &self,
        request: Request<pb::RecordDeliveredRequest>,
    ) -> Result<Response<pb::RecordDeliveredResponse>, Status> {
        record!(self, request, POST, RecordDeliveredResponse, |_, _| Ok(Event::Deliver))
    }

    #[tracing::instrument(name = "record_returned", skip_all)]
    async fn record_returned(
        &self,
        request: Request<pb::RecordReturnedRequest>,
    ) -> Result<Response<pb::RecordReturnedResponse>, Status> {
        record!(self, request, POST, RecordReturnedResponse, |_, _| Ok(Event::Return))
    }

    #[tracing::instrument(name = "store_returned", skip_all)]
    async fn store_returned(
        &self,
        request: Request<pb::StoreReturnedRequest>,
    ) -> Result<Response<pb::StoreReturnedResponse>, Status> {
        record!(self, request, OWNER, StoreReturnedResponse, |request: &pb::StoreReturnedRequest, _| {
            Ok(Event::Store { office: office::read(&request.office)? })
        })
    }

    #[tracing::instrument(name = "hand_over", skip_all)]
    async fn hand_over(
        &self,
        request: Request<pb::HandOverRequest>,
    ) -> Result<Response<pb::HandOverResponse>, Status> {
        record!(self, request, OWNER, HandOverResponse, |_, _| Ok(Event::HandOver))
    }

    #[tracing::instrument(name = "request_redelivery", skip_all)]
    async fn request_redelivery(
        &self,
        request: Request<pb::RequestRedeliveryRequest>,
    ) -> Result<Response<pb::RequestRedeliveryResponse>, Status> {
        record!(self, request, OWNER, RequestRedeliveryResponse, |_, _| Ok(Event::RequestRedelivery))
    }

    #[tracing::instrument(name = "propose_disposal", skip_all)]
    async fn propose_disposal(
        &self,
        request: Request<pb::ProposeDisposalRequest>,
    ) -> Result<Response<pb::ProposeDisposalResponse>, Status> {
        record!(self, request, OWNER, ProposeDisposalResponse, |request: &pb::ProposeDisposalRequest, _| {
            Ok(Event::ProposeDisposal { by: record::clerk(&request.clerk)?.to_string() })
        })
    }

    #[tracing::instrument(name = "confirm_disposal", skip_all)]
    async fn confirm_disposal(
        &self,
        request: Request<pb::ConfirmDisposalRequest>,
    ) -> Result<Response<pb::ConfirmDisposalResponse>, Status> {
        record!(self, request, OWNER, ConfirmDisposalResponse, record::disposal)
    }

    #[tracing::instrument(name = "submit_stocktake", skip_all)]
    async fn submit_stocktake(
        &self,
        request: Request<pb::SubmitStocktakeRequest>,
    ) -> Result<Response<pb::SubmitStocktakeResponse>, Status> {
        Ok(Response::new(stocktake::take(&self.core, request).await?))
    }

    #[tracing::instrument(name = "claim_empty_envelope", skip_all)]
    async fn claim_empty_envelope(
        &self,
        request: Request<pb::ClaimEmptyEnvelopeRequest>,
    ) -> Result<Response<pb::ClaimEmptyEnvelopeResponse>, Status> {
        record!(self, request, OWNER, ClaimEmptyEnvelopeResponse, |_, _| Ok(Event::ClaimEmptyEnvelope))
    }

    #[tracing::instrument(name = "void_mail_item", skip_all)]
    async fn void_mail_item(
        &self,
        request: Request<pb::VoidMailItemRequest>,
    ) -> Result<Response<pb::VoidMailItemResponse>, Status> {
        record!(self, request, OWNER, VoidMailItemResponse, |_, _| Ok(Event::Void))
    }

    #[tracing::instrument(name = "extend_retention", skip_all)]
    async fn extend_retention(
        &self,
        request: Request<pb::ExtendRetentionRequest>,
    ) -> Result<Response<pb::ExtendRetentionResponse>, Status> {
        let retention = retention::extend(&self.core, request).await?;
        let (version, until) = (retention.version(), retention.until().to_string());
        Ok(Response::new(pb::ExtendRetentionResponse { version, until }))
    }

    #[tracing::instrument(name = "get_retention", skip_all)]
    async fn get_retention(
        &self,
        request: Request<pb::GetRetentionRequest>,
    ) -> Result<Response<pb::GetRetentionResponse>, Status> {
        let caller = one_of(&request, OWNER)?;
        let deadline = Deadline::of(request.metadata(), self.core.options.call_deadline);
        let retention = retention::of(&self.core, whose(&caller, None)?, deadline).await?;
        let (version, until) = (retention.version(), retention.until().to_string());
        Ok(Response::new(pb::GetRetentionResponse { version, until }))
    }

    #[tracing::instrument(name = "get_mail_item", skip_all)]
    async fn get_mail_item(
        &self,
        request: Request<pb::GetMailItemRequest>,
    ) -> Result<Response<pb::GetMailItemResponse>, Status> {
        let caller = one_of(&request, ANY)?;
        let deadline = Deadline::of(request.metadata(), self.core.options.call_deadline);
        let request = request.into_inner();
        let municipality = whose(&caller, Some(&request.municipality_code))?;
        let key = view::key(municipality, id_of(&request.mail_item_id, "mail_item_id")?);
        let store = &self.core.store;
        let row = deadline.wait(store.item(&key)).await?.map_err(store_fault)?.ok_or_else(not_yours)?;
        let history = deadline.wait(store.item_history(&key)).await?.map_err(store_fault)?;
        let mut events = view::events(&history)?;
        if caller.role() != Role::Municipality {
            let own = caller.to_string();
            events.retain(|event| event.actor == own);
            if events.is_empty() {
                return Err(not_yours().into());
            }
        }
        if !request.with_history {
            events.clear();
        }
        let mail_item = Some(view::shown_to(&caller, view::mail_item(row)?));
        Ok(Response::new(pb::GetMailItemResponse { mail_item, events }))
    }

    #[tracing::instrument(name = "list_mail_items", skip_all)]
    async fn list_mail_items(
        &self,
        request: Request<pb::ListMailItemsRequest>,
    ) -> Result<Response<pb::ListMailItemsResponse>, Status> {
        let caller = one_of(&request, OWNER)?;
        let deadline = Deadline::of(request.metadata(), self.core.options.call_deadline);
        let request = request.into_inner();
        let municipality = whose(&caller, None)?;
        let size = page_size(request.page_size, 100, 1000)?;
        let state = view::read_state(request.state)?;
        let wanted = Wanted {
            list: "mail",
            size,
            page_token: &request.page_token,
            state: state.map(MailState::as_str),
            office: &request.office,
            state_by_time: request.state_by_time.as_ref(),
        };
        let of = (municipality, ItemKind::Mail);
        let (rows, next_page_token) = lists::page(&self.core, of, wanted, deadline).await?;
        let mail_items = rows.into_iter().map(view::mail_item).collect::<Result<_, _>>()?;
        Ok(Response::new(pb::ListMailItemsResponse { mail_items, next_page_token }))
    }
}
