//! Files and functions are short, lines fit a screen, and each file says first what it promises.

use super::{
    Finding,
    source::{Source, closing, is_name, line_of, words},
};

const FILE_LINES_MAX: usize = 399;
const FUNCTION_LINES_MAX: usize = 59;
/// The line length of `.rustfmt.toml`, which lets strings and comments pass.
const LINE_CHARS_MAX: usize = 110;

pub(super) fn of(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut say = |line: usize, what: String| found.push(Finding::at(&source.path, line, what));
    let first = source.text.lines().next().unwrap_or_default();
    if first.strip_prefix("//! ").is_none_or(|rest| rest.split_whitespace().count() < 3) {
        say(1, "the first line is no `//!` sentence: say what the file promises".to_owned());
    }
    let lines = source.text.lines().count();
    if lines > FILE_LINES_MAX {
        say(
            FILE_LINES_MAX + 1,
            format!("{lines} lines: split the file, at most {FILE_LINES_MAX} are allowed"),
        );
    }
    for (line, name, length) in functions(&source.code) {
        if length > FUNCTION_LINES_MAX {
            say(line, format!("`{name}` has {length} lines: at most {FUNCTION_LINES_MAX} are allowed"));
        }
    }
    found.extend(long_lines(&source.path, &source.text));
    found
}

/// The lines that do not fit a screen, in whatever language.
pub(super) fn long_lines(path: &str, text: &str) -> Vec<Finding> {
    let long = text.lines().enumerate().map(|(index, line)| (index + 1, line.chars().count()));
    long.filter(|(_, chars)| *chars > LINE_CHARS_MAX)
        .map(|(line, chars)| {
            Finding::at(path, line, format!("{chars} characters: at most {LINE_CHARS_MAX} are allowed"))
        })
        .collect()
}

/// Every function that has a body: its line, its name, and its lines from `fn` to the closing brace.
fn functions(code: &str) -> Vec<(usize, String, usize)> {
    let mut found = Vec::new();
    for at in words(code, "fn ") {
        let name: String = code[at + 3..].chars().take_while(|c| is_name(*c)).collect();
        let Some(end) = body_end(code, at).filter(|_| !name.is_empty()) else { continue };
        let (first, last) = (line_of(code, at), line_of(code, end - 1));
        found.push((first, name, last - first + 1));
    }
    found
}

/// The offset behind the body of the function at `at`; `None` when it has none.
fn body_end(code: &str, at: usize) -> Option<usize> {
    let mut skip_to = at;
    for (offset, c) in code[at..].char_indices() {
        let here = at + offset;
        match c {
            _ if here < skip_to => {}
            '(' | '[' => skip_to = closing(code, here)?,
            '{' => return closing(code, here),
            ';' => return None,
            _ => {}
        }
    }
    None
}
