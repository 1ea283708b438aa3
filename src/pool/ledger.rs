//! What went into the policy and what came out, a line each, so that anybody can run it again: the same input
//! gives the same decisions, or the first that differs is named.
//!
//! A ledger is JSON lines: one `start` with the policy as it was and whatever its judge keeps, then for each
//! second one `second` with weights, buckets and facts, followed by a `decision` for each that was made in
//! it. A last line without a line break was cut off, as by a crash: it and its second count for nothing.

mod analysis;
mod export;
mod files;
#[cfg(test)]
pub(crate) mod fixture;
mod judging;
mod path;
mod record;

use std::{collections::BTreeMap, io::BufRead};

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

/// The format that is written and read.
pub const FORMAT: u32 = 1;
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
    /// [`FORMAT`].
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
    #[error("the ledger has more than {LINES_MAX} lines: cut it at a start line")]
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

/// Where a replay first decided otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The line of the recorded decision, or of the second that lacks one.
    pub line: usize,
    /// The second.
    pub second: u64,
    /// What the ledger has there.
    pub recorded: Option<Decision>,
    /// What the policy decides there now.
    pub replayed: Option<Decision>,
}

/// What a replay found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Lines that were read.
    pub lines: usize,
    /// Seconds that were run again.
    pub seconds: u64,
    /// Decisions that were the same.
    pub same: u64,
    /// The first that was not; the replay ends there.
    pub difference: Option<Difference>,
    /// Whether the last line was cut off.
    pub cut: bool,
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
                Line::Start(start) if start.format != FORMAT => {
                    let what = format!("format {} is not read, only {FORMAT}", start.format);
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
                Line::Decision(_) => None,
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

/// Runs a ledger's input again, and compares what is decided with what was.
///
/// A ledger may hold several `start` lines, as after a controller took over: each begins anew from its own
/// state.
///
/// # Errors
/// [`LedgerError`] if a line is wrong. That a decision differs is no error: see [`Report::difference`].
pub fn replay(mut lines: impl BufRead, judge: &mut impl Judge) -> Result<Report, LedgerError> {
    let mut replay = Replay::default();
    let mut text = Vec::new();
    loop {
        let line = replay.report.lines + 1;
        text.clear();
        let limit = LINE_BYTES_MAX as u64 + 1;
        let read = std::io::Read::take(&mut lines, limit).read_until(b'\n', &mut text);
        if read.map_err(|source| LedgerError::Read { line, source })? == 0 {
            break;
        }
        if line > LINES_MAX {
            return Err(LedgerError::TooMany);
        }
        if text.last() != Some(&b'\n') && text.len() <= LINE_BYTES_MAX {
            replay.report.cut = true;
            return Ok(replay.report);
        }
        let utf8 = std::str::from_utf8(&text).map_err(|error| LedgerError::Bad {
            line,
            field: "(the line)".to_owned(),
            what: error.to_string(),
        })?;
        let parsed = Line::parse(utf8, line)?;
        replay.report.lines = line;
        replay.take(line, parsed, judge)?;
        if replay.report.difference.is_some() {
            return Ok(replay.report);
        }
    }
    replay.end_second();
    Ok(replay.report)
}

/// A replay between two lines.
#[derive(Default)]
struct Replay {
    report: Report,
    policy: Option<Policy>,
    /// The line of the last second, the second, and what was decided in it and is not compared yet.
    open: Option<(usize, u64, std::vec::IntoIter<Decision>)>,
    compared: usize,
}

impl Replay {
    fn take(&mut self, line: usize, parsed: Line, judge: &mut impl Judge) -> Result<(), LedgerError> {
        match parsed {
            Line::Start(start) => {
                self.end_second();
                judge.restore(start.judge.as_ref()).map_err(|what| LedgerError::Judge { line, what })?;
                self.policy = Some(start.policy);
            }
            Line::Second(input) => {
                if !self.end_second() {
                    return Ok(());
                }
                let Some(policy) = &mut self.policy else {
                    return Err(LedgerError::Order { line, what: "a ledger begins with a start line" });
                };
                let judgement = judge.judge(&input, policy);
                let decided = policy.step(input.second, &judgement, &input.facts);
                self.open = Some((line, input.second, decided.into_iter()));
                self.compared = 0;
                self.report.seconds += 1;
            }
            Line::Decision(recorded) => {
                judge.hear(&recorded);
                self.compared += 1;
                let Some((_, second, decided)) =
                    self.open.as_mut().filter(|_| self.compared <= DECISIONS_MAX)
                else {
                    let what = "a decision stands behind its second, and no second has so many";
                    return Err(LedgerError::Order { line, what });
                };
                let (second, replayed) = (*second, decided.next());
                if replayed.as_ref() == Some(&*recorded) {
                    self.report.same += 1;
                } else {
                    let recorded = Some(*recorded);
                    self.report.difference = Some(Difference { line, second, recorded, replayed });
                }
            }
        }
        Ok(())
    }

    /// Whether all that was decided in the last second stands in the ledger, too.
    fn end_second(&mut self) -> bool {
        let Some((line, second, mut decided)) = self.open.take() else { return true };
        let Some(replayed) = decided.next() else { return true };
        let replayed = Some(replayed);
        self.report.difference = Some(Difference { line, second, recorded: None, replayed });
        false
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
