//! Tells the story line by line, keeps the score of its checks, and shows them all in a table at the end.

use std::fmt::Display;

use serde::Serialize;
use serde_json::json;

use super::command::Ended;
use crate::cli::municipal::{Output, say, say_json};

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    /// The step of the story, `a` to `h`.
    pub(crate) step: char,
    /// What was looked at.
    pub(crate) what: String,
    /// What it had to be.
    pub(crate) expected: String,
    /// What it was.
    pub(crate) found: String,
    /// Whether that holds.
    pub(crate) held: bool,
}

/// Who tells the story.
pub(crate) struct Narrator {
    output: Output,
    step: char,
    /// Every check so far.
    pub(crate) checks: Vec<Check>,
}

impl Narrator {
    /// A narrator who has said nothing.
    pub(crate) fn new(output: Output) -> Self {
        Self { output, step: ' ', checks: Vec::new() }
    }

    /// Begins a step.
    pub(crate) fn step(&mut self, step: char, title: &str) {
        self.step = step;
        match self.output {
            Output::Text => say(&format!("\n({step}) {title}")),
            Output::Json => say_json(&json!({"event": "step", "step": step, "title": title})),
        }
    }

    /// Says one line.
    pub(crate) fn say(&self, text: &str) {
        match self.output {
            Output::Text => say(&format!("    {text}")),
            Output::Json => say_json(&json!({"event": "story", "step": self.step, "text": text})),
        }
    }

    /// Checks that two figures are one.
    pub(crate) fn same(&mut self, what: &str, expected: u64, found: u64) {
        self.holds(what, &figure(expected), &figure(found), expected == found);
    }

    /// Checks several figures at once; each pair must be one.
    pub(crate) fn all_same(&mut self, what: &str, expected: &[u64], found: &[u64]) {
        let join = |figures: &[u64]| figures.iter().map(|one| figure(*one)).collect::<Vec<_>>().join(" / ");
        self.holds(what, &join(expected), &join(found), expected == found);
    }

    /// Checks anything; `held` is the verdict.
    pub(crate) fn holds(&mut self, what: &str, expected: &str, found: &str, held: bool) {
        let (expected, found) = (expected.to_owned(), found.to_owned());
        let check = Check { step: self.step, what: what.to_owned(), expected, found, held };
        match self.output {
            Output::Text if !held => {
                say(&format!("    FAILED: {what}: {}, not {}", check.found, check.expected));
            }
            Output::Text => (),
            Output::Json => {
                let mut value = serde_json::to_value(&check).unwrap_or_default();
                value["event"] = "check".into();
                say_json(&value);
            }
        }
        self.checks.push(check);
    }

    /// Checks how a command ended.
    pub(crate) fn ends_with(&mut self, what: &str, code: u8, ended: &Ended) {
        let expected = format!("exit code {code}");
        self.holds(what, &expected, ended.how(), ended.code == i32::from(code));
    }

    /// The step came to no end, for this reason: a check that failed.
    pub(crate) fn broke_off(&mut self, why: &impl Display) {
        self.holds("the step was played to its end", "yes", &why.to_string(), false);
    }

    /// How many checks do not hold.
    pub(crate) fn failed(&self) -> usize {
        self.checks.iter().filter(|check| !check.held).count()
    }

    /// Shows every check with its figures.
    pub(crate) fn table(&self) {
        if self.output == Output::Text {
            say("");
            table(&self.checks).iter().for_each(|line| say(line));
        }
    }
}

fn table(checks: &[Check]) -> Vec<String> {
    let widest = |of: fn(&Check) -> &str, least: usize| {
        checks.iter().map(|check| width(of(check))).max().unwrap_or_default().max(least)
    };
    let (what, expected) = (widest(|check| &check.what, 5), widest(|check| &check.expected, 8));
    let row = |step: &str, cells: [&str; 3], held: &str| {
        let [a, b, c] = cells;
        format!("{step:3} {}  {}  {held:6}  {c}", padded(a, what), padded(b, expected))
    };
    let mut lines = vec![row("", ["CHECK", "EXPECTED", "FOUND"], "")];
    lines.extend(checks.iter().map(|check| {
        let held = if check.held { "ok" } else { "FAILED" };
        row(&format!("({})", check.step), [&check.what, &check.expected, &check.found], held)
    }));
    lines
}

/// Columns that a text takes on a terminal: Japanese characters take two.
fn width(text: &str) -> usize {
    text.chars().map(|letter| if ('\u{1100}'..='\u{ffe6}').contains(&letter) { 2 } else { 1 }).sum()
}

fn padded(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// A number with its thousands set apart.
pub(crate) fn figure(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A part of a whole in percent, with one decimal.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    let tenths = part.saturating_mul(1000) / whole.max(1);
    format!("{}.{} %", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_easy_to_read() {
        assert_eq!([0, 999, 1_000, 26_034, 1_234_567].map(figure).join(" "), "0 999 1,000 26,034 1,234,567");
        assert_eq!(percent(15_104, 26_034), "58.0 %");
        assert_eq!(percent(0, 0), "0.0 %");
    }

    #[test]
    fn a_check_that_does_not_hold_counts_and_shows() {
        let mut narrator = Narrator::new(Output::Json);
        narrator.step('b', "…");
        narrator.same("records of 白鳥", 10, 10);
        assert_eq!(narrator.failed(), 0);
        narrator.same("cards", 26_034, 26_035);
        narrator.broke_off(&"too long");
        assert_eq!(narrator.failed(), 2);
        let lines = table(&narrator.checks);
        assert_eq!(lines.len(), 4);
        assert!(lines[1].starts_with("(b) records of 白鳥 ") && lines[1].contains("  ok "), "{}", lines[1]);
        assert!(lines[2].contains("26,034  ") && lines[2].contains("FAILED  26,035"), "{}", lines[2]);
        let column = |line: &str| width(&line[..line.find("ok").or(line.find("FAILED")).expect("a verdict")]);
        assert_eq!(column(&lines[1]), column(&lines[2]), "columns stand under each other");
    }
}
