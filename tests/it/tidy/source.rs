//! A Rust file seen three ways: as it stands, with everything but code blanked, and which lines are tests.

/// One Rust file; `code` has the same lines and columns (in characters) as `text`.
pub(super) struct Source {
    pub(super) path: String,
    pub(super) text: String,
    /// The text with comments, strings and character literals replaced by spaces.
    pub(super) code: String,
    test_lines: Vec<bool>,
}

impl Source {
    /// Reads a file. `test` says that the whole of it is compiled for tests only.
    pub(super) fn new(path: &str, text: &str, test: bool) -> Self {
        let code = blank(text);
        let test = test || path.starts_with("tests/");
        let test_lines = if test { vec![true; text.lines().count()] } else { test_lines(&code) };
        Self { path: path.to_owned(), text: text.to_owned(), code, test_lines }
    }

    /// Whether a line (from 1) is compiled for tests only.
    pub(super) fn is_test(&self, line: usize) -> bool {
        self.test_lines.get(line - 1).copied().unwrap_or(false)
    }

    /// The folder under `src/` that the file belongs to: its room.
    pub(super) fn room(&self) -> Option<&str> {
        self.path.strip_prefix("src/").and_then(|rest| rest.split_once('/')).map(|(room, _)| room)
    }

    /// How many modules lie between the crate's root and the code of this file.
    pub(super) fn depth(&self) -> usize {
        let inner = self.path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
        inner.split('/').count()
    }
}

/// The line (from 1) of a byte offset.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

/// Whether a character can stand inside a name.
pub(super) fn is_name(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// The offsets at which `needle` stands in `code` as a whole word on its left side.
pub(super) fn words<'a>(code: &'a str, needle: &'a str) -> impl Iterator<Item = usize> + 'a {
    let starts_with_name = needle.chars().next().is_some_and(is_name);
    code.match_indices(needle)
        .map(|(at, _)| at)
        .filter(move |at| !starts_with_name || !code[..*at].chars().next_back().is_some_and(is_name))
}

/// The offset behind the bracket that closes the one at `open`.
pub(super) fn closing(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in code[open..].char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(open + at + 1);
        }
    }
    None
}

/// Replaces comments, strings and character literals by spaces; line breaks stay.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

/// Where the comment or literal that begins at `at` ends; `at` itself when none does.
fn literal_end(chars: &[char], at: usize) -> usize {
    let next = |n: usize| chars.get(at + n).copied().unwrap_or(' ');
    let in_name = at > 0 && is_name(chars[at - 1]);
    match chars[at] {
        '/' if next(1) == '/' => (at..chars.len()).find(|i| chars[*i] == '\n').unwrap_or(chars.len()),
        '/' if next(1) == '*' => block_comment_end(chars, at),
        '"' => string_end(chars, at),
        'r' if !in_name && (next(1) == '"' || next(1) == '#') => raw_string_end(chars, at),
        'b' if !in_name && next(1) == 'r' && (next(2) == '"' || next(2) == '#') => {
            raw_string_end(chars, at + 1)
        }
        '\'' if next(1) == '\\' => {
            (at + 3..chars.len()).find(|i| chars[*i] == '\'').map_or(chars.len(), |i| i + 1)
        }
        '\'' if next(2) == '\'' => at + 3,
        _ => at,
    }
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let (mut depth, mut at) = (0_usize, start);
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn string_end(chars: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// The end of `r"…"` or `r#"…"#`; `start` itself for a raw name such as `r#type`.
fn raw_string_end(chars: &[char], start: usize) -> usize {
    let hashes = chars[start + 1..].iter().take_while(|c| **c == '#').count();
    let open = start + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return start;
    }
    let closes = |i: usize| {
        chars[i] == '"' && chars[i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
    };
    (open + 1..chars.len()).find(|i| closes(*i)).map_or(chars.len(), |i| i + 1 + hashes)
}

/// Marks the lines of every item under `#[cfg(test)]`.
fn test_lines(code: &str) -> Vec<bool> {
    let mut marks = vec![false; code.lines().count()];
    for (at, _) in code.match_indices("#[cfg(test)]") {
        let rest = &code[at..];
        let Some(first) = rest.find(['{', ';']) else { continue };
        let end = if rest[first..].starts_with('{') { closing(code, at + first) } else { Some(at + first) };
        let (from, to) = (line_of(code, at), line_of(code, end.unwrap_or(code.len())));
        for mark in marks.iter_mut().take(to).skip(from - 1) {
            *mark = true;
        }
    }
    marks
}
