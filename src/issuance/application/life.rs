//! Where an application stands and what an event makes of it: pure, made of its history alone.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    domain::{
        digest::Digest,
        item::{Hold, HoldKind, ItemId, Link, LinkKind},
        life::{
            IllegalTransition, Why,
            application::{ApplicationState, mixup::Submission},
        },
    },
    store::{Decided, EventRow, Found, ItemRow},
    wire::fault::{Fault, Reason},
};

use super::event::{Doubt, Event, Unreadable};

/// What is kept beside the state: it follows from the history, and has no personal data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Details {
    /// The order whose form it was made with: it says who applies.
    pub(crate) order_id: String,
    /// The person's blind index, as 64 hex digits.
    pub(crate) person: String,
    /// The household's, likewise.
    pub(crate) household: String,
    pub(crate) session: Option<Uuid>,
    pub(crate) received_ms: i64,
    pub(crate) photo: String,
    /// What of the photograph does not fit the resident.
    pub(crate) doubts: Vec<Doubt>,
    /// What somebody has looked into, and is no swap.
    pub(crate) confirmed: BTreeSet<Doubt>,
    /// What is wrong with it, if something is.
    pub(crate) defect: Option<String>,
    /// By what the applicant proved who they are.
    pub(crate) documents: Vec<String>,
    pub(crate) card_id: Option<String>,
    /// Why it was refused.
    pub(crate) rejected: Option<String>,
    /// It is void for a suspicion of fraud that stands.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) fraud_suspected: bool,
}

/// An application, made of all that happened to it.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    pub(crate) state: ApplicationState,
    /// When it came into its state, ms since the Unix epoch.
    pub(crate) since_ms: i64,
    pub(crate) details: Details,
    is_submitted: bool,
}

impl Life {
    /// Reads a life out of its history; one without any is an application that nobody has made.
    pub(crate) fn of(history: &[EventRow]) -> Result<Self, Unreadable> {
        let (state, details) = (ApplicationState::Received, Details::default());
        let mut life = Self { state, since_ms: 0, details, is_submitted: false };
        for row in history {
            let event = Event::read(&row.event)?;
            life.take(&event, row.occurred_ms)?.map_err(|_| Unreadable)?;
        }
        Ok(life)
    }

    /// Whether anybody has made it.
    pub(crate) fn is_submitted(&self) -> bool {
        self.is_submitted
    }

