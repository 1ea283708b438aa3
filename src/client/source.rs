//! Turns a file's bytes into UTF-8 in a stated encoding: what comes out is exactly what the file says, or an
//! error.

use std::{fmt, io, str::FromStr};

use aws_lc_rs::digest;
use encoding_rs::{Decoder, DecoderResult, SHIFT_JIS};

const BLOCK: usize = 64 * 1024;

/// In which encoding a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// UTF-8, with or without byte order mark.
    #[default]
    Utf8,
    /// Windows-31J, the Shift_JIS of municipal systems, as the WHATWG Encoding Standard maps it: private-use
    /// code points (F040 to F9FC) become U+E000 to U+E757 and are kept.
    Cp932,
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Encoding::Utf8 => "utf-8",
            Encoding::Cp932 => "cp932",
        })
    }
}

impl FromStr for Encoding {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "utf-8" | "utf8" => Ok(Encoding::Utf8),
            "cp932" | "windows-31j" | "ms932" => Ok(Encoding::Cp932),
            _ => Err("must be utf-8 or cp932; write the file in one of these first".to_owned()),
        }
    }
}

/// Why no more text comes.
#[derive(Debug)]
pub(crate) enum SourceFault {
    /// The system said so.
    Io(io::Error),
    /// The bytes have no character in the stated encoding.
    Unmappable,
    /// The file begins with the byte order mark of UTF-16.
    Utf16,
}

/// A file's bytes, hashed as they pass, as UTF-8 text. UTF-8 files are passed on unchecked: rows check
/// themselves.
pub(crate) struct Source<R> {
    file: R,
    hash: digest::Context,
    bytes: u64,
    raw: Vec<u8>,
    raw_end: usize,
    decoder: Option<Decoder>,
    mark_is_skipped: bool,
    begun: bool,
    ended: bool,
}

impl<R: io::Read> Source<R> {
    /// Returns a source over `file`, from its first byte.
    pub(crate) fn new(file: R, encoding: Encoding) -> Self {
        let decoder = match encoding {
            Encoding::Utf8 => None,
            Encoding::Cp932 => Some(SHIFT_JIS.new_decoder_without_bom_handling()),
        };
        Self {
            file,
            hash: digest::Context::new(&digest::SHA256),
            bytes: 0,
            raw: vec![0; BLOCK],
            raw_end: 0,
            decoder,
            mark_is_skipped: encoding == Encoding::Utf8,
            begun: false,
            ended: false,
        }
    }

    /// Returns a source over `file` that passes its bytes on as they are, for a reader that counts them; only
    /// a byte order mark of UTF-8 is left out, if that is the encoding.
    pub(crate) fn undecoded(file: R, encoding: Encoding) -> Self {
        Self { decoder: None, ..Self::new(file, encoding) }
    }

    /// Fills `text` with the next block; leaves it empty at the end of the file.
    pub(crate) fn next_block(&mut self, text: &mut Vec<u8>) -> Result<(), SourceFault> {
        text.clear();
        while text.is_empty() && !(self.ended && self.raw_end == 0) {
            self.read_raw()?;
            let skip = if self.begun { 0 } else { self.byte_order_mark()? };
            self.begun = true;
            self.decode(skip, text)?;
        }
        Ok(())
    }

    /// Hashes the rest of the file without looking at what it says.
    pub(crate) fn pass(&mut self) -> io::Result<()> {
        loop {
            match self.file.read(&mut self.raw) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    self.hash.update(&self.raw[..count]);
                    self.bytes += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
    }

    /// How many bytes were read, and their SHA-256; to be asked for at the end.
    pub(crate) fn finish(self) -> (u64, [u8; 32]) {
        let mut sha = [0; 32];
        sha.copy_from_slice(self.hash.finish().as_ref());
        (self.bytes, sha)
    }

    // The first block is read on until it can show a byte order mark, so that a short read cannot hide one.
    fn read_raw(&mut self) -> Result<(), SourceFault> {
        while !self.ended && (self.raw_end == 0 || (!self.begun && self.raw_end < 3)) {
            let count = match self.file.read(&mut self.raw[self.raw_end..]) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(SourceFault::Io(error)),
            };
            self.ended = count == 0;
            self.hash.update(&self.raw[self.raw_end..self.raw_end + count]);
            self.bytes += count as u64;
            self.raw_end += count;
        }
        Ok(())
    }

    fn byte_order_mark(&self) -> Result<usize, SourceFault> {
        let raw = &self.raw[..self.raw_end];
        if raw.starts_with(&[0xFF, 0xFE]) || raw.starts_with(&[0xFE, 0xFF]) {
            return Err(SourceFault::Utf16);
        }
        Ok(if self.mark_is_skipped && raw.starts_with(&[0xEF, 0xBB, 0xBF]) { 3 } else { 0 })
    }

    fn decode(&mut self, skip: usize, text: &mut Vec<u8>) -> Result<(), SourceFault> {
        let raw = &self.raw[skip..self.raw_end];
        self.raw_end = 0;
        let Some(decoder) = &mut self.decoder else {
            text.extend_from_slice(raw);
            return Ok(());
        };
        let room = decoder.max_utf8_buffer_length_without_replacement(raw.len());
        text.resize(room.expect("64 KiB times three fits in memory"), 0);
        let (result, _, written) = decoder.decode_to_utf8_without_replacement(raw, text, self.ended);
        text.truncate(written);
        debug_assert!(!matches!(result, DecoderResult::OutputFull), "the room was computed by the decoder");
        match result {
            DecoderResult::Malformed(_, _) if written == 0 => Err(SourceFault::Unmappable),
            // What came before the fault goes out first, so that the reader knows its line; the rest of the
            // block is dropped and the next call meets the fault again because the bad byte is put back in
            // front.
            DecoderResult::Malformed(_, _) => {
                self.keep_fault();
                Ok(())
            }
            DecoderResult::InputEmpty | DecoderResult::OutputFull => Ok(()),
        }
    }

    fn keep_fault(&mut self) {
        // 0xFF stands for nothing in CP932, before or after any other byte.
        self.raw[0] = 0xFF;
        self.raw_end = 1;
        self.decoder = Some(SHIFT_JIS.new_decoder_without_bom_handling());
    }
}
