//! Reads the lines of a fixed-width file: a record that is returned fills its line exactly as the layout
//! says, and a line that is shorter, longer or cut through a character is refused. Memory does not grow
//! with the file.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use encoding_rs::{DecoderResult, SHIFT_JIS};

use super::{
    input_fault::InputFault,
    source::{Encoding, Source, SourceFault},
};
use crate::domain::{
    layout::{Column, Layout, Measure},
    record::{Field, Record},
};

/// The longest character of any encoding that is read, in bytes.
const CHARACTER_BYTES_MAX: usize = 4;

/// The lines of a fixed-width file.
pub(crate) struct FixedLines {
    path: PathBuf,
    source: Source<File>,
    block: Vec<u8>,
    at: usize,
    line: u64,
    raw: Vec<u8>,
    text: String,
    layout: Layout,
    encoding: Encoding,
    accept_missing_newline: bool,
}

impl FixedLines {
    /// Returns the lines of `file`.
    pub(crate) fn new(
        path: &Path,
        file: File,
        layout: Layout,
        encoding: Encoding,
        accept_missing_newline: bool,
    ) -> Self {
        Self {
            path: path.to_owned(),
            source: Source::undecoded(file, encoding),
            block: Vec::new(),
            at: 0,
            line: 0,
            raw: Vec::new(),
            text: String::new(),
            layout,
            encoding,
            accept_missing_newline,
        }
    }

    /// Reads the next line into `record`; false at the end of the file.
    pub(crate) fn next_into(&mut self, record: &mut Record) -> Result<bool, InputFault> {
        if !self.next_line()? {
            return Ok(false);
        }
        match self.layout.measure() {
            Measure::Bytes => self.cut_bytes(record)?,
            Measure::Characters => self.cut_characters(record)?,
        }
        Ok(true)
    }

    /// The line of the last record, from 1.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// How many bytes the file had, and their SHA-256; to be asked for after the last line.
    pub(crate) fn finish(self) -> (u64, [u8; 32]) {
        self.source.finish()
    }

    /// Where the field called `name` stands in each line.
    pub(crate) fn place_of(&self, name: &str) -> String {
        let column = Field::from_name(name).and_then(|field| self.layout.column_of(field));
        let words =
            |column: &Column| format!("{} {} to {}", self.layout.measure(), column.begin + 1, column.end());
        column.map_or(String::new(), words)
    }

    /// A fault of this line, in the field called `name`.
    pub(crate) fn fault_in(&self, name: &str, what: &str, remedy: &str) -> InputFault {
        let column = Field::from_name(name).and_then(|field| self.layout.column_of(field));
        match column {
            Some(column) => self.fault_at(column, what, remedy),
            None => InputFault::of_line(&self.path, self.line, format!("{name} {what}"), remedy),
        }
    }

    fn fault_at(&self, column: &Column, what: impl Into<String>, remedy: impl Into<String>) -> InputFault {
        let fault = InputFault::of_line(&self.path, self.line, what, remedy);
        fault.in_places(column, self.layout.measure())
    }

    fn fault(&self, what: impl Into<String>, remedy: impl Into<String>) -> InputFault {
        InputFault::of_line(&self.path, self.line, what, remedy)
    }

    // Takes bytes up to a line feed, which is no part of a character in any of the encodings.
    fn next_line(&mut self) -> Result<bool, InputFault> {
        self.raw.clear();
        self.line += 1;
        let most = match self.layout.measure() {
            Measure::Bytes => self.layout.length(),
            Measure::Characters => self.layout.length() * CHARACTER_BYTES_MAX,
        };
        loop {
            if self.at == self.block.len() {
                self.source.next_block(&mut self.block).map_err(|fault| self.of_source(fault))?;
                self.at = 0;
                if self.block.is_empty() {
                    return self.end();
                }
            }
            let rest = &self.block[self.at..];
            let length = rest.iter().position(|byte| *byte == b'\n');
            self.raw.extend_from_slice(&rest[..length.unwrap_or(rest.len())]);
            self.at += length.map_or(rest.len(), |length| length + 1);
            if length.is_some() {
                self.raw.pop_if(|last| *last == b'\r');
                return self.check_line().map(|()| true);
            }
            if self.raw.len() > most + 1 {
                return Err(self.too_long());
            }
        }
    }

    fn end(&mut self) -> Result<bool, InputFault> {
        if self.raw.is_empty() {
            return Ok(false);
        }
        if self.accept_missing_newline {
            return self.check_line().map(|()| true);
        }
        Err(self.fault(
            "the file does not end with a line break, so it may have been cut inside this line",
            "Export or copy it again in full; if this line is complete, pass --accept-missing-newline",
        ))
    }

