//! Promise: whatever another hand wrote in a form that we take is read exactly, with its lines; of anything
//! else no row is lost in silence, and where the blocks of a file end never shows.

use std::{fs, io};

use proptest::prelude::*;

use super::{
    super::{rows::RowProblem, source::SourceFault},
    *,
};

/// How a file is written.
#[derive(Debug, Clone, Copy)]
struct Form {
    cp932: bool,
    byte_order_mark: bool,
    crlf: bool,
    all_quoted: bool,
}

/// A table as somebody may export it: its columns in any order, without some that need not be there.
#[derive(Debug, Clone)]
struct Export {
    form: Form,
    columns: Vec<Field>,
    rows: Vec<Vec<String>>,
}

impl Export {
    /// The bytes of each row, header first, written by the crate `csv`.
    fn written(&self) -> Vec<Vec<u8>> {
        let header = self.columns.iter().map(|field| field.as_str().to_owned()).collect();
        let all = std::iter::once(&header).chain(&self.rows);
        let mut written: Vec<Vec<u8>> = all.map(|row| self.write(row)).collect();
        if self.form.byte_order_mark {
            written[0].splice(0..0, "\u{feff}".bytes());
        }
        written
    }

    fn write(&self, row: &[String]) -> Vec<u8> {
        let quotes = if self.form.all_quoted { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary };
        let ends = if self.form.crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let mut builder = csv::WriterBuilder::new();
        let mut writer = builder.quote_style(quotes).terminator(ends).from_writer(Vec::new());
        writer.write_record(row).expect("memory takes it");
        let bytes = writer.into_inner().expect("memory takes it");
        if !self.form.cp932 {
            return bytes;
        }
        let text = String::from_utf8(bytes).expect("it was text");
        let (bytes, _, unmappable) = encoding_rs::SHIFT_JIS.encode(&text);
        assert!(!unmappable, "the strategy gives what CP932 has: {text:?}");
        bytes.into_owned()
    }

    fn options(&self, accept_missing_newline: bool) -> ReadOptions {
        let encoding = if self.form.cp932 { Encoding::Cp932 } else { Encoding::Utf8 };
        ReadOptions { encoding, accept_missing_newline, layout: None }
    }

    /// The records of these rows, each with the physical line on which it begins.
    fn records(&self) -> Vec<(Record, u64)> {
        let mut line = 2;
        let one = |row: &Vec<String>| {
            let read = (record(&self.columns, row), line);
            line += 1 + row.iter().map(|cell| cell.matches('\n').count() as u64).sum::<u64>();
            read
        };
        self.rows.iter().map(one).collect()
    }
}

fn record(columns: &[Field], cells: &[String]) -> Record {
    let mut record = Record::default();
    columns.iter().zip(cells).for_each(|(field, cell)| record.set(*field, cell));
    record
}

/// A text of what makes readers stumble: quotes, commas, line breaks, and characters whose second byte in
/// CP932 is that of another one.
fn any_text(cp932: bool) -> impl Strategy<Value = String> {
    let marks = prop::sample::select(vec!["\"", ",", "\n", "\r\n", "\r", " ", ";", "\\", "\t", "''"]);
    let both = prop::sample::select(vec!["葛", "飾", "表", "ソ", "能", "髙", "ｱ", "～", "①", "K", "-1", "0"]);
    let any = any::<char>().prop_map(|c| if c == '\0' { "\u{feff}".to_owned() } else { c.to_string() });
    let utf8 = prop_oneof![Just("𠮷\u{e0100}".to_owned()), Just("\u{e000}".to_owned()), any];
    let both = prop_oneof![2 => marks.prop_map(str::to_owned), 3 => both.prop_map(str::to_owned)];
    let one = if cp932 { both.boxed() } else { prop_oneof![3 => both, 1 => utf8].boxed() };
    prop::collection::vec(one, 0..12).prop_map(|parts| parts.concat())
}

fn any_cell(field: Field, cp932: bool) -> BoxedStrategy<String> {
    match field {
        Field::OrderId => "[!-~]([ -~]{0,20}[!-~])?".boxed(),
        Field::Kind => "[A-Z0-9_]{1,32}".boxed(),
        Field::HouseholdId | Field::District => {
            let line = |text: String| -> String {
                text.chars().filter(|c| !c.is_control()).chain(['白']).collect()
            };
            any_text(cp932).prop_map(line).boxed()
        }
        _ => any_text(cp932).boxed(),
    }
}

