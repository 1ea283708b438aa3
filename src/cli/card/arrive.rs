//! `todoke card arrive`: cards have arrived at an office, all of the command or none.

use clap::Args;

use super::several::all_shown;
use crate::{
    cli::{giving::Giving, lives::change::give},
    client::error::Error,
    domain::item::ItemId,
};

/// What has arrived where.
#[derive(Debug, Clone, Args)]
pub(super) struct ArriveArgs {
    /// The cards, 500 at most
    #[arg(value_name = "CARD_ID", required = true)]
    ids: Vec<ItemId>,
    /// The office that has them
    #[arg(long, value_name = "NAME")]
    office: String,
    #[command(flatten)]
    pub(super) giving: Giving,
}

pub(super) async fn run(args: &ArriveArgs) -> Result<u8, Error> {
    let given = give!(
        args.giving,
        cards.record_arrival,
        "RecordArrival",
        RecordArrivalRequest {
            card_ids: args.ids.iter().map(ToString::to_string).collect(),
            office: args.office.clone(),
        }
    );
    let (stamp, answer) = given?;
    Ok(all_shown(&args.giving, &stamp, &answer.cards, &[]))
}
