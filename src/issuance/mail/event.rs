//! An event of an envelope as it is stored: JSON of its own, read back into the command that it was.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::domain::{
    date::Date,
    life::mail::{
        InsertionEvidence, MailCommand,
        disposal::{Clerk, Disposal, Retention},
    },
};

/// What happened to an envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "SCREAMING_SNAKE_CASE", rename_all_fields = "snake_case")]
pub(crate) enum Event {
    /// The press printed it, with these cards.
    Print { order_ids: Vec<String> },
    /// The press closed it.
    Insert { order_ids: Vec<String>, evidence: Option<Evidence> },
    /// The post took it.
    Post,
    /// The post delivered it.
    Deliver,
    /// The post brought it back.
    Return,
    /// An office put it away.
    Store { office: String },
    /// An office gave it to the household.
    HandOver,
    /// An office gave it to the post once more.
    RequestRedelivery,
    /// Somebody wants it destroyed.
    ProposeDisposal { by: String },
    /// A second person agreed, with what that was decided on.
    ConfirmDisposal {
        proposed_by: String,
        confirmed_by: String,
        on: String,
        retention: Kept,
        seen_ms: Option<i64>,
    },
    /// A stocktake saw it where it should be.
    Count { office: String },
    /// A stocktake did not.
    FindMissing { office: String },
    /// A stocktake saw what was missing.
    FindAgain { office: String },
    /// The household says that no card was inside.
    ClaimEmptyEnvelope,
    /// Its owner wants it not to be sent.
    Void,
}

/// Until when a municipality keeps what came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) version: u32,
    pub(crate) until: String,
}

impl Kept {
    pub(crate) fn of(retention: Retention) -> Self {
        Self { version: retention.version(), until: retention.until().to_string() }
    }

    pub(crate) fn read(&self) -> Result<Retention, Unreadable> {
        let until = Date::parse(&self.until).ok_or(Unreadable)?;
        Ok(Retention::stored(self.version, until))
    }
}

/// What shows that the cards are inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Evidence {
    /// Each card was scanned.
    ScannedCards(u32),
    /// It was weighed.
    Weight { measured_mg: u32, expected_mg: u32, tolerance_mg: u32 },
}

/// What is stored is no event: the database is damaged, or a later program wrote it.
#[derive(Debug, thiserror::Error)]
#[error("an event of an envelope cannot be read")]
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

    /// The command that it is in the life of an envelope; `None` if it only tells.
    pub(crate) fn command(&self) -> Result<Option<MailCommand>, Unreadable> {
        let clerk = |text: &String| text.parse::<Clerk>().map_err(|_| Unreadable);
        let day = |text: &String| Date::parse(text).ok_or(Unreadable);
        Ok(Some(match self {
            Event::Print { .. } => MailCommand::Print,
            Event::Insert { order_ids, evidence } => MailCommand::Insert {
                card_count: count(order_ids).ok_or(Unreadable)?,
                evidence: evidence.map(InsertionEvidence::from),
            },
            Event::Post => MailCommand::Post,
            Event::Deliver => MailCommand::Deliver,
            Event::Return => MailCommand::Return,
            Event::Store { .. } => MailCommand::Store,
            Event::HandOver => MailCommand::HandOver,
            Event::RequestRedelivery => MailCommand::RequestRedelivery,
            Event::ProposeDisposal { by } => MailCommand::ProposeDisposal { by: clerk(by)? },
            Event::ConfirmDisposal { proposed_by, confirmed_by, on, retention, seen_ms } => {
                let disposal = Disposal {
                    proposed_by: clerk(proposed_by)?,
                    confirmed_by: clerk(confirmed_by)?,
                    on: day(on)?,
                    retention: retention.read()?,
                    seen_ms: *seen_ms,
                };
                MailCommand::ConfirmDisposal { disposal }
            }
            Event::FindMissing { .. } => MailCommand::FindMissing,
            Event::FindAgain { .. } => MailCommand::FindAgain,
            Event::ClaimEmptyEnvelope => MailCommand::ClaimEmptyEnvelope,
            Event::Void => MailCommand::Void,
            Event::Count { .. } => return Ok(None),
        }))
    }

    /// Whether it is done so that the cards are not in it any more.
    pub(crate) fn takes_out(&self) -> bool {
        matches!(self, Event::ConfirmDisposal { .. } | Event::ClaimEmptyEnvelope | Event::Void)
    }

    /// The cards that it names, if it names some.
    pub(crate) fn order_ids(&self) -> &[String] {
        match self {
            Event::Print { order_ids } | Event::Insert { order_ids, .. } => order_ids,
            _ => &[],
        }
    }

    /// The word that it has in the API.
    pub(crate) fn word(&self) -> &'static str {
        match self.command() {
            Ok(Some(command)) => command.as_str(),
            Ok(None) | Err(Unreadable) => "COUNT",
        }
    }
}

fn count(order_ids: &[String]) -> Option<NonZeroU32> {
    u32::try_from(order_ids.len()).ok().and_then(NonZeroU32::new)
}

impl From<Evidence> for InsertionEvidence {
    fn from(evidence: Evidence) -> Self {
        match evidence {
            Evidence::ScannedCards(card_count) => InsertionEvidence::Scan { card_count },
            Evidence::Weight { measured_mg, expected_mg, tolerance_mg } => {
                InsertionEvidence::Weight { measured_mg, expected_mg, tolerance_mg }
            }
        }
    }
}

impl From<InsertionEvidence> for Evidence {
    fn from(evidence: InsertionEvidence) -> Self {
        match evidence {
            InsertionEvidence::Scan { card_count } => Evidence::ScannedCards(card_count),
            InsertionEvidence::Weight { measured_mg, expected_mg, tolerance_mg } => {
                Evidence::Weight { measured_mg, expected_mg, tolerance_mg }
            }
        }
    }
}
