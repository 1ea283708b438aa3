//! Reads record files (CSV by RFC 4180, or fixed-width by a layout) one record at a time: a record that
//! is returned is exactly what the file says, and a file that is not whole is refused. Memory does not
//! grow with the file.
//!
//! A last line without its line break is refused even when it looks complete, because a file that was cut
//! inside its last cell looks the same; `--accept-missing-newline` says that a person has looked.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use super::{
    fixed::FixedLines,
    input_fault::InputFault,
    receipts::read_limited,
    rows::{Row, RowFault, RowLimits, Rows},
    source::{Encoding, Source},
};
use crate::domain::{
    layout::{LAYOUT_BYTES_MAX, Layout},
    record::{FIELD_BYTES_MAX, Field, RECORD_BYTES_MAX, Record},
};

const ROW_LIMITS: RowLimits =
    RowLimits { cell_bytes: FIELD_BYTES_MAX, row_bytes: RECORD_BYTES_MAX, cells: 64 };

/// How a file is to be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Its encoding; default UTF-8. Never guessed: bytes that do not fit are refused with what to pass.
    pub encoding: Encoding,
    /// Takes a last line without line break as complete; default no.
    pub accept_missing_newline: bool,
    /// Where the fields stand in a fixed-width file; default none: the file is CSV.
    pub layout: Option<Layout>,
}

/// The content of a file as it was read: two files with the same fingerprint are the same.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Fingerprint {
    /// Size in bytes.
    pub bytes: u64,
    /// Lower-case hex SHA-256 over all bytes.
    pub sha256: String,
}

impl Fingerprint {
    /// Returns the fingerprint of a file's bytes, whatever they mean.
    ///
    /// # Errors
    /// [`InputFault`] if the file cannot be read to its end.
    pub fn of_file(path: &Path) -> Result<Self, InputFault> {
        let mut source = Source::new(open_file(path)?, Encoding::Utf8);
        source.pass().map_err(|error| InputFault::from_io(path, &error))?;
        let (bytes, sha256) = source.finish();
        Ok(Self { bytes, sha256: hex::encode(sha256) })
    }
}

/// A table being read: its rows, and where each wanted column stands.
pub(crate) struct Table {
    path: PathBuf,
    rows: Rows<File>,
    row: Row,
    header: Vec<String>,
    encoding: Encoding,
}

impl Table {
    /// Opens a CSV file and reads its header, whose names must be of `known`, each once, with all of
    /// `required`.
    pub(crate) fn open(
        path: &Path,
        options: &ReadOptions,
        known: &[&str],
        required: &[&str],
    ) -> Result<Self, InputFault> {
        let rows = Rows::new(
            Source::new(open_file(path)?, options.encoding),
            ROW_LIMITS,
            options.accept_missing_newline,
        );
        let encoding = options.encoding;
        let mut table =
            Self { path: path.to_owned(), rows, row: Row::default(), header: Vec::new(), encoding };
        if !table.rows.next_into(&mut table.row).map_err(|fault| table.fault(fault))? {
            return Err(InputFault::of_file(
                path,
                "is empty",
                "A file of no records still has its header row; a day without orders is said with \
                 `todoke import --nothing-today`",
            ));
        }
        table.header = (0..table.row.len()).map(|index| table.row.cell(index).to_owned()).collect();
        check_header(path, &table.header, known, required)?;
        Ok(table)
    }

    /// Reads the next row, which must have as many cells as the header; false at the end.
    pub(crate) fn next_row(&mut self) -> Result<bool, InputFault> {
        if !self.rows.next_into(&mut self.row).map_err(|fault| self.fault(fault))? {
            return Ok(false);
        }
        let (cells, columns) = (self.row.len(), self.header.len());
        if cells == columns {
            return Ok(true);
        }
        let line = self.row.line();
        if cells == 1 && self.row.cell(0).is_empty() {
            return Err(InputFault::of_line(&self.path, line, "the line is empty", "Take it out"));
        }
        let what = format!("the row has {cells} cells, the header {columns}");
        let remedy =
            "If this is the last line, the file was cut; otherwise put cells that hold commas into quotes";
        Err(InputFault::of_line(&self.path, line, what, remedy))
    }