    /// The person's other application that is live, if there is one; [`Details::hold`] must be among the
    /// holds that are asked for.
    pub(crate) fn other<'a>(&self, found: &'a Found, id: &ItemId) -> Result<Option<&'a ItemId>, Fault> {
        let hold = self.details.hold().map_err(|_| unreadable())?;
        Ok(found.held.get(&hold).filter(|holder| *holder != id))
    }

    /// The life after these events.
    ///
    /// # Errors
    /// The fault of the first event that does not fit, which names the application.
    pub(crate) fn then(mut self, id: &ItemId, events: &[Event], occurred_ms: i64) -> Result<Self, Fault> {
        for event in events {
            let taken = self.take(event, occurred_ms).map_err(|_| unreadable())?;
            taken.map_err(|illegal| refused(id, &illegal))?;
        }
        Ok(self)
    }

    fn take(&mut self, event: &Event, occurred_ms: i64) -> Result<Result<(), IllegalTransition>, Unreadable> {
        if let Some(command) = event.command()? {
            match self.state.after(&command) {
                Ok(next) if next != self.state => (self.state, self.since_ms) = (next, occurred_ms),
                Ok(_) => {}
                Err(illegal) => return Ok(Err(illegal)),
            }
        }
        let details = &mut self.details;
        match event {
            Event::Submit { order_id, person, household, session, received_ms, photo, doubts } => {
                self.since_ms = occurred_ms;
                self.is_submitted = true;
                *details = Details {
                    order_id: order_id.clone(),
                    person: person.clone(),
                    household: household.clone(),
                    session: *session,
                    received_ms: *received_ms,
                    photo: photo.clone(),
                    doubts: doubts.clone(),
                    ..Details::default()
                };
            }
            Event::FindDefect { what } => details.defect = Some(what.clone()),
            Event::Resubmit { photo, doubts } => {
                details.defect = None;
                details.photo.clone_from(photo);
                details.doubts.clone_from(doubts);
                // What was confirmed of the photograph before says nothing of this one.
                details.confirmed.retain(|one| !matches!(one, Doubt::AgeOfPhoto | Doubt::SexOfPhoto));
            }
            Event::CheckIdentity { documents } => details.documents.clone_from(documents),
            Event::ConfirmNoSwap { suspicions, .. } => details.confirmed.extend(suspicions),
            Event::StartProduction { card_id, .. }
            | Event::ReceiveCard { card_id }
            | Event::Remake { card_id } => details.card_id = Some(card_id.clone()),
            Event::Reject { why } => details.rejected = Some(why.clone()),
            Event::Restore { .. } => {
                details.card_id = None;
                details.documents.clear();
            }
            Event::SuspectFraud { .. } => details.fraud_suspected = true,
            Event::ClearFraud { .. } => details.fraud_suspected = false,
            Event::Approve | Event::Void { .. } => {}
        }
        Ok(Ok(()))
    }

    /// What is stored of this life, which these events have led to.
    ///
    /// Its holds must be among those that are asked for: the person's live application.
    pub(crate) fn decided(&self, events: &[Event], occurred_ms: i64) -> Result<Decided, Fault> {
        let mut decided = Decided {
            events: events.iter().map(|event| (occurred_ms, event.text())).collect(),
            state: self.state.as_str().to_owned(),
            since_ms: self.since_ms,
            cards: 1,
            details: serde_json::to_string(&self.details).expect("it has only texts and numbers"),
            ..Decided::default()
        };
        let hold = self.details.hold().map_err(|_| unreadable())?;
        if self.state.is_live() {
            decided.take.push(hold);
        } else {
            decided.leave.push(hold);
        }
        if events.iter().any(|event| matches!(event, Event::Submit { .. })) {
            decided.link.push(Link { kind: LinkKind::Person, of: hold.of });
            decided.link.push(self.details.household().map_err(|_| unreadable())?);
        }
        Ok(decided)
    }
}

impl Details {
    /// When and how it was made, as the guard against mix-ups wants it.
    pub(crate) fn submission(&self, id: &ItemId) -> Result<Submission, Unreadable> {
        let application = id.as_str().parse().map_err(|_| Unreadable)?;
        Ok(Submission { application, session: self.session, received_ms: self.received_ms })
    }

    /// The hold by which a person has one live application.
    pub(crate) fn hold(&self) -> Result<Hold, Unreadable> {
        Ok(Hold { kind: HoldKind::LiveApplication, of: digest(&self.person)? })
    }

    /// By what the applications of its household are found.
    pub(crate) fn household(&self) -> Result<Link, Unreadable> {
        Ok(Link { kind: LinkKind::Household, of: digest(&self.household)? })
    }
}

/// The details of an application that is stored.
pub(crate) fn details(row: &ItemRow) -> Result<Details, Fault> {
    serde_json::from_str(&row.details).map_err(|_| unreadable())
}

fn digest(text: &str) -> Result<[u8; 32], Unreadable> {
    text.parse::<Digest>().map(|digest| digest.0).map_err(|_| Unreadable)
}

/// The fault of a command that an application does not take.
pub(crate) fn refused(id: &ItemId, illegal: &IllegalTransition) -> Fault {
    let reason = match illegal.why {
        Why::OtherApplication => Reason::OtherApplication,
        Why::NoIdentity => Reason::IdentityNotProved,
        Why::SwapSuspected => Reason::HouseholdSwapSuspected,
        _ => Reason::ItemState,
    };
    Fault::new(reason, format!("application {id}: {illegal}"))
        .with("application_number", id.as_str())
        .with("state", illegal.state)
}

/// The fault of a history that cannot be read.
pub(crate) fn unreadable() -> Fault {
    Fault::new(Reason::Internal, "the stored history of an application is unreadable: tell the operator")
}

/// The fault of a second application of one person.
pub(crate) fn other_application(other: &ItemId) -> Fault {
    let words = format!("the person has application {other}, which is not finished: void one of the two");
    Fault::new(Reason::OtherApplication, words).with("other_application_number", other.as_str())
}
