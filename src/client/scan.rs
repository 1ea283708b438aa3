//! Goes over a file twice: the first pass gives every total and chunk root without holding a record, the
//! second gives the chunks and refuses a file that changed in between.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::{
    error::Error,
    input_fault::InputFault,
    journal::folder_of,
    reader::{Fingerprint, ReadOptions, RecordReader},
    runs::Runs,
};
use crate::domain::{
    chunk::{self, PAYLOAD_BYTES_MAX},
    digest::Digest,
    manifest::{CHUNKS_MAX, DISTRICTS_MAX, KINDS_MAX, RECORDS_MAX},
    merkle,
    ranges::Ranges,
    record::Field,
    totals::{Totals, TotalsBuilder},
};

/// Everything the first pass learns. Its size depends on districts and chunks (32 bytes each), not on records
/// or households.
#[derive(Debug, Clone)]
pub struct Scan {
    /// The totals that the manifest declares.
    pub totals: Totals,
    /// RFC 6962 root of each chunk, in order.
    pub chunk_roots: Vec<Digest>,
    /// Records in each chunk but the last.
    pub chunk_records: u32,
    /// What was read.
    pub fingerprint: Fingerprint,
}

impl Scan {
    /// How many records the chunks of this set have together.
    #[must_use]
    pub fn records_in(&self, chunks: &Ranges) -> u64 {
        let chunk_records = u64::from(self.chunk_records);
        let end = |first_after: u64| (first_after * chunk_records).min(self.totals.records);
        chunks.iter().map(|(first, last)| end(last + 1) - end(first)).sum()
    }

    /// The record indexes of the chunks that are not in this set.
    #[must_use]
    pub fn missing_records(&self, durable_chunks: &Ranges) -> Ranges {
        let chunk_records = u64::from(self.chunk_records);
        let mut missing = Ranges::default();
        for (first, last) in durable_chunks.missing(self.chunk_roots.len() as u64).iter() {
            let end = ((last + 1) * chunk_records).min(self.totals.records);
            missing.insert_range(first * chunk_records, end.saturating_sub(1));
        }
        missing
    }
}

/// A chunk ready to be sent. Its debug form shows nothing of a person.
#[derive(Clone)]
pub struct FileChunk {
    /// Its number, from 0.
    pub number: u32,
    /// RFC 6962 root over its records.
    pub root: Digest,
    /// How many records it has.
    pub records: u32,
    /// Their canonical bytes, each behind its length.
    pub payload: Bytes,
}

impl fmt::Debug for FileChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("FileChunk");
        shown.field("number", &self.number).field("records", &self.records);
        shown.field("payload_bytes", &self.payload.len()).finish_non_exhaustive()
    }
}

/// Makes the first pass over a file; `tell` hears the number of records read now and then. Households that
/// are too many for the memory go to a file without name in the folder of `journal`; without journal all are
/// held, 20 bytes each.
///
/// # Errors
/// [`Error::Input`] for anything wrong with the file, and for a file over the limits of a batch;
/// [`Error::Write`] if there is no room for the households.
pub fn scan(
    path: &Path,
    options: &ReadOptions,
    chunk_records: u32,
    journal: Option<&Path>,
    tell: &mut dyn FnMut(u64),
) -> Result<Scan, Error> {
    let mut reader = RecordReader::open(path, options)?;
    let mut pass = FirstPass::new(chunk_records);
    let mut runs = journal.map(|journal| Runs::in_folder(folder_of(journal)));
    while let Some((record, canonical)) = reader.next_record()? {
        let leaf = pass.totals.add(&record, canonical);
        pass.take(leaf, canonical.len());
        if let Some((what, remedy)) = pass.over_a_limit() {
            return Err(InputFault::of_line(path, reader.line(), what, remedy).into());
        }
        if let Some(runs) = &mut runs {
            runs.make_room(&mut pass.totals)?;
        }
        if pass.records.is_multiple_of(16_384) {
            tell(pass.records);
        }
    }
    tell(pass.records);
    pass.close_chunk();
    let totals = match runs {
        Some(runs) => runs.finish(pass.totals)?,
        None => pass.totals.finish(),
    };
    if totals.kinds.len() > KINDS_MAX {
        let what = format!("the file has {} kinds; a batch has at most {KINDS_MAX}", totals.kinds.len());
        return Err(InputFault::of_file(path, what, "Look whether the columns are mixed up").into());
    }
    Ok(Scan { totals, chunk_roots: pass.roots, chunk_records, fingerprint: reader.finish() })
}