    /// The names and texts of the row's cells.
    pub(crate) fn cells(&self) -> impl Iterator<Item = (&str, &str)> {
        self.header.iter().enumerate().map(|(index, name)| (name.as_str(), self.row.cell(index)))
    }

    /// The cell below `name`, empty when the file has no such column.
    pub(crate) fn cell(&self, name: &str) -> &str {
        self.cells().find(|(known, _)| *known == name).map_or("", |(_, text)| text)
    }

    /// The line on which the row began.
    pub(crate) fn line(&self) -> u64 {
        self.row.line()
    }

    /// A fault of this row, in the column `name`.
    pub(crate) fn fault_in(
        &self,
        name: &str,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> InputFault {
        let column = self.header.iter().position(|known| known == name).map_or(0, |index| index + 1);
        InputFault::of_line(&self.path, self.row.line(), what, remedy).in_column(column, Some(name))
    }

    fn fault(&self, fault: RowFault) -> InputFault {
        let names: Vec<&str> = self.header.iter().map(String::as_str).collect();
        InputFault::from_row(&self.path, fault, self.encoding, &names)
    }
}

/// Reads the records of one file in order.
pub struct RecordReader {
    path: PathBuf,
    lines: Lines,
    canonical: Vec<u8>,
}

enum Lines {
    Csv { table: Box<Table>, fields: Vec<Field> },
    Fixed(Box<FixedLines>),
}

impl RecordReader {
    /// Opens a record file and checks its header, which a fixed-width file has not.
    ///
    /// # Errors
    /// [`InputFault`] for a file that is no regular file, cannot be read, is empty, or whose header has an
    /// unknown or doubled column or lacks a required one.
    pub fn open(path: &Path, options: &ReadOptions) -> Result<Self, InputFault> {
        let lines = match &options.layout {
            Some(layout) => {
                let file = open_file(path)?;
                let (encoding, accept) = (options.encoding, options.accept_missing_newline);
                Lines::Fixed(Box::new(FixedLines::new(path, file, layout.clone(), encoding, accept)))
            }
            None => Self::csv(path, options)?,
        };
        Ok(Self { path: path.to_owned(), lines, canonical: Vec::new() })
    }

    fn csv(path: &Path, options: &ReadOptions) -> Result<Lines, InputFault> {
        let known = Field::ALL.map(Field::as_str);
        let required: Vec<&str> =
            Field::ALL.into_iter().filter(|field| field.is_required()).map(Field::as_str).collect();
        let table = Table::open(path, options, &known, &required)?;
        let fields = table.header.iter().filter_map(|name| Field::from_name(name)).collect();
        Ok(Lines::Csv { table: Box::new(table), fields })
    }

    /// Returns the next record with its canonical bytes, or `None` at the end of the file.
    ///
    /// # Errors
    /// [`InputFault`] with line and column; the file is not to be read on.
    pub fn next_record(&mut self) -> Result<Option<(Record, &[u8])>, InputFault> {
        let mut record = Record::default();
        let more = match &mut self.lines {
            Lines::Csv { table, fields } => table.next_row()? && fill(&mut record, table, fields),
            Lines::Fixed(lines) => lines.next_into(&mut record)?,
        };
        if !more {
            return Ok(None);
        }
        record.check_structure().map_err(|fault| {
            let remedy = sentence(fault.remedy);
            match &self.lines {
                Lines::Csv { table, .. } => table.fault_in(fault.field, fault.problem, remedy),
                Lines::Fixed(lines) => lines.fault_in(fault.field, fault.problem, &remedy),
            }
        })?;
        self.canonical.clear();
        record.encode(&mut self.canonical);
        if self.canonical.len() > RECORD_BYTES_MAX {
            let remedy = "Shorten its longest cells: a record holds 16,384 bytes";
            return Err(InputFault::of_line(&self.path, self.line(), "the record is too long", remedy));
        }
        Ok(Some((record, &self.canonical)))
    }

