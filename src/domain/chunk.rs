//! A chunk's payload is its records one behind the other, each behind its length; a payload that is not whole
//! is never taken for one that is.

use super::{digest::Digest, merkle};

/// The largest payload of a chunk, in bytes: 8 MiB.
pub const PAYLOAD_BYTES_MAX: usize = 8 << 20;

/// Bytes of the big-endian length before each record.
const LENGTH_BYTES: usize = 4;

/// The payload ends inside a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the payload ends inside its record {record}, at byte {at}: send each record whole, behind its length"
)]
pub struct ChunkFault {
    /// The record within the chunk, from 0.
    pub record: u32,
    /// Where it begins in the payload.
    pub at: usize,
}

/// Gives the canonical bytes of each record; ends after the first fault.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    at: usize,
    record: u32,
}

impl<'a> Reader<'a> {
    /// Returns a reader over a payload.
    #[must_use]
    pub fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload, at: 0, record: 0 }
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<&'a [u8], ChunkFault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let framed = self.rest.split_first_chunk::<LENGTH_BYTES>().and_then(|(length, rest)| {
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            rest.split_at_checked(length)
        });
        let Some((record, rest)) = framed else {
            self.rest = &[];
            return Some(Err(ChunkFault { record: self.record, at: self.at }));
        };
        self.rest = rest;
        self.at += LENGTH_BYTES + record.len();
        self.record += 1;
        Some(Ok(record))
    }
}

impl std::iter::FusedIterator for Reader<'_> {}

/// Returns the leaf hash of each record of a payload.
///
/// # Errors
/// [`ChunkFault`] if the payload is not whole.
pub fn leaves(payload: &[u8]) -> Result<Vec<Digest>, ChunkFault> {
    Reader::new(payload).map(|record| record.map(merkle::leaf_hash)).collect()
}

/// Writes a payload record by record.
#[derive(Debug, Default)]
pub struct Writer {
    payload: Vec<u8>,
    records: u32,
    /// Room for the next payload.
    room: usize,
    spent: Vec<Vec<u8>>,
}

impl Writer {
    /// Returns a writer whose first payload has room for `bytes` at once.
    #[must_use]
    pub fn with_room(bytes: usize) -> Self {
        Self { room: bytes, ..Self::default() }
    }

    /// Adds the canonical bytes of the next record.
    ///
    /// # Panics
    /// If the record is 4 GiB or longer; [`super::record::RECORD_BYTES_MAX`] is far below.
    pub fn push(&mut self, canonical: &[u8]) {
        let length = u32::try_from(canonical.len()).expect("a record is at most RECORD_BYTES_MAX long");
        if self.records == 0 {
            self.payload = self.spent.pop().unwrap_or_else(|| Vec::with_capacity(self.room));
        }
        self.payload.reserve(LENGTH_BYTES + canonical.len());
        self.payload.extend_from_slice(&length.to_be_bytes());
        self.payload.extend_from_slice(canonical);
        self.records += 1;
    }

    /// How long the payload is, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.payload.len()
    }

    /// How many records it has.
    #[must_use]
    pub fn records(&self) -> u32 {
        self.records
    }

    /// Gives the payload away and begins a new one, with room for as much at once: payloads of a batch are
    /// about as long as each other, and one that grows leaves a trail of shorter copies behind.
    pub fn take(&mut self) -> Vec<u8> {
        self.records = 0;
        self.room = self.payload.len() + self.payload.len() / 16;
        std::mem::take(&mut self.payload)
    }

    /// Takes a payload back that nobody needs any more: its memory is used again.
    pub fn take_back(&mut self, mut payload: Vec<u8>) {
        payload.clear();
        self.spent.push(payload);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn records_come_out_as_they_went_in_and_no_cut_is_whole(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..12),
            cut: prop::sample::Index,
        ) {
            let mut writer = Writer::default();
            records.iter().for_each(|record| writer.push(record));
            prop_assert_eq!(writer.records() as usize, records.len());
            let payload = writer.take();
            prop_assert_eq!((writer.bytes(), writer.records()), (0, 0));
            let read: Result<Vec<&[u8]>, _> = Reader::new(&payload).collect();
            prop_assert_eq!(read.expect("whole"), records.iter().map(Vec::as_slice).collect::<Vec<_>>());
            prop_assert_eq!(leaves(&payload).expect("whole").len(), records.len());
            // A cut is seen unless it falls between two records; then fewer records come.
            if !payload.is_empty() {
                let cut = &payload[..cut.index(payload.len())];
                let fewer = leaves(cut).map_or(true, |leaves| leaves.len() < records.len());
                prop_assert!(fewer);
            }
        }

        #[test]
        fn no_bytes_make_the_reader_panic_or_go_on_after_a_fault(
            payload in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let read: Vec<_> = Reader::new(&payload).collect();
            prop_assert!(read.iter().rev().skip(1).all(Result::is_ok));
        }
    }

    #[test]
    fn what_is_taken_back_is_written_again_in_its_own_memory() {
        let mut writer = Writer::default();
        writer.push(b"of the first");
        let first = writer.take();
        let memory = first.as_ptr();
        writer.take_back(first);
        writer.push(b"next");
        let next = writer.take();
        assert_eq!((next.as_ptr(), &next[..]), (memory, b"\0\0\0\x04next".as_slice()));
    }

    #[test]
    fn a_fault_names_its_place() {
        let mut writer = Writer::default();
        writer.push(b"abc");
        let mut payload = writer.take();
        payload.extend_from_slice(&[0xFF; 5]);
        let last = Reader::new(&payload).last().expect("two items");
        assert_eq!(last, Err(ChunkFault { record: 1, at: 7 }));
    }
}
