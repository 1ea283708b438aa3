//! The calls of the card service: who may make them, what they say, and the card after them.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::{
    domain::identity::Role,
    wire::pb::{self, card_service_server::CardService},
};

use super::{
    super::{caller::municipality_of, core::Core, deadline::Deadline, reading},
    act, activation, arrival,
    event::Event,
    fields, find, holder, query, remake,
};

/// Cards, as the API has them.
#[derive(Clone)]
pub(crate) struct Cards {
    pub(crate) core: Arc<Core>,
}

/// Makes the calls that record one event of one card: the roles that may, and what happened.
macro_rules! record {
    ($self:ident, $request:ident, $roles:expr, $response:ident, $event:expr) => {{
        let card = act::record(&$self.core, $request, $roles, $event).await?;
        Ok(Response::new(pb::$response { card: Some(card) }))
    }};
}

const OWNER: &[Role] = &[Role::Municipality];
const OWNER_OR_OPERATOR: &[Role] = &[Role::Municipality, Role::Operator];

#[tonic::async_trait]
impl CardService for Cards {
    #[tracing::instrument(name = "get_card", skip_all)]
    async fn get_card(
        &self,
        request: Request<pb::GetCardRequest>,
    ) -> Result<Response<pb::GetCardResponse>, Status> {
        let municipality = municipality_of(&request)?;
        let deadline = Deadline::of(request.metadata(), self.core.options.call_deadline);
        let got = find::get(&self.core, municipality, request.into_inner(), deadline).await?;
        Ok(Response::new(got))
    }

    #[tracing::instrument(name = "list_cards", skip_all)]
    async fn list_cards(
        &self,
        request: Request<pb::ListCardsRequest>,
    ) -> Result<Response<pb::ListCardsResponse>, Status> {
        let municipality = municipality_of(&request)?;
        let deadline = Deadline::of(request.metadata(), self.core.options.call_deadline);
        let listed = find::list(&self.core, municipality, request.into_inner(), deadline).await?;
        Ok(Response::new(listed))
    }

    #[tracing::instrument(name = "record_arrival", skip_all)]
    async fn record_arrival(
        &self,
        request: Request<pb::RecordArrivalRequest>,
    ) -> Result<Response<pb::RecordArrivalResponse>, Status> {
        Ok(Response::new(arrival::record(&self.core, request).await?))
    }

    #[tracing::instrument(name = "record_pre_issuance", skip_all)]
    async fn record_pre_issuance(
        &self,
        request: Request<pb::RecordPreIssuanceRequest>,
    ) -> Result<Response<pb::RecordPreIssuanceResponse>, Status> {
        record!(self, request, OWNER, RecordPreIssuanceResponse, act::tested)
    }

    #[tracing::instrument(name = "notify_holder", skip_all)]
    async fn notify_holder(
        &self,
        request: Request<pb::NotifyHolderRequest>,
    ) -> Result<Response<pb::NotifyHolderResponse>, Status> {
        record!(self, request, OWNER, NotifyHolderResponse, |_, _| Ok(Event::Notify))
    }

    #[tracing::instrument(name = "begin_activation", skip_all)]
    async fn begin_activation(
        &self,
        request: Request<pb::BeginActivationRequest>,
    ) -> Result<Response<pb::BeginActivationResponse>, Status> {
        Ok(Response::new(activation::begin(&self.core, request).await?))
    }

    #[tracing::instrument(name = "confirm_activation", skip_all)]
    async fn confirm_activation(
        &self,
        request: Request<pb::ConfirmActivationRequest>,
    ) -> Result<Response<pb::ConfirmActivationResponse>, Status> {
        Ok(Response::new(activation::confirm(&self.core, request).await?))
    }

    #[tracing::instrument(name = "query_activation", skip_all)]
    async fn query_activation(
        &self,
        request: Request<pb::QueryActivationRequest>,
    ) -> Result<Response<pb::QueryActivationResponse>, Status> {
        Ok(Response::new(query::query(&self.core, request).await?))
    }

    #[tracing::instrument(name = "abort_activation", skip_all)]
    async fn abort_activation(
        &self,
        request: Request<pb::AbortActivationRequest>,
    ) -> Result<Response<pb::AbortActivationResponse>, Status> {
        Ok(Response::new(activation::abort(&self.core, request).await?))
    }

    #[tracing::instrument(name = "suspend_card", skip_all)]
    async fn suspend_card(
        &self,
        request: Request<pb::SuspendCardRequest>,
    ) -> Result<Response<pb::SuspendCardResponse>, Status> {
        let event = |request: &pb::SuspendCardRequest, _: &act::At<'_>| {
            Ok(Event::Suspend { why: fields::reason(&request.reason)? })
        };
        record!(self, request, OWNER_OR_OPERATOR, SuspendCardResponse, event)
    }

    #[tracing::instrument(name = "resume_card", skip_all)]
    async fn resume_card(
        &self,
        request: Request<pb::ResumeCardRequest>,
    ) -> Result<Response<pb::ResumeCardResponse>, Status> {
        record!(self, request, OWNER, ResumeCardResponse, act::resumed)
    }

    #[tracing::instrument(name = "revoke_card", skip_all)]
    async fn revoke_card(
        &self,
        request: Request<pb::RevokeCardRequest>,
    ) -> Result<Response<pb::RevokeCardResponse>, Status> {
        let event = |request: &pb::RevokeCardRequest, _: &act::At<'_>| {
            Ok(Event::Revoke { why: fields::reason(&request.reason)? })
        };
        record!(self, request, OWNER, RevokeCardResponse, event)
    }

    #[tracing::instrument(name = "surrender_card", skip_all)]
    async fn surrender_card(
        &self,
        request: Request<pb::SurrenderCardRequest>,
    ) -> Result<Response<pb::SurrenderCardResponse>, Status> {
        let event = |request: &pb::SurrenderCardRequest, _: &act::At<'_>| {
            Ok(Event::Surrender { why: fields::note(&request.reason, "reason")? })
        };
        record!(self, request, OWNER, SurrenderCardResponse, event)
    }

    #[tracing::instrument(name = "scrap_card", skip_all)]
    async fn scrap_card(
        &self,
        request: Request<pb::ScrapCardRequest>,
    ) -> Result<Response<pb::ScrapCardResponse>, Status> {
        let event = |request: &pb::ScrapCardRequest, _: &act::At<'_>| {
            Ok(Event::Scrap { why: fields::reason(&request.reason)? })
        };
        record!(self, request, OWNER, ScrapCardResponse, event)
    }

    #[tracing::instrument(name = "remake_card", skip_all)]
    async fn remake_card(
        &self,
        request: Request<pb::RemakeCardRequest>,
    ) -> Result<Response<pb::RemakeCardResponse>, Status> {
        Ok(Response::new(remake::remake(&self.core, request).await?))
    }

    #[tracing::instrument(name = "record_holder_event", skip_all)]
    async fn record_holder_event(
        &self,
        request: Request<pb::RecordHolderEventRequest>,
    ) -> Result<Response<pb::RecordHolderEventResponse>, Status> {
        Ok(Response::new(holder::record(&self.core, request).await?))
    }

    #[tracing::instrument(name = "correct_reading", skip_all)]
    async fn correct_reading(
        &self,
        request: Request<pb::CorrectReadingRequest>,
    ) -> Result<Response<pb::CorrectReadingResponse>, Status> {
        Ok(Response::new(reading::correct(&self.core, request).await?))
    }
}
