//! A call in flight is known beside its bytes: who calls what, since when, and how far it is.

use std::{
    fmt,
    sync::atomic::{AtomicU8, Ordering::Relaxed},
};

use http::uri::PathAndQuery;
use tokio::time::Instant;

use crate::domain::{identity::Role, municipality::MunicipalityCode};

/// The longest method that is told.
const METHOD_BYTES_MAX: usize = 80;

/// How far a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// A drill holds it up.
    Held,
    /// It waits for a place on a connection to an issuer.
    Waiting,
    /// An issuer has it, and has not begun to answer.
    Asked,
    /// The answer has begun.
    Answering,
    /// It is over.
    Over,
}

impl At {
    const ALL: [(Self, &str); 5] = [
        (At::Held, "held"),
        (At::Waiting, "waiting"),
        (At::Asked, "asked"),
        (At::Answering, "answering"),
        (At::Over, "over"),
    ];
}

/// Who it is in a record: a municipality's code, or the role of anybody else, who may be a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Whose(pub(super) Role, pub(super) Option<MunicipalityCode>);

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Whose(_, Some(code)) => code.fmt(f),
            Whose(role, None) => f.write_str(role.as_str()),
        }
    }
}

/// One call in flight.
pub(super) struct Open {
    pub(super) whose: Whose,
    path: Option<PathAndQuery>,
    pub(super) started: Instant,
    at: AtomicU8,
}

impl Open {
    pub(super) fn new(whose: Whose, path: Option<PathAndQuery>, started: Instant) -> Self {
        Self { whose, path, started, at: AtomicU8::new(At::Over as u8) }
    }

    /// Says how far it is.
    pub(super) fn is_at(&self, at: At) {
        self.at.store(at as u8, Relaxed);
    }

    /// How far it is, in a word.
    pub(super) fn at(&self) -> &'static str {
        At::ALL[usize::from(self.at.load(Relaxed)).min(At::ALL.len() - 1)].1
    }

    /// What is called.
    pub(super) fn method(&self) -> &str {
        self.path.as_ref().map_or(OTHER, |path| method(path.path()))
    }
}

/// Whether it is the path of a method of ours, as far as its form tells.
pub(super) fn is_ours(path: &str) -> bool {
    method(path) != OTHER
}

/// Stands for what is no method of ours.
const OTHER: &str = "other";

/// A path that can be a method of ours, or [`OTHER`]: a caller may write anything there, and digits and signs
/// least of all belong into a record of what was called.
fn method(path: &str) -> &str {
    let known = path.strip_prefix("/todoke.v1.").filter(|_| path.len() <= METHOD_BYTES_MAX);
    let plain = |rest: &str| {
        rest.split_once('/').is_some_and(|(service, method)| {
            let letters = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphabetic());
            letters(service) && letters(method)
        })
    };
    if known.is_some_and(plain) { path } else { OTHER }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_told_by_its_name_and_nothing_else_that_a_caller_may_write() {
        let own = "/todoke.v1.BatchService/GetBatch";
        assert_eq!(method(own), own);
        let long = format!("/todoke.v1.BatchService/{}", "x".repeat(METHOD_BYTES_MAX));
        for other in [
            "",
            "/",
            "/grpc.health.v1.Health/Check",
            "/todoke.v1.BatchService",
            "/todoke.v1.BatchService/",
            "/todoke.v1.BatchService/987654321093",
            "/todoke.v1.BatchService/Get%E9%B8%9E",
            "/todoke.v1.BatchService/Get/Batch",
            "/todoke.v1.Batch.Service/Get",
            &long,
        ] {
            assert_eq!(method(other), OTHER, "{other}");
        }
    }

    #[test]
    fn each_place_has_its_word() {
        for (number, (at, _)) in At::ALL.into_iter().enumerate() {
            assert_eq!(at as usize, number);
        }
    }
}
