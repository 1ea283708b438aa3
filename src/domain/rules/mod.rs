//! The exact rules of numbers, dates and names, each with its source and its published vectors.
//!
//! PINs have no rule here, because no PIN ever reaches the server: the terminal checks that a signature PIN
//! has 6 to 16 capitals and digits with one of each (5 tries), and an authentication PIN 4 digits (3 tries).

mod application_id;
mod expiry;
mod individual_number;
mod name;

pub use application_id::{ApplicationId, BadApplicationId};
pub use expiry::{age, card_expiry, certificate_expiry, may_have_signature_certificate};
pub use individual_number::{IndividualNumberFault, check_digit, check_individual_number};
pub use name::name_flags;

/// Whether a card of this kind proves who somebody is: a notification card proves a number, no identity.
#[must_use]
pub fn proves_identity(kind: &str) -> bool {
    kind == "INDIVIDUAL_NUMBER_CARD"
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_notification_card_is_refused_as_evidence_of_identity() {
        assert!(super::proves_identity("INDIVIDUAL_NUMBER_CARD"));
        assert!(!super::proves_identity("NOTIFICATION_CARD"));
        assert!(!super::proves_identity(""));
    }
}
