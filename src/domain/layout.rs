//! A layout says where each field stands in the lines of a fixed-width file. Every place of a line belongs to
//! exactly one column: a layout that leaves a place out, or gives it twice, is none.
//!
//! Its text is CSV without quotes, one line a column, in the order of the file:
//!
//! ```text
//! field,start_bytes,length_bytes,align
//! order_id,1,12,
//! -,13,8,
//! name,21,40,left
//! ```
//!
//! `-` is a column that is not read. Columns are counted in bytes of the file's own encoding, as municipal
//! systems do, or in characters (Unicode code points) with `start_characters,length_characters`. `align` may
//! be left out: `left` has its padding behind the text, `right` before it.

use std::fmt::{self, Write as _};

use super::record::{FIELD_BYTES_MAX, Field, RECORD_BYTES_MAX};

/// Longest text of a layout, in bytes.
pub const LAYOUT_BYTES_MAX: usize = 16 << 10;
/// Most columns of a layout.
pub const LAYOUT_COLUMNS_MAX: usize = 64;

/// In what the places of a line are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Bytes of the file's own encoding.
    Bytes,
    /// Unicode code points; a variation selector counts as one.
    Characters,
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Measure::Bytes => "bytes",
            Measure::Characters => "characters",
        })
    }
}

/// On which side the text of a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// The padding is behind it.
    Left,
    /// The padding is before it.
    Right,
}

/// One column of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// What stands there; `None` is not read.
    pub field: Option<Field>,
    /// How many bytes or characters are before it.
    pub begin: usize,
    /// How many it has.
    pub length: usize,
    /// On which side the text stands.
    pub align: Align,
}

impl Column {
    /// How many bytes or characters are before its end.
    #[must_use]
    pub fn end(&self) -> usize {
        self.begin + self.length
    }

    /// Returns the text without its padding, which is spaces of both widths.
    #[must_use]
    pub fn without_padding<'a>(&self, text: &'a str) -> &'a str {
        const SPACES: [char; 2] = [' ', '\u{3000}'];
        match self.align {
            Align::Left => text.trim_end_matches(SPACES),
            Align::Right => text.trim_start_matches(SPACES),
        }
    }
}

/// Where each field stands in a line.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Layout {
    measure: Measure,
    columns: Vec<Column>,
}

/// What is wrong with a layout's text, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {what}. {remedy}")]
pub struct LayoutFault {
    /// The line, from 1.
    pub line: u64,
    /// The cell in the line, from 1; 0 when the fault is of the line as a whole.
    pub column: usize,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl LayoutFault {
    fn new(line: usize, column: usize, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { line: line as u64, column, what: what.into(), remedy: remedy.into() }
    }
}

impl Layout {
    /// In what the places are counted.
    #[must_use]
    pub fn measure(&self) -> Measure {
        self.measure
    }

    /// The columns, in the order of the line.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// How many bytes or characters every line has, without its end.
    #[must_use]
    pub fn length(&self) -> usize {
        self.columns.last().map_or(0, Column::end)
    }

    /// Returns the column of a field.
    #[must_use]
    pub fn column_of(&self, field: Field) -> Option<&Column> {
        self.columns.iter().find(|column| column.field == Some(field))
    }

