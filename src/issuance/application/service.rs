//! The calls of the application service: who may make them, what they say, and the application after them.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::{
    domain::{identity::Role, item::ItemKind, life::application::ApplicationState},
    wire::{
        convert::page_size,
        pb::{self, application_service_server::ApplicationService},
    },
};

use super::{
    super::{
        caller::{not_yours, one_of, whose},
        core::{Core, store_fault},
        deadline::Deadline,
        lists::{self, Wanted},
        mutation::id_of,
    },
    acts,
    attempts::Attempts,
    forms,
    submit::submit,
    view,
    void::void,
};

/// Applications, as the API has them.
#[derive(Clone)]
pub(crate) struct Applications {
    core: Arc<Core>,
    attempts: Arc<Attempts>,
}

impl Applications {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        let attempts = Arc::new(Attempts::new(&core.options));
        Self { core, attempts }
    }
}

/// Who reads: a municipality its own, an auditor the one that it names.
const READERS: &[Role] = &[Role::Municipality, Role::Auditor];

#[tonic::async_trait]
impl ApplicationService for Applications {
    #[tracing::instrument(name = "issue_form", skip_all)]
    async fn issue_form(
        &self,
        request: Request<pb::IssueFormRequest>,
    ) -> Result<Response<pb::IssueFormResponse>, Status> {
        let application_id = forms::issue(&self.core, request).await?.to_string();
        Ok(Response::new(pb::IssueFormResponse { application_id }))
    }

    #[tracing::instrument(name = "submit_application", skip_all)]
    async fn submit_application(
        &self,
        request: Request<pb::SubmitApplicationRequest>,
    ) -> Result<Response<pb::SubmitApplicationResponse>, Status> {
        let application = Some(submit(&self.core, &self.attempts, request).await?);
        Ok(Response::new(pb::SubmitApplicationResponse { application }))
    }

    #[tracing::instrument(name = "review_application", skip_all)]
    async fn review_application(
        &self,
        request: Request<pb::ReviewApplicationRequest>,
    ) -> Result<Response<pb::ReviewApplicationResponse>, Status> {
        let application = Some(acts::review(&self.core, request).await?);
        Ok(Response::new(pb::ReviewApplicationResponse { application }))
    }

    #[tracing::instrument(name = "confirm_identity", skip_all)]
    async fn confirm_identity(
        &self,
        request: Request<pb::ConfirmIdentityRequest>,
    ) -> Result<Response<pb::ConfirmIdentityResponse>, Status> {
        let application = Some(acts::identity(&self.core, request).await?);
        Ok(Response::new(pb::ConfirmIdentityResponse { application }))
    }

    #[tracing::instrument(name = "resubmit_application", skip_all)]
    async fn resubmit_application(
        &self,
        request: Request<pb::ResubmitApplicationRequest>,
    ) -> Result<Response<pb::ResubmitApplicationResponse>, Status> {
        let application = Some(acts::resubmit(&self.core, request).await?);
        Ok(Response::new(pb::ResubmitApplicationResponse { application }))
    }

    #[tracing::instrument(name = "void_application", skip_all)]
    async fn void_application(
        &self,
        request: Request<pb::VoidApplicationRequest>,
    ) -> Result<Response<pb::VoidApplicationResponse>, Status> {
        let application = Some(void(&self.core, request).await?);
        Ok(Response::new(pb::VoidApplicationResponse { application }))
    }

    #[tracing::instrument(name = "restore_application", skip_all)]
    async fn restore_application(
        &self,
        request: Request<pb::RestoreApplicationRequest>,
    ) -> Result<Response<pb::RestoreApplicationResponse>, Status> {
        let application = Some(acts::restore(&self.core, request).await?);
        Ok(Response::new(pb::RestoreApplicationResponse { application }))
    }

    #[tracing::instrument(name = "get_application", skip_all)]
    async fn get_application(
        &self,
        request: Request<pb::GetApplicationRequest>,
    ) -> Result<Response<pb::GetApplicationResponse>, Status> {
        let caller = one_of(&request, READERS)?;
        let deadline = Deadline::of(request.metadata(), self.core.options.call_deadline);
        let request = request.into_inner();
        let municipality = whose(&caller, Some(&request.municipality_code))?;
        let key = view::key(municipality, id_of(&request.application_number, "application_number")?);
        let store = &self.core.store;
        let row = deadline.wait(store.item(&key)).await?.map_err(store_fault)?.ok_or_else(not_yours)?;
        let events = if request.with_history {
            let history = deadline.wait(store.item_history(&key)).await?.map_err(store_fault)?;
            view::events(&history)?
        } else {
            Vec::new()
        };
        let application = Some(view::shown(&self.core, row, deadline).await?);
        Ok(Response::new(pb::GetApplicationResponse { application, events }))
    }

    #[tracing::instrument(name = "list_applications", skip_all)]
    async fn list_applications(
        &self,
        request: Request<pb::ListApplicationsRequest>,
    ) -> Result<Response<pb::ListApplicationsResponse>, Status> {
        let caller = one_of(&request, READERS)?;
        let deadline = Deadline::of(request.metadata(), self.core.options.call_deadline);
        let request = request.into_inner();
        let municipality = whose(&caller, Some(&request.municipality_code))?;
        let size = page_size(request.page_size, 100, 1000)?;
        let state = view::read_state(request.state)?;
        let wanted = Wanted {
            list: "applications",
            size,
            page_token: &request.page_token,
            state: state.map(ApplicationState::as_str),
            office: "",
            state_by_time: request.state_by_time.as_ref(),
        };
        let of = (municipality, ItemKind::Application);
        let (rows, next_page_token) = lists::page(&self.core, of, wanted, deadline).await?;
        let applications = rows.iter().map(view::application).collect::<Result<_, _>>()?;
        Ok(Response::new(pb::ListApplicationsResponse { applications, next_page_token }))
    }
}
