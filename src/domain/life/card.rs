//! The life of a card: it becomes active only by way of an activation, a person has at most one that is, and
//! what has ended never comes back.

use super::{IllegalTransition, Why};
use crate::domain::date::Date;

words! {
    /// Where a card is.
    pub enum CardState, "a state of a card such as ACTIVE" {
        /// It is to be made.
        Ordered = "ORDERED",
        /// It is printed, and its chip written.
        Personalised = "PERSONALISED",
        /// It is good.
        QcPassed = "QC_PASSED",
        /// It is on its way to the municipality.
        Shipped = "SHIPPED",
        /// The municipality has it.
        Arrived = "ARRIVED",
        /// The municipality has set it up for its holder (交付前設定).
        PreIssued = "PRE_ISSUED",
        /// The holder has been asked to come.
        Notified = "NOTIFIED",
        /// Terminal, server and chip are coming to an agreement.
        Activating = "ACTIVATING",
        /// The holder has it and can use it.
        Active = "ACTIVE",
        /// It is not to be used for now.
        Suspended = "SUSPENDED",
        /// It is not to be used any more (失効).
        Revoked = "REVOKED",
        /// Its last day is over.
        Expired = "EXPIRED",
        /// The holder gave it back (返納).
        Surrendered = "SURRENDERED",
        /// It was destroyed, or never made.
        Scrapped = "SCRAPPED",
        /// It left the producer and did not arrive.
        LostInTransit = "LOST_IN_TRANSIT",
        /// It was called back: nobody may use it, and it is to be destroyed.
        Recalled = "RECALLED",
    }
}

commands! {
    /// What can happen to a card.
    pub enum CardCommand {
        /// The producer has made it.
        Personalise = "PERSONALISE",
        /// The producer finds it good.
        PassQc = "PASS_QC",
        /// The producer finds it bad.
        ReportNok = "REPORT_NOK",
        /// It goes to the municipality.
        Ship = "SHIP",
        /// The municipality has it.
        Arrive = "ARRIVE",
        /// It did not arrive.
        LoseInTransit = "LOSE_IN_TRANSIT",
        /// What did not arrive is there.
        FindAgain {
            /// Whether a new card was made for it.
            remade: bool,
        } = "FIND_AGAIN",
        /// The municipality sets it up for its holder.
        PreIssue = "PRE_ISSUE",
        /// The holder is asked to come, for the first time or again.
        Notify = "NOTIFY",
        /// A terminal begins an activation.
        BeginActivation {
            /// Whether another card of the person may be active: [`CardState::may_be_active`].
            other_may_be_active: bool,
        } = "BEGIN_ACTIVATION",
        /// The chip has proved that it is committed.
        ConfirmActivation {
            /// Whether another card of the person may be active.
            other_may_be_active: bool,
        } = "CONFIRM_ACTIVATION",
        /// The activation is given up.
        AbortActivation = "ABORT_ACTIVATION",
        /// The holder has lost it.
        Suspend = "SUSPEND",
        /// The holder has it again.
        Resume {
            /// Whether another card of the person may be active.
            other_may_be_active: bool,
            /// Whether a suspicion of fraud stands.
            fraud_suspected: bool,
        } = "RESUME",
        /// It is not to be used any more.
        Revoke = "REVOKE",
        /// Its last day is over.
        Expire {
            /// The day it is, in Japan.
            on: Date,
            /// The last day of the card.
            last_day: Date,
        } = "EXPIRE",
        /// The holder gives it back.
        Surrender = "SURRENDER",
        /// Its chip says of itself that it is faulty.
        FailSelfTest = "FAIL_SELF_TEST",
        /// It is destroyed.
        Scrap = "SCRAP",
        /// A new card is made for it, which begins as ORDERED.
        Remake {
            /// Whether one was made already.
            remade: bool,
        } = "REMAKE",
        /// Its lot is called back.
        Recall = "RECALL",
        /// The holder has moved to another municipality.
        Move = "MOVE",
        /// The holder has died.
        Die = "DIE",
        /// Somebody else may have it, or be its holder.
        SuspectFraud = "SUSPECT_FRAUD",
    }
}

impl CardState {
    /// Returns the state after `command`. Pure, so the whole table is tested in one place.
    ///
    /// A card in flight, made and not yet active, is recalled when its holder moves or dies or when fraud is
    /// suspected, and is destroyed wherever it turns up; one that is only ordered is never made. An active
    /// card survives a move. One that was recalled on its way is so still when it arrives, is lost or is
    /// found again. A repeated begin of an activation is answered by its intent, and never comes here;
    /// whoever takes a card out of ACTIVATING in another way aborts its intent.
    ///
    /// # Errors
    /// [`IllegalTransition`] for a pair that is not in the table, for a second card of a person that may be
    /// active, for a second card in place of one, for a resumption in spite of fraud, and for an expiry that
    /// has not come.
    pub fn after(self, command: &CardCommand) -> Result<Self, IllegalTransition> {
        self.next(command).map_err(|why| IllegalTransition {
            life: "a card",
            state: self.as_str(),
            command: command.as_str(),
            why,
        })
    }

