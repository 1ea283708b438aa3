//! An activation brings server and chip to one answer, whoever of them or the terminal dies in between: no
//! card has to be remade for it.
//!
//! The server writes an intent down, then the chip is prepared, then it is committed, then the server
//! confirms on the chip's proof. Each step can be asked for again. A terminal remembers nothing: the server's
//! intent and the chip's own state say which step is next. The chip of an activation that was given up is
//! reset, on the server's word, even if it was committed; the server never confirms it afterwards.

use std::{collections::BTreeSet, fmt};

use uuid::Uuid;

use super::{
    IllegalTransition, Why,
    evidence::{self, Document},
};

/// One attempt at an activation: made by the terminal, and never used for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub Uuid);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.hyphenated(), f)
    }
}

words! {
    /// What the server has written down of an activation.
    pub enum IntentState, "a state of an activation such as BEGUN" {
        /// It is open; the card is ACTIVATING.
        Begun = "BEGUN",
        /// The chip is committed; the card is ACTIVE.
        Confirmed = "CONFIRMED",
        /// It was given up; the card is NOTIFIED.
        Aborted = "ABORTED",
    }
}

/// What a chip says of itself, with its signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Chip {
    /// No activation has touched it.
    Blank,
    /// It is ready to be committed.
    Prepared(SessionId),
    /// It is activated.
    Committed(SessionId),
}

commands! {
    /// What a terminal asks of an activation.
    pub enum IntentCommand {
        /// Begin, again.
        Begin {
            /// Which one.
            session: SessionId,
        } = "BEGIN",
        /// The chip is committed.
        Confirm {
            /// Which one.
            session: SessionId,
            /// What the chip says of itself; whoever decodes the proof has checked its signature.
            chip: Chip,
        } = "CONFIRM",
        /// Give it up.
        Abort {
            /// Which one.
            session: SessionId,
        } = "ABORT",
    }
}

/// An activation, as the server has it. A card has at most one that is BEGUN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intent {
    session: SessionId,
    state: IntentState,
}

impl Intent {
    /// Begins an activation.
    ///
    /// # Errors
    /// [`Why::NoIdentity`] if the documents do not prove who stands at the counter.
    pub fn begin(session: SessionId, documents: &BTreeSet<Document>) -> Result<Self, Why> {
        let proved = evidence::prove_identity(documents);
        if proved { Ok(Self { session, state: IntentState::Begun }) } else { Err(Why::NoIdentity) }
    }

    /// Returns the intent that was stored so.
    #[must_use]
    pub fn stored(session: SessionId, state: IntentState) -> Self {
        Self { session, state }
    }

    /// Which attempt it is.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Where it is.
    #[must_use]
    pub fn state(&self) -> IntentState {
        self.state
    }

    /// Returns the intent after `command`. To ask again changes nothing and is answered as before; a begin of
    /// what is over is answered by what became of it.
    ///
    /// # Errors
    /// [`IllegalTransition`] for another session, for a confirmation without a committed chip, and for what
    /// would undo a decision: neither is confirmed what was aborted, nor aborted what was confirmed.
    pub fn after(self, command: &IntentCommand) -> Result<Self, IllegalTransition> {
        let next = self.next(command).map_err(|why| IllegalTransition {
            life: "an activation",
            state: self.state.as_str(),
            command: command.as_str(),
            why,
        })?;
        Ok(Self { state: next, ..self })
    }

    fn next(self, command: &IntentCommand) -> Result<IntentState, Why> {
        use IntentCommand as Do;
        use IntentState as Is;
        let (Do::Begin { session } | Do::Confirm { session, .. } | Do::Abort { session }) = command;
        if *session != self.session {
            return Err(Why::OtherSession);
        }
        match (self.state, command) {
            (state, Do::Begin { .. }) => Ok(state),
            (Is::Begun | Is::Confirmed, Do::Confirm { chip, .. }) => {
                let committed = *chip == Chip::Committed(self.session);
                if committed { Ok(Is::Confirmed) } else { Err(Why::NotCommitted) }
            }
            (Is::Begun | Is::Aborted, Do::Abort { .. }) => Ok(Is::Aborted),
            (Is::Confirmed, Do::Abort { .. }) | (Is::Aborted, Do::Confirm { .. }) => Err(Why::State),
        }
    }
}

/// What a terminal does next, with the card in its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Prepare the chip for this session.
    PrepareChip,
    /// Commit the chip.
    CommitChip,
    /// Send the chip's proof to the server.
    Confirm,
    /// Reset the chip from this session, which the server allows if it was aborted.
    ResetChip(SessionId),
    /// Ask about this session instead: the chip is at another than was asked about.
    Ask(SessionId),
    /// Nothing: the card is active.
    Done,
    /// Nothing is left of it: a new session can begin.
    BeginAnew,
    /// Stop, and tell an operator: the server has a proof that this chip denies.
    Stop,
}

/// Returns the step that brings server and chip closer to one answer. Whatever was lost, the same question
/// gives the same step.
#[must_use]
pub fn next_step(intent: &Intent, chip: Chip) -> Step {
    let own = intent.session;
    match (intent.state, chip) {
        (IntentState::Begun, Chip::Blank) => Step::PrepareChip,
        (IntentState::Begun, Chip::Prepared(session)) if session == own => Step::CommitChip,
        (IntentState::Begun, Chip::Committed(session)) if session == own => Step::Confirm,
        // An older session: it was aborted, or this one could not have begun.
        (IntentState::Begun, Chip::Prepared(older) | Chip::Committed(older)) => Step::ResetChip(older),
        (IntentState::Confirmed, Chip::Committed(session)) if session == own => Step::Done,
        (IntentState::Confirmed, _) => Step::Stop,
        (IntentState::Aborted, Chip::Blank) => Step::BeginAnew,
        (IntentState::Aborted, Chip::Prepared(session) | Chip::Committed(session)) => {
            if session == own {
                Step::ResetChip(own)
            } else {
                Step::Ask(session)
            }
        }
    }
}

#[cfg(test)]
#[path = "activation_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "activation_model_tests.rs"]
mod model_tests;
