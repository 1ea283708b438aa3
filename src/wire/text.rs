//! Words that came over the wire, or from somebody's hand, as they may be shown: whoever is at the other end
//! may be hostile, and a terminal does what it is told.

use tonic::Status;

/// Characters beside the control characters that would move or hide what stands around them: breaks of lines
/// and paragraphs, and marks, embeddings, overrides and isolates of direction (UAX #9).
fn is_unruly(c: char) -> bool {
    let directs =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || directs || matches!(c, '\u{2028}' | '\u{2029}')
}

/// A text as it may stand in a line: what would break it, or do anything else to a terminal, is shown by its
/// number.
#[must_use]
pub fn one_line(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match is_unruly(c) {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    shown
}

/// JSON as it may stand in a line: what a terminal would heed is escaped as JSON does, and reads the same.
#[must_use]
pub fn json_line(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        match is_unruly(c) {
            true => shown.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => shown.push(c),
        }
    }
    shown
}

/// The same status with a message that may be shown.
#[must_use]
pub fn showable(status: Status) -> Status {
    if !status.message().chars().any(is_unruly) {
        return status;
    }
    let (code, message) = (status.code(), one_line(status.message()));
    let details = bytes::Bytes::copy_from_slice(status.details());
    Status::with_details_and_metadata(code, message, details, status.metadata().clone())
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn what_a_terminal_would_do_is_shown_by_its_number() {
        let hostile = "x\u{1b}[2J\r\nDONE and proved\u{7}\u{9b}31m\u{202e}\u{2028}届け";
        let shown = one_line(hostile);
        assert_eq!(shown, "x\\u{1b}[2J\\r\\nDONE and proved\\u{7}\\u{9b}31m\\u{202e}\\u{2028}届け");
        let status = showable(Status::with_details(Code::Internal, hostile, bytes::Bytes::from_static(b"d")));
        assert_eq!((status.code(), status.message(), status.details()), (Code::Internal, &*shown, &b"d"[..]));
        assert_eq!(showable(Status::not_found("届け")).message(), "届け");
        let json = serde_json::to_string(hostile).expect("a text");
        let shown = json_line(&json);
        assert!(!shown.chars().any(is_unruly) && shown != json, "{shown}");
        assert_eq!(serde_json::from_str::<String>(&shown).expect("JSON"), hostile);
    }
}
