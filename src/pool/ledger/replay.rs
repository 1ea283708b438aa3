//! A ledger that is run again gives the same decisions, or the first that differs is named; nothing of it is
//! run that does not fit its check.

use std::io::BufRead;

use super::{
    DECISIONS_MAX, FORMAT, Judge, LINE_BYTES_MAX, LINES_MAX, LedgerError, Line, Second, check::Chain,
};
use crate::pool::policy::{Decision, Policy};

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
    /// Lines that were read, up to the last check.
    pub lines: usize,
    /// Steps that were run again: one a second, and one for each order.
    pub steps: u64,
    /// Decisions that were the same.
    pub same: u64,
    /// The first that was not; the replay ends there.
    pub difference: Option<Difference>,
    /// Whether more stands behind that, without its check: it was cut off, or is being written.
    pub cut: bool,
}

/// Runs a ledger's input again, and compares what is decided with what was.
///
/// A ledger may hold several `start` lines, as after a controller took over: each begins anew from its own
/// state.
///
/// # Errors
/// [`LedgerError`] if a line is wrong. That a decision differs is no error: see [`Report::difference`].
pub fn replay(lines: impl BufRead, judge: &mut impl Judge) -> Result<Report, LedgerError> {
    to_the_end(lines, judge).map(|(report, _)| report)
}

/// The same; also the policy as it stands at the end, if there was a start.
pub(super) fn to_the_end(
    mut lines: impl BufRead,
    judge: &mut impl Judge,
) -> Result<(Report, Option<Policy>), LedgerError> {
    let (report, chain) = (Report::default(), Chain::new());
    let mut replay = Replay { report, policy: None, chain, format: FORMAT };
    let mut group = Group::default();
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        let limit = LINE_BYTES_MAX as u64 + 1;
        let read = std::io::Read::take(&mut lines, limit).read_until(b'\n', &mut text);
        let ended = read.map_err(|source| LedgerError::Read { line, source })? == 0;
        if ended || (text.last() != Some(&b'\n') && text.len() <= LINE_BYTES_MAX) {
            replay.report.cut = !text.is_empty() || !group.is_empty();
            break;
        }
        if line > LINES_MAX {
            return Err(LedgerError::TooMany);
        }
        let utf8 = std::str::from_utf8(&text).map_err(|error| LedgerError::Bad {
            line,
            field: "(the line)".to_owned(),
            what: error.to_string(),
        })?;
        match Line::parse(utf8, line)? {
            Line::Check(check) => {
                replay.run(std::mem::take(&mut group), line, &check, judge)?;
                if replay.report.difference.is_some() {
                    break;
                }
                replay.report.lines = line;
            }
            other => group.add(line, &text, other, replay.policy.is_some())?,
        }
    }
    Ok((replay.report, replay.policy))
}

/// A start or a second with its decisions, until their check comes.
#[derive(Default)]
struct Group {
    from: usize,
    bytes: Vec<u8>,
    head: Option<Line>,
    decisions: Vec<Decision>,
}

impl Group {
    fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    fn add(&mut self, line: usize, text: &[u8], parsed: Line, begun: bool) -> Result<(), LedgerError> {
        let wrong = |what| Err(LedgerError::Order { line, what });
        match (parsed, self.is_empty()) {
            (Line::Decision(decision), false) if matches!(self.head, Some(Line::Second(_))) => {
                if self.decisions.len() == DECISIONS_MAX {
                    return wrong("no second has so many decisions");
                }
                self.decisions.push(*decision);
            }
            (Line::Decision(_), _) => return wrong("a decision stands behind its second"),
            (_, false) => return wrong("the check of what stands before it is missing"),
            (Line::Second(_), true) if !begun => return wrong("a ledger begins with a start line"),
            (head, true) => (self.from, self.head) = (line, Some(head)),
        }
        self.bytes.extend_from_slice(text);
        Ok(())
    }
}

/// A replay between two checks.
struct Replay {
    report: Report,
    policy: Option<Policy>,
    chain: Chain,
    /// Of the last start.
    format: u32,
}

impl Replay {
    fn run(
        &mut self,
        group: Group,
        to: usize,
        check: &str,
        judge: &mut impl Judge,
    ) -> Result<(), LedgerError> {
        let Group { from, bytes, head, decisions } = group;
        if matches!(head, Some(Line::Start(_))) {
            self.chain = Chain::new();
        }
        if head.is_some() && self.chain.over(&bytes) != check {
            return Err(LedgerError::Changed { from, to });
        }
        match (head, &mut self.policy) {
            (Some(Line::Start(start)), policy) => {
                let kept = judge.restore(start.judge.as_ref());
                kept.map_err(|what| LedgerError::Judge { line: from, what })?;
                *policy = Some(start.policy);
                self.format = start.format;
                Ok(())
            }
            (Some(Line::Second(input)), Some(policy)) => {
                self.report.steps += 1;
                let judgement = judge.judge(&input, policy);
                let decided = policy.step(input.second, &judgement, &input.facts);
                self.compare(from, &input, decisions, decided, judge);
                Ok(())
            }
            _ => Err(LedgerError::Order { line: to, what: "a check stands behind what it is of" }),
        }
    }

    /// Compares what stands behind a second with what is decided in it now.
    fn compare(
        &mut self,
        head: usize,
        input: &Second,
        recorded: Vec<Decision>,
        decided: Vec<Decision>,
        judge: &mut impl Judge,
    ) {
        let old = self.format == 1;
        let mut decided = decided.into_iter().map(|mut decision| {
            decision.evidence.take_if(|_| old); // it was not kept yet
            decision
        });
        let second = input.second;
        for (line, recorded) in (head + 1..).zip(recorded) {
            judge.hear(&recorded);
            let replayed = decided.next();
            if replayed.as_ref() == Some(&recorded) {
                self.report.same += 1;
                continue;
            }
            let recorded = Some(recorded);
            self.report.difference = Some(Difference { line, second, recorded, replayed });
            return;
        }
        if let Some(replayed) = decided.next() {
            let (line, replayed) = (head, Some(replayed));
            self.report.difference = Some(Difference { line, second, recorded: None, replayed });
        }
    }
}
