//! `todoke card begin | confirm | query | give-up`: what a terminal asks of the issuer while it hands a
//! card over.

use std::path::PathBuf;

use clap::Args;
use uuid::Uuid;

use crate::{
    cli::{
        giving::{Asker, Giving},
        lives::{
            Item as _,
            change::{give, stands},
            documents, word,
        },
        municipal::{Output, say, say_result},
    },
    client::{calls::Weight, error::Error},
    domain::item::ItemId,
    runtime::exit,
    wire::pb,
};

/// Who hands a card over to whom.
#[derive(Debug, Clone, Args)]
pub(super) struct BeginArgs {
    /// The card
    #[arg(value_name = "CARD_ID")]
    id: ItemId,
    /// This attempt: a UUID that is used for no other
    #[arg(long, value_name = "UUID")]
    session: Uuid,
    /// The name of the terminal
    #[arg(long, value_name = "NAME")]
    terminal: ItemId,
    /// What was shown; once for each: one with a photograph, or two others
    #[arg(long = "document", value_name = "DOCUMENT", required = true, value_parser = documents())]
    documents: Vec<String>,
    /// The person's card of before, which is given back with it
    #[arg(long, value_name = "CARD_ID")]
    surrender: Option<ItemId>,
    #[command(flatten)]
    pub(super) giving: Giving,
}

/// What the chip of a card has signed.
#[derive(Debug, Clone, Args)]
pub(super) struct ConfirmArgs {
    /// The card
    #[arg(value_name = "CARD_ID")]
    id: ItemId,
    /// The session that the chip is committed to
    #[arg(long, value_name = "UUID")]
    session: Uuid,
    /// The chip's signature of that: 128 hex digits
    #[arg(long, value_name = "HEX", value_parser = signature)]
    chip_signature: Signature,
    #[command(flatten)]
    pub(super) giving: Giving,
}

/// What the chip of a card says.
#[derive(Debug, Clone, Args)]
pub(super) struct QueryArgs {
    /// The card
    #[arg(value_name = "CARD_ID")]
    id: ItemId,
    /// The session that is asked about; without it the one that is open, or the chip's own
    #[arg(long, value_name = "UUID")]
    session: Option<Uuid>,
    /// Where the chip is
    #[arg(long, value_name = "STATE", value_parser = ["BLANK", "PREPARED", "COMMITTED"])]
    chip_state: String,
    /// Of which session
    #[arg(long, value_name = "UUID")]
    chip_session: Option<Uuid>,
    /// The chip's signature of that: 128 hex digits
    #[arg(long, value_name = "HEX", value_parser = signature)]
    chip_signature: Signature,
    /// Where the permit to reset the chip is written, if there is one
    #[arg(long, value_name = "FILE")]
    permit_out: Option<PathBuf>,
    #[command(flatten)]
    pub(super) asking: Asker,
}

/// Which activation is given up.
#[derive(Debug, Clone, Args)]
pub(super) struct GiveUpArgs {
    /// The card
    #[arg(value_name = "CARD_ID")]
    id: ItemId,
    /// The session
    #[arg(long, value_name = "UUID")]
    session: Uuid,
    /// Why, without personal data
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    pub(super) giving: Giving,
}

/// The signature of a chip.
#[derive(Debug, Clone)]
struct Signature(Vec<u8>);

fn signature(text: &str) -> Result<Signature, String> {
    let bytes = hex::decode(text).ok().filter(|bytes| bytes.len() == 64);
    bytes.map(Signature).ok_or_else(|| "must be 128 hex digits: r and s, 32 bytes each".to_owned())
}

fn became(state: pb::ActivationState) -> &'static str {
    word(state.as_str_name(), "ACTIVATION_STATE_")
}

pub(super) async fn begin(args: &BeginArgs) -> Result<u8, Error> {
    let given = give!(
        args.giving,
        cards.begin_activation,
        "BeginActivation",
        BeginActivationRequest {
            card_id: args.id.to_string(),
            session_id: args.session.to_string(),
            terminal: args.terminal.to_string(),
            documents: args.documents.clone(),
            surrendered_card_id: args.surrender.as_ref().map(ToString::to_string).unwrap_or_default(),
        }
    );
    let (stamp, answer) = given?;
    let state = became(answer.state());
    Ok(stands(&args.giving, &stamp, answer.card, &[("activation", state)]))
}

pub(super) async fn confirm(args: &ConfirmArgs) -> Result<u8, Error> {
    let chip = pb::ChipStatement {
        state: "COMMITTED".to_owned(),
        session_id: args.session.to_string(),
        signature: args.chip_signature.0.clone(),
    };
    let given = give!(
        args.giving,
        cards.confirm_activation,
        "ConfirmActivation",
        ConfirmActivationRequest {
            card_id: args.id.to_string(),
            session_id: args.session.to_string(),
            chip: Some(chip),
        }
    );
    let (stamp, answer) = given?;
    let state = became(answer.state());
    Ok(stands(&args.giving, &stamp, answer.card, &[("activation", state)]))
}

pub(super) async fn give_up(args: &GiveUpArgs) -> Result<u8, Error> {
    let given = give!(
        args.giving,
        cards.abort_activation,
        "AbortActivation",
        AbortActivationRequest {
            card_id: args.id.to_string(),
            session_id: args.session.to_string(),
            reason: args.reason.clone(),
        }
    );
    let (stamp, answer) = given?;
    let state = became(answer.state());
    Ok(stands(&args.giving, &stamp, answer.card, &[("activation", state)]))
}

pub(super) async fn query(args: &QueryArgs) -> Result<u8, Error> {
    let text = |session: Option<Uuid>| session.map(|one| one.to_string()).unwrap_or_default();
    let chip = pb::ChipStatement {
        state: args.chip_state.clone(),
        session_id: text(args.chip_session),
        signature: args.chip_signature.0.clone(),
    };
    let (card_id, session_id) = (args.id.to_string(), text(args.session));
    let message = pb::QueryActivationRequest { card_id, session_id, chip: Some(chip) };
    let ask = args.asking.ask(("QueryActivation", Weight::Light), &message, |attempt, request| async move {
        attempt.cards().query_activation(request).await
    });
    let answer = ask.await?;
    if let Some(path) = args.permit_out.clone().filter(|_| !answer.permit.is_empty()) {
        std::fs::write(&path, &answer.permit).map_err(|source| Error::Write { path, source })?;
    }
    let (state, step) = (became(answer.state()), word(answer.step().as_str_name(), "ACTIVATION_STEP_"));
    let card = answer.card.unwrap_or_default();
    if args.asking.output == Output::Json {
        let mut value = card.json();
        value["activation"] = state.into();
        value["step"] = step.into();
        value["step_session_id"] = answer.step_session_id.into();
        value["permit"] = answer.permit.into();
        return Ok(say_result(exit::DONE, value));
    }
    say(&card.stands());
    let of = if answer.step_session_id.is_empty() { &card.session_id } else { &answer.step_session_id };
    for (name, value) in [("activation", state), ("step", step), ("session", of.as_str())] {
        say(&format!("{name:18} {value}"));
    }
    Ok(exit::DONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_has_sixty_four_bytes() {
        assert_eq!(signature(&"0f".repeat(64)).expect("it fits").0, [0x0f; 64]);
        for bad in ["", "0f", &"0f".repeat(63), &"xy".repeat(64)] {
            assert!(signature(bad).is_err(), "{bad}");
        }
    }
}
