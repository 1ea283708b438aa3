//! The name of an office of a municipality, as every service reads it.

use crate::wire::fault::{Fault, Reason};

/// The longest name of an office, in characters.
const CHARS_MAX: usize = 64;

/// Reads the name of an office.
pub(crate) fn read(text: &str) -> Result<String, Fault> {
    let good = (1..=CHARS_MAX).contains(&text.chars().count()) && !text.contains(char::is_control);
    if good {
        return Ok(text.to_owned());
    }
    let words = format!("office must be 1 to {CHARS_MAX} characters, without control characters");
    Err(Fault::new(Reason::FieldInvalid, words.clone()).violation("office", words))
}
