//! What requests about cards say in words, held to what may be stored and shown.

use std::collections::BTreeSet;

use crate::{
    domain::life::{BadWord, activation::SessionId, evidence::Document},
    wire::fault::{Fault, Reason},
};

use super::super::mutation::id_of;

/// The longest reason, in characters.
const REASON_CHARS_MAX: usize = 200;
/// Documents that somebody shows at the most: there are fewer kinds.
const DOCUMENTS_MAX: usize = 20;

fn wrong(field: &'static str, words: &str) -> Fault {
    Fault::new(Reason::FieldInvalid, format!("{field} {words}")).violation(field, words)
}

/// Reads why something is done, which must be said.
pub(super) fn reason(text: &str) -> Result<String, Fault> {
    if text.trim().is_empty() {
        let words = "reason is missing: say why, in 1 to 200 characters without personal data";
        return Err(Fault::new(Reason::ReasonRequired, words).violation("reason", "required"));
    }
    note(text, "reason")
}

/// Reads words that may be left out.
pub(super) fn note(text: &str, field: &'static str) -> Result<String, Fault> {
    if text.chars().count() <= REASON_CHARS_MAX && !text.contains(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(wrong(field, "must have at most 200 characters, without control characters"))
}

/// Reads what a chip says of its self-test; `None`: it passed.
pub(super) fn self_test(text: &str) -> Result<Option<String>, Fault> {
    match text {
        "" => Err(wrong("self_test", "is missing: it is PASS, or what failed")),
        "PASS" => Ok(None),
        failed => note(failed, "self_test").map(Some),
    }
}

/// Reads the id of a session.
pub(super) fn session(text: &str, field: &'static str) -> Result<SessionId, Fault> {
    text.parse().map(SessionId).map_err(|_| wrong(field, "must be a UUID, made by the terminal"))
}

/// Reads the name of a terminal.
pub(super) fn terminal(text: &str) -> Result<String, Fault> {
    id_of(text, "terminal").map(|name| name.to_string())
}

/// Reads what somebody shows at the counter.
pub(super) fn documents(texts: &[String]) -> Result<BTreeSet<Document>, Fault> {
    if texts.len() > DOCUMENTS_MAX {
        return Err(wrong("documents", "are more than 20: name each once"));
    }
    let read = |text: &String| text.parse().map_err(|bad: BadWord| wrong("documents", &bad.to_string()));
    texts.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_said_and_short() {
        assert_eq!(reason("").expect_err("none").reason, Reason::ReasonRequired);
        assert_eq!(reason(" \t").expect_err("none").reason, Reason::ReasonRequired);
        assert_eq!(reason(&"須".repeat(200)).expect("it fits").chars().count(), 200);
        for bad in ["x".repeat(201), "a\nb".to_owned()] {
            assert_eq!(reason(&bad).expect_err("bad").reason, Reason::FieldInvalid);
        }
        assert_eq!(note("", "reason"), Ok(String::new()));
    }

    #[test]
    fn a_self_test_passes_with_one_word_only() {
        assert_eq!(self_test("PASS"), Ok(None));
        assert_eq!(self_test("pass"), Ok(Some("pass".to_owned())));
        assert_eq!(self_test("").expect_err("nothing was said").violations[0].0, "self_test");
    }

    #[test]
    fn documents_are_known_words_and_a_session_is_a_uuid() {
        let two = ["PASSPORT", "PASSPORT", "PENSION_BOOK"].map(str::to_owned);
        assert_eq!(documents(&two).expect("known").len(), 2);
        assert!(documents(&["LIBRARY_CARD".to_owned()]).is_err());
        assert!(documents(&vec!["PASSPORT".to_owned(); 21]).is_err());
        assert!(session("7", "session_id").is_err());
    }
}
