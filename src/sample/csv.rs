//! Writes rows as RFC 4180 has them, in one of the encodings that municipal systems export: every
//! character is written as it is, or the row is refused.

use std::{fmt, str::FromStr};

use encoding_rs::{EncoderResult, SHIFT_JIS};

use super::household::{Household, Person};
use crate::domain::{layout::Measure, record::Field};

/// In which encoding a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// UTF-8 without byte order mark.
    #[default]
    Utf8,
    /// UTF-8 with byte order mark, as spreadsheets write it.
    Utf8Bom,
    /// Windows-31J, the Shift_JIS of municipal systems, with private use at F040 to F9FC.
    Cp932,
}

impl Encoding {
    /// Every encoding.
    pub const ALL: [Encoding; 3] = [Encoding::Utf8, Encoding::Utf8Bom, Encoding::Cp932];
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Encoding::Utf8 => "utf-8",
            Encoding::Utf8Bom => "utf-8-bom",
            Encoding::Cp932 => "cp932",
        })
    }
}

impl FromStr for Encoding {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|encoding| encoding.to_string() == text);
        known.ok_or_else(|| "must be utf-8, utf-8-bom or cp932".to_owned())
    }
}

/// Why a line cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// The encoding has no such character.
    #[error(
        "CP932 has no U+{:04X}: write the file in utf-8, or name the district without it",
        u32::from(*.0)
    )]
    Character(char),
    /// A text is longer than its column in the layout.
    #[error("{field} has {need} {measure}, its column in the layout {length}: make the column longer")]
    TooLong {
        /// The field.
        field: &'static str,
        /// How many bytes or characters the text has.
        need: usize,
        /// How many the column has.
        length: usize,
        /// In what they are counted.
        measure: Measure,
    },
}

/// Writes rows; its memory is used again for each.
pub(crate) struct Row {
    encoding: Encoding,
    text: String,
}

impl Row {
    pub(crate) fn new(encoding: Encoding) -> Self {
        Self { encoding, text: String::new() }
    }

    /// Writes the first row of a file.
    pub(crate) fn header<'a>(
        &mut self,
        names: impl IntoIterator<Item = &'a str>,
        out: &mut Vec<u8>,
    ) -> Result<(), Unwritable> {
        if self.encoding == Encoding::Utf8Bom {
            out.extend_from_slice("\u{feff}".as_bytes());
        }
        self.cells(names, out)
    }

    /// Writes a row.
    pub(crate) fn cells<'a>(
        &mut self,
        cells: impl IntoIterator<Item = &'a str>,
        out: &mut Vec<u8>,
    ) -> Result<(), Unwritable> {
        self.text.clear();
        cells.into_iter().for_each(|cell| self.cell(cell));
        self.end(out)
    }

    pub(crate) fn record(
        &mut self,
        household: &Household,
        person: &Person,
        out: &mut Vec<u8>,
    ) -> Result<(), Unwritable> {
        self.cells(Field::ALL.into_iter().map(|field| cell_of(household, person, field)), out)
    }

    fn cell(&mut self, text: &str) {
        if text.contains(['"', ',', '\r', '\n']) {
            self.text.push('"');
            self.text.push_str(&text.replace('"', "\"\""));
            self.text.push('"');
        } else {
            self.text.push_str(text);
        }
        self.text.push(',');
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Unwritable> {
        self.text.pop();
        self.text.push('\n');
        match self.encoding {
            Encoding::Utf8 | Encoding::Utf8Bom => out.extend_from_slice(self.text.as_bytes()),
            Encoding::Cp932 => cp932(&self.text, out)?,
        }
        Ok(())
    }
}

pub(crate) fn cell_of<'a>(household: &'a Household, person: &'a Person, field: Field) -> &'a str {
    match field {
        Field::OrderId => &person.order_id,
        Field::Kind => person.kind,
        Field::HouseholdId => &household.household_id,
        Field::District => &household.district,
        Field::Name => &person.name,
        Field::SubstituteName => &person.substitute_name,
        Field::Reading => &person.reading,
        Field::ReadingSource => person.reading_source,
        Field::BirthDate => &person.birth_date,
        Field::Sex => person.sex,
        Field::Address => &household.address,
        Field::DeliveryAddress => person.delivery_address,
        Field::IndividualNumber => &person.individual_number,
        Field::Protected => person.protected,
        Field::Accommodations => person.accommodations,
        Field::GlyphProfile => household.family.glyph_profile,
    }
}

/// Appends `text` in CP932. The WHATWG encoder knows no private use, so U+E000 to U+E757 are written
/// here, as its decoder reads them: 188 to a lead byte from F0 on.
pub(crate) fn cp932(text: &str, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    let mut encoder = SHIFT_JIS.new_encoder();
    let mut rest = text;
    loop {
        let begin = out.len();
        // Never more than two bytes a character, of which UTF-8 has at least one, and some room for the
        // end.
        out.resize(begin + rest.len() * 2 + 16, 0);
        let (result, read, written) =
            encoder.encode_from_utf8_without_replacement(rest, &mut out[begin..], true);
        out.truncate(begin + written);
        rest = &rest[read..];
        match result {
            EncoderResult::InputEmpty => return Ok(()),
            EncoderResult::OutputFull => {}
            EncoderResult::Unmappable(letter) => {
                let number = u32::from(letter).checked_sub(0xE000).filter(|number| *number < 1880);
                let number = number.ok_or(Unwritable::Character(letter))?;
                let trail = number % 188;
                let trail = if trail < 0x3F { 0x40 + trail } else { 0x41 + trail };
                out.extend([0xF0 + number / 188, trail].map(|b| u8::try_from(b).expect("below FD")));
                encoder = SHIFT_JIS.new_encoder();
                if rest.is_empty() {
                    return Ok(());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_use_is_written_as_the_decoder_reads_it() {
        for number in (0xE000..0xE758).chain([0x9AD9, 0xFA11, 0x4E00, 0x41]) {
            let letter = char::from_u32(number).expect("no surrogate");
            let mut bytes = Vec::new();
            cp932(&format!("a{letter}"), &mut bytes).expect("CP932 has it");
            let (text, _, wrong) = SHIFT_JIS.decode(&bytes);
            assert!(!wrong && text == format!("a{letter}"), "U+{number:04X}");
        }
        assert_eq!(cp932("\u{20bb7}", &mut Vec::new()), Err(Unwritable::Character('\u{20bb7}')));
        assert_eq!(cp932("\u{e758}", &mut Vec::new()), Err(Unwritable::Character('\u{e758}')));
    }

    #[test]
    fn a_cell_that_needs_quotes_has_them() {
        let mut row = Row::new(Encoding::Utf8);
        row.cell("a,\"b\"");
        row.cell("c");
        let mut out = Vec::new();
        row.end(&mut out).expect("UTF-8 has everything");
        assert_eq!(out, b"\"a,\"\"b\"\"\",c\n");
    }
}