    /// Reads a layout's text.
    ///
    /// # Errors
    /// The first [`LayoutFault`].
    pub fn parse(text: &str) -> Result<Self, LayoutFault> {
        if text.len() > LAYOUT_BYTES_MAX {
            let what = "is longer than 16 KiB";
            return Err(LayoutFault::new(1, 0, what, "A layout has one short line for each column"));
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
        let (measure, cells) = header(lines.next().map_or("", |(_, line)| line))?;
        let mut layout = Self { measure, columns: Vec::new() };
        for (line, text) in lines {
            let column = layout.column(line, text, cells)?;
            layout.columns.push(column);
        }
        layout.check_whole(text.lines().count())?;
        Ok(layout)
    }

    fn column(&self, line: usize, text: &str, cells: usize) -> Result<Column, LayoutFault> {
        let fault = |column, what: String, remedy: &str| Err(LayoutFault::new(line, column, what, remedy));
        let words: Vec<&str> = text.split(',').map(str::trim).collect();
        if words.len() != cells {
            let what = format!("the line has {} cells, the header {cells}", words.len());
            return fault(0, what, "Give each column one line: its field, its start and its length");
        }
        let field = match words[0] {
            "-" => None,
            name => Some(Field::from_name(name).ok_or_else(|| {
                let known = Field::ALL.map(Field::as_str).join(", ");
                let remedy = format!("Write - for what is not to be read. Known are: {known}");
                LayoutFault::new(line, 1, format!("the field {name:?} is unknown"), remedy)
            })?),
        };
        if let Some(field) = field.filter(|field| self.column_of(*field).is_some()) {
            let what = format!("{} stands there twice", field.as_str());
            return fault(1, what, "Take one of the two out, or write - for it");
        }
        let number = |at: usize| {
            words[at]
                .parse::<usize>()
                .ok()
                .filter(|number| (1..=RECORD_BYTES_MAX).contains(number))
                .ok_or(LayoutFault::new(line, at + 1, "is no number from 1 to 16384", "Write digits only"))
        };
        let (start, length, begin) = (number(1)?, number(2)?, self.length());
        if start != begin + 1 {
            let what = format!("starts at {start}, but the column before ends at {begin}");
            let remedy = match start > begin {
                true => "Leave no place out: write a line with - for what is not to be read",
                false => {
                    "No two columns share a place: compare this start with the start and the length before"
                }
            };
            return fault(2, what, remedy);
        }
        if field.is_some() && length > FIELD_BYTES_MAX {
            return fault(3, format!("is longer than {FIELD_BYTES_MAX}"), "A field holds 4,096 bytes");
        }
        if begin + length > RECORD_BYTES_MAX {
            let what = format!("ends behind {RECORD_BYTES_MAX}");
            return fault(3, what, "Look for a wrong length: a line holds 16,384");
        }
        if self.columns.len() == LAYOUT_COLUMNS_MAX {
            return fault(0, "is one column too many: a layout has 64".to_owned(), "Join lines with -");
        }
        let align = match words.get(3) {
            None | Some(&"" | &"left") => Align::Left,
            Some(&"right") => Align::Right,
            Some(_) => return fault(4, "is neither left nor right".to_owned(), "Leave it empty for left"),
        };
        Ok(Column { field, begin, length, align })
    }

    fn check_whole(&self, lines: usize) -> Result<(), LayoutFault> {
        let required = Field::ALL.into_iter().filter(|field| field.is_required());
        let missing: Vec<&str> =
            required.filter(|field| self.column_of(*field).is_none()).map(Field::as_str).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let what = format!("the layout ends without {}", missing.join(", "));
        Err(LayoutFault::new(lines.max(1), 0, what, "Add a line for each of them"))
    }
}

// Returns in what is counted, and how many cells each line has.
fn header(line: &str) -> Result<(Measure, usize), LayoutFault> {
    let words: Vec<&str> = line.split(',').map(str::trim).collect();
    let measure = match words.as_slice() {
        ["field", "start_bytes", "length_bytes"] | ["field", "start_bytes", "length_bytes", "align"] => {
            Measure::Bytes
        }
        ["field", "start_characters", "length_characters"]
        | ["field", "start_characters", "length_characters", "align"] => Measure::Characters,
        _ => {
            let what = "is no header of a layout";
            let remedy = "It must be field,start_bytes,length_bytes or field,start_characters,\
                          length_characters, with ,align behind it if need be";
            return Err(LayoutFault::new(1, 0, what, remedy));
        }
    };
    Ok((measure, words.len()))
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let measure = self.measure;
        writeln!(f, "field,start_{measure},length_{measure},align")?;
        for column in &self.columns {
            let field = column.field.map_or("-", Field::as_str);
            let align = if column.align == Align::Right { "right" } else { "left" };
            writeln!(f, "{field},{},{},{align}", column.begin + 1, column.length)?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Layout {
    type Error = LayoutFault;

    fn try_from(text: String) -> Result<Self, LayoutFault> {
        Self::parse(&text)
    }
}

impl From<Layout> for String {
    fn from(layout: Layout) -> Self {
        let mut text = String::new();
        let _ = write!(text, "{layout}");
        text
    }
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
