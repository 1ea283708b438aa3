//! An event of an application as it is stored: JSON of its own, read back into the command that it was.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::life::{
    application::{ApplicationCommand, VoidReason, mixup::Suspicion},
    evidence::Document,
};

/// What happened to an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "SCREAMING_SNAKE_CASE", rename_all_fields = "snake_case")]
pub(crate) enum Event {
    /// It is here. The first event of each.
    Submit {
        /// The order whose form it was made with.
        order_id: String,
        /// The person's blind index, as 64 hex digits.
        person: String,
        /// The household's, likewise.
        household: String,
        /// The session in which it was made; none for one on paper.
        session: Option<Uuid>,
        /// When it was received, ms since the Unix epoch.
        received_ms: i64,
        /// A reference to the photograph; whoever keeps it knows it.
        photo: String,
        /// What of the photograph does not fit the resident: words of [`Doubt`].
        doubts: Vec<Doubt>,
    },
    /// Something is wrong with it.
    FindDefect { what: String },
    /// The applicant sends it again.
    Resubmit { photo: String, doubts: Vec<Doubt> },
    /// Somebody proves who applies, by these documents.
    CheckIdentity { documents: Vec<String> },
    /// A card is to be made.
    Approve,
    /// Somebody has looked into these reasons to suspect a swap, and they are none.
    ConfirmNoSwap { clerk: String, suspicions: Vec<Doubt> },
    /// The producer takes it, with what looked like a swap at that moment.
    StartProduction { card_id: String, suspicions: Vec<Doubt>, confirmed: Vec<Doubt> },
    /// The card is made.
    ReceiveCard { card_id: String },
    /// The card was made in vain: another is to be made.
    Remake { card_id: String },
    /// It is refused.
    Reject { why: String },
    /// It is void.
    Void { reason: String },
    /// It was void by mistake. Before there were suspicions, nothing was said of them.
    Restore {
        other_is_live: bool,
        #[serde(default)]
        fraud_suspected: bool,
    },
    /// Somebody else may have applied in the person's name.
    SuspectFraud { why: String },
    /// The suspicion was none.
    ClearFraud { why: String },
}

/// A reason to suspect a swap, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Doubt {
    /// The other application was made in the same session.
    SameSession(Uuid),
    /// It was made within an hour.
    WithinAnHour(Uuid),
    /// The photograph looks older or younger than the resident is.
    AgeOfPhoto,
    /// It is of another sex.
    SexOfPhoto,
}

impl Doubt {
    /// The word that it has in the API, and the other application.
    pub(crate) fn words(self) -> (&'static str, Option<Uuid>) {
        match self {
            Doubt::SameSession(other) => ("SAME_SESSION", Some(other)),
            Doubt::WithinAnHour(other) => ("WITHIN_AN_HOUR", Some(other)),
            Doubt::AgeOfPhoto => ("AGE_OF_PHOTO", None),
            Doubt::SexOfPhoto => ("SEX_OF_PHOTO", None),
        }
    }
}

impl From<Suspicion> for Doubt {
    fn from(suspicion: Suspicion) -> Self {
        match suspicion {
            Suspicion::SameSession(other) => Doubt::SameSession(other),
            Suspicion::WithinAnHour(other) => Doubt::WithinAnHour(other),
            Suspicion::AgeOfPhoto => Doubt::AgeOfPhoto,
            Suspicion::SexOfPhoto => Doubt::SexOfPhoto,
        }
    }
}

impl From<Doubt> for Suspicion {
    fn from(doubt: Doubt) -> Self {
        match doubt {
            Doubt::SameSession(other) => Suspicion::SameSession(other),
            Doubt::WithinAnHour(other) => Suspicion::WithinAnHour(other),
            Doubt::AgeOfPhoto => Suspicion::AgeOfPhoto,
            Doubt::SexOfPhoto => Suspicion::SexOfPhoto,
        }
    }
}

/// What is stored is no event: the database is damaged, or a later program wrote it.
#[derive(Debug, thiserror::Error)]
#[error("an event of an application cannot be read")]
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

    /// The command that it is in the life of an application; `None` if it only tells.
    pub(crate) fn command(&self) -> Result<Option<ApplicationCommand>, Unreadable> {
        let all = |doubts: &[Doubt]| doubts.iter().map(|one| Suspicion::from(*one)).collect();
        Ok(Some(match self {
            Event::Submit { .. } | Event::ConfirmNoSwap { .. } | Event::ClearFraud { .. } => return Ok(None),
            Event::FindDefect { .. } => ApplicationCommand::FindDefect,
            Event::Resubmit { .. } => ApplicationCommand::Resubmit,
            Event::CheckIdentity { documents } => {
                let read = |text: &String| text.parse::<Document>().map_err(|_| Unreadable);
                let documents: BTreeSet<Document> = documents.iter().map(read).collect::<Result<_, _>>()?;
                ApplicationCommand::CheckIdentity { documents }
            }
            Event::Approve => ApplicationCommand::Approve,
            Event::StartProduction { suspicions, confirmed, .. } => {
                ApplicationCommand::StartProduction { suspicions: all(suspicions), confirmed: all(confirmed) }
            }
            Event::ReceiveCard { .. } => ApplicationCommand::ReceiveCard,
            Event::Remake { .. } => ApplicationCommand::Remake,
            Event::Reject { .. } => ApplicationCommand::Reject,
            Event::Void { reason } => {
                let reason: VoidReason = reason.parse().map_err(|_| Unreadable)?;
                ApplicationCommand::Void { reason }
            }
            Event::Restore { other_is_live, fraud_suspected } => ApplicationCommand::Restore {
                other_is_live: *other_is_live,
                fraud_suspected: *fraud_suspected,
            },
            Event::SuspectFraud { .. } => ApplicationCommand::SuspectFraud,
        }))
    }

    /// The word that it has in the API.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Event::Submit { .. } => "SUBMIT",
            Event::ConfirmNoSwap { .. } => "CONFIRM_NO_SWAP",
            Event::ClearFraud { .. } => "CLEAR_FRAUD",
            _ => self.command().ok().flatten().map_or("UNREADABLE", |command| command.as_str()),
        }
    }
}