struct FirstPass {
    totals: TotalsBuilder,
    chunk_records: u32,
    chunk: merkle::Accumulator,
    payload_bytes: usize,
    records: u64,
    roots: Vec<Digest>,
}

impl FirstPass {
    fn new(chunk_records: u32) -> Self {
        Self {
            totals: TotalsBuilder::default(),
            chunk_records,
            chunk: merkle::Accumulator::default(),
            payload_bytes: 0,
            records: 0,
            roots: Vec::new(),
        }
    }

    fn take(&mut self, leaf: Digest, canonical_bytes: usize) {
        if self.chunk.count() == u64::from(self.chunk_records) {
            self.close_chunk();
        }
        self.chunk.push(leaf);
        self.payload_bytes += 4 + canonical_bytes;
        self.records += 1;
    }

    fn close_chunk(&mut self) {
        if self.chunk.count() > 0 {
            self.roots.push(std::mem::take(&mut self.chunk).root());
            self.payload_bytes = 0;
        }
    }

    fn over_a_limit(&self) -> Option<(&'static str, &'static str)> {
        if self.records > RECORDS_MAX {
            return Some(("the file has more than 10,000,000 records", "Split it into several batches"));
        }
        if self.totals.district_count() > DISTRICTS_MAX {
            let remedy = "Look whether the columns are mixed up; otherwise split the batch";
            return Some(("the file has more than 10,000 districts", remedy));
        }
        if self.payload_bytes > PAYLOAD_BYTES_MAX {
            let remedy = "Pass a smaller power of two as --chunk-records, such as 512";
            return Some(("the records of this chunk are longer than 8 MiB together", remedy));
        }
        if self.roots.len() as u64 >= CHUNKS_MAX {
            return Some(("the file has more than 65,536 chunks", "Pass a larger --chunk-records"));
        }
        None
    }
}

/// The second pass: gives the wanted chunks in order, and none that differs from the first pass.
pub struct Chunks {
    path: PathBuf,
    reader: RecordReader,
    chunk_records: u32,
    roots: Vec<Digest>,
    records: u64,
    wanted: Ranges,
    next: u32,
    writer: chunk::Writer,
}

impl Chunks {
    /// Opens the file again for the chunks in `wanted`.
    ///
    /// # Errors
    /// [`InputFault`] as when it was opened first.
    pub fn open(path: &Path, options: &ReadOptions, scan: &Scan, wanted: Ranges) -> Result<Self, InputFault> {
        let chunk_records = u64::from(scan.chunk_records).min(scan.totals.records);
        let bytes = (scan.totals.bytes / scan.totals.records.max(1) + 4) * chunk_records;
        // A sixteenth more, as some chunks are longer than others.
        let room =
            usize::try_from(bytes + bytes / 16).map_or(PAYLOAD_BYTES_MAX, |room| room.min(PAYLOAD_BYTES_MAX));
        Ok(Self {
            path: path.to_owned(),
            reader: RecordReader::open(path, options).map_err(changed_since)?,
            chunk_records: scan.chunk_records,
            roots: scan.chunk_roots.clone(),
            records: scan.totals.records,
            wanted,
            next: 0,
            writer: chunk::Writer::with_room(room),
        })
    }

    /// Takes the payload of a chunk back that is sent for good, to write the next in its memory.
    pub fn take_back(&mut self, payload: Bytes) {
        // Whoever sent it may still have it, after which it is gone like any other.
        if payload.is_unique() {
            self.writer.take_back(payload.into());
        }
    }

    /// Returns the next wanted chunk, or `None` after the last one.
    ///
    /// # Errors
    /// [`InputFault`] if the file is no longer what it was.
    pub fn next_chunk(&mut self) -> Result<Option<FileChunk>, InputFault> {
        while (self.next as usize) < self.roots.len() {
            let number = self.next;
            if self.wanted.iter().all(|(_, last)| last < u64::from(number)) {
                return Ok(None);
            }
            self.next += 1;
            if !self.wanted.contains(u64::from(number)) {
                self.skip(number)?;
                continue;
            }
            return self.read(number).map(Some);
        }
        Ok(None)
    }

    fn length(&self, number: u32) -> u64 {
        let first = u64::from(number) * u64::from(self.chunk_records);
        self.records.saturating_sub(first).min(u64::from(self.chunk_records))
    }

