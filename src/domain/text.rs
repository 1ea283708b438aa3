//! Signed texts have one `key value` line each in a fixed order: whatever else comes is refused with its line
//! and field, so that one meaning has one text.

/// What is wrong with a text, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, {field}: {problem}")]
pub struct TextFault {
    /// The line, from 1.
    pub line: u64,
    /// The key of the line that stands there, or should.
    pub field: String,
    /// What is wrong, with what is needed.
    pub problem: String,
}

impl TextFault {
    pub(super) fn new(line: u64, field: &str, problem: impl Into<String>) -> Self {
        Self { line, field: field.to_owned(), problem: problem.into() }
    }
}

/// Reads a text line by line.
pub(super) struct Lines<'a> {
    rest: &'a str,
    line: u64,
}

/// The text behind a key.
#[derive(Clone, Copy)]
pub(super) struct Value<'a> {
    pub(super) text: &'a str,
    key: &'static str,
    line: u64,
}

impl<'a> Lines<'a> {
    /// Begins to read bytes whose first line must be `title`.
    pub(super) fn new(bytes: &'a [u8], bytes_max: usize, title: &'static str) -> Result<Self, TextFault> {
        if bytes.len() > bytes_max {
            return Err(TextFault::new(1, "text", format!("is longer than {bytes_max} bytes")));
        }
        let rest = std::str::from_utf8(bytes).map_err(|error| {
            let before = &bytes[..error.valid_up_to()];
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count() as u64;
            TextFault::new(line, "text", "is not UTF-8")
        })?;
        let rest = rest.strip_prefix(title).and_then(|rest| rest.strip_prefix('\n'));
        let rest = rest.ok_or_else(|| TextFault::new(1, "title", format!("must be '{title}'")))?;
        Ok(Self { rest, line: 1 })
    }

    /// Takes the next line, which must have this key.
    pub(super) fn value(&mut self, key: &'static str) -> Result<Value<'a>, TextFault> {
        let line = self.line + 1;
        self.next_if(key).ok_or_else(|| {
            TextFault::new(line, key, format!("here must stand the line '{key} …', ended by a line feed"))
        })
    }

    /// Takes the next line if it has this key.
    pub(super) fn next_if(&mut self, key: &'static str) -> Option<Value<'a>> {
        let (text, rest) = self.rest.strip_prefix(key)?.strip_prefix(' ')?.split_once('\n')?;
        self.rest = rest;
        self.line += 1;
        Some(Value { text, key, line: self.line })
    }

    /// Ends the reading: nothing may be left.
    pub(super) fn end(self, key: &'static str) -> Result<(), TextFault> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(TextFault::new(self.line + 1, key, "nothing may stand behind the last line"))
    }
}

impl<'a> Value<'a> {
    /// The fault of this line.
    pub(super) fn fault(&self, problem: impl Into<String>) -> TextFault {
        TextFault::new(self.line, self.key, problem)
    }

    /// Reads a whole number, written in one way only.
    pub(super) fn number(&self) -> Result<u64, TextFault> {
        self.number_in(self.text)
    }

    /// Reads one of the line's words as a whole number.
    pub(super) fn number_in(&self, word: &str) -> Result<u64, TextFault> {
        let plain = word.bytes().all(|b| b.is_ascii_digit()) && (word.len() == 1 || !word.starts_with('0'));
        let number = word.parse().ok().filter(|_| plain);
        number.ok_or_else(|| self.fault("must be whole numbers without sign or leading zeros"))
    }

    /// Reads a whole number of at most `max`, which the limit named `limit` sets.
    pub(super) fn at_most(&self, max: u64, limit: &str) -> Result<u64, TextFault> {
        let number = self.number()?;
        if number <= max { Ok(number) } else { Err(self.fault(format!("must be at most {max} ({limit})"))) }
    }

    /// Reads a value that says itself what is wrong with it.
    pub(super) fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(&self) -> Result<T, TextFault> {
        self.parse_in(self.text)
    }

    /// Reads one of the line's words as such a value.
    pub(super) fn parse_in<T: std::str::FromStr<Err: std::fmt::Display>>(
        &self,
        word: &str,
    ) -> Result<T, TextFault> {
        word.parse().map_err(|error| self.fault(format!("{error}")))
    }

    /// Reads a value that may be absent, which `-` says.
    pub(super) fn optional<T: std::str::FromStr<Err: std::fmt::Display>>(
        &self,
    ) -> Result<Option<T>, TextFault> {
        if self.text == "-" { Ok(None) } else { self.parse().map(Some) }
    }

    /// Reads a moment, as ms since the Unix epoch.
    pub(super) fn moment(&self) -> Result<i64, TextFault> {
        super::date::parse_utc(self.text)
            .ok_or_else(|| self.fault("must be a moment in UTC with milliseconds: 2026-11-25T15:40:00.000Z"))
    }

    /// Reads 32 lower-case hex digits.
    pub(super) fn hash_total(&self, word: &str) -> Result<u128, TextFault> {
        let plain =
            word.len() == 32 && word.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let number = u128::from_str_radix(word, 16).ok().filter(|_| plain);
        number.ok_or_else(|| self.fault("must be 32 lower-case hex digits"))
    }

    /// Splits the line into `N` words and the rest, which may hold spaces.
    pub(super) fn words<const N: usize>(&self) -> Result<([&'a str; N], &'a str), TextFault> {
        let mut words = [""; N];
        let mut rest = self.text;
        for word in &mut words {
            (*word, rest) = rest
                .split_once(' ')
                .ok_or_else(|| self.fault(format!("needs {N} words before its last part")))?;
        }
        Ok((words, rest))
    }
}

/// Writes what may be absent.
pub(super) fn or_dash<T: std::fmt::Display>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
