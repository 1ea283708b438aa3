//! What went into the policy and what came out, a line each, so that anybody can run it again: the same input
//! gives the same decisions, or the first that differs is named.
//!
//! A ledger is JSON lines: a `start` with the policy as it was and whatever its judge keeps, then for each
//! second until the next start, some minutes later, one `second` with weights, buckets and facts, followed by
//! a `decision` for each that was made in it. Behind each start and each second stands a `check` over it and
//! all before it. A second without its check at the end was cut off, as by a crash, and counts for nothing.

mod analysis;
mod check;
mod export;
mod files;
#[cfg(test)]
pub(crate) mod fixture;
mod judging;
mod path;
mod record;
mod replay;
mod resume;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    evidence::{Bucket, Observer},
    judgement::Judgement,
    policy::{Decision, Fact, Policy},
};

pub use analysis::{Analysis, Analyst, D_BOUNDS, Histogram, Share, UnitAnalysis};
pub use export::Export;
pub(in crate::pool) use files::make_folder;
pub use files::{BYTES_MIN, Piece, list};
pub use record::Recorder;
pub use replay::{Difference, Report, replay};
pub(in crate::pool) use resume::{End, NoEnd, resume};

/// The format that is written. Of format 1, which is read as well, no eviction has its evidence with it.
pub const FORMAT: u32 = 2;
/// Most bytes of a line; a `start` line with a full pool's history is the longest.
pub const LINE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most lines of a ledger: some four months of seconds.
pub const LINES_MAX: usize = 12_000_000;
/// Most observers of one second.
pub const OBSERVERS_MAX: usize = 1_024;
/// Most buckets of one second: every observer, unit and class, and the heaviest callers of each.
pub const BUCKETS_MAX: usize = 16_384;
/// Most facts of one second.
pub const FACTS_MAX: usize = 4_096;
/// Most decisions of one second.
pub const DECISIONS_MAX: usize = 4_096;

/// How a ledger begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// From 1 to [`FORMAT`].
    pub format: u32,
    /// The policy before the first second, its parameters with it.
    pub policy: Policy,
    /// What the judge keeps, in its own form; `None` of a new one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub judge: Option<serde_json::Value>,
}

/// What was put in for one second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Second {
    /// Which.
    pub second: u64,
    /// How much observers' words count from here on, in per cent, of those who said so.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub weights: BTreeMap<Observer, u8>,
    /// What observers reported.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub buckets: Vec<Bucket>,
    /// What was told beside it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub facts: Vec<Fact>,
}

/// One line of a ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The first.
    Start(Box<Start>),
    /// One second's input.
    Second(Second),
    /// One decision of the second before it.
    Decision(Box<Decision>),
    /// The end of a start or a second: 64 hex digits, by which a change is found.
    Check(String),
}

/// Why a ledger is not read on. Line numbers begin with 1.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file cannot be read.
    #[error("line {line}: cannot be read: {source}")]
    Read {
        /// Where.
        line: usize,
        /// Why.
        source: std::io::Error,
    },
    /// A line is too long.
    #[error("line {line}: is longer than {LINE_BYTES_MAX} bytes")]
    TooLong {
        /// Where.
        line: usize,
    },
    /// There are too many lines.
    #[error("the ledger has more than {LINES_MAX} lines")]
    TooMany,
    /// A line is not what a ledger holds.
    #[error("line {line}, field {field}: {what}")]
    Bad {
        /// Where.
        line: usize,
        /// In which field, as `second.buckets[3].n`.
        field: String,
        /// What is wrong.
        what: String,
    },
    /// Lines do not fit the check that stands behind them.
    #[error("lines {from} to {to}: these, or their check, are not as they were written")]
    Changed {
        /// The first of them.
        from: usize,
        /// That of the check.
        to: usize,
    },
    /// The lines stand in a wrong order.
    #[error("line {line}: {what}")]
    Order {
        /// Where.
        line: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// The judge cannot go on from what it kept.
    #[error("line {line}, field start.judge: {what}")]
    Judge {
        /// Where.
        line: usize,
        /// What is wrong.
        what: String,
    },
}

