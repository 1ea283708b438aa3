//! `todoke pool replay` and `todoke pool analyse`: whoever has a ledger makes the pool's decisions again, and
//! sees what they were made of; no server is asked.

use std::{
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    Error,
    municipal::{Output, fail_with, many, say, say_result},
};
use crate::{
    pool::{
        ledger::{self, Analysis, Analyst, D_BOUNDS, Difference, LedgerError, Report},
        policy::Decision,
        rule,
    },
    runtime::{blocking, exit},
};

/// Makes every decision of a ledger again, and names the first that differs; needs no server
///
/// A ledger that was changed or damaged is refused; one that was cut off, as by a crash, is read up to there.
/// Exit codes: 0 all are the same, 1 one differs, 2 the ledger cannot be read.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  todoke pool replay issuer.db-pool-ledger
  todoke pool replay issuer.db-pool-ledger/ledger-01785000000-00.jsonl --output json")]
pub struct ReplayArgs {
    #[command(flatten)]
    of: Of,
}

/// Shows for each unit how many calls went wrong, how much worse than its peers it was, and what was
/// decided; needs no server
///
/// From the table of d the rule's p0 and scales are set: p0 has to be above what d is in all but a few
/// seconds while all is well. Exit codes: 0 shown, 2 the ledger cannot be read.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example: todoke pool analyse issuer.db-pool-ledger")]
pub struct AnalyseArgs {
    #[command(flatten)]
    of: Of,
}

#[derive(Debug, Clone, Args)]
struct Of {
    /// A ledger's file, or the folder of its files
    #[arg(value_name = "LEDGER")]
    ledger: PathBuf,
    /// How results are shown
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// Why a ledger cannot be read.
#[derive(Debug, thiserror::Error)]
enum Unread {
    #[error("{}: {source}. Pass a ledger's file, or the folder of its files", path.display())]
    Place { path: PathBuf, source: io::Error },
    #[error(
        "{}: no file of a ledger is in it. The issuer's key pool.ledger_dir says where they are", .0.display()
    )]
    Empty(PathBuf),
    #[error("{}: not one whole second is in it: there is nothing to run again", .0.display())]
    Nothing(PathBuf),
    #[error("{}: {source}. {}", path.display(), source.remedy())]
    Line { path: PathBuf, source: LedgerError },
}

/// Runs one file after the other, until one of them differs.
fn each(
    ledger: &Path,
    judge: &mut impl ledger::Judge,
    mut ran: impl FnMut(&Path, Report) -> bool,
) -> Result<(), Unread> {
    let place = |path: &Path| {
        let path = path.to_owned();
        move |source| Unread::Place { path, source }
    };
    let files: Vec<PathBuf> = match std::fs::metadata(ledger).map_err(place(ledger))?.is_dir() {
        true => {
            let pieces = ledger::list(ledger).map_err(place(ledger))?;
            pieces.into_iter().map(|piece| piece.path).collect()
        }
        false => vec![ledger.to_owned()],
    };
    if files.is_empty() {
        return Err(Unread::Empty(ledger.to_owned()));
    }
    let mut steps = 0;
    for path in files {
        let lines = BufReader::new(File::open(&path).map_err(place(&path))?);
        match ledger::replay(lines, judge) {
            Ok(report) => {
                steps += report.steps;
                if !ran(&path, report) {
                    return Ok(());
                }
            }
            Err(source) => return Err(Unread::Line { path, source }),
        }
    }
    if steps == 0 { Err(Unread::Nothing(ledger.to_owned())) } else { Ok(()) }
}

/// What a replay of all files found.
#[derive(Debug, Default)]
struct Found {
    files: u64,
    steps: u64,
    same: u64,
    /// Files that end within a second, and the last line before it.
    cut: Vec<(PathBuf, usize)>,
    difference: Option<(PathBuf, Difference)>,
}

impl ReplayArgs {
    /// Runs the command and returns its exit code.
    ///
    /// # Errors
    /// None of its own.
    pub async fn run(self) -> Result<u8, Error> {
        let Of { ledger, output } = self.of;
        Ok(match blocking(move || replayed(&ledger)).await {
            Ok(found) => tell(&found, output),
            Err(error) => fail_with(exit::USAGE, &error, output),
        })
    }
}

fn replayed(ledger: &Path) -> Result<Found, Unread> {
    let mut found = Found::default();
    let mut judge = rule::Judge::new(rule::Parameters::default(), 0);
    each(ledger, &mut judge, |path, report| {
        found.files += 1;
        found.steps += report.steps;
        found.same += report.same;
        found.cut.extend(report.cut.then(|| (path.to_owned(), report.lines)));
        found.difference = report.difference.map(|difference| (path.to_owned(), difference));
        found.difference.is_none()
    })?;
    Ok(found)
}

fn tell(found: &Found, output: Output) -> u8 {
    let code = if found.difference.is_none() { exit::DONE } else { exit::FAILED };
    let Found { files, steps, same, cut, difference } = found;
    if output == Output::Json {
        let difference = difference.as_ref().map(|(path, difference)| {
            let Difference { line, second, recorded, replayed } = difference;
            json!({"file": path, "line": line, "second": second, "recorded": recorded, "replayed": replayed})
        });
        let outcome = if difference.is_none() { "same" } else { "differs" };
        return say_result(
            code,
            json!({
                "outcome": outcome, "files": files, "steps": steps, "decisions": same,
                "cut_off": cut.iter().map(|(path, line)| json!({"file": path, "after_line": line}))
                    .collect::<Vec<_>>(),
                "difference": difference,
            }),
        );
    }
    for (path, line) in cut {
        let path = path.display();
        let why = "the second behind it was cut off, or is being written";
        say(&format!("{path}: is read up to line {line}; {why}"));
    }
    let (decisions, steps) = (many(*same, "decision"), many(*steps, "step"));
    match difference {
        None => {
            let are = if *same == 1 { "is" } else { "are" };
            say(&format!("{decisions} in {steps} {are} the same: OK"));
        }
        Some((path, Difference { line, second, recorded, replayed })) => {
            say(&format!("{decisions} in {steps} are the same, and then one differs:"));
            say(&format!("  {}, line {line}, {} ({second})", path.display(), time_of(*second)));
            say(&format!("  in the ledger: {}", shown(recorded.as_ref())));
            say(&format!("  decided now:   {}", shown(replayed.as_ref())));
            say(DIFFERS);
        }
    }
    code
}

