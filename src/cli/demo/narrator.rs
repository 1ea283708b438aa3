//! Tells the story line by line, keeps the score of its checks, and shows them all in a table at the end.

use std::{
    fmt::Display,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;
use serde_json::{Value, json};

use super::command::Ended;
use crate::cli::municipal::{Output, say, say_json, say_lines};

/// How many lines wait for their turn; a part of the story has some forty.
const HELD_MAX: usize = 1_000;

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
    turn: Turn,
    /// Every check so far.
    pub(crate) checks: Vec<Check>,
}

/// What a narrator says, for people or for programs.
#[derive(Debug, Clone, PartialEq)]
enum Said {
    Text(String),
    Json(Value),
}

impl Said {
    fn out(&self) {
        match self {
            Said::Text(text) => say_lines(text),
            Said::Json(value) => say_json(value),
        }
    }
}

/// Whether it is a narrator's turn: what is said before that waits for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turn(Arc<Mutex<Option<Vec<Said>>>>);

impl Turn {
    fn not_yet() -> Self {
        Self(Arc::new(Mutex::new(Some(Vec::new()))))
    }

    /// Says what has waited, and from now on everything at once.
    pub(crate) fn come(&self) {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        held.into_iter().flatten().for_each(|said| said.out());
    }

    fn tell(&self, said: Said) {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            None => said.out(),
            Some(held) if held.len() < HELD_MAX => held.push(said),
            Some(_) => (),
        }
    }
}

impl Narrator {
    /// A narrator who has said nothing.
    pub(crate) fn new(output: Output) -> Self {
        Self { output, step: ' ', turn: Turn::default(), checks: Vec::new() }
    }

    /// Another one, for a part that is played beside this one's, and its turn.
    pub(crate) fn aside(&self) -> (Self, Turn) {
        let turn = Turn::not_yet();
        (Self { output: self.output, step: ' ', turn: turn.clone(), checks: Vec::new() }, turn)
    }

    /// Goes on where that one ended.
    pub(crate) fn after(&mut self, aside: Self) {
        self.step = aside.step;
        self.checks.extend(aside.checks);
    }

    /// Begins a step.
    pub(crate) fn step(&mut self, step: char, title: &str) {
        self.step = step;
        self.tell(
            || format!("\n({step}) {title}"),
            || json!({"event": "step", "step": step, "title": title}),
        );
    }

    /// Says one line.
    pub(crate) fn say(&self, text: &str) {
        self.tell(|| format!("    {text}"), || json!({"event": "story", "step": self.step, "text": text}));
    }

    fn tell(&self, text: impl FnOnce() -> String, json: impl FnOnce() -> Value) {
        self.turn.tell(if self.output == Output::Json { Said::Json(json()) } else { Said::Text(text()) });
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
        if self.output == Output::Json {
            let mut value = serde_json::to_value(&check).unwrap_or_default();
            value["event"] = "check".into();
            self.turn.tell(Said::Json(value));
        } else if !held {
            self.say(&format!("FAILED: {what}: {}, not {}", check.found, check.expected));
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
    fn what_is_told_aside_waits_for_its_turn_and_counts_with_the_rest() {
        let mut narrator = Narrator::new(Output::Text);
        narrator.step('a', "…");
        narrator.same("cards", 1, 1);
        let (mut aside, turn) = narrator.aside();
        let held = || turn.0.lock().expect("nobody panicked").clone();
        aside.step('h', "beside");
        aside.say("it hangs");
        aside.same("calls that failed", 0, 2);
        let lines = ["\n(h) beside", "    it hangs", "    FAILED: calls that failed: 2, not 0"];
        let lines = lines.map(|line| Said::Text(line.to_owned()));
        assert_eq!(held().expect("its turn has not come"), lines);
        turn.come();
        aside.say("at once");
        assert_eq!(held(), None, "nothing waits any more");
        narrator.after(aside);
        narrator.broke_off(&"too long");
        let steps: String = narrator.checks.iter().map(|check| check.step).collect();
        assert_eq!((steps.as_str(), narrator.failed()), ("ahh", 2));
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
