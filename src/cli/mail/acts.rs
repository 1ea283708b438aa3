//! `todoke mail store | hand-over | redeliver | propose-disposal | confirm-disposal | empty | void`: what an
//! office does with an envelope.

use clap::Args;

use crate::{
    cli::{giving::Giving, lives::change::give},
    client::error::Error,
    domain::{item::ItemId, life::mail::disposal::Clerk},
};

/// What an office does with an envelope.
#[derive(Debug, Clone, Args)]
pub(super) struct ActArgs {
    /// The code on the envelope
    #[arg(value_name = "ID")]
    id: ItemId,
    #[command(flatten)]
    pub(super) giving: Giving,
}

/// An office puts an envelope away.
#[derive(Debug, Clone, Args)]
pub(super) struct StoreArgs {
    /// The code on the envelope
    #[arg(value_name = "ID")]
    id: ItemId,
    /// The office that keeps it
    #[arg(long, value_name = "NAME")]
    office: String,
    #[command(flatten)]
    pub(super) giving: Giving,
}

/// One of the two steps of a disposal.
#[derive(Debug, Clone, Args)]
pub(super) struct DisposalArgs {
    /// The code on the envelope
    #[arg(value_name = "ID")]
    id: ItemId,
    /// Who decides it: the office's own short name, no name of a person
    #[arg(long, value_name = "NAME")]
    clerk: Clerk,
    #[command(flatten)]
    pub(super) giving: Giving,
}

pub(super) async fn store(args: &StoreArgs) -> Result<u8, Error> {
    give!(
        args.giving,
        mail.store_returned.mail_item,
        "StoreReturned",
        StoreReturnedRequest { mail_item_id: args.id.to_string(), office: args.office.clone() }
    )
}

/// Sends what has no more to say than which envelope it is.
macro_rules! act {
    ($args:ident, $call:ident, $name:literal, $request:ident) => {
        give!($args.giving, mail.$call.mail_item, $name, $request { mail_item_id: $args.id.to_string() })
    };
}

pub(super) async fn hand_over(args: &ActArgs) -> Result<u8, Error> {
    act!(args, hand_over, "HandOver", HandOverRequest)
}

pub(super) async fn redeliver(args: &ActArgs) -> Result<u8, Error> {
    act!(args, request_redelivery, "RequestRedelivery", RequestRedeliveryRequest)
}

pub(super) async fn empty(args: &ActArgs) -> Result<u8, Error> {
    act!(args, claim_empty_envelope, "ClaimEmptyEnvelope", ClaimEmptyEnvelopeRequest)
}

pub(super) async fn void(args: &ActArgs) -> Result<u8, Error> {
    act!(args, void_mail_item, "VoidMailItem", VoidMailItemRequest)
}

/// Sends one of the two steps of a disposal.
macro_rules! dispose {
    ($args:ident, $call:ident, $name:literal, $request:ident) => {
        give!(
            $args.giving,
            mail.$call.mail_item,
            $name,
            $request { mail_item_id: $args.id.to_string(), clerk: $args.clerk.to_string() }
        )
    };
}

pub(super) async fn propose_disposal(args: &DisposalArgs) -> Result<u8, Error> {
    dispose!(args, propose_disposal, "ProposeDisposal", ProposeDisposalRequest)
}

pub(super) async fn confirm_disposal(args: &DisposalArgs) -> Result<u8, Error> {
    dispose!(args, confirm_disposal, "ConfirmDisposal", ConfirmDisposalRequest)
}
