//! The lives of envelopes, applications, cards and activations: which step may follow which, decided without
//! a clock, a database or a random number.
//!
//! Each life is one table, `state.after(command)`. What a decision depends on beside the state is a field of
//! the command, so that it is recorded with it and can be decided again. Each has its service below
//! `issuance`: `mail`, `application`, `card` (with activations) and `production` (with lots).

#[macro_use]
mod words;

pub mod activation;
pub mod application;
pub mod card;
pub mod evidence;
pub mod lot;
pub mod mail;
pub mod sums;
#[cfg(test)]
mod table;

pub use words::BadWord;

/// The command is not for something in this state, or lacks what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
#[error("{life} that is {state} cannot take {command}: {why}")]
pub struct IllegalTransition {
    /// Whose life it is, such as `a card`.
    pub life: &'static str,
    /// Where it is.
    pub state: &'static str,
    /// What was asked for.
    pub command: &'static str,
    /// What stands in the way.
    pub why: Why,
}

/// What stands in the way of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum Why {
    /// The state is the wrong one.
    #[error("ask for its state and decide again")]
    State,
    /// Nothing shows that the cards are inside.
    #[error("neither a scan of each card nor the weight shows that the cards are inside")]
    NoInsertionEvidence,
    /// The day until which it is kept is not over.
    #[error("it has to be kept longer: see the municipality's retention")]
    Retained,
    /// Nobody has proposed it, or somebody else than is said.
    #[error("that person has not proposed it since it was stored: propose it first")]
    NotProposed,
    /// Whoever proposed it confirms it too.
    #[error("whoever proposed it cannot confirm it: a second person has to")]
    SamePerson,
    /// No stocktake has seen it since it was stored.
    #[error("no stocktake has seen it since it was stored: take stock first")]
    NotCounted,
    /// The documents do not prove who somebody is.
    #[error(
        "the documents prove no identity: one with a photograph is needed, or two others; a notification \
         card proves a number only"
    )]
    NoIdentity,
    /// A suspicion has not been looked into.
    #[error("HOUSEHOLD_SWAP_SUSPECTED: each reason has to be confirmed first")]
    SwapSuspected,
    /// The person has another live application.
    #[error("the person has another application that is not finished: void one of the two")]
    OtherApplication,
    /// The person has another card that is active or may become so.
    #[error("another card of the person is active, suspended or being activated: end it first")]
    OtherCard,
    /// There is a new card for it already.
    #[error("it has been remade already: see the new card")]
    Remade,
    /// Fraud is suspected.
    #[error("fraud is suspected: revoke it and ask for a new number, or withdraw the suspicion")]
    FraudSuspected,
    /// Its last day is not over.
    #[error("its last day is not over")]
    NotExpired,
    /// Another session is being worked on.
    #[error("another session is open or was meant: query it, and finish or abort it first")]
    OtherSession,
    /// The chip is not committed to this session.
    #[error("the chip is not committed to this session: query the session for the next step")]
    NotCommitted,
}
