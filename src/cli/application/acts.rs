//! `todoke application identity | resubmit | void | restore`: what an office does with an application.

use clap::{Args, builder::TypedValueParser};

use super::photo::PhotoArgs;
use crate::{
    cli::{
        giving::Giving,
        lives::{change::give, documents, words},
    },
    client::error::Error,
    domain::{item::ItemId, life::application::VoidReason},
    wire::pb,
};

/// By what somebody proved who applies.
#[derive(Debug, Clone, Args)]
pub(super) struct IdentityArgs {
    /// The number of the application
    #[arg(value_name = "NUMBER")]
    number: ItemId,
    /// What was shown; once for each: one with a photograph, or two others
    #[arg(long = "document", value_name = "DOCUMENT", required = true, value_parser = documents())]
    documents: Vec<String>,
    #[command(flatten)]
    pub(super) giving: Giving,
}

/// What was sent again.
#[derive(Debug, Clone, Args)]
pub(super) struct ResubmitArgs {
    /// The number of the application
    #[arg(value_name = "NUMBER")]
    number: ItemId,
    #[command(flatten)]
    photo: PhotoArgs,
    #[command(flatten)]
    pub(super) giving: Giving,
}

/// Why an application is void.
#[derive(Debug, Clone, Args)]
pub(super) struct VoidArgs {
    /// The number of the application
    #[arg(value_name = "NUMBER")]
    number: ItemId,
    /// Why
    #[arg(long, value_name = "REASON", value_parser = reasons())]
    reason: pb::VoidReason,
    #[command(flatten)]
    pub(super) giving: Giving,
}

/// Which application is restored.
#[derive(Debug, Clone, Args)]
pub(super) struct RestoreArgs {
    /// The number of the application
    #[arg(value_name = "NUMBER")]
    number: ItemId,
    #[command(flatten)]
    pub(super) giving: Giving,
}

fn reasons() -> impl TypedValueParser<Value = pb::VoidReason> {
    let known = VoidReason::ALL.iter().map(|reason| reason.as_str());
    words(known, "VOID_REASON_", pb::VoidReason::from_str_name)
}

pub(super) async fn identity(args: &IdentityArgs) -> Result<u8, Error> {
    give!(
        args.giving,
        applications.confirm_identity.application,
        "ConfirmIdentity",
        ConfirmIdentityRequest {
            application_number: args.number.to_string(),
            documents: args.documents.clone()
        }
    )
}

pub(super) async fn resubmit(args: &ResubmitArgs) -> Result<u8, Error> {
    give!(
        args.giving,
        applications.resubmit_application.application,
        "ResubmitApplication",
        ResubmitApplicationRequest {
            application_number: args.number.to_string(),
            photo: Some(args.photo.photo())
        }
    )
}

pub(super) async fn void(args: &VoidArgs) -> Result<u8, Error> {
    give!(
        args.giving,
        applications.void_application.application,
        "VoidApplication",
        VoidApplicationRequest {
            application_number: args.number.to_string(),
            void_reason: args.reason.into()
        }
    )
}

pub(super) async fn restore(args: &RestoreArgs) -> Result<u8, Error> {
    give!(
        args.giving,
        applications.restore_application.application,
        "RestoreApplication",
        RestoreApplicationRequest { application_number: args.number.to_string() }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_can_be_named() {
        for reason in VoidReason::ALL {
            assert!(pb::VoidReason::from_str_name(&format!("VOID_REASON_{reason}")).is_some(), "{reason}");
        }
    }
}