fn any_export() -> impl Strategy<Value = Export> {
    let columns = (Just(Field::ALL.to_vec()).prop_shuffle(), any::<[bool; 16]>());
    let forms = any::<[bool; 4]>().prop_map(|[cp932, mark, crlf, all_quoted]| Form {
        cp932,
        byte_order_mark: mark && !cp932,
        crlf,
        all_quoted,
    });
    (columns, forms).prop_flat_map(|((mut columns, kept), form)| {
        columns.retain(|field| field.is_required() || kept[*field as usize]);
        let row: Vec<_> = columns.iter().map(|field| any_cell(*field, form.cp932)).collect();
        prop::collection::vec(row, 0..6).prop_map(move |rows| Export { form, columns: columns.clone(), rows })
    })
}

type Read = Result<Vec<(Record, u64)>, InputFault>;

fn read(bytes: &[u8], options: &ReadOptions) -> Read {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("in.csv");
    fs::write(&path, bytes).expect("the folder is writable");
    let mut reader = RecordReader::open(&path, options)?;
    let mut records = Vec::new();
    while let Some((record, canonical)) = reader.next_record()? {
        assert_eq!(Record::decode(canonical).as_ref(), Ok(&record));
        records.push((record, reader.line()));
    }
    assert_eq!(reader.finish().bytes, bytes.len() as u64);
    Ok(records)
}

/// The rows that the crate `csv` finds in these bytes; `None` for bytes that are no text.
fn rows_of_another_reader(bytes: &[u8], cp932: bool) -> Option<Vec<Vec<String>>> {
    let text = if cp932 {
        encoding_rs::SHIFT_JIS.decode_without_bom_handling_and_without_replacement(bytes)?.into_owned()
    } else {
        String::from_utf8(bytes.to_vec()).ok()?
    };
    let text = if cp932 { &text } else { text.strip_prefix('\u{feff}').unwrap_or(&text) };
    let mut builder = csv::ReaderBuilder::new();
    let reader = builder.has_headers(false).flexible(true).from_reader(text.as_bytes());
    let rows = reader.into_records().map(|row| row.map(|row| row.iter().map(str::to_owned).collect()));
    Some(rows.collect::<Result<_, _>>().expect("it was text"))
}

proptest! {
    #[test]
    fn what_another_hand_wrote_comes_back_exactly_with_its_lines(export in any_export()) {
        let mut bytes = export.written().concat();
        prop_assert_eq!(read(&bytes, &export.options(false)), Ok(export.records()));
        // Without its last line break it is refused, unless a person says that the line is whole.
        bytes.truncate(bytes.len() - if export.form.crlf { 2 } else { 1 });
        let fault = read(&bytes, &export.options(false)).expect_err("it may have been cut");
        prop_assert!(fault.line > 0, "{}", fault);
        prop_assert_eq!(read(&bytes, &export.options(true)), Ok(export.records()));
    }

    #[test]
    fn a_file_that_is_cut_is_refused_or_ends_after_a_whole_row(
        export in any_export(), at: prop::sample::Index,
    ) {
        let written = export.written();
        let bytes = written.concat();
        let cut = at.index(bytes.len());
        let mut end = 0;
        let whole = written.iter().position(|row| {
            end += row.len();
            end == cut
        });
        match (read(&bytes[..cut], &export.options(false)), whole) {
            (Ok(records), Some(row)) => prop_assert_eq!(&records[..], &export.records()[..row]),
            (Err(fault), None) => prop_assert!(fault.line > 0 || cut == 0 || cut == 3, "{}", fault),
            (outcome, whole) => {
                let words = format!("{outcome:?} of a cut behind row {whole:?}");
                return Err(TestCaseError::fail(words));
            },
        }
    }

    #[test]
    fn of_a_damaged_file_every_row_is_read_or_a_line_is_named(
        export in any_export(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..3, damage()), 1..4),
    ) {
        let mut bytes = export.written().concat();
        for (at, cut, put) in edits {
            let begin = at.index(bytes.len() + 1);
            let end = (begin + cut).min(bytes.len());
            bytes.splice(begin..end, put);
        }
        let lines = 1 + bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        match read(&bytes, &export.options(false)) {
            Err(fault) => {
                let whole = fault.what.contains("empty") || fault.what.contains("UTF-16");
                prop_assert!(whole || (1..=lines).contains(&fault.line), "{}", fault);
            }
            Ok(records) => {
                let rows = rows_of_another_reader(&bytes, export.form.cp932);
                let rows = rows.expect("only text is read");
                let columns: Option<Vec<Field>> =
                    rows[0].iter().map(|name| Field::from_name(name)).collect();
                let columns = columns.expect("only known columns are taken");
                let theirs: Vec<Record> = rows[1..].iter().map(|row| record(&columns, row)).collect();
                let ours: Vec<Record> = records.into_iter().map(|(record, _)| record).collect();
                prop_assert_eq!(ours, theirs);
            }
        }
    }
}