/// What to do about a decision that differs: no byte was changed by chance, as the checks fit.
const DIFFERS: &str = "Either another version of todoke decided, then run the replay with that one; or \
    somebody changed the ledger and its checks: compare it with `todoke pool decisions`";

/// A decision in one line.
fn shown(decision: Option<&Decision>) -> String {
    let Some(decision) = decision else { return "nothing".to_owned() };
    let unit = decision.unit.as_ref().map_or("the pool", |unit| unit.as_str());
    format!("{} of {unit} by {:?}: {}", decision.kind.name(), decision.rule, decision.reason)
}

fn time_of(second: u64) -> String {
    let time = i64::try_from(second).ok().and_then(|second| OffsetDateTime::from_unix_timestamp(second).ok());
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| second.to_string())
}

impl AnalyseArgs {
    /// Runs the command and returns its exit code.
    ///
    /// # Errors
    /// None of its own.
    pub async fn run(self) -> Result<u8, Error> {
        let Of { ledger, output } = self.of;
        Ok(match blocking(move || analysed(&ledger)).await {
            Ok((analysis, left)) => {
                if output == Output::Json {
                    return Ok(say_result(exit::DONE, as_json(&analysis, left)));
                }
                lines_of(&analysis, left).iter().for_each(|line| say(line));
                exit::DONE
            }
            Err(error) => fail_with(exit::USAGE, &error, output),
        })
    }
}

/// Files that were not read to their end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Left {
    /// As a decision differs.
    differ: u64,
    /// As they end within a second.
    cut: u64,
}

/// What was counted, and how many files were left where a decision differs.
fn analysed(ledger: &Path) -> Result<(Analysis, Left), Unread> {
    let (mut analyst, mut left) = (Analyst::new(), Left::default());
    each(ledger, &mut analyst, |_, report| {
        left.differ += u64::from(report.difference.is_some());
        left.cut += u64::from(report.cut);
        true
    })?;
    Ok((analyst.analysis().clone(), left))
}

fn as_json(analysis: &Analysis, left: Left) -> serde_json::Value {
    let mut value = serde_json::to_value(analysis).unwrap_or_default();
    value["d_bounds"] = json!(D_BOUNDS);
    value["files_that_differ"] = left.differ.into();
    value["files_cut_off"] = left.cut.into();
    value
}

fn lines_of(analysis: &Analysis, left: Left) -> Vec<String> {
    let Analysis { seconds, from, to, decisions, p0, verdicts, units } = analysis;
    let mut lines = vec![format!(
        "{} judged, {} to {}; {}; p0 {:.4} to {:.4}",
        many(*seconds, "second"),
        time_of(*from),
        time_of(*to),
        many(*decisions, "decision"),
        p0.0,
        p0.1
    )];
    if left.differ > 0 {
        let files = many(left.differ, "file");
        lines.push(format!("{files} not read to the end: a decision differs (`todoke pool replay`)"));
    }
    if left.cut > 0 {
        let files = many(left.cut, "file");
        lines.push(format!("{files} without the last second: it was cut off, or is being written"));
    }
    let verdicts: Vec<String> = verdicts.iter().map(|(word, n)| format!("{word} {n} s")).collect();
    lines.push(format!("verdicts: {}", verdicts.join(", ")));
    lines.push(String::new());
    lines.push(format!(
        "{:16} {:>12} {:>9} {:>9} {:>8} {:>7} {:>7} {:>7}",
        "unit", "calls", "bad %", "probes", "bad %", "S max", "steered", "evicted"
    ));
    for (id, unit) in units {
        let (traffic, probes) = (unit.traffic, unit.probes);
        lines.push(format!(
            "{:16} {:>12} {:>9.4} {:>9} {:>8.4} {:>7.2} {:>7} {:>7}",
            id.as_str(),
            traffic.calls,
            traffic.percent(),
            probes.calls,
            probes.percent(),
            unit.s_max,
            unit.soft_steps,
            unit.evictions
        ));
    }
    lines.push(String::new());
    lines.push("seconds by d, by how much a unit was worse than its peers beyond noise, at most:".to_owned());
    let bounds: Vec<String> = D_BOUNDS.iter().map(|bound| format!("{bound:>7}")).collect();
    lines.push(format!("{:16} {:>4} {} {:>7} {:>7}", "unit", "τ", bounds.join(" "), "more", "99.9 %"));
    for (id, unit) in units {
        for (scale, histogram) in &unit.d {
            let seconds: Vec<String> = histogram.seconds.iter().map(|n| format!("{n:>7}")).collect();
            let most = histogram.quantile(0.999);
            let most = if most.is_finite() { format!("≤ {most}") } else { format!("{:.2}", histogram.max) };
            lines.push(format!("{:16} {scale:>4} {} {most:>7}", id.as_str(), seconds.join(" ")));
        }
    }
    lines
}

#[cfg(test)]
#[path = "pool_offline_tests.rs"]
mod tests;
