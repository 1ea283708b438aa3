//! `todoke application show`: one application, what looks like a swap at this moment, and what was recorded.

use clap::Args;

use crate::{
    cli::{giving::Asker, lives::show::show},
    client::{calls::Weight, error::Error},
    domain::{item::ItemId, municipality::MunicipalityCode},
    wire::pb,
};

/// Which application is shown.
#[derive(Debug, Clone, Args)]
pub(super) struct ShowArgs {
    /// The number of the application
    #[arg(value_name = "NUMBER")]
    number: ItemId,
    /// Whose application it is; a municipality sees its own and leaves it out
    #[arg(long, value_name = "CODE")]
    municipality: Option<MunicipalityCode>,
    /// Shows all that was recorded of it, too
    #[arg(long)]
    history: bool,
    #[command(flatten)]
    pub(super) asking: Asker,
}

pub(super) async fn run(args: &ShowArgs) -> Result<u8, Error> {
    let message = pb::GetApplicationRequest {
        municipality_code: args.municipality.as_ref().map(ToString::to_string).unwrap_or_default(),
        application_number: args.number.to_string(),
        with_history: args.history,
    };
    let get = args.asking.ask(("GetApplication", Weight::Light), &message, |attempt, request| async move {
        attempt.applications().get_application(request).await
    });
    let pb::GetApplicationResponse { application, events } = get.await?;
    Ok(show(args.asking.output, application, &events))
}
