//! The life of a mail item, an envelope with the cards of one household: where it is follows from what was
//! recorded, whatever came late.
//!
//! Scans are facts of the producer and the post. They may come late, twice or never, so a later fact implies
//! the earlier ones: what was delivered was posted, what lies in an office was returned, and an envelope that
//! somebody claims to be empty was delivered. Acts of an office are decided when they are recorded.

pub mod counts;
pub mod disposal;
pub mod standing;

use std::num::NonZeroU32;

use super::{IllegalTransition, Why};
use disposal::{Clerk, Disposal};

words! {
    /// Where an envelope is.
    pub enum MailState, "a state of a mail item such as STORED" {
        /// Nothing was heard of it since it was ordered.
        Ordered = "ORDERED",
        /// Its letter and cards are printed.
        Printed = "PRINTED",
        /// The cards are in the envelope, and something shows it.
        Inserted = "INSERTED",
        /// The post has it.
        Posted = "POSTED",
        /// The household has it.
        Delivered = "DELIVERED",
        /// The post brought it back; no office has said yet that it is there.
        Returned = "RETURNED",
        /// An office keeps it.
        Stored = "STORED",
        /// The household fetched it.
        HandedOut = "HANDED_OUT",
        /// The post has it again.
        Redelivering = "REDELIVERING",
        /// It was destroyed.
        Disposed = "DISPOSED",
        /// A stocktake did not find it.
        Missing = "MISSING",
        /// It is not to be sent.
        Voided = "VOIDED",
        /// The household says that no card was inside.
        EmptyEnvelopeClaimed = "EMPTY_ENVELOPE_CLAIMED",
    }
}

/// What shows that the cards are in an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum InsertionEvidence {
    /// Each card was scanned on its way in.
    Scan {
        /// How many were.
        card_count: u32,
    },
    /// The closed envelope was weighed.
    Weight {
        /// What it weighs, mg.
        measured_mg: u32,
        /// What it should weigh with all its cards, mg.
        expected_mg: u32,
        /// How far it may be off, mg: less than half a card, and so less than half of what each card has of
        /// the whole.
        tolerance_mg: u32,
    },
}

impl InsertionEvidence {
    /// Whether this shows that so many cards are inside.
    #[must_use]
    pub fn shows(&self, card_count: NonZeroU32) -> bool {
        match *self {
            InsertionEvidence::Scan { card_count: scanned } => scanned == card_count.get(),
            InsertionEvidence::Weight { measured_mg, expected_mg, tolerance_mg } => {
                let all_halves = 2 * u64::from(tolerance_mg) * u64::from(card_count.get());
                measured_mg.abs_diff(expected_mg) <= tolerance_mg && all_halves < u64::from(expected_mg)
            }
        }
    }
}

commands! {
    /// What can happen to an envelope, in the order of its life: the first five are scans.
    pub enum MailCommand {
        /// The producer printed it.
        Print = "PRINT",
        /// The producer closed it.
        Insert {
            /// How many cards belong in it.
            card_count: NonZeroU32,
            /// What shows that they are.
            evidence: Option<InsertionEvidence>,
        } = "INSERT",
        /// The post took it.
        Post = "POST",
        /// The post delivered it.
        Deliver = "DELIVER",
        /// The post brought it back.
        Return = "RETURN",
        /// An office puts it away.
        Store = "STORE",
        /// An office gives it to the household.
        HandOver = "HAND_OVER",
        /// An office gives it to the post once more.
        RequestRedelivery = "REQUEST_REDELIVERY",
        /// The first of two people wants it destroyed.
        ProposeDisposal {
            /// Who.
            by: Clerk,
        } = "PROPOSE_DISPOSAL",
        /// The second one agrees, and it is destroyed.
        ConfirmDisposal {
            /// What that depends on.
            disposal: Disposal,
        } = "CONFIRM_DISPOSAL",
        /// A stocktake does not find it.
        FindMissing = "FIND_MISSING",
        /// What was missing is there.
        FindAgain = "FIND_AGAIN",
        /// The household says that no card was inside.
        ClaimEmptyEnvelope = "CLAIM_EMPTY_ENVELOPE",
        /// Its owner wants it not to be sent.
        Void = "VOID",
    }
}

impl MailCommand {
    /// The place in the life, by which events of one moment are sorted.
    #[must_use]
    pub fn rank(&self) -> usize {
        let word = self.as_str();
        Self::WORDS.iter().position(|one| *one == word).expect("WORDS has every command")
    }