impl LedgerError {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        let elsewhere = "Take the file from a copy, or from an issuer (`todoke pool export`)";
        let before = |line: usize| match line {
            0 => elsewhere.to_owned(),
            _ => format!("{elsewhere}; what stands before it can be run alone: `head -n {line}` gives it"),
        };
        match self {
            Self::Read { .. } => "Look at the disk, and who may read the file".to_owned(),
            Self::TooMany => "Run its parts, each from a start line on".to_owned(),
            Self::Bad { field, .. } if field == "start.format" => OTHER_VERSION.to_owned(),
            Self::Bad { line, what, .. } if is_unknown(what) => {
                format!("{NEWER_VERSION}. If it was not: {}", before(line - 1))
            }
            Self::Judge { .. } => OTHER_VERSION.to_owned(),
            Self::Changed { from, .. } => before(from - 1),
            Self::TooLong { line } | Self::Bad { line, .. } | Self::Order { line, .. } => before(line - 1),
        }
    }
}

/// What to do with a ledger whose words this version does not know.
const OTHER_VERSION: &str = "Run it with the version of todoke that wrote it";

/// What to do with one that has a field, a fact or another word that this version does not know.
const NEWER_VERSION: &str =
    "A newer version of todoke may have written it: run it with the version that wrote it";

/// Whether serde says that something is not known, rather than wrong.
fn is_unknown(what: &str) -> bool {
    what.starts_with("unknown field") || what.starts_with("unknown variant")
}

/// What judges the evidence of a second: the rule, or a closure in its place.
pub trait Judge {
    /// Goes on from what a judge had kept; `None` is a new one.
    ///
    /// # Errors
    /// In words, if that cannot be read.
    fn restore(&mut self, kept: Option<&serde_json::Value>) -> Result<(), String>;

    /// Judges the units that the policy has in use, by what was put in for one second.
    fn judge(&mut self, input: &Second, policy: &Policy) -> Judgement;

    /// Hears of each decision that stands in the ledger.
    fn hear(&mut self, _decision: &Decision) {}
}

impl<F: FnMut(u64, &[Bucket], &Policy) -> Judgement> Judge for F {
    fn restore(&mut self, _: Option<&serde_json::Value>) -> Result<(), String> {
        Ok(())
    }

    fn judge(&mut self, input: &Second, policy: &Policy) -> Judgement {
        self(input.second, &input.buckets, policy)
    }
}

impl Line {
    /// The line as it is written, with its line break.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text =
            serde_json::to_string(self).expect("a line is plain data: no map has a key that is no text");
        text.push('\n');
        text
    }

    /// Reads a line.
    ///
    /// # Errors
    /// [`LedgerError::Bad`] names the line and the field, [`LedgerError::TooLong`] the line.
    pub fn parse(text: &str, line: usize) -> Result<Self, LedgerError> {
        if text.len() > LINE_BYTES_MAX {
            return Err(LedgerError::TooLong { line });
        }
        let text = text.trim_end_matches(['\n', '\r']);
        let read: Line = serde_json::from_str(text).map_err(|error| LedgerError::Bad {
            line,
            field: path::at(text, error.column()),
            what: error.to_string(),
        })?;
        let over = |field: &str, n: usize, most: usize| {
            let (field, what) = (field.to_owned(), format!("{n} are too many, at most {most} are allowed"));
            (n > most).then_some(LedgerError::Bad { line, field, what })
        };
        let fault =
            match &read {
                Line::Start(start) if !(1..=FORMAT).contains(&start.format) => {
                    let what = format!("format {} is not read, only 1 to {FORMAT}", start.format);
                    Some(LedgerError::Bad { line, field: "start.format".to_owned(), what })
                }
                Line::Start(start) => {
                    start.policy.parameters().faults().into_iter().next().map(|(name, what)| {
                        LedgerError::Bad { line, field: format!("start.policy.parameters.{name}"), what }
                    })
                }
                Line::Second(second) => over("second.weights", second.weights.len(), OBSERVERS_MAX)
                    .or_else(|| over("second.buckets", second.buckets.len(), BUCKETS_MAX))
                    .or_else(|| over("second.facts", second.facts.len(), FACTS_MAX))
                    .or_else(|| too_bad(line, &second.buckets)),
                Line::Decision(_) | Line::Check(_) => None,
            };
        fault.map_or(Ok(read), Err)
    }
}

fn too_bad(line: usize, buckets: &[Bucket]) -> Option<LedgerError> {
    let place = buckets.iter().position(|bucket| bucket.bad > bucket.n)?;
    let Bucket { n, bad, .. } = &buckets[place];
    let field = format!("second.buckets[{place}].bad");
    Some(LedgerError::Bad { line, field, what: format!("{bad} of {n} calls cannot be bad") })
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