    /// The line on which the last record began, from 1.
    #[must_use]
    pub fn line(&self) -> u64 {
        match &self.lines {
            Lines::Csv { table, .. } => table.line(),
            Lines::Fixed(lines) => lines.line(),
        }
    }

    /// Where the field called `name` stands in each line, such as `column 5`; empty if the file has none.
    #[must_use]
    pub fn place_of(&self, name: &str) -> String {
        match &self.lines {
            Lines::Csv { table, .. } => {
                let at = table.header.iter().position(|known| known == name);
                at.map_or(String::new(), |at| format!("column {}", at + 1))
            }
            Lines::Fixed(lines) => lines.place_of(name),
        }
    }

    /// Returns what the file held; to be asked for after the last record.
    #[must_use]
    pub fn finish(self) -> Fingerprint {
        let (bytes, sha256) = match self.lines {
            Lines::Csv { table, .. } => table.rows.finish(),
            Lines::Fixed(lines) => lines.finish(),
        };
        Fingerprint { bytes, sha256: hex::encode(sha256) }
    }
}

/// Reads a layout file.
///
/// # Errors
/// [`InputFault`] with line and column of what is wrong in it.
pub fn load_layout(path: &Path) -> Result<Layout, InputFault> {
    open_file(path)?;
    let limit = LAYOUT_BYTES_MAX as u64;
    let bytes = read_limited(path, limit).map_err(|error| InputFault::from_io(path, &error))?;
    let text = String::from_utf8(bytes).map_err(|_| {
        InputFault::of_file(
            path,
            "is not UTF-8",
            "A layout needs only the names of fields, digits and commas",
        )
    })?;
    Layout::parse(&text).map_err(|fault| {
        InputFault::of_line(path, fault.line, fault.what, fault.remedy).in_column(fault.column, None)
    })
}

fn fill(record: &mut Record, table: &Table, fields: &[Field]) -> bool {
    for (index, field) in fields.iter().enumerate() {
        let text = table.row.cell(index);
        if !text.is_empty() {
            record.set(*field, text);
        }
    }
    true
}

fn sentence(remedy: &str) -> String {
    let mut letters = remedy.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

fn open_file(path: &Path) -> Result<File, InputFault> {
    let from_io = |error: io::Error| InputFault::from_io(path, &error);
    let kind = std::fs::metadata(path).map_err(from_io)?;
    if kind.is_dir() {
        return Err(InputFault::of_file(path, "is a folder", "Name the file inside it"));
    }
    if !kind.is_file() {
        let remedy = "Write it to a file first: it is read twice, once for the totals and once to send";
        return Err(InputFault::of_file(path, "is not a regular file", remedy));
    }
    File::open(path).map_err(from_io)
}

fn check_header(path: &Path, header: &[String], known: &[&str], required: &[&str]) -> Result<(), InputFault> {
    let fault = |what: String, remedy: String| Err(InputFault::of_line(path, 1, what, remedy));
    if !header.iter().any(|name| known.contains(&name.as_str())) {
        // Not named: without a header the first row is a person.
        let remedy = format!("Put the names of the columns there: {}", known.join(","));
        return fault("is no header row: none of its cells is the name of a column".to_owned(), remedy);
    }
    for (index, name) in header.iter().enumerate() {
        if !known.contains(&name.as_str()) {
            let what = format!("the column {name:?} is unknown");
            let fault = InputFault::of_line(path, 1, what, format!("Known are: {}", known.join(", ")));
            return Err(fault.in_column(index + 1, None));
        }
        if header[..index].contains(name) {
            let fault = InputFault::of_line(path, 1, "the column stands there twice", "Take one of them out");
            return Err(fault.in_column(index + 1, Some(name)));
        }
    }
    let missing: Vec<&str> =
        required.iter().copied().filter(|name| !header.iter().any(|have| have == name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let remedy = "Add what is missing; the order of the columns does not matter".to_owned();
    fault(format!("the header lacks {}", missing.join(", ")), remedy)
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "reader_properties.rs"]
mod properties;
