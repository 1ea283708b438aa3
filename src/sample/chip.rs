//! A chip of a card that does not exist: it keeps what it was told through any loss of power, says so
//! with its signature, and is reset from a session only on the issuer's signed word.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};

use crate::domain::{
    item::ItemId,
    life::activation::{Chip as State, SessionId},
    municipality::MunicipalityCode,
    note::{self, VerifierKey},
};

/// A chip in a card.
#[derive(Debug)]
pub struct Chip {
    pair: EcdsaKeyPair,
    municipality: MunicipalityCode,
    card: ItemId,
    state: State,
}

/// What a chip says of itself, with its signature.
#[derive(Debug, Clone)]
pub struct Statement {
    /// BLANK, PREPARED or COMMITTED.
    pub state: &'static str,
    /// The session of the last two; empty for the first.
    pub session: String,
    /// ECDSA P-256 with SHA-256, r and s as 64 bytes.
    pub signature: Vec<u8>,
}

/// Why a chip does not do what it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is in another session.
    #[error("the chip is in another session: ask the server")]
    OtherSession,
    /// The permit is not the issuer's, or of something else.
    #[error("the permit is not the issuer's word about this card and session")]
    NoPermit,
}

impl Chip {
    /// Makes a chip for a card, with a new key.
    ///
    /// # Panics
    /// If the system has no randomness.
    #[must_use]
    pub fn make(municipality: MunicipalityCode, card: ItemId) -> Self {
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let made = made.expect("the system has randomness");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, made.as_ref());
        Self { pair: pair.expect("it was just made"), municipality, card, state: State::Blank }
    }

    /// What it signs with: an uncompressed point, 65 bytes.
    #[must_use]
    pub fn public_key(&self) -> Vec<u8> {
        self.pair.public_key().as_ref().to_vec()
    }

    /// Where it is.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Readies it for a session.
    ///
    /// # Errors
    /// [`Refused::OtherSession`] unless it is blank or in this session.
    pub fn prepare(&mut self, session: SessionId) -> Result<(), Refused> {
        match self.state {
            State::Blank => self.state = State::Prepared(session),
            State::Prepared(own) | State::Committed(own) if own == session => {}
            State::Prepared(_) | State::Committed(_) => return Err(Refused::OtherSession),
        }
        Ok(())
    }

    /// Activates it in the session that it was readied for.
    ///
    /// # Errors
    /// [`Refused::OtherSession`] unless it is in this session.
    pub fn commit(&mut self, session: SessionId) -> Result<(), Refused> {
        match self.state {
            State::Prepared(own) | State::Committed(own) if own == session => {
                self.state = State::Committed(session);
                Ok(())
            }
            _ => Err(Refused::OtherSession),
        }
    }

    /// Makes it blank again, if the issuer permits that for the session that it is in.
    ///
    /// # Errors
    /// [`Refused::NoPermit`], [`Refused::OtherSession`].
    pub fn reset(&mut self, permit: &str, issuer: &VerifierKey) -> Result<(), Refused> {
        let (State::Prepared(session) | State::Committed(session)) = self.state else { return Ok(()) };
        let text = note::open(permit.as_bytes(), issuer).map_err(|_| Refused::NoPermit)?;
        let expected = format!("todoke chip reset v1\n{}\n{}\n{session}\n", self.municipality, self.card);
        if text != expected {
            return Err(Refused::NoPermit);
        }
        self.state = State::Blank;
        Ok(())
    }

    /// Says where it is.
    ///
    /// # Panics
    /// If the system has no randomness.
    #[must_use]
    pub fn statement(&self) -> Statement {
        let (state, session) = match self.state {
            State::Blank => ("BLANK", None),
            State::Prepared(session) => ("PREPARED", Some(session)),
            State::Committed(session) => ("COMMITTED", Some(session)),
        };
        let session = session.map(|session| session.to_string());
        let said = session.as_deref().unwrap_or("-");
        let text = format!("todoke chip v1\n{}\n{}\n{state}\n{said}\n", self.municipality, self.card);
        let signature = self.pair.sign(&SystemRandom::new(), text.as_bytes());
        let signature = signature.expect("the system has randomness").as_ref().to_vec();
        Statement { state, session: session.unwrap_or_default(), signature }
    }
}