    fn next(self, command: &CardCommand) -> Result<Self, Why> {
        use CardCommand as Do;
        use CardState as Is;
        let from = |states: &[Is], next| if states.contains(&self) { Ok(next) } else { Err(Why::State) };
        match command {
            Do::Personalise => from(&[Is::Ordered], Is::Personalised),
            Do::PassQc => from(&[Is::Personalised], Is::QcPassed),
            Do::ReportNok => from(&[Is::Ordered, Is::Personalised, Is::QcPassed], Is::Scrapped),
            Do::Ship => from(&[Is::QcPassed], Is::Shipped),
            Do::Arrive | Do::LoseInTransit | Do::FindAgain { .. } if self == Is::Recalled => Ok(self),
            Do::Arrive => from(&[Is::Shipped], Is::Arrived),
            Do::LoseInTransit => from(&[Is::Shipped], Is::LostInTransit),
            Do::FindAgain { remade } => {
                from(&[Is::LostInTransit], if *remade { Is::Recalled } else { Is::Arrived })
            }
            Do::PreIssue => from(&[Is::Arrived], Is::PreIssued),
            Do::Notify => from(&[Is::PreIssued, Is::Notified], Is::Notified),
            Do::BeginActivation { other_may_be_active } => {
                let next = from(&[Is::Notified], Is::Activating)?;
                unless(*other_may_be_active, Why::OtherCard, next)
            }
            Do::ConfirmActivation { other_may_be_active } => {
                let next = from(&[Is::Activating], Is::Active)?;
                unless(*other_may_be_active, Why::OtherCard, next)
            }
            Do::AbortActivation => from(&[Is::Activating], Is::Notified),
            Do::Suspend => from(&[Is::Active, Is::Suspended], Is::Suspended),
            Do::Resume { other_may_be_active, fraud_suspected } => {
                let next = from(&[Is::Suspended], Is::Active)?;
                let next = unless(*fraud_suspected, Why::FraudSuspected, next)?;
                unless(*other_may_be_active, Why::OtherCard, next)
            }
            Do::Revoke => from(&[Is::Active, Is::Suspended], Is::Revoked),
            Do::Expire { on, last_day } => {
                let states = [Is::Arrived, Is::PreIssued, Is::Notified, Is::Active, Is::Suspended];
                unless(on <= last_day, Why::NotExpired, from(&states, Is::Expired)?)
            }
            // Also what has ended before: the counter takes the old card back all the same. Of what was
            // recalled, its history says whether a holder has it.
            Do::Surrender => {
                let states = [Is::Active, Is::Suspended, Is::Revoked, Is::Expired, Is::Recalled];
                from(&states, Is::Surrendered)
            }
            // This card stays what it is; the new one is another. Of what was given back, its history says
            // whether it was recalled.
            Do::Remake { remade } => {
                let states = [Is::Scrapped, Is::LostInTransit, Is::Recalled, Is::Surrendered];
                let next = from(&states, self)?;
                unless(*remade, Why::Remade, next)
            }
            Do::FailSelfTest | Do::Scrap => self.destroyed(command),
            Do::Recall | Do::Move | Do::Die | Do::SuspectFraud => self.overtaken(command),
        }
    }

    fn destroyed(self, command: &CardCommand) -> Result<Self, Why> {
        let by_chip = *command == CardCommand::FailSelfTest;
        match self {
            CardState::Active | CardState::Suspended if by_chip => Ok(CardState::Revoked),
            CardState::Activating if by_chip => Ok(CardState::Scrapped),
            CardState::Ordered | CardState::Recalled if !by_chip => Ok(CardState::Scrapped),
            _ if self.is_at_hand() => Ok(CardState::Scrapped),
            _ => Err(Why::State),
        }
    }

    // By what happens to its lot or its holder.
    fn overtaken(self, command: &CardCommand) -> Result<Self, Why> {
        use CardCommand as Do;
        use CardState as Is;
        match (self, command) {
            (state, _) if state.is_in_flight() => Ok(Is::Recalled),
            (Is::Ordered, Do::Move | Do::Die | Do::SuspectFraud) => Ok(Is::Scrapped),
            (Is::Active | Is::Suspended, Do::Recall) => Ok(Is::Recalled),
            (Is::Active | Is::Suspended, Do::Move) => Ok(self),
            (Is::Active | Is::Suspended, Do::Die) => Ok(Is::Revoked),
            (Is::Active | Is::Suspended, Do::SuspectFraud) => Ok(Is::Suspended),
            _ => Err(Why::State),
        }
    }

    /// Whether it exists and producer or municipality has it, with no activation open.
    fn is_at_hand(self) -> bool {
        matches!(
            self,
            CardState::Personalised
                | CardState::QcPassed
                | CardState::Arrived
                | CardState::PreIssued
                | CardState::Notified
        )
    }

    /// Whether it exists, is not active and may become so.
    fn is_in_flight(self) -> bool {
        let on_its_way =
            matches!(self, CardState::Shipped | CardState::LostInTransit | CardState::Activating);
        self.is_at_hand() || on_its_way
    }

    /// Whether it is on its way to its holder or with them. One that was lost is none until it is found.
    #[must_use]
    pub fn is_live(self) -> bool {
        match self {
            CardState::Ordered
            | CardState::Personalised
            | CardState::QcPassed
            | CardState::Shipped
            | CardState::Arrived
            | CardState::PreIssued
            | CardState::Notified
            | CardState::Activating
            | CardState::Active
            | CardState::Suspended => true,
            CardState::Revoked
            | CardState::Expired
            | CardState::Surrendered
            | CardState::Scrapped
            | CardState::LostInTransit
            | CardState::Recalled => false,
        }
    }

    /// Whether it is active or one step from it: a person has at most one such card. A chip may be committed
    /// before the server knows.
    #[must_use]
    pub fn may_be_active(self) -> bool {
        matches!(self, CardState::Activating | CardState::Active | CardState::Suspended)
    }
}

fn unless(hindered: bool, why: Why, next: CardState) -> Result<CardState, Why> {
    if hindered { Err(why) } else { Ok(next) }
}

#[cfg(test)]
#[path = "card_tests.rs"]
mod tests;
