//! `todoke mail show`: one envelope, with what was recorded of it.

use clap::Args;

use crate::{
    cli::{giving::Asker, lives::show::show},
    client::{calls::Weight, error::Error},
    domain::{item::ItemId, municipality::MunicipalityCode},
    wire::pb,
};

/// Which envelope is shown.
#[derive(Debug, Clone, Args)]
pub(super) struct ShowArgs {
    /// The code on the envelope
    #[arg(value_name = "ID")]
    id: ItemId,
    /// Whose envelope it is; a municipality sees its own and leaves it out
    #[arg(long, value_name = "CODE")]
    municipality: Option<MunicipalityCode>,
    /// Shows all that was recorded of it, too
    #[arg(long)]
    history: bool,
    #[command(flatten)]
    pub(super) asking: Asker,
}

pub(super) async fn run(args: &ShowArgs) -> Result<u8, Error> {
    let message = pb::GetMailItemRequest {
        municipality_code: args.municipality.as_ref().map(ToString::to_string).unwrap_or_default(),
        mail_item_id: args.id.to_string(),
        with_history: args.history,
    };
    let get = args.asking.ask(("GetMailItem", Weight::Light), &message, |attempt, request| async move {
        attempt.mail().get_mail_item(request).await
    });
    let pb::GetMailItemResponse { mail_item, events } = get.await?;
    Ok(show(args.asking.output, mail_item, &events))
}
