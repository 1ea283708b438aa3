//! `todoke card pre-issue | notify | suspend | resume | revoke | surrender | scrap | remake`: what is
//! done with one card.

use clap::Args;

use crate::{
    cli::{
        giving::Giving,
        lives::change::{give, stands},
    },
    client::error::Error,
    domain::{item::ItemId, municipality::MunicipalityCode},
};

/// What is done with a card and needs no more words.
#[derive(Debug, Clone, Args)]
pub(super) struct ActArgs {
    /// The card
    #[arg(value_name = "CARD_ID")]
    id: ItemId,
    #[command(flatten)]
    pub(super) giving: Giving,
}

/// How a chip's self-test ended.
#[derive(Debug, Clone, Args)]
pub(super) struct PreIssueArgs {
    /// The card
    #[arg(value_name = "CARD_ID")]
    id: ItemId,
    /// The chip's own result: PASS, or what failed
    #[arg(long, value_name = "RESULT")]
    self_test: String,
    #[command(flatten)]
    pub(super) giving: Giving,
}

/// What has to have a reason.
#[derive(Debug, Clone, Args)]
pub(super) struct ReasonArgs {
    /// The card
    #[arg(value_name = "CARD_ID")]
    id: ItemId,
    /// Why, without personal data
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    pub(super) giving: Giving,
}

/// Whose card is lost.
#[derive(Debug, Clone, Args)]
pub(super) struct SuspendArgs {
    /// The card
    #[arg(value_name = "CARD_ID")]
    id: ItemId,
    /// Why, without personal data
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Whose card it is; a municipality suspends its own and leaves it out
    #[arg(long, value_name = "CODE")]
    municipality: Option<MunicipalityCode>,
    #[command(flatten)]
    pub(super) giving: Giving,
}

/// Which card comes back.
#[derive(Debug, Clone, Args)]
pub(super) struct SurrenderArgs {
    /// The card
    #[arg(value_name = "CARD_ID")]
    id: ItemId,
    /// Why, without personal data
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    pub(super) giving: Giving,
}

/// Sends what is done with one card, and shows where it stands.
macro_rules! act {
    ($args:ident, $call:ident, $name:literal, $request:ident { $($field:ident: $value:expr),* $(,)? }) => {
        give!(
            $args.giving,
            cards.$call.card,
            $name,
            $request { card_id: $args.id.to_string(), $($field: $value),* }
        )
    };
}

pub(super) async fn pre_issue(args: &PreIssueArgs) -> Result<u8, Error> {
    act!(
        args,
        record_pre_issuance,
        "RecordPreIssuance",
        RecordPreIssuanceRequest { self_test: args.self_test.clone() }
    )
}

pub(super) async fn notify(args: &ActArgs) -> Result<u8, Error> {
    act!(args, notify_holder, "NotifyHolder", NotifyHolderRequest {})
}

pub(super) async fn suspend(args: &SuspendArgs) -> Result<u8, Error> {
    act!(
        args,
        suspend_card,
        "SuspendCard",
        SuspendCardRequest {
            reason: args.reason.clone(),
            municipality_code: args.municipality.as_ref().map(ToString::to_string).unwrap_or_default(),
        }
    )
}

pub(super) async fn resume(args: &ActArgs) -> Result<u8, Error> {
    act!(args, resume_card, "ResumeCard", ResumeCardRequest {})
}

pub(super) async fn revoke(args: &ReasonArgs) -> Result<u8, Error> {
    act!(args, revoke_card, "RevokeCard", RevokeCardRequest { reason: args.reason.clone() })
}

pub(super) async fn surrender(args: &SurrenderArgs) -> Result<u8, Error> {
    act!(
        args,
        surrender_card,
        "SurrenderCard",
        SurrenderCardRequest { reason: args.reason.clone().unwrap_or_default() }
    )
}

pub(super) async fn scrap(args: &ReasonArgs) -> Result<u8, Error> {
    act!(args, scrap_card, "ScrapCard", ScrapCardRequest { reason: args.reason.clone() })
}

pub(super) async fn remake(args: &ActArgs) -> Result<u8, Error> {
    let given = give!(
        args.giving,
        cards.remake_card,
        "RemakeCard",
        RemakeCardRequest { card_id: args.id.to_string() }
    );
    let (stamp, answer) = given?;
    let new = answer.remade_card_id;
    Ok(stands(&args.giving, &stamp, answer.card, &[("remade_card_id", &new)]))
}