    fn check_line(&self) -> Result<(), InputFault> {
        if self.raw.is_empty() {
            return Err(self.fault("the line is empty", "Take it out"));
        }
        if self.raw.contains(&b'\r') {
            return Err(self.fault("a carriage return stands alone", "End each line with CR LF or LF"));
        }
        if self.layout.measure() == Measure::Bytes {
            return self.check_length(self.raw.len());
        }
        Ok(())
    }

    fn check_length(&self, have: usize) -> Result<(), InputFault> {
        let (want, measure) = (self.layout.length(), self.layout.measure());
        if have == want {
            return Ok(());
        }
        if have > want {
            return Err(self.too_long());
        }
        let remedy = "If this is the last line, the file was cut; otherwise export it with all its padding, \
                      or mend the layout";
        Err(self.fault(format!("the line has {have} {measure}, the layout {want}"), remedy))
    }

    fn too_long(&self) -> InputFault {
        let (want, measure) = (self.layout.length(), self.layout.measure());
        self.fault(
            format!("the line is longer than the {want} {measure} of the layout"),
            "Compare the layout with the description of the file: each record must have a line of its own",
        )
    }

    fn of_source(&self, fault: SourceFault) -> InputFault {
        match fault {
            SourceFault::Io(error) => InputFault::from_io(&self.path, &error),
            SourceFault::Utf16 => InputFault::utf16(&self.path),
            SourceFault::Unmappable => self.fault("holds bytes that are no character", "Pass --encoding"),
        }
    }

    fn cut_bytes(&self, record: &mut Record) -> Result<(), InputFault> {
        for column in self.layout.columns() {
            let Some(field) = column.field else { continue };
            let bytes = &self.raw[column.begin..column.end()];
            let text = match self.encoding {
                Encoding::Utf8 => std::str::from_utf8(bytes).ok().map(Into::into),
                Encoding::Cp932 => SHIFT_JIS.decode_without_bom_handling_and_without_replacement(bytes),
            };
            let text = text.ok_or_else(|| self.no_text(column))?;
            record.set(field, column.without_padding(&text));
        }
        Ok(())
    }

    fn cut_characters(&mut self, record: &mut Record) -> Result<(), InputFault> {
        let whole = decode(&self.raw, self.encoding, &mut self.text);
        let have = self.text.chars().count();
        if !whole {
            let at = self.layout.columns().iter().find(|column| have < column.end());
            return Err(at.map_or_else(|| self.too_long(), |column| self.no_text(column)));
        }
        self.check_length(have)?;
        let mut rest = self.text.as_str();
        for column in self.layout.columns() {
            let end = rest.char_indices().nth(column.length).map_or(rest.len(), |(at, _)| at);
            let (text, behind) = rest.split_at(end);
            rest = behind;
            if let Some(field) = column.field {
                record.set(field, column.without_padding(text));
            }
        }
        Ok(())
    }

    fn no_text(&self, column: &Column) -> InputFault {
        let what = match (self.encoding, self.layout.measure()) {
            (Encoding::Utf8, Measure::Bytes) => "these bytes are no whole characters of UTF-8",
            (Encoding::Utf8, Measure::Characters) => "holds bytes that are no character of UTF-8",
            (Encoding::Cp932, Measure::Bytes) => "these bytes are no whole characters of CP932",
            (Encoding::Cp932, Measure::Characters) => "holds bytes that are no character of CP932",
        };
        let other = if self.encoding == Encoding::Utf8 { "cp932" } else { "utf-8" };
        let remedy = format!(
            "Compare start and length in the layout with the description of the file; if the file is in \
             another encoding, pass --encoding {other}; nothing is replaced"
        );
        self.fault_at(column, what, remedy)
    }
}

// Decodes a line into `text` up to the first bytes that are no character; false if there are some.
fn decode(raw: &[u8], encoding: Encoding, text: &mut String) -> bool {
    text.clear();
    match encoding {
        Encoding::Utf8 => {
            let (good, rest) = match std::str::from_utf8(raw) {
                Ok(good) => (good, false),
                Err(error) => (std::str::from_utf8(&raw[..error.valid_up_to()]).unwrap_or_default(), true),
            };
            text.push_str(good);
            !rest
        }
        Encoding::Cp932 => {
            let mut decoder = SHIFT_JIS.new_decoder_without_bom_handling();
            let room = decoder.max_utf8_buffer_length_without_replacement(raw.len());
            text.reserve(room.expect("a line times three fits in memory"));
            let (result, _) = decoder.decode_to_string_without_replacement(raw, text, true);
            matches!(result, DecoderResult::InputEmpty)
        }
    }
}

#[cfg(test)]
#[path = "fixed_tests.rs"]
mod tests;
