//! Each second of a ledger ends with a check over it and everything before it back to its `start`, so that a
//! byte that was changed is found even where no decision hangs on it.
//!
//! A check is SHA-256 of the check before it (32 times 0 at a `start`) and of the SHA-256 of the lines
//! between the two, line breaks included. It is no signature: it finds damage, not a forger.

use super::Line;
use crate::domain::digest::Digest;

/// How the line of a check begins.
pub(super) const BEGINS: &[u8] = b"{\"check\":";

/// The checks of one `start` and what follows on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chain(Digest);

impl Chain {
    /// Before a `start`.
    pub(super) fn new() -> Self {
        Self(Digest([0; 32]))
    }

    /// The check behind these lines.
    pub(super) fn over(&mut self, lines: &[u8]) -> String {
        let (before, now) = (self.0, Digest::of(lines));
        self.0 = Digest::of(&[before.as_bytes().as_slice(), now.as_bytes()].concat());
        self.0.to_string()
    }

    /// These lines with the line of their check.
    pub(super) fn closed(&mut self, lines: &str) -> String {
        let check = Line::Check(self.over(lines.as_bytes()));
        format!("{lines}{}", check.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_over_its_lines_and_the_check_before_it() {
        let (mut one, mut other) = (Chain::new(), Chain::new());
        let closed = one.closed("start\n");
        // printf 'start\n' | sha256sum, then 32 times 0 and that, | sha256sum.
        let check = "f11e86b89db33332eb2a0ddc9aedb5bb39cc385cc271e41dcdbc3ff38beaaadc";
        assert_eq!(closed, format!("start\n{{\"check\":\"{check}\"}}\n"));
        assert!(closed.as_bytes()["start\n".len()..].starts_with(BEGINS));
        assert_eq!(other.over(b"start\n"), check);
        assert_eq!(one.over(b"second\n"), other.over(b"second\n"));
        assert_ne!(one.over(b"second\n"), other.over(b"secone\n"), "a byte");
        assert_ne!(one.over(b"third\n"), other.over(b"third\n"), "what was before it, too");
    }
}
