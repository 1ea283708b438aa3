//! What is wrong with an input file, in words for the person who has to mend it: where, what, and what to do.
//! A cell's content is never repeated, as it may be personal data.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use super::{
    rows::{RowFault, RowProblem},
    source::{Encoding, SourceFault},
};
use crate::domain::layout::{Column, Measure};

/// Why a file was refused before anything was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputFault {
    /// The file.
    pub path: PathBuf,
    /// The physical line, from 1; 0 when the fault is of the file as a whole.
    pub line: u64,
    /// The cell in the row, from 1; 0 when the fault is of the row as a whole.
    pub column: usize,
    /// First and last byte or character in the line, from 1, in a fixed-width file.
    pub places: Option<Box<(usize, usize, Measure)>>,
    /// The name of the column, where the header is known.
    pub field: Option<String>,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl std::error::Error for InputFault {}

impl fmt::Display for InputFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if self.line > 0 {
            write!(f, ", line {}", self.line)?;
        }
        if self.column > 0 {
            write!(f, ", column {}", self.column)?;
        }
        if let Some(places) = &self.places {
            let (first, last, measure) = &**places;
            write!(f, ", {measure} {first} to {last}")?;
        }
        if let Some(field) = &self.field {
            write!(f, " ({field})")?;
        }
        write!(f, ": {}. {}", self.what, self.remedy)
    }
}

impl InputFault {
    /// A fault of the whole file.
    pub fn of_file(path: &Path, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line: 0,
            column: 0,
            places: None,
            field: None,
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// A fault of one line.
    pub(crate) fn of_line(
        path: &Path,
        line: u64,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { line, ..Self::of_file(path, what, remedy) }
    }

    /// The same fault in one cell.
    pub(crate) fn in_column(self, column: usize, field: Option<&str>) -> Self {
        Self { column, field: field.map(str::to_owned), ..self }
    }

    /// The same fault in one column of a fixed-width file.
    pub(crate) fn in_places(self, column: &Column, measure: Measure) -> Self {
        let field = column.field.map(|field| field.as_str().to_owned());
        Self { places: Some(Box::new((column.begin + 1, column.end(), measure))), field, ..self }
    }

    /// A fault that the system reported.
    pub fn from_io(path: &Path, error: &io::Error) -> Self {
        let remedy = match error.kind() {
            io::ErrorKind::NotFound => "Check the name and the folder",
            io::ErrorKind::PermissionDenied => "Allow this user to read it",
            io::ErrorKind::IsADirectory => "Name the file inside it",
            _ => "Check the disk or the share, then run the same command again; nothing was sent",
        };
        Self::of_file(path, format!("cannot be read: {error}"), remedy)
    }

    pub(crate) fn utf16(path: &Path) -> Self {
        let remedy = "Export it again in UTF-8, or in Shift_JIS with --encoding cp932";
        Self::of_file(path, "begins with the byte order mark of UTF-16", remedy)
    }

    pub(crate) fn from_row(path: &Path, fault: RowFault, encoding: Encoding, names: &[&str]) -> Self {
        let (what, remedy) = match fault.problem {
            RowProblem::Source(SourceFault::Io(error)) => return Self::from_io(path, &error),
            RowProblem::Source(SourceFault::Utf16) => return Self::utf16(path),
            problem => explain(&problem, encoding),
        };
        let name = names.get(fault.column.saturating_sub(1)).copied();
        Self::of_line(path, fault.line, what, remedy).in_column(fault.column, name)
    }
}

fn explain(problem: &RowProblem, encoding: Encoding) -> (String, &'static str) {
    let (what, remedy) = match problem {
        RowProblem::Source(_) | RowProblem::NotUtf8 if encoding == Encoding::Cp932 => (
            "holds bytes that are no character of CP932",
            "If the file is in UTF-8 pass --encoding utf-8; otherwise mend the cell: nothing is replaced",
        ),
        RowProblem::Source(_) | RowProblem::NotUtf8 => (
            "is not valid UTF-8",
            "If the file comes from a Shift_JIS system pass --encoding cp932; otherwise mend this cell",
        ),
        RowProblem::Nul => ("holds a NUL character", "Export the file again: NUL stands in no text"),
        RowProblem::CellTooLong => (
            "the cell is longer than 4,096 bytes",
            "Look for a quote that is not closed further up; otherwise shorten the cell",
        ),
        RowProblem::RowTooLong => (
            "the row is longer than 16,384 bytes",
            "Look for a quote that is not closed further up; otherwise shorten the row",
        ),
        RowProblem::TooManyCells => {
            ("the row has more than 64 cells", "Put cells that hold commas into double quotes")
        }
        RowProblem::StrayQuote => (
            "a double quote stands inside a cell that does not begin with one",
            "Put the whole cell into double quotes and double those inside it (RFC 4180)",
        ),
        RowProblem::TextAfterQuote => {
            ("text follows a closing double quote", "Double the quotes inside the cell (RFC 4180)")
        }
        RowProblem::LoneReturn => (
            "a carriage return stands alone",
            "End each line with CR LF or LF, and put cells with line breaks into double quotes",
        ),
        RowProblem::OpenQuote { opened_at } => {
            let what =
                format!("the file ends inside the double quotes that line {opened_at} opened: it was cut");
            return (what, "Export it again, or copy it again in full");
        }
        RowProblem::NoFinalLineBreak => (
            "the file does not end with a line break, so it may have been cut inside this line",
            "Export or copy it again in full; if this line is complete, pass --accept-missing-newline",
        ),
    };
    (what.to_owned(), remedy)
}