    /// Whether producer and post say it: a fact that may come late.
    #[must_use]
    pub fn is_scan(&self) -> bool {
        match self {
            MailCommand::Print
            | MailCommand::Insert { .. }
            | MailCommand::Post
            | MailCommand::Deliver
            | MailCommand::Return => true,
            MailCommand::Store
            | MailCommand::HandOver
            | MailCommand::RequestRedelivery
            | MailCommand::ProposeDisposal { .. }
            | MailCommand::ConfirmDisposal { .. }
            | MailCommand::FindMissing
            | MailCommand::FindAgain
            | MailCommand::ClaimEmptyEnvelope
            | MailCommand::Void => false,
        }
    }
}

impl MailState {
    /// Returns the state after `command`. Pure, so the whole table is tested in one place.
    ///
    /// A scan that says again what is known changes nothing. A void stops an envelope only before it is
    /// posted: one that is on its way all the same is where it is. A return has nothing to do with the
    /// status of a resident.
    ///
    /// # Errors
    /// [`IllegalTransition`] for a pair that is not in the table, for an insertion that nothing shows, and
    /// for a disposal that may not be.
    pub fn after(self, command: &MailCommand) -> Result<Self, IllegalTransition> {
        self.next(command).map_err(|why| self.refuses(command, why))
    }

    fn refuses(self, command: &MailCommand, why: Why) -> IllegalTransition {
        IllegalTransition { life: "a mail item", state: self.as_str(), command: command.as_str(), why }
    }

    fn next(self, command: &MailCommand) -> Result<Self, Why> {
        use MailCommand as Do;
        use MailState as Is;
        let from = |states: &[Is], next| if states.contains(&self) { Ok(next) } else { Err(Why::State) };
        // What is said may be the first that is heard since the order.
        let at_last = |states, next| if self.is_before_the_door() { Ok(next) } else { from(states, next) };
        match command {
            Do::Print => from(&[Is::Ordered, Is::Printed], Is::Printed),
            Do::Insert { card_count, evidence } => {
                let next = from(&[Is::Ordered, Is::Printed, Is::Inserted], Is::Inserted)?;
                let shown = evidence.is_some_and(|evidence| evidence.shows(*card_count));
                if shown { Ok(next) } else { Err(Why::NoInsertionEvidence) }
            }
            // The post scans it anew when it takes it once more.
            Do::Post if self == Is::Redelivering => Ok(self),
            Do::Post => at_last(&[], Is::Posted),
            Do::Deliver => at_last(&[Is::Delivered, Is::Redelivering], Is::Delivered),
            // Also what was put into the wrong letter box, and given back.
            Do::Return => at_last(&[Is::Delivered, Is::Returned, Is::Redelivering], Is::Returned),
            Do::Store => at_last(&[Is::Delivered, Is::Returned, Is::Redelivering], Is::Stored),
            Do::HandOver => from(&[Is::Stored], Is::HandedOut),
            Do::RequestRedelivery => from(&[Is::Stored], Is::Redelivering),
            Do::ProposeDisposal { .. } => from(&[Is::Stored], Is::Stored),
            Do::ConfirmDisposal { disposal } => {
                let next = from(&[Is::Stored], Is::Disposed)?;
                disposal.check().map(|()| next)
            }
            Do::FindMissing => from(&[Is::Stored], Is::Missing),
            Do::FindAgain => from(&[Is::Missing], Is::Stored),
            Do::ClaimEmptyEnvelope => {
                at_last(&[Is::Delivered, Is::HandedOut, Is::Redelivering], Is::EmptyEnvelopeClaimed)
            }
            Do::Void => from(&[Is::Ordered, Is::Printed, Is::Inserted], Is::Voided),
        }
    }

    /// Whether its cards are in it, so far as anybody knows, and so in no other envelope.
    #[must_use]
    pub fn has_cards(self) -> bool {
        !matches!(self, MailState::Voided | MailState::Disposed | MailState::EmptyEnvelopeClaimed)
    }

    /// Whether nobody has said yet that it came to a door: any later fact may be the next that is heard.
    fn is_before_the_door(self) -> bool {
        matches!(
            self,
            MailState::Ordered
                | MailState::Printed
                | MailState::Inserted
                | MailState::Voided
                | MailState::Posted
        )
    }
}

#[cfg(test)]
#[path = "mail_tests.rs"]
mod tests;
