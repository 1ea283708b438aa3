//! What a chip says of itself is believed if it is signed by the key that the producer reported with the
//! card; a chip believes that it may be reset if the issuer has signed so.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

use crate::{
    domain::{
        item::ItemKey,
        life::activation::{Chip, SessionId},
    },
    wire::{
        fault::{Fault, Reason},
        pb,
    },
};

use super::fields;

/// What a chip has said, with its signature as hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) chip: Chip,
    pub(super) signature: String,
}

/// The text that a chip signs: described in proto/README.md ("What a chip signs").
fn text(key: &ItemKey, chip: Chip) -> String {
    let (state, session) = match chip {
        Chip::Blank => ("BLANK", "-".to_owned()),
        Chip::Prepared(session) => ("PREPARED", session.to_string()),
        Chip::Committed(session) => ("COMMITTED", session.to_string()),
    };
    format!("todoke chip v1\n{}\n{}\n{state}\n{session}\n", key.municipality, key.id)
}

/// The text that the issuer signs for a chip that may be reset from a session that was given up.
pub(super) fn reset_text(key: &ItemKey, session: SessionId) -> String {
    format!("todoke chip reset v1\n{}\n{}\n{session}\n", key.municipality, key.id)
}

/// Reads what the chip of this card says; `chip_key` is the hex of its public key.
///
/// # Errors
/// FIELD_INVALID for what no chip says, CHIP_PROOF_INVALID if this chip has not signed it.
pub(super) fn read(
    key: &ItemKey,
    statement: Option<&pb::ChipStatement>,
    chip_key: Option<&str>,
) -> Result<Statement, Fault> {
    let wrong =
        |words: &str| Err(Fault::new(Reason::FieldInvalid, format!("chip {words}")).violation("chip", words));
    let Some(statement) = statement else { return wrong("is missing: send what the chip says") };
    let session = || fields::session(&statement.session_id, "chip.session_id");
    let chip = match statement.state.as_str() {
        "BLANK" if statement.session_id.is_empty() => Chip::Blank,
        "BLANK" => return wrong("is BLANK and has a session_id: leave that out"),
        "PREPARED" => Chip::Prepared(session()?),
        "COMMITTED" => Chip::Committed(session()?),
        _ => return wrong("state must be BLANK, PREPARED or COMMITTED"),
    };
    let public = chip_key.and_then(|text| hex::decode(text).ok()).unwrap_or_default();
    let signed = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public)
        .verify(text(key, chip).as_bytes(), &statement.signature);
    if signed.is_err() {
        let words = "the chip of this card has not signed what is said of it: read the chip again, and check \
                     that it is this card";
        return Err(Fault::new(Reason::ChipProofInvalid, words).with("card_id", key.id.as_str()));
    }
    Ok(Statement { chip, signature: hex::encode(&statement.signature) })
}

#[cfg(test)]
#[path = "chip_tests.rs"]
mod tests;
