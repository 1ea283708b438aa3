//! The headers by which a relay tells an issuer who calls; only a relay's own are ever believed.

use crate::wire::fault::{Fault, Reason};

/// The caller that a relay identified, as `role/name`: written by the relay, exactly once.
pub const CALLER: &str = "todoke-caller";

/// The generation of the lease under which a relay passes a call on: written by the relay.
pub const LEASE: &str = "todoke-lease";

/// The unit over which the caller tried before, and how that ended: `relay-2;UNAVAILABLE`. The one such
/// header that a client sends; a relay reads it and passes it on no further.
pub const PREVIOUS_ATTEMPT: &str = "todoke-previous-attempt";

/// What every header with which a node speaks about a call begins with.
pub const PREFIX: &str = "todoke-";

/// What a client says of an attempt over this unit that ended so.
#[must_use]
pub fn previous_attempt(unit: &str, code: tonic::Code) -> String {
    let mut word = String::new();
    for (at, c) in format!("{code:?}").char_indices() {
        if c.is_ascii_uppercase() && at > 0 {
            word.push('_');
        }
        word.push(c.to_ascii_uppercase());
    }
    format!("{unit};{word}")
}

/// How many times as many bytes of headers as a call may have are read of it, so that it can be told so.
pub const READ_TIMES: u32 = 4;

/// Says that a call's headers are over the limit, if they are, counted as HTTP/2 counts them.
///
/// # Errors
/// `LIMIT_EXCEEDED`.
pub fn fit(uri: &http::Uri, headers: &http::HeaderMap, max: u32) -> Result<(), Fault> {
    const PER_FIELD: usize = 32;
    let fields = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + PER_FIELD);
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len() + PER_FIELD);
    let bytes = fields.sum::<usize>() + path;
    if bytes <= max as usize {
        return Ok(());
    }
    let words = format!("the headers of the call are {bytes} bytes, and may be {max}: send less metadata");
    Err(Fault::new(Reason::LimitExceeded, words).with("limit", max.to_string()))
}

/// Whether a relay must strip this header from what a client sent. `name` is lower case, as HTTP/2 has it.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    name.starts_with(PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_previous_attempt_names_its_code_as_everybody_does() {
        assert_eq!(previous_attempt("relay-2", tonic::Code::DeadlineExceeded), "relay-2;DEADLINE_EXCEEDED");
    }

    #[test]
    fn what_a_node_says_is_reserved_and_nothing_else() {
        assert!(is_reserved(CALLER));
        assert!(is_reserved("todoke-anything"));
        assert!(!is_reserved("grpc-timeout"));
        assert!(!is_reserved("x-todoke-caller"));
    }
}
