//! The calls of the production service: who may make them, what they say, and what they answer.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::wire::pb::{self, production_service_server::ProductionService};

use super::{super::core::Core, ages, allocate, figures, pull, recall, report, shipment, view};

/// Lots and their cards, as the API has them.
#[derive(Clone)]
pub(crate) struct Production {
    pub(crate) core: Arc<Core>,
}

#[tonic::async_trait]
impl ProductionService for Production {
    #[tracing::instrument(name = "allocate_quota", skip_all)]
    async fn allocate_quota(
        &self,
        request: Request<pb::AllocateQuotaRequest>,
    ) -> Result<Response<pb::AllocateQuotaResponse>, Status> {
        let share = Some(view::share(&allocate::allocate(&self.core, request).await?)?);
        Ok(Response::new(pb::AllocateQuotaResponse { share }))
    }

    #[tracing::instrument(name = "pull_orders", skip_all)]
    async fn pull_orders(
        &self,
        request: Request<pb::PullOrdersRequest>,
    ) -> Result<Response<pb::PullOrdersResponse>, Status> {
        Ok(Response::new(pull::pull(&self.core, request).await?))
    }

    #[tracing::instrument(name = "report_production", skip_all)]
    async fn report_production(
        &self,
        request: Request<pb::ReportProductionRequest>,
    ) -> Result<Response<pb::ReportProductionResponse>, Status> {
        Ok(Response::new(report::report(&self.core, request).await?))
    }

    #[tracing::instrument(name = "report_shipment", skip_all)]
    async fn report_shipment(
        &self,
        request: Request<pb::ReportShipmentRequest>,
    ) -> Result<Response<pb::ReportShipmentResponse>, Status> {
        let share = Some(view::share(&shipment::ship(&self.core, request).await?)?);
        Ok(Response::new(pb::ReportShipmentResponse { share }))
    }

    #[tracing::instrument(name = "recall_lot", skip_all)]
    async fn recall_lot(
        &self,
        request: Request<pb::RecallLotRequest>,
    ) -> Result<Response<pb::RecallLotResponse>, Status> {
        Ok(Response::new(recall::recall(&self.core, request).await?))
    }

    #[tracing::instrument(name = "get_lot", skip_all)]
    async fn get_lot(
        &self,
        request: Request<pb::GetLotRequest>,
    ) -> Result<Response<pb::GetLotResponse>, Status> {
        Ok(Response::new(figures::get(&self.core, request).await?))
    }

    #[tracing::instrument(name = "list_stage_ages", skip_all)]
    async fn list_stage_ages(
        &self,
        request: Request<pb::ListStageAgesRequest>,
    ) -> Result<Response<pb::ListStageAgesResponse>, Status> {
        Ok(Response::new(ages::list(&self.core, request).await?))
    }
}
