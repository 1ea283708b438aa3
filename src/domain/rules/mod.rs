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
