//! The life of an application for a card: no card is produced before somebody's identity is proved and every
//! suspicion of a swap within a household is confirmed to be none.

pub mod mixup;

use std::collections::BTreeSet;

use super::{
    IllegalTransition, Why,
    evidence::{self, Document},
};
use mixup::Suspicion;

words! {
    /// Where an application is.
    pub enum ApplicationState, "a state of an application such as APPROVED" {
        /// It is here.
        Received = "RECEIVED",
        /// Something is wrong with it; the applicant has been told.
        Defective = "DEFECTIVE",
        /// The applicant has sent it again.
        Resubmitted = "RESUBMITTED",
        /// It is known who applies.
        IdentityChecked = "IDENTITY_CHECKED",
        /// A card is to be made.
        Approved = "APPROVED",
        /// A card is being made.
        InProduction = "IN_PRODUCTION",
        /// There is a card.
        WithCard = "WITH_CARD",
        /// It was refused.
        Rejected = "REJECTED",
        /// The applicant moved to another municipality.
        VoidedMoved = "VOIDED_MOVED",
        /// The applicant died.
        VoidedDied = "VOIDED_DIED",
        /// It has somebody else's ID or photograph.
        VoidedMixedUp = "VOIDED_MIXED_UP",
        /// The applicant does not want it any more.
        VoidedWithdrawn = "VOIDED_WITHDRAWN",
        /// Somebody else may have applied in the person's name.
        VoidedFraud = "VOIDED_FRAUD",
    }
}

words! {
    /// Why an application is void.
    pub enum VoidReason, "a reason such as MOVED" {
        /// The applicant moved to another municipality.
        Moved = "MOVED",
        /// The applicant died.
        Died = "DIED",
        /// It has somebody else's ID or photograph.
        MixedUp = "MIXED_UP",
        /// The applicant does not want it any more.
        Withdrawn = "WITHDRAWN",
    }
}

commands! {
    /// What can happen to an application.
    pub enum ApplicationCommand {
        /// Something is wrong with it.
        FindDefect = "FIND_DEFECT",
        /// The applicant sends it again.
        Resubmit = "RESUBMIT",
        /// Somebody proves who applies.
        CheckIdentity {
            /// By these documents.
            documents: BTreeSet<Document>,
        } = "CHECK_IDENTITY",
        /// A card is to be made.
        Approve = "APPROVE",
        /// The producer takes it.
        StartProduction {
            /// What looks like a swap, as it looks at this moment.
            suspicions: BTreeSet<Suspicion>,
            /// What somebody has looked into and confirmed to be right.
            confirmed: BTreeSet<Suspicion>,
        } = "START_PRODUCTION",
        /// The card is made.
        ReceiveCard = "RECEIVE_CARD",
        /// The card was scrapped, lost or recalled: another is to be made.
        Remake = "REMAKE",
        /// It is refused.
        Reject = "REJECT",
        /// It is void.
        Void {
            /// Why.
            reason: VoidReason,
        } = "VOID",
        /// It was void by mistake.
        Restore {
            /// Whether the person has another application that is live.
            other_is_live: bool,
            /// Whether it is void for a suspicion of fraud that stands.
            fraud_suspected: bool,
        } = "RESTORE",
        /// Somebody else may have applied in the person's name.
        SuspectFraud = "SUSPECT_FRAUD",
    }
}

impl ApplicationState {
    /// Returns the state after `command`. Pure, so the whole table is tested in one place.
    ///
    /// A mix-up is often found when the card is there, so an application with a card can be void for it.
    /// What was void as mixed up or withdrawn can be restored, and begins anew: who applies is checked again.
    /// After a move another municipality decides, and what a death has ended is applied for anew if it was
    /// none. A suspicion of fraud makes what is live void, so that no card is made while it is looked into;
    /// once it is cleared, that can be restored likewise.
    ///
    /// # Errors
    /// [`IllegalTransition`] for a pair that is not in the table, for documents that prove no identity, for a
    /// suspicion that nobody has confirmed to be none, for a second live application of one person, and for
    /// a restoration in spite of fraud.
    pub fn after(self, command: &ApplicationCommand) -> Result<Self, IllegalTransition> {
        self.next(command).map_err(|why| IllegalTransition {
            life: "an application",
            state: self.as_str(),
            command: command.as_str(),
            why,
        })
    }

    fn next(self, command: &ApplicationCommand) -> Result<Self, Why> {
        use ApplicationCommand as Do;
        use ApplicationState as Is;
        match (self, command) {
            (Is::Received | Is::Resubmitted | Is::IdentityChecked, Do::FindDefect) => Ok(Is::Defective),
            (Is::Defective, Do::Resubmit) => Ok(Is::Resubmitted),
            (Is::Received | Is::Resubmitted, Do::CheckIdentity { documents }) => {
                let proved = evidence::prove_identity(documents);
                if proved { Ok(Is::IdentityChecked) } else { Err(Why::NoIdentity) }
            }
            (Is::IdentityChecked, Do::Approve) => Ok(Is::Approved),
            (Is::Approved, Do::StartProduction { suspicions, confirmed }) => {
                let cleared = suspicions.is_subset(confirmed);
                if cleared { Ok(Is::InProduction) } else { Err(Why::SwapSuspected) }
            }
            (Is::InProduction, Do::ReceiveCard) => Ok(Is::WithCard),
            // While it is made, too: the producer finds the first one bad.
            (Is::WithCard | Is::InProduction, Do::Remake) => Ok(Is::InProduction),
            (Is::Received | Is::Defective | Is::Resubmitted | Is::IdentityChecked, Do::Reject) => {
                Ok(Is::Rejected)
            }
            (Is::WithCard, Do::Void { reason: VoidReason::MixedUp }) => Ok(Is::VoidedMixedUp),
            (state, Do::Void { reason }) if state.is_live() => Ok(reason.state()),
            (state, Do::SuspectFraud) if state.is_live() => Ok(Is::VoidedFraud),
            (
                Is::VoidedMixedUp | Is::VoidedWithdrawn | Is::VoidedFraud,
                Do::Restore { other_is_live, fraud_suspected },
            ) => match (fraud_suspected, other_is_live) {
                (true, _) => Err(Why::FraudSuspected),
                (false, true) => Err(Why::OtherApplication),
                (false, false) => Ok(Is::Received),
            },
            _ => Err(Why::State),
        }
    }

    /// Whether it is on its way to a card and has none yet. A person has at most one such application;
    /// when it is void, they can make another.
    #[must_use]
    pub fn is_live(self) -> bool {
        match self {
            ApplicationState::Received
            | ApplicationState::Defective
            | ApplicationState::Resubmitted
            | ApplicationState::IdentityChecked
            | ApplicationState::Approved
            | ApplicationState::InProduction => true,
            ApplicationState::WithCard
            | ApplicationState::Rejected
            | ApplicationState::VoidedMoved
            | ApplicationState::VoidedDied
            | ApplicationState::VoidedMixedUp
            | ApplicationState::VoidedWithdrawn
            | ApplicationState::VoidedFraud => false,
        }
    }
}

impl VoidReason {
    fn state(self) -> ApplicationState {
        match self {
            VoidReason::Moved => ApplicationState::VoidedMoved,
            VoidReason::Died => ApplicationState::VoidedDied,
            VoidReason::MixedUp => ApplicationState::VoidedMixedUp,
            VoidReason::Withdrawn => ApplicationState::VoidedWithdrawn,
        }
    }
}

#[cfg(test)]
#[path = "application_tests.rs"]
mod tests;