fn damage() -> impl Strategy<Value = Vec<u8>> {
    let mark = prop::sample::select(b"\",\r\n \0a\x81\xFF\xE3".to_vec());
    prop_oneof![4 => prop::collection::vec(mark, 0..3), 1 => prop::collection::vec(any::<u8>(), 0..9)]
}

/// Gives bytes in portions of these sizes, none for an interruption; fails where the disk does.
struct Drip<'a> {
    rest: &'a [u8],
    sizes: Box<dyn Iterator<Item = usize> + 'a>,
    broken: bool,
}

impl io::Read for Drip<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            return if self.broken { Err(io::Error::other("a bad sector")) } else { Ok(0) };
        }
        let size = self.sizes.next().unwrap_or(1).min(room.len()).min(self.rest.len());
        if size == 0 {
            return Err(io::Error::from(io::ErrorKind::Interrupted));
        }
        let (now, rest) = self.rest.split_at(size);
        room[..size].copy_from_slice(now);
        self.rest = rest;
        Ok(size)
    }
}

/// Every row with its line, and how the file ended: its size and digest, or the fault with its place.
type Outcome = (Vec<(u64, Vec<String>)>, Result<(u64, [u8; 32]), (u64, usize, String)>);

fn split(file: impl io::Read, encoding: Encoding, limits: RowLimits) -> Outcome {
    let mut rows = Rows::new(Source::new(file, encoding), limits, false);
    let (mut row, mut read) = (Row::default(), Vec::new());
    loop {
        match rows.next_into(&mut row) {
            Ok(true) => read.push((row.line(), (0..row.len()).map(|at| row.cell(at).to_owned()).collect())),
            Ok(false) => return (read, Ok(rows.finish())),
            Err(RowFault { line, column, problem }) => {
                let problem = match problem {
                    RowProblem::Source(SourceFault::Io(_)) => "the disk".to_owned(),
                    other => format!("{other:?}"),
                };
                return (read, Err((line, column, problem)));
            }
        }
    }
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let part = prop::sample::select(vec![
        &b"\""[..],
        b",",
        b"\n",
        b"\r\n",
        b"\r",
        b"\0",
        b"a",
        b"bcdefg",
        b"\"x,\ny\"",
        b"\xE3\x81\x82",
        b"\x82\xA0",
        b"\x95\x5C",
        b"\x81",
        b"\xFF",
        b"\xEF\xBB\xBF",
        b"\xFF\xFE",
    ]);
    prop::collection::vec(prop_oneof![
        5 => prop::sample::select(vec![&b","[..], b"\n", b"a", b"\"x\"\"\"", b"\x82\xA0", b"\xE3\x81\x82"]),
        1 => part,
    ], 0..40).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn where_the_blocks_of_a_file_end_never_shows(
        bytes in any_bytes(),
        sizes in prop::collection::vec(0usize..5, 1..60),
        cp932: bool,
        limits in prop_oneof![Just((4096, 16_384, 64)), (1usize..9, 4usize..20, 1usize..6)],
        breaks: prop::sample::Index,
    ) {
        let encoding = if cp932 { Encoding::Cp932 } else { Encoding::Utf8 };
        let limits = RowLimits { cell_bytes: limits.0, row_bytes: limits.1, cells: limits.2 };
        let whole = split(bytes.as_slice(), encoding, limits);
        let drip = |rest, broken| Drip { rest, sizes: Box::new(sizes.iter().copied()), broken };
        prop_assert_eq!(&split(drip(&bytes, false), encoding, limits), &whole);
        // And where the disk breaks, what was read before stands, and the end is no end.
        let (rows, end) = split(drip(&bytes[..breaks.index(bytes.len() + 1)], true), encoding, limits);
        prop_assert!(whole.0.starts_with(&rows));
        prop_assert!(end.is_err());
    }
}