    fn skip(&mut self, number: u32) -> Result<(), InputFault> {
        for _ in 0..self.length(number) {
            if self.reader.next_record().map_err(changed_since)?.is_none() {
                return Err(self.changed());
            }
        }
        Ok(())
    }

    fn read(&mut self, number: u32) -> Result<FileChunk, InputFault> {
        let mut tree = merkle::Accumulator::default();
        for _ in 0..self.length(number) {
            let Some((_, canonical)) = self.reader.next_record().map_err(changed_since)? else {
                return Err(self.changed());
            };
            tree.push(merkle::leaf_hash(canonical));
            self.writer.push(canonical);
            if self.writer.bytes() > PAYLOAD_BYTES_MAX {
                return Err(self.changed());
            }
        }
        let root = tree.root();
        if root != self.roots[number as usize] {
            return Err(self.changed());
        }
        let records = self.writer.records();
        Ok(FileChunk { number, root, records, payload: self.writer.take().into() })
    }

    fn changed(&self) -> InputFault {
        changed(&self.path, self.reader.line())
    }
}

fn changed(path: &Path, line: u64) -> InputFault {
    InputFault::of_line(
        path,
        line,
        "the file was changed while it was being sent",
        "Put the announced content back and run `todoke resume`, or give up with `todoke abort`",
    )
}

// A line that is wrong was right in the first pass; what is wrong with the whole file may be the disk.
fn changed_since(fault: InputFault) -> InputFault {
    if fault.line == 0 { fault } else { changed(&fault.path, fault.line) }
}

/// Counts the records of `missing` (record indexes) by district, with one more pass over the file.
///
/// # Errors
/// [`InputFault`] if the file can no longer be read.
pub fn districts_of(
    path: &Path,
    options: &ReadOptions,
    missing: &Ranges,
) -> Result<BTreeMap<String, u64>, InputFault> {
    let mut reader = RecordReader::open(path, options)?;
    let mut districts = BTreeMap::new();
    let mut index = 0;
    while let Some((record, _)) = reader.next_record()? {
        if missing.contains(index) {
            *districts.entry(record.text(Field::District).to_owned()).or_default() += 1;
        }
        index += 1;
    }
    Ok(districts)
}

/// Finds the lines of some records (field by index) and the places of the fields in them, with one more pass
/// over the file up to the last of them.
///
/// # Errors
/// [`InputFault`] if the file can no longer be read.
pub fn places_of(
    path: &Path,
    options: &ReadOptions,
    wanted: &BTreeMap<u64, String>,
) -> Result<BTreeMap<u64, (u64, String)>, InputFault> {
    let mut reader = RecordReader::open(path, options)?;
    let mut places = BTreeMap::new();
    for index in 0.. {
        if places.len() == wanted.len() || reader.next_record()?.is_none() {
            break;
        }
        if let Some(field) = wanted.get(&index) {
            places.insert(index, (reader.line(), reader.place_of(field)));
        }
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_debug_form_of_a_chunk_shows_nothing_of_its_records() {
        let payload = Bytes::from_static("カナリヤ".as_bytes());
        let chunk = FileChunk { number: 3, root: Digest::of(b""), records: 1, payload };
        assert_eq!(format!("{chunk:?}"), "FileChunk { number: 3, records: 1, payload_bytes: 12, .. }");
    }

    #[test]
    fn a_payload_that_comes_back_is_written_again_unless_somebody_still_has_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("in.csv");
        let rows: String = (0..4).map(|n| format!("K-{n},X,H,D,N,1980-01-02,2,A\n")).collect();
        let header = "order_id,kind,household_id,district,name,birth_date,sex,address\n";
        std::fs::write(&path, header.to_owned() + &rows).expect("the folder is writable");
        let options = ReadOptions::default();
        let scanned = scan(&path, &options, 1, None, &mut |_| ()).expect("a good file");
        let wanted = Ranges::default().missing(4);
        let mut chunks = Chunks::open(&path, &options, &scanned, wanted).expect("a good file");
        let mut next = || chunks.next_chunk().expect("unchanged").expect("one more");
        let [first, second] = [next(), next()];
        let (kept, memory) = (first.payload.to_vec(), second.payload.as_ptr());
        chunks.take_back(first.payload.clone());
        chunks.take_back(second.payload);
        let third = chunks.next_chunk().expect("unchanged").expect("one more");
        assert_eq!(third.payload.as_ptr(), memory);
        assert_eq!(first.payload, kept, "the first is as it was");
    }
}
