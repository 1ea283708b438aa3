//! Splits text into CSV rows strictly by RFC 4180: a row that is returned was closed by a line break, and its
//! quotes too.
//!
//! Our own, because the usual parsers read on kindly over exactly those faults that show a cut file: a quote
//! that is never closed, a last line without its end, text behind a closing quote.

use std::io;

use super::source::{Source, SourceFault};

/// How large a row may become.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowLimits {
    /// Bytes of UTF-8 in one cell.
    pub(crate) cell_bytes: usize,
    /// Bytes of UTF-8 in all cells of a row.
    pub(crate) row_bytes: usize,
    /// Cells in a row.
    pub(crate) cells: usize,
}

/// What is wrong with a row.
#[derive(Debug)]
pub(crate) enum RowProblem {
    Source(SourceFault),
    NotUtf8,
    Nul,
    CellTooLong,
    RowTooLong,
    TooManyCells,
    StrayQuote,
    TextAfterQuote,
    LoneReturn,
    OpenQuote { opened_at: u64 },
    NoFinalLineBreak,
}

/// A problem, and where: the line is physical (1 is the first), the column counts cells from 1.
#[derive(Debug)]
pub(crate) struct RowFault {
    pub(crate) line: u64,
    pub(crate) column: usize,
    pub(crate) problem: RowProblem,
}

/// One row; its memory is used again for the next.
#[derive(Default)]
pub(crate) struct Row {
    text: String,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    line: u64,
}

impl Row {
    /// The line on which the row began, from 1.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// How many cells it has; an empty line has one empty cell.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The text of cell `index`, from 0.
    pub(crate) fn cell(&self, index: usize) -> &str {
        let begin = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.text[begin..self.ends[index]]
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    CellStart,
    Plain,
    Quoted,
    QuoteSeen,
    ReturnSeen,
}

/// Reads rows one after the other.
pub(crate) struct Rows<R> {
    source: Source<R>,
    block: Vec<u8>,
    at: usize,
    line: u64,
    limits: RowLimits,
    accept_missing_line_break: bool,
}

impl<R: io::Read> Rows<R> {
    /// Returns the rows of `source`.
    pub(crate) fn new(source: Source<R>, limits: RowLimits, accept_missing_line_break: bool) -> Self {
        Self { source, block: Vec::new(), at: 0, line: 1, limits, accept_missing_line_break }
    }

    /// Reads the next row; false at the end of the file.
    pub(crate) fn next_into(&mut self, row: &mut Row) -> Result<bool, RowFault> {
        row.bytes.clear();
        row.ends.clear();
        row.line = self.line;
        let mut state = State::CellStart;
        let mut opened_at = self.line;
        loop {
            if self.at == self.block.len() {
                self.source
                    .next_block(&mut self.block)
                    .map_err(|fault| self.fault(row, RowProblem::Source(fault)))?;
                self.at = 0;
                if self.block.is_empty() {
                    return self.end(row, state, opened_at);
                }
            }
            if matches!(state, State::Plain | State::Quoted) {
                self.take_run(row, state)?;
                if self.at == self.block.len() {
                    continue;
                }
            }
            let byte = self.block[self.at];
            self.at += 1;
            let begun_quote = state == State::CellStart && byte == b'"';
            if begun_quote {
                opened_at = self.line;
            }
            match self.step(row, state, byte)? {
                Some(next) => state = next,
                None => return self.complete(row).map(|()| true),
            }
        }
    }

    /// How many bytes the file had, and their SHA-256; to be asked for after the last row.
    pub(crate) fn finish(self) -> (u64, [u8; 32]) {
        self.source.finish()
    }

    // Copies up to the next byte that means something: most of a file goes this way.
    fn take_run(&mut self, row: &mut Row, state: State) -> Result<(), RowFault> {
        let rest = &self.block[self.at..];
        let special = |b: &u8| match state {
            State::Quoted => matches!(b, b'"' | b'\n' | 0),
            _ => matches!(b, b'"' | b',' | b'\n' | b'\r' | 0),
        };
        let length = rest.iter().position(special).unwrap_or(rest.len());
        row.bytes.extend_from_slice(&rest[..length]);
        self.at += length;
        self.check_length(row)
    }

