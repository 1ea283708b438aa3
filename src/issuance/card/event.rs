//! An event of a card as it is stored: JSON of its own, read back into the command that it was.

use serde::{Deserialize, Serialize};

use crate::domain::{date::Date, life::card::CardCommand};

/// What happened to a card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "SCREAMING_SNAKE_CASE", rename_all_fields = "snake_case")]
pub(crate) enum Event {
    /// It is to be made. The first event of each.
    Order {
        /// The order of an accepted batch that says for whom.
        order_id: String,
        /// The application that it is made for, if it is for one.
        application: Option<String>,
        /// The card that it takes the place of, if that was made in vain.
        instead_of: Option<String>,
        /// The person's blind index, as 64 hex digits.
        person: String,
        /// A reference to the photograph; whoever keeps it knows it.
        photo: Option<String>,
    },
    /// A producer takes it on, until then, as one of this lot.
    Lease { producer: String, lot: String, until_ms: i64 },
    /// It is no card of this lot any more, and waits for a producer again.
    Unlease { lot: String, why: String },
    /// The producer has made it; what the chip signs with, as the hex of its public key.
    Personalise { chip_key: String, last_day: Option<String>, unmet: Vec<String> },
    /// The producer finds it good.
    PassQc,
    /// The producer finds it bad.
    ReportNok { why: String },
    /// It goes to the municipality.
    Ship { shipment: String },
    /// The municipality has it.
    Arrive { office: String },
    /// It did not arrive.
    LoseInTransit { why: String },
    /// What did not arrive is there.
    FindAgain { office: String, remade: bool },
    /// The municipality sets it up for its holder.
    PreIssue,
    /// The holder is asked to come.
    Notify,
    /// A terminal begins an activation.
    BeginActivation { session: String, terminal: String, documents: Vec<String>, other_may_be_active: bool },
    /// The chip has proved that it is committed: its statement's signature, as hex.
    ConfirmActivation { session: String, signature: String, other_may_be_active: bool },
    /// The activation is given up.
    AbortActivation { session: String, why: String },
    /// The holder has lost it.
    Suspend { why: String },
    /// The holder has it again.
    Resume { other_may_be_active: bool, fraud_suspected: bool },
    /// It is not to be used any more.
    Revoke { why: String },
    /// Its last day is over.
    Expire { on: String, last_day: String },
    /// The holder gave it back.
    Surrender { why: String },
    /// Its chip says of itself that it is faulty.
    FailSelfTest { result: String },
    /// It is destroyed.
    Scrap { why: String },
    /// A new card is made for it.
    Remake { card_id: String, remade: bool },
    /// Its lot is called back.
    Recall { lot: String, why: String },
    /// The holder has moved to another municipality.
    Move,
    /// The holder has died.
    Die,
    /// Somebody else may have it, or be its holder.
    SuspectFraud { why: String },
    /// The suspicion was none.
    ClearFraud { why: String },
}

/// What is stored is no event: the database is damaged, or a later program wrote it.
#[derive(Debug, thiserror::Error)]
#[error("an event of a card cannot be read")]
pub(crate) struct Unreadable;

impl Event {
    /// Returns the event that is stored as this text.
    pub(crate) fn read(text: &str) -> Result<Self, Unreadable> {
        serde_json::from_str(text).map_err(|_| Unreadable)
    }

    /// The text under which it is stored.
    pub(crate) fn text(&self) -> String {
        serde_json::to_string(self).expect("it has only texts and numbers")
    }

    /// The command that it is in the life of a card; `None` if it only tells.
    pub(crate) fn command(&self) -> Result<Option<CardCommand>, Unreadable> {
        let day = |text: &String| Date::parse(text).ok_or(Unreadable);
        Ok(Some(match self {
            Event::Order { .. } | Event::Lease { .. } | Event::Unlease { .. } | Event::ClearFraud { .. } => {
                return Ok(None);
            }
            Event::Personalise { .. } => CardCommand::Personalise,
            Event::PassQc => CardCommand::PassQc,
            Event::ReportNok { .. } => CardCommand::ReportNok,
            Event::Ship { .. } => CardCommand::Ship,
            Event::Arrive { .. } => CardCommand::Arrive,
            Event::LoseInTransit { .. } => CardCommand::LoseInTransit,
            Event::FindAgain { remade, .. } => CardCommand::FindAgain { remade: *remade },
            Event::PreIssue => CardCommand::PreIssue,
            Event::Notify => CardCommand::Notify,
            Event::BeginActivation { other_may_be_active, .. } => {
                CardCommand::BeginActivation { other_may_be_active: *other_may_be_active }
            }
            Event::ConfirmActivation { other_may_be_active, .. } => {
                CardCommand::ConfirmActivation { other_may_be_active: *other_may_be_active }
            }
            Event::AbortActivation { .. } => CardCommand::AbortActivation,
            Event::Suspend { .. } => CardCommand::Suspend,
            Event::Resume { other_may_be_active, fraud_suspected } => CardCommand::Resume {
                other_may_be_active: *other_may_be_active,
                fraud_suspected: *fraud_suspected,
            },
            Event::Revoke { .. } => CardCommand::Revoke,
            Event::Expire { on, last_day } => CardCommand::Expire { on: day(on)?, last_day: day(last_day)? },
            Event::Surrender { .. } => CardCommand::Surrender,
            Event::FailSelfTest { .. } => CardCommand::FailSelfTest,
            Event::Scrap { .. } => CardCommand::Scrap,
            Event::Remake { remade, .. } => CardCommand::Remake { remade: *remade },
            Event::Recall { .. } => CardCommand::Recall,
            Event::Move => CardCommand::Move,
            Event::Die => CardCommand::Die,
            Event::SuspectFraud { .. } => CardCommand::SuspectFraud,
        }))
    }

    /// The word that it has in the API.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Event::Order { .. } => "ORDER",
            Event::Lease { .. } => "LEASE",
            Event::Unlease { .. } => "UNLEASE",
            Event::ClearFraud { .. } => "CLEAR_FRAUD",
            _ => self.command().ok().flatten().map_or("UNREADABLE", |command| command.as_str()),
        }
    }

    /// Why it happened, as its sender says; empty if that needs no words.
    pub(crate) fn why(&self) -> &str {
        match self {
            Event::ReportNok { why }
            | Event::LoseInTransit { why }
            | Event::AbortActivation { why, .. }
            | Event::Suspend { why }
            | Event::Revoke { why }
            | Event::Surrender { why }
            | Event::Scrap { why }
            | Event::Recall { why, .. }
            | Event::SuspectFraud { why }
            | Event::Unlease { why, .. }
            | Event::ClearFraud { why } => why,
            Event::FailSelfTest { result } => result,
            _ => "",
        }
    }
}
