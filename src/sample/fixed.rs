//! Writes the lines of a fixed-width file: each field stands where the layout says, filled up with spaces, or
//! the line is refused.

use super::csv::{Encoding, Unwritable, cp932};
use crate::domain::{
    layout::{Align, Layout, Measure},
    record::Field,
};

/// Appends one line; `text_of` gives the text of each field.
pub(crate) fn line<'a>(
    layout: &Layout,
    encoding: Encoding,
    text_of: impl Fn(Field) -> &'a str,
    out: &mut Vec<u8>,
) -> Result<(), Unwritable> {
    for column in layout.columns() {
        let text = column.field.map_or("", &text_of);
        let begin = out.len();
        match encoding {
            Encoding::Utf8 | Encoding::Utf8Bom => out.extend_from_slice(text.as_bytes()),
            Encoding::Cp932 => cp932(text, out)?,
        }
        let long = match layout.measure() {
            Measure::Bytes => out.len() - begin,
            Measure::Characters => text.chars().count(),
        };
        let padding = column.length.checked_sub(long).ok_or(Unwritable::TooLong {
            field: column.field.map_or("-", Field::as_str),
            need: long,
            length: column.length,
            measure: layout.measure(),
        })?;
        out.resize(out.len() + padding, b' ');
        if column.align == Align::Right {
            out[begin..].rotate_right(padding);
        }
    }
    out.push(b'\n');
    Ok(())
}