    // Which limit was passed first is said by the places of both, not by how much came together.
    fn check_length(&self, row: &Row) -> Result<(), RowFault> {
        let begin = row.ends.last().copied().unwrap_or(0);
        let (cell_max, row_max) = (begin + self.limits.cell_bytes, self.limits.row_bytes);
        if row.bytes.len() <= cell_max.min(row_max) {
            return Ok(());
        }
        let problem = if cell_max <= row_max { RowProblem::CellTooLong } else { RowProblem::RowTooLong };
        Err(self.fault(row, problem))
    }

    // Returns the state after `byte`, or None when it closed the row.
    fn step(&mut self, row: &mut Row, state: State, byte: u8) -> Result<Option<State>, RowFault> {
        let next = match (state, byte) {
            (_, 0) => return Err(self.fault(row, RowProblem::Nul)),
            (State::ReturnSeen, other) if other != b'\n' => {
                return Err(self.fault(row, RowProblem::LoneReturn));
            }
            (State::CellStart, b'"') => State::Quoted,
            (State::Quoted, b'"') => State::QuoteSeen,
            (State::Quoted, _) => {
                self.line += u64::from(byte == b'\n');
                row.bytes.push(byte);
                self.check_length(row)?;
                State::Quoted
            }
            (State::QuoteSeen, b'"') => {
                row.bytes.push(byte);
                State::Quoted
            }
            (State::CellStart | State::Plain | State::QuoteSeen, b',') => {
                row.ends.push(row.bytes.len());
                if row.ends.len() >= self.limits.cells {
                    return Err(self.fault(row, RowProblem::TooManyCells));
                }
                State::CellStart
            }
            (State::CellStart | State::Plain | State::QuoteSeen | State::ReturnSeen, b'\n') => {
                return Ok(None);
            }
            (State::CellStart | State::Plain | State::QuoteSeen, b'\r') => State::ReturnSeen,
            (State::QuoteSeen, _) => return Err(self.fault(row, RowProblem::TextAfterQuote)),
            (State::Plain, b'"') => return Err(self.fault(row, RowProblem::StrayQuote)),
            (State::CellStart | State::Plain | State::ReturnSeen, _) => {
                row.bytes.push(byte);
                self.check_length(row)?;
                State::Plain
            }
        };
        Ok(Some(next))
    }

    fn complete(&mut self, row: &mut Row) -> Result<(), RowFault> {
        self.line += 1;
        row.ends.push(row.bytes.len());
        let mut text = std::mem::take(&mut row.text).into_bytes();
        text.clear();
        text.extend_from_slice(&row.bytes);
        match String::from_utf8(text) {
            Ok(text) => row.text = text,
            Err(error) => return Err(not_utf8(row, error.utf8_error().valid_up_to())),
        }
        match row.ends.iter().find(|&&end| !row.text.is_char_boundary(end)) {
            // Two halves of a character on the two sides of a comma are no character.
            Some(&end) => Err(not_utf8(row, end)),
            None => Ok(()),
        }
    }

    fn end(&mut self, row: &mut Row, state: State, opened_at: u64) -> Result<bool, RowFault> {
        let empty = row.bytes.is_empty() && row.ends.is_empty();
        match state {
            State::CellStart if empty => Ok(false),
            State::Quoted => Err(self.fault(row, RowProblem::OpenQuote { opened_at })),
            _ if self.accept_missing_line_break => self.complete(row).map(|()| true),
            _ => Err(self.fault(row, RowProblem::NoFinalLineBreak)),
        }
    }

    fn fault(&self, row: &Row, problem: RowProblem) -> RowFault {
        RowFault { line: self.line, column: row.ends.len() + 1, problem }
    }
}

fn not_utf8(row: &Row, at: usize) -> RowFault {
    let column = row.ends.iter().position(|&end| at < end).map_or(row.ends.len(), |index| index + 1);
    RowFault { line: row.line, column, problem: RowProblem::NotUtf8 }
}
