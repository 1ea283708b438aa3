//! The headers by which a relay tells an issuer who calls; only a relay's own are ever believed.

/// The caller that a relay identified, as `role/name`: written by the relay, exactly once.
pub const CALLER: &str = "todoke-caller";

/// What every header with which a node speaks about a call begins with.
pub const PREFIX: &str = "todoke-";

/// Whether a relay must strip this header from what a client sent. `name` is lower case, as HTTP/2 has it.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    name.starts_with(PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_says_is_reserved_and_nothing_else() {
        assert!(is_reserved(CALLER));
        assert!(is_reserved("todoke-anything"));
        assert!(!is_reserved("grpc-timeout"));
        assert!(!is_reserved("x-todoke-caller"));
    }
}
