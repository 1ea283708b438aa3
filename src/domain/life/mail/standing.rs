//! Where an envelope stands follows from its events alone: the order in which they came changes nothing, and
//! what does not fit is named and not lost.

use uuid::Uuid;

use super::{InsertionEvidence, MailCommand, MailState, disposal::Clerk};
use crate::domain::life::{IllegalTransition, Why};

/// Something that was recorded of an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailEvent {
    /// Which record it is.
    pub id: Uuid,
    /// When it happened, by the clock of whoever says so, ms since the Unix epoch.
    pub occurred_ms: i64,
    /// What happened.
    pub command: MailCommand,
}

words! {
    /// How far an envelope has come. What was reached once stays reached.
    pub enum Milestone, "a milestone such as POSTED" {
        /// It was ordered.
        Ordered = "ORDERED",
        /// It was printed.
        Printed = "PRINTED",
        /// It was closed.
        Inserted = "INSERTED",
        /// It was posted.
        Posted = "POSTED",
        /// It came back.
        Returned = "RETURNED",
        /// It came back, and the household fetched it.
        HandedOut = "HANDED_OUT",
    }
}

impl Milestone {
    fn of(state: MailState) -> Self {
        match state {
            // What was voided or claimed has come as far as before.
            MailState::Ordered | MailState::Voided => Milestone::Ordered,
            MailState::Printed => Milestone::Printed,
            MailState::Inserted => Milestone::Inserted,
            MailState::Posted | MailState::Delivered | MailState::EmptyEnvelopeClaimed => Milestone::Posted,
            MailState::Returned
            | MailState::Stored
            | MailState::Redelivering
            | MailState::Disposed
            | MailState::Missing => Milestone::Returned,
            MailState::HandedOut => Milestone::HandedOut,
        }
    }
}

/// An event that does not fit where it stands: somebody has to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutOfPlace {
    /// The event.
    pub event: MailEvent,
    /// Why it does not fit.
    pub why: IllegalTransition,
}

/// Where an envelope is, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Where it is.
    pub state: MailState,
    /// Since when, ms since the Unix epoch; `None` while nothing was recorded that moved it.
    pub since_ms: Option<i64>,
    /// How far it has ever come.
    pub furthest: Milestone,
    /// What shows that the cards were inside, if anything does: the answer to an empty envelope.
    pub insertion: Option<InsertionEvidence>,
    /// Who proposed last that it be destroyed, as long as that stands.
    pub proposed_by: Option<Clerk>,
    /// What does not fit, in the order of the events.
    pub out_of_place: Vec<OutOfPlace>,
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            state: MailState::Ordered,
            since_ms: None,
            furthest: Milestone::Ordered,
            insertion: None,
            proposed_by: None,
            out_of_place: Vec::new(),
        }
    }
}

impl Standing {
    /// Returns where these events leave an envelope, in whatever order and however often they came.
    ///
    /// They are taken in the order of when they happened, then of their rank in the life, then of their id.
    /// An act that was decided may be out of place once a scan of an earlier moment comes: it is named too.
    #[must_use]
    pub fn of(mut events: Vec<MailEvent>) -> Self {
        events.sort_by(|a, b| {
            let key = |event: &MailEvent| (event.occurred_ms, event.command.rank(), event.id);
            key(a).cmp(&key(b)).then_with(|| a.command.cmp(&b.command))
        });
        events.dedup();
        let mut standing = Self::default();
        for event in events {
            if let Err(why) = standing.take(&event) {
                standing.out_of_place.push(OutOfPlace { event, why });
            }
        }
        standing
    }

    /// Takes an event that happened after all the others. An act of an office is decided by this.
    ///
    /// # Errors
    /// [`IllegalTransition`], and nothing has changed but for what an insertion shows: a scan that comes too
    /// late for the state is evidence all the same.
    pub fn take(&mut self, event: &MailEvent) -> Result<(), IllegalTransition> {
        if let MailCommand::Insert { card_count, evidence } = &event.command {
            let shown = evidence.filter(|evidence| evidence.shows(*card_count));
            self.insertion = self.insertion.or(shown);
        }
        let next = self.state.after(&event.command)?;
        self.check_history(&event.command)?;
        if let MailCommand::ProposeDisposal { by } = &event.command {
            self.proposed_by = Some(by.clone());
        }
        if next != self.state {
            self.state = next;
            self.since_ms = Some(event.occurred_ms);
            self.furthest = self.furthest.max(Milestone::of(next));
            self.proposed_by = None;
        }
        Ok(())
    }

    // What a disposal says of the time before must be so.
    fn check_history(&self, command: &MailCommand) -> Result<(), IllegalTransition> {
        let MailCommand::ConfirmDisposal { disposal } = command else { return Ok(()) };
        if self.proposed_by.as_ref() != Some(&disposal.proposed_by) {
            return Err(self.state.refuses(command, Why::NotProposed));
        }
        if disposal.seen_ms < self.since_ms {
            return Err(self.state.refuses(command, Why::NotCounted));
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "standing_tests.rs"]
mod tests;
