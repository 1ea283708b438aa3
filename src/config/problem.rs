//! Everything that is wrong with a configuration at once, each with its key, where it was said, and what
//! to do.

use std::fmt;

/// One thing that is wrong. The value itself is never repeated where it may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The key, such as `issuance.workers`.
    pub key: String,
    /// Where it was said: a file, a variable, a flag; empty where it was not said at all.
    pub origin: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.key)?;
        if !self.origin.is_empty() {
            write!(f, " ({})", self.origin)?;
        }
        write!(f, ": {}. {}", self.what, self.remedy)
    }
}

/// Keys that are right by themselves and not together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The key that is named.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl Conflict {
    /// A conflict at `key`.
    pub fn new(key: &str, what: impl Into<String>, remedy: &str) -> Self {
        Self { key: key.to_owned(), what: what.into(), remedy: remedy.to_owned() }
    }
}

/// All of them; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "the configuration has {count} problem{}", if count == 1 { "" } else { "s" })?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  - {problem}"))
    }
}
